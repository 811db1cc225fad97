"""Rows of rooms: making them, who owns them, whether their host is live."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import RowMapping, and_, bindparam, case, exists, func, or_, select, update

from signaling.stores.database import Transaction
from signaling.stores.schema import earnings as sales
from signaling.stores.schema import invoices, orders, passes, rooms, runs, subscriptions
from signaling.stores.shelf import EVERYTHING, Shelf


@dataclass(frozen=True, slots=True)
class Room:
    """A row of `rooms`. `host_key_hash` stays out of the representation."""

    id: str
    slug: str
    mode: str
    account: str
    title: str
    description: str
    host_name: str
    tariff: dict[str, Any]
    currency: str
    privacy: str
    capacity: int
    max_seconds: int | None
    terms_url: str | None
    terms_version: str | None
    state: str
    locked: bool
    run_id: str | None
    epoch: int
    live: bool
    away_since_s: int | None
    owner_id: str | None
    sold: bool


def _room(row: RowMapping) -> Room:
    return Room(**{name: row[name] for name in Room.__slots__})


async def insert_room(tx: Transaction, values: Mapping[str, Any]) -> None:
    await tx.execute(rooms.insert().values(**values))


async def by_slug(tx: Transaction, slug: str) -> Room | None:
    row = (await tx.execute(select(rooms).where(rooms.c.slug == slug))).mappings().first()
    return _room(row) if row else None


_BY_ID = select(rooms).where(rooms.c.id == bindparam("key"))
_MARK_SOLD = update(rooms).where(rooms.c.id == bindparam("key"), ~rooms.c.sold).values(sold=True)


async def by_id(tx: Transaction, room_id: str) -> Room | None:
    row = (await tx.execute(_BY_ID, {"key": room_id})).mappings().first()
    return _room(row) if row else None


async def rooms_of_owner(
    tx: Transaction,
    owner_id: str,
    *,
    before: str | None = None,
    limit: int = 50,
    shelf: Shelf = EVERYTHING,
) -> list[tuple[Room, str]]:
    """A person's rooms with when they were opened, the newest first; `before`: the id of the last one of the page
    before."""
    query = select(rooms).where(rooms.c.owner_id == owner_id, shelf.rows(rooms))
    if before is not None:
        last = select(rooms.c.created_at).where(rooms.c.id == before).scalar_subquery()
        same = and_(rooms.c.created_at == last, rooms.c.id < before)
        query = query.where(or_(rooms.c.created_at < last, same))
    found = await tx.execute(query.order_by(rooms.c.created_at.desc(), rooms.c.id.desc()).limit(limit))
    return [(_room(row), row["created_at"]) for row in found.mappings()]


async def host_key_hash(tx: Transaction, room_id: str) -> str | None:
    return (await tx.execute(select(rooms.c.host_key_hash).where(rooms.c.id == room_id))).scalar()


async def claim_room(tx: Transaction, room_id: str, user_id: str) -> bool:
    """A room of nobody becomes this person's; false when it was somebody's."""
    done = await tx.execute(
        update(rooms).where(rooms.c.id == room_id, rooms.c.owner_id.is_(None)).values(owner_id=user_id)
    )
    return done.rowcount == 1


async def replace_host_key(tx: Transaction, room_id: str, new_hash: str) -> None:
    """The caller has checked in this transaction whose room it is."""
    await tx.execute(update(rooms).where(rooms.c.id == room_id).values(host_key_hash=new_hash))


async def claim(tx: Transaction, room_id: str, run_id: str) -> bool:
    """Make `run_id` the one that forwards this room, unless another live run does. True when it is (now) ours."""
    other_is_live = exists().where(runs.c.id == rooms.c.run_id, runs.c.state == "live")
    free = or_(rooms.c.run_id.is_(None), rooms.c.run_id == run_id, ~other_is_live)
    done = await tx.execute(
        update(rooms).where(rooms.c.id == room_id, free).values(run_id=run_id, epoch=rooms.c.epoch + 1)
    )
    return done.rowcount == 1


async def set_live(tx: Transaction, room_id: str, run_id: str, live: bool, now_s: int) -> bool:
    """By the owning run alone; false when the room is another's."""
    done = await tx.execute(
        update(rooms)
        .where(rooms.c.id == room_id, rooms.c.run_id == run_id)
        .values(live=live, away_since_s=None if live else now_s)
    )
    return done.rowcount == 1


