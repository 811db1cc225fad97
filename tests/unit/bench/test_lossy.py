"""What the bench of bad lines reads out of [time in ms, frames so far]."""

import pytest

from bench.lossy import frames_sent, longest_gap_ms, missed, recovery_s


def watched(*flows):
    """`flows`: (seconds, frames per second), one after the other, looked at every 50 ms."""
    at, frames, found = 1000.0, 10.0, []
    for seconds, per_s in flows:
        for _ in range(int(seconds * 20)):
            found.append([at, int(frames)])
            at, frames = at + 50, frames + per_s / 20
    return found


def test_a_gap_is_the_longest_time_without_a_new_frame():
    assert longest_gap_ms(watched((5, 30))) <= 100
    assert longest_gap_ms(watched((2, 30), (1.5, 0), (2, 30))) == pytest.approx(1500, abs=100)


def test_a_picture_that_stands_still_at_the_end_counts():
    assert longest_gap_ms(watched((2, 30), (4, 0))) == pytest.approx(4000, abs=100)


def test_recovery_is_counted_to_where_the_picture_flows_and_goes_on():
    assert recovery_s(watched((10, 30)), 30) == 0
    assert recovery_s(watched((3, 0), (1, 30), (1, 0), (10, 30)), 30) == pytest.approx(5, abs=0.4)


def test_a_picture_that_never_flows_again_has_not_recovered():
    assert recovery_s(watched((10, 5)), 30) is None


def test_frames_are_counted_of_the_encoding_that_the_viewer_gets():
    before = {"encodings": {"l": [100, 180], "h": [50, 720]}}
    after = {"encodings": {"l": [130, 180], "h": [70, 720], "m": [9, 360]}}
    assert frames_sent(before, after, 720) == 20
    assert frames_sent(before, after, 184) == 30
    assert frames_sent(before, after, 352) == 9, "one that has just begun"
    assert frames_sent({"encodings": {}}, {"encodings": {}}, 720) == 0


def test_the_bar_is_held_against_the_one_case():
    good = {"browser": "firefox", "case": "loss5 delay50", "decoded_part": 0.97, "longest_freeze_ms": 600}
    assert missed([good, good | {"case": "loss10", "decoded_part": 0.1}]) == []
    assert len(missed([good | {"decoded_part": 0.94}, good | {"longest_freeze_ms": 1200}])) == 2
    assert missed([{"browser": "firefox", "case": "clean", "error": "nothing"}]) == [
        "firefox, clean: nothing"
    ]
