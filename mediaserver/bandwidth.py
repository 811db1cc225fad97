"""What the line to one viewer carries, estimated from its transport-wide feedback. Pure: time is an argument.

Every packet to the viewer gets a transport-wide number and is remembered for a while (`Line.note_sent`); the feedback
says which of them arrived, and when (`Line.take_feedback`). From that, after draft-ietf-rmcat-gcc-02:

- Delay: packets sent within 5 ms are a group. When groups arrive ever further apart than they were sent, a queue
  grows: the slope of the summed differences over the last 20 groups, against a threshold that adapts itself.
- Rate: a growing queue cuts the estimate to 85 % of what arrived lately; otherwise it grows by 8 % a second, near the
  rate of the last cuts by about a packet per response time. What has arrived without a growing queue is proof.
- Loss: over 10 % in half a second cuts it as well. Loss that was there all along (radio) is not held against the rate:
  the least of the last eight seconds is taken off first.
- It grows no further than half as much again as what arrived. Only a probe lifts it beyond that: padding sent for a
  moment (`begin_probe`, `end_probe`), whose rate of arrival is the answer. Its own queueing does not count.

`estimate.pxi` is the same in C for the native plane, operation by operation; a test holds them equal.
"""

from array import array
from dataclasses import dataclass
from typing import Protocol

from mediaserver.rtcp import TransportFeedback
from mediaserver.rtp import unwrap_sequence

SENT_KEPT = 1024  # a power of two
START_BPS = 600_000.0
LEAST_BPS = 30_000.0
MOST_BPS = 100_000_000.0
# What UDP, IP and SRTP add to a packet, about.
OVERHEAD_BYTES = 44

_GROUP_US = 5_000
_BURST_US = 100_000
_WINDOW = 20
_SMOOTHING = 0.9
_GAIN = 4.0
_DELTAS_MAX = 60
_OVERUSE_MS = 10.0
_THRESHOLD_MS, _THRESHOLD_LEAST_MS, _THRESHOLD_MOST_MS = 12.5, 6.0, 600.0
_THRESHOLD_UP, _THRESHOLD_DOWN = 0.0087, 0.039
_BACK_OFF = 0.85
_WHOLE, _PASSING_BACK_OFF = 0.95, 0.95
_LITTLE, _LITTLE_BACK_OFF = 0.6, 0.7
_GROWTH_PER_S = 0.08
_HEADROOM, _HEADROOM_BPS = 1.5, 10_000.0
_BUCKETS, _BUCKET_US = 10, 50_000
_LOSS_WINDOW_US, _LOSS_PACKETS_MIN = 500_000, 20
_LOSSES, _LOSSES_MIN = 16, 4
_LOSS_MAX, _INHERENT_MAX = 0.10, 0.20
_PROBE_WAIT_US = 1_000_000
_PROBE_SPAN_MIN_US = 20_000
_STEP_US = 1_000
_SATURATED = 0.85

PROBE_NS = 200_000_000
PROBE_STEP_NS = 10_000_000
_PROBE_TIMES_MAX = 2.0
_PROBE_AGAIN_NS = 500_000_000
_PROBE_BACK_OFF_NS, _PROBE_BACK_OFF_MAX_NS = 3_000_000_000, 10_000_000_000
_PROBE_CALM_NS = 1_000_000_000

NORMAL, OVERUSED, UNDERUSED = 0, 1, 2
_WAITING, _LOST, _ARRIVED = 0, 1, 2


class _Sent:
    """The last packets that were sent, each at its number modulo their count. Arrays: there is one of these for every viewer,
    and a thousand objects would be 150 kB."""

    def __init__(self) -> None:
        self.numbers = array("q", bytes(8 * SENT_KEPT))
        self.at_us = array("q", bytes(8 * SENT_KEPT))
        self.sizes = array("i", bytes(4 * SENT_KEPT))
        self.states = bytearray(SENT_KEPT)


@dataclass(slots=True)
class _Group:
    """Packets that were sent together. `size` 0: none yet."""

    size: int = 0
    first_sent_us: int = 0
    last_sent_us: int = 0
    first_arrival_us: int = 0
    last_arrival_us: int = 0


