"""Earnings against the books: what each payee has by the rows of their sales is what the ledger's accounts hold."""

from typing import Any

from sqlalchemy import Select, and_, case, exists, func, literal, or_, select, union_all

from signaling.stores.bookchecks import SENTENCES_MAX
from signaling.stores.database import Transaction
from signaling.stores.schema import balances, earnings, payouts, transfers

_POSITION = (
    earnings.c.net_minor - earnings.c.reversed_minor - earnings.c.paid_minor - earnings.c.withheld_minor
)
_FROZEN = case((earnings.c.disputed_minor > _POSITION, _POSITION), else_=earnings.c.disputed_minor)
_ACCOUNTS = ("earned_pending:", "earned_available:", "dispute_reserve:", "host_debt:")


async def earning_faults(tx: Transaction) -> list[tuple[str, str]]:
    """Subject and sentence; at most some hundreds."""
    return [*await _impossible(tx), *await _unlike_the_books(tx)]


async def _impossible(tx: Transaction) -> list[tuple[str, str]]:
    row = earnings.c
    parts = or_(row.net_minor + row.fee_minor + row.tax_minor != row.gross_minor, row.net_minor < 0)
    reversed_ = or_(row.reversed_minor < 0, row.reversed_minor > row.net_minor)
    # What was kept from other sales for it is withheld below zero, and paid out again once its refund has failed.
    paid = row.paid_minor + row.withheld_minor
    faults = (
        ("its parts are not the whole", parts),
        ("more or less went back than there was", reversed_),
        (
            "more or less is disputed than there is",
            or_(row.disputed_minor < 0, row.disputed_minor > row.net_minor - row.reversed_minor),
        ),
        ("more or less was paid out than there was", or_(row.paid_minor < 0, paid > row.net_minor)),
    )
    return [
        (found.id, fault)
        for fault, where in faults
        for found in await tx.execute(select(row.id).where(where).limit(SENTENCES_MAX))
    ]


async def _unlike_the_books(tx: Transaction) -> list[tuple[str, str]]:
    """By payee and account: what is left of their earnings, what they owe, and what the ledger says of both."""
    sides = union_all(_owed(), _frozen(), _debts(), _being_sent(), _kept()).subquery()
    key = (sides.c.mode, sides.c.account, sides.c.name, sides.c.currency)
    off = func.sum(sides.c.minor)
    query = select(*key, off.label("off")).group_by(*key).having(off != 0).limit(SENTENCES_MAX)
    return [
        (
            row.name,
            f"the earnings in {row.currency} are off the books by {int(row.off)} ({row.mode}/{row.account})",
        )
        for row in await tx.execute(query)
    ]


def _side(table: Any, name: Any, minor: Any) -> Select[Any]:
    return select(table.c.mode, table.c.account, name.label("name"), table.c.currency, minor.label("minor"))


def _owed() -> Select[Any]:
    account = case(
        (earnings.c.state == "available", literal("earned_available:")),
        else_=literal("earned_pending:"),
    )
    return _side(earnings, account.concat(earnings.c.payee), _POSITION - _FROZEN).where(_POSITION > 0)


def _frozen() -> Select[Any]:
    reserve = literal("dispute_reserve:").concat(earnings.c.payee)
    return _side(earnings, reserve, _FROZEN).where(_POSITION > 0, earnings.c.disputed_minor > 0)


def _debts() -> Select[Any]:
    return _side(earnings, literal("host_debt:").concat(earnings.c.payee), _POSITION).where(_POSITION < 0)


def _being_sent() -> Select[Any]:
    """Asked for, and not booked before it is known to be sent."""
    booked = exists().where(transfers.c.id == literal("payout:").concat(payouts.c.id))
    name = literal("earned_available:").concat(payouts.c.payee)
    return _side(payouts, name, payouts.c.amount_minor).where(and_(payouts.c.state == "asked", ~booked))


def _kept() -> Select[Any]:
    name = balances.c.name
    ours = or_(*(name.startswith(prefix, autoescape=True) for prefix in _ACCOUNTS))
    return _side(balances, name, balances.c.debits_minor - balances.c.credits_minor).where(ours)
