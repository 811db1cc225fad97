"""A room of payers under a hostile clock: late timers, lost, doubled and reordered reports, a slow database, lost leases,
crashes at any moment. The sessions are the real ones; the shell around them is ours and obeys them to the letter.

The oracle knows what the sessions cannot: when packets were really sent and when the gate really let media through.

    - A gate is open only over a committed segment, a segment closes only under a closed gate, a pass has one of them.
    - used <= limit, at every moment; used of a segment <= media really forwarded in it.
    - used <= the time in which both legs were alive, give or take how late the shell's timers are.
    - forwarded - used <= the payer's budget (60 s per purchased hour) + what a silent host caused + what crashes cost.
    - A crash costs the host about a second, and the payer nothing.
    - A repeated report changes nothing. A deadline lies in the future. Every session comes to its end.
"""

import heapq
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random
from typing import Any

from metering.events import (
    Alive,
    CloseGate,
    CloseSegment,
    End,
    EndCode,
    Extended,
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
)
from metering.session import LEGS, Session, recovered_used_ms
from tests.simulation.metering.legs import BEHAVIOURS, Packets

RUN_MS = 150_000
BEAT_MS = 1_000
LEG_TIMEOUT_MS = 12_000
# How late the shell's timers may be, and so how long a death may go unnoticed.
MAX_LATE_MS = 1_500
# One limit is cut up to this early by a truncated clock, see Policy.stop_slack_ms.
STOP_SLACK_MS = 50


@dataclass
class Segment:
    opened_ms: int
    first_ms: int | None = None  # the truth, known to the gate
    started_ms: int | None = None  # what the database was told
    stop_ms: int | None = None
    closed: CloseSegment | None = None
    crashed: bool = False
    blind_ms: int = 0  # time was added after the gate had run out: it passed nothing in between


@dataclass
class Pass:
    """The database's row, and the log of its segments."""

    limit_ms: int
    purchased_ms: int
    used_ms: int = 0
    forgiven_ms: int = 0
    open: Segment | None = None
    segments: list[Segment] = field(default_factory=list)
    host_gift_ms: int = 0
    crash_gift_ms: int = 0


class Gate:
    """Media between host and payer, as the media server would pass it."""

    def __init__(self) -> None:
        self.segment: Segment | None = None
        self.allow_ms: int | None = None

    def stop(self, at_ms: int, lease_end_ms: int | None) -> GateClosed:
        segment = self.segment
        assert segment is not None, "the gate was closed twice"
        self.segment = None
        stopped_ms = at_ms if lease_end_ms is None else min(at_ms, lease_end_ms)
        if segment.first_ms is None or segment.first_ms >= stopped_ms:
            segment.first_ms = None
            segment.stop_ms = stopped_ms
            return GateClosed(stopped_ms, None)
        if self.allow_ms is not None:
            stopped_ms = min(stopped_ms, segment.first_ms + self.allow_ms)
        segment.stop_ms = stopped_ms
        return GateClosed(stopped_ms, segment.first_ms)


