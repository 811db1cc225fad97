"""What a payer gets back when a stay ends, told at once: the payment service carries it out afterwards."""

from collections.abc import Sequence
from typing import Any

from metering.orders import OrderSnapshot, PassSnapshot, unused_of
from signaling.stores.database import Transaction
from signaling.stores.orders import orders_of_pass


async def orders_behind(tx: Transaction, pass_id: str) -> tuple[OrderSnapshot, ...]:
    """The order that granted the pass and those that extended it, as the books hold them now."""
    behind = await orders_of_pass(tx, pass_id)
    # A subscription's period is not given back by the hour.
    return tuple([order.snapshot() for order in behind if order.funding != "subscription"])


def given_back(
    orders: Sequence[OrderSnapshot], pass_id: str, granted_ms: int | None, used_ms: int
) -> dict[str, Any] | None:
    """`{amount_minor, currency}`: what went back before and what is unused of these orders. None for nothing.

    What a bank has taken in a dispute is not ours to give back.
    """
    pass_ = PassSnapshot(pass_id, granted_ms, used_ms)
    ours = [order for order in orders if order.dispute not in {"open", "lost"}]
    amount_minor = sum(order.refunded_minor + unused_of(order, pass_) for order in ours)
    return {"amount_minor": amount_minor, "currency": ours[0].currency} if amount_minor else None
