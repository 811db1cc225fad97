"""Paying an order with a card on file: one PaymentIntent, confirmed as it is made. As with Checkout Sessions
(`reconcile.py`): look first, repeat under the same key, and take a new key only when a listing has proved that nothing
came of the one before.
"""

from collections.abc import Sequence
from typing import Any

import structlog

from metering.orders import OrderState
from signaling.notices import Notice
from signaling.payments.context import Context
from signaling.payments.port import IntentFact, OutcomeUnknownError, RefusedByServiceError
from signaling.payments.reconcile import CLOCK_SKEW_S, FIRST_LOOK_S, IN_FLIGHT_S, KEYS_MAX, postpone
from signaling.payments.settings import PaymentsSettings
from signaling.payments.wallets import topup_ended
from signaling.stores import refunds as calls
from signaling.stores.database import Transaction
from signaling.stores.orders import Order, get_order, update_order
from signaling.stores.wallets import AUTO_UI

log = structlog.get_logger()

OPERATION = "payment_intents.create:order"
# The intent that matters, when two came of one order.
_RANK = {"succeeded": 0, "processing": 1, "requires_action": 2}


def call_key(order_id: str, attempt: int) -> str:
    return f"pay:{order_id}" if attempt == 1 else f"pay:{order_id}:{attempt}"


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


async def begin_call(
    tx: Transaction, settings: PaymentsSettings, order: Order, *, now_s: int, attempt: int = 1
) -> None:
    """In the transaction that makes the order, or that gives up the attempt before."""
    await calls.begin_call(
        tx,
        key=call_key(order.id, attempt),
        operation=OPERATION,
        subject_id=order.id,
        params=intent_params(settings, order),
        now_s=now_s,
        retry_at_s=now_s + FIRST_LOOK_S if attempt == 1 else now_s,
    )


async def attempt_call(ctx: Context, order_id: str) -> None:
    """Makes the newest call of an order and stores what came of it. Raises nothing: unknown stays unknown. Whether it
    is paid, settling finds out."""
    async with ctx.db.read() as tx:
        call = (await calls.calls_of(tx, order_id, OPERATION))[-1]
    try:
        intent = await ctx.service.create_intent(call.params, call.idempotency_key)
    except RefusedByServiceError as error:
        await _refused(ctx, order_id, call, error)
    except OutcomeUnknownError as error:
        log.warning("payment_outcome_unknown", order_id=order_id, error=str(error))
        if error.answered and call.attempts > 0:
            await _give_up_key(ctx, order_id, call)
        else:
            await postpone(ctx, call, str(error))
    else:
        ctx.step("intent_created")
        await _adopt(ctx, order_id, intent, call)


async def reconcile(ctx: Context, order_id: str) -> None:
    """Finds out what came of an order's call, and makes it again where nothing did. Raises OutcomeUnknownError."""
    async with ctx.db.read() as tx:
        order = await get_order(tx, order_id)
        made = await calls.calls_of(tx, order_id, OPERATION)
    if order is None or not made or order.payment_intent_id is not None:
        return
    if await _found(ctx, order_id, made):
        return
    if order.state is not OrderState.NEW:
        await _close(ctx, made[-1])
    elif (order.reserved_until_s or 0) > ctx.now_s() and not order.walked_away:
        await attempt_call(ctx, order_id)
    elif ctx.now_s() - made[-1].created_at_s < IN_FLIGHT_S:
        await postpone(ctx, made[-1], "given up; waiting to be sure that nothing comes of it")
    else:
        state = OrderState.CANCELED if order.walked_away else OrderState.EXPIRED
        await _end(ctx, order_id, made[-1], state, None)


async def cancel(ctx: Context, order: Order) -> None:
    """Nobody confirmed in time. A refusal means that it was paid or is over: settling says which."""
    assert order.payment_intent_id is not None, "looked up before"
    try:
        await ctx.service.cancel_intent(order.payment_intent_id, f"cancel:{order.id}")
    except RefusedByServiceError as error:
        log.info("cancel_refused", order_id=order.id, error=str(error))


