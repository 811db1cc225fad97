"""Transfers and balances on disk: the rules are `metering.ledger`'s, uniqueness and limits the tables'.

Balances are kept with each transfer in its transaction. What an account that owes somebody is debited with is taken by
one conditional UPDATE, so that spends at the same time never overdraw it, whatever the isolation of the database.
"""

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Select,
    and_,
    bindparam,
    exists,
    func,
    literal_column,
    or_,
    select,
    update,
)
from sqlalchemy.dialects import postgresql, sqlite

from metering.errors import MeterError
from metering.ledger import (
    RESOLVES,
    AccountKey,
    Balance,
    Posted,
    Transfer,
    changes,
    expiry,
    overdraws,
    posting,
    refuse_doubles,
    voiding,
)
from signaling.stores.database import Transaction
from signaling.stores.schema import balances, transfers
from signaling.stores.shelf import EVERYTHING, Shelf
from signaling.stores.statements import insert_once

_FIELDS = (
    "id",
    "debit",
    "credit",
    "amount_minor",
    "currency",
    "code",
    "kind",
    "pending_id",
    "expires_at_s",
)
_SUMS = ("debits_minor", "credits_minor", "debits_held_minor", "credits_held_minor")


@dataclass(frozen=True, slots=True)
class Entry:
    """A transfer and whose books it is in; `subject_id` is what it is about (of a sale, its order)."""

    transfer: Transfer
    mode: str
    account: str
    subject_id: str


class BooksRaceError(RuntimeError):
    """Another transaction booked the same at the same time, on a database that let it: nothing is committed."""


class BooksError(RuntimeError):
    """The ledger refuses: it holds another transfer under the same id, or has too little. Our fault, nothing is applied."""


async def post_all(tx: Transaction, entries: Sequence[Entry], created_at: str) -> Posted:
    """Books all of them, or none; `metering.ledger.post_all` says what the answers mean. They are of one set of books.
    Unless the answer is `created`, nothing was written. Raises MeterError for what can never be booked.
    """
    if not entries:
        return "created"
    books = _books(entries)
    refuse_doubles([entry.transfer for entry in entries])
    answer = await _known(tx, entries)
    if answer is not None:
        return answer
    changed = changes([entry.transfer for entry in entries], await _holds(tx, books, entries))
    if not await _spend(tx, books, changed):
        return "exceeds"
    for entry in entries:
        if not await insert_once(tx, transfers, _values(entry) | {"created_at": created_at}):
            raise BooksRaceError(f"transfer {entry.transfer.id}")
    await _mark_resolved(tx, entries)
    await _add(tx, books, {key: change for key, change in changed.items() if not overdraws(key[0], change)})
    return "created"


async def require_posted(tx: Transaction, entries: Sequence[Entry], created_at: str) -> None:
    """`post_all`; a repeat is fine. Raises BooksError for every other answer."""
    posted = await post_all(tx, entries, created_at)
    if posted not in {"created", "exists"}:
        raise BooksError(f"{posted}: {[entry.transfer.id for entry in entries]}")


async def post_transfer(tx: Transaction, entry: Entry, created_at: str) -> Posted:
    """`post_all` of one."""
    return await post_all(tx, (entry,), created_at)


# --- holds ------------------------------------------------------------------------------------------------


async def post_hold(
    tx: Transaction, hold_id: str, amount_minor: int, created_at: str, *, transfer_id: str
) -> Posted:
    """So much of a hold moves, the rest is released; nothing of it: a void. Raises MeterError for no such hold."""
    hold = await _hold(tx, hold_id)
    resolving = posting(hold.transfer, amount_minor, transfer_id)
    return await post_transfer(tx, _like(hold, resolving), created_at)


async def void_hold(tx: Transaction, hold_id: str, created_at: str, *, transfer_id: str) -> Posted:
    """All of a hold is released. Raises MeterError for no such hold."""
    hold = await _hold(tx, hold_id)
    return await post_transfer(tx, _like(hold, voiding(hold.transfer, transfer_id)), created_at)


async def open_holds(tx: Transaction, subject_id: str, code: str) -> list[Entry]:
    """Of one code about one subject, the oldest first."""
    mine = select(transfers).where(
        transfers.c.subject_id == subject_id, transfers.c.code == code, is_open_hold()
    )
    rows = await tx.execute(mine.order_by(transfers.c.created_at, transfers.c.id))
    return [_entry(dict(row)) for row in rows.mappings()]


