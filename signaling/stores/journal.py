"""The ledger as a person reads it: accounts with what they hold, and every transfer in the order of its time."""

from collections.abc import AsyncIterator
from dataclasses import dataclass

from sqlalchemy import or_, select

from metering.ledger import Balance
from signaling.stores.database import Transaction
from signaling.stores.schema import balances, transfers


@dataclass(frozen=True, slots=True)
class Account:
    name: str
    currency: str
    balance: Balance


@dataclass(frozen=True, slots=True)
class Line:
    """One transfer. `kind`: single, or of a hold what became of it; a hold itself moves nothing."""

    created_at: str
    id: str
    kind: str
    code: str
    subject_id: str
    debit: str
    credit: str
    amount_minor: int
    currency: str


@dataclass(frozen=True, slots=True)
class Asked:
    """Which lines. Times are RFC 3339 UTC: from `since` on, before `until`."""

    account: str | None = None
    since: str | None = None
    until: str | None = None


_SUMS = ("debits_minor", "credits_minor", "debits_held_minor", "credits_held_minor")
_LINE = ("created_at", "id", "kind", "code", "subject_id", "debit", "credit", "amount_minor", "currency")


async def accounts(
    tx: Transaction, mode: str, account: str, name: str | None = None
) -> AsyncIterator[Account]:
    """By name. `name`: only that one, in each currency."""
    columns = (balances.c.name, balances.c.currency, *(balances.c[column] for column in _SUMS))
    query = select(*columns).where(balances.c.mode == mode, balances.c.account == account)
    if name is not None:
        query = query.where(balances.c.name == name)
    async with tx.stream(query.order_by(balances.c.name, balances.c.currency)) as rows:
        async for row in rows:
            yield Account(row.name, row.currency, Balance(*row[2:]))


async def lines(tx: Transaction, mode: str, account: str, asked: Asked) -> AsyncIterator[Line]:
    """The oldest first, a few at a time."""
    query = select(*(transfers.c[name] for name in _LINE)).where(
        transfers.c.mode == mode, transfers.c.account == account
    )
    if asked.account is not None:
        query = query.where(or_(transfers.c.debit == asked.account, transfers.c.credit == asked.account))
    if asked.since is not None:
        query = query.where(transfers.c.created_at >= asked.since)
    if asked.until is not None:
        query = query.where(transfers.c.created_at < asked.until)
    async with tx.stream(query.order_by(transfers.c.created_at, transfers.c.id)) as rows:
        async for row in rows:
            yield Line(*row)
