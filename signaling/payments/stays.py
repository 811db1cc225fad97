"""The end of a stay that is paid for by use: priced once, charged to its holds, the rest let go at once.

`settle_stay` decides in one transaction and stores what each hold is charged; the outbox then carries it out, window by
window. A lost notice costs nothing: the sweep finds every pass that nobody is in any more.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import structlog

from metering.funding import PENDING, settle
from metering.money import currency
from metering.tariff import Metered
from signaling.notices import Notice, OutboxFilled, PassChanged
from signaling.payments import attempts, funding, holds, walletstays
from signaling.payments.apply import Stamp
from signaling.payments.context import Context, side_by_side
from signaling.payments.holds import Stay, find_stay
from signaling.payments.port import IntentFact, RefusedByServiceError
from signaling.stores import outbox, passes, windows
from signaling.stores import refunds as calls
from signaling.stores.database import Transaction
from signaling.stores.outbox import OutboxRow
from signaling.stores.windows import Unsettled, Window

log = structlog.get_logger()

# Endings after which nobody comes back to the same stay; after any other it waits for five minutes.
FINAL = frozenset({"left", "used_up", "host_ended", "kicked", "revoked", "refunded", "disputed"})
ABSENT_S = 300
# A hold that lapses within this time is charged now, not when the payer comes back.
LAPSES_WITHIN_S = 3600
CHARGE = "charge_window"
CAPTURE = "payment_intents.capture"
CANCEL = "payment_intents.cancel"


class NotYetError(Exception):
    """The service is still at it: look again later."""


# --- when it is over --------------------------------------------------------------------------------------


async def settle_stale(ctx: Context) -> int:
    """Settles every stay that is over and was not told of; how many."""
    now_s, books = ctx.now_s(), (ctx.settings.mode, ctx.settings.account)
    async with ctx.db.read() as tx:
        waiting = await windows.unsettled(tx, *books)
        lapsing = await windows.lapsing_inside(tx, *books, now_s + LAPSES_WITHIN_S)
    over = [one.pass_id for one in waiting if _is_over(one, now_s)]
    await side_by_side(settle_stay(ctx, pass_id) for pass_id in over)
    for pass_id in lapsing:
        await _close(ctx, pass_id)
    return len(over) + len(lapsing)


def _is_over(one: Unsettled, now_s: int) -> bool:
    lapses = one.capture_before_s is not None and one.capture_before_s - now_s <= LAPSES_WITHIN_S
    return one.is_over or lapses or now_s - _seconds(one.outside_since) >= ABSENT_S


def _seconds(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()


async def _close(ctx: Context, pass_id: str) -> None:
    """Somebody is still inside, but the hold will not wait: the call ends, and is then settled."""

    async def work(tx: Transaction) -> Sequence[Notice]:
        found = await passes.get_pass(tx, pass_id)
        if found is None or found.state not in windows.ALIVE:
            return ()
        await passes.end_pass(tx, pass_id, "used_up")
        return (PassChanged(pass_id, found.room_id),)

    await ctx.write(work)


async def settle_stay(ctx: Context, pass_id: str) -> None:
    """Prices what was used and stores what each hold is charged, once; nothing while somebody is inside."""
    now_s, now_text = ctx.now_s(), ctx.now_text()

    async def work(tx: Transaction) -> Sequence[Notice]:
        stay = await find_stay(tx, pass_id)
        if stay is None or stay.pass_.settled or await windows.is_inside(tx, pass_id):
            return ()
        if not await windows.mark_settled(tx, pass_id):
            return ()
        if stay.order.funding == "wallet":
            await walletstays.close_stay(
                tx, stay, Stamp(pass_id, now_s, now_text, ctx.settings.earnings_days)
            )
            return (PassChanged(pass_id, stay.pass_.room_id),)
        closing = _Closing(tx, stay, now_s, now_text)
        await closing.run()
        return (PassChanged(pass_id, stay.pass_.room_id), OutboxFilled())

    await ctx.write(work)
    ctx.step("stay_settled")


@dataclass(frozen=True, slots=True)
class _Closing:
    """The last transaction of a stay: what each hold is charged."""

    tx: Transaction
    stay: Stay
    now_s: int
    now_text: str

    async def run(self) -> None:
        stay = self.stay
        waived_today = await self._was_waived()
        settled = settle(
            stay.tariff,
            [window.plain() for window in stay.windows],
            stay.pass_.used_ms,
            minimum_minor=currency(stay.order.currency).minimum_minor,
            waived_today=waived_today,
        )
        if settled.waived:
            await windows.waive(self.tx, **self._waiver(), order_id=stay.order.id)
        by_number = {window.number: window for window in stay.windows}
        for charge in settled.charges:
            await self._charge(by_number[charge.number], charge.charged_minor)
        for window in stay.windows:
            if window.state in PENDING:
                await holds.ask_release(self.tx, window.id, now_s=self.now_s, created_at=self.now_text)

    def _waiver(self) -> dict[str, str]:
        return {
            "room_id": self.stay.pass_.room_id,
            "fingerprint": self.stay.order.fingerprint or "",
            "day": self.now_text[:10],
        }

    async def _was_waived(self) -> bool:
        """A card that is not known by its fingerprint has no free call: it could have one after the other. Nor has any card
        where the order's tariff says so."""
        tariff = self.stay.tariff
        if self.stay.order.fingerprint is None or (
            isinstance(tariff, Metered) and tariff.minimum == "charge"
        ):
            return True
        return await windows.was_waived(self.tx, **self._waiver())

    async def _charge(self, window: Window, amount_minor: int) -> None:
        await windows.move_window(self.tx, window, "settling", charged_minor=amount_minor)
        await _begin(self.tx, window.id, amount_minor, self.now_s)
        await outbox.add(
            self.tx,
            outbox_id=f"charge:{window.id}",
            kind=CHARGE,
            subject_id=window.id,
            payload={"amount_minor": amount_minor},
            now_s=self.now_s,
            created_at=self.now_text,
        )


