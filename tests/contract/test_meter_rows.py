"""Who owns a pass, segments that open and close once, runs that beat and die: alike on both databases."""

import asyncio
from pathlib import Path

import pytest
from sqlalchemy import select, update
from sqlalchemy.exc import OperationalError

from signaling.errors import ConfigError
from signaling.rooms.heartbeat import Heartbeat
from signaling.rooms.recovery import DeathWatch, FileLock, bury_all, bury_run
from signaling.rooms.runner import MeterRunner
from signaling.rooms.writer import MeterWriter
from signaling.stores import meter, rooms, runs
from signaling.stores.database import Database
from signaling.stores.meter import CloseRow, EndRow, OpenRow
from signaling.stores.schema import passes, segments, sessions
from signaling.stores.schema import rooms as rooms_table
from signaling.stores.schema import runs as runs_table
from tests.unit.rooms.fakes import Door, InventedClock, Sink

from .rows import NOW_TEXT, add_paid, add_room, get_pass

RUN = "run_1"


async def add_run(db: Database, run_id: str = RUN, **values: object) -> runs.Run:
    run = runs.Run(
        **{"id": run_id, "host": "h", "state": "live", "beat_seq": 0, "run_ms": 0, "silent": {}} | values
    )
    await db.write(lambda tx: runs.insert_run(tx, run, NOW_TEXT))
    return run


async def set_up(db: Database) -> None:
    await add_room(db)
    await add_paid(db)
    await add_run(db)


async def enter(db: Database, session_id: str = "ses_1", epoch: int = 0, run_id: str = RUN) -> bool:
    return await db.write(
        lambda tx: meter.enter(
            tx,
            pass_id="pass_1",
            expected_epoch=epoch,
            room_id="room_1",
            run_id=run_id,
            session_id=session_id,
            now_text=NOW_TEXT,
        )
    )


def opening(segment_id: str = "seg_1", session_id: str = "ses_1", epoch: int = 1) -> OpenRow:
    return OpenRow(segment_id, session_id, "pass_1", epoch, 100, NOW_TEXT)


def closing(segment_id: str = "seg_1", used_ms: int = 400, forgiven_ms: int = 0) -> CloseRow:
    return CloseRow(segment_id, "pass_1", 100, 100 + used_ms, used_ms, forgiven_ms)


async def open_one(db: Database, row: OpenRow, run_id: str = RUN) -> str | None:
    return (await db.write(lambda tx: meter.open_segments(tx, run_id, [row])))[row.segment_id]


async def test_of_many_connections_exactly_one_takes_the_pass(db: Database) -> None:
    await set_up(db)
    taken = await asyncio.gather(*(enter(db, f"ses_{n}") for n in range(6)))
    assert sum(taken) == 1
    assert (await get_pass(db)).epoch == 1
    async with db.read() as tx:
        assert len((await tx.execute(select(sessions))).all()) == 1


async def test_only_the_owner_opens_a_segment_and_only_one(db: Database) -> None:
    await set_up(db)
    assert await enter(db)
    assert await open_one(db, opening()) is None
    assert await open_one(db, opening()) is None, "a repeat after a lost answer finds its own row"
    assert await open_one(db, opening("seg_2")) == "replaced", "one is open"
    assert await enter(db, "ses_2", epoch=1)
    await db.write(lambda tx: meter.close_segments(tx, [closing()]))
    assert await open_one(db, opening("seg_3")) == "replaced", "another connection owns it"
    assert await open_one(db, opening("seg_4", "ses_2", 2)) is None


@pytest.mark.parametrize("state", ["revoked", "refunded", "disputed", "used_up"])
async def test_a_pass_that_ended_opens_nothing(db: Database, state: str) -> None:
    await set_up(db)
    await enter(db)
    await db.write(lambda tx: tx.execute(update(passes).values(state=state)))
    assert await open_one(db, opening()) == state
    assert not await enter(db, "ses_2", epoch=1)


async def test_a_run_that_was_declared_dead_opens_nothing(db: Database) -> None:
    await set_up(db)
    await enter(db)
    async with db.read() as tx:
        run = await runs.get_run(tx, RUN)
    assert run is not None
    assert await db.write(lambda tx: runs.set_state(tx, run, "dead"))
    assert await open_one(db, opening()) == "run_lost"


