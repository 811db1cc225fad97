"""Which picture comes in which size, as tables: what the line carries, what is wanted, what is given."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mediaserver.allocation import RISE_AFTER_NS, Allocator, Stream, reception

SECOND = 1_000_000_000
THREE = (150e3, 500e3, 1500e3)
SOUND = 70e3


def camera(present, *, most=2, needs=THREE, priority=1):
    return Stream(needs, most, present, priority)


def screen(present, *, most=0, needs=(800e3,)):
    return Stream(needs, most, present, 0)


def decide(streams, estimate_bps, *, limited=True, allocator=None, now_ns=SECOND):
    return (allocator or Allocator()).decide(
        streams, SOUND, estimate_bps, limited=limited, now_ns=now_ns
    )  # fmt: skip


@pytest.mark.parametrize(
    ("estimate_bps", "streams", "given"),
    [
        # one camera: the largest that fits with room to spare, when it goes up
        (2000e3, [camera(0)], (2,)),
        (1700e3, [camera(0)], (1,)),
        (700e3, [camera(0)], (1,)),
        (600e3, [camera(0)], (0,)),
        # what it has already, it keeps a little longer
        (1500e3, [camera(2)], (2,)),
        (1300e3, [camera(2)], (1,)),
        (300e3, [camera(2)], (0,)),
        # not larger than it is shown; not at all when it is not
        (9000e3, [camera(0, most=1)], (1,)),
        (9000e3, [camera(2, most=0)], (0,)),
        (9000e3, [camera(2, most=-1)], (None,)),
        # nothing comes: there is nothing to choose
        (9000e3, [camera(0, needs=(), most=-1)], (0,)),
        (9000e3, [camera(None, needs=(), most=-1)], (None,)),
        # the screen goes before the host's camera, that before the others
        (2000e3, [camera(0), screen(0)], (1, 0)),
        (1100e3, [camera(1), screen(0)], (0, 0)),
        (1000e3, [camera(0, priority=2), camera(0, priority=1)], (0, 1)),
        (1000e3, [camera(0, priority=1), camera(0, priority=2)], (1, 0)),
        # everybody's smallest before anybody's larger one
        (480e3, [camera(0, priority=1), camera(0, priority=2)], (0, 0)),
        # a paused one comes back with room to spare
        (250e3, [camera(None)], (None,)),
        (260e3, [camera(None)], (0,)),
    ],
)
def test_what_fits_is_given(estimate_bps, streams, given):
    assert decide(streams, estimate_bps) == given


def test_until_the_line_is_known_to_be_narrow_the_smallest_is_sent_whatever_the_estimate():
    single = Stream((2200e3,), 0, 0)
    assert decide([single], 600e3, limited=False) == (0,)
    assert decide([Stream((2200e3,), 0, None)], 600e3, limited=False) == (0,)


def test_the_last_picture_pauses_only_after_a_while():
    allocator, one = Allocator(), camera(0)
    assert decide([one], 100e3, allocator=allocator, now_ns=10 * SECOND) == (0,)
    assert decide([one], 100e3, allocator=allocator, now_ns=10 * SECOND + SECOND // 2) == (0,)
    assert decide([one], 100e3, allocator=allocator, now_ns=11 * SECOND) == (None,)


def test_a_moment_of_doubt_pauses_nothing():
    allocator, one = Allocator(), camera(0)
    for second in range(10, 20):
        assert decide([one], 100e3 if second % 2 else 300e3, allocator=allocator, now_ns=second * SECOND) == (
            0,
        )


def test_down_at_once_and_up_after_a_while():
    allocator = Allocator()
    assert decide([camera(2)], 400e3, allocator=allocator, now_ns=10 * SECOND) == (0,)
    assert decide([camera(0)], 5000e3, allocator=allocator, now_ns=11 * SECOND) == (0,)
    later = 10 * SECOND + RISE_AFTER_NS
    assert decide([camera(0)], 5000e3, allocator=allocator, now_ns=later) == (2,)
    assert decide([camera(2)], 400e3, allocator=allocator, now_ns=later + 1) == (0,)


def test_who_wanted_less_and_now_wants_more_need_not_wait():
    allocator = Allocator()
    assert decide([camera(2, most=0)], 5000e3, allocator=allocator, now_ns=10 * SECOND) == (0,)
    assert decide([camera(0)], 5000e3, allocator=allocator, now_ns=10 * SECOND + 1) == (2,)


def test_what_is_wanted_next_is_told_for_probes():
    allocator = Allocator()
    decide([camera(0)], 300e3, allocator=allocator)
    assert allocator.wanted_bps == pytest.approx((SOUND + 500e3) * 1.15 * 1.1)
    decide([camera(2)], 5000e3, allocator=allocator)
    assert allocator.wanted_bps == 0.0
    decide([camera(None)], 60e3, allocator=allocator)
    assert allocator.wanted_bps == pytest.approx((SOUND + 150e3) * 1.15 * 1.1)
    decide([camera(None, most=-1)], 60e3, allocator=allocator)
    assert allocator.wanted_bps == 0.0


@pytest.mark.parametrize(
    ("streams", "places", "loss", "state"),
    [
        ([camera(2)], (2,), 0.0, "good"),
        ([camera(2)], (2,), 0.2, "poor"),
        ([camera(1)], (1,), 0.0, "reduced"),
        ([camera(1)], (1,), 0.2, "reduced"),
        ([camera(0)], (0,), 0.2, "poor"),
        ([camera(0)], (None,), 0.0, "audio_only"),
        ([camera(0), screen(0)], (None, 0), 0.0, "reduced"),
        ([camera(0, most=0)], (0,), 0.0, "good"),
        ([camera(0, most=-1)], (None,), 0.0, "good"),
        ([], (), 0.0, "good"),
        ([], (), 0.3, "poor"),
    ],
)
def test_how_well_somebody_receives(streams, places, loss, state):
    assert reception(streams, places, loss) == state


@given(
    st.lists(
        st.tuples(
            st.lists(st.floats(0, 3e6), max_size=3),
            st.integers(-1, 2),
            st.none() | st.integers(0, 2),
            st.integers(0, 2),
        ),
        max_size=5,
    ),
    st.floats(30e3, 1e7),
)
def test_nothing_beyond_the_line_and_nothing_unasked(drawn, estimate_bps):
    streams = [
        Stream(tuple(sorted(needs)), min(most, len(needs) - 1), None if not needs or present is None else min(present, len(needs) - 1), p)
        for needs, most, present, p in drawn
    ]  # fmt: skip
    allocator = Allocator()
    decide(streams, estimate_bps, allocator=allocator, now_ns=SECOND)
    places = decide(streams, estimate_bps, allocator=allocator, now_ns=9 * SECOND)
    spent = SOUND + sum(
        stream.needs_bps[place]
        for stream, place in zip(streams, places, strict=True)
        if stream.needs_bps and place is not None
    )
    for stream, place in zip(streams, places, strict=True):
        if stream.needs_bps:
            assert place is None or place <= stream.most
    lowest = sum(stream.needs_bps[0] for stream in streams if stream.needs_bps)
    assert spent <= estimate_bps / 0.75 + 1 or spent <= SOUND + lowest
