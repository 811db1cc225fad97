"""Rooms as the payments see them: rows and notices. Who comes in is counted until they leave, their time is over, the
pass is taken away, or the process dies.
"""

import asyncio
from collections.abc import Callable
from typing import Any

from sqlalchemy import select, update

from signaling.clock import rfc3339
from signaling.notices import PassChanged, StayEnded, StayLow
from signaling.stores import passes
from signaling.stores.database import Transaction
from signaling.stores.orders import BY_USE
from signaling.stores.schema import passes as passes_table
from signaling.stores.schema import runs, sessions

from .machine import Clock
from .server import Server

ENTERABLE = ("waiting", "active", "used_up")
LOW_MS = 60_000
CLOCK = Clock()


def _now() -> str:
    return rfc3339(CLOCK.wall_s())


class Stays:
    """The rooms of one server process."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._run_id = f"run_{server.name.replace(' ', '_')}"
        self._inside: dict[str, asyncio.Event] = {}
        self._count = 0
        server.notices.subscribe(self._hear)

    async def open(self) -> None:
        """Closes what dead runs left open, as recovery does."""
        run = {
            "id": self._run_id, "host": "here", "state": "live", "beat_seq": 0, "run_ms": 0, "silent": {},
            "started_at": _now(),
        }  # fmt: skip
        left = update(sessions).where(sessions.c.ended_at.is_(None))

        async def work(tx: Transaction) -> None:
            await tx.execute(left.values(ended_at=_now(), end_code="run_lost"))
            await tx.execute(runs.insert().values(run))

        await self._server.inside(self._server.db.write(work))

    def _hear(self, notice: Any) -> None:
        if isinstance(notice, PassChanged) and notice.pass_id in self._inside:
            self._inside[notice.pass_id].set()

    async def stay(self, pass_id: str, leaves: Callable[[], float]) -> None:
        """Inside until it ends; `leaves`: for how many seconds this one means to stay."""
        if pass_id in self._inside:
            return
        self._inside[pass_id] = asyncio.Event()
        try:
            entered = await self._enter(pass_id)
            if entered is not None:
                await self._count_time(*entered, leaves())
        finally:
            self._inside.pop(pass_id, None)

    async def _enter(self, pass_id: str) -> tuple[passes.Pass, str] | None:
        self._count += 1
        session_id = f"ses_{self._run_id}_{self._count}"

        async def work(tx: Transaction) -> passes.Pass | None:
            found = await passes.get_pass(tx, pass_id)
            if found is None or found.state not in ENTERABLE or found.settled or found.remaining_ms == 0:
                return None
            stay = {
                "id": session_id, "pass_id": pass_id, "room_id": found.room_id, "run_id": self._run_id,
                "epoch": self._count, "started_at": _now(),
            }  # fmt: skip
            await tx.execute(sessions.insert().values(stay))
            await tx.execute(update(passes_table).where(passes_table.c.id == pass_id).values(state="active"))
            return found

        found = await self._server.db.write(work)
        return None if found is None else (found, session_id)

    async def _count_time(self, entered: passes.Pass, session_id: str, stays_s: float) -> None:
        loop, changed = asyncio.get_running_loop(), self._inside[entered.id]
        since_s, used_ms, low_at = loop.time(), entered.used_ms, None
        code = "left"
        while True:
            async with self._server.db.read() as tx:
                now = await passes.get_pass(tx, entered.id)
            assert now is not None, "passes are never deleted"
            counted_ms = used_ms + round((loop.time() - since_s) * 1000)
            if now.state != "active":
                code = "used_up" if now.state == "used_up" else now.state
                break
            left_ms = None if now.granted_ms is None else now.granted_ms - counted_ms
            if left_ms is not None and left_ms <= 0:
                code = "used_up"
                break
            if stays_s <= (counted_ms - used_ms) / 1000:
                break
            is_low = left_ms is not None and left_ms <= LOW_MS and now.funding in BY_USE
            if is_low and low_at != now.granted_ms:
                low_at = now.granted_ms
                self._server.tell(StayLow(now.id, now.room_id, now.granted_ms))
            waits = [stays_s - (counted_ms - used_ms) / 1000]
            if left_ms is not None:
                waits += [left_ms / 1000, *([] if is_low else [max(0.0, (left_ms - LOW_MS) / 1000)])]
            try:
                async with asyncio.timeout(min(wait for wait in waits if wait > 0) + 0.001):
                    await changed.wait()
            except TimeoutError:
                pass
            changed.clear()
        await self._leave(entered, session_id, used_ms + round((loop.time() - since_s) * 1000), code)

    async def _leave(self, entered: passes.Pass, session_id: str, counted_ms: int, code: str) -> None:
        async def work(tx: Transaction) -> None:
            now = await passes.get_pass(tx, entered.id)
            assert now is not None, "passes are never deleted"
            used_ms = counted_ms if now.granted_ms is None else min(counted_ms, now.granted_ms)
            values: dict[str, Any] = {"used_ms": max(used_ms, now.used_ms)}
            if now.state == "active":
                values["state"] = "used_up" if used_ms == now.granted_ms else "waiting"
            await tx.execute(update(passes_table).where(passes_table.c.id == now.id).values(values))
            ended = {"ended_at": _now(), "end_code": code}
            await tx.execute(update(sessions).where(sessions.c.id == session_id).values(ended))

        await self._server.db.write(work)
        self._server.tell(StayEnded(entered.id, entered.room_id, code))

    async def pass_of(self, order_id: str) -> str | None:
        async with self._server.db.read() as tx:
            query = select(passes_table.c.id).where(passes_table.c.order_id == order_id)
            return (await tx.execute(query)).scalar()
