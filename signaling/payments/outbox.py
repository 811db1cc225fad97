"""Does what the outbox asks for: refunds and expiries of Checkout Sessions, at least once."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import structlog

from metering.orders import PassSnapshot, unused_of
from signaling.notices import Notice, PassChanged
from signaling.payments import onfile, reconcile
from signaling.payments.context import Context, side_by_side
from signaling.payments.port import OutcomeUnknownError, RefundFact, RefusedByServiceError
from signaling.payments.settle import settle
from signaling.stores import outbox, passes, refunds
from signaling.stores.database import Transaction
from signaling.stores.orders import Order, get_order
from signaling.stores.outbox import OutboxRow

log = structlog.get_logger()

BACKOFF_MAX_S = 300
ATTEMPTS_MAX = 40  # about three hours
REFUND_OPERATION = "refunds.create"
KEYS_MAX = 5


class LaterError(Exception):
    """Not yet: try again in `after_s`. `counts`: as a failed attempt, of which there are so many."""

    def __init__(self, message: str, after_s: int, *, counts: bool = True) -> None:
        super().__init__(message)
        self.after_s = after_s
        self.counts = counts


class ImpossibleError(Exception):
    """It will never work: the operator is told."""


async def empty_outbox(ctx: Context) -> int:
    """Does what is due; how many rows were looked at."""
    async with ctx.db.read() as tx:
        due = await outbox.due(tx, ctx.now_s(), list(_KINDS))
    by_order: dict[str, list[OutboxRow]] = {}
    for row in due:
        by_order.setdefault(row.subject_id, []).append(row)
    await side_by_side(_do_all(ctx, rows) for rows in by_order.values())
    return len(due)


async def _do_all(ctx: Context, rows: Sequence[OutboxRow]) -> None:
    """What concerns one order is done one after the other."""
    for row in rows:
        await _do(ctx, row)


async def _do(ctx: Context, row: OutboxRow) -> None:
    try:
        await _KINDS[row.kind](ctx, row)
    except LaterError as later:
        await _retry(ctx, row, later.after_s, str(later), counts=later.counts)
    except OutcomeUnknownError as error:
        await _retry(ctx, row, min(2**row.attempts, BACKOFF_MAX_S), str(error))
    except ImpossibleError as error:
        await _finish(ctx, row, "failed", str(error))
    except Exception as error:
        log.exception("outbox_failed", outbox_id=row.id)
        await _retry(ctx, row, min(2 ** (row.attempts + 1), BACKOFF_MAX_S), repr(error))
    else:
        await _finish(ctx, row, "done", None)


async def _finish(ctx: Context, row: OutboxRow, state: outbox.OutboxState, note: str | None) -> None:
    async def work(tx: Transaction) -> Sequence[Notice]:
        await outbox.finish(tx, row.id, state, note)
        return ()

    if state == "failed":
        log.error("outbox_gave_up", outbox_id=row.id, note=note)
    await ctx.write(work)


async def _retry(ctx: Context, row: OutboxRow, after_s: int, note: str, *, counts: bool = True) -> None:
    attempts = row.attempts + 1 if counts else row.attempts
    if attempts >= ATTEMPTS_MAX:
        await _finish(ctx, row, "failed", note)
        return
    next_at_s = ctx.now_s() + max(1, after_s)

    async def work(tx: Transaction) -> Sequence[Notice]:
        await outbox.retry(tx, row.id, attempts, next_at_s, note)
        return ()

    await ctx.write(work)


# --- expiring ---------------------------------------------------------------------------------------------


async def _expire(ctx: Context, row: OutboxRow) -> None:
    """Refused means that it was paid or is expired already: either way, settling says which."""
    async with ctx.db.read() as tx:
        order = await get_order(tx, row.subject_id)
    if order is None:
        raise ImpossibleError("no such order")
    if order.on_file:
        await _cancel(ctx, order)
        return
    if order.checkout_session_id is None:
        await reconcile.reconcile(ctx, order.id)
        async with ctx.db.read() as tx:
            order = await get_order(tx, row.subject_id)
    assert order is not None, "orders are never deleted"
    if order.checkout_session_id is None:
        if order.reserved_until_s is None:
            return
        raise LaterError("its Checkout Session is not known yet", 1)
    try:
        await ctx.service.expire_checkout(order.checkout_session_id)
    except RefusedByServiceError as error:
        log.info("expiry_refused", order_id=order.id, error=str(error))
    ctx.step("expired")
    settled = await settle(ctx, order.id)
    if settled.reserved_until_s is not None:
        raise LaterError("neither expired nor paid", 5)


async def _cancel(ctx: Context, order: Order) -> None:
    """With a card on file there is a PaymentIntent instead of a Checkout Session."""
    if order.payment_intent_id is not None:
        await onfile.cancel(ctx, order)
        ctx.step("canceled")
    settled = await settle(ctx, order.id)
    if settled.reserved_until_s is not None:
        raise LaterError("neither canceled nor paid", 5)


# --- refunding --------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Ready:
    """A refund that is recorded and may be asked for. `call` None: there is nothing to give back."""

    order: Order
    refund_id: str
    call: refunds.StripeCall | None
    notices: tuple[Notice, ...]


async def _refund(ctx: Context, row: OutboxRow) -> None:
    now_s, now_text = ctx.now_s(), ctx.now_text()
    ready = await ctx.db.write(lambda tx: _prepare(tx, row, now_s, now_text))
    for notice in ready.notices:
        ctx.notices.publish(notice)
    ctx.step("refund_prepared")
    if ready.call is None:
        if ready.refund_id:
            raise LaterError("the meter still counts", 1, counts=False)
        return
    if ready.call.state != "done":
        await _ask(ctx, ready.order, ready.call, ready.refund_id)
    ctx.step("refunded")
    await settle(ctx, ready.order.id)


async def _prepare(tx: Transaction, row: OutboxRow, now_s: int, now_text: str) -> _Ready:
    """Ends the pass, and once its meter stands still records how much is given back."""
    order = await get_order(tx, row.subject_id)
    if order is None or not order.granted:
        raise ImpossibleError("not a paid order")
    refund_id = row.id[:64]
    made = await refunds.calls_of(tx, refund_id, REFUND_OPERATION)
    if made:
        return _Ready(order, refund_id, made[-1], ())
    notices = await _end_pass(tx, order, row)
    found = await passes.pass_of_order(tx, order)
    if found is not None and await passes.has_open_segment(tx, found.id):
        return _Ready(order, refund_id, None, notices)
    amount_minor = await _amount_minor(tx, order, row, found)
    if amount_minor == 0:
        return _Ready(order, "", None, notices)
    refund = refunds.Refund(
        id=refund_id,
        order_id=order.id,
        amount_minor=amount_minor,
        currency=order.currency,
        reason=str(row.payload["reason"]),
        state="asked",
        stripe_refund_id=None,
        created_at=now_text,
    )
    await refunds.insert_refund(tx, refund)
    return _Ready(order, refund_id, await _begin(tx, order, refund, 1, now_s), notices)


async def _end_pass(tx: Transaction, order: Order, row: OutboxRow) -> tuple[Notice, ...]:
    """Nobody uses up time that is being given back. An amount named by a person leaves the pass alone."""
    found = await passes.pass_of_order(tx, order)
    if found is None or row.payload["amount_minor"] != "unused":
        return ()
    if found.state not in {"waiting", "active"} or not await passes.end_pass(tx, found.id, "refunded"):
        return ()
    return (PassChanged(found.id, order.room),)


async def _amount_minor(tx: Transaction, order: Order, row: OutboxRow, found: passes.Pass | None) -> int:
    wanted = row.payload["amount_minor"]
    # What was asked for and not yet booked counts as given back.
    gone_minor = max(order.refunded_minor, await refunds.asked_minor(tx, order.id))
    left_minor = order.amount_minor - order.lost_minor - gone_minor
    if order.dispute in {"open", "lost"}:
        return 0  # the bank has taken it already
    if wanted == "unused":
        used = None if found is None else PassSnapshot(found.id, found.granted_ms, found.used_ms)
        wanted = unused_of(replace(order.snapshot(), refunded_minor=gone_minor), used)
    return max(0, min(int(wanted), left_minor))


async def _begin(
    tx: Transaction, order: Order, refund: refunds.Refund, attempt: int, now_s: int
) -> refunds.StripeCall:
    params: dict[str, Any] = {
        "payment_intent": order.payment_intent_id,
        "amount": refund.amount_minor,
        "metadata": {"refund_id": refund.id, "order_id": order.id, "reason": refund.reason},
    }
    key = refund.id if attempt == 1 else f"{refund.id}:{attempt}"
    return await refunds.begin_call(
        tx,
        key=key,
        operation=REFUND_OPERATION,
        subject_id=refund.id,
        params=params,
        now_s=now_s,
        retry_at_s=now_s,
    )


async def _ask(ctx: Context, order: Order, call: refunds.StripeCall, refund_id: str) -> None:
    """Raises OutcomeUnknownError after looking: the same key is then used again, or the next one where the listing
    proved that nothing came of a call that was answered with a failure."""
    intent_id = str(call.params["payment_intent"])
    if call.attempts > 0 and (made := await ctx.service.find_refund(intent_id, refund_id)) is not None:
        await _done(ctx, call, made, refund_id)
        return
    try:
        made = await ctx.service.refund(call.params, call.idempotency_key)
    except RefusedByServiceError as error:
        await _refused(ctx, order, call, refund_id, str(error))
    except OutcomeUnknownError as error:
        await _unknown(ctx, order, call, refund_id, error)
        raise
    else:
        await _done(ctx, call, made, refund_id)


async def _done(ctx: Context, call: refunds.StripeCall, made: RefundFact, refund_id: str) -> None:
    state: refunds.RefundState = "succeeded" if made.status == "succeeded" else "asked"

    async def work(tx: Transaction) -> Sequence[Notice]:
        await refunds.set_call(tx, call.idempotency_key, "done", result_id=made.refund_id)
        await refunds.set_refund(tx, refund_id, state, made.refund_id)
        return ()

    await ctx.write(work)


async def _refused(ctx: Context, order: Order, call: refunds.StripeCall, refund_id: str, note: str) -> None:
    """A dashboard refund may have been quicker: settling books it. Raises ImpossibleError for the operator to see."""

    async def work(tx: Transaction) -> Sequence[Notice]:
        await refunds.set_call(tx, call.idempotency_key, "refused", note=note)
        await refunds.set_refund(tx, refund_id, "failed", None)
        return ()

    await ctx.write(work)
    await settle(ctx, order.id)
    raise ImpossibleError(note)


async def _unknown(
    ctx: Context, order: Order, call: refunds.StripeCall, refund_id: str, error: OutcomeUnknownError
) -> None:
    is_proved = False
    if error.answered and call.attempts > 0:
        found = await ctx.service.find_refund(str(call.params["payment_intent"]), refund_id)
        is_proved = found is None
    now_s = ctx.now_s()

    async def work(tx: Transaction) -> Sequence[Notice]:
        made = await refunds.calls_of(tx, refund_id, REFUND_OPERATION)
        if is_proved and len(made) < KEYS_MAX:
            await refunds.set_call(tx, call.idempotency_key, "refused", note="nothing came of it")
            refund = await refunds.get_refund(tx, refund_id)
            assert refund is not None, "recorded before the call"
            await _begin(tx, order, refund, len(made) + 1, now_s)
        else:
            await refunds.postpone_call(tx, call, now_s, str(error))
        return ()

    await ctx.write(work)


_KINDS: Mapping[str, Callable[[Context, OutboxRow], Awaitable[None]]] = {
    "expire_checkout": _expire,
    "refund": _refund,
}
