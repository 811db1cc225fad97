"""Which rows one set of keys looks after, where a server has two: its own books, and never the other's.

Rows that carry no books of their own (of the outbox, calls, refunds) are in those of their subject.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, and_, exists, or_, select, true

from signaling.stores.database import Transaction
from signaling.stores.schema import (
    earnings,
    inbox,
    invoices,
    orders,
    passes,
    payouts,
    subscriptions,
    windows,
)

Books = tuple[str, str]  # mode, Stripe account
# What a subject's id may be of; each has its books.
_SUBJECTS = (orders, windows, payouts, passes, earnings, subscriptions)


@dataclass(frozen=True, slots=True)
class Shelf:
    """`own`: of this set of keys; `beside`: of the others of this server. The main set also looks after what is in the
    books of none of them (as a server alone does with everything)."""

    own: Books
    beside: tuple[Books, ...] = ()
    main: bool = True

    def holds(self, mode: str, account: str) -> bool:
        """Whether a row of these books is ours to touch."""
        return (mode, account) == self.own or (self.main and (mode, account) not in self.beside)

    def rows(self, table: Any) -> ColumnElement[bool]:
        """Of a table that carries its books."""
        return self._choose(lambda books: _in(table, books))

    def about(self, subject_id: ColumnElement[Any]) -> ColumnElement[bool]:
        """Of a table without books: by the row's subject."""
        return self._choose(lambda books: _is_about(subject_id, books))

    def heard(self) -> ColumnElement[bool]:
        """Of `inbox`, by mode alone: an event about a connected account names that one."""
        return self._choose(lambda books: inbox.c.mode == books[0])

    def put_aside(self, event_id: ColumnElement[Any], subject_id: ColumnElement[Any]) -> ColumnElement[bool]:
        """Of `quarantine`: by the event it was, or by its subject."""

        def of(books: Books) -> ColumnElement[bool]:
            heard = exists().where(inbox.c.event_id == event_id, inbox.c.mode == books[0])
            return or_(heard, _is_about(subject_id, books))

        return self._choose(of)

    def _choose(self, of: Callable[[Books], ColumnElement[bool]]) -> ColumnElement[bool]:
        if not self.main:
            return of(self.own)
        return and_(true(), *(~of(books) for books in self.beside))


EVERYTHING = Shelf(("", ""))


def _in(table: Any, books: Books) -> ColumnElement[bool]:
    return and_(table.c.mode == books[0], table.c.account == books[1])


def _is_about(subject_id: ColumnElement[Any], books: Books) -> ColumnElement[bool]:
    found = [exists().where(table.c.id == subject_id, _in(table, books)) for table in _SUBJECTS]
    billed = select(subscriptions.c.id).where(_in(subscriptions, books))
    found.append(exists().where(invoices.c.id == subject_id, invoices.c.subscription_id.in_(billed)))
    return or_(*found)


async def passes_held(tx: Transaction, shelf: Shelf, pass_ids: list[str]) -> set[str]:
    """Those of them that are in the shelf's books."""
    if not pass_ids:
        return set()
    query = select(passes.c.id).where(passes.c.id.in_(pass_ids), shelf.rows(passes))
    return {row.id for row in await tx.execute(query)}


async def books_of(tx: Transaction, table: Any, column: str, value: str) -> Books | None:
    """The books of the row with that value; None without one."""
    query = select(table.c.mode, table.c.account).where(table.c[column] == value)
    row = (await tx.execute(query.limit(1))).first()
    return None if row is None else (row.mode, row.account)
