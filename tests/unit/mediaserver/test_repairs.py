"""What a viewer asks for again is repeated as far as its line bears it; on both planes."""

import pytest

from mediaserver import rtcp
from mediaserver.bandwidth import Line
from mediaserver.repairs import SHARE, WINDOW_US, Repairs
from mediaserver.rtp import head_extension

from .fanning import MS
from .simulated_line import Call, Viewer

SIZE = 1_100


def known_line(*, narrow_at_s=None):
    """A line that has been told of for five seconds; narrow from `narrow_at_s` on."""

    def rate(now_ns):
        return 300_000 if narrow_at_s is not None and (now_ns - start_ns) / 1e9 >= narrow_at_s else 20_000_000

    call = Call(Viewer(rate, queue_ms=300), [150_000, 500_000, 1_700_000])
    start_ns = call.start_ns
    call.run(6)
    return call.line, call.now_ns


def admitted(repairs, line, numbers, now_ns, **more):
    return [n for n in numbers if repairs.admit(line, n, SIZE, now_ns, **{"left_behind": False} | more)]


def test_the_same_packet_is_not_repeated_while_its_repeat_is_on_its_way():
    line, now_ns = known_line()
    repairs = Repairs()
    half_ns = line.rtt_us * 500
    assert admitted(repairs, line, [7], now_ns) == [7]
    assert admitted(repairs, line, [7], now_ns + half_ns - MS) == []
    assert admitted(repairs, line, [7], now_ns + half_ns + MS) == [7]


def test_repeats_take_a_part_of_the_line_and_no_more():
    line, now_ns = known_line()
    now_ns -= now_ns % (WINDOW_US * 1000)
    repairs = Repairs()
    bytes_borne = SHARE * line.estimate_bps / 8 * WINDOW_US / 1e6
    first = admitted(repairs, line, range(500), now_ns)
    assert len(first) * SIZE == pytest.approx(bytes_borne, abs=SIZE)
    assert admitted(repairs, line, range(1000, 1500), now_ns + WINDOW_US * 500) == []
    later = admitted(repairs, line, range(2000, 2500), now_ns + WINDOW_US * 1000)
    assert len(later) == len(first)


def test_what_was_left_behind_is_not_repeated_over_a_line_that_has_just_become_narrow():
    line, now_ns = known_line(narrow_at_s=5.5)
    assert now_ns - line.cut_ns < 2_000 * MS
    repairs = Repairs()
    assert admitted(repairs, line, range(20), now_ns, left_behind=True) == []
    assert admitted(repairs, line, [100], now_ns) == [100]
    assert admitted(repairs, line, [5], line.cut_ns + 2_001 * MS, left_behind=True) == [5]


def test_who_tells_nothing_of_arrivals_gets_all_that_it_asks_for():
    assert admitted(Repairs(), Line(), [1, 1, *range(600)], 1_000 * MS) == [1, 1, *range(600)]


def test_both_planes_repeat_a_packet_once_in_half_a_round_trip(stage):
    line = Line()
    to, viewer = stage.subscribe(
        head_extension=head_extension(b"0", mid_id=1, send_time_id=2, transport_cc_id=3, level_id=4),
        line=line,
    )
    stage.send(1, 2, 3, at_ms=0)
    lost = [viewer.numbers[1]]
    stage.now_ns += 80 * MS
    feedback = rtcp.transport_cc(1, 2, 0, [(1, 1_000), (2, 2_000), (3, 3_000)])
    if stage.native:
        viewer.link.note_feedback(feedback, stage.now_ns)
    else:
        line.take_feedback(*rtcp.parse(feedback).transport, stage.now_ns)
    for _ in range(3):
        stage.forwarder.resend(stage.fanout, to, lost)
    assert len(viewer.packets) == 4
    stage.now_ns += 200 * MS
    stage.forwarder.resend(stage.fanout, to, lost)
    assert len(viewer.packets) == 5
