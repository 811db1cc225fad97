"""The run's heartbeat: once a second it commits that this process lives, and may forward for five seconds more.

The lease counts from before the heartbeat was sent, on a clock that does not stop while the machine sleeps. A run
whose row was taken from it stops at once.
"""

import asyncio
from collections.abc import Callable

import structlog
from sqlalchemy.exc import SQLAlchemyError

from mediaserver.server import MediaDoor
from signaling.clock import Clock, now_ms
from signaling.rooms.runner import MeterRunner
from signaling.stores import runs
from signaling.stores.database import Database, Transaction
from signaling.stores.meter import set_started
from signaling.stores.runs import BEAT_MS

log = structlog.get_logger()

LEASE_MS = 5_000
WATCH_MS = 100


class Heartbeat:
    """`start` writes the first beat of an inserted run; `close` stops beating."""

    def __init__(
        self,
        db: Database,
        door: MediaDoor,
        runner: MeterRunner,
        clock: Clock,
        *,
        run_id: str,
        lost: Callable[[], None],
    ) -> None:
        self._db = db
        self._door = door
        self._runner = runner
        self._clock = clock
        self._run_id = run_id
        self._lost = lost
        self._beat_seq = 0
        self._lease_ms = 0
        self._has_lease = False
        self._tasks: list[asyncio.Task[None]] = []

    @property
    def is_healthy(self) -> bool:
        """Whether the database took our last heartbeats."""
        return self._has_lease

    async def start(self) -> None:
        """Raises SQLAlchemyError when the first beat cannot be written."""
        await self._beat()
        self._tasks = [
            asyncio.create_task(self._run(), name="heartbeat"),
            asyncio.create_task(self._watch(), name="lease-watch"),
        ]

    async def close(self) -> None:
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)
        self._tasks = []

    async def _run(self) -> None:
        next_ms = now_ms(self._clock) + BEAT_MS
        while True:
            await asyncio.sleep(max(0, next_ms - now_ms(self._clock)) / 1000)
            next_ms = max(next_ms + BEAT_MS, now_ms(self._clock))
            await self.beat()

    async def beat(self) -> None:
        """One beat; when the database does not take it, the lease simply runs on to its end."""
        try:
            await self._beat()
        except (SQLAlchemyError, OSError):
            log.exception("heartbeat_failed", beat_seq=self._beat_seq)
            await self._learn_beat_seq()

    async def _beat(self) -> None:
        sent_ms = now_ms(self._clock)
        started = self._runner.starts()
        silent = self._runner.silent(sent_ms)

        async def work(tx: Transaction) -> bool:
            is_ours = await runs.beat(tx, self._run_id, self._beat_seq + 1, sent_ms, silent)
            if is_ours:
                await set_started(tx, started)
            return is_ours

        if not await self._db.write(work, ahead=True):
            self._stop()
            return
        self._beat_seq += 1
        self._runner.recorded(started)
        await self._renew(sent_ms + LEASE_MS)

    async def _learn_beat_seq(self) -> None:
        """After an error nobody knows whether the beat was written. We alone count it up, so the row tells."""
        try:
            async with self._db.read() as tx:
                run = await runs.get_run(tx, self._run_id)
        except (SQLAlchemyError, OSError):
            return
        if run is not None:
            self._beat_seq = run.beat_seq

    async def _renew(self, lease_ms: int) -> None:
        self._lease_ms = lease_ms
        await self._door.set_lease(lease_ms)
        if not self._has_lease and now_ms(self._clock) < lease_ms:
            self._has_lease = True
            self._runner.lease_renewed()

    async def _watch(self) -> None:
        """The door stops by itself at the lease's end; here the clocks learn of it."""
        while True:
            await asyncio.sleep(WATCH_MS / 1000)
            self.check_lease()

    def check_lease(self) -> None:
        if self._has_lease and now_ms(self._clock) >= self._lease_ms:
            self._has_lease = False
            log.error("lease_lost", lease_ms=self._lease_ms)
            self._runner.lease_lost(self._lease_ms)

    def _stop(self) -> None:
        log.error("run_taken_from_us", run_id=self._run_id)
        self._has_lease = False
        for task in self._tasks:
            if task is not asyncio.current_task():
                task.cancel()
        self._lost()
        if asyncio.current_task() in self._tasks:
            raise asyncio.CancelledError
