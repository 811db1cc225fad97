"""Rows of subscriptions and of their invoices that were paid."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any

from sqlalchemy import Select, and_, exists, func, literal_column, or_, select, update

from signaling.stores.database import Transaction
from signaling.stores.schema import STANDING, invoices, outbox, passes, rooms, subscriptions
from signaling.stores.statements import insert_once, put

GOOD = ("active", "trialing")
OVER = ("canceled", "incomplete_expired")
# Not over, in the words of the partial index `subscriptions_standing`.
_STANDING: Any = literal_column(f"subscriptions.{STANDING}")


@dataclass(frozen=True, slots=True)
class Subscription:
    """One row of `subscriptions`. `lapsed_at_s`: since when it is neither active nor trialing."""

    id: str
    order_id: str
    pass_id: str | None
    room_id: str
    user_id: str
    mode: str
    account: str
    customer_id: str
    status: str
    current_period_end_s: int
    cancel_at_period_end: bool
    lapsed_at_s: int | None
    updated_at: str


@dataclass(frozen=True, slots=True)
class Invoice:
    """One row of `invoices`: a period that was paid. What of it went back is in `refunded_minor`."""

    id: str
    subscription_id: str
    amount_minor: int
    currency: str
    payment_intent_id: str | None
    created_at: str
    refunded_minor: int = 0


_COLUMNS = [subscriptions.c[field.name] for field in fields(Subscription)]
_INVOICE = [invoices.c[field.name] for field in fields(Invoice)]


async def _all(tx: Transaction, query: Select[Any]) -> list[Subscription]:
    return [Subscription(**row) for row in (await tx.execute(query)).mappings()]


async def _one(tx: Transaction, condition: Any) -> Subscription | None:
    found = await _all(tx, select(*_COLUMNS).where(condition).limit(1))
    return found[0] if found else None


async def get(tx: Transaction, subscription_id: str) -> Subscription | None:
    return await _one(tx, subscriptions.c.id == subscription_id)


async def of_order(tx: Transaction, order_id: str) -> Subscription | None:
    return await _one(tx, subscriptions.c.order_id == order_id)


async def of_user(tx: Transaction, user_id: str, mode: str, account: str) -> list[Subscription]:
    """Newest first."""
    mine = and_(
        subscriptions.c.user_id == user_id, subscriptions.c.mode == mode, subscriptions.c.account == account
    )
    return await _all(tx, select(*_COLUMNS).where(mine).order_by(subscriptions.c.current_period_end_s.desc()))


async def standing(tx: Transaction, room_id: str, user_id: str) -> Subscription | None:
    """That person's subscription of that room, unless it is over."""
    this = and_(subscriptions.c.room_id == room_id, subscriptions.c.user_id == user_id)
    return await _one(tx, and_(this, subscriptions.c.status.not_in(OVER)))


async def put_subscription(tx: Transaction, row: Subscription) -> None:
    await put(tx, subscriptions, "id", asdict(row))


# --- what time brings about -------------------------------------------------------------------------------


async def lapsed_with_access(
    tx: Transaction, mode: str, account: str, limit: int = 200
) -> list[Subscription]:
    """Not paid any more, and their pass still lets in: the longest lapsed first."""
    # From the passes that let in, each by itself: all who ever left have lapsed, and are not to be gone through.
    lapsed_at_s = (
        select(func.max(subscriptions.c.lapsed_at_s))
        .where(subscriptions.c.pass_id == passes.c.id)
        .scalar_subquery()
    )
    lets_in = and_(passes.c.state.in_(("waiting", "active")), passes.c.funding == "subscription")
    ours = and_(passes.c.mode == mode, passes.c.account == account)
    due = select(passes.c.id).where(ours, lets_in, lapsed_at_s.is_not(None))
    pass_ids = (await tx.execute(due.order_by(lapsed_at_s).limit(limit))).scalars().all()
    if not pass_ids:
        return []
    query = select(*_COLUMNS).where(
        subscriptions.c.pass_id.in_(pass_ids), subscriptions.c.lapsed_at_s.is_not(None)
    )
    return await _all(tx, query.order_by(subscriptions.c.lapsed_at_s))


async def unheard(
    tx: Transaction, mode: str, account: str, before_s: int, limit: int = 50
) -> list[Subscription]:
    """Not over, and either past their period or unpaid: the service must have said something about them since."""
    ours = and_(subscriptions.c.mode == mode, subscriptions.c.account == account)
    due = or_(subscriptions.c.current_period_end_s <= before_s, subscriptions.c.lapsed_at_s.is_not(None))
    query = select(*_COLUMNS).where(ours, _STANDING, due)
    return await _all(tx, query.order_by(subscriptions.c.updated_at).limit(limit))


async def without_use(tx: Transaction, mode: str, account: str, limit: int = 50) -> list[Subscription]:
    """Not over, though nobody can come in any more (the room is closed, the pass was taken back), and nobody has asked
    yet that they end."""
    ours = and_(subscriptions.c.mode == mode, subscriptions.c.account == account)
    closed = exists().where(rooms.c.id == subscriptions.c.room_id, rooms.c.state == "closed")
    gone = exists().where(passes.c.id == subscriptions.c.pass_id, passes.c.state.in_(("revoked", "refunded")))
    asked = exists().where(
        outbox.c.kind == "cancel_subscription", outbox.c.subject_id == subscriptions.c.order_id
    )
    query = select(*_COLUMNS).where(ours, _STANDING, or_(closed, gone), ~asked)
    return await _all(tx, query.limit(limit))


# --- invoices ---------------------------------------------------------------------------------------------


async def insert_invoice(tx: Transaction, row: Invoice) -> bool:
    """False when it is known."""
    return await insert_once(tx, invoices, asdict(row))


async def get_invoice(tx: Transaction, invoice_id: str) -> Invoice | None:
    row = (await tx.execute(select(*_INVOICE).where(invoices.c.id == invoice_id))).mappings().first()
    return None if row is None else Invoice(**row)


async def invoices_of(tx: Transaction, subscription_id: str) -> list[Invoice]:
    """Newest first."""
    query = select(*_INVOICE).where(invoices.c.subscription_id == subscription_id)
    rows = await tx.execute(query.order_by(invoices.c.created_at.desc(), invoices.c.id))
    return [Invoice(**row) for row in rows.mappings()]


async def invoices_of_orders(tx: Transaction, order_ids: Sequence[str]) -> dict[str, list[Invoice]]:
    """By order, newest first; orders without any are left out."""
    query = (
        select(*_INVOICE, subscriptions.c.order_id)
        .join(subscriptions, subscriptions.c.id == invoices.c.subscription_id)
        .where(subscriptions.c.order_id.in_(order_ids))
        .order_by(invoices.c.created_at.desc(), invoices.c.id)
    )
    found: dict[str, list[Invoice]] = {}
    for row in (await tx.execute(query)).mappings():
        values = dict(row)
        found.setdefault(values.pop("order_id"), []).append(Invoice(**values))
    return found


async def order_of_intent(tx: Transaction, payment_intent_id: str) -> str | None:
    """The order whose subscription that payment was for."""
    query = (
        select(subscriptions.c.order_id)
        .join(invoices, invoices.c.subscription_id == subscriptions.c.id)
        .where(invoices.c.payment_intent_id == payment_intent_id)
    )
    return (await tx.execute(query)).scalar()


async def add_refunded(tx: Transaction, invoice_id: str, minor: int) -> None:
    refunded = func.coalesce(invoices.c.refunded_minor, 0) + minor
    await tx.execute(update(invoices).where(invoices.c.id == invoice_id).values(refunded_minor=refunded))