async def set_locked(tx: Transaction, room_id: str, locked: bool) -> None:
    await tx.execute(update(rooms).where(rooms.c.id == room_id).values(locked=locked))


async def close_room(tx: Transaction, room_id: str, now_s: int, now_text: str) -> bool:
    """True when it was open."""
    done = await tx.execute(
        update(rooms)
        .where(rooms.c.id == room_id, rooms.c.state == "open")
        .values(
            state="closed",
            closed_at=now_text,
            live=False,
            away_since_s=func.coalesce(rooms.c.away_since_s, now_s),
        )
    )
    return done.rowcount == 1


async def mark_sold(tx: Transaction, room_id: str) -> None:
    """From now on its currency stays."""
    await tx.execute(_MARK_SOLD, {"key": room_id})


async def edit_room(tx: Transaction, room_id: str, values: Mapping[str, Any]) -> None:
    """What its host changes about it; that this may be is decided in the same transaction."""
    await tx.execute(update(rooms).where(rooms.c.id == room_id).values(**values))


async def is_being_paid(tx: Transaction, room_id: str) -> bool:
    """Whether an order of this room may still be paid: it would be in the currency that it was made in."""
    query = exists().where(orders.c.room_id == room_id, orders.c.state.in_(("new", "open")))
    return bool((await tx.execute(select(query))).scalar_one())


async def usable_passes(tx: Transaction, room_id: str) -> list[str]:
    query = select(passes.c.id).where(passes.c.room_id == room_id, passes.c.state.in_(("waiting", "active")))
    return list((await tx.execute(query)).scalars())


@dataclass(frozen=True, slots=True)
class Earnings:
    """What came in for one room, what went back (refunds and lost disputes), how many passes were sold, and what of the rest
    is kept for the platform and for tax."""

    gross_minor: int
    refunded_minor: int
    payers: int
    fees_minor: int = 0

    @property
    def net_minor(self) -> int:
        """The host's."""
        return self.gross_minor - self.refunded_minor - self.fees_minor


async def earnings(tx: Transaction, room_id: str) -> Earnings:
    # What is paid for by use is earned when it is charged, not when it is held.
    by_use = orders.c.funding.in_(("metered", "wallet"))
    billed = (
        select(func.coalesce(func.sum(invoices.c.amount_minor), 0))
        .join(subscriptions, subscriptions.c.id == invoices.c.subscription_id)
        .where(subscriptions.c.order_id == orders.c.id)
        .scalar_subquery()
    )
    earned = case(
        (by_use, func.coalesce(orders.c.charged_minor, 0)),
        (orders.c.funding == "subscription", billed),
        else_=orders.c.amount_minor,
    )
    query = select(
        func.coalesce(func.sum(earned), 0),
        func.coalesce(func.sum(orders.c.refunded_minor + orders.c.lost_minor), 0),
        func.count().filter(orders.c.extends_pass_id.is_(None)),
    ).where(orders.c.room_id == room_id, orders.c.granted)
    gross, refunded, payers = (await tx.execute(query)).one()
    booked = select(
        func.coalesce(func.sum(sales.c.gross_minor - sales.c.net_minor), 0),
        func.coalesce(func.sum(sales.c.reversed_minor), 0),
    ).where(sales.c.room_id == room_id)
    kept, reversed_minor = (await tx.execute(booked)).one()
    # Of what went back, what the host does not bear is the fee's and tax's part.
    fees_minor = max(0, int(kept) - max(0, int(refunded) - int(reversed_minor)))
    return Earnings(int(gross), int(refunded), int(payers), fees_minor)
