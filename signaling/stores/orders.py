"""Orders: rows as plain data, and the lists that the sweeper looks for.

A seat is reserved while `reserved_until_s` is set: until its Checkout Session is known to be paid or expired, not
only until that second.
"""

from dataclasses import asdict, dataclass, fields
from typing import Any, Literal

from sqlalchemy import ColumnElement, Select, and_, bindparam, exists, func, or_, select, update

from metering.disputes import Dispute
from metering.orders import Mode, OrderSnapshot, OrderState
from signaling.ids import secret_matches
from signaling.notices import RoomChanged
from signaling.stores.database import Transaction
from signaling.stores.schema import orders, passes, rooms, sessions
from signaling.stores.shelf import EVERYTHING, Shelf
from signaling.stores.statements import insert_once

Purpose = Literal["access", "topup", "setup"]
# Where the time of an order and its pass comes from.
Funding = Literal["payment", "metered", "wallet", "subscription", "free"]

BY_USE = ("metered", "wallet")
# Instead of a form: the payer chose a card on file, or the wallet is topped up unasked.
ON_FILE_UI = ("card", "auto")
UNPAID = (OrderState.NEW, OrderState.OPEN)
PASS_ALIVE = ("waiting", "active")
_NOT_SUBSCRIBED = ("payment", "free", *BY_USE)  # fundings of passes


@dataclass(frozen=True, slots=True)
class Order:
    """One row of `orders`, column by column (see the schema)."""

    id: str
    room_id: str | None
    mode: Mode
    account: str
    state: OrderState
    request_hash: str
    secret_hash: str
    name: str
    tariff: dict[str, Any]
    title: str
    description: str
    seconds: int | None
    amount_minor: int
    currency: str
    ui: str
    created_at: str
    created_at_s: int
    link_hash: str | None = None
    email: str | None = None
    terms_url: str | None = None
    terms_version: str | None = None
    terms_accepted_at: str | None = None
    extends_pass_id: str | None = None
    checkout_session_id: str | None = None
    checkout_url: str | None = None
    client_secret: str | None = None
    payment_intent_id: str | None = None
    failure: str | None = None
    refunded_minor: int = 0
    dispute: Dispute = "none"
    lost_minor: int = 0
    quarantine_reason: str | None = None
    granted: bool = False
    granted_before_ms: int = 0
    access_ended: bool = False
    taken_ms: int = 0
    reserved_until_s: int | None = None
    waits: bool = False
    walked_away: bool = False
    paid_at: str | None = None
    paid_at_s: int | None = None
    purpose: Purpose = "access"
    funding: Funding = "payment"
    user_id: str | None = None
    payee: str | None = None
    list_minor: int | None = None
    discount_minor: int = 0
    fee_minor: int = 0
    fee_on_top_minor: int = 0
    tax_minor: int = 0
    promotion_id: str | None = None
    charged_minor: int | None = None
    capture_before_s: int | None = None
    goes_on: bool = False
    charge_id: str | None = None
    customer_id: str | None = None
    payment_method_id: str | None = None
    fingerprint: str | None = None

    @property
    def room(self) -> str:
        """The id of the room it is for. Only a top-up of a wallet is for none."""
        assert self.room_id is not None, "a top-up outside any room"
        return self.room_id

    @property
    def paid_minor(self) -> int | None:
        """What the payer paid: of time that is paid for by use, what was charged; None: not settled yet."""
        return self.charged_minor if self.funding in BY_USE else self.amount_minor

    @property
    def on_file(self) -> bool:
        """Paid with a card on file, by a PaymentIntent of its own instead of a Checkout Session."""
        return self.ui in ON_FILE_UI

    @property
    def payment_ref(self) -> str | None:
        """What the payment service is asked for to learn what has become of it; None while it is not known."""
        return self.payment_intent_id if self.on_file else self.checkout_session_id

    def opened_by(self, secret: str) -> bool:
        """Whether this is the order's secret, or the one in its link to another device. Constant-time."""
        return secret_matches(secret, self.secret_hash) or secret_matches(secret, self.link_hash)

    def seat_freed(self) -> tuple[RoomChanged, ...]:
        """To be told once an order no longer holds a seat. A top-up never held one."""
        return () if self.room_id is None else (RoomChanged(self.room_id),)

    def snapshot(self) -> OrderSnapshot:
        """What the rules of money look at."""
        return OrderSnapshot(
            order_id=self.id,
            state=self.state,
            amount_minor=self.amount_minor,
            currency=self.currency,
            mode=self.mode,
            account=self.account,
            seconds=self.seconds,
            extends_pass_id=self.extends_pass_id,
            checkout_session_id=self.checkout_session_id,
            refunded_minor=self.refunded_minor,
            dispute=self.dispute,
            lost_minor=self.lost_minor,
            granted=self.granted,
            granted_before_ms=self.granted_before_ms,
            paid_ms=None if self.paid_at_s is None else self.paid_at_s * 1000,
            quarantine_reason=self.quarantine_reason,
            by_use=self.funding in BY_USE,
            charged_minor=self.charged_minor,
        )


