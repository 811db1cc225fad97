# What the line to one viewer carries: `bandwidth.py` in C, operation by operation, so that the same feedback gives the
# same estimate to the last bit. What it does, and why, is told there.

cdef extern from "<math.h>" nogil:
    double fabs(double value)

cdef enum:
    SENT_KEPT = 1024            # the same as in bandwidth.py, as all that follow
    GROUP_US = 5000
    BURST_US = 100000
    WINDOW = 20
    DELTAS_MAX = 60
    BUCKETS = 10
    BUCKET_US = 50000
    LOSS_WINDOW_US = 500000
    LOSS_PACKETS_MIN = 20
    LOSSES = 16
    LOSSES_MIN = 4
    PROBE_WAIT_US = 1000000
    PROBE_SPAN_MIN_US = 20000
    STEP_US = 1000
    OVERHEAD_BYTES = 44
    STATUSES_MAX = 2048         # the same as in rtcp.py
    NORMAL = 0, OVERUSED = 1, UNDERUSED = 2
    WAITING = 0, LOST = 1, ARRIVED = 2

cdef extern from *:
    """
    #define START_BPS 600000.0
    #define LEAST_BPS 30000.0
    #define MOST_BPS 100000000.0
    #define SMOOTHING 0.9
    #define GAIN 4.0
    #define OVERUSE_MS 10.0
    #define THRESHOLD_MS 12.5
    #define THRESHOLD_LEAST_MS 6.0
    #define THRESHOLD_MOST_MS 600.0
    #define THRESHOLD_UP 0.0087
    #define THRESHOLD_DOWN 0.039
    #define BACK_OFF 0.85
    #define WHOLE 0.95
    #define PASSING_BACK_OFF 0.95
    #define LITTLE 0.6
    #define LITTLE_BACK_OFF 0.7
    #define GROWTH_PER_S 0.08
    #define HEADROOM 1.5
    #define HEADROOM_BPS 10000.0
    #define LOSS_MAX 0.10
    #define INHERENT_MAX 0.20
    #define SATURATED 0.85
    """
    const double START_BPS, LEAST_BPS, MOST_BPS, SMOOTHING, GAIN, OVERUSE_MS
    const double THRESHOLD_MS, THRESHOLD_LEAST_MS, THRESHOLD_MOST_MS, THRESHOLD_UP, THRESHOLD_DOWN
    const double BACK_OFF, WHOLE, PASSING_BACK_OFF, LITTLE, LITTLE_BACK_OFF
    const double GROWTH_PER_S, HEADROOM, HEADROOM_BPS, LOSS_MAX, INHERENT_MAX, SATURATED

cdef struct SentPacket:
    int64_t at_us
    uint32_t number         # its low half
    uint16_t size           # 0: none was kept here
    uint8_t state

cdef struct Group:
    int64_t size            # 0: none yet
    int64_t first_sent_us, last_sent_us, first_arrival_us, last_arrival_us

cdef struct Rate:
    int64_t buckets[BUCKETS]
    int64_t newest, first_us, last_us

cdef struct Trend:
    int usage
    double times[WINDOW]
    double delays[WINDOW]
    int64_t count
    double first_ms, summed, smoothed, slope, threshold, over_ms, adapted_ms
    int over_count

cdef struct Probe:
    int64_t first, last, ended_us
    int64_t size, size_before, size_first
    int64_t first_sent_us, last_sent_us, first_arrival_us, last_arrival_us
    double bps
    bint saturated

cdef struct Line:
    int64_t next_number
    double estimate_bps
    bint limited
    uint64_t feedbacks
    double loss, excess_loss, acked_bps, probe_bps
    int64_t reference, rtt_us
    Rate sending, acked
    Trend trend
    Group group, former
    Probe probe
    double losses[LOSSES]
    int64_t loss_count, reported, lost, loss_us, changed_us, cut_us
    double capacity_bps, capacity_deviation
    SentPacket sent[SENT_KEPT]


cdef Line *_open_line() except NULL:
    cdef Line *line = <Line *>calloc(1, sizeof(Line))
    if line == NULL:
        raise MemoryError
    line.next_number, line.estimate_bps, line.rtt_us = 1, START_BPS, 200000
    line.sending.newest = line.acked.newest = -1
    line.trend.threshold, line.trend.over_ms, line.trend.adapted_ms = THRESHOLD_MS, -1.0, -1.0
    return line


# --- rates -----------------------------------------------------------------------------------------------

