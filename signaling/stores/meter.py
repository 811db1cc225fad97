"""Rows of the meter: who owns a pass, sessions, and segments of counted time.

Ownership is a compare-and-set on `passes(run_id, epoch)`; a segment opens and closes only for the owner. Every
write here may be repeated after a lost answer: opening finds its own row, closing finds it closed.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import bindparam, case, select, update

from signaling.stores.database import Transaction
from signaling.stores.schema import passes, runs, segments, sessions


@dataclass(frozen=True, slots=True)
class OpenRow:
    """A segment to open, for the connection that owns the pass with `epoch`."""

    segment_id: str
    session_id: str
    pass_id: str
    epoch: int
    opened_ms: int
    opened_at: str


@dataclass(frozen=True, slots=True)
class CloseRow:
    """The end of an open segment; `used_ms` is what it adds to the pass. `forgiven_ms`: of the pass, in all."""

    segment_id: str
    pass_id: str
    started_ms: int | None
    closed_ms: int
    used_ms: int
    forgiven_ms: int


@dataclass(frozen=True, slots=True)
class EndRow:
    """The end of a session."""

    session_id: str
    end_code: str
    ended_at: str


async def holds_seat(tx: Transaction, pass_id: str) -> bool:
    """Inside now, paid and never yet inside (as `orders.seats_taken` counts), or put out by a stop of the server:
    whoever was inside then comes back, also into a room that is locked or full."""
    query = select(sessions.c.ended_at, sessions.c.end_code).where(sessions.c.pass_id == pass_id)
    last = (await tx.execute(query.order_by(sessions.c.epoch.desc()).limit(1))).first()
    return last is None or last.ended_at is None or last.end_code in {"run_lost", "shutdown"}


async def enter(
    tx: Transaction,
    *,
    pass_id: str,
    expected_epoch: int,
    room_id: str,
    run_id: str,
    session_id: str,
    now_text: str,
) -> bool:
    """Take the pass for this connection and open a session. False when another connection was quicker."""
    taken = await tx.execute(
        update(passes)
        .where(
            passes.c.id == pass_id,
            passes.c.epoch == expected_epoch,
            passes.c.state.in_(("waiting", "active")),
        )
        .values(run_id=run_id, epoch=expected_epoch + 1, state="active")
    )
    if taken.rowcount != 1:
        return False
    await tx.execute(
        update(sessions)
        .where(sessions.c.pass_id == pass_id, sessions.c.ended_at.is_(None))
        .values(ended_at=now_text, end_code="replaced")
    )
    values = {
        "id": session_id,
        "pass_id": pass_id,
        "room_id": room_id,
        "run_id": run_id,
        "epoch": expected_epoch + 1,
        "started_at": now_text,
    }
    await tx.execute(sessions.insert().values(values))
    return True


async def open_segments(tx: Transaction, run_id: str, rows: Sequence[OpenRow]) -> dict[str, str | None]:
    """By segment id: None when it is open, else why not (an end code)."""
    if not rows:
        return {}
    run_state = (await tx.execute(select(runs.c.state).where(runs.c.id == run_id))).scalar()
    if run_state != "live":
        return {row.segment_id: "run_lost" for row in rows}
    owners = await _owners(tx, {row.pass_id for row in rows})
    busy = await _open_of_passes(tx, {row.pass_id for row in rows})
    results = {row.segment_id: _refusal(row, run_id, owners, busy) for row in rows}
    fresh = [
        {
            "id": row.segment_id,
            "pass_id": row.pass_id,
            "session_id": row.session_id,
            "run_id": run_id,
            "opened_ms": row.opened_ms,
            "opened_at": row.opened_at,
        }
        for row in rows
        if results[row.segment_id] is None and row.segment_id not in busy.values()
    ]
    if fresh:
        await tx.execute(segments.insert(), fresh)
    return results


def _refusal(
    row: OpenRow, run_id: str, owners: dict[str, tuple[str | None, int, str]], busy: dict[str, str]
) -> str | None:
    owner_run, epoch, state = owners.get(row.pass_id, (None, -1, "revoked"))
    if (owner_run, epoch) != (run_id, row.epoch):
        return "replaced"
    if state not in {"waiting", "active"}:
        return state
    return "replaced" if busy.get(row.pass_id, row.segment_id) != row.segment_id else None


async def _owners(tx: Transaction, pass_ids: set[str]) -> dict[str, tuple[str | None, int, str]]:
    query = select(passes.c.id, passes.c.run_id, passes.c.epoch, passes.c.state).where(
        passes.c.id.in_(pass_ids)
    )
    return {row.id: (row.run_id, row.epoch, row.state) for row in await tx.execute(query)}


async def _open_of_passes(tx: Transaction, pass_ids: set[str]) -> dict[str, str]:
    query = select(segments.c.pass_id, segments.c.id).where(
        segments.c.pass_id.in_(pass_ids), segments.c.closed_ms.is_(None)
    )
    return {row.pass_id: row.id for row in await tx.execute(query)}


async def close_segments(tx: Transaction, rows: Sequence[CloseRow]) -> None:
    """Close what is still open of these and add it to the passes, once."""
    if not rows:
        return
    ids = [row.segment_id for row in rows]
    query = select(segments.c.id).where(segments.c.id.in_(ids), segments.c.closed_ms.is_(None))
    still_open = set((await tx.execute(query)).scalars())
    todo = [row for row in rows if row.segment_id in still_open]
    if not todo:
        return
    await tx.execute(
        update(segments)
        .where(segments.c.id == bindparam("b_id"))
        .values(
            started_ms=bindparam("b_started"), closed_ms=bindparam("b_closed"), used_ms=bindparam("b_used")
        ),
        [
            {"b_id": r.segment_id, "b_started": r.started_ms, "b_closed": r.closed_ms, "b_used": r.used_ms}
            for r in todo
        ],
    )
    await _add_used(tx, [(r.pass_id, r.used_ms, r.forgiven_ms) for r in todo])


async def _add_used(tx: Transaction, used: Sequence[tuple[str, int, int]]) -> None:
    """`(pass, used_ms to add, forgiven_ms in all)`."""
    total = passes.c.used_ms + bindparam("b_used")
    over = total - passes.c.granted_ms
    # Time that was taken off while it was being used.
    put_back = case(
        (passes.c.granted_ms.is_(None) | (over <= 0), 0),
        (over < passes.c.taken_ms, over),
        else_=passes.c.taken_ms,
    )
    is_spent = passes.c.granted_ms.is_not(None) & (over >= 0)
    # Spelled out, since IN lists cannot be used with many parameter sets.
    is_usable = (passes.c.state == "waiting") | (passes.c.state == "active")
    state = case((is_spent & is_usable, "used_up"), else_=passes.c.state)
    await tx.execute(
        update(passes)
        .where(passes.c.id == bindparam("b_id"))
        .values(
            used_ms=total,
            forgiven_ms=bindparam("b_forgiven"),
            state=state,
            granted_ms=passes.c.granted_ms + put_back,
            taken_ms=passes.c.taken_ms - put_back,
        ),
        [{"b_id": pass_id, "b_used": used_ms, "b_forgiven": forgiven} for pass_id, used_ms, forgiven in used],
    )


async def end_sessions(tx: Transaction, rows: Sequence[EndRow]) -> None:
    if not rows:
        return
    await tx.execute(
        update(sessions)
        .where(sessions.c.id == bindparam("b_id"), sessions.c.ended_at.is_(None))
        .values(ended_at=bindparam("b_at"), end_code=bindparam("b_code")),
        [{"b_id": row.session_id, "b_at": row.ended_at, "b_code": row.end_code} for row in rows],
    )


async def set_started(tx: Transaction, started: dict[str, int]) -> None:
    """The first forwarded packets of segments, for a recovery that may come."""
    if started:
        await tx.execute(
            update(segments)
            .where(segments.c.id == bindparam("b_id"), segments.c.closed_ms.is_(None))
            .values(started_ms=bindparam("b_started")),
            [{"b_id": segment_id, "b_started": at_ms} for segment_id, at_ms in started.items()],
        )


async def set_may_publish(tx: Transaction, pass_id: str, may_publish: bool) -> None:
    await tx.execute(update(passes).where(passes.c.id == pass_id).values(may_publish=may_publish))