class _Rate:
    """Bytes over the last half second."""

    def __init__(self) -> None:
        self._buckets = [0] * _BUCKETS
        self._newest = -1
        self._first_us = self._last_us = 0

    def add(self, at_us: int, size: int) -> None:
        place = at_us // _BUCKET_US
        if self._newest < 0:
            self._newest, self._first_us, self._last_us = place, at_us, at_us
        if place > self._newest:
            for passed in range(max(self._newest + 1, place - _BUCKETS + 1), place + 1):
                self._buckets[passed % _BUCKETS] = 0
            self._newest = place
        if self._newest - place < _BUCKETS:
            self._buckets[place % _BUCKETS] += size
            self._last_us = max(self._last_us, at_us)

    def bps(self) -> float:
        """0.0 while too little is known."""
        start_us = max((self._newest - _BUCKETS + 1) * _BUCKET_US, self._first_us)
        span_us = self._last_us - start_us
        return sum(self._buckets) * 8e6 / span_us if span_us >= 2 * _BUCKET_US else 0.0


class _Trend:
    """Whether the queue at the bottleneck grows."""

    def __init__(self) -> None:
        self.usage = NORMAL
        self.times: list[float] = [0.0] * _WINDOW
        self.delays: list[float] = [0.0] * _WINDOW
        self.count = 0
        self.first_ms = self.summed = self.smoothed = self.slope = 0.0
        self.threshold = _THRESHOLD_MS
        self.over_ms = -1.0
        self.over_count = 0
        self.adapted_ms = -1.0

    def add(self, delta_ms: float, sent_apart_ms: float, arrival_ms: float) -> None:
        if self.count == 0:
            self.first_ms = arrival_ms
        self.summed += delta_ms
        self.smoothed = _SMOOTHING * self.smoothed + (1.0 - _SMOOTHING) * self.summed
        self.times[self.count % _WINDOW] = arrival_ms - self.first_ms
        self.delays[self.count % _WINDOW] = self.smoothed
        self.count += 1
        former = self.slope
        if self.count >= _WINDOW:
            self._fit()
        self._judge(former, sent_apart_ms, arrival_ms)

    def _fit(self) -> None:
        """The slope of the least-squares line."""
        mean_time = mean_delay = above = below = 0.0
        for place in range(_WINDOW):
            mean_time += self.times[place]
            mean_delay += self.delays[place]
        mean_time /= _WINDOW
        mean_delay /= _WINDOW
        for place in range(_WINDOW):
            apart = self.times[place] - mean_time
            above += apart * (self.delays[place] - mean_delay)
            below += apart * apart
        if below > 0.0:
            self.slope = above / below

    def _judge(self, former: float, sent_apart_ms: float, arrival_ms: float) -> None:
        value = min(self.count, _DELTAS_MAX) * self.slope * _GAIN
        if value > self.threshold:
            self.over_ms = sent_apart_ms / 2.0 if self.over_ms < 0.0 else self.over_ms + sent_apart_ms
            self.over_count += 1
            if self.over_ms > _OVERUSE_MS and self.over_count > 1 and self.slope >= former:
                self.over_ms, self.over_count, self.usage = 0.0, 0, OVERUSED
        else:
            self.over_ms, self.over_count = -1.0, 0
            self.usage = UNDERUSED if value < -self.threshold else NORMAL
        self._adapt(abs(value), arrival_ms)

    def _adapt(self, value: float, arrival_ms: float) -> None:
        if self.adapted_ms < 0.0:
            self.adapted_ms = arrival_ms
        if value <= self.threshold + 15.0:  # a sudden jump is no reason to become deaf
            gain = _THRESHOLD_DOWN if value < self.threshold else _THRESHOLD_UP
            passed_ms = min(arrival_ms - self.adapted_ms, 100.0)
            self.threshold += gain * (value - self.threshold) * passed_ms
            self.threshold = min(max(self.threshold, _THRESHOLD_LEAST_MS), _THRESHOLD_MOST_MS)
        self.adapted_ms = arrival_ms