cdef void _rate_add(Rate *rate, int64_t at_us, int64_t size) noexcept nogil:
    cdef int64_t place = at_us // BUCKET_US
    cdef int64_t passed
    if rate.newest < 0:
        rate.newest, rate.first_us, rate.last_us = place, at_us, at_us
    if place > rate.newest:
        passed = max(rate.newest + 1, place - BUCKETS + 1)
        while passed <= place:
            rate.buckets[passed % BUCKETS] = 0
            passed += 1
        rate.newest = place
    if rate.newest - place < BUCKETS:
        rate.buckets[place % BUCKETS] += size
        rate.last_us = max(rate.last_us, at_us)

cdef double _rate_bps(Rate *rate) noexcept nogil:
    cdef int64_t start_us = max((rate.newest - BUCKETS + 1) * BUCKET_US, rate.first_us)
    cdef int64_t span_us = rate.last_us - start_us
    cdef int64_t size = 0
    cdef int place
    if span_us < 2 * BUCKET_US:
        return 0.0
    for place in range(BUCKETS):
        size += rate.buckets[place]
    return size * 8e6 / span_us


# --- delay -----------------------------------------------------------------------------------------------

cdef void _trend_add(Trend *trend, double delta_ms, double sent_apart_ms, double arrival_ms) noexcept nogil:
    cdef double former = trend.slope
    if trend.count == 0:
        trend.first_ms = arrival_ms
    trend.summed += delta_ms
    trend.smoothed = SMOOTHING * trend.smoothed + (1.0 - SMOOTHING) * trend.summed
    trend.times[trend.count % WINDOW] = arrival_ms - trend.first_ms
    trend.delays[trend.count % WINDOW] = trend.smoothed
    trend.count += 1
    if trend.count >= WINDOW:
        _trend_fit(trend)
    _trend_judge(trend, former, sent_apart_ms, arrival_ms)

cdef void _trend_fit(Trend *trend) noexcept nogil:
    cdef double mean_time = 0.0
    cdef double mean_delay = 0.0
    cdef double above = 0.0
    cdef double below = 0.0
    cdef double apart
    cdef int place
    for place in range(WINDOW):
        mean_time += trend.times[place]
        mean_delay += trend.delays[place]
    mean_time /= WINDOW
    mean_delay /= WINDOW
    for place in range(WINDOW):
        apart = trend.times[place] - mean_time
        above += apart * (trend.delays[place] - mean_delay)
        below += apart * apart
    if below > 0.0:
        trend.slope = above / below

cdef void _trend_judge(Trend *trend, double former, double sent_apart_ms, double arrival_ms) noexcept nogil:
    cdef double value = min(trend.count, <int64_t>DELTAS_MAX) * trend.slope * GAIN
    if value > trend.threshold:
        trend.over_ms = sent_apart_ms / 2.0 if trend.over_ms < 0.0 else trend.over_ms + sent_apart_ms
        trend.over_count += 1
        if trend.over_ms > OVERUSE_MS and trend.over_count > 1 and trend.slope >= former:
            trend.over_ms, trend.over_count, trend.usage = 0.0, 0, OVERUSED
    else:
        trend.over_ms, trend.over_count = -1.0, 0
        trend.usage = UNDERUSED if value < -trend.threshold else NORMAL
    _trend_adapt(trend, fabs(value), arrival_ms)

cdef void _trend_adapt(Trend *trend, double value, double arrival_ms) noexcept nogil:
    cdef double gain
    cdef double passed_ms
    if trend.adapted_ms < 0.0:
        trend.adapted_ms = arrival_ms
    if value <= trend.threshold + 15.0:
        gain = THRESHOLD_DOWN if value < trend.threshold else THRESHOLD_UP
        passed_ms = min(arrival_ms - trend.adapted_ms, 100.0)
        trend.threshold += gain * (value - trend.threshold) * passed_ms
        trend.threshold = min(max(trend.threshold, THRESHOLD_LEAST_MS), THRESHOLD_MOST_MS)
    trend.adapted_ms = arrival_ms


# --- probes ----------------------------------------------------------------------------------------------

cdef void _begin_probe(Line *line) noexcept nogil:
    memset(&line.probe, 0, sizeof(Probe))
    line.probe.first, line.probe_bps = line.next_number, 0.0

cdef void _end_probe(Line *line, int64_t now_ns) noexcept nogil:
    line.probe.last, line.probe.ended_us = line.next_number - 1, now_ns // 1000

