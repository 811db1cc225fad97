"""Does what the outbox asks for, at least once: expiries of Checkout Sessions here, the rest where it is at home."""

from collections.abc import Awaitable, Callable, Mapping, Sequence

import structlog

from signaling.notices import Notice
from signaling.payments import onfile, reconcile, refunding, stays, subscribing, transfers
from signaling.payments.context import Context, nothing_between, side_by_side
from signaling.payments.errors import ImpossibleError, LaterError
from signaling.payments.port import OutcomeUnknownError, RefusedByServiceError
from signaling.payments.settle import settle
from signaling.stores import outbox
from signaling.stores.database import Transaction
from signaling.stores.orders import Order, get_order
from signaling.stores.outbox import OutboxRow

log = structlog.get_logger()

BACKOFF_MAX_S = 300
ATTEMPTS_MAX = 40  # about three hours
BETWEEN_ORDERS = 12


async def empty_outbox(ctx: Context, between: Callable[[], Awaitable[None]] = nothing_between) -> int:
    """Does what is due, a few orders at a time; `between` them, what cannot wait. How many rows were looked at."""
    async with ctx.db.read() as tx:
        due = await outbox.due(tx, ctx.now_s(), list(_KINDS), shelf=ctx.settings.shelf)
    by_order: dict[str, list[OutboxRow]] = {}
    for row in due:
        by_order.setdefault(row.subject_id, []).append(row)
    orders = list(by_order.values())
    for first in range(0, len(orders), BETWEEN_ORDERS):
        await side_by_side(_do_all(ctx, rows) for rows in orders[first : first + BETWEEN_ORDERS])
        await between()
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


async def _charge_window(ctx: Context, row: OutboxRow) -> None:
    await _soon(stays.charge_window(ctx, row))


async def _release_window(ctx: Context, row: OutboxRow) -> None:
    await _soon(stays.release_window(ctx, row))


async def _soon(work: Awaitable[None]) -> None:
    try:
        await work
    except stays.NotYetError as error:
        raise LaterError(str(error), 5) from error


_KINDS: Mapping[str, Callable[[Context, OutboxRow], Awaitable[None]]] = {
    "charge_window": _charge_window,
    "release_window": _release_window,
    "expire_checkout": _expire,
    "refund": refunding.refund,
    subscribing.CANCEL: subscribing.cancel,
    subscribing.CANCEL_AT_END: subscribing.cancel_at_end,
    transfers.REVERSE: transfers.reverse,
    transfers.SEND: transfers.send,
}
