"""Lateness of cuts with ten thousand live sessions: the real meter runner, writer, heartbeat and an SQLite file on disk;
the media server alone is of paper (bench/paper_door.py).

A cut's lateness is the time from the limit to the moment the runner has the gate closed. (A real media server stops
forwarding at the limit by itself, whatever the runner does.) Every session that ends is replaced at once by a new one,
so the number of live sessions stays and each cut also brings a session's end and another's beginning to the database.
"""

import argparse
import asyncio
import json
import os
import tempfile
import time
from collections.abc import Coroutine, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import uvloop

from bench.media import percentile
from bench.paper_door import PaperDoor
from mediaserver.events import Forwarding, Liveness, MediaEvent, RoomOptions
from mediaserver.worker import collect_garbage_rarely
from metering.events import EndCode, LeaseRenewed, Show
from metering.session import Session
from signaling.clock import SystemClock, now_ms
from signaling.rooms.heartbeat import Heartbeat
from signaling.rooms.runner import MeterRunner, Stay
from signaling.rooms.writer import MeterWriter
from signaling.stores import runs, schema
from signaling.stores.database import Database, Transaction

RUN = "run_bench"
NOW = "2026-01-01T00:00:00.000Z"
PAYERS_PER_ROOM = 10
INSERT_MAX = 2000


@dataclass(frozen=True, slots=True)
class Options:
    """`stay_s`: how long each session lasts, so that sessions / stay_s of them end each second.
    `settle_s`: half of what is waited before the window is measured."""

    sessions: int
    seconds: float
    stay_s: float
    settle_s: float = 5.0