cdef void _check_probe(Line *line, int64_t now_ns) noexcept nogil:
    if line.probe.first and line.probe.ended_us and now_ns // 1000 - line.probe.ended_us > PROBE_WAIT_US:
        _finish_probe(line)

cdef inline bint _probe_covers(Probe *probe, int64_t number) noexcept nogil:
    return 0 < probe.first <= number and (probe.last == 0 or number <= probe.last)

cdef void _probe_add(Probe *probe, int64_t sent_us, int64_t arrival_us, int64_t size) noexcept nogil:
    if probe.size == 0:
        probe.first_sent_us = probe.last_sent_us = sent_us
        probe.first_arrival_us = probe.last_arrival_us = arrival_us
    if sent_us > probe.last_sent_us + STEP_US:
        probe.size_before, probe.last_sent_us = probe.size, sent_us
    if arrival_us <= probe.first_arrival_us + STEP_US:
        probe.size_first += size
    probe.size += size
    probe.last_arrival_us = max(probe.last_arrival_us, arrival_us)

cdef void _probe_judge(Probe *probe) noexcept nogil:
    cdef int64_t sent_us = probe.last_sent_us - probe.first_sent_us
    cdef int64_t arrived_us = probe.last_arrival_us - probe.first_arrival_us
    cdef double sent_bps
    cdef double arrived_bps
    probe.bps, probe.saturated = 0.0, False
    if sent_us < PROBE_SPAN_MIN_US or arrived_us < PROBE_SPAN_MIN_US:
        return
    sent_bps = probe.size_before * 8e6 / sent_us
    arrived_bps = (probe.size - probe.size_first) * 8e6 / arrived_us
    probe.bps = min(sent_bps, arrived_bps)
    probe.saturated = arrived_bps < SATURATED * sent_bps

cdef void _finish_probe(Line *line) noexcept nogil:
    _probe_judge(&line.probe)
    line.probe.first, line.probe_bps = 0, line.probe.bps
    if line.probe.saturated:
        _lower(line, max(0.95 * line.probe.bps, line.acked_bps))
    if line.trend.usage != OVERUSED:
        line.estimate_bps = min(max(line.estimate_bps, 0.95 * line.probe.bps), MOST_BPS)


# --- sent, and told of -----------------------------------------------------------------------------------

cdef inline void _note_sent(Line *line, int size, int64_t now_ns) noexcept nogil:
    cdef SentPacket *sent = &line.sent[line.next_number & (SENT_KEPT - 1)]
    sent.number, sent.at_us = <uint32_t>line.next_number, now_ns // 1000
    sent.size, sent.state = <uint16_t>(size + OVERHEAD_BYTES), WAITING
    line.next_number += 1

cdef int _read_symbols(const uint8_t *body, int size, uint8_t *symbols, int count) noexcept nogil:
    """`count` statuses of a transport-wide feedback; where the deltas begin, or -1 when the chunks end early."""
    cdef int at = 16
    cdef int done = 0
    cdef int place
    cdef uint32_t word
    while done < count:
        if at + 2 > size:
            return -1
        word = _read16(body + at)
        at += 2
        if word < 0x8000:
            place = min(<int>(word & 0x1FFF), count - done)
            memset(symbols + done, <int>(word >> 13), place)
            done += place
        elif word < 0xC000:
            for place in range(min(14, count - done)):
                symbols[done + place] = word >> (13 - place) & 1
            done += 14
        else:
            for place in range(min(7, count - done)):
                symbols[done + place] = word >> (12 - 2 * place) & 3
            done += 7
    return at

cdef bint _transport_feedback(Line *line, const uint8_t *body, int size, int64_t now_ns) noexcept nogil:
    """draft-holmer-rmcat-transport-wide-cc-extensions-01 section 3.1, after the four bytes of the header. A broken or
    endless one says nothing: False."""
    cdef uint8_t symbols[STATUSES_MAX]
    cdef int64_t deltas[STATUSES_MAX]
    cdef int count
    cdef int at
    cdef int place
    if size < 16:
        return False
    count = <int>_read16(body + 10)
    if count > STATUSES_MAX:
        return False
    at = _read_symbols(body, size, symbols, count)
    if at < 0:
        return False
    for place in range(count):
        if symbols[place] == 3 or at + symbols[place] > size:
            return False
        if symbols[place] == 1:
            deltas[place] = body[at]
        elif symbols[place] == 2:
            deltas[place] = <int64_t>_read16(body + at) - ((<int64_t>_read16(body + at) & 0x8000) << 1)
        at += symbols[place]
    _take_feedback(line, <int>_read16(body + 8), _read32(body + 12) >> 8, symbols, deltas, count, now_ns)
    return True

