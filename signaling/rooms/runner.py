"""Drives the meters: one task, one heap of deadlines, and the door.

Events go in by `feed`, at once and from anywhere in the loop; effects are carried out by the task, in each session's
own order. A call of the door is waited for by its own session alone: the media worker of another room may be the one
that does not answer. How fresh the legs are is polled from the door; a counting session needs that only when its deadline comes,
so ten thousand of them cost little.
"""

import asyncio
import heapq
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

import structlog

from mediaserver.errors import MediaError
from mediaserver.events import Liveness
from mediaserver.server import MediaDoor
from metering.events import (
    Alive,
    CloseGate,
    CloseSegment,
    End,
    EndCode,
    Finish,
    Forwarding,
    GateClosed,
    LeaseLost,
    LeaseRenewed,
    OpenGate,
    OpenSegment,
    SegmentOpened,
    SegmentRefused,
    SessionEffect,
    SessionEvent,
    Show,
    Warn,
)
from metering.session import Session, State
from signaling.clock import Clock, now_ms, rfc3339
from signaling.ids import RandomBytes, new_id
from signaling.rooms.endings import meter_code
from signaling.rooms.writer import MeterWriter
from signaling.stores.meter import CloseRow, EndRow, OpenRow

log = structlog.get_logger()

POLL_MS = 250
SILENT_MS = 1_000
NOTHING_HEARD = Liveness()


class Sink(Protocol):
    """Who is told. Called from the runner's task; must not block."""

    def on_show(self, stay: "Stay", show: Show) -> None: ...

    def on_warn(self, stay: "Stay", remaining_ms: int) -> None: ...

    def on_end(self, stay: "Stay", code: EndCode, used_ms: int) -> None: ...

    def on_poll(self, liveness: Mapping[str, Liveness], at_ms: int) -> None: ...


@dataclass(slots=True, eq=False)
class Stay:
    """A metered participant under way. `end_code`: the word for its ending, when the meter has none of its own.
    `is_calling`: a call of the door for it is not answered yet."""

    session: Session
    participant_id: str
    room_id: str
    pass_id: str
    epoch: int
    end_code: str | None = None
    segment_id: str | None = None
    started_ms: int | None = None
    gate_ms: int = 0
    armed_ms: int | None = None
    is_calling: bool = False

    @property
    def session_id(self) -> str:
        return self.session.session_id

    def word(self, code: EndCode) -> str:
        """The ending as it is told: ours, unless the meter ended for a reason of its own meanwhile."""
        return (
            self.end_code if self.end_code is not None and meter_code(self.end_code) is code else code.value
        )