async def test_closing_twice_adds_the_time_once(db: Database) -> None:
    await set_up(db)
    await enter(db)
    await open_one(db, opening())
    for _ in range(2):
        await db.write(lambda tx: meter.close_segments(tx, [closing(forgiven_ms=30)]))
    found = await get_pass(db)
    assert (found.used_ms, found.forgiven_ms, found.state) == (400, 30, "active")


async def test_a_whole_room_pauses_and_goes_on_in_one_commit_each(db: Database) -> None:
    await add_room(db)
    await add_run(db)
    count = 5
    for n in range(count):
        await add_paid(db, f"ord_{n}", f"pass_{n}")
        await db.write(
            lambda tx, n=n: meter.enter(
                tx,
                pass_id=f"pass_{n}",
                expected_epoch=0,
                room_id="room_1",
                run_id=RUN,
                session_id=f"ses_{n}",
                now_text=NOW_TEXT,
            )
        )
    opens = [OpenRow(f"seg_{n}", f"ses_{n}", f"pass_{n}", 1, 100, NOW_TEXT) for n in range(count)]
    closes = [CloseRow(f"seg_{n}", f"pass_{n}", 100, 200, 300_000 * n, n) for n in range(count)]
    ends = [EndRow(f"ses_{n}", "left", NOW_TEXT) for n in range(count)]
    answers = await db.write(lambda tx: meter.open_segments(tx, RUN, opens))
    assert set(answers.values()) == {None}
    await db.write(lambda tx: meter.set_started(tx, {f"seg_{n}": 100 for n in range(count)}))
    await db.write(lambda tx: meter.close_segments(tx, closes))
    await db.write(lambda tx: meter.end_sessions(tx, ends))
    found = [await get_pass(db, f"pass_{n}") for n in range(count)]
    assert [(one.used_ms, one.forgiven_ms) for one in found] == [(300_000 * n, n) for n in range(count)]
    assert [one.state for one in found] == ["active", "active", "active", "used_up", "used_up"]


async def test_one_row_that_the_database_refuses_holds_up_no_other(db: Database) -> None:
    await set_up(db)
    await enter(db)
    writer = MeterWriter(db, RUN)
    answers: dict[str, str | None] = {}
    stranger = OpenRow("seg_bad", "ses_nobody", "pass_1", 1, 100, NOW_TEXT)  # there is no such session
    writer.open_segment(stranger, lambda answer: answers.update(bad=answer))
    writer.end_session(EndRow("ses_1", "left", NOW_TEXT))
    writer.start()
    await writer.flushed()
    await writer.close()
    assert answers == {"bad": "run_lost"}
    async with db.read() as tx:
        assert (await tx.execute(select(sessions.c.end_code))).scalars().all() == ["left"]


async def test_using_all_of_it_uses_the_pass_up(db: Database) -> None:
    await set_up(db)
    await enter(db)
    await open_one(db, opening())
    await db.write(lambda tx: meter.close_segments(tx, [closing(used_ms=900_000)]))
    assert (await get_pass(db)).state == "used_up"


async def test_who_holds_a_seat_without_asking(db: Database) -> None:
    async def holds() -> bool:
        async with db.read() as tx:
            return await meter.holds_seat(tx, "pass_1")

    async def end(session_id: str, code: str) -> None:
        await db.write(lambda tx: meter.end_sessions(tx, [EndRow(session_id, code, NOW_TEXT)]))

    await set_up(db)
    assert await holds(), "paid, never inside"
    await enter(db)
    assert await holds(), "inside"
    await end("ses_1", "left")
    assert not await holds(), "went away"
    await enter(db, "ses_2", epoch=1)
    await end("ses_2", "run_lost")
    assert await holds(), "put out by a stop of the server"


async def test_a_room_is_one_runs_until_that_run_is_dead(db: Database) -> None:
    await set_up(db)
    other = await add_run(db, "run_2")
    claim = lambda run_id: db.write(lambda tx: rooms.claim(tx, "room_1", run_id))  # noqa: E731
    assert await claim(RUN)
    assert await claim(RUN)
    assert not await claim("run_2")
    assert not await db.write(lambda tx: rooms.set_live(tx, "room_1", "run_2", live=True, now_s=5))
    await bury_run(db, InventedClock(), runs.Run(RUN, "h", "live", 0, 0, {}))
    assert await claim("run_2")
    assert other.id == "run_2"