cdef void _take_feedback(Line *line, int base, int64_t reference, uint8_t *symbols, int64_t *deltas, int count,
                         int64_t now_ns) noexcept nogil:
    cdef int64_t now_us = now_ns // 1000
    cdef int64_t number = _unwrap(base, line.next_number - 1)
    cdef int64_t newest_us = -1
    cdef int64_t clock
    cdef SentPacket *sent
    cdef bint known
    cdef int place
    if line.feedbacks == 0:
        line.reference, line.loss_us, line.changed_us = reference + (1 << 24), now_us, now_us
    line.reference += ((reference - line.reference + 0x800000) & 0xFFFFFF) - 0x800000
    line.feedbacks += 1
    clock = line.reference * 256
    for place in range(count):
        sent = &line.sent[number & (SENT_KEPT - 1)]
        known = number > 0 and sent.size > 0 and sent.number == <uint32_t>number and sent.state != ARRIVED
        if symbols[place]:
            clock += deltas[place]
            if known:
                newest_us = max(newest_us, sent.at_us)
                _arrive(line, sent, number, clock * 250)
        elif known and sent.state == WAITING:
            sent.state = LOST
            line.lost += 1
            line.reported += 1
            _rate_add(&line.sending, sent.at_us, sent.size)
        number += 1
    if newest_us >= 0:
        line.rtt_us = (7 * line.rtt_us + max(<int64_t>0, now_us - newest_us)) // 8
    if 0 < line.probe.first <= line.probe.last < number:
        _finish_probe(line)
    _update(line, now_us)

cdef void _arrive(Line *line, SentPacket *sent, int64_t number, int64_t arrival_us) noexcept nogil:
    if sent.state == LOST:
        line.lost -= 1
    else:
        line.reported += 1
        _rate_add(&line.sending, sent.at_us, sent.size)
    sent.state = ARRIVED
    _rate_add(&line.acked, arrival_us, sent.size)
    if _probe_covers(&line.probe, number):
        _probe_add(&line.probe, sent.at_us, arrival_us, sent.size)
        line.group.size = line.former.size = 0
    else:
        _compare(line, sent, arrival_us)

cdef void _compare(Line *line, SentPacket *sent, int64_t arrival_us) noexcept nogil:
    cdef Group *group = &line.group
    cdef Group *former = &line.former
    cdef int64_t sent_apart_us
    cdef int64_t arrived_apart_us
    if group.size and sent.at_us < group.first_sent_us:
        return
    if group.size and not _joins(group, sent.at_us, arrival_us):
        if former.size:
            sent_apart_us = group.last_sent_us - former.last_sent_us
            arrived_apart_us = group.last_arrival_us - former.last_arrival_us
            _trend_add(&line.trend, (arrived_apart_us - sent_apart_us) / 1000.0, sent_apart_us / 1000.0,
                       group.last_arrival_us / 1000.0)
        former[0] = group[0]
        group.size = 0
    if group.size == 0:
        group.first_sent_us = group.last_sent_us = sent.at_us
        group.first_arrival_us = group.last_arrival_us = arrival_us
    group.size += sent.size
    group.last_sent_us = max(group.last_sent_us, sent.at_us)
    group.last_arrival_us = max(group.last_arrival_us, arrival_us)

cdef inline bint _joins(Group *group, int64_t sent_us, int64_t arrival_us) noexcept nogil:
    cdef int64_t apart_us = arrival_us - group.last_arrival_us
    if sent_us - group.first_sent_us <= GROUP_US:
        return True
    return (apart_us < sent_us - group.last_sent_us and apart_us <= GROUP_US
            and arrival_us - group.first_arrival_us < BURST_US)


# --- the estimate ----------------------------------------------------------------------------------------

cdef void _update(Line *line, int64_t now_us) noexcept nogil:
    cdef int64_t passed_us = min(now_us - line.changed_us, <int64_t>1000000)
    line.acked_bps = _rate_bps(&line.acked)
    if line.trend.usage == OVERUSED:
        if now_us - line.cut_us > min(max(line.rtt_us, <int64_t>10000), <int64_t>200000):
            _cut(line, now_us)
    elif line.trend.usage == NORMAL and passed_us > 0:
        _grow_estimate(line, passed_us)
    line.changed_us = now_us
    _weigh_loss(line, now_us)

