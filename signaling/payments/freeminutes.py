"""Free minutes before paying: for who is signed in and keeps a card on file, once per person and card in each room.

The card is asked for by a Checkout Session of mode setup: nothing is held and nothing charged. What it shows decides:
a card that has had its minutes in this room opens nothing again.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from metering.orders import OrderState
from metering.tariff import Entrance, PerMinute, Tariff
from signaling.errors import ApiError
from signaling.notices import Notice
from signaling.payments.apply import Stamp
from signaling.payments.port import CardFact, Checkout
from signaling.stores import cards, freeminutes
from signaling.stores.database import Transaction
from signaling.stores.orders import UNPAID, Order, update_order

HAD = "free_minutes_had"
NO_CARD = "no_card"


async def offer(tx: Transaction, room_id: str, tariff: Tariff, user_id: str | None) -> int:
    """The seconds that this person may have for nothing now. Raises ApiError 401 `sign_in_required`; 409
    `no_free_minutes`, `free_minutes_had`."""
    seconds = tariff.free_seconds if isinstance(tariff, Entrance | PerMinute) else 0
    if not seconds:
        raise ApiError(409, "no_free_minutes", "this room gives no free minutes")
    if user_id is None:
        raise ApiError(401, "sign_in_required", "sign in first: free minutes are once for each person")
    if await freeminutes.had(tx, room_id, user_id):
        raise ApiError(409, HAD, "you have had the free minutes of this room")
    return seconds


def checkout_params(order: Order, metadata: Mapping[str, str]) -> dict[str, Any]:
    """What a Checkout Session that only keeps a card has in place of a payment."""
    customer = {} if order.customer_id else {"customer_creation": "always"}
    return {
        "mode": "setup",
        "currency": order.currency,
        "setup_intent_data": {"metadata": dict(metadata), "description": order.title[:200]},
    } | customer


def as_paid(order: Order, checkout: Checkout) -> Checkout:
    """A card that is kept costs nothing, in no currency: told in the order's, as the rules of money expect."""
    return replace(checkout, fact=replace(checkout.fact, currency=checkout.fact.currency or order.currency))


async def refused(
    tx: Transaction, order: Order, checkout: Checkout, stamp: Stamp
) -> tuple[Notice, ...] | None:
    """What to tell where the order opens nothing; None: apply it. In the transaction that would grant its pass."""
    is_kept = checkout.setup is not None and checkout.setup.status == "succeeded"
    if order.granted or not is_kept:
        return None
    if order.state not in UNPAID:
        return ()
    card = None if checkout.setup is None else checkout.setup.card
    if card is None or card.fingerprint is None:
        return await _fail(tx, order, NO_CARD)
    assert order.user_id is not None, "ordered by somebody who was signed in"
    taken = await freeminutes.take(
        tx,
        room_id=order.room,
        user_id=order.user_id,
        fingerprint=card.fingerprint,
        order_id=order.id,
        seconds=order.seconds or 0,
    )
    if not taken:
        return await _fail(tx, order, HAD)
    await _keep(tx, order, card, checkout.customer_id, stamp)
    return None


async def _fail(tx: Transaction, order: Order, failure: str) -> tuple[Notice, ...]:
    await update_order(tx, order.id, state=OrderState.FAILED, failure=failure, reserved_until_s=None)
    return order.seat_freed()


async def _keep(tx: Transaction, order: Order, card: CardFact, customer_id: str | None, stamp: Stamp) -> None:
    """On file, for what is paid afterwards; only where its customer is the person's own."""
    assert order.user_id is not None, "as above"
    await update_order(tx, order.id, fingerprint=card.fingerprint, customer_id=customer_id)
    if customer_id is None:
        return
    own = await cards.put_customer(tx, order.user_id, order.mode, order.account, customer_id)
    if own != customer_id:
        return
    row = cards.Card(
        payment_method_id=card.payment_method_id,
        user_id=order.user_id,
        mode=order.mode,
        account=order.account,
        fingerprint=card.fingerprint or "",
        brand=card.brand,
        last4=card.last4,
        exp_month=card.exp_month,
        exp_year=card.exp_year,
        created_at=stamp.now_text,
    )
    await cards.keep_card(tx, row)
