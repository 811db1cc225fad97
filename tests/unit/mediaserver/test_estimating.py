"""How quickly and how well the estimate finds what a line carries; in C as in Python."""

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mediaserver import planes, rtcp
from mediaserver.bandwidth import LEAST_BPS, START_BPS, Line, Unreported

from .simulated_line import MS, SECOND, Call, Viewer

needs_native = pytest.mark.skipif(planes.dataplane is None, reason="the native data plane is not compiled")
LAYERS = [150e3, 500e3, 1500e3]
START_NS = 1_000 * SECOND


def steady(bps):
    return lambda _: bps


def test_a_narrow_line_is_found_within_two_seconds_and_not_overrun():
    call = Call(Viewer(steady(300e3), queue_ms=100), LAYERS).run(30)
    assert call.first(lambda bps: bps < 360e3) < 2
    later = call.estimates(2, 30)
    assert min(later) > 200e3
    assert max(later) < 450e3
    assert {layer for second, _, layer, *_ in call.history if second > 2} == {0}
    assert sum(queued > 50 for *_, queued, _ in call.history) < len(call.history) / 8
    assert call.viewer.dropped < 0.08 * call.viewer.sent


def test_a_wide_line_is_found_within_four_seconds():
    call = Call(Viewer(steady(2e6)), LAYERS).run(30)
    assert call.first(lambda bps: bps > 1.7e6) < 4
    assert call.viewer.dropped < 0.02 * call.viewer.sent
    layers = [layer for second, _, layer, *_ in call.history if second > 4]
    assert layers.count(2) > 0.9 * len(layers)


def test_a_line_that_drops_is_followed_within_a_second_and_again_when_it_recovers():
    def rate(now_ns):
        return 300e3 if 20 * SECOND < now_ns - START_NS < 30 * SECOND else 2e6

    call = Call(Viewer(rate), LAYERS).run(60)
    assert call.first(lambda bps: bps < 450e3, since_s=20) < 1
    assert max(call.estimates(22, 30)) < 450e3
    assert call.first(lambda bps: bps > 1.7e6, since_s=30) < 12


@pytest.mark.parametrize("loss", [0.05, 0.10])
@pytest.mark.parametrize("seed", range(3))
def test_random_loss_does_not_take_half_of_the_line(loss, seed):
    call = Call(Viewer(steady(2e6), loss=loss, seed=seed), LAYERS).run(40)
    assert call.first(lambda bps: bps > 1.5e6) < 6
    assert min(call.estimates(6, 40)) > 1e6


def test_loss_without_a_queue_is_heeded():
    """A policer: what is too much is dropped at once."""
    call = Call(Viewer(steady(400e3), queue_ms=1), LAYERS).run(20)
    assert max(call.estimates(5, 20)) < 800e3
    assert call.viewer.dropped < 0.25 * call.viewer.sent


def test_jitter_is_not_taken_for_a_queue():
    call = Call(Viewer(steady(5e6), jitter_ms=15), [1.5e6]).run(30)
    assert min(call.estimates(5, 30)) > 1.5e6


def test_sound_alone_fits_and_the_picture_pauses():
    call = Call(Viewer(steady(80e3)), LAYERS).run(30)
    layers = [layer for second, _, layer, *_ in call.history if second > 6]
    assert set(layers) == {None}
    assert max(call.estimates(8, 30)) < 150e3
    late = call.viewer.dropped
    assert late < 0.25 * call.viewer.sent


def test_a_paused_picture_comes_back_when_the_line_does():
    def rate(now_ns):
        return 60e3 if now_ns - START_NS < 15 * SECOND else 2e6

    call = Call(Viewer(rate), LAYERS).run(50)
    assert next(s for s, _, layer, *_ in call.history if s > 15 and layer == 0) < 15 + 17
    assert call.layer == 2


def test_what_is_sent_bounds_the_estimate_until_it_is_probed():
    """Sound alone on a wide line: nothing shows how wide."""
    call = Call(Viewer(steady(10e6)), [0.0])
    call.prober.consider = lambda *_: False
    call.run(60)
    assert max(call.estimates(0, 60)) <= START_BPS


def test_nothing_but_feedback_on_what_was_sent_counts():
    line = Line()
    for _ in range(50):
        line.note_sent(1000, START_NS)
    before = line.estimate_bps
    for base in (0, 51, 5000, 65500):
        line.take_feedback(rtcp.TransportFeedback(base, 5, (None,) * 100), START_NS + 500 * MS)
        line.take_feedback(rtcp.TransportFeedback(base, 5, (3,) * 10), START_NS + 900 * MS)
    assert LEAST_BPS <= line.estimate_bps <= before * 1.2