class _Probe:
    """The packets of one probe, as they arrive. `last` 0: it still goes on; `first` 0: there is none."""

    def __init__(self) -> None:
        self.bps = 0.0
        self.saturated = False
        self.begin(0)

    def begin(self, first: int) -> None:
        self.first, self.last, self.ended_us = first, 0, 0
        self.size = self.size_before = self.size_first = 0
        self.first_sent_us = self.last_sent_us = self.first_arrival_us = self.last_arrival_us = 0

    def covers(self, number: int) -> bool:
        return 0 < self.first <= number and (self.last == 0 or number <= self.last)

    def add(self, sent_us: int, arrival_us: int, size: int) -> None:
        if self.size == 0:
            self.first_sent_us = self.last_sent_us = sent_us
            self.first_arrival_us = self.last_arrival_us = arrival_us
        if sent_us > self.last_sent_us + _STEP_US:
            self.size_before, self.last_sent_us = self.size, sent_us
        if arrival_us <= self.first_arrival_us + _STEP_US:
            self.size_first += size
        self.size += size
        self.last_arrival_us = max(self.last_arrival_us, arrival_us)

    def judge(self) -> None:
        """How fast it arrived (at most as fast as it was sent) into `bps`, 0.0 when that cannot be told; whether that
        was much slower than it was sent into `saturated`."""
        sent_us = self.last_sent_us - self.first_sent_us
        arrived_us = self.last_arrival_us - self.first_arrival_us
        self.bps, self.saturated = 0.0, False
        if sent_us < _PROBE_SPAN_MIN_US or arrived_us < _PROBE_SPAN_MIN_US:
            return
        sent_bps = self.size_before * 8e6 / sent_us
        arrived_bps = (self.size - self.size_first) * 8e6 / arrived_us
        self.bps = min(sent_bps, arrived_bps)
        self.saturated = arrived_bps < _SATURATED * sent_bps