_COLUMNS = [orders.c[field.name] for field in fields(Order)]


def _order(row: Any) -> Order:
    values = dict(row._mapping)  # noqa: SLF001 - SQLAlchemy's documented name
    return Order(**values | {"state": OrderState(values["state"])})


async def _all(tx: Transaction, query: Select[Any]) -> list[Order]:
    return [_order(row) for row in await tx.execute(query)]


def pass_behind() -> ColumnElement[str]:
    """For statements about `orders`: the id of the pass that the order extends or granted. The alias and the explicit
    correlation keep it about that order inside a subquery about passes or sessions, too."""
    own = passes.alias("own_pass")
    granted = select(own.c.id).where(own.c.order_id == orders.c.id).correlate(orders).scalar_subquery()
    return func.coalesce(orders.c.extends_pass_id, granted)


async def insert_order(tx: Transaction, order: Order) -> bool:
    """False when an order of that id exists already."""
    return await insert_once(tx, orders, asdict(order) | {"state": order.state.value})


# Made once: to spell so many columns out costs more than to fetch them.
_BY_ID = select(*_COLUMNS).where(orders.c.id == bindparam("key"))
_BY_CHECKOUT = select(*_COLUMNS).where(orders.c.checkout_session_id == bindparam("key"))


async def get_order(tx: Transaction, order_id: str) -> Order | None:
    row = (await tx.execute(_BY_ID, {"key": order_id})).first()
    return None if row is None else _order(row)


async def get_opened(tx: Transaction, order_id: str, secret: str) -> Order | None:
    """The order, for whoever holds its secret; None alike for an unknown order and a wrong secret."""
    order = await get_order(tx, order_id)
    return order if order is not None and order.opened_by(secret) else None


async def update_order(tx: Transaction, order_id: str, **values: Any) -> None:
    if isinstance(values.get("state"), OrderState):
        values["state"] = values["state"].value
    await tx.execute(update(orders).where(orders.c.id == order_id).values(**values))


async def claim_order(tx: Transaction, order_id: str, user_id: str) -> bool:
    """An order of nobody becomes this person's, with the pass that it granted; false when it was somebody's."""
    done = await tx.execute(
        update(orders).where(orders.c.id == order_id, orders.c.user_id.is_(None)).values(user_id=user_id)
    )
    of_nobody = and_(passes.c.order_id == order_id, passes.c.user_id.is_(None))
    await tx.execute(update(passes).where(of_nobody).values(user_id=user_id))
    return done.rowcount == 1


async def give_payee(tx: Transaction, room_id: str, payee: str) -> None:
    """Whoever gets what is booked from now on of a room that had no owner. What was booked stays whose it was."""
    of_room = or_(orders.c.payee.is_(None), orders.c.payee == room_id)
    unsettled_use = and_(orders.c.funding.in_(BY_USE), orders.c.charged_minor.is_(None))
    to_come = or_(~orders.c.granted, unsettled_use, orders.c.funding == "subscription")
    await tx.execute(update(orders).where(orders.c.room_id == room_id, of_room, to_come).values(payee=payee))


