"""Paying an order with a card on file: one PaymentIntent, confirmed as it is made. Whether it is paid, settling finds
out."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import structlog

from signaling.payments import attempts
from signaling.payments.context import Context
from signaling.payments.orderpayments import OrderPayment
from signaling.payments.port import IntentFact, RefusedByServiceError
from signaling.payments.settings import PaymentsSettings
from signaling.stores.database import Transaction
from signaling.stores.orders import Order
from signaling.stores.refunds import StripeCall
from signaling.stores.wallets import AUTO_UI

log = structlog.get_logger()

OPERATION = "payment_intents.create:order"
# The intent that matters, when two came of one order.
_RANK = {"succeeded": 0, "processing": 1, "requires_action": 2}


def intent_params(settings: PaymentsSettings, order: Order) -> dict[str, Any]:
    """The exact parameters. On-session the bank may ask the payer to confirm, in the page; unasked it may not."""
    params: dict[str, Any] = {
        "amount": order.amount_minor,
        "currency": order.currency,
        "customer": order.customer_id,
        "payment_method": order.payment_method_id,
        "payment_method_types": ["card"],
        "confirm": True,
        "description": order.title,
        "metadata": {"reference": order.id, "order_id": order.id, "mode": order.mode},
    }
    if order.ui == AUTO_UI:
        return params | {"off_session": True}
    if settings.sandbox:  # its own page, which ours frames
        return params | {"return_url": f"{settings.public_url}/orders/{order.id}?return=1"}
    return params | {"use_stripe_sdk": True}  # Stripe's script asks the payer, in the page


async def begin_call(tx: Transaction, settings: PaymentsSettings, order: Order, *, now_s: int) -> None:
    """In the transaction that makes the order."""
    params = intent_params(settings, order)
    await attempts.begin(tx, OPERATION, order.id, params, first_key=f"pay:{order.id}", now_s=now_s)


@dataclass(frozen=True, slots=True)
class Paying(OrderPayment[IntentFact]):
    """The PaymentIntent of one order."""

    operation: ClassVar[str] = OPERATION

    async def make(self, params: dict[str, Any], key: str) -> IntentFact:
        return await self.ctx.service.create_intent(params, key)

    async def find(self, first: StripeCall) -> Sequence[IntentFact]:
        intents = await self.ctx.service.find_intents(self.order_id, attempts.since_s(first))
        return sorted(intents, key=lambda one: _RANK.get(one.status, len(_RANK)))

    async def spare(self, made: IntentFact) -> None:
        if made.status == "requires_action":
            await self.ctx.service.cancel_intent(made.payment_intent_id, f"cancel:{made.payment_intent_id}")

    def id_of(self, made: IntentFact) -> str:
        return made.payment_intent_id

    async def params(self, _tx: Transaction, order: Order, _now_s: int) -> dict[str, Any]:
        return intent_params(self.ctx.settings, order)

    def values(self, made: IntentFact) -> dict[str, Any]:
        return {
            "payment_intent_id": made.payment_intent_id,
            "client_secret": made.client_secret,
            "checkout_url": made.action_url,
        }


async def attempt_call(ctx: Context, order_id: str) -> None:
    """Makes the newest call of an order and stores what came of it; what is unknown stays unknown."""
    await attempts.attempt(ctx, Paying(ctx, order_id))


async def reconcile(ctx: Context, order_id: str) -> None:
    """Finds out what came of an order's call, and makes it again where nothing did. Raises OutcomeUnknownError."""
    await attempts.reconcile(ctx, Paying(ctx, order_id))


async def cancel(ctx: Context, order: Order) -> None:
    """Nobody confirmed in time. A refusal means that it was paid or is over: settling says which."""
    assert order.payment_intent_id is not None, "looked up before"
    try:
        await ctx.service.cancel_intent(order.payment_intent_id, f"cancel:{order.id}")
    except RefusedByServiceError as error:
        log.info("cancel_refused", order_id=order.id, error=str(error))
