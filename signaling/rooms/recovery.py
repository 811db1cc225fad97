"""After a crash: what dead runs left open is closed at their last heartbeat, in one transaction each.

On SQLite a file lock beside the database proves that no other process of this machine uses it, so whatever run
calls itself live is dead, at once. Runs of other nodes are declared dead only after 7 s in which the same heartbeat was
read seven times without a failed read.
"""

import asyncio
import fcntl
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import structlog
from sqlalchemy.exc import SQLAlchemyError

from metering.session import recovered_used_ms
from signaling.clock import Clock, now_ms, rfc3339
from signaling.errors import ConfigError
from signaling.stores import runs
from signaling.stores.database import Database, Transaction
from signaling.stores.meter import CloseRow

log = structlog.get_logger()

READS_MIN = 7
STILL_MS_MIN = 7_000
READ_EVERY_S = 1.0


class FileLock:
    """Held as long as the process lives; the kernel lets go of it whatever kills the process."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._descriptor: int | None = None

    def take(self) -> None:
        """Raises ConfigError when another process holds it."""
        descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(descriptor)
            raise ConfigError(
                f"another Tollroom uses this database ({self._path} is locked): stop it, or set another DATABASE_URL"
            ) from None
        self._descriptor = descriptor

    def release(self) -> None:
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None


async def bury_run(db: Database, clock: Clock, run: runs.Run) -> list[str]:
    """Close what this dead run left open; the rooms that it forwarded. Nothing when another was quicker or it lives."""
    wall_s = clock.wall_s()

    async def work(tx: Transaction) -> list[str]:
        if not await runs.set_state(tx, run, "dead"):
            return []
        closed = [_closed(run, segment) for segment in await runs.open_segments_of(tx, run.id)]
        log.info("run_buried", run_id=run.id, segments=len(closed))
        return await runs.bury(tx, run.id, closed, int(wall_s), rfc3339(wall_s))

    return await db.write(work)


def _closed(run: runs.Run, segment: runs.OpenSegment) -> CloseRow:
    used_ms = recovered_used_ms(
        segment.started_ms, run.run_ms, run.silent.get(segment.session_id), segment.left_ms
    )
    return CloseRow(
        segment_id=segment.segment_id,
        pass_id=segment.pass_id,
        started_ms=segment.started_ms,
        closed_ms=max(run.run_ms, segment.opened_ms),
        used_ms=used_ms,
        forgiven_ms=segment.forgiven_ms,
    )


async def bury_all(db: Database, clock: Clock, run_id: str) -> list[str]:
    """At start on a database that is ours alone: every other run is dead."""
    async with db.read() as tx:
        others = await runs.other_live_runs(tx, run_id)
    rooms: list[str] = []
    for run in others:
        rooms += await bury_run(db, clock, run)
    return rooms


@dataclass(slots=True)
class _Seen:
    beat_seq: int
    reads: int
    since_ms: int


class DeathWatch:
    """Watches other nodes' runs on a shared database."""

    def __init__(self, db: Database, clock: Clock, run_id: str, freed: Callable[[list[str]], None]) -> None:
        self._db = db
        self._clock = clock
        self._run_id = run_id
        self._freed = freed
        self._seen: dict[str, _Seen] = {}
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        self._task = asyncio.create_task(self._run(), name="death-watch")

    async def close(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait({self._task})
            self._task = None

    async def _run(self) -> None:
        while True:
            await asyncio.sleep(READ_EVERY_S)
            try:
                await self.look()
            except (SQLAlchemyError, OSError):
                log.exception("death_watch_failed")

    async def look(self) -> None:
        """One reading of all heartbeats. A failed read starts every count again."""
        try:
            async with self._db.read() as tx:
                others = await runs.other_live_runs(tx, self._run_id)
        except (SQLAlchemyError, OSError):
            self._seen.clear()
            raise
        now = now_ms(self._clock)
        self._seen = {run.id: self._count(run, now) for run in others}
        for run in others:
            seen = self._seen[run.id]
            if seen.reads >= READS_MIN and now - seen.since_ms >= STILL_MS_MIN:
                self._freed(await bury_run(self._db, self._clock, run))

    def _count(self, run: runs.Run, now: int) -> _Seen:
        before = self._seen.get(run.id)
        if before is None or before.beat_seq != run.beat_seq:
            return _Seen(run.beat_seq, 1, now)
        return _Seen(run.beat_seq, before.reads + 1, before.since_ms)
