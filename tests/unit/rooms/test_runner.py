"""The meter runner, stepped through invented time: what it asks of the door and of the books, and in which order."""

import asyncio
from typing import Any, cast

import pytest

from mediaserver.events import Liveness
from metering.events import EndCode, Extended, Finish
from metering.session import Session
from signaling.rooms.runner import MeterRunner, Stay
from signaling.rooms.writer import MeterWriter

from .fakes import Door, InventedClock, Sink, Writer

PAYER, HOST, ROOM = "par_payer", "par_host", "room_1"


class Bench:
    """One host, one payer, time that moves when told."""

    def __init__(self, limit_ms: int | None = 60_000) -> None:
        self.clock = InventedClock()
        self.door = Door(self.clock)
        self.writer = Writer()
        self.sink = Sink()
        self.runner = MeterRunner(
            self.door, cast("MeterWriter", self.writer), self.clock, bytes, sink=self.sink
        )
        self.runner.set_host(ROOM, HOST)
        session = Session("ses_1", limit_ms=limit_ms, used_ms=0, purchased_ms=None)
        self.stay = Stay(session, PAYER, ROOM, "pass_1", 1)
        self.runner.add(self.stay)
        self.silent: set[str] = set()

    async def run(self, ms: int, step_ms: int = 250) -> None:
        """Time passes; who is not in `silent` is heard all the time."""
        for _ in range(ms // step_ms):
            self.clock.at_ms += step_ms
            self.hear()
            await self.runner.step()

    def hear(self) -> None:
        at_ms = self.clock.at_ms
        if "payer" not in self.silent:
            for stay in (PAYER, *self.runner.stays):
                self.door.alive[stay] = Liveness(subscribe_any_ms=at_ms)
        if "host" not in self.silent:
            self.door.alive[HOST] = Liveness(publish_rtp_ms=at_ms)

    async def count(self) -> None:
        """Until the clock runs."""
        await self.run(250)
        self.writer.answer()
        await self.runner.step()
        self.door.first_ms[PAYER] = self.clock.at_ms
        self.runner.forwarding(PAYER, self.clock.at_ms)
        await self.runner.step()

    @property
    def gates(self) -> list[tuple[str, Any]]:
        return [(what, allow) for what, _, allow in self.door.calls]


async def test_the_gate_opens_only_after_the_segment_is_committed() -> None:
    bench = Bench()
    await bench.run(1_000)
    assert len(bench.writer.waiting) == 1
    assert bench.gates == []
    bench.writer.answer()
    await bench.runner.step()
    assert bench.gates == [("open", 60_000)]


@pytest.mark.parametrize("missing", ["payer", "host"])
async def test_nothing_opens_while_one_leg_was_never_heard(missing: str) -> None:
    bench = Bench()
    bench.silent = {missing}
    await bench.run(30_000)
    assert bench.writer.waiting == []


async def test_a_transport_that_comes_up_need_not_wait_for_the_next_poll() -> None:
    bench = Bench()
    bench.silent = {"payer"}
    await bench.run(1_000)
    bench.clock.at_ms += 10
    bench.runner.connected(PAYER, bench.clock.at_ms)
    await bench.runner.step()
    assert len(bench.writer.waiting) == 1


async def test_at_the_limit_the_gate_closes_and_the_whole_limit_is_used() -> None:
    bench = Bench()
    await bench.count()
    await bench.run(60_000)
    assert bench.gates == [("open", 60_000), ("close", None)]
    (row,) = bench.writer.closed
    assert (row.used_ms, row.pass_id) == (60_000, "pass_1")
    assert bench.sink.ends == [(EndCode.USED_UP, 60_000)]
    assert [row.end_code for row in bench.writer.ended] == ["used_up"]
    assert bench.runner.stays == {}


async def test_a_door_that_does_not_answer_for_one_holds_up_only_that_one_and_keeps_its_order() -> None:
    bench = Bench()
    await bench.count()
    other = Stay(Session("ses_2", limit_ms=3_000, used_ms=0, purchased_ms=None), "par_2", ROOM, "pass_2", 1)
    bench.runner.add(other)
    bench.door.hanging[PAYER] = answered = asyncio.Event()
    bench.runner.feed(bench.stay, Extended(30_000))
    bench.runner.feed(bench.stay, Finish(EndCode.LEFT))
    await bench.run(250)
    bench.writer.answer()
    await bench.run(250)
    bench.runner.forwarding("par_2", bench.clock.at_ms)
    await bench.run(4_000)
    of = lambda who: [(what, allow) for what, whose, allow in bench.door.calls if whose == who]  # noqa: E731
    assert of("par_2") == [("open", 3_000), ("close", None)]
    assert bench.sink.ends == [(EndCode.USED_UP, 3_000)]
    assert of(PAYER) == [("open", 60_000), ("open", 90_000)], "the closing waits for its answer"
    answered.set()
    await bench.run(250)
    assert of(PAYER) == [("open", 60_000), ("open", 90_000), ("close", None)]
    assert [code for code, _ in bench.sink.ends] == [EndCode.USED_UP, EndCode.LEFT]


async def test_closing_does_not_wait_for_a_door_that_does_not_answer() -> None:
    bench = Bench()
    bench.door.hanging[PAYER] = asyncio.Event()
    await bench.run(250)
    bench.writer.answer()
    await bench.run(250)
    assert bench.gates == [("open", 60_000)]
    await bench.runner.close()


async def test_a_refused_segment_ends_the_stay_with_its_reason() -> None:
    bench = Bench()
    await bench.run(250)
    bench.writer.answer("replaced")
    await bench.runner.step()
    assert bench.sink.ends == [(EndCode.REPLACED, 0)]
    assert bench.gates == []


async def test_a_silent_host_pauses_and_the_pause_is_put_back_to_the_last_packet() -> None:
    bench = Bench()
    await bench.count()
    await bench.run(5_000)
    bench.silent = {"host"}
    await bench.run(13_000)
    (row,) = bench.writer.closed
    assert row.used_ms == 5_000
    assert bench.sink.shows[-1].reason == "host_away"
    bench.silent = set()
    await bench.run(500)
    bench.writer.answer()
    await bench.runner.step()
    assert bench.gates == [("open", 60_000), ("close", None), ("open", 55_000)]


async def test_time_added_while_counting_widens_the_open_gate() -> None:
    bench = Bench()
    await bench.count()
    await bench.run(10_000)
    bench.runner.feed(bench.stay, Extended(30_000))
    await bench.runner.step()
    assert bench.gates == [("open", 60_000), ("open", 90_000)]
    await bench.run(79_000)
    assert bench.sink.ends == []
    await bench.run(1_000)
    assert bench.sink.ends == [(EndCode.USED_UP, 90_000)]


async def test_without_a_lease_nothing_counts_until_it_is_renewed() -> None:
    bench = Bench()
    await bench.count()
    await bench.run(4_000)
    bench.runner.lease_lost(bench.clock.at_ms)
    await bench.runner.step()
    assert [row.used_ms for row in bench.writer.closed] == [4_000]
    await bench.run(20_000)
    assert bench.writer.waiting == []
    bench.runner.lease_renewed()
    await bench.run(250)
    assert len(bench.writer.waiting) == 1


async def test_a_door_that_lost_the_payer_ends_the_stay_without_a_charge() -> None:
    bench = Bench()
    bench.door.unknown = {PAYER}
    await bench.run(250)
    bench.writer.answer()
    await bench.runner.step()
    assert bench.sink.ends == [(EndCode.CONNECTION_LOST, 0)]


async def test_the_word_for_an_ending_is_ours_unless_the_meter_ended_first() -> None:
    bench = Bench()
    await bench.count()
    bench.stay.end_code = "media_failed"
    bench.runner.feed(bench.stay, Finish(EndCode.CONNECTION_LOST))
    await bench.runner.step()
    assert [row.end_code for row in bench.writer.ended] == ["media_failed"]

    late = Bench()
    await late.count()
    late.stay.end_code = "kicked"
    await late.run(60_000)
    assert [row.end_code for row in late.writer.ended] == ["used_up"]


async def test_the_heartbeat_learns_first_packets_and_silent_legs_of_open_segments_only() -> None:
    bench = Bench()
    assert bench.runner.starts() == {}
    await bench.count()
    first_ms = bench.clock.at_ms
    (segment_id,) = bench.runner.starts()
    assert bench.runner.starts() == {segment_id: first_ms}
    bench.runner.recorded({segment_id: first_ms})
    assert bench.runner.starts() == {}
    await bench.run(1_000)
    assert bench.runner.silent(bench.clock.at_ms) == {}
    heard_ms = bench.clock.at_ms
    bench.silent = {"payer"}
    await bench.run(2_000)
    assert bench.runner.silent(bench.clock.at_ms) == {"ses_1": heard_ms}
    await bench.run(11_000)
    assert bench.runner.silent(bench.clock.at_ms) == {}, "its segment is closed"


async def test_a_counting_stay_costs_no_work_between_its_deadlines() -> None:
    bench = Bench(limit_ms=None)
    await bench.count()
    handled = 0
    original = bench.stay.session.handle

    def counted(event: Any, now_ms: int) -> None:
        nonlocal handled
        handled += 1
        original(event, now_ms)

    bench.stay.session.handle = counted  # type: ignore[method-assign]
    await bench.run(10_000)
    assert handled == 0
    await bench.run(50_000)
    assert handled <= 12
    assert bench.sink.ends == []


async def test_a_host_who_goes_in_the_same_moment_takes_nothing_of_the_time_that_was_counted() -> None:
    """As when the worker that carried both has died: the host's end is told first."""
    bench = Bench()
    await bench.count()
    await bench.run(8_000)
    bench.runner.set_host(ROOM)
    bench.runner.feed(bench.stay, Finish(EndCode.RUN_LOST))
    for _ in range(3):
        await bench.runner.step()
    assert [row.used_ms for row in bench.writer.closed] == [8_000]
