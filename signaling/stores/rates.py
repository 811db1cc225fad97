"""Rates and terms as rows, and what of them holds for a room. Each set of books has its own."""

from dataclasses import dataclass
from typing import Any

from sqlalchemy import and_, delete, or_, select

from metering.rates import Figures, Place, Scope, bounded, complete_tariff, resolve
from metering.tariff import Tariff, parse_tariff
from signaling.stores.database import Transaction
from signaling.stores.rooms import Room
from signaling.stores.schema import rates, users
from signaling.stores.statements import put

_KEY = ("mode", "account", "scope", "subject")


@dataclass(frozen=True, slots=True)
class BooksOf:
    """A mode and a Stripe account: never mixed."""

    mode: str
    account: str


@dataclass(frozen=True, slots=True)
class RatesRow:
    scope: Scope
    subject: str  # '' | role | user id | room id
    figures: dict[str, Any]
    updated_at: str


def _of(books: BooksOf) -> Any:
    return and_(rates.c.mode == books.mode, rates.c.account == books.account)


def _row(found: Any) -> RatesRow:
    return RatesRow(found.scope, found.subject, found.figures, found.updated_at)


async def set_rates(tx: Transaction, books: BooksOf, row: RatesRow) -> None:
    """Replaces what that place says. The figures are parsed (`metering.rates.parse_figures`)."""
    values = {
        "mode": books.mode,
        "account": books.account,
        "scope": row.scope,
        "subject": row.subject,
        "figures": row.figures,
        "updated_at": row.updated_at,
    }
    await put(tx, rates, _KEY, values)


async def clear_rates(tx: Transaction, books: BooksOf, scope: Scope, subject: str) -> bool:
    """False when that place said nothing."""
    at = and_(_of(books), rates.c.scope == scope, rates.c.subject == subject)
    return (await tx.execute(delete(rates).where(at))).rowcount == 1


async def rates_at(tx: Transaction, books: BooksOf, scope: Scope, subject: str) -> RatesRow | None:
    query = select(rates).where(_of(books), rates.c.scope == scope, rates.c.subject == subject)
    found = (await tx.execute(query)).first()
    return None if found is None else _row(found)


async def all_rates(tx: Transaction, books: BooksOf, limit: int = 500) -> list[RatesRow]:
    """Every place that says something; the default first."""
    found = await tx.execute(
        select(rates).where(_of(books)).order_by(rates.c.scope, rates.c.subject).limit(limit)
    )
    return [_row(row) for row in found]


async def figures_of(
    tx: Transaction,
    books: BooksOf,
    *,
    room_id: str | None = None,
    owner_id: str | None = None,
    currency: str | None = None,
) -> Figures:
    """What holds for that room of that host; None: no room yet, or one opened without an account."""
    role = None
    if owner_id is not None:
        role = (await tx.execute(select(users.c.role).where(users.c.id == owner_id))).scalar()
    subjects: dict[Scope, str | None] = {"default": "", "role": role, "user": owner_id, "room": room_id}
    here = [
        and_(rates.c.scope == scope, rates.c.subject == subject)
        for scope, subject in subjects.items()
        if subject is not None
    ]
    found = await tx.execute(select(rates).where(_of(books), or_(*here)))
    return resolve([Place(row.scope, row.subject, row.figures) for row in found], currency)


async def figures_of_room(tx: Transaction, room: Room) -> Figures:
    """What holds in that room, in its currency."""
    books = BooksOf(room.mode, room.account)
    return await figures_of(tx, books, room_id=room.id, owner_id=room.owner_id, currency=room.currency)


async def tariff_of_room(tx: Transaction, room: Room) -> Tariff:
    """What is sold there now: the room's tariff, what it leaves open taken from the rates, within the room's
    `max_seconds`. Raises metering.errors.RefusedError: `no_rate`, or what makes it unpayable."""
    completed = complete_tariff(room.tariff, await figures_of_room(tx, room))
    return parse_tariff(bounded(completed, room.max_seconds))


@dataclass(frozen=True, slots=True)
class Terms:
    """What a payer accepts; a new version asks again."""

    url: str | None
    version: str | None


async def terms_of_room(tx: Transaction, room: Room) -> Terms:
    """The room's own terms, where it names some, else those of the rates."""
    if room.terms_url is not None:
        return Terms(room.terms_url, room.terms_version)
    figures = await figures_of_room(tx, room)
    return Terms(figures.get("terms_url"), figures.get("terms_version"))