class Line:
    """The line to one viewer. `estimate_bps` is what it seems to carry; `limited`: something has shown that it carries
    no more than it does now, else the estimate is only what nothing has contradicted yet."""

    def __init__(self) -> None:
        self.next_number = 1  # of the next packet, ever growing
        self.estimate_bps = START_BPS
        self.limited = False
        self.feedbacks = 0
        self.loss = 0.0  # of the last half second
        self.excess_loss = 0.0  # without what is always lost
        self.acked_bps = 0.0
        self.probe_bps = 0.0  # what the last probe has shown; 0.0 while it is under way
        self.reports = 0  # of the viewer's own (RFC 3550)
        self.told_bps = 0.0  # its own estimate (REMB), 0.0: never told
        self.told_loss = 0.0  # the most that was lost of any of its streams, by its last report
        self._sent = _Sent()
        self._reference = 0
        self._rtt_us = 200_000
        self._sending, self._acked = _Rate(), _Rate()
        self._trend = _Trend()
        self._group, self._former = _Group(), _Group()
        self._probe = _Probe()
        self._losses = [0.0] * _LOSSES
        self._loss_count = 0
        self._reported = self._lost = 0
        self._loss_us = 0
        self._changed_us = 0
        self._cut_us = 0
        self._capacity_bps = self._capacity_deviation = 0.0

    # --- sending ---

    def note_sent(self, size: int, now_ns: int) -> None:
        """A packet of `size` bytes with the number `next_number` left."""
        sent, number = self._sent, self.next_number
        place = number & (SENT_KEPT - 1)
        sent.numbers[place] = number
        sent.at_us[place] = now_ns // 1000
        sent.sizes[place] = size + OVERHEAD_BYTES
        sent.states[place] = _WAITING
        self.next_number = number + 1

    def begin_probe(self) -> None:
        """What is sent from here on is a probe."""
        self._probe.begin(self.next_number)
        self.probe_bps = 0.0

    def end_probe(self, now_ns: int) -> None:
        """It was all sent; its result is there when `is_probing` is over."""
        self._probe.last, self._probe.ended_us = self.next_number - 1, now_ns // 1000

    @property
    def is_probing(self) -> bool:
        return self._probe.first > 0

    @property
    def cut_ns(self) -> int:
        """When a growing queue was last answered; 0: never."""
        return self._cut_us * 1000

    @property
    def cut_us(self) -> int:
        return self._cut_us

    @property
    def rtt_us(self) -> int:
        """From a packet's leaving to the feedback on it, smoothed."""
        return self._rtt_us

    @property
    def state(self) -> tuple[object, ...]:
        """Everything that the estimate says and goes on from."""
        trend = self._trend
        return (
            *(self.estimate_bps, self.limited, self.feedbacks, self.loss, self.excess_loss, self.acked_bps),
            *(
                self.probe_bps,
                self.is_probing,
                self.cut_ns,
                self._rtt_us,
                trend.usage,
                trend.threshold,
                trend.slope,
            ),
            *(self._capacity_bps, self._capacity_deviation),
        )

    def check_probe(self, now_ns: int) -> None:
        """To be called now and then while it is probing: no feedback on it is an answer, too."""
        probe = self._probe
        if probe.first and probe.ended_us and now_ns // 1000 - probe.ended_us > _PROBE_WAIT_US:
            self._finish_probe()

    # --- feedback ---

    def take_feedback(self, feedback: TransportFeedback, now_ns: int) -> None:
        now_us = now_ns // 1000
        number = unwrap_sequence(feedback.base, self.next_number - 1)
        if self.feedbacks == 0:
            self._reference, self._loss_us, self._changed_us = feedback.reference + (1 << 24), now_us, now_us
        self._reference += ((feedback.reference - self._reference + 0x800000) & 0xFFFFFF) - 0x800000
        self.feedbacks += 1
        clock = self._reference * 256  # in ticks of 250 µs
        newest_us = -1
        sent = self._sent
        for delta in feedback.deltas:
            place = number & (SENT_KEPT - 1)
            known = number > 0 and sent.numbers[place] == number and sent.states[place] != _ARRIVED
            if delta is not None:
                clock += delta
                if known:
                    newest_us = max(newest_us, sent.at_us[place])
                    self._arrive(place, clock * 250)
            elif known and sent.states[place] == _WAITING:
                sent.states[place] = _LOST
                self._lost += 1
                self._reported += 1
                self._sending.add(sent.at_us[place], sent.sizes[place])
            number += 1
        if newest_us >= 0:
            self._rtt_us = (7 * self._rtt_us + max(0, now_us - newest_us)) // 8
        if 0 < self._probe.first <= self._probe.last < number:
            self._finish_probe()
        self._update(now_us)

    def _arrive(self, place: int, arrival_us: int) -> None:
        sent = self._sent
        at_us, size = sent.at_us[place], sent.sizes[place]
        if sent.states[place] == _LOST:  # it was only late
            self._lost -= 1
        else:
            self._reported += 1
            self._sending.add(at_us, size)
        sent.states[place] = _ARRIVED
        self._acked.add(arrival_us, size)
        if self._probe.covers(sent.numbers[place]):
            self._probe.add(at_us, arrival_us, size)
            self._group.size = self._former.size = 0
        else:
            self._compare(at_us, size, arrival_us)

    def _compare(self, at_us: int, size: int, arrival_us: int) -> None:
        """Into its group; when that is complete, how much further apart it arrived than it was sent."""
        group, former = self._group, self._former
        if group.size and at_us < group.first_sent_us:
            return  # late
        if group.size and not self._joins(group, at_us, arrival_us):
            if former.size:
                sent_apart_us = group.last_sent_us - former.last_sent_us
                arrived_apart_us = group.last_arrival_us - former.last_arrival_us
                self._trend.add(
                    (arrived_apart_us - sent_apart_us) / 1000.0,
                    sent_apart_us / 1000.0,
                    group.last_arrival_us / 1000.0,
                )
            self._group, self._former = former, group
            group = former
            group.size = 0
        if group.size == 0:
            group.first_sent_us = group.last_sent_us = at_us
            group.first_arrival_us = group.last_arrival_us = arrival_us
        group.size += size
        group.last_sent_us = max(group.last_sent_us, at_us)
        group.last_arrival_us = max(group.last_arrival_us, arrival_us)

    def _joins(self, group: _Group, sent_us: int, arrival_us: int) -> bool:
        """Sent together, or gathered on the way so that they arrived together."""
        if sent_us - group.first_sent_us <= _GROUP_US:
            return True
        apart_us = arrival_us - group.last_arrival_us
        return (
            apart_us < sent_us - group.last_sent_us
            and apart_us <= _GROUP_US
            and arrival_us - group.first_arrival_us < _BURST_US
        )

    def _finish_probe(self) -> None:
        probe = self._probe
        probe.judge()
        probe.first, self.probe_bps = 0, probe.bps
        if probe.saturated:
            self._lower(max(0.95 * probe.bps, self.acked_bps))
        if self._trend.usage != OVERUSED:
            self.estimate_bps = min(max(self.estimate_bps, 0.95 * probe.bps), MOST_BPS)

    # --- the estimate ---

    def _update(self, now_us: int) -> None:
        self.acked_bps = self._acked.bps()
        passed_us = min(now_us - self._changed_us, 1_000_000)
        if self._trend.usage == OVERUSED:
            if now_us - self._cut_us > min(max(self._rtt_us, 10_000), 200_000):
                self._cut(now_us)
        elif self._trend.usage == NORMAL and passed_us > 0:
            self._grow(passed_us)
        self._changed_us = now_us
        self._weigh_loss(now_us)

    def _cut(self, now_us: int) -> None:
        """To what came through. But where as much arrives as is sent, at most a passing queue was seen, and it takes a
        while of that to make a difference; and when little was sent, its amount says nothing of the line."""
        lower = _BACK_OFF * self.acked_bps
        sending = self._sending.bps()
        if self.acked_bps >= _WHOLE * sending:
            lower = max(lower, _PASSING_BACK_OFF * self.estimate_bps)
        elif sending < _LITTLE * self.estimate_bps:
            lower = max(lower, _LITTLE_BACK_OFF * self.estimate_bps)
        else:
            self._note_capacity()
        self._lower(lower)
        self._cut_us = now_us

    def _lower(self, bps: float) -> None:
        if bps < self.estimate_bps:
            self.estimate_bps = max(bps, LEAST_BPS)
            self.limited = True

    def _note_capacity(self) -> None:
        """The rate at which queues grew, and how far it varies."""
        acked = self.acked_bps
        apart = acked - self._capacity_bps
        if abs(apart) > 3.0 * self._capacity_deviation:
            self._capacity_bps, self._capacity_deviation = acked, 0.1 * acked
        else:
            self._capacity_bps += 0.05 * apart
            self._capacity_deviation += 0.05 * (abs(apart) - self._capacity_deviation)
            self._capacity_deviation = max(self._capacity_deviation, 0.05 * self._capacity_bps)

    def _grow(self, passed_us: int) -> None:
        """Never below what has arrived without a growing queue; nor, by growing, far above it."""
        acked = self.acked_bps
        most = _HEADROOM * acked + _HEADROOM_BPS
        if self.estimate_bps < most:
            near = abs(acked - self._capacity_bps) <= 3.0 * self._capacity_deviation
            if near and self._capacity_bps > 0.0:
                step = max(4_000.0, 8e6 * 1200.0 / (self._rtt_us + 100_000)) * passed_us / 1e6
            else:
                step = max(1_000.0, self.estimate_bps * _GROWTH_PER_S * passed_us / 1e6)
            self.estimate_bps = min(self.estimate_bps + step, most)
        self.estimate_bps = min(max(self.estimate_bps, acked), MOST_BPS)

    def _weigh_loss(self, now_us: int) -> None:
        if now_us - self._loss_us < _LOSS_WINDOW_US or self._reported < _LOSS_PACKETS_MIN:
            return
        self.loss = max(0, self._lost) / self._reported
        self._losses[self._loss_count % _LOSSES] = self.loss
        self._loss_count += 1
        self._reported = self._lost = 0
        self._loss_us = now_us
        inherent = 0.0
        if self._loss_count >= _LOSSES_MIN:
            inherent = min(_INHERENT_MAX, *self._losses[: min(self._loss_count, _LOSSES)])
        self.excess_loss = (self.loss - inherent) / (1.0 - inherent)
        if self.excess_loss > _LOSS_MAX:
            self._lower(max(self.estimate_bps * (1.0 - 0.5 * self.excess_loss), _BACK_OFF * self.acked_bps))


