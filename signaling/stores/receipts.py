"""Which receipts are to be mailed: of stays that are over and of orders that are settled, and again when money went back."""

from dataclasses import dataclass, field

from sqlalchemy import String, and_, cast, exists, func, literal, or_, select, union

from signaling.stores.database import Transaction
from signaling.stores.orders import BY_USE, pass_behind
from signaling.stores.schema import orders, outbox, passes, refunds, sessions, users

ENDED = ("used_up", "refunded", "disputed", "revoked")

_paid = orders.alias("paid")
_gone_back = orders.c.refunded_minor + orders.c.lost_minor
# One row of the outbox for each amount that has gone back so far: the first receipt, and one after each refund.
_outbox_id = literal("receipt:").concat(orders.c.id).concat(literal(":")).concat(cast(_gone_back, String))


@dataclass(frozen=True, slots=True)
class DueReceipt:
    outbox_id: str
    order_id: str


@dataclass(frozen=True, slots=True)
class Since:
    """Orders paid or refunded since (second, and the same as text), and stays over since before `quiet_at`: who comes
    back after a moment gets one receipt for all of it."""

    at_s: int
    at: str
    quiet_at: str = field(default="")


async def due_receipts(
    tx: Transaction, mode: str, account: str, since: Since, limit: int = 100
) -> list[DueReceipt]:
    pass_id = pass_behind()
    stay = exists().where(sessions.c.pass_id == pass_id)
    inside = exists().where(sessions.c.pass_id == pass_id, sessions.c.ended_at.is_(None))
    lately = exists().where(sessions.c.pass_id == pass_id, sessions.c.ended_at > since.quiet_at)
    ended = exists().where(passes.c.id == pass_id, passes.c.state.in_(ENDED))
    by_use = orders.c.funding.in_(BY_USE)
    bought = and_(~by_use, orders.c.amount_minor > 0)
    over = or_(
        and_(by_use, orders.c.charged_minor.is_not(None)),
        and_(bought, orders.c.purpose == "topup"),
        and_(or_(bought, orders.c.funding == "subscription"), _gone_back > 0),
        and_(bought, ~inside, or_(ended, and_(stay, ~lately))),
    )
    paid = select(_paid.c.id).where(_paid.c.paid_at_s >= since.at_s)
    refunded = select(refunds.c.order_id).where(refunds.c.created_at >= since.at)
    recent = orders.c.id.in_(union(paid, refunded))
    address = func.coalesce(orders.c.email, users.c.email)
    query = (
        select(_outbox_id.label("outbox_id"), orders.c.id)
        .outerjoin(users, users.c.id == orders.c.user_id)
        .where(orders.c.mode == mode, orders.c.account == account, orders.c.granted, recent, over)
        .where(address.like("%@%"), ~exists().where(outbox.c.id == _outbox_id))
        .order_by(orders.c.paid_at_s, orders.c.id)
        .limit(limit)
    )
    return [DueReceipt(row.outbox_id, row.id) for row in await tx.execute(query)]


async def address_of(tx: Transaction, order_id: str) -> str | None:
    """Where the receipt of an order goes: the address given with it, else that of who was signed in; None: nowhere."""
    query = (
        select(func.coalesce(orders.c.email, users.c.email))
        .outerjoin(users, users.c.id == orders.c.user_id)
        .where(orders.c.id == order_id)
    )
    found: str | None = (await tx.execute(query)).scalar()
    return found