async def lapsed_holds(
    tx: Transaction, now_s: int, limit: int = 100, shelf: Shelf = EVERYTHING
) -> list[Entry]:
    """Open holds whose time is over, the first to run out first."""
    # In the words of the partial index `transfers_expires`.
    is_open = and_(transfers.c.kind == literal_column("'hold'"), ~transfers.c.resolved)
    due = select(transfers).where(
        transfers.c.expires_at_s <= now_s, is_open, is_open_hold(), shelf.rows(transfers)
    )
    rows = await tx.execute(due.order_by(transfers.c.expires_at_s).limit(limit))
    return [_entry(dict(row)) for row in rows.mappings()]


async def expire_holds(
    tx: Transaction, now_s: int, created_at: str, limit: int = 100, shelf: Shelf = EVERYTHING
) -> list[str]:
    """Releases open holds whose time is over; their ids."""
    holds = await lapsed_holds(tx, now_s, limit, shelf)
    for hold in holds:
        await post_transfer(tx, _like(hold, expiry(hold.transfer)), created_at)
    return [hold.transfer.id for hold in holds]


def is_open_hold() -> ColumnElement[bool]:
    """Of a row of `transfers`: a hold that nothing resolved yet."""
    resolving = transfers.alias("resolving")
    return and_(transfers.c.kind == "hold", ~exists().where(resolving.c.pending_id == transfers.c.id))


async def _hold(tx: Transaction, hold_id: str) -> Entry:
    found = await find(tx, hold_id)
    if found is None or found.transfer.kind != "hold":
        raise MeterError(f"no such hold: {hold_id}")
    return found


def _like(hold: Entry, transfer: Transfer) -> Entry:
    return Entry(transfer, hold.mode, hold.account, hold.subject_id)


# --- reading ----------------------------------------------------------------------------------------------


async def find(tx: Transaction, transfer_id: str) -> Entry | None:
    row = (await tx.execute(select(transfers).where(transfers.c.id == transfer_id))).mappings().first()
    return None if row is None else _entry(dict(row))


async def balance(tx: Transaction, mode: str, account: str, name: str, currency: str) -> Balance:
    """Of the ledger's account `name` in the books of that mode and Stripe account."""
    where = _is_account((mode, account), (name, currency))
    row = (await tx.execute(select(*(balances.c[column] for column in _SUMS)).where(where))).first()
    return Balance() if row is None else Balance(*row)


async def available_minor(tx: Transaction, mode: str, account: str, name: str, currency: str) -> int:
    """What an account that owes somebody can still be debited with, open holds counted."""
    return (await balance(tx, mode, account, name, currency)).available_minor


async def entries(tx: Transaction) -> list[Entry]:
    """All of them, in no particular order. For tests: a long life's books do not fit in memory."""
    return [entry async for entry in stream(tx, select(transfers))]


async def stream(tx: Transaction, query: Select[Any]) -> AsyncIterator[Entry]:
    """The rows of a query on `transfers`, a few at a time."""
    async with tx.stream(query) as rows:
        async for row in rows.mappings():
            yield _entry(dict(row))


async def moved_minor(tx: Transaction, subject_id: str, code: str) -> int:
    """Sum of what the transfers of one code about one subject moved."""
    query = select(func.coalesce(func.sum(transfers.c.amount_minor), 0)).where(
        transfers.c.subject_id == subject_id, transfers.c.code == code
    )
    return int((await tx.execute(query)).scalar_one())


async def ids_of(tx: Transaction, subject_id: str, code: str) -> list[str]:
    """Of the transfers of one code about one subject."""
    query = select(transfers.c.id).where(transfers.c.subject_id == subject_id, transfers.c.code == code)
    return [row.id for row in await tx.execute(query)]


def _entry(row: Mapping[str, Any]) -> Entry:
    transfer = Transfer(**{name: row[name] for name in _FIELDS})
    return Entry(transfer, row["mode"], row["account"], row["subject_id"])


# --- how it is booked -------------------------------------------------------------------------------------

_Books = tuple[str, str]  # mode, Stripe account


def _books(given: Sequence[Entry]) -> _Books:
    found = {(entry.mode, entry.account) for entry in given}
    if len(found) != 1:
        raise MeterError(f"one booking in several sets of books: {sorted(found)}")
    return found.pop()