def test_the_same_packet_arrives_once():
    line = Line()
    for _ in range(60):
        line.note_sent(1000, START_NS)
    for turn in range(20):
        line.take_feedback(rtcp.TransportFeedback(1, 5, (4,) * 60), START_NS + (turn + 1) * 100 * MS)
    assert line.acked_bps <= 60 * 1044 * 8e3 / 59


def test_who_tells_nothing_of_arrivals_is_estimated_by_its_reports():
    unreported, line = Unreported(), Line()
    line.reports, line.told_loss = 1, 0.4
    unreported.update(line, 500e3)
    assert unreported.estimate_bps == 400e3
    assert unreported.limited
    for report in range(2, 12):
        line.reports, line.told_loss = report, 0.0
        unreported.update(line, 500e3)
    assert 500e3 <= unreported.estimate_bps <= 770e3
    line.told_bps = 250e3
    unreported.update(line, 500e3)
    assert unreported.estimate_bps == 250e3


# --- the same in C ---


class Both:
    """A Line in Python and one in C that are asked the same."""

    def __init__(self):
        self.one, self.other = Line(), planes.dataplane.NativeLine()

    def __getattr__(self, name):
        return getattr(self.one, name)

    def note_sent(self, size, now_ns):
        self.one.note_sent(size, now_ns)
        self.other.note_sent(size, now_ns)

    def begin_probe(self):
        self.one.begin_probe()
        self.other.begin_probe()

    def end_probe(self, now_ns):
        self.one.end_probe(now_ns)
        self.other.end_probe(now_ns)

    def check_probe(self, now_ns):
        self.one.check_probe(now_ns)
        self.other.check_probe(now_ns)

    def take(self, data, now_ns):
        """A whole RTCP packet."""
        for feedback in rtcp.parse(data).transport:
            self.one.take_feedback(feedback, now_ns)
        ((_, _, body),) = rtcp._split(data)
        self.other.take_feedback(body, now_ns)
        assert self.one.state == self.other.state
        assert self.one.next_number == self.other.next_number


class BothCall(Call):
    def take(self, data):
        self.line.take(data, self.now_ns)


@needs_native
@pytest.mark.parametrize("seed", range(6))
def test_the_estimate_in_c_is_the_same_to_the_last_bit(seed):
    chance = random.Random(seed)
    rates = [chance.choice([60e3, 300e3, 1e6, 2e6, 8e6]) for _ in range(8)]
    viewer = Viewer(
        lambda now_ns: rates[(now_ns - START_NS) // (5 * SECOND) % 8],
        loss=chance.choice([0, 0, 0.03, 0.15]), jitter_ms=chance.choice([0, 3, 30]), delay_ms=chance.choice([1, 20, 150]), seed=seed,
    )  # fmt: skip
    call = BothCall(viewer, LAYERS, line=Both()).run(40)
    assert call.line.feedbacks > 300
    assert call.line.limited or min(rates) > 1e6


@needs_native
@settings(max_examples=200, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.integers(0, 300),
            st.integers(0, 200_000),
            st.binary(max_size=60),
            st.sampled_from(
                [b"", b"\x00\x01\x00\x10\x00\x00\x05\x01", b"\x00\x20\x00\x30\x00\x01\x05\x01\x20\x30"]
            ),
        ),
        max_size=12,
    )
)
def test_hostile_feedback_is_read_alike(steps):
    both, now_ns = Both(), START_NS
    for count, passed_us, noise, head in steps:
        for _ in range(count):
            both.note_sent(200, now_ns)
        now_ns += passed_us * 1000
        body = bytes(8) + head + noise
        data = rtcp._packet(15, 205, body)
        both.take(data, now_ns)
        assert LEAST_BPS <= both.one.estimate_bps <= 100e6


def test_the_figures_are_the_same_in_c():
    """`estimate.pxi` repeats constants of `bandwidth.py`, `rtcp.py` and `forwarder.py`."""
    from pathlib import Path

    from mediaserver import bandwidth, forwarder

    folder = Path(planes.__file__).parent
    source = (folder / "estimate.pxi").read_text()
    assert f"SENT_KEPT = {bandwidth.SENT_KEPT} " in source
    assert f"STATUSES_MAX = {rtcp.STATUSES_MAX} " in source
    assert f"    PADDING_BYTES = {forwarder.PADDING_BYTES}\n" in (folder / "dataplane.pyx").read_text()
