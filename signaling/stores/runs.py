"""Rows of runs: the heartbeat of each server process, and closing what a dead one left open."""

from collections.abc import Mapping
from dataclasses import dataclass

from sqlalchemy import select, update

from signaling.stores.database import Transaction
from signaling.stores.meter import CloseRow, close_segments
from signaling.stores.schema import passes, rooms, runs, segments, sessions

# A live run writes its heartbeat so often.
BEAT_MS = 1_000


@dataclass(frozen=True, slots=True)
class Run:
    id: str
    host: str
    state: str  # live | closed | dead
    beat_seq: int
    run_ms: int
    silent: dict[str, int]


@dataclass(frozen=True, slots=True)
class OpenSegment:
    """An open segment of a dead run, with what its pass had left (None: unlimited)."""

    segment_id: str
    session_id: str
    pass_id: str
    started_ms: int | None
    opened_ms: int
    left_ms: int | None
    forgiven_ms: int


async def insert_run(tx: Transaction, run: Run, started_at: str) -> None:
    values = {name: getattr(run, name) for name in Run.__slots__}
    await tx.execute(runs.insert().values(**values, started_at=started_at))


async def beat(tx: Transaction, run_id: str, beat_seq: int, run_ms: int, silent: Mapping[str, int]) -> bool:
    """Beat number `beat_seq` follows its predecessor. False when the row was taken from us."""
    done = await tx.execute(
        update(runs)
        .where(runs.c.id == run_id, runs.c.beat_seq == beat_seq - 1, runs.c.state == "live")
        .values(beat_seq=beat_seq, run_ms=run_ms, silent=dict(silent))
    )
    return done.rowcount == 1


async def get_run(tx: Transaction, run_id: str) -> Run | None:
    row = (await tx.execute(select(runs).where(runs.c.id == run_id))).mappings().first()
    return Run(**{name: row[name] for name in Run.__slots__}) if row else None


async def other_live_runs(tx: Transaction, run_id: str) -> list[Run]:
    rows = (await tx.execute(select(runs).where(runs.c.state == "live", runs.c.id != run_id))).mappings()
    return [Run(**{name: row[name] for name in Run.__slots__}) for row in rows]


async def set_state(tx: Transaction, run: Run, state: str) -> bool:
    """By compare-and-set on the beat that was seen: false when it went on beating or another was quicker."""
    done = await tx.execute(
        update(runs)
        .where(runs.c.id == run.id, runs.c.state == "live", runs.c.beat_seq == run.beat_seq)
        .values(state=state)
    )
    return done.rowcount == 1


async def close_own(tx: Transaction, run_id: str) -> None:
    """At an orderly stop, after every segment was closed."""
    await tx.execute(update(runs).where(runs.c.id == run_id, runs.c.state == "live").values(state="closed"))


async def open_segments_of(tx: Transaction, run_id: str) -> list[OpenSegment]:
    query = (
        select(segments, passes.c.granted_ms, passes.c.used_ms.label("pass_used_ms"), passes.c.forgiven_ms)
        .join(passes, passes.c.id == segments.c.pass_id)
        .where(segments.c.run_id == run_id, segments.c.closed_ms.is_(None))
    )
    return [
        OpenSegment(
            segment_id=row.id,
            session_id=row.session_id,
            pass_id=row.pass_id,
            started_ms=row.started_ms,
            opened_ms=row.opened_ms,
            left_ms=None if row.granted_ms is None else max(0, row.granted_ms - row.pass_used_ms),
            forgiven_ms=row.forgiven_ms,
        )
        for row in await tx.execute(query)
    ]


async def bury(tx: Transaction, run_id: str, closed: list[CloseRow], now_s: int, now_text: str) -> list[str]:
    """Close what the run left open; the ids of the rooms that it forwarded."""
    await close_segments(tx, closed)
    await tx.execute(
        update(sessions)
        .where(sessions.c.run_id == run_id, sessions.c.ended_at.is_(None))
        .values(ended_at=now_text, end_code="run_lost")
    )
    await tx.execute(update(passes).where(passes.c.run_id == run_id).values(run_id=None))
    owned = list((await tx.execute(select(rooms.c.id).where(rooms.c.run_id == run_id))).scalars())
    await tx.execute(
        update(rooms).where(rooms.c.run_id == run_id, rooms.c.live).values(live=False, away_since_s=now_s)
    )
    await tx.execute(update(rooms).where(rooms.c.run_id == run_id).values(run_id=None))
    return owned
