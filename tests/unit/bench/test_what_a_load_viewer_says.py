"""What a browser would send: reports with the round trip, transport-wide feedback, requests for half a per cent."""

import struct
import time

import pytest

from bench import native
from bench.sink import sender_reports

from .viewers import AUDIO, SSRC, TRANSPORT_SEQ_ID, rtp, watching

pytestmark = pytest.mark.skipif(native.compiler() is None, reason="the load viewers are C")

ROUND_TRIP_S = 0.02
UNIT_S = 1 / 65536


def test_a_report_tells_since_when_it_has_the_servers_own_less_a_round_trip():
    with watching() as viewer:
        viewer.receive(100, 101)
        heard_s = time.monotonic() - 0.5
        viewer.sink.heard(viewer.index, SSRC, 0xCAFEBABE, int(heard_s * 1e9))
        least_s = time.monotonic() - heard_s - ROUND_TRIP_S
        (report,) = viewer.sink.reports(viewer.index)
        most_s = time.monotonic() - heard_s - ROUND_TRIP_S
    ssrc, _lost, highest, _jitter, since, delay = struct.unpack("!IIIIII", report[8:32])
    assert (ssrc, highest, since) == (SSRC, 101, 0xCAFEBABE)
    assert least_s - UNIT_S <= delay / 65536 <= most_s + UNIT_S


def test_a_report_right_behind_the_servers_own_names_no_negative_delay():
    with watching() as viewer:
        viewer.receive(100)
        viewer.sink.heard(viewer.index, SSRC, 1, time.monotonic_ns())
        (report,) = viewer.sink.reports(viewer.index)
    assert struct.unpack("!I", report[28:32]) == (0,)


def test_a_report_without_one_of_the_servers_names_none():
    with watching() as viewer:
        viewer.receive(100)
        (report,) = viewer.sink.reports(viewer.index)
    assert report[24:32] == bytes(8)


def test_reports_go_on_counting_over_windows():
    with watching() as viewer:
        viewer.receive(65535, 0)
        viewer.sink.reset()
        viewer.receive(1)
        (report,) = viewer.sink.reports(viewer.index)
    assert struct.unpack("!I", report[16:20]) == (65536 + 1,)


def test_sender_reports_are_found_in_compound_packets():
    body = struct.pack("!IIIIII", 7, 0x11112222, 0x33334444, 0, 0, 0)
    report = struct.pack("!BBH", 0x80, 200, 6) + body
    other = struct.pack("!BBHI", 0x81, 203, 1, 9)
    assert list(sender_reports(other + report)) == [(7, 0x22223333)]
    assert list(sender_reports(report[:15])) == []


def transport_wide(packet: bytes) -> tuple[int, list[bool]]:
    """Base number and whether each came; vectors of two-bit symbols alone, as this client writes them."""
    base, count = struct.unpack_from("!HH", packet, 12)
    symbols = []
    for at in range(20, 20 + 2 * -(-count // 7), 2):
        (chunk,) = struct.unpack_from("!H", packet, at)
        symbols += [chunk >> (12 - 2 * n) & 3 for n in range(7)]
    return base, [symbol == 2 for symbol in symbols[:count]]


def test_feedback_tells_what_came_and_what_did_not():
    with watching(transport_seq_id=TRANSPORT_SEQ_ID) as viewer:
        numbers = [65534, 65535, 1, 9]
        viewer.take(*(rtp(n, transport_seq=number) for n, number in enumerate(numbers)))
        packet = viewer.sink.feedback(viewer.index)
        again = viewer.sink.feedback(viewer.index)
    base, came = transport_wide(packet)
    assert base == 65534
    assert [(base + n) & 0xFFFF for n, one in enumerate(came) if one] == numbers
    assert len(came) == 12
    assert len(packet) == 4 + 4 * struct.unpack_from("!H", packet, 2)[0]
    assert again == b""


def test_half_a_per_cent_of_the_video_is_asked_for_again_and_no_audio():
    asked = []
    with watching() as viewer:
        for start in range(0, 20_000, 100):
            viewer.receive(*range(start, start + 100))
            viewer.receive(*range(start, start + 100), pt=AUDIO, ssrc=SSRC + 2)
            nack = viewer.sink.nack(viewer.index)[32:]
            if nack:
                assert struct.unpack_from("!I", nack, 8) == (SSRC,)
                items = [struct.unpack_from("!HH", nack, at) for at in range(12, len(nack), 4)]
                assert all(start <= seq < start + 100 and not more for seq, more in items)
                asked += items
    assert 60 < len(asked) < 140


def test_what_is_due_is_sent_by_the_turns_themselves():
    with watching(speaks=True, transport_seq_id=TRANSPORT_SEQ_ID) as viewer:
        viewer.sink.heard(viewer.index, SSRC, 1, time.monotonic_ns())
        number, kinds = 0, []
        until = time.monotonic() + 5
        while time.monotonic() < until and not {201, 205} <= set(kinds):
            viewer.take(rtp(number, transport_seq=number))
            number += 1
            kinds += [packet[1] for packet in viewer.said()]
    assert {201, 205} <= set(kinds)
