"""One payer's meter: what happened goes in, what is to be done comes out. No clock, no I/O.

    session.handle(event, now_ms)      something happened
    session.handle_timer(now_ms)       the time of next_deadline() came (too early is harmless)
    session.next_effect()              what to do now, until None: do them in this order

Rules that hold in every state:

1. A second counts only while media may pass *and* did begin to pass: from the first forwarded packet to the moment
   the gate closed, never more, and never past what the pass has left.
2. A leg (payer, host) that is silent for 12 s is dead. The clock is then put back to its last packet.
3. What we forwarded after that packet is a gift. A dead host's gift is given whole. A dead payer's gift has a
   budget, 60 s per purchased hour over the whole pass: otherwise one packet every 13 s would watch for nothing.
   Beyond the budget it counts until forwarding stopped.
4. An ordinary end (leave, kick, lease lost, ...) puts the clock back only for a leg silent for more than 5 s.
5. At the limit, a leg silent for more than 1 s may be dead already. Media stops, and we hold for what is left of its
   12 s: a packet proves that it lived (used up), silence that it did not (the rest is given back).
6. Events may come twice, late, or about a gate that is closed already; such events change nothing. Only the answers
   to OpenSegment, and to a CloseGate under which nothing had passed, must come once: nothing in them tells two
   segments apart.

States, and what moves between them (what is not listed is ignored there):

    WAITING   no segment. Both legs alive, lease held, time left -> ask for a segment -> OPENING
    OPENING   the segment's row is being committed. SegmentOpened -> ARMED (or, when things changed meanwhile,
              close it with 0 -> WAITING or ENDED); SegmentRefused -> ENDED
    ARMED     the gate is open, nothing passed yet, nothing counts. Forwarding -> COUNTING
    COUNTING  the clock runs. A dead leg, the limit, a lost lease, Finish -> close the gate -> CLOSING
    CLOSING   the gate was asked to close. GateClosed -> HOLDING
    HOLDING   the gate is closed, the segment not settled: normally for no time at all, at the limit up to 12 s.
              Settled -> WAITING (a pause) or ENDED
    ENDED     nothing happens any more

Warnings come when the time left crosses 5 minutes and 1 minute while counting, once each, and again after time was
added. A session that starts at or below a threshold has not crossed it and is not warned, except for the last one: who
comes in with 40 s left is told so at the first packet.
"""

# ruff: noqa: SLF001 - the tables at the end name the class's own methods

from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import Enum, auto
from typing import Any

from metering.errors import MeterError
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
    Leg,
    MeterState,
    OpenGate,
    OpenSegment,
    PauseReason,
    SegmentOpened,
    SegmentRefused,
    SessionEffect,
    SessionEvent,
    Show,
    Warn,
)

LEGS: tuple[Leg, Leg] = ("payer", "host")
HOUR_MS = 3_600_000


class State(Enum):
    WAITING = auto()
    OPENING = auto()
    ARMED = auto()
    COUNTING = auto()
    CLOSING = auto()
    HOLDING = auto()
    ENDED = auto()


@dataclass(frozen=True, slots=True)
class Policy:
    """The figures of the rules above. `forgiven_ms_per_hour`: the payer's budget per purchased hour.
    `stop_slack_ms`: a gate that reports to have stopped this little before its limit did stop at the limit (its
    clock is finer than ours, and truncated).
    """

    leg_timeout_ms: int = 12_000
    fresh_ms: int = 1_000
    end_silence_ms: int = 5_000
    forgiven_ms_per_hour: int = 60_000
    warnings_ms: tuple[int, ...] = (300_000, 60_000)
    stop_slack_ms: int = 50


@dataclass(slots=True)
class _Segment:
    """The open segment. `gate_ms`: when we asked for the gate. `since_ms`: first forwarded packet. `stop_ms`:
    forwarding stopped. `lease_cut_ms`: the lease ended then. `at_limit`: it was closed because the limit came.
    `silent`: decided: these legs are taken for dead since these times; None: not decided yet.
    """

    gate_ms: int
    since_ms: int | None = None
    stop_ms: int | None = None
    lease_cut_ms: int | None = None
    at_limit: bool = False
    silent: dict[Leg, int] | None = None

    def forwarded_ms(self, now_ms: int) -> int:
        if self.since_ms is None:
            return 0
        stop_ms = now_ms if self.stop_ms is None else self.stop_ms
        if self.lease_cut_ms is not None:
            stop_ms = min(stop_ms, self.lease_cut_ms)
        return max(0, stop_ms - self.since_ms)


