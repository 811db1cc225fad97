"""The ledger's invariants over everything stored, found by the database: nothing but what is wrong is read into memory.

Each set of books (mode and Stripe account) is on its own. Row by row a transfer is what `metering.ledger` would have
booked; over all rows, kept balances are what the transfers come to, entries sum to zero, and no account that owes
somebody is below zero.
"""

from typing import Any, Literal

from sqlalchemy import ColumnElement, Select, and_, func, literal, not_, or_, select, union_all

from metering.accounts import OWING
from metering.currencies import CURRENCIES
from metering.ledger import MAX_TRANSFER_MINOR, RELEASES, RESOLVES
from signaling.stores.database import Transaction
from signaling.stores.ledger import is_open_hold
from signaling.stores.schema import balances, transfers

SENTENCES_MAX = 100  # of one kind
_SUMS = ("debits_minor", "credits_minor", "debits_held_minor", "credits_held_minor")

Sentence = tuple[str, str]  # of which books, what


async def ledger_faults(tx: Transaction) -> list[Sentence]:
    """Empty when the books hold."""
    return [
        *await _impossible(tx),
        *await _unlike_their_hold(tx),
        *await _kept_wrong(tx),
        *await _below_zero(tx),
        *await _unbalanced(tx),
    ]


async def _rows(tx: Transaction, query: Select[Any]) -> list[Any]:
    return list((await tx.execute(query.limit(SENTENCES_MAX))).all())


def _books(row: Any) -> str:
    return f"{row.mode}/{row.account}"


async def _impossible(tx: Transaction) -> list[Sentence]:
    """What can never be booked by itself."""
    one = transfers.c
    releases, resolves = one.kind.in_(RELEASES), one.kind.in_(RESOLVES)
    faults: tuple[tuple[str, ColumnElement[bool]], ...] = (
        ("no such currency", one.currency.not_in(sorted(CURRENCIES))),
        ("an account against itself", one.debit == one.credit),
        ("its amount", and_(not_(releases), not_(one.amount_minor.between(1, MAX_TRANSFER_MINOR)))),
        ("its amount", and_(releases, one.amount_minor != 0)),
        ("only a hold expires", and_(one.kind != "hold", one.expires_at_s.is_not(None))),
        ("only post, void and expire resolve a hold", resolves != one.pending_id.is_not(None)),
        ("no such kind", one.kind.not_in(["single", "hold", *RESOLVES])),
    )
    return [
        (_books(row), f"transfer {row.id}: {fault}")
        for fault, where in faults
        for row in await _rows(tx, select(one.id, one.mode, one.account).where(where))
    ]


async def _unlike_their_hold(tx: Transaction) -> list[Sentence]:
    """Posts, voids and expiries of no hold, of another's accounts, or above it."""
    one, hold = transfers.c, transfers.alias("hold")
    unlike = or_(
        hold.c.id.is_(None),
        hold.c.kind != "hold",
        hold.c.debit != one.debit,
        hold.c.credit != one.credit,
        hold.c.currency != one.currency,
        hold.c.mode != one.mode,
        hold.c.account != one.account,
        hold.c.amount_minor < one.amount_minor,
    )
    joined = transfers.outerjoin(hold, hold.c.id == one.pending_id)
    query = select(one.id, one.mode, one.account).select_from(joined)
    return [
        (_books(row), f"transfer {row.id}: not like the hold that it resolves")
        for row in await _rows(tx, query.where(one.pending_id.is_not(None), unlike))
    ]


async def _kept_wrong(tx: Transaction) -> list[Sentence]:
    """Balances that are kept as another sum than their transfers'."""
    sides = union_all(
        _side("debit", "debits_minor"),
        _side("credit", "credits_minor"),
        _side("debit", "debits_held_minor"),
        _side("credit", "credits_held_minor"),
        select(*_key(balances.c.name), *((-balances.c[column]).label(column) for column in _SUMS)),
    ).subquery()
    key = (sides.c.mode, sides.c.account, sides.c.name, sides.c.currency)
    sums = [func.sum(sides.c[column]) for column in _SUMS]
    query = select(*key, *sums).group_by(*key).having(or_(*(total != 0 for total in sums)))
    return [
        (_books(row), f"{row.name} in {row.currency} is off its transfers by {[int(off) for off in row[4:]]}")
        for row in await _rows(tx, query)
    ]


def _key(name: Any) -> list[Any]:
    table = name.table
    return [table.c.mode, table.c.account, name.label("name"), table.c.currency]


def _side(side: Literal["debit", "credit"], column: str) -> Select[Any]:
    """What the transfers add to one of the four sums of each account."""
    values = [(transfers.c.amount_minor if name == column else literal(0)).label(name) for name in _SUMS]
    counts = is_open_hold() if "held" in column else transfers.c.kind != "hold"
    return select(*_key(transfers.c[side]), *values).where(counts)


async def _below_zero(tx: Transaction) -> list[Sentence]:
    """Accounts that owe somebody, and have less than nothing left, open holds counted."""
    left = balances.c.credits_minor - balances.c.debits_minor - balances.c.debits_held_minor
    owes = or_(*(balances.c.name.startswith(f"{kind}:", autoescape=True) for kind in sorted(OWING)))
    query = select(*_key(balances.c.name), left.label("left_minor")).where(left < 0, owes)
    return [
        (_books(row), f"{row.name} in {row.currency} has {row.left_minor}") for row in await _rows(tx, query)
    ]


async def _unbalanced(tx: Transaction) -> list[Sentence]:
    key = (balances.c.mode, balances.c.account, balances.c.currency)
    total = func.sum(balances.c.debits_minor - balances.c.credits_minor)
    return [
        (_books(row), f"entries in {row.currency} sum to {int(row.minor)}")
        for row in await _rows(tx, select(*key, total.label("minor")).group_by(*key).having(total != 0))
    ]