class Payer:
    """One pass, its packets, and the session that is on it now, if any."""

    def __init__(self, world: "World", number: int) -> None:
        self.world, self.rng = world, world.rng
        limit_ms = self.rng.choice([20_000, 61_000, 120_000, 400_000, 3_600_000])
        self.behaviour = self.rng.choice(BEHAVIOURS)
        self.packets = Packets(self.rng, RUN_MS, self.behaviour)
        self.row = Pass(limit_ms, limit_ms)
        self.name = f"ses_{number}"
        self.session: Session | None = None
        self.gate = Gate()
        self.work: deque[SessionEffect] = deque()
        self.busy = False
        self.timer_ms: int | None = None
        self.sent: deque[SessionEvent] = deque(maxlen=20)
        self.host_reports: list[tuple[int, int]] = []  # of which packet, told when

    # --- joining, leaving ---

    def join(self) -> None:
        row = self.row
        if self.session is not None or self.world.closing or row.used_ms >= row.limit_ms:
            return
        self.work.clear()
        self.sent.clear()
        self.busy, self.timer_ms, self.gate = False, None, Gate()
        self.host_reports.clear()
        self.session = Session(
            self.name,
            limit_ms=row.limit_ms,
            used_ms=row.used_ms,
            purchased_ms=row.purchased_ms,
            forgiven_ms=row.forgiven_ms,
        )
        if self.world.lease_end_ms is not None:
            self.tell(LeaseLost(self.world.lease_end_ms))
        self.poll()

    def leave(self) -> None:
        self.tell(Finish(self.rng.choice([EndCode.LEFT, EndCode.KICKED, EndCode.REPLACED])))

    def extend(self) -> None:
        by_ms = self.rng.choice([10_000, 60_000, 900_000])
        self.row.limit_ms += by_ms
        self.row.purchased_ms += by_ms
        self.tell(Extended(by_ms))

    # --- reports ---

    def poll(self) -> None:
        self.report()
        self.tick()
        self.world.later(self.rng.randrange(700, 1_400), self.poll, run_only=True)

    def report(self) -> None:
        for leg in self.rng.sample(LEGS, 2):
            packets = self.packets if leg == "payer" else self.world.host
            last_ms = packets.last(self.world.now_ms)
            if last_ms is not None and self.rng.random() < 0.95:
                self.tell(Alive(leg, last_ms))

    def tick(self) -> None:
        if self.session is None:
            return
        self.session.handle_timer(self.world.now_ms)
        deadline_ms = self.session.next_deadline()
        assert deadline_ms is None or deadline_ms > self.world.now_ms, "a deadline in the past"
        self.drain()

    def on_timer(self, due_ms: int) -> None:
        if self.timer_ms != due_ms:
            return
        self.timer_ms = None
        if self.rng.random() < 0.9:
            self.report()
        self.tick()

    def tell(self, event: SessionEvent) -> None:
        session = self.session
        if session is None:
            return
        if isinstance(event, Alive) and event.leg == "host":
            self.host_reports.append((event.at_ms, self.world.now_ms))
        session.handle(event, self.world.now_ms)
        self.drain()
        if isinstance(event, Extended):
            return
        if self.rng.random() < 0.4:
            self.repeat(event)
        if self.may_come_again(event):
            self.sent.append(event)
        if self.sent and self.rng.random() < 0.1 and self.world.lease_end_ms is None:
            self.repeat(self.rng.choice(self.sent))

    def may_come_again(self, event: SessionEvent) -> bool:
        """At any later time, that is: nothing in these tells the segment that they are about."""
        if isinstance(event, GateClosed):
            return event.first_forwarded_ms is not None
        return not isinstance(event, (SegmentOpened, SegmentRefused, LeaseRenewed))

    def repeat(self, event: SessionEvent) -> None:
        """What was told before is told again: nothing may come of it."""
        session = self.session
        if session is None:
            return
        # First what is due anyway.
        session.handle_timer(self.world.now_ms)
        self.drain()
        if self.session is not session:
            return
        before = (session.state, session.used_ms, session.forgiven_ms)
        session.handle(event, self.world.now_ms)
        assert (session.state, session.used_ms, session.forgiven_ms) == before, f"repeated {event}"
        assert session.next_effect() is None, f"repeated {event}"

    # --- effects ---

    def drain(self) -> None:
        session = self.session
        if session is None:
            return
        while (effect := session.next_effect()) is not None:
            assert End not in map(type, self.work), "an effect after the end"
            self.work.append(effect)
        assert session.used_ms <= (session.limit_ms or 0)
        self.next_work()
        if self.session is session:
            self.set_timer(session.next_deadline())

    def set_timer(self, deadline_ms: int | None) -> None:
        if deadline_ms is None or deadline_ms == self.timer_ms:
            return
        self.timer_ms = deadline_ms
        late_ms = self.rng.choice([0, 0, 1, 5, 20, MAX_LATE_MS])
        self.world.later(
            max(0, deadline_ms - self.world.now_ms) + late_ms,
            lambda: self.on_timer(deadline_ms),
            run_only=True,
        )

    def next_work(self) -> None:
        """Effects are done one after the other, each when the one before is through."""
        while self.work and not self.busy:
            effect = self.work.popleft()
            if isinstance(effect, (OpenSegment, CloseSegment)):
                self.busy = True
                wait_ms = self.rng.choice([0, 1, 10, 300, 3_000])
                self.world.later(wait_ms, lambda effect=effect: self.commit(effect), run_only=True)
            elif isinstance(effect, CloseGate):
                # The media server answers at once, the answer takes its time.
                closed = self.gate.stop(self.world.now_ms, self.world.lease_end_ms)
                self.busy = True
                self.world.later(
                    self.rng.choice([0, 1, 30]), lambda closed=closed: self.done(closed), run_only=True
                )
            elif isinstance(effect, OpenGate):
                self.open_gate(effect)
            elif isinstance(effect, End):
                self.ended(effect)

    def done(self, answer: SessionEvent | None) -> None:
        self.busy = False
        if answer is not None:
            self.tell(answer)
        self.next_work()

    def commit(self, effect: OpenSegment | CloseSegment) -> None:
        row = self.row
        if isinstance(effect, OpenSegment):
            assert row.open is None, "two open segments of one pass"
            if self.rng.random() < 0.01:
                self.done(SegmentRefused(EndCode.REPLACED))
                return
            row.open = Segment(self.world.now_ms)
            row.segments.append(row.open)
            self.done(SegmentOpened())
            return
        assert row.open is not None, "closes a segment that is not open"
        assert self.gate.segment is None, "closes a segment under an open gate"
        assert self.session is not None
        row.used_ms += effect.used_ms
        row.forgiven_ms = self.session.forgiven_ms
        row.open.closed = effect
        self.check_segment(row.open, effect)
        row.open = None
        self.done(None)

    def open_gate(self, effect: OpenGate) -> None:
        segment, gate, now_ms = self.row.open, self.gate, self.world.now_ms
        assert segment is not None, "the gate opens without a segment"
        assert effect.allow_ms is not None
        assert effect.allow_ms > 0
        if gate.segment is None:
            gate.segment = segment
            self.start_media(segment)
        elif segment.first_ms is not None and gate.allow_ms is not None:
            segment.blind_ms += max(0, now_ms - segment.first_ms - gate.allow_ms)
        gate.allow_ms = effect.allow_ms

    def start_media(self, segment: Segment) -> None:
        now_ms = self.world.now_ms
        first_ms = self.world.host.next(now_ms)
        if first_ms is None or self.rng.random() < 0.03:
            return  # nothing ever passes
        segment.first_ms = first_ms
        delay_ms = first_ms - now_ms + self.rng.choice([0, 1, 40])
        self.world.later(delay_ms, lambda: self.first_packet(segment), run_only=True)

    def first_packet(self, segment: Segment) -> None:
        lease_end_ms = self.world.lease_end_ms
        if segment.first_ms is None or self.row.open is not segment:
            return
        if lease_end_ms is not None and segment.first_ms >= lease_end_ms:
            segment.first_ms = None
        else:
            segment.started_ms = segment.first_ms
            self.tell(Forwarding(segment.first_ms))

    def ended(self, effect: End) -> None:
        assert self.row.open is None, "ended with an open segment"
        assert self.gate.segment is None, "ended with an open gate"
        assert effect.used_ms == self.row.used_ms
        self.session = None
        self.work.clear()
        self.world.later(self.rng.randrange(8_000), self.join)

    # --- the oracle ---

    def check_segment(self, segment: Segment, closed: CloseSegment) -> None:
        forwarded_ms = self.forwarded_ms(segment)
        assert 0 <= closed.used_ms <= forwarded_ms + segment.blind_ms + STOP_SLACK_MS
        assert self.row.used_ms <= self.row.limit_ms
        if segment.first_ms is None or segment.stop_ms is None:
            assert closed.used_ms == 0
            return
        late_ms = LEG_TIMEOUT_MS + MAX_LATE_MS + 100
        for packets in (self.packets, self.world.host):
            alive_ms = packets.alive_ms(segment.first_ms, segment.stop_ms, late_ms)
            assert closed.used_ms <= alive_ms + segment.blind_ms + STOP_SLACK_MS
        self.row.host_gift_ms += self.host_gift_ms(segment.stop_ms, segment.opened_ms)

    def forwarded_ms(self, segment: Segment) -> int:
        if segment.first_ms is None or segment.stop_ms is None:
            return 0
        return segment.stop_ms - segment.first_ms

    def host_gift_ms(self, stop_ms: int, opened_ms: int) -> int:
        """At most so much of this segment is forgiven because of the host: from the last packet that the session
        knew of, for 12 s, or for 5 s at the end.
        """
        first_told: dict[int, int] = {}
        for at_ms, told_ms in self.host_reports:
            first_told.setdefault(at_ms, told_ms)
        known = sorted(first_told.items())
        for (at_ms, _), (_, next_told_ms) in zip(known, [*known[1:], (0, self.world.now_ms)], strict=True):
            is_last = next_told_ms >= stop_ms
            if next_told_ms > opened_ms and next_told_ms - at_ms > (5_000 if is_last else LEG_TIMEOUT_MS - 1):
                return max(0, stop_ms - max(at_ms, opened_ms))
        return 0

    def crash(self) -> None:
        """The process is gone; what the database holds is all there is."""
        world, row = self.world, self.row
        if self.gate.segment is not None:
            self.gate.stop(world.now_ms, world.lease_end_ms)
        segment, self.session = row.open, None
        self.work.clear()
        if segment is None:
            return
        silent_ms = world.silent.get(self.name)
        left_ms = row.limit_ms - row.used_ms
        used_ms = recovered_used_ms(segment.started_ms, world.beat_ms, silent_ms, left_ms)
        row.used_ms += used_ms
        forwarded_ms = self.forwarded_ms(segment)
        assert used_ms <= forwarded_ms + segment.blind_ms + STOP_SLACK_MS, "a crash cost the payer"
        row.crash_gift_ms += forwarded_ms - used_ms
        if silent_ms is None and segment.started_ms is not None and world.lease_end_ms is None:
            assert forwarded_ms - used_ms <= BEAT_MS + 100, "a crash cost the host more than a second"
        segment.crashed = True
        row.open = None

    def silent_since(self) -> int | None:
        """What a heartbeat says of this session: since when a leg is silent, or its gate closed."""
        now_ms, since = self.world.now_ms, []
        for packets in (self.packets, self.world.host):
            last_ms = packets.last(now_ms)
            if last_ms is not None and now_ms - last_ms > 1_000:
                since.append(last_ms)
        if self.row.open is not None and self.row.open.stop_ms is not None:
            since.append(self.row.open.stop_ms)
        return min(since, default=None)

    def check_end(self) -> None:
        row = self.row
        assert self.session is None, "a session that never ended"
        assert row.open is None, "a segment that never closed"
        assert row.used_ms <= row.limit_ms
        forwarded_ms = sum(self.forwarded_ms(segment) for segment in row.segments)
        budget_ms = row.purchased_ms * 60 // 3_600
        assert row.forgiven_ms <= budget_ms
        gain_ms = forwarded_ms - row.used_ms
        assert gain_ms <= budget_ms + row.host_gift_ms + row.crash_gift_ms, (
            f"{self.behaviour} gained {gain_ms} ms: budget {budget_ms}, host {row.host_gift_ms}, crash {row.crash_gift_ms}"
        )