# --- heartbeats and recovery ------------------------------------------------------------------------------


class Beating:
    """A heartbeat on an invented clock."""

    def __init__(self, db: Database) -> None:
        self.clock = InventedClock()
        self.door = Door(self.clock)
        self.writer = MeterWriter(db, RUN)
        self.runner = MeterRunner(self.door, self.writer, self.clock, bytes, sink=Sink())
        self.lost = 0
        self.heart = Heartbeat(db, self.door, self.runner, self.clock, run_id=RUN, lost=self._lost)

    def _lost(self) -> None:
        self.lost += 1


async def test_each_beat_extends_the_lease_from_before_it_was_sent(db: Database) -> None:
    await add_run(db)
    beating = Beating(db)
    await beating.heart.beat()
    assert beating.door.lease_ms == beating.clock.at_ms + 5_000
    beating.clock.at_ms += 1_000
    await beating.heart.beat()
    assert beating.door.lease_ms == beating.clock.at_ms + 5_000
    async with db.read() as tx:
        run = await runs.get_run(tx, RUN)
    assert run is not None
    assert (run.beat_seq, run.run_ms) == (2, beating.clock.at_ms)


async def test_a_run_whose_row_was_taken_stops_at_once(db: Database) -> None:
    await add_run(db)
    beating = Beating(db)
    await beating.heart.beat()
    lease_ms = beating.door.lease_ms
    async with db.read() as tx:
        run = await runs.get_run(tx, RUN)
    assert run is not None
    await bury_run(db, beating.clock, run)
    beating.clock.at_ms += 1_000
    await beating.heart.beat()
    assert (beating.lost, beating.heart.is_healthy) == (1, False)
    assert beating.door.lease_ms == lease_ms, "not extended"


