"""What hosts see of their money: sums for each currency, and their sales with the room that each was made in."""

from dataclasses import dataclass, fields
from typing import Any

from sqlalchemy import ColumnElement, Select, and_, case, exists, func, or_, select

from signaling.stores.database import Transaction
from signaling.stores.earnings import Earning
from signaling.stores.schema import earnings, payouts, rooms

_POSITION = (
    earnings.c.net_minor - earnings.c.reversed_minor - earnings.c.paid_minor - earnings.c.withheld_minor
)
_OWED = case((_POSITION > 0, _POSITION), else_=0)
_FROZEN = case((earnings.c.disputed_minor > _OWED, _OWED), else_=earnings.c.disputed_minor)


@dataclass(frozen=True, slots=True)
class Sums:
    """Of one currency, in minor units. `on_its_way`: asked for and not known to have arrived; part of neither `available`
    nor `paid`."""

    currency: str
    pending_minor: int
    available_minor: int
    disputed_minor: int
    on_its_way_minor: int
    paid_minor: int
    debt_minor: int


@dataclass(frozen=True, slots=True)
class Sale:
    """One earning, and where it was made. `room_slug` None: in no room."""

    earning: Earning
    room_title: str | None
    room_slug: str | None
    is_on_its_way: bool


def _of(payee: str, mode: str, account: str) -> ColumnElement[bool]:
    return and_(earnings.c.payee == payee, earnings.c.mode == mode, earnings.c.account == account)


async def sums(tx: Transaction, payee: str, mode: str, account: str) -> list[Sums]:
    """By currency code."""

    def total(value: Any) -> Any:
        return func.coalesce(func.sum(value), 0)

    def owed(state: str) -> Any:
        return total(case((earnings.c.state == state, _OWED - _FROZEN), else_=0))

    asked = (
        select(total(payouts.c.amount_minor))
        .where(
            payouts.c.payee == payee,
            payouts.c.mode == mode,
            payouts.c.account == account,
            payouts.c.state == "asked",
            payouts.c.currency == earnings.c.currency,
        )
        .correlate(earnings)
        .scalar_subquery()
    )
    query = (
        select(
            earnings.c.currency,
            owed("pending"),
            owed("available"),
            total(_FROZEN),
            asked,
            total(earnings.c.paid_minor),
            total(case((_POSITION < 0, -_POSITION), else_=0)),
        )
        .where(_of(payee, mode, account))
        .group_by(earnings.c.currency)
        .order_by(earnings.c.currency)
    )
    found = [Sums(row[0], *(int(value) for value in row[1:])) for row in await tx.execute(query)]
    return [
        Sums(
            one.currency,
            one.pending_minor,
            one.available_minor,
            one.disputed_minor,
            one.on_its_way_minor,
            one.paid_minor - one.on_its_way_minor,
            one.debt_minor,
        )
        for one in found
    ]


def _sales(payee: str, mode: str, account: str) -> Select[Any]:
    on_its_way = exists().where(payouts.c.earning_id == earnings.c.id, payouts.c.state == "asked")
    columns = [earnings.c[field.name] for field in fields(Earning)]
    return (
        select(*columns, rooms.c.title.label("room_title"), rooms.c.slug, on_its_way.label("on_its_way"))
        .outerjoin(rooms, rooms.c.id == earnings.c.room_id)
        .where(_of(payee, mode, account))
        .order_by(earnings.c.created_at_s.desc(), earnings.c.id.desc())
    )


def _sale(row: Any) -> Sale:
    values = dict(row._mapping)  # noqa: SLF001 - SQLAlchemy's documented name
    title, slug, on_its_way = (values.pop(name) for name in ("room_title", "slug", "on_its_way"))
    return Sale(Earning(**values), title, slug, bool(on_its_way))


async def sales(
    tx: Transaction, payee: str, mode: str, account: str, *, before: str | None = None, limit: int = 50
) -> list[Sale]:
    """Newest first; `before`: the id of the last one of the page before."""
    query = _sales(payee, mode, account)
    if before is not None:
        last = select(earnings.c.created_at_s).where(earnings.c.id == before).scalar_subquery()
        older = and_(earnings.c.created_at_s == last, earnings.c.id < before)
        query = query.where(or_(earnings.c.created_at_s < last, older))
    return [_sale(row) for row in await tx.execute(query.limit(limit))]