async def _begin(tx: Transaction, window_id: str, amount_minor: int, now_s: int) -> calls.StripeCall:
    """The call that charges a hold, or cancels it where nothing is charged."""
    operation, verb = (CAPTURE, "capture") if amount_minor else (CANCEL, "cancel")
    params = {"amount_to_capture": amount_minor} if amount_minor else {}
    first_key = f"{verb}:{window_id}"
    return await attempts.begin(tx, operation, window_id, params, first_key=first_key, now_s=now_s)


# --- carrying it out --------------------------------------------------------------------------------------


async def charge_window(ctx: Context, row: OutboxRow) -> None:
    """Captures or cancels the payment behind a window, as it was decided. Raises OutcomeUnknownError, NotYetError."""
    async with ctx.db.read() as tx:
        window = await windows.get_window(tx, row.subject_id)
    assert window is not None, "windows are never deleted"
    if window.state != "settling" or window.payment_intent_id is None:
        return
    if row.attempts > 0 and not await _still_held(ctx, window):
        return
    call = await _call_of(ctx, window, is_repeat=row.attempts > 0)
    try:
        fact = await _make(ctx, window.payment_intent_id, call)
    except RefusedByServiceError as error:
        log.warning("charge_refused", window_id=window.id, error=str(error))
        if await _still_held(ctx, window):
            raise NotYetError(str(error)) from error
        return
    ctx.step("window_charged")
    await holds.apply_intent(ctx, window.id, fact, call)


async def _make(ctx: Context, payment_intent_id: str, call: calls.StripeCall) -> IntentFact:
    if call.operation == CAPTURE:
        return await ctx.service.capture_intent(payment_intent_id, call.params, call.idempotency_key)
    return await ctx.service.cancel_intent(payment_intent_id, call.idempotency_key)


async def _still_held(ctx: Context, window: Window) -> bool:
    """Whether there is something left to do; what has been done already is applied."""
    assert window.payment_intent_id is not None, "asked by the caller"
    fact = await ctx.service.fetch_intent(window.payment_intent_id)
    ctx.step("window_fetched")
    if fact.status == "requires_capture":
        return True
    await holds.apply_intent(ctx, window.id, fact)
    if fact.status not in {"succeeded", "canceled"}:
        raise NotYetError(fact.status)
    return False


async def _call_of(ctx: Context, window: Window, *, is_repeat: bool) -> calls.StripeCall:
    """The stored call; for a repeat after a look that found nothing done, one with the next key: the old one may answer
    its failure for ever. Twice cannot be charged, a payment is captured once."""
    now_s, amount_minor = ctx.now_s(), window.charged_minor or 0
    operation = CAPTURE if amount_minor else CANCEL

    async def work(tx: Transaction) -> calls.StripeCall:
        newest = (await calls.calls_of(tx, window.id, operation))[-1]
        if not is_repeat:
            return newest
        await calls.set_call(tx, newest.idempotency_key, "refused", note=attempts.NOTHING)
        return await _begin(tx, window.id, amount_minor, now_s)

    return await ctx.db.write(work)


async def release_window(ctx: Context, row: OutboxRow) -> None:
    """Cancels the payment behind a window whose time was never granted. Raises OutcomeUnknownError, NotYetError."""
    async with ctx.db.read() as tx:
        window = await windows.get_window(tx, row.subject_id)
    assert window is not None, "windows are never deleted"
    if window.state not in PENDING:
        return
    if window.payment_intent_id is None:
        await funding.reconcile(ctx, window.id)
        raise NotYetError("what came of its hold is not known yet")
    try:
        fact = await ctx.service.cancel_intent(
            window.payment_intent_id, f"release:{window.id}:{row.attempts}"
        )
    except RefusedByServiceError:
        fact = await ctx.service.fetch_intent(window.payment_intent_id)
    ctx.step("window_released")
    await holds.apply_intent(ctx, window.id, fact)
    if fact.status != "canceled":
        raise NotYetError(fact.status)
