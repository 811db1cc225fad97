"""Refunds that nobody asks for: looks for passes that were not served, and asks by the policies of their room."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime

from metering.orders import PassSnapshot
from metering.policies import (
    SERVER_FAULTS,
    TECHNICAL_AFTER_MS,
    Attendance,
    AutomaticReason,
    Policies,
    automatic_refund,
)
from signaling.clock import rfc3339
from signaling.payments.context import Context
from signaling.stores import orders, outbox, passes, rates, rooms
from signaling.stores.database import Transaction

LOOKS_BACK_S = 86_400


async def refund_by_policy(ctx: Context) -> int:
    """Looked up in a snapshot first, decided again where it is written. How many refunds were asked for."""
    now_s, now_text = ctx.now_s(), ctx.now_text()
    async with ctx.db.read() as tx:
        due = await _due(tx, ctx, now_s)

    async def work(tx: Transaction) -> int:
        asked = 0
        for pass_id, reason in await _due(tx, ctx, now_s):
            asked += await outbox.ask_refund_of_pass(tx, pass_id, reason, now_s=now_s, created_at=now_text)
        return asked

    return await ctx.db.write(work) if due else 0


async def policies_of(tx: Transaction, room: rooms.Room) -> Policies:
    figures = await rates.figures_of_room(tx, room)
    return Policies(
        host_absent=bool(figures.get("refund_no_show")),
        host_left=bool(figures.get("refund_host_left")),
        technical=bool(figures.get("refund_technical")),
    )


async def _due(tx: Transaction, ctx: Context, now_s: int) -> list[tuple[str, AutomaticReason]]:
    """Passes whose unused time is to be given back, each once."""
    unserved = await orders.unserved(tx, now_s - ctx.settings.patience_s, shelf=ctx.settings.shelf)
    candidates = {
        found.id: found for order in unserved if (found := await passes.pass_of_order(tx, order)) is not None
    }
    for pass_id in await _failed(tx, ctx, now_s):
        failed = await passes.get_pass(tx, pass_id)
        if failed is not None:
            candidates.setdefault(pass_id, failed)
    decided = [(found.id, await _reason(tx, found, now_s)) for found in candidates.values()]
    return [(pass_id, reason) for pass_id, reason in decided if reason is not None]


async def _failed(tx: Transaction, ctx: Context, now_s: int) -> Sequence[str]:
    return await passes.ended_by(
        tx,
        SERVER_FAULTS,
        books=(ctx.settings.mode, ctx.settings.account),
        after=rfc3339(now_s - LOOKS_BACK_S),
        before=rfc3339(now_s - TECHNICAL_AFTER_MS // 1000),
    )


async def _reason(tx: Transaction, found: passes.Pass, now_s: int) -> AutomaticReason | None:
    """A pass is one thing: the patience runs from the last payment for it, and whoever waits with one of its orders
    waits with all."""
    room = await rooms.by_id(tx, found.room_id)
    behind = await orders.orders_of_pass(tx, found.id)
    assert room is not None, "passes refer to their room"
    last_paid_ms = max(((order.paid_at_s or 0) * 1000 for order in behind), default=0)
    seen = await _attendance(tx, found, room, waits=any(one.waits for one in behind))
    policies = await policies_of(tx, room)
    used = PassSnapshot(found.id, found.granted_ms, found.used_ms)
    for order in behind:
        snapshot = replace(order.snapshot(), paid_ms=last_paid_ms)
        decided = automatic_refund(snapshot, used, seen, now_s * 1000, policies)
        if decided is not None:
            return decided.reason
    return None


async def _attendance(tx: Transaction, found: passes.Pass, room: rooms.Room, *, waits: bool) -> Attendance:
    away = None if room.live or room.away_since_s is None else room.away_since_s * 1000
    ending = await passes.last_ending(tx, found.id)
    return Attendance(
        away_since_ms=away,
        room_closed=room.state == "closed",
        waits=waits,
        end_code=None if ending is None else ending[0],
        ended_ms=None if ending is None else int(datetime.fromisoformat(ending[1]).timestamp() * 1000),
    )
