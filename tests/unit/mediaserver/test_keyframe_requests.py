"""One viewer's requests for keyframes are bounded: the others pay for each."""

import itertools

from mediaserver.patience import KEYFRAME_REFILL_NS, KEYFRAMES_AT_ONCE, KeyframePatience

MS = 1_000_000
SECOND = 1000 * MS


def granted(patience, from_ns, to_ns, every_ms):
    return [at for at in range(from_ns, to_ns, every_ms * MS) if patience.allows(at)]


def test_a_decoder_in_trouble_is_heard_at_once():
    assert KeyframePatience().allows(0)


def test_a_request_that_is_repeated_while_the_keyframe_comes_is_the_same_request():
    assert granted(KeyframePatience(), 0, 500 * MS, every_ms=50) == [0]


def test_whoever_asks_all_the_time_gets_a_few_and_then_one_in_four_seconds():
    patience = KeyframePatience()
    at_first = granted(patience, 0, 3 * SECOND, every_ms=10)
    assert len(at_first) == KEYFRAMES_AT_ONCE
    later = granted(patience, 3 * SECOND, 43 * SECOND, every_ms=10)
    assert len(later) == 40 * SECOND // KEYFRAME_REFILL_NS
    assert min(b - a for a, b in itertools.pairwise(later)) >= KEYFRAME_REFILL_NS - 10 * MS


def test_whoever_was_quiet_may_ask_as_at_first_and_no_more():
    patience = KeyframePatience()
    granted(patience, 0, 60 * SECOND, every_ms=100)
    assert len(granted(patience, 600 * SECOND, 603 * SECOND, every_ms=100)) == KEYFRAMES_AT_ONCE


def test_a_clock_that_stood_far_from_zero_gives_no_more():
    start = 10**18
    assert len(granted(KeyframePatience(), start, start + 3 * SECOND, every_ms=10)) == KEYFRAMES_AT_ONCE
