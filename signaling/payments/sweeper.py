"""What time brings about: reservations that ran out, hosts who went away, payments that cannot be served, calls
whose outcome is unknown, and events that were missed while the server was down.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence

import structlog
from sqlalchemy import select, update

from signaling.notices import Notice, OutboxFilled
from signaling.payments import (
    attempts,
    automatic,
    connect,
    dues,
    funding,
    gap,
    onfile,
    reconcile,
    refunding,
    stays,
    subscribing,
    transfers,
)
from signaling.payments.context import Context, nothing_between, side_by_side
from signaling.payments.port import OutcomeUnknownError, ServiceEvent
from signaling.payments.settle import bring_up_to_date, settle
from signaling.payments.webhook import store_events
from signaling.stores import orders, outbox
from signaling.stores import refunds as calls
from signaling.stores.database import Transaction
from signaling.stores.schema import settings as settings_table
from signaling.stores.schema import stripe_calls
from signaling.stores.statements import put

log = structlog.get_logger()

OVERLAP_S = 300  # events are listed again from so long before the newest one seen
STORE_CHUNK = 100


async def sweep(ctx: Context, between: Callable[[], Awaitable[None]] = nothing_between) -> bool:
    """One round of what is decided by rows alone; `between` any two steps, what cannot wait. True when the outbox has
    something new."""
    asked = 0
    for step in _STEPS:
        asked += await step(ctx)
        await between()
    if asked:
        ctx.notices.publish(OutboxFilled())
    return asked > 0


async def _settle_or_expire(ctx: Context) -> int:
    """After a long time down, stays are settled first: their holds are overdue."""
    settled = await stays.settle_stale(ctx)
    if not settled:
        await dues.expire_holds(ctx)
    return settled


async def _make_due_available(ctx: Context) -> int:
    await dues.make_due_available(ctx)
    return 0  # nothing is sent by it


async def _expire_unpaid(ctx: Context) -> int:
    """Reservations that ran out (the payer walking away sets them to now), and orders that nobody could serve."""
    now_s, now_text, shelf = ctx.now_s(), ctx.now_text(), ctx.settings.shelf

    async def work(tx: Transaction) -> int:
        overdue = await orders.overdue_reservations(tx, now_s, shelf=shelf)
        unservable = await orders.unservable(tx, now_s - ctx.settings.away_grace_s, shelf=shelf)
        asked = 0
        for order in [*overdue, *unservable]:
            asked += await outbox.ask_expiry(tx, order.id, "unpaid", now_s=now_s, created_at=now_text)
        return asked

    if not await _anything(ctx, now_s):
        return 0
    asked = await ctx.db.write(work)
    ctx.step("swept")
    return asked


async def _anything(ctx: Context, now_s: int) -> bool:
    """Looked up in a snapshot first: the writer is not disturbed every second for nothing."""
    away_before_s, shelf = now_s - ctx.settings.away_grace_s, ctx.settings.shelf
    async with ctx.db.read() as tx:
        overdue = await orders.overdue_reservations(tx, now_s, limit=1, shelf=shelf)
        return bool(overdue or await orders.unservable(tx, away_before_s, limit=1, shelf=shelf))


_STEPS: Sequence[Callable[[Context], Awaitable[int]]] = (
    _expire_unpaid,
    automatic.refund_by_policy,
    _settle_or_expire,
    refunding.retry_failed,
    subscribing.sweep,
    _make_due_available,
    transfers.pay_out,
)


# --- calls whose outcome is unknown -----------------------------------------------------------------------


async def look_after_calls(ctx: Context) -> int:
    """Reconciles the calls that are due; how many."""
    due: list[calls.StripeCall] = []
    async with ctx.db.read() as tx:
        for operation in _RECONCILERS:
            due += await calls.open_calls(tx, ctx.now_s(), operation, shelf=ctx.settings.shelf)
    for call in due:
        await _look_after(ctx, call)
    return len(due)


async def _settle_on_file(ctx: Context, order_id: str) -> None:
    await settle(ctx, order_id)  # what is found may be paid already


_RECONCILERS: Mapping[str, Callable[[Context, str], Awaitable[None]]] = {
    reconcile.OPERATION: reconcile.reconcile,
    onfile.OPERATION: _settle_on_file,
    funding.OPERATION: funding.reconcile,
}


async def _look_after(ctx: Context, call: calls.StripeCall) -> None:
    try:
        await _RECONCILERS[call.operation](ctx, call.subject_id)
    except OutcomeUnknownError as error:
        await attempts.postpone(ctx, call, str(error))
    except Exception as error:
        log.exception("reconciling_failed", subject_id=call.subject_id)
        await attempts.postpone(ctx, call, repr(error))


async def forget_waiting(ctx: Context) -> None:
    """After a restart no call is in progress: all are looked at now. A link into forms was for somebody who waited for it:
    the next one is new."""
    now_s = ctx.now_s()

    async def work(tx: Transaction) -> Sequence[Notice]:
        open_ones = stripe_calls.c.state.in_(["pending", "unknown"])
        ours = ctx.settings.shelf.about(stripe_calls.c.subject_id)
        lost = update(stripe_calls).where(open_ones, ours, stripe_calls.c.operation == connect.LINK_OPERATION)
        await tx.execute(lost.values(state="refused", note="nobody waits for this link any more"))
        await tx.execute(update(stripe_calls).where(open_ones, ours).values(next_at_s=now_s))
        return ()

    await ctx.write(work)


# --- catching up ------------------------------------------------------------------------------------------


def _cursor_name(ctx: Context) -> str:
    return f"events:{ctx.settings.mode}:{ctx.settings.account}"[:64]


async def catch_up(ctx: Context) -> int:
    """Lists the events since the newest one seen and stores those that never came; how many. Raises
    OutcomeUnknownError when the service cannot be asked."""
    name, started_s = _cursor_name(ctx), ctx.now_s()
    async with ctx.db.read() as tx:
        query = select(settings_table.c.value).where(settings_table.c.name == name)
        cursor_s = (await tx.execute(query)).scalar()
    missed = 0
    if cursor_s is not None and started_s - int(cursor_s) > gap.EVENTS_LAST_S:
        await gap.bridge(ctx, int(cursor_s))
    if cursor_s is not None:
        chunk: list[ServiceEvent] = []
        async for event in ctx.service.events_since(int(cursor_s) - OVERLAP_S):
            chunk.append(event)
            if len(chunk) == STORE_CHUNK:
                missed += await store_events(ctx, chunk)
                chunk = []
        missed += await store_events(ctx, chunk)
    await _set_cursor(ctx, name, started_s)
    return missed


async def _set_cursor(ctx: Context, name: str, value_s: int) -> None:
    async def work(tx: Transaction) -> Sequence[Notice]:
        await put(tx, settings_table, "name", {"name": name, "value": value_s})
        return ()

    await ctx.write(work)


async def settle_open(ctx: Context) -> None:
    """Every order that may have been paid while nobody listened. Failures wait for the next event or round."""
    last = (-1, "")
    while True:
        async with ctx.db.read() as tx:
            waiting = await orders.unsettled(tx, ctx.settings.mode, ctx.settings.account, after=last)
        if not waiting:
            return
        await side_by_side(_settle_one(ctx, order_id) for _, order_id in waiting)
        last = waiting[-1]


async def _settle_one(ctx: Context, order_id: str) -> None:
    try:
        await bring_up_to_date(ctx, order_id)
    except OutcomeUnknownError as error:
        log.warning("settling_postponed", order_id=order_id, error=str(error))
    except Exception:
        # One order that cannot be applied must not hold up the others.
        log.exception("settling_failed", order_id=order_id)
