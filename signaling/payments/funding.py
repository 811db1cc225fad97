"""The funder: asks for the next hold of a pass that is paid for by use.

A window's row and its call are stored together, then the call is made; what becomes of it is applied by `holds`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from metering.funding import PENDING, Ask, Refused, next_window
from signaling.notices import Notice
from signaling.payments import attempts, holds, walletstays
from signaling.payments.apply import Stamp
from signaling.payments.attempts import WatchedErrand, Wish
from signaling.payments.context import Context
from signaling.payments.holds import OPEN_STATES, Stay, find_stay, funding_failed, look
from signaling.payments.orderpayments import FAILURE_CHARS_MAX, UNAVAILABLE
from signaling.payments.port import IntentFact, RefusedByServiceError
from signaling.payments.settings import PaymentsSettings
from signaling.stores import passes, windows
from signaling.stores.database import Transaction
from signaling.stores.earnings import Now
from signaling.stores.orders import Order
from signaling.stores.refunds import StripeCall
from signaling.stores.windows import Window

OPERATION = "payment_intents.create"
# So many declines in one call, then no further card is asked.
FAILURES_MAX = 5
# The hold that matters, when two came of one window.
_RANK = {"succeeded": 0, "requires_capture": 1, "requires_action": 2, "processing": 3}


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
        await attempts.attempt(ctx, _Holding(ctx, placing.window_id))
        ctx.step("window_placed")
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
    params, first_key = intent_params(settings, stay.order, window), f"hold:{window.id}"
    await attempts.begin(tx, OPERATION, window.id, params, first_key=first_key, now_s=now_s)
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


@dataclass(frozen=True, slots=True)
class _Holding(WatchedErrand[IntentFact]):
    """The hold behind one window."""

    operation: ClassVar[str] = OPERATION
    ctx: Context
    window_id: str

    @property
    def subject_id(self) -> str:
        return self.window_id

    async def make(self, params: dict[str, Any], key: str) -> IntentFact:
        return await self.ctx.service.create_intent(params, key)

    async def find(self, first: StripeCall) -> Sequence[IntentFact]:
        intents = await self.ctx.service.find_intents(self.window_id, attempts.since_s(first))
        return sorted(intents, key=lambda one: _RANK.get(one.status, len(_RANK)))

    async def spare(self, made: IntentFact) -> None:
        if made.status not in {"canceled", "succeeded"}:
            await self.ctx.service.cancel_intent(made.payment_intent_id, f"cancel:{made.payment_intent_id}")

    def id_of(self, made: IntentFact) -> str:
        return made.payment_intent_id

    async def wish(self, tx: Transaction, _now_s: int) -> Wish:
        window = await windows.get_window(tx, self.window_id)
        stay = None if window is None else await find_stay(tx, window.pass_id)
        if window is None or stay is None:
            return "known"
        return "wanted" if window.state == "asked" and not stay.pass_.settled else "dropped"

    async def done(self, tx: Transaction, made: IntentFact, now: Now) -> Sequence[Notice]:
        return await holds.apply_now(tx, self.ctx, self.window_id, made, now)

    async def refused(self, tx: Transaction, error: RefusedByServiceError, _now: Now) -> Sequence[Notice]:
        """The bank's no, or the service's: nothing is held, and the call ends at the end of what is. The declined payment
        keeps its row's number: whoever looks for it finds why."""
        failure = (error.decline_code or error.code)[:FAILURE_CHARS_MAX]
        return await self._fail(tx, failure, error.payment_intent_id)

    async def next_params(self, tx: Transaction, _call: StripeCall, _now: Now) -> dict[str, Any] | None:
        window = await windows.get_window(tx, self.window_id)
        stay = None if window is None else await find_stay(tx, window.pass_id)
        if window is None or stay is None or window.state != "asked":
            return None
        return intent_params(self.ctx.settings, stay.order, window)

    async def out_of_keys(self, tx: Transaction, _now: Now) -> Sequence[Notice]:
        return await self._fail(tx, UNAVAILABLE, None)

    async def dropped(self, tx: Transaction, _now: Now) -> Sequence[Notice]:
        window = await windows.get_window(tx, self.window_id)
        if window is not None and window.state in PENDING:
            await windows.move_window(tx, window, "released")
        return ()

    async def _fail(self, tx: Transaction, failure: str, payment_intent_id: str | None) -> Sequence[Notice]:
        window = await windows.get_window(tx, self.window_id)
        assert window is not None, "windows are never deleted"
        if window.state not in PENDING:
            return ()
        values = {} if payment_intent_id is None else {"payment_intent_id": payment_intent_id}
        await windows.move_window(tx, window, "failed", failure=failure, **values)
        found = await passes.get_pass(tx, window.pass_id)
        assert found is not None, "windows refer to their pass"
        return (funding_failed(found, failure),)


async def reconcile(ctx: Context, window_id: str) -> None:
    """Finds out what came of a window's call, and makes it again where nothing did. Raises OutcomeUnknownError when the
    service cannot be asked."""
    await attempts.reconcile(ctx, _Holding(ctx, window_id))


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
