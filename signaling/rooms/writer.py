"""Writes of the meter, group-committed: everything that waits goes into one transaction.

A room of hundreds pauses and goes on in a few commits. Bounded by the sessions themselves: each has at most one
opening, one closing and one ending under way. When the database is out of reach the batch is tried again until the
writer is closed; meanwhile the run's lease ends, so nobody watches for nothing.
"""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import structlog
from sqlalchemy.exc import InterfaceError, OperationalError, SQLAlchemyError

from signaling.stores import meter
from signaling.stores.database import Database, Transaction
from signaling.stores.meter import CloseRow, EndRow, OpenRow

log = structlog.get_logger()

BATCH_MAX = 400
RETRY_S = 0.25

# Called after the commit with the refusal (an end code), None when the segment is open.
Opened = Callable[[str | None], None]
Item = tuple[OpenRow, Opened] | CloseRow | EndRow


@dataclass(slots=True)
class _Batch:
    opens: list[OpenRow]
    closes: list[CloseRow]
    ends: list[EndRow]


class MeterWriter:
    """`open`, `close` and `end` never wait; `flushed` waits until everything before it is committed."""

    def __init__(self, db: Database, run_id: str) -> None:
        self._db = db
        self._run_id = run_id
        self._waiting: list[Item] = []
        self._marks: list[tuple[int, asyncio.Future[None]]] = []
        self._put = 0
        self._done = 0
        self._wake = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        self._task = asyncio.create_task(self._run(), name="meter-writer")

    async def close(self) -> None:
        """Stops; call `flushed` before when what waits must be kept."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait({self._task})
            self._task = None
        for _, mark in self._marks:
            mark.cancel()

    def open_segment(self, row: OpenRow, opened: Opened) -> None:
        self._add((row, opened))

    def close_segment(self, row: CloseRow) -> None:
        self._add(row)

    def end_session(self, row: EndRow) -> None:
        self._add(row)

    async def flushed(self) -> None:
        if self._done >= self._put:
            return
        mark = asyncio.get_running_loop().create_future()
        self._marks.append((self._put, mark))
        await mark

    def _add(self, item: Item) -> None:
        self._waiting.append(item)
        self._put += 1
        self._wake.set()

    async def _run(self) -> None:
        while True:
            await self._wake.wait()
            self._wake.clear()
            while self._waiting:
                batch, self._waiting = self._waiting[:BATCH_MAX], self._waiting[BATCH_MAX:]
                await self._commit(batch)

    async def _commit(self, items: Sequence[Item]) -> None:
        """All of them together; when the database refuses the whole, each by itself, so that one bad row holds up
        no other."""
        try:
            results = await self._write_until_done(_sorted(items))
        except SQLAlchemyError:
            log.exception("meter_batch_refused", size=len(items))
            if len(items) > 1:
                for item in items:
                    await self._commit([item])
                return
            results = {row.segment_id: "run_lost" for row in _opens(items)}
        self._settle(items, results)

    def _settle(self, items: Sequence[Item], results: dict[str, str | None]) -> None:
        self._done += len(items)
        for item in items:
            if isinstance(item, tuple):
                row, opened = item
                opened(results[row.segment_id])
        while self._marks and self._marks[0][0] <= self._done:
            _, mark = self._marks.pop(0)
            if not mark.done():
                mark.set_result(None)

    async def _write_until_done(self, batch: _Batch) -> dict[str, str | None]:
        """Raises SQLAlchemyError when the statements themselves are refused; waits while the database is away."""

        async def work(tx: Transaction) -> dict[str, str | None]:
            # Closings first: a pass that is taken over closes one segment and opens the next.
            await meter.close_segments(tx, batch.closes)
            await meter.end_sessions(tx, batch.ends)
            return await meter.open_segments(tx, self._run_id, batch.opens)

        while True:
            try:
                return await self._db.write(work, ahead=True)
            except (OperationalError, InterfaceError, OSError):
                log.exception("meter_write_failed", waiting=len(self._waiting))
                await asyncio.sleep(RETRY_S)


def _opens(items: Sequence[Item]) -> list[OpenRow]:
    return [item[0] for item in items if isinstance(item, tuple)]


def _sorted(items: Sequence[Item]) -> _Batch:
    return _Batch(
        _opens(items),
        [item for item in items if isinstance(item, CloseRow)],
        [item for item in items if isinstance(item, EndRow)],
    )
