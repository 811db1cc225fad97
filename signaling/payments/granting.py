"""Orders that grant at once, in the transaction that makes them: nothing is asked of the payment service."""

from dataclasses import replace

from metering.orders import OrderState
from signaling.notices import Notice, OrderPaid, PassChanged
from signaling.payments.apply import Stamp
from signaling.stores import passes, rooms
from signaling.stores.database import Transaction
from signaling.stores.orders import Order, insert_order


async def insert_granted(
    tx: Transaction, order: Order, room: rooms.Room, stamp: Stamp
) -> tuple[Order, tuple[Notice, ...]]:
    """Stores the order as paid with a pass of its own; what to publish once it is committed. The price is the caller's
    business: nothing is booked here."""
    paid = replace(
        order,
        state=OrderState.PAID,
        granted=True,
        paid_at=stamp.now_text,
        paid_at_s=stamp.now_s,
        reserved_until_s=None,
    )
    await insert_order(tx, paid)
    await passes.grant_pass(
        tx, paid, stamp.pass_id, stamp.now_text, may_publish=room.privacy == "confidential"
    )
    await rooms.mark_sold(tx, room.id)
    told = OrderPaid(
        order_id=paid.id,
        room_id=room.id,
        pass_id=stamp.pass_id,
        name=paid.name,
        amount_minor=paid.amount_minor,
        currency=paid.currency,
        seconds=paid.seconds,
        extends=False,
        by_use=True,  # there is no amount to tell the host
    )
    return paid, (told, PassChanged(stamp.pass_id, room.id))
