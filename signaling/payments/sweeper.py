"""What time brings about: reservations that ran out, hosts who went away, payments that cannot be served, calls
whose outcome is unknown, and events that were missed while the server was down.
"""

from collections.abc import Sequence
from dataclasses import replace

import structlog
from sqlalchemy import select, update

from metering.orders import PassSnapshot, refund_due
from signaling.notices import Notice, OutboxFilled
from signaling.payments import onfile, reconcile
from signaling.payments.context import Context
from signaling.payments.port import OutcomeUnknownError, ServiceEvent
from signaling.payments.settle import settle
from signaling.payments.webhook import store_events
from signaling.stores import orders, outbox, passes, rooms
from signaling.stores import refunds as calls
from signaling.stores.database import Transaction
from signaling.stores.schema import settings as settings_table
from signaling.stores.schema import stripe_calls
from signaling.stores.statements import put

log = structlog.get_logger()

OVERLAP_S = 300  # events are listed again from so long before the newest one seen
STORE_CHUNK = 100


async def sweep(ctx: Context) -> bool:
    """One round of what is decided by rows alone. True when the outbox has something new."""
    asked = await _expire_unpaid(ctx) + await _refund_unserved(ctx)
    if asked:
        ctx.notices.publish(OutboxFilled())
    return asked > 0


async def _expire_unpaid(ctx: Context) -> int:
    """Reservations that ran out (the payer walking away sets them to now), and orders that nobody could serve."""
    now_s, now_text = ctx.now_s(), ctx.now_text()

    async def work(tx: Transaction) -> int:
        overdue = await orders.overdue_reservations(tx, now_s)
        unservable = await orders.unservable(tx, now_s - ctx.settings.away_grace_s)
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
    async with ctx.db.read() as tx:
        overdue = await orders.overdue_reservations(tx, now_s, limit=1)
        return bool(overdue or await orders.unservable(tx, now_s - ctx.settings.away_grace_s, limit=1))


async def _refund_unserved(ctx: Context) -> int:
    """Looked up in a snapshot first, decided again where it is written."""
    now_s, now_text = ctx.now_s(), ctx.now_text()
    async with ctx.db.read() as tx:
        due = await _unserved_passes(tx, ctx, now_s)

    async def work(tx: Transaction) -> int:
        asked = 0
        for pass_id in await _unserved_passes(tx, ctx, now_s):
            asked += await outbox.ask_refund_of_pass(
                tx, pass_id, "unserved", now_s=now_s, created_at=now_text
            )
        return asked

    return await ctx.db.write(work) if due else 0


async def _unserved_passes(tx: Transaction, ctx: Context, now_s: int) -> list[str]:
    """Passes whose unused time is due to be given back, each once."""
    found: dict[str, bool] = {}
    for order in await orders.unserved(tx, now_s - ctx.settings.patience_s):
        owned = await passes.pass_of_order(tx, order)
        if owned is not None and owned.id not in found:
            found[owned.id] = await _is_due(tx, owned, now_s)
    return [pass_id for pass_id, is_due in found.items() if is_due]


async def _is_due(tx: Transaction, owned: passes.Pass, now_s: int) -> bool:
    """A pass is one thing: the patience runs from the last payment for it, and whoever waits with one of its orders
    waits with all."""
    room = await rooms.by_id(tx, owned.room_id)
    behind = await orders.orders_of_pass(tx, owned.id)
    assert room is not None, "passes refer to their room"
    last_paid_ms = max((order.paid_at_s or 0) * 1000 for order in behind)
    used = PassSnapshot(owned.id, owned.granted_ms, owned.used_ms)
    return any(
        refund_due(
            replace(order.snapshot(), paid_ms=last_paid_ms),
            used,
            _away_since_ms(room),
            now_s * 1000,
            waits=any(one.waits for one in behind),
            room_closed=room.state == "closed",
        )
        for order in behind
    )


def _away_since_ms(room: rooms.Room) -> int | None:
    if room.live or room.away_since_s is None:
        return None
    return room.away_since_s * 1000


# --- calls whose outcome is unknown -----------------------------------------------------------------------


async def look_after_calls(ctx: Context) -> int:
    """Reconciles the calls that are due; how many."""
    async with ctx.db.read() as tx:
        due = await calls.open_calls(tx, ctx.now_s(), reconcile.OPERATION)
        on_file = await calls.open_calls(tx, ctx.now_s(), onfile.OPERATION)
    for call in [*due, *on_file]:
        await _look_after(ctx, call)
    return len(due) + len(on_file)


async def _look_after(ctx: Context, call: calls.StripeCall) -> None:
    try:
        if call.operation == onfile.OPERATION:
            await settle(ctx, call.subject_id)  # what was found may be paid already
        else:
            await reconcile.reconcile(ctx, call.subject_id)
    except OutcomeUnknownError as error:
        await reconcile.postpone(ctx, call, str(error))
    except Exception as error:
        log.exception("reconciling_failed", order_id=call.subject_id)
        await reconcile.postpone(ctx, call, repr(error))


async def forget_waiting(ctx: Context) -> None:
    """After a restart no call is in progress: all are looked at now."""
    now_s = ctx.now_s()

    async def work(tx: Transaction) -> Sequence[Notice]:
        open_states = stripe_calls.c.state.in_(["pending", "unknown"])
        await tx.execute(update(stripe_calls).where(open_states).values(next_at_s=now_s))
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
    async with ctx.db.read() as tx:
        waiting = await orders.unsettled(tx, ctx.settings.mode, ctx.settings.account)
    for order_id in waiting:
        try:
            await settle(ctx, order_id)
        except OutcomeUnknownError as error:
            log.warning("settling_postponed", order_id=order_id, error=str(error))
        except Exception:
            # One order that cannot be applied must not hold up the others.
            log.exception("settling_failed", order_id=order_id)