async def find_by_checkout(tx: Transaction, checkout_session_id: str) -> Order | None:
    row = (await tx.execute(_BY_CHECKOUT, {"key": checkout_session_id})).first()
    return None if row is None else _order(row)


async def find_by_payment_intent(tx: Transaction, payment_intent_id: str) -> Order | None:
    found = await _all(tx, select(*_COLUMNS).where(orders.c.payment_intent_id == payment_intent_id))
    return found[0] if found else None


async def orders_of_pass(tx: Transaction, pass_id: str) -> list[Order]:
    """The order that granted the pass, then those that extended it, oldest first."""
    granting = select(passes.c.order_id).where(passes.c.id == pass_id)
    of_pass = or_(orders.c.id.in_(granting), orders.c.extends_pass_id == pass_id)
    query = select(*_COLUMNS).where(of_pass, orders.c.granted)
    return await _all(tx, query.order_by(orders.c.granted_before_ms, orders.c.created_at_s, orders.c.id))


async def seats_taken(tx: Transaction, room_id: str) -> int:
    """Seats of payers: unpaid orders that hold one, paid passes not yet used, and passes with an open session.

    An order holds its seat until its Checkout Session is known to be expired, not only until the reservation's end.
    A pass that was in the room before and is outside now holds none: it waits when it comes back to a full room.
    """
    reserving = select(func.count()).where(
        orders.c.room_id == room_id,
        orders.c.reserved_until_s.is_not(None),
        orders.c.extends_pass_id.is_(None),
    )
    inside = exists().where(sessions.c.pass_id == passes.c.id, sessions.c.ended_at.is_(None))
    been_inside = exists().where(sessions.c.pass_id == passes.c.id)
    fresh = and_(passes.c.state.in_(PASS_ALIVE), ~been_inside)
    holding = select(func.count()).where(passes.c.room_id == room_id, or_(inside, fresh))
    return int((await tx.execute(reserving)).scalar_one()) + int((await tx.execute(holding)).scalar_one())


async def sales_of_room(
    tx: Transaction, room_id: str, *, before: str | None = None, limit: int = 50
) -> list[Order]:
    """Purchases that were paid, the newest first; `before`: the id of the last one of the page before."""
    return await _page(
        tx, select(*_COLUMNS).where(orders.c.room_id == room_id, orders.c.granted), before, limit
    )


async def purchases_of(
    tx: Transaction, user_id: str, mode: str, account: str, *, before: str | None = None, limit: int = 50
) -> list[Order]:
    """What a person paid for (or got for nothing), the newest first; `before` as in `sales_of_room`."""
    mine = and_(orders.c.user_id == user_id, orders.c.mode == mode, orders.c.account == account)
    return await _page(tx, select(*_COLUMNS).where(mine, orders.c.granted), before, limit)


async def _page(tx: Transaction, query: Select[Any], before: str | None, limit: int) -> list[Order]:
    if before is not None:
        last = select(orders.c.created_at_s).where(orders.c.id == before).scalar_subquery()
        older = or_(orders.c.created_at_s < last, and_(orders.c.created_at_s == last, orders.c.id < before))
        query = query.where(older)
    return await _all(tx, query.order_by(orders.c.created_at_s.desc(), orders.c.id.desc()).limit(limit))


# --- what the sweeper looks for ---------------------------------------------------------------------------


async def later_orders(tx: Transaction, pass_id: str, order: Order, granted_before_ms: int) -> list[Order]:
    """Orders that extended the pass after that one, which had found so much granted. (Time taken off again can leave two
    that begin at the same place.)"""
    place = (granted_before_ms, order.paid_at or "")
    found = await orders_of_pass(tx, pass_id)
    return [
        one
        for one in found
        if one.extends_pass_id and one.id != order.id and (one.granted_before_ms, one.paid_at or "") > place
    ]


async def overdue_reservations(
    tx: Transaction, now_s: int, limit: int = 100, shelf: Shelf = EVERYTHING
) -> list[Order]:
    """Unpaid orders whose reservation ran out."""
    query = select(*_COLUMNS).where(
        orders.c.state.in_([state.value for state in UNPAID]),
        orders.c.reserved_until_s <= now_s,
        shelf.rows(orders),
    )
    return await _all(tx, query.order_by(orders.c.reserved_until_s).limit(limit))