cdef void _cut(Line *line, int64_t now_us) noexcept nogil:
    cdef double lower = BACK_OFF * line.acked_bps
    cdef double sending = _rate_bps(&line.sending)
    if line.acked_bps >= WHOLE * sending:
        lower = max(lower, PASSING_BACK_OFF * line.estimate_bps)
    elif sending < LITTLE * line.estimate_bps:
        lower = max(lower, LITTLE_BACK_OFF * line.estimate_bps)
    else:
        _note_capacity(line)
    _lower(line, lower)
    line.cut_us = now_us

cdef void _lower(Line *line, double bps) noexcept nogil:
    if bps < line.estimate_bps:
        line.estimate_bps = max(bps, LEAST_BPS)
        line.limited = True

cdef void _note_capacity(Line *line) noexcept nogil:
    cdef double acked = line.acked_bps
    cdef double apart = acked - line.capacity_bps
    if fabs(apart) > 3.0 * line.capacity_deviation:
        line.capacity_bps, line.capacity_deviation = acked, 0.1 * acked
    else:
        line.capacity_bps += 0.05 * apart
        line.capacity_deviation += 0.05 * (fabs(apart) - line.capacity_deviation)
        line.capacity_deviation = max(line.capacity_deviation, 0.05 * line.capacity_bps)

cdef void _grow_estimate(Line *line, int64_t passed_us) noexcept nogil:
    cdef double acked = line.acked_bps
    cdef double most = HEADROOM * acked + HEADROOM_BPS
    cdef double step
    if line.estimate_bps < most:
        if fabs(acked - line.capacity_bps) <= 3.0 * line.capacity_deviation and line.capacity_bps > 0.0:
            step = max(4000.0, 8e6 * 1200.0 / (line.rtt_us + 100000)) * passed_us / 1e6
        else:
            step = max(1000.0, line.estimate_bps * GROWTH_PER_S * passed_us / 1e6)
        line.estimate_bps = min(line.estimate_bps + step, most)
    line.estimate_bps = min(max(line.estimate_bps, acked), MOST_BPS)

cdef void _weigh_loss(Line *line, int64_t now_us) noexcept nogil:
    cdef double inherent = 0.0
    cdef int place
    if now_us - line.loss_us < LOSS_WINDOW_US or line.reported < LOSS_PACKETS_MIN:
        return
    line.loss = max(<int64_t>0, line.lost) / <double>line.reported
    line.losses[line.loss_count % LOSSES] = line.loss
    line.loss_count += 1
    line.reported = line.lost = 0
    line.loss_us = now_us
    if line.loss_count >= LOSSES_MIN:
        inherent = INHERENT_MAX
        for place in range(min(<int>min(line.loss_count, <int64_t>LOSSES), <int>LOSSES)):
            inherent = min(inherent, line.losses[place])
    line.excess_loss = (line.loss - inherent) / (1.0 - inherent)
    if line.excess_loss > LOSS_MAX:
        _lower(line, max(line.estimate_bps * (1.0 - 0.5 * line.excess_loss), BACK_OFF * line.acked_bps))


cdef class NativeLine:
    """One line by itself, for tests: the same calls as `bandwidth.Line`, but for feedback as it comes, from the SSRC of
    its sender on."""

    cdef Line *line

    def __cinit__(self):
        self.line = _open_line()

    def __dealloc__(self):
        free(self.line)

    def note_sent(self, int size, int64_t now_ns):
        _note_sent(self.line, size, now_ns)

    def take_feedback(self, bytes body, int64_t now_ns):
        return bool(_transport_feedback(self.line, <const uint8_t *>PyBytes_AS_STRING(body), <int>len(body), now_ns))

    def begin_probe(self):
        _begin_probe(self.line)

    def end_probe(self, int64_t now_ns):
        _end_probe(self.line, now_ns)

    def check_probe(self, int64_t now_ns):
        _check_probe(self.line, now_ns)

    @property
    def next_number(self):
        return self.line.next_number

    @property
    def state(self):
        """Everything that the estimate says and goes on from."""
        cdef Line *line = self.line
        return (line.estimate_bps, bool(line.limited), line.feedbacks, line.loss, line.excess_loss, line.acked_bps,
                line.probe_bps, line.probe.first > 0, line.cut_us * 1000, line.rtt_us, line.trend.usage,
                line.trend.threshold, line.trend.slope, line.capacity_bps, line.capacity_deviation)