class Estimate(Protocol):
    """What is read of a line, whichever plane keeps it."""

    @property
    def estimate_bps(self) -> float: ...

    @property
    def acked_bps(self) -> float: ...

    @property
    def limited(self) -> bool: ...

    @property
    def feedbacks(self) -> int: ...

    @property
    def loss(self) -> float: ...

    @property
    def reports(self) -> int: ...

    @property
    def told_bps(self) -> float: ...

    @property
    def told_loss(self) -> float: ...

    @property
    def cut_ns(self) -> int: ...

    @property
    def probe_bps(self) -> float: ...

    @property
    def is_probing(self) -> bool: ...

    def begin_probe(self) -> None: ...

    def end_probe(self, now_ns: int) -> None: ...

    def check_probe(self, now_ns: int) -> None: ...


class Unreported:
    """The estimate for a viewer that does not tell when its packets arrive: its own (REMB) or else what the loss in its
    receiver reports allows."""

    def __init__(self) -> None:
        self.estimate_bps = START_BPS
        self.limited = False
        self._reports = 0

    def update(self, line: Estimate, sent_bps: float) -> None:
        """`sent_bps` is what goes to it now."""
        if line.told_bps:
            self.estimate_bps, self.limited = max(line.told_bps, LEAST_BPS), True
        elif line.reports != self._reports:
            if line.told_loss > _LOSS_MAX:
                self.estimate_bps = max(
                    min(self.estimate_bps, sent_bps) * (1.0 - 0.5 * line.told_loss), LEAST_BPS
                )
                self.limited = True
            else:
                most = max(_HEADROOM * sent_bps + _HEADROOM_BPS, self.estimate_bps)
                self.estimate_bps = max(min(self.estimate_bps * (1.0 + _GROWTH_PER_S), most), sent_bps)
        self._reports = line.reports