async def _found(ctx: Context, order_id: str, made: Sequence[calls.StripeCall]) -> bool:
    intents = await ctx.service.find_intents(order_id, made[0].created_at_s - CLOCK_SKEW_S)
    ctx.step("intents_listed")
    if not intents:
        return False
    first, *others = sorted(intents, key=lambda one: _RANK.get(one.status, len(_RANK)))
    await _adopt(ctx, order_id, first, made[-1])
    for other in others:  # two came of one order: only one may be paid
        if other.status == "requires_action":
            await ctx.service.cancel_intent(other.payment_intent_id, f"cancel:{other.payment_intent_id}")
    return True


async def _adopt(ctx: Context, order_id: str, intent: IntentFact, call: calls.StripeCall) -> None:
    async def work(tx: Transaction) -> Sequence[Notice]:
        await calls.set_call(tx, call.idempotency_key, "done", result_id=intent.payment_intent_id)
        await calls.close_open_calls(tx, order_id, intent.payment_intent_id)  # as with Checkout Sessions
        order = await get_order(tx, order_id)
        if order is None or order.payment_intent_id is not None:
            return ()
        values: dict[str, Any] = {
            "payment_intent_id": intent.payment_intent_id,
            "client_secret": intent.client_secret,
            "checkout_url": intent.action_url,
        }
        if order.state is OrderState.NEW:
            values["state"] = OrderState.OPEN
        await update_order(tx, order_id, **values)
        return ()

    await ctx.write(work)


async def _refused(ctx: Context, order_id: str, call: calls.StripeCall, error: RefusedByServiceError) -> None:
    """Declined, or a card that is gone: nothing was charged."""
    failure = (error.decline_code or error.code)[:64]
    log.info("payment_refused", order_id=order_id, failure=failure)
    await _end(ctx, order_id, call, OrderState.FAILED, failure, intent_id=error.payment_intent_id)


async def _end(
    ctx: Context,
    order_id: str,
    call: calls.StripeCall,
    state: OrderState,
    failure: str | None,
    *,
    intent_id: str | None = None,
) -> None:
    now_s = ctx.now_s()

    async def work(tx: Transaction) -> Sequence[Notice]:
        await calls.set_call(tx, call.idempotency_key, "refused", note=failure or "nothing came of it")
        order = await get_order(tx, order_id)
        if order is None or order.state is not OrderState.NEW:
            return ()
        values: dict[str, Any] = {"state": state, "failure": failure, "reserved_until_s": None}
        if intent_id is not None:
            values["payment_intent_id"] = intent_id
        await update_order(tx, order_id, **values)
        return await topup_ended(tx, order, failure, now_s)

    await ctx.write(work)


async def _give_up_key(ctx: Context, order_id: str, call: calls.StripeCall) -> None:
    """The key answers a failure for ever. A listing that finds nothing allows the next key."""
    if await _found(ctx, order_id, [call]):
        return
    async with ctx.db.read() as tx:
        made = await calls.calls_of(tx, order_id, OPERATION)
    if len(made) >= KEYS_MAX:
        await _end(ctx, order_id, call, OrderState.FAILED, "unavailable")
        return
    now_s = ctx.now_s()

    async def work(tx: Transaction) -> Sequence[Notice]:
        order = await get_order(tx, order_id)
        if order is None or order.state is not OrderState.NEW:
            return ()
        await calls.set_call(tx, call.idempotency_key, "refused", note="nothing came of it")
        await begin_call(tx, ctx.settings, order, now_s=now_s, attempt=len(made) + 1)
        return ()

    await ctx.write(work)


async def _close(ctx: Context, call: calls.StripeCall) -> None:
    async def work(tx: Transaction) -> Sequence[Notice]:
        await calls.set_call(tx, call.idempotency_key, "refused", note="nothing came of it")
        return ()

    await ctx.write(work)