async def unservable(
    tx: Transaction, away_before_s: int, limit: int = 100, shelf: Shelf = EVERYTHING
) -> list[Order]:
    """Unpaid orders of rooms that are closed, or whose host is away since before that second (add-time aside)."""
    away = and_(rooms.c.away_since_s <= away_before_s, orders.c.extends_pass_id.is_(None))
    query = (
        select(*_COLUMNS)
        .join(rooms, rooms.c.id == orders.c.room_id)
        .where(orders.c.state.in_([state.value for state in UNPAID]), or_(rooms.c.state == "closed", away))
        .where(shelf.rows(orders))
    )
    return await _all(tx, query.order_by(orders.c.created_at_s).limit(limit))


async def unserved(
    tx: Transaction, before_s: int, limit: int = 100, shelf: Shelf = EVERYTHING
) -> list[Order]:
    """Paid orders with access whose room is closed, or whose host is away since before that second."""
    gone = or_(
        rooms.c.state == "closed", and_(~rooms.c.live, rooms.c.away_since_s <= before_s, ~orders.c.waits)
    )
    # What is never due must not crowd out what is: an unlimited pass that was used, and what cost nothing.
    unused = or_(passes.c.granted_ms.is_not(None), passes.c.used_ms == 0)
    alive = and_(passes.c.state.in_(PASS_ALIVE), passes.c.funding.in_(_NOT_SUBSCRIBED), unused)
    # As text, so that no index is walked through all that was ever paid: the few passes that are alive lead there.
    kept = orders.c.state.concat("").in_([OrderState.PAID.value, OrderState.PARTLY_REFUNDED.value])
    query = (
        select(*_COLUMNS)
        .join(rooms, rooms.c.id == orders.c.room_id)
        .where(orders.c.granted, ~orders.c.access_ended, orders.c.amount_minor > 0, kept, gone, alive)
        .where(orders.c.funding.not_in((*BY_USE, "subscription")))  # not bought by the hour
        .where(shelf.rows(orders))
        .order_by(orders.c.paid_at_s)
        .limit(limit)
    )
    # As pass_behind has it.
    granting = query.join(passes, passes.c.order_id == orders.c.id)
    extending = query.join(passes, passes.c.id == orders.c.extends_pass_id)
    found = [*await _all(tx, granting), *await _all(tx, extending)]
    return sorted(found, key=lambda order: order.paid_at_s or 0)[:limit]


async def may_have_moved(
    tx: Transaction, mode: str, account: str, since_s: int, *, after: str = "", limit: int = 100
) -> list[str]:
    """Ids, in order, of orders that are open, or were made since then and paid with something: beyond `after`."""
    is_open = orders.c.state.in_([state.value for state in UNPAID])
    at_service = or_(orders.c.payment_intent_id.is_not(None), orders.c.funding == "subscription")
    paid = and_(orders.c.granted, orders.c.created_at_s >= since_s, at_service)
    query = select(orders.c.id).where(
        orders.c.mode == mode, orders.c.account == account, or_(is_open, paid), orders.c.id > after
    )
    return [row.id for row in await tx.execute(query.order_by(orders.c.id).limit(limit))]


async def unsettled(
    tx: Transaction, mode: str, account: str, *, after: tuple[int, str] = (-1, ""), limit: int = 500
) -> list[tuple[int, str]]:
    """When they were made, and ids of orders that may have been paid while we were down, the oldest first: those beyond
    `after`."""
    made_s, order_id = after
    beyond = or_(
        orders.c.created_at_s > made_s, and_(orders.c.created_at_s == made_s, orders.c.id > order_id)
    )
    query = select(orders.c.created_at_s, orders.c.id).where(
        beyond,
        orders.c.state.in_([state.value for state in UNPAID]),
        orders.c.mode == mode,
        orders.c.account == account,
    )
    rows = await tx.execute(query.order_by(orders.c.created_at_s, orders.c.id).limit(limit))
    return [(row.created_at_s, row.id) for row in rows]
