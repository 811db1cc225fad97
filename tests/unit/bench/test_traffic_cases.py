"""What the publishers send is what the documents say they send."""

from itertools import pairwise, takewhile

import pytest

from bench.cases import CASES, Case, Send, rate
from bench.traffic import Stream, sent_ns

SECONDS = 20


def sent(case: Case) -> list[Send]:
    return list(takewhile(lambda send: send.at_s < SECONDS, case.sends()))


def video_per_s(sends: list[Send]) -> float:
    return sum(send.kind == "video" for send in sends) / SECONDS


@pytest.mark.parametrize("name", list(CASES))
def test_packets_come_in_order_and_frames_whole(name: str):
    sends = sent(CASES[name])
    assert [send.at_s for send in sends] == sorted(send.at_s for send in sends)
    video = [send for send in sends if send.kind == "video"]
    for former, send in pairwise(video):
        assert send.first == former.last == (send.frame != former.frame)


@pytest.mark.parametrize("name", list(CASES))
def test_opus_is_sent_beside_every_video(name: str):
    audio = [send for send in sent(CASES[name]) if send.kind == "audio"]
    assert len(audio) == pytest.approx(50 * SECONDS, rel=0.02)
    assert [send.frame for send in audio] == list(range(audio[0].frame, audio[0].frame + len(audio)))


def test_the_recorded_case_is_a_call_of_two_megabits():
    sends = sent(CASES["paced"])
    assert sum(send.bytes for send in sends) * 8 / SECONDS == pytest.approx(2_200_000, rel=0.1)
    assert not CASES["paced"].segmentation


def test_the_cases_have_their_rates_and_sizes():
    per_s = {name: (video_per_s(sent(case)), case.publishers) for name, case in CASES.items()}
    assert per_s["burst"] == (240, 1)
    assert per_s["uneven"] == (240, 1)
    assert per_s["four"] == (90, 4)
    assert per_s["small"] == (1000, 1)
    sizes = {name: {s.bytes for s in sent(CASES[name]) if s.kind == "video"} for name in CASES}
    assert (sizes["burst"], sizes["four"], sizes["small"]) == ({1100}, {1100}, {600})
    assert min(sizes["uneven"]) >= 200
    assert max(sizes["uneven"]) <= 1150
    assert len(sizes["uneven"]) > 500


@pytest.mark.parametrize("asked", [30, 100, 290, 1000])
def test_a_rate_is_met_exactly(asked: int):
    assert video_per_s(sent(rate(asked, 500))) == asked


def test_the_time_of_sending_is_read_from_before_the_padding():
    """The server adds a byte to the shorter parts of a picture."""
    packet = Stream(1, 96, 90_000, "1", {}).packet(b"frame", 200, 0, marker=False, now_ns=123_456_789)
    padded = bytes([packet[0] | 0x20]) + packet[1:] + b"\0\2"
    assert sent_ns(packet) == sent_ns(padded) == 123_456_789