class World:
    def __init__(self, seed: int) -> None:
        self.rng = rng = Random(seed)
        self.now_ms = 0
        self.run = 0
        self.order = 0
        self.heap: list[tuple[int, float, int, int | None, Callable[[], Any]]] = []
        self.lease_end_ms: int | None = None
        self.beat_ms = 0
        self.silent: dict[str, int] = {}
        self.closing = False
        self.host = Packets(rng, RUN_MS, rng.choice(["steady", "steady", "patchy"]))
        self.payers = [Payer(self, number) for number in range(rng.choice([1, 2, 2]))]

    def later(self, wait_ms: int, do: Callable[[], Any], *, run_only: bool = False) -> None:
        """`run_only`: forgotten in a crash. What is due at the same moment comes in any order."""
        self.order += 1
        run = self.run if run_only else None
        heapq.heappush(self.heap, (self.now_ms + wait_ms, self.rng.random(), self.order, run, do))

    def go(self) -> None:
        for payer in self.payers:
            self.later(self.rng.randrange(5_000), payer.join)
        self.plan()
        self.beat()
        self.step(RUN_MS)
        self.shut_down()

    def plan(self) -> None:
        rng = self.rng
        for payer in self.payers:
            for what in rng.choices([payer.leave, payer.extend], k=rng.randrange(4)):
                self.later(rng.randrange(RUN_MS), what)
        for _ in range(rng.randrange(3)):
            self.later(rng.randrange(RUN_MS), self.lose_lease)
        for _ in range(rng.choice([0, 0, 1, 3])):
            self.later(rng.randrange(RUN_MS), self.crash)

    def step(self, until_ms: int) -> None:
        while self.heap and self.heap[0][0] <= until_ms:
            self.now_ms, _, _, run, do = heapq.heappop(self.heap)
            if run is None or run == self.run:
                do()
        self.now_ms = until_ms

    def beat(self) -> None:
        if self.lease_end_ms is None:
            self.beat_ms = self.now_ms
            since = {payer.name: payer.silent_since() for payer in self.payers}
            self.silent = {name: at_ms for name, at_ms in since.items() if at_ms is not None}
        self.later(BEAT_MS, self.beat)

    def lose_lease(self) -> None:
        if self.lease_end_ms is not None or self.closing:
            return
        # Forwarding stopped by itself when the lease ran out; the shell notices a little later.
        self.lease_end_ms = self.now_ms
        noticed_ms = self.rng.choice([0, 5, 400])
        self.later(noticed_ms, self.tell_lease_lost)
        self.later(noticed_ms + self.rng.randrange(1, 20_000), self.renew_lease)

    def tell_lease_lost(self) -> None:
        for payer in self.payers:
            if self.lease_end_ms is not None:
                payer.tell(LeaseLost(self.lease_end_ms))

    def renew_lease(self) -> None:
        self.lease_end_ms = None
        for payer in self.payers:
            payer.tell(LeaseRenewed())

    def crash(self) -> None:
        self.run += 1
        for payer in self.payers:
            payer.crash()
        self.lease_end_ms = None
        for payer in self.payers:
            self.later(self.rng.randrange(3_000), payer.join)

    def shut_down(self) -> None:
        self.closing = True
        self.heap = [entry for entry in self.heap if entry[3] == self.run]
        heapq.heapify(self.heap)
        if self.lease_end_ms is not None:
            self.renew_lease()
        for payer in self.payers:
            payer.tell(Finish(EndCode.SHUTDOWN))
        self.step(self.now_ms + 10_000)
        for payer in self.payers:
            payer.check_end()


def run_seed(seed: int) -> World:
    """Raises AssertionError when a rule is broken."""
    world = World(seed)
    world.go()
    return world