async def test_when_the_database_is_out_of_reach_the_lease_ends_and_comes_back_with_it(
    db: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    await add_run(db)
    beating = Beating(db)
    await beating.heart.beat()

    async def unreachable(_work: object, *, ahead: bool) -> None:
        raise OperationalError("UPDATE", {}, OSError("out of reach"))

    with monkeypatch.context() as patch:
        patch.setattr(db, "write", unreachable)
        for _ in range(5):
            assert beating.heart.is_healthy
            beating.clock.at_ms += 1_000
            await beating.heart.beat()
            beating.heart.check_lease()
    assert not beating.heart.is_healthy
    await beating.heart.beat()
    assert beating.heart.is_healthy
    assert beating.lost == 0


async def test_a_beat_whose_answer_was_lost_is_not_taken_for_anothers(
    db: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    await add_run(db)
    beating = Beating(db)
    write = db.write

    async def answer_lost(work: object, *, ahead: bool) -> None:
        await write(work, ahead=ahead)  # type: ignore[arg-type]
        raise OperationalError("COMMIT", {}, OSError("connection reset"))

    with monkeypatch.context() as patch:
        patch.setattr(db, "write", answer_lost)
        await beating.heart.beat()
    await beating.heart.beat()
    assert (beating.lost, beating.heart.is_healthy) == (0, True)


async def _dead_run_with_an_open_segment(db: Database, **run: object) -> None:
    await set_up(db)
    await enter(db)
    await open_one(db, opening())
    await db.write(lambda tx: rooms.claim(tx, "room_1", RUN))
    await db.write(lambda tx: meter.set_started(tx, {"seg_1": 1_000}))
    values = {"beat_seq": 9, "run_ms": 31_000} | run
    await db.write(lambda tx: tx.execute(update(runs_table).values(values)))


@pytest.mark.parametrize(
    ("run", "used_ms"),
    [
        ({}, 30_000),
        ({"silent": {"ses_1": 21_000}}, 20_000),
        ({"silent": {"ses_other": 21_000}}, 30_000),
        ({"run_ms": 500}, 0),
        ({"run_ms": 10_000_000}, 900_000),
    ],
)
async def test_a_dead_runs_segment_closes_at_its_last_heartbeat_or_silent_entry(
    db: Database, run: dict[str, object], used_ms: int
) -> None:
    await _dead_run_with_an_open_segment(db, **run)
    await add_run(db, "run_2")
    for _ in range(2):  # starting again after a crash in the middle changes nothing
        await bury_all(db, InventedClock(), "run_2")
    found = await get_pass(db)
    assert (found.used_ms, found.run_id) == (used_ms, None)
    async with db.read() as tx:
        (segment,) = (await tx.execute(select(segments))).all()
        (session,) = (await tx.execute(select(sessions))).all()
        (room,) = (await tx.execute(select(rooms_table))).all()
    assert (segment.used_ms, session.end_code) == (used_ms, "run_lost")
    assert (room.live, room.run_id) == (False, None)
    assert room.away_since_s is not None


async def test_a_segment_that_never_forwarded_costs_nothing(db: Database) -> None:
    await _dead_run_with_an_open_segment(db)
    await db.write(lambda tx: tx.execute(update(segments).values(started_ms=None)))
    await bury_all(db, InventedClock(), "run_2")
    assert (await get_pass(db)).used_ms == 0


async def test_another_nodes_run_is_dead_only_after_seven_still_seconds(db: Database) -> None:
    await _dead_run_with_an_open_segment(db)
    clock, freed = InventedClock(), []
    watch = DeathWatch(db, clock, "run_2", freed.extend)
    for _ in range(7):
        await watch.look()
        clock.at_ms += 1_000
    assert freed == []
    await watch.look()
    assert freed == ["room_1"]


async def test_a_beat_or_a_failed_read_starts_the_count_again(
    db: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    await _dead_run_with_an_open_segment(db)
    clock, freed = InventedClock(), []
    watch = DeathWatch(db, clock, "run_2", freed.extend)

    async def seconds(count: int) -> None:
        for _ in range(count):
            await watch.look()
            clock.at_ms += 1_000

    await seconds(6)
    await db.write(lambda tx: runs.beat(tx, RUN, 10, 32_000, {}))
    await seconds(6)
    with monkeypatch.context() as patch:
        patch.setattr(db, "read", _unreadable)
        with pytest.raises(OSError, match="out of reach"):
            await watch.look()
    await seconds(7)
    assert freed == []
    await seconds(1)
    assert freed == ["room_1"]


def _unreadable() -> None:
    raise OSError("out of reach")


def test_a_file_lock_is_held_by_one(tmp_path: Path) -> None:
    first, second = FileLock(tmp_path / "x.lock"), FileLock(tmp_path / "x.lock")
    first.take()
    with pytest.raises(ConfigError, match="another Tollroom"):
        second.take()
    first.release()
    second.take()
    second.release()


# --- the group-committing writer --------------------------------------------------------------------------


async def test_what_waits_is_committed_together_and_flushed_means_committed(db: Database) -> None:
    await set_up(db)
    await enter(db)
    writer = MeterWriter(db, RUN)
    writer.start()
    answers: list[str | None] = []
    writer.open_segment(opening(), answers.append)
    await writer.flushed()
    writer.close_segment(closing())
    writer.end_session(EndRow("ses_1", "left", NOW_TEXT))
    await writer.flushed()
    await writer.close()
    assert answers == [None]
    assert (await get_pass(db)).used_ms == 400


async def test_a_write_that_fails_is_tried_again_and_counted_once(
    db: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    await set_up(db)
    await enter(db)
    await open_one(db, opening())
    monkeypatch.setattr("signaling.rooms.writer.RETRY_S", 0)
    write, tries = db.write, []

    async def flaky(work: object, *, ahead: bool) -> object:
        tries.append(1)
        done = await write(work, ahead=ahead)  # type: ignore[arg-type]
        if len(tries) < 3:
            raise OperationalError("COMMIT", {}, OSError("connection reset"))
        return done

    monkeypatch.setattr(db, "write", flaky)
    writer = MeterWriter(db, RUN)
    writer.start()
    writer.close_segment(closing())
    await writer.flushed()
    await writer.close()
    assert len(tries) == 3
    assert (await get_pass(db)).used_ms == 400