class Prober:
    """When to probe, and with how much padding. A probe takes PROBE_NS, at twice the estimate at most; after one that
    has shown what was hoped for the next may follow soon, after a failure ever later."""

    def __init__(self) -> None:
        self.began_ns = 0  # of the probe being sent, 0: none is
        self._due_ns = 0
        self._wait_ns = _PROBE_BACK_OFF_NS
        self._target_bps = self._padding_bps = 0.0
        self._padded = 0
        self._awaited = False

    def consider(self, line: Estimate, wanted_bps: float, now_ns: int) -> bool:
        """Whether a probe begins now, to see if the line carries `wanted_bps`; `padding` says how it goes on."""
        if self._awaited:
            self._judge(line, now_ns)
        if self.began_ns or self._awaited or now_ns < self._due_ns or wanted_bps <= line.estimate_bps:
            return False
        if now_ns - line.cut_ns < _PROBE_CALM_NS:
            return False
        self._target_bps = min(wanted_bps, _PROBE_TIMES_MAX * line.estimate_bps)
        self._padding_bps = max(self._target_bps - line.acked_bps, 0.3 * self._target_bps)
        self.began_ns, self._padded = now_ns, 0
        line.begin_probe()
        return True

    def padding(self, line: Estimate, now_ns: int) -> int:
        """How many bytes of padding are due now, while a probe is being sent; to be asked every PROBE_STEP_NS."""
        if not self.began_ns:
            return 0
        passed_ns = min(now_ns - self.began_ns, PROBE_NS)
        due = int(self._padding_bps * (passed_ns + PROBE_STEP_NS) / 8e9) - self._padded
        if now_ns - self.began_ns >= PROBE_NS:
            line.end_probe(now_ns)
            self.began_ns, self._awaited = 0, True
            return 0
        self._padded += max(0, due)
        return max(0, due)

    def _judge(self, line: Estimate, now_ns: int) -> None:
        line.check_probe(now_ns)
        if line.is_probing:
            return
        self._awaited = False
        if line.probe_bps >= 0.8 * self._target_bps:
            self._wait_ns = _PROBE_BACK_OFF_NS
            self._due_ns = now_ns + _PROBE_AGAIN_NS
        else:
            self._due_ns = now_ns + self._wait_ns
            self._wait_ns = min(2 * self._wait_ns, _PROBE_BACK_OFF_MAX_NS)
