"""The funder: asks for the next hold of a pass that is paid for by use.

A window's row and its call are stored together, then the call is made; what becomes of it is applied by `holds`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import structlog

from metering.funding import PENDING, Ask, Refused, next_window
from signaling.notices import Notice
from signaling.payments import walletstays
from signaling.payments.apply import Stamp
from signaling.payments.context import Context
from signaling.payments.holds import OPEN_STATES, Stay, apply_intent, find_stay, funding_failed, look
from signaling.payments.port import IntentFact, OutcomeUnknownError, RefusedByServiceError
from signaling.payments.reconcile import CLOCK_SKEW_S, FIRST_LOOK_S, IN_FLIGHT_S, KEYS_MAX, postpone
from signaling.payments.settings import PaymentsSettings
from signaling.stores import passes, windows
from signaling.stores import refunds as calls
from signaling.stores.database import Transaction
from signaling.stores.orders import Order
from signaling.stores.windows import Window

log = structlog.get_logger()

OPERATION = "payment_intents.create"
# So many declines in one call, then no further card is asked.
FAILURES_MAX = 5


def intent_params(settings: PaymentsSettings, order: Order, window: Window) -> dict[str, Any]:
    """The exact parameters of the hold behind a window: on the card of the order, while the payer is here."""
    params: dict[str, Any] = {
        "amount": window.held_minor,
        "currency": window.currency,
        "capture_method": "manual",
        "confirm": True,
        "customer": order.customer_id,
        "payment_method": order.payment_method_id,
        "payment_method_types": ["card"],
        "description": order.title,
        "metadata": {
            "order_id": order.id,
            "room_id": order.room_id,
            "mode": order.mode,
            "reference": window.id,
        },
    }
    if settings.sandbox:  # its own page, which the call frames
        return params | {"return_url": f"{settings.public_url}/orders/{order.id}?return=1"}
    return params | {"use_stripe_sdk": True}  # Stripe's script asks the payer, in the page


async def place(ctx: Context, pass_id: str, granted_ms: int | None = None) -> str | None:
    """Asks for the next window of a pass. Why none was asked for, else None. What becomes of it is told by notices.
    `granted_ms`: the end that is near, as who asks knows it; when the pass reaches further by now, nothing is asked."""
    now_s, now_text = ctx.now_s(), ctx.now_text()

    async def work(tx: Transaction) -> _Placing:
        stay = await find_stay(tx, pass_id)
        if stay is not None and granted_ms not in {None, stay.pass_.granted_ms}:
            return _Placing(refused="extended")
        if stay is not None and stay.order.funding == "wallet":
            held = await walletstays.hold_next(tx, stay, Stamp(pass_id, now_s, now_text))
            return _Placing(refused=held.refused, notices=held.notices)
        return await _prepare(tx, ctx.settings, stay, now_s, now_text)

    placing = await ctx.db.write(work)
    ctx.step("window_asked")
    for notice in placing.notices:
        ctx.notices.publish(notice)
    if placing.window_id is not None:
        await _attempt(ctx, placing.window_id)
    return placing.refused


@dataclass(frozen=True, slots=True)
class _Placing:
    window_id: str | None = None
    refused: str | None = None
    notices: tuple[Notice, ...] = ()


async def _prepare(
    tx: Transaction, settings: PaymentsSettings, stay: Stay | None, now_s: int, now_text: str
) -> _Placing:
    if stay is None or stay.order.funding != "metered":
        return _Placing(refused="not_metered")
    if stay.pass_.state not in OPEN_STATES or stay.pass_.granted_ms is None:
        return _Placing(refused="ended")
    asked = next_window(
        stay.tariff,
        [window.plain() for window in stay.windows],
        granted_ms=stay.pass_.granted_ms,
        settled=stay.pass_.settled,
        agreed=stay.may_go_on,
    )
    reason: str | None = asked.reason if isinstance(asked, Refused) else None
    if sum(window.state == "failed" for window in stay.windows) >= FAILURES_MAX:
        reason = reason or "too_many_failures"
    if isinstance(asked, Refused) or reason is not None:
        told = reason in {"not_agreed", "at_the_end", "too_many_failures"}
        return _Placing(refused=reason, notices=(funding_failed(stay.pass_, str(reason)),) if told else ())
    window = _asked(stay, asked, now_text)
    await windows.insert_window(tx, window)
    await _begin(tx, settings, stay.order, window, now_s, attempt=1)
    return _Placing(window.id)


def _asked(stay: Stay, ask: Ask, now_text: str) -> Window:
    order = stay.order
    return windows.asked(
        ask,
        pass_id=stay.pass_.id,
        mode=order.mode,
        account=order.account,
        kind="card",
        currency=order.currency,
        created_at=now_text,
    )


async def _begin(
    tx: Transaction, settings: PaymentsSettings, order: Order, window: Window, now_s: int, *, attempt: int
) -> None:
    await calls.begin_call(
        tx,
        key=f"hold:{window.id}" if attempt == 1 else f"hold:{window.id}:{attempt}",
        operation=OPERATION,
        subject_id=window.id,
        params=intent_params(settings, order, window),
        now_s=now_s,
        retry_at_s=now_s + FIRST_LOOK_S if attempt == 1 else now_s,
    )


async def _attempt(ctx: Context, window_id: str) -> None:
    """Makes the newest call of a window. Raises nothing: unknown stays unknown, and is looked at again."""
    async with ctx.db.read() as tx:
        call = (await calls.calls_of(tx, window_id, OPERATION))[-1]
    try:
        fact = await ctx.service.create_intent(call.params, call.idempotency_key)
    except RefusedByServiceError as error:
        await _declined(ctx, window_id, call, error)
    except OutcomeUnknownError as error:
        log.warning("hold_outcome_unknown", window_id=window_id, error=str(error))
        if error.answered and call.attempts > 0:
            await _next_key(ctx, window_id, call)
        else:
            await postpone(ctx, call, str(error))
    else:
        ctx.step("window_created")
        await apply_intent(ctx, window_id, fact, call)


async def reconcile(ctx: Context, window_id: str) -> None:
    """Finds out what came of a window's call, and makes it again where nothing did. Raises OutcomeUnknownError when the
    service cannot be asked."""
    async with ctx.db.read() as tx:
        window = await windows.get_window(tx, window_id)
        made = await calls.calls_of(tx, window_id, OPERATION)
        stay = None if window is None else await find_stay(tx, window.pass_id)
    if window is None or stay is None or not made:
        return
    found = await ctx.service.find_intents(window_id, made[0].created_at_s - CLOCK_SKEW_S)
    ctx.step("listed")
    if found:
        await _adopt(ctx, window_id, found, made[-1])
    elif window.state == "asked" and not stay.pass_.settled:
        await _attempt(ctx, window_id)
    elif ctx.now_s() - made[-1].created_at_s < IN_FLIGHT_S:
        await postpone(ctx, made[-1], "given up; waiting to be sure that nothing comes of it")
    else:
        await _drop(ctx, window, made[-1])


async def _adopt(ctx: Context, window_id: str, found: Sequence[IntentFact], call: calls.StripeCall) -> None:
    """Two keys may have made two holds: the best is kept, the others are let go."""
    rank = {"succeeded": 0, "requires_capture": 1, "requires_action": 2, "processing": 3}
    first, *others = sorted(found, key=lambda one: rank.get(one.status, 9))
    await apply_intent(ctx, window_id, first, call)
    for other in others:
        if other.status not in {"canceled", "succeeded"}:
            await ctx.service.cancel_intent(other.payment_intent_id, f"cancel:{other.payment_intent_id}")


async def _next_key(ctx: Context, window_id: str, call: calls.StripeCall) -> None:
    """The key answers a failure for ever. A listing that finds nothing allows the next key."""
    found = await ctx.service.find_intents(window_id, call.created_at_s - CLOCK_SKEW_S)
    if found:
        await _adopt(ctx, window_id, found, call)
        return
    now_s = ctx.now_s()

    async def work(tx: Transaction) -> Sequence[Notice]:
        window = await windows.get_window(tx, window_id)
        stay = None if window is None else await find_stay(tx, window.pass_id)
        made = await calls.calls_of(tx, window_id, OPERATION)
        if window is None or stay is None or window.state != "asked":
            return ()
        await calls.set_call(tx, call.idempotency_key, "refused", note="nothing came of it")
        if len(made) < KEYS_MAX:
            await _begin(tx, ctx.settings, stay.order, window, now_s, attempt=len(made) + 1)
            return ()
        await windows.move_window(tx, window, "failed", failure="unavailable")
        return (funding_failed(stay.pass_, "unavailable"),)

    await ctx.write(work)


async def _declined(
    ctx: Context, window_id: str, call: calls.StripeCall, error: RefusedByServiceError
) -> None:
    """The bank's no, or the service's: nothing is held, and the call ends at the end of what is."""
    failure = (error.decline_code or error.code)[:64]
    log.info("hold_declined", window_id=window_id, failure=failure)

    async def work(tx: Transaction) -> Sequence[Notice]:
        await calls.set_call(tx, call.idempotency_key, "refused", note=str(error))
        window = await windows.get_window(tx, window_id)
        assert window is not None, "windows are never deleted"
        if window.state not in PENDING:
            return ()
        # The declined payment keeps its row's number: whoever looks for it finds why.
        await windows.move_window(
            tx, window, "failed", failure=failure, payment_intent_id=error.payment_intent_id
        )
        found = await passes.get_pass(tx, window.pass_id)
        assert found is not None, "windows refer to their pass"
        return (funding_failed(found, failure),)

    await ctx.write(work)


async def _drop(ctx: Context, window: Window, call: calls.StripeCall) -> None:
    """It is proved that no hold exists, and none is wanted any more."""

    async def work(tx: Transaction) -> Sequence[Notice]:
        await calls.set_call(tx, call.idempotency_key, "refused", note="nothing came of it")
        now = await windows.get_window(tx, window.id)
        if now is not None and now.state in PENDING:
            await windows.move_window(tx, now, "released")
        return ()

    await ctx.write(work)


async def look_at_intent(ctx: Context, payment_intent_id: str, reference: str) -> None:
    """An event named this payment: the window behind it, if there is one. Raises OutcomeUnknownError."""
    async with ctx.db.read() as tx:
        window = await windows.find_by_intent(tx, payment_intent_id)
        window = window or await windows.get_window(tx, reference)
    if window is None:
        return
    if window.payment_intent_id is None:
        await reconcile(ctx, window.id)
    else:
        await look(ctx, window)