def _values(entry: Entry) -> dict[str, Any]:
    values = {name: getattr(entry.transfer, name) for name in _FIELDS}
    return values | {"mode": entry.mode, "account": entry.account, "subject_id": entry.subject_id}


async def _known(tx: Transaction, given: Sequence[Entry]) -> Posted | None:
    """What is booked already decides the answer; None: nothing of it is."""
    ids = [entry.transfer.id for entry in given]
    pending = [entry.transfer.pending_id for entry in given if entry.transfer.pending_id]
    query = select(transfers).where(or_(transfers.c.id.in_(ids), transfers.c.pending_id.in_(pending)))
    rows = [_entry(dict(row)) for row in (await tx.execute(query)).mappings()]
    booked = {entry.transfer.id: entry for entry in rows}
    known = [booked.get(name) for name in ids]
    if any(known):
        return "exists" if known == list(given) else "exists_different"
    return "resolved" if rows else None


async def _mark_resolved(tx: Transaction, given: Sequence[Entry]) -> None:
    rows = [{"key": entry.transfer.pending_id} for entry in given if entry.transfer.kind in RESOLVES]
    if rows:
        await tx.execute(_RESOLVED, rows)


_RESOLVED = update(transfers).where(transfers.c.id == bindparam("key")).values(resolved=True)


async def _holds(tx: Transaction, books: _Books, given: Sequence[Entry]) -> dict[str, Transfer]:
    """The holds that these resolve, of the same books, stored or among them."""
    found = {entry.transfer.id: entry.transfer for entry in given}
    wanted = {
        entry.transfer.pending_id
        for entry in given
        if entry.transfer.kind in RESOLVES and entry.transfer.pending_id not in found
    }
    if wanted:
        query = select(transfers).where(transfers.c.id.in_(wanted), _is_of(transfers, books))
        rows = (await tx.execute(query)).mappings()
        found |= {row["id"]: _entry(dict(row)).transfer for row in rows}
    return found


async def _spend(tx: Transaction, books: _Books, changed: Mapping[AccountKey, Balance]) -> bool:
    """Takes from accounts that must have it; False when one has too little, and then none is changed."""
    taken: list[tuple[AccountKey, Balance]] = []
    for key in sorted(changed):  # in one order everywhere, so that two bookings do not wait for each other
        change = changed[key]
        if not overdraws(key[0], change):
            continue
        if not await _take(tx, books, key, change):
            for done, by in taken:
                await _change(tx, books, done, -by)
            return False
        taken.append((key, change))
    return True


async def _take(tx: Transaction, books: _Books, key: AccountKey, change: Balance) -> bool:
    is_there = (
        balances.c.credits_minor - balances.c.debits_minor - balances.c.debits_held_minor
        >= -change.available_minor
    )
    return await _change(tx, books, key, change, is_there)


async def _change(
    tx: Transaction, books: _Books, key: AccountKey, change: Balance, *conditions: ColumnElement[bool]
) -> bool:
    sums = {column: balances.c[column] + getattr(change, column) for column in _SUMS}
    statement = update(balances).where(_is_account(books, key), *conditions).values(sums)
    return (await tx.execute(statement)).rowcount == 1


async def _add(tx: Transaction, books: _Books, changed: Mapping[AccountKey, Balance]) -> None:
    """To accounts without a limit, or in the direction that has none: they are made where they are new."""
    if not changed:
        return
    mode, account = books
    rows = [
        {"mode": mode, "account": account, "name": name, "currency": currency}
        | {column: getattr(changed[name, currency], column) for column in _SUMS}
        for name, currency in sorted(changed)
    ]
    await tx.execute(_adding(tx.dialect.name), rows)


@cache
def _adding(dialect: str) -> Any:
    """One statement for any number of rows: with all of them spelled out it would be compiled anew each time."""
    statement = (sqlite.insert if dialect == "sqlite" else postgresql.insert)(balances)
    sums = {column: balances.c[column] + statement.excluded[column] for column in _SUMS}
    keys = ["mode", "account", "name", "currency"]
    return statement.on_conflict_do_update(index_elements=keys, set_=sums)


def _is_of(table: Any, books: _Books) -> ColumnElement[bool]:
    return and_(table.c.mode == books[0], table.c.account == books[1])


def _is_account(books: _Books, key: AccountKey) -> ColumnElement[bool]:
    return and_(_is_of(balances, books), balances.c.name == key[0], balances.c.currency == key[1])
