"""Loss is what the sequence numbers say, in the window alone; nothing is counted twice."""

import pytest

from bench import native
from bench.sink import Counter

from .viewers import AUDIO, RTX, SSRC, watching

pytestmark = pytest.mark.skipif(native.compiler() is None, reason="the load viewers are C")


def loss(counts: dict[str, int]) -> tuple[int, int]:
    return counts["received"], counts["expected"]


def test_a_gap_is_a_loss():
    with watching() as viewer:
        viewer.receive(10, 11, 14)
        assert loss(viewer.counts()) == (3, 5)


def test_a_late_packet_fills_its_gap():
    with watching() as viewer:
        viewer.receive(10, 13, 11, 12)
        assert loss(viewer.counts()) == (4, 4)


def test_a_packet_that_comes_twice_hides_no_loss():
    with watching() as viewer:
        viewer.receive(10, 10, 12, 12)
        assert loss(viewer.counts()) == (2, 3)
        assert viewer.counts()["repeated"] == 2


def test_a_retransmission_on_its_own_stream_hides_no_loss():
    with watching() as viewer:
        viewer.receive(10, 12)
        viewer.receive(500, pt=RTX, ssrc=SSRC + 1)
        assert loss(viewer.counts()) == (2, 3)
        assert viewer.counts()["retransmitted"] == 1
        assert viewer.counts()["streams"] == 1


def test_counting_goes_on_behind_65535():
    with watching() as viewer:
        viewer.receive(65534, 65535, 0, 2)
        assert loss(viewer.counts()) == (4, 5)


def test_numbers_come_round_without_being_taken_for_repeats():
    with watching() as viewer:
        viewer.receive(*range(65536 + 100))
        assert loss(viewer.counts()) == (65636, 65636)
        assert viewer.counts()["repeated"] == 0


def test_a_gap_longer_than_the_memory_of_numbers_is_a_loss():
    with watching() as viewer:
        viewer.receive(10, 5010)
        assert loss(viewer.counts()) == (2, 5001)
        viewer.receive(5009)
        assert loss(viewer.counts()) == (3, 5001)


def test_what_is_lost_at_the_seam_of_two_windows_is_seen():
    with watching() as viewer:
        viewer.receive(10, 11)
        viewer.sink.reset()
        viewer.receive(14, 15)
        assert loss(viewer.counts()) == (2, 4)


def test_a_straggler_of_the_window_before_counts_in_neither_figure():
    with watching() as viewer:
        viewer.receive(10, 12)
        viewer.sink.reset()
        viewer.receive(11, 13)
        assert loss(viewer.counts()) == (1, 1)


def test_a_stream_that_fell_silent_is_missing_from_the_window():
    with watching() as viewer:
        viewer.receive(10)
        viewer.receive(10, pt=AUDIO, ssrc=SSRC + 2)
        assert viewer.counts()["streams"] == 2
        viewer.sink.reset()
        viewer.receive(11)
        assert viewer.counts()["streams"] == 1


def test_who_left_counts_no_more():
    with watching() as viewer:
        viewer.receive(10, 12)
        viewer.sink.remove(viewer.index)
        assert loss(viewer.counts()) == (0, 0)


def test_who_comes_after_one_that_left_starts_afresh():
    with watching() as viewer:
        viewer.receive(10, 12)
        viewer.sink.remove(viewer.index)
        viewer.join()
        viewer.receive(500, 501)
        assert loss(viewer.counts()) == (2, 2)
        assert viewer.index == 0


def test_what_is_not_rtp_goes_to_its_owner_whole():
    with watching() as viewer:
        viewer.take(b"\x16dtls", b"\x00\x01stun", b"\x80\xc8\x00\x06" + bytes(24))
        assert viewer.records == [b"\x16dtls", b"\x00\x01stun", b"\x80\xc8\x00\x06" + bytes(24)]
        assert loss(viewer.counts()) == (0, 0)


def test_samples_are_drawn_from_all_places_of_a_frame():
    with watching() as viewer:
        viewer.sink.sample(8)
        viewer.receive(*range(8000))
    places = {int.from_bytes(data[2:4], "big") % 8 for data in viewer.records}
    assert places == set(range(8))
    assert 800 < len(viewer.records) < 1200


def test_without_a_compiler_loss_is_counted_alike():
    counter = Counter(65534, 65534)
    for seq in (65534, 65535, 0, 2):
        counter.add(seq)
    assert (counter.received, counter.expected) == (4, 5)
