"""A viewer behind a bottleneck, on an invented clock: packets queue, are lost and arrive, feedback goes back every 100 ms.

The sender is what the server is: audio, and of the video as much as `layers` and the estimate allow, with probes.
"""

import random
from collections import deque

from mediaserver import rtcp
from mediaserver.bandwidth import PROBE_STEP_NS, Line, Prober

MS = 1_000_000
SECOND = 1000 * MS
PACKET = 1100
AUDIO_PACKET, AUDIO_INTERVAL_NS = 100, 20 * MS
FRAME_NS = SECOND // 30
FEEDBACK_NS = 100 * MS
OVERHEAD = 44


class Viewer:
    """`rate_bps(now_ns)` is the bottleneck's; `queue_ms` how long its queue is at that rate."""

    def __init__(self, rate_bps, *, queue_ms=100, delay_ms=20, loss=0.0, jitter_ms=0.0, seed=1):
        self.rate_bps, self.queue_ms, self.delay_ns = rate_bps, queue_ms, delay_ms * MS
        self.loss, self.jitter_ns = loss, jitter_ms * MS
        self.chance = random.Random(seed)
        self.free_ns = 0
        self.last_arrival_ns = 0
        self.arrivals = {}
        self.reported = 0
        self.count = 0
        self.sent = self.dropped = 0
        self.queued_ms = 0.0

    def send(self, number, size, now_ns):
        self.sent += 1
        rate = self.rate_bps(now_ns)
        waits_ns = max(0, self.free_ns - now_ns)
        self.queued_ms = waits_ns / MS
        if waits_ns > self.queue_ms * MS:
            self.dropped += 1
            return
        self.free_ns = max(self.free_ns, now_ns) + int((size + OVERHEAD) * 8 * SECOND / rate)
        if self.chance.random() < self.loss:
            self.dropped += 1
            return
        at_ns = self.free_ns + self.delay_ns + int(self.chance.random() * self.jitter_ns)
        self.last_arrival_ns = max(self.last_arrival_ns, at_ns)
        self.arrivals[number] = self.last_arrival_ns

    def feedback(self, now_ns):
        """What has arrived by now and was not told yet, as bytes; None when nothing has."""
        known = sorted(
            (number, at_ns // 1000)
            for number, at_ns in self.arrivals.items()
            if at_ns <= now_ns and number > self.reported
        )
        for number, _ in known:
            del self.arrivals[number]
        if not known:
            return None
        # A viewer names what is missing since its last feedback, too: as the first number, told to be lost.
        self.reported = known[-1][0]
        self.count += 1
        return rtcp.transport_cc(1, 2, self.count, known)


class Call:
    """`layers`: bitrates of the video, lowest first; one above the other is taken as the estimate allows (with 15 % to
    spare), the lowest is always sent unless `pauses`."""

    def __init__(self, viewer, layers, *, pauses=True, line=None):
        self.viewer, self.layers, self.pauses = viewer, layers, pauses
        self.line = line or Line()
        self.prober = Prober()
        self.now_ns = 1_000 * SECOND
        self.start_ns = self.now_ns
        self.layer = 0
        self.changed_ns = 0
        self.history = []
        self._video = deque()
        self._due = {
            "audio": self.now_ns,
            "frame": self.now_ns,
            "feedback": self.now_ns + 50 * MS,
            "tick": self.now_ns,
        }
        self._coming = deque()
        self.frames = 0

    def _emit(self, size):
        number = self.line.next_number
        self.line.note_sent(size, self.now_ns)
        self.viewer.send(number, size, self.now_ns)

    def run(self, seconds):
        end_ns = self.now_ns + int(seconds * SECOND)
        while self.now_ns < end_ns:
            self.step()
        return self

    def step(self):
        self.now_ns += MS
        if self.now_ns >= self._due["audio"]:
            self._due["audio"] += AUDIO_INTERVAL_NS
            self._emit(AUDIO_PACKET)
        if self.now_ns >= self._due["frame"]:
            self._due["frame"] += FRAME_NS
            self._frame()
        for _ in range(2):  # as a browser's pacer lets them out
            if self._video:
                self._emit(self._video.popleft())
        if self.prober.began_ns and self.now_ns % PROBE_STEP_NS < MS:
            due = self.prober.padding(self.line, self.now_ns)
            while due > 0:
                self._emit(min(due, 255) + 30)
                due -= 285
        self._exchange()
        if self.now_ns >= self._due["tick"]:
            self._due["tick"] += 250 * MS
            self._choose()

    def _frame(self):
        self.frames += 1
        if self.layer is None:
            return
        size = self.layers[self.layer] / 8 / 30 * (0.75 + 0.5 * self.viewer.chance.random())
        size *= 6 if self.frames % 300 == 0 else 1
        while size > 0:
            self._video.append(int(min(size, PACKET)))
            size -= PACKET

    def _exchange(self):
        if self.now_ns >= self._due["feedback"]:
            self._due["feedback"] += FEEDBACK_NS
            data = self.viewer.feedback(self.now_ns)
            if data is not None:
                self._coming.append((self.now_ns + self.viewer.delay_ns, data))
        while self._coming and self._coming[0][0] <= self.now_ns:
            self.take(self._coming.popleft()[1])

    def take(self, data):
        (feedback,) = rtcp.parse(data).transport
        self.line.take_feedback(feedback, self.now_ns)

    def _choose(self):
        estimate = self.line.estimate_bps - 40_000
        fits = [place for place, bps in enumerate(self.layers) if bps <= estimate]
        best = max(fits, default=None if self.pauses and self.line.limited else 0)
        present = -1 if self.layer is None else self.layer
        want = -1 if best is None else best
        if want < present:
            self.layer, self.changed_ns = best, self.now_ns
        elif (
            want > present
            and self.layers[present + 1] * 1.15 <= estimate
            and self.now_ns - self.changed_ns > SECOND
        ):
            self.layer, self.changed_ns = present + 1, self.now_ns
        present = -1 if self.layer is None else self.layer
        if present + 1 < len(self.layers):
            self.prober.consider(self.line, self.layers[present + 1] * 1.25 + 40_000, self.now_ns)
        second = (self.now_ns - self.start_ns) / SECOND
        self.history.append(
            (second, self.line.estimate_bps, self.layer, self.viewer.queued_ms, self.line.loss)
        )

    def estimates(self, since_s, until_s):
        return [bps for second, bps, *_ in self.history if since_s <= second < until_s]

    def first(self, condition, since_s=0.0):
        """Seconds from `since_s` until the estimate first fulfils the condition."""
        return next(s - since_s for s, bps, *_ in self.history if s >= since_s and condition(bps))