class Bench:
    """Keeps `options.sessions` stays under way; each has a pass of its own in the database."""

    def __init__(self, options: Options, db: Database) -> None:
        self._options = options
        self._db = db
        self._clock = SystemClock()
        self._next = 0
        self._tasks: set[asyncio.Task[None]] = set()
        self.ended = 0
        self.door = PaperDoor(self._clock.now_ns, self._on_event)
        self._writer = MeterWriter(db, RUN)
        self.runner = MeterRunner(self.door, self._writer, self._clock, os.urandom, sink=self)
        self._heartbeat = Heartbeat(
            db, self.door, self.runner, self._clock, run_id=RUN, lost=lambda: self._failed("run lost")
        )

    @property
    def passes(self) -> int:
        """How many will be used at most."""
        options = self._options
        ending = options.sessions * (options.seconds + 2 * options.settle_s) / options.stay_s
        return options.sessions + 2 * int(ending) + 100

    async def start(self) -> None:
        await self._db.create_schema()
        await self._db.write(self._insert)
        self._writer.start()
        self.runner.start()
        await self._heartbeat.start()
        for n in range(self._options.sessions):
            # Limits spread evenly: the first stays are as if they had begun at different times.
            share = (n + 1) / self._options.sessions
            await self._begin(int((self._options.settle_s + share * self._options.stay_s) * 1000))
            if n % 100 == 99:
                await asyncio.sleep(0)

    async def close(self) -> None:
        for task in self._tasks:
            task.cancel()
        await self._heartbeat.close()
        await self.runner.close()
        await self._writer.close()
        await self._db.close()

    async def _begin(self, limit_ms: int) -> None:
        n, self._next = self._next, self._next + 1
        room, payer = f"room_{n % self._rooms}", f"payer_{n}"
        await self.door.add_participant(room, payer, metered=True, may_publish=False, options=RoomOptions())
        if n < self._rooms:
            await self.door.add_participant(
                room, f"host_{n}", metered=False, may_publish=True, options=RoomOptions()
            )
            self.runner.set_host(room, f"host_{n}")
        session = Session(f"ses_{n}", limit_ms=limit_ms, used_ms=0, purchased_ms=None)
        stay = Stay(session, payer, room, f"pass_{n}", epoch=1)
        self.runner.add(stay)
        self.runner.feed(stay, LeaseRenewed())

    @property
    def _rooms(self) -> int:
        return max(1, self._options.sessions // PAYERS_PER_ROOM)

    # --- what the runner tells ----------------------------------------------------------------------------

    def on_show(self, stay: Stay, show: Show) -> None: ...

    def on_warn(self, stay: Stay, remaining_ms: int) -> None: ...

    def on_end(self, stay: Stay, code: EndCode, used_ms: int) -> None:
        if code is not EndCode.USED_UP or used_ms != stay.session.used_ms:
            self._failed(f"{stay.session_id} ended by {code}")
        self.ended += 1
        self._spawn(self._replace(stay))

    def on_poll(self, liveness: Mapping[str, Liveness], at_ms: int) -> None: ...

    async def _replace(self, stay: Stay) -> None:
        await self.door.remove_participant(stay.participant_id)
        await self._begin(int(self._options.stay_s * 1000))

    def _on_event(self, event: MediaEvent) -> None:
        if isinstance(event, Forwarding):
            asyncio.get_running_loop().call_soon(self.runner.forwarding, event.participant_id, event.since_ms)

    def _spawn(self, work: Coroutine[None, None, None]) -> None:
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _failed(self, why: str) -> None:
        raise RuntimeError(why)

    # --- the database -------------------------------------------------------------------------------------

    async def _insert(self, tx: Transaction) -> None:
        run = runs.Run(RUN, "bench", "live", 0, now_ms(self._clock), {})
        await runs.insert_run(tx, run, NOW)
        await _insert_all(tx, schema.rooms, [_room(n) for n in range(self._rooms)])
        room_of = [f"room_{n % self._rooms}" for n in range(self.passes)]
        await _insert_all(tx, schema.passes, [_pass(n, room) for n, room in enumerate(room_of)])
        await _insert_all(tx, schema.sessions, [_session(n, room) for n, room in enumerate(room_of)])


async def _insert_all(tx: Transaction, table: object, rows: Sequence[dict[str, object]]) -> None:
    for at in range(0, len(rows), INSERT_MAX):
        await tx.execute(table.insert(), rows[at : at + INSERT_MAX])  # type: ignore[attr-defined]


def _room(n: int) -> dict[str, object]:
    return {
        "id": f"room_{n}",
        "slug": f"slug_{n}",
        "mode": "sandbox",
        "account": "bench",
        "title": "Bench",
        "description": "Bench",
        "host_name": "Bench",
        "host_key_hash": "",
        "tariff": {},
        "currency": "eur",
        "privacy": "conference",
        "capacity": 1000,
        "state": "open",
        "locked": False,
        "run_id": RUN,
        "epoch": 1,
        "live": True,
        "created_at": NOW,
    }


def _pass(n: int, room_id: str) -> dict[str, object]:
    return {
        "id": f"pass_{n}",
        "room_id": room_id,
        "order_id": f"ord_{n}",
        "mode": "sandbox",
        "account": "bench",
        "state": "active",
        "name": "Bench",
        "granted_ms": 3_600_000,
        "used_ms": 0,
        "forgiven_ms": 0,
        "may_publish": False,
        "run_id": RUN,
        "epoch": 1,
        "created_at": NOW,
    }


def _session(n: int, room_id: str) -> dict[str, object]:
    return {
        "id": f"ses_{n}",
        "pass_id": f"pass_{n}",
        "room_id": room_id,
        "run_id": RUN,
        "epoch": 1,
        "started_at": NOW,
    }


async def measure(options: Options, folder: Path) -> dict[str, object]:
    bench = Bench(options, Database(f"sqlite:///{folder}/bench.db"))
    try:
        await bench.start()
        collect_garbage_rarely()
        await asyncio.sleep(2 * options.settle_s)
        live = len(bench.door.gates)
        bench.door.cuts.clear()
        ended, cpu_s, at_s = bench.ended, time.process_time(), time.monotonic()
        await asyncio.sleep(options.seconds)
        elapsed_s = time.monotonic() - at_s
        cpu_s = time.process_time() - cpu_s
        late = sorted(cut.late_ns for cut in bench.door.cuts)
        ended = bench.ended - ended
    finally:
        await bench.close()
    # A new stay begins at the runner's next look at the door: up to a quarter of a second of its place is empty.
    if live < (0.98 - 0.5 / options.stay_s) * options.sessions or not late:
        raise RuntimeError(f"only {live} sessions were live, {len(late)} cut")
    if late[0] < -1_000_000:
        raise RuntimeError(f"a gate was closed {-late[0] / 1e6:.0f} ms before its limit: sessions paused")
    return {
        "meter": "tollroom",
        "setting": f"{elapsed_s:.0f} s, stays of {options.stay_s:g} s, uvloop, SQLite on disk (WAL, synchronous=FULL)",
        "sessions": options.sessions,
        "live": live,
        "cuts": len(late),
        "ends_per_s": round(ended / elapsed_s, 1),
        "late_p50_ms": round(percentile(late, 0.5) / 1e6, 2),
        "late_p99_ms": round(percentile(late, 0.99) / 1e6, 2),
        "late_max_ms": round(late[-1] / 1e6, 2),
        "cpu_share": round(cpu_s / elapsed_s, 3),
    }


def parse(arguments: Sequence[str] | None = None) -> Options:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sessions", type=int, default=10_000)
    parser.add_argument("--seconds", type=float, default=30)
    parser.add_argument("--stay-s", type=float, default=120)
    found = parser.parse_args(arguments)
    return Options(found.sessions, found.seconds, found.stay_s)


def main() -> None:
    with tempfile.TemporaryDirectory(prefix="tollroom-bench-") as folder:
        print(json.dumps(uvloop.run(measure(parse(), Path(folder)))))


if __name__ == "__main__":
    main()