class MeterRunner:
    """`add` a stay, `feed` it, and the sink hears what comes of it."""

    def __init__(
        self, door: MediaDoor, writer: MeterWriter, clock: Clock, random_bytes: RandomBytes, *, sink: Sink
    ) -> None:
        self._door = door
        self._writer = writer
        self._clock = clock
        self._random_bytes = random_bytes
        self._sink = sink
        self._stays: dict[str, Stay] = {}  # by participant
        self._hosts: dict[str, tuple[str, ...]] = {}  # room → the host's participants
        self._liveness: Mapping[str, Liveness] = {}
        self._heap: list[tuple[int, int, Stay]] = []
        self._pushed = 0
        self._dirty: dict[Stay, None] = {}
        self._starts: dict[str, int] = {}
        self._wake = asyncio.Event()
        self._emptied = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._calls: set[asyncio.Task[None]] = set()
        self._next_poll_ms = 0

    def start(self) -> None:
        self._task = asyncio.create_task(self._run(), name="meter-runner")

    async def close(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait({self._task})
            self._task = None
        for call in self._calls:
            call.cancel()
        await asyncio.gather(*self._calls, return_exceptions=True)

    # --- what is told -------------------------------------------------------------------------------------

    def add(self, stay: Stay) -> None:
        self._stays[stay.participant_id] = stay
        self._after(stay)

    def set_host(self, room_id: str, *participant_ids: str) -> None:
        """Whose packets keep this room's clocks running: any of them (studio page, encoder); nobody's without ids."""
        self._hear_the_last_of_host(room_id)
        if participant_ids:
            self._hosts[room_id] = participant_ids
        else:
            self._hosts.pop(room_id, None)

    def _hear_the_last_of_host(self, room_id: str) -> None:
        """A counting session was last asked when its deadline came: what has been heard since must reach it before the
        one who was heard is forgotten, or that time looks silent and is forgiven."""
        at_ms = now_ms(self._clock)
        for stay in self._stays.values():
            if stay.room_id == room_id:
                self._refresh(stay, at_ms)

    def feed(self, stay: Stay, event: SessionEvent) -> None:
        at_ms = now_ms(self._clock)
        self._refresh(stay, at_ms)
        stay.session.handle(event, at_ms)
        self._after(stay)

    def forwarding(self, participant_id: str, since_ms: int) -> None:
        """The door saw the first packet pass."""
        stay = self._stays.get(participant_id)
        if stay is None or since_ms < stay.gate_ms:
            return
        stay.started_ms = since_ms
        if stay.segment_id is not None:
            self._starts[stay.segment_id] = since_ms
        self.feed(stay, Forwarding(since_ms))

    def connected(self, participant_id: str, at_ms: int) -> None:
        """The receiving transport came up: its clock need not wait for the next poll."""
        stay = self._stays.get(participant_id)
        if stay is not None:
            self.feed(stay, Alive("payer", at_ms))

    def lease_lost(self, at_ms: int) -> None:
        for stay in tuple(self._stays.values()):
            self.feed(stay, LeaseLost(at_ms))

    def lease_renewed(self) -> None:
        for stay in tuple(self._stays.values()):
            self.feed(stay, LeaseRenewed())

    # --- what is read -------------------------------------------------------------------------------------

    @property
    def stays(self) -> Mapping[str, Stay]:
        return self._stays

    @property
    def liveness(self) -> Mapping[str, Liveness]:
        """As of the last poll."""
        return self._liveness

    async def idle(self) -> None:
        """Until no stay is left and their rows are committed."""
        while self._stays:
            self._emptied.clear()
            await self._emptied.wait()
        await self._writer.flushed()

    def starts(self) -> dict[str, int]:
        """First packets of open segments that no heartbeat has written yet."""
        return dict(self._starts)

    def recorded(self, segment_ids: Mapping[str, int]) -> None:
        for segment_id in segment_ids:
            self._starts.pop(segment_id, None)

    def silent(self, at_ms: int) -> dict[str, int]:
        """Sessions with an open segment and a leg silent for over a second: when that leg was last heard."""
        found = {}
        for stay in self._stays.values():
            if stay.segment_id is not None:
                last_ms = min((ms for ms in self._legs(stay) if ms is not None), default=None)
                if last_ms is not None and at_ms - last_ms > SILENT_MS:
                    found[stay.session_id] = last_ms
        return found

    # --- the task -----------------------------------------------------------------------------------------

    async def _run(self) -> None:
        while True:
            try:
                await self.step()
                await self._pause()
            except Exception:  # one broken stay must not stop every other clock
                log.exception("meter_runner_stumbled")
                await asyncio.sleep(POLL_MS / 1000)

    async def step(self) -> None:
        """One turn of the task, without the waiting: poll when it is time, fire what is due, carry out effects. Calls of
        the door that are not answered at once go on by themselves."""
        at_ms = now_ms(self._clock)
        if at_ms >= self._next_poll_ms:
            self._next_poll_ms = at_ms + POLL_MS
            await self._poll(at_ms)
        self._fire(now_ms(self._clock))
        while self._dirty:
            self._drain()
            await asyncio.sleep(0)

    async def _pause(self) -> None:
        if self._dirty:
            return
        until_ms = min(self._next_poll_ms, self._heap[0][0] if self._heap else self._next_poll_ms)
        delay_s = (until_ms * 1_000_000 - self._clock.now_ns()) / 1e9
        if delay_s <= 0:
            await asyncio.sleep(0)
            return
        timer = asyncio.get_running_loop().call_later(delay_s, self._wake.set)
        await self._wake.wait()
        self._wake.clear()
        timer.cancel()

    async def _poll(self, at_ms: int) -> None:
        self._liveness = await self._door.liveness()
        for stay in tuple(self._stays.values()):
            # A counting session is asked only when its deadline comes.
            if stay.session.state is not State.COUNTING:
                self._refresh(stay, at_ms)
                self._after(stay)
        self._sink.on_poll(self._liveness, at_ms)

    def _fire(self, at_ms: int) -> None:
        while self._heap and self._heap[0][0] <= at_ms:
            deadline_ms, _, stay = heapq.heappop(self._heap)
            if stay.armed_ms != deadline_ms:
                continue  # replaced by an earlier one
            stay.armed_ms = None
            self._refresh(stay, at_ms)
            stay.session.handle_timer(at_ms)
            self._after(stay)

    def _legs(self, stay: Stay) -> tuple[int | None, int | None]:
        """When the payer's and the host's leg were last heard."""
        payer = self._liveness.get(stay.participant_id, NOTHING_HEARD).subscribe_any_ms
        hosts = (
            self._liveness.get(host, NOTHING_HEARD).publish_rtp_ms
            for host in self._hosts.get(stay.room_id, ())
        )
        return payer, max((heard_ms for heard_ms in hosts if heard_ms is not None), default=None)

    def _refresh(self, stay: Stay, at_ms: int) -> None:
        payer_ms, host_ms = self._legs(stay)
        if payer_ms is not None:
            stay.session.handle(Alive("payer", payer_ms), at_ms)
        if host_ms is not None:
            stay.session.handle(Alive("host", host_ms), at_ms)

    def _after(self, stay: Stay) -> None:
        """Effects may be waiting, the deadline may be earlier. (A later one is noticed when the old one comes.)"""
        self._dirty[stay] = None
        deadline_ms = stay.session.next_deadline()
        if deadline_ms is not None and (stay.armed_ms is None or deadline_ms < stay.armed_ms):
            stay.armed_ms = deadline_ms
            self._pushed += 1
            heapq.heappush(self._heap, (deadline_ms, self._pushed, stay))
        self._wake.set()

    def _drain(self) -> None:
        while self._dirty:
            stay = next(iter(self._dirty))
            del self._dirty[stay]
            while not stay.is_calling and (effect := stay.session.next_effect()) is not None:
                self._execute(stay, effect)

    def _ask_soon(self, stay: Stay, effect: OpenGate | CloseGate) -> None:
        """What the session wants next waits until the door has answered."""
        stay.is_calling = True
        call = asyncio.create_task(self._ask(stay, effect))
        self._calls.add(call)
        call.add_done_callback(self._calls.discard)

    async def _ask(self, stay: Stay, effect: OpenGate | CloseGate) -> None:
        try:
            if isinstance(effect, OpenGate):
                await self._open_gate(stay, effect.allow_ms)
            else:
                await self._close_gate(stay)
        except Exception:  # one broken stay must not stop every other clock
            log.exception("meter_call_failed", participant=stay.participant_id)
        finally:
            stay.is_calling = False
            self._dirty[stay] = None
            self._wake.set()

    def _execute(self, stay: Stay, effect: SessionEffect) -> None:
        match effect:
            case OpenSegment():
                self._open_segment(stay)
            case OpenGate() | CloseGate():
                self._ask_soon(stay, effect)
            case CloseSegment():
                self._close_segment(stay, effect)
            case Warn():
                self._sink.on_warn(stay, effect.remaining_ms)
            case Show():
                self._sink.on_show(stay, effect)
            case End():
                self._end(stay, effect)

    # --- effects ------------------------------------------------------------------------------------------

    def _open_segment(self, stay: Stay) -> None:
        stay.segment_id = new_id("seg", self._random_bytes)
        stay.started_ms = None
        row = OpenRow(
            segment_id=stay.segment_id,
            session_id=stay.session_id,
            pass_id=stay.pass_id,
            epoch=stay.epoch,
            opened_ms=now_ms(self._clock),
            opened_at=rfc3339(self._clock.wall_s()),
        )
        self._writer.open_segment(row, lambda refusal: self._segment_answered(stay, refusal))

    def _segment_answered(self, stay: Stay, refusal: str | None) -> None:
        if refusal is None:
            self.feed(stay, SegmentOpened())
        else:
            stay.segment_id = None
            self.feed(stay, SegmentRefused(EndCode(refusal)))

    async def _open_gate(self, stay: Stay, allow_ms: int | None) -> None:
        if stay.started_ms is None:
            stay.gate_ms = now_ms(self._clock)
        try:
            await self._door.open_gate(stay.participant_id, allow_ms)
        except MediaError as error:
            log.info("gate_not_opened", participant=stay.participant_id, code=error.code)
            self.feed(stay, Finish(EndCode.CONNECTION_LOST))

    async def _close_gate(self, stay: Stay) -> None:
        try:
            report = await self._door.close_gate(stay.participant_id)
        except MediaError:
            self.feed(stay, GateClosed(now_ms(self._clock), None))
            return
        self.feed(stay, GateClosed(max(report.stopped_ms, stay.gate_ms), report.first_forwarded_ms))

    def _close_segment(self, stay: Stay, effect: CloseSegment) -> None:
        assert stay.segment_id is not None
        self._starts.pop(stay.segment_id, None)
        row = CloseRow(
            segment_id=stay.segment_id,
            pass_id=stay.pass_id,
            started_ms=effect.started_ms,
            closed_ms=effect.closed_ms,
            used_ms=effect.used_ms,
            forgiven_ms=stay.session.forgiven_ms,
        )
        stay.segment_id = stay.started_ms = None
        self._writer.close_segment(row)

    def _end(self, stay: Stay, effect: End) -> None:
        self._stays.pop(stay.participant_id, None)
        self._writer.end_session(
            EndRow(stay.session_id, stay.word(effect.code), rfc3339(self._clock.wall_s()))
        )
        self._sink.on_end(stay, effect.code, effect.used_ms)
        if not self._stays:
            self._emptied.set()