@dataclass(slots=True)
class _Pass:
    """What the pass allows and what was used of it. None stands for unlimited."""

    limit_ms: int | None
    used_ms: int
    purchased_ms: int | None
    forgiven_ms: int

    @property
    def left_ms(self) -> int | None:
        return None if self.limit_ms is None else max(0, self.limit_ms - self.used_ms)

    def extend(self, by_ms: int | None) -> None:
        if by_ms is None or self.limit_ms is None or self.purchased_ms is None:
            self.limit_ms = self.purchased_ms = None
            return
        self.limit_ms += by_ms
        self.purchased_ms += by_ms

    def budget_ms(self, per_hour_ms: int) -> int | None:
        if self.purchased_ms is None:
            return None
        return max(0, self.purchased_ms * per_hour_ms // HOUR_MS - self.forgiven_ms)


class Session:
    """One metered stay. Feed it with `handle` and `handle_timer`, then drain `next_effect` until None.

    `limit_ms`: what the pass grants in all (None: unlimited). `used_ms`: what was used of it before this session.
    `purchased_ms`: what was paid for, from which the budget of forgiven time follows (None: take `limit_ms`).
    `forgiven_ms`: how much of that budget the pass has used up; persist the property with each CloseSegment.

    The caller's times are integer milliseconds of one monotonic clock. Feed the newest `Alive` of both legs before
    `handle_timer` and before any other event: a leg that was heard from, but not reported, looks dead. While counting
    that is enough; in other states report them every second or so. Raises MeterError for figures below zero.
    """

    def __init__(
        self,
        session_id: str,
        *,
        limit_ms: int | None,
        used_ms: int,
        purchased_ms: int | None,
        forgiven_ms: int = 0,
        policy: Policy | None = None,
    ) -> None:
        if min(used_ms, forgiven_ms, limit_ms or 0, purchased_ms or 0) < 0:
            raise MeterError(f"session {session_id}: a figure below zero")
        bought_ms = limit_ms if purchased_ms is None else purchased_ms
        self.session_id = session_id
        self._policy = policy or Policy()
        self._pass = _Pass(limit_ms, used_ms, None if limit_ms is None else bought_ms, forgiven_ms)
        self._state = State.WAITING
        self._segment: _Segment | None = None
        self._heard: dict[Leg, int] = {}
        # Both legs must be heard after this before a segment opens again (see _on_gate_closed).
        self._reopen_after_ms: int | None = None
        self._has_lease = True
        self._renewed_ms: int | None = None
        self._has_counted = False
        self._finish: EndCode | None = None
        self._warnings: set[int] = set()
        self._shown: tuple[bool, Show | int | None] | None = None
        self._effects: deque[SessionEffect] = deque()
        self._now_ms = 0
        self._arm_warnings(self._pass.left_ms, starting=True)
        if self._pass.left_ms == 0:
            self._end(EndCode.USED_UP)

    # --- what the caller reads ----------------------------------------------------------------------------

    @property
    def used_ms(self) -> int:
        """Used of the pass by closed segments, this session's and earlier ones'."""
        return self._pass.used_ms

    @property
    def forgiven_ms(self) -> int:
        """Forwarded time that was given back for the payer's leg so far, over the whole pass."""
        return self._pass.forgiven_ms

    @property
    def limit_ms(self) -> int | None:
        return self._pass.limit_ms

    @property
    def state(self) -> State:
        return self._state

    @property
    def ended(self) -> bool:
        return self._state is State.ENDED

    def next_effect(self) -> SessionEffect | None:
        return self._effects.popleft() if self._effects else None

    def next_deadline(self) -> int | None:
        """When `handle_timer` wants to be called (monotonic ms), or None. Moves with every event."""
        return min(_DEADLINES[self._state](self), default=None)

    def view(self, now_ms: int) -> Show:
        """The meter as it stands now, for somebody who just arrived."""
        if self._state is State.ENDED:
            return Show("ended", None, self._pass.left_ms, None)
        left_ms = self._left_ms(now_ms)
        if self._state is State.COUNTING:
            return Show("counting", None, left_ms, self._limit_at_ms())
        return Show(self._shown_state(now_ms), self._reason(now_ms), left_ms, None)

    # --- what the caller tells ----------------------------------------------------------------------------

    def handle(self, event: SessionEvent, now_ms: int) -> None:
        handler = TABLE[self._state].get(type(event))
        if handler is None:
            return
        handler(self, event, now_ms)
        # A report may be followed by the other leg's: who is dead is asked when both were told.
        if not (isinstance(event, Alive) and self._state in _GATE_OPEN):
            self._react(now_ms)

    def handle_timer(self, now_ms: int) -> None:
        """Harmless when early."""
        self._react(now_ms)

    # --- events -------------------------------------------------------------------------------------------

    def _on_alive(self, event: Alive, now_ms: int) -> None:
        at_ms = min(event.at_ms, now_ms)
        last_ms = self._heard.get(event.leg)
        # A gap between two reports proves nothing: a shell may report only when a deadline comes.
        if last_ms is None or at_ms > last_ms:
            self._heard[event.leg] = at_ms

    def _on_segment_opened(self, _event: SegmentOpened, now_ms: int) -> None:
        self._segment = _Segment(gate_ms=now_ms)
        if self._finish is None and self._may_open(now_ms):
            self._state = State.ARMED
            self._effects.append(OpenGate(self._pass.left_ms))
        else:
            # What the segment was for has gone while its row was written. No gate was open: it costs nothing.
            self._segment.stop_ms = now_ms
            self._segment.silent = {}
            self._state = State.HOLDING

    def _on_segment_refused(self, event: SegmentRefused, _now_ms: int) -> None:
        self._end(self._finish or event.code)

    def _on_forwarding(self, event: Forwarding, now_ms: int) -> None:
        segment = self._open_segment()
        if event.since_ms < segment.gate_ms:
            return  # about an earlier gate
        segment.since_ms = min(event.since_ms, now_ms)
        self._state = State.COUNTING
        self._has_counted = True

    def _on_gate_closed(self, event: GateClosed, _now_ms: int) -> None:
        segment = self._open_segment()
        if self._is_about_an_earlier_gate(event, segment):
            return
        # When we were told of a first packet, a report without one is not believed: the media side may have
        # forgotten (its peer is gone), which must not make a stay free of charge.
        if event.first_forwarded_ms is not None and event.first_forwarded_ms >= segment.gate_ms:
            segment.since_ms = event.first_forwarded_ms
        segment.stop_ms = max(event.stopped_ms, segment.gate_ms)
        if self._state is not State.CLOSING and not self._reached_limit():
            # Nobody asked for it: the media side lost its peer. Opening at once could spin (open, close, open ...).
            self._reopen_after_ms = segment.stop_ms
        self._state = State.HOLDING

    def _on_lease_lost(self, event: LeaseLost, _now_ms: int) -> None:
        if self._renewed_ms is not None and event.at_ms <= self._renewed_ms:
            return  # a repeat from before the renewal
        self._has_lease = False
        segment = self._segment
        if segment is None:
            return
        earlier_ms = segment.lease_cut_ms
        segment.lease_cut_ms = event.at_ms if earlier_ms is None else min(earlier_ms, event.at_ms)
        if self._state in _GATE_OPEN:
            self._close_gate(self._silent_for(self._policy.end_silence_ms + 1, event.at_ms))

    def _on_lease_renewed(self, _event: LeaseRenewed, now_ms: int) -> None:
        if not self._has_lease:
            self._has_lease, self._renewed_ms = True, now_ms

    def _on_extended(self, event: Extended, now_ms: int) -> None:
        self._pass.extend(event.by_ms)
        self._arm_warnings(self._left_ms(now_ms), starting=False)
        if self._state in _GATE_OPEN:
            self._effects.append(OpenGate(self._pass.left_ms))

    def _on_finish(self, event: Finish, now_ms: int) -> None:
        if self._finish is not None:
            return
        self._finish = event.code
        segment = self._segment
        if self._state is State.WAITING:
            self._end(event.code)
        if segment is None or segment.silent is not None:
            return
        silent = self._silent_for(self._policy.end_silence_ms + 1, now_ms)
        if self._state in _GATE_OPEN:
            self._close_gate(silent)
        else:
            segment.silent = silent

    # --- what follows by itself, from the state and the time ----------------------------------------------

    def _react(self, now_ms: int) -> None:
        self._now_ms = max(self._now_ms, now_ms)
        before = None
        while before is not self._state:
            before = self._state
            _REACTIONS[before](self, now_ms)
        self._show(now_ms)

    def _react_not(self, now_ms: int) -> None:
        pass

    def _react_waiting(self, now_ms: int) -> None:
        if self._pass.left_ms == 0:
            self._end(EndCode.USED_UP)
        elif self._may_open(now_ms):
            self._state = State.OPENING
            self._effects.append(OpenSegment())

    def _react_gate_open(self, now_ms: int) -> None:
        limit_at_ms = self._limit_at_ms()
        if not all(self._is_alive(leg, now_ms) for leg in LEGS):
            self._close_gate(self._silent_for(self._policy.leg_timeout_ms, now_ms))
        elif limit_at_ms is not None and now_ms >= limit_at_ms:
            self._open_segment().at_limit = True
            self._close_gate(None)
        else:
            self._warn(now_ms)

    def _react_closing(self, now_ms: int) -> None:
        segment = self._open_segment()
        dead = self._silent_for(self._policy.leg_timeout_ms, now_ms)
        if segment.silent is None and dead:
            segment.silent = dead

    def _react_holding(self, now_ms: int) -> None:
        segment = self._open_segment()
        if segment.silent is None:
            segment.silent = self._judge_silence(segment, now_ms)
        if segment.silent is not None:
            self._settle(segment, segment.silent, now_ms)

    def _judge_silence(self, segment: _Segment, now_ms: int) -> dict[Leg, int] | None:
        """Which legs are taken for dead at the end of this segment; None: that must still show."""
        stop_ms = now_ms if segment.stop_ms is None else segment.stop_ms
        if not self._reached_limit():
            return self._silent_for(self._policy.end_silence_ms + 1, stop_ms)
        dead = self._silent_for(self._policy.leg_timeout_ms, now_ms)
        doubtful = self._silent_for(self._policy.fresh_ms + 1, stop_ms)
        return dead if dead or not doubtful else None

    def _settle(self, segment: _Segment, silent: Mapping[Leg, int], now_ms: int) -> None:
        used_ms, gift_ms = self._price(segment, silent, now_ms)
        self._pass.used_ms += used_ms
        self._pass.forgiven_ms += gift_ms
        self._segment = None
        closed_ms = now_ms if segment.stop_ms is None else segment.stop_ms
        self._effects.append(CloseSegment(segment.since_ms, closed_ms, used_ms))
        self._state = State.WAITING
        if self._finish is not None:
            self._end(self._finish)

    def _price(self, segment: _Segment, silent: Mapping[Leg, int], now_ms: int) -> tuple[int, int]:
        """What the segment uses of the pass, and what of the payer's budget of forgiven time."""
        if segment.since_ms is None:
            return 0, 0
        end_ms = segment.since_ms + self._counted_ms(segment, now_ms)
        host_end_ms = min(end_ms, max(segment.since_ms, silent.get("host", end_ms)))
        payer_end_ms = min(host_end_ms, max(segment.since_ms, silent.get("payer", host_end_ms)))
        gift_ms = host_end_ms - payer_end_ms
        budget_ms = self._pass.budget_ms(self._policy.forgiven_ms_per_hour)
        if budget_ms is not None:
            gift_ms = min(gift_ms, budget_ms)
        return host_end_ms - segment.since_ms - gift_ms, gift_ms

    # --- small helpers ------------------------------------------------------------------------------------

    def _open_segment(self) -> _Segment:
        if self._segment is None:
            raise MeterError(f"session {self.session_id}: no segment in {self._state.name}")
        return self._segment

    def _is_about_an_earlier_gate(self, event: GateClosed, segment: _Segment) -> bool:
        first_ms = event.first_forwarded_ms
        if self._state is State.CLOSING:
            # The answer that we wait for. It may name a stop before the gate was asked for: the lease had run out
            # already, and nothing passed. When in doubt it is the answer: waiting for another would be for ever.
            return first_ms is not None and event.stopped_ms < segment.gate_ms
        return event.stopped_ms <= segment.gate_ms or (first_ms is not None and first_ms < segment.gate_ms)

    def _may_open(self, now_ms: int) -> bool:
        if not self._has_lease or self._pass.left_ms == 0:
            return False
        after_ms = self._reopen_after_ms
        fresh = after_ms is None or all(self._heard.get(leg, after_ms) > after_ms for leg in LEGS)
        return fresh and all(self._is_alive(leg, now_ms) for leg in LEGS)

    def _is_alive(self, leg: Leg, now_ms: int) -> bool:
        heard_ms = self._heard.get(leg)
        return heard_ms is not None and now_ms - heard_ms < self._policy.leg_timeout_ms

    def _silent_for(self, least_ms: int, at_ms: int) -> dict[Leg, int]:
        """The legs whose last packet was at least so long before `at_ms`, with its time."""
        return {leg: heard_ms for leg, heard_ms in self._heard.items() if at_ms - heard_ms >= least_ms}

    def _close_gate(self, silent: dict[Leg, int] | None) -> None:
        self._open_segment().silent = silent
        self._state = State.CLOSING
        self._effects.append(CloseGate())

    def _counted_ms(self, segment: _Segment, now_ms: int) -> int:
        """Forwarded so far, as far as the pass reaches, without anything put back."""
        forwarded_ms, left_ms = segment.forwarded_ms(now_ms), self._pass.left_ms
        if left_ms is None:
            return forwarded_ms
        if (
            segment.at_limit
            and segment.stop_ms is not None
            and left_ms - forwarded_ms <= self._policy.stop_slack_ms
        ):
            return left_ms
        return min(forwarded_ms, left_ms)

    def _reached_limit(self) -> bool:
        segment = self._open_segment()
        return segment.since_ms is not None and self._counted_ms(segment, 0) == self._pass.left_ms

    def _left_ms(self, now_ms: int) -> int | None:
        left_ms = self._pass.left_ms
        if left_ms is None or self._segment is None:
            return left_ms
        return left_ms - self._counted_ms(self._segment, now_ms)

    def _limit_at_ms(self) -> int | None:
        segment, left_ms = self._segment, self._pass.left_ms
        if segment is None or segment.since_ms is None or left_ms is None:
            return None
        return segment.since_ms + left_ms

    def _arm_warnings(self, left_ms: int | None, *, starting: bool) -> None:
        if left_ms is None:
            self._warnings = set()
            return
        last = {min(self._policy.warnings_ms)} if self._policy.warnings_ms else set()
        kept = last if starting else self._warnings & last
        self._warnings = {mark_ms for mark_ms in self._policy.warnings_ms if mark_ms < left_ms} | kept

    def _warn(self, now_ms: int) -> None:
        limit_at_ms, granted_ms = self._limit_at_ms(), self._pass.left_ms
        if not self._warnings or limit_at_ms is None or granted_ms is None:
            return
        for mark_ms in sorted(
            (mark for mark in self._warnings if mark >= limit_at_ms - now_ms), reverse=True
        ):
            self._warnings.remove(mark_ms)
            self._effects.append(Warn(min(mark_ms, granted_ms)))

    def _deadlines_waiting(self) -> list[int]:
        """The next leg that dies changes what is shown. One that is dead already does not die again."""
        return [at_ms for at_ms in self._deaths_ms() if at_ms > self._now_ms]

    def _deadlines_gate_open(self) -> list[int]:
        limit_at_ms = self._limit_at_ms()
        if limit_at_ms is None:
            return self._deaths_ms()
        return [*self._deaths_ms(), limit_at_ms, *(limit_at_ms - mark_ms for mark_ms in self._warnings)]

    def _deaths_ms(self) -> list[int]:
        return [heard_ms + self._policy.leg_timeout_ms for heard_ms in self._heard.values()]

    def _no_deadlines(self) -> list[int]:
        return []

    def _reason(self, now_ms: int) -> PauseReason | None:
        if not self._has_lease:
            return "server"
        if "payer" not in self._heard:
            return "connecting"
        if not self._is_alive("host", now_ms):
            return "host_away"
        return "connecting" if self._is_alive("payer", now_ms) else "payer_away"

    def _shown_state(self, now_ms: int) -> MeterState:
        if self._segment is not None and self._left_ms(now_ms) == 0:
            return "holding"
        return "paused" if self._has_counted else "waiting"

    def _show(self, now_ms: int) -> None:
        """Tell what is to be seen, when it changed. While the gate closes nothing is told: that takes no time."""
        if self._state is State.CLOSING:
            return
        # While counting the time left follows from ends_at, which changes only when time is added.
        counting = self._state is State.COUNTING
        visible = self._limit_at_ms() if counting else self.view(now_ms)
        if (counting, visible) != self._shown:
            self._shown = (counting, visible)
            self._effects.append(self.view(now_ms))

    def _end(self, code: EndCode) -> None:
        self._state = State.ENDED
        self._show(0)
        self._effects.append(End(code, self._pass.used_ms))


# --- the table --------------------------------------------------------------------------------------------

Handler = Callable[[Session, Any, int], None]
_GATE_OPEN = (State.ARMED, State.COUNTING)

_ALWAYS: dict[type, Handler] = {
    Alive: Session._on_alive,
    LeaseLost: Session._on_lease_lost,
    LeaseRenewed: Session._on_lease_renewed,
    Extended: Session._on_extended,
    Finish: Session._on_finish,
}

TABLE: Mapping[State, Mapping[type, Handler]] = {
    State.WAITING: _ALWAYS,
    State.OPENING: _ALWAYS
    | {SegmentOpened: Session._on_segment_opened, SegmentRefused: Session._on_segment_refused},
    State.ARMED: _ALWAYS | {Forwarding: Session._on_forwarding, GateClosed: Session._on_gate_closed},
    State.COUNTING: _ALWAYS | {GateClosed: Session._on_gate_closed},
    State.CLOSING: _ALWAYS | {GateClosed: Session._on_gate_closed},
    State.HOLDING: _ALWAYS,
    State.ENDED: {},
}

_REACTIONS: Mapping[State, Callable[[Session, int], None]] = {
    State.WAITING: Session._react_waiting,
    State.OPENING: Session._react_not,
    State.ARMED: Session._react_gate_open,
    State.COUNTING: Session._react_gate_open,
    State.CLOSING: Session._react_closing,
    State.HOLDING: Session._react_holding,
    State.ENDED: Session._react_not,
}

_DEADLINES: Mapping[State, Callable[[Session], list[int]]] = {
    State.WAITING: Session._deadlines_waiting,
    State.OPENING: Session._no_deadlines,
    State.ARMED: Session._deadlines_gate_open,
    State.COUNTING: Session._deadlines_gate_open,
    State.CLOSING: Session._no_deadlines,
    State.HOLDING: Session._deaths_ms,
    State.ENDED: Session._no_deadlines,
}


# --- after a crash ----------------------------------------------------------------------------------------


def recovered_used_ms(
    started_ms: int | None, last_beat_ms: int, silent_last_ms: int | None, limit_left_ms: int | None
) -> int:
    """What an open segment of a dead run used: up to the run's last heartbeat, or to the time at which that heartbeat
    said one of its legs had last been heard. All on that run's clock. `started_ms` None: nothing was forwarded.
    `limit_left_ms`: what the pass had left when the segment opened (None: unlimited).
    """
    if started_ms is None:
        return 0
    end_ms = last_beat_ms if silent_last_ms is None else min(last_beat_ms, silent_last_ms)
    used_ms = max(0, end_ms - started_ms)
    return used_ms if limit_left_ms is None else min(used_ms, max(0, limit_left_ms))
