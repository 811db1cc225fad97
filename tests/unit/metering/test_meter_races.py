"""Events that cross each other: told step by step, the shell's answers held back."""

import pytest

from metering.events import (
    Alive,
    CloseGate,
    CloseSegment,
    End,
    EndCode,
    Extended,
    Finish,
    Forwarding,
    GateClosed,
    OpenGate,
    OpenSegment,
    SegmentOpened,
    SegmentRefused,
    Show,
)
from metering.session import Session

MINUTE = 60_000


class Desk:
    """A session and what it asks for; Show aside."""

    def __init__(self, limit_ms=15 * MINUTE):
        self.session = Session("ses_race", limit_ms=limit_ms, used_ms=0, purchased_ms=limit_ms)

    def at(self, now_ms, *events):
        for event in events:
            self.session.handle(event, now_ms)
        self.session.handle_timer(now_ms)
        asked = []
        while (effect := self.session.next_effect()) is not None:
            asked += [] if isinstance(effect, Show) else [effect]
        return asked


def both(at_ms):
    return Alive("payer", at_ms), Alive("host", at_ms)


@pytest.fixture
def desk():
    """Counting since 0."""
    desk = Desk()
    assert desk.at(0, *both(0)) == [OpenSegment()]
    assert desk.at(0, SegmentOpened()) == [OpenGate(15 * MINUTE)]
    assert desk.at(0, Forwarding(0)) == []
    return desk


def test_the_first_reason_to_finish_is_the_one_told(desk):
    assert desk.at(1_000, *both(1_000), Finish(EndCode.KICKED)) == [CloseGate()]
    assert desk.at(1_000, Finish(EndCode.LEFT)) == []
    assert desk.at(1_001, GateClosed(1_000, 0)) == [CloseSegment(0, 1_000, 1_000), End(EndCode.KICKED, 1_000)]


def test_finish_while_a_pause_closes_the_gate_keeps_the_pauses_cut(desk):
    desk.at(10_000, *both(10_000))
    desk.at(20_000, Alive("host", 20_000))
    assert desk.at(22_000) == [CloseGate()]
    # It comes back, and leaves at once, before the gate's report is in: it was dead all the same.
    assert desk.at(22_500, *both(22_500), Finish(EndCode.LEFT)) == []
    assert desk.at(22_500, GateClosed(22_000, 0)) == [
        CloseSegment(0, 22_000, 10_000),
        End(EndCode.LEFT, 10_000),
    ]


def test_a_refusal_after_the_finish_tells_the_finish():
    desk = Desk()
    assert desk.at(0, *both(0)) == [OpenSegment()]
    assert desk.at(0, Finish(EndCode.LEFT)) == []
    assert desk.at(5, SegmentRefused(EndCode.REVOKED)) == [End(EndCode.LEFT, 0)]


def test_a_packet_from_the_future_is_one_of_now(desk):
    desk.at(1_000, Alive("host", 1_000), Alive("payer", 99_000_000))
    desk.at(10_000, Alive("host", 10_000))
    assert desk.at(13_000) == [CloseGate()]


def test_little_time_added_near_the_end_does_not_warn_again(desk):
    events = [desk.at(at_ms, *both(at_ms)) for at_ms in range(0, 15 * MINUTE - 50_000, 2_000)]
    assert sum(len(effects) for effects in events) == 2
    assert desk.at(15 * MINUTE - 50_000, *both(15 * MINUTE - 50_000), Extended(5_000)) == [
        OpenGate(15 * MINUTE + 5_000)
    ]


def test_first_packet_told_only_by_the_gates_report_counts(desk):
    desk = Desk()
    desk.at(0, *both(0))
    desk.at(0, SegmentOpened())
    assert desk.at(3_000, *both(3_000), Finish(EndCode.LEFT)) == [CloseGate()]
    assert desk.at(3_001, GateClosed(3_000, 1_000)) == [
        CloseSegment(1_000, 3_000, 2_000),
        End(EndCode.LEFT, 2_000),
    ]


def test_a_lease_that_ran_out_before_the_gate_was_asked_for_does_not_hold_up_the_end():
    desk = Desk()
    desk.at(1_000, *both(1_000))
    desk.at(1_000, SegmentOpened())
    desk.at(2_000, *both(2_000), Finish(EndCode.SHUTDOWN))
    assert desk.at(2_000, GateClosed(500, None))[-1] == End(EndCode.SHUTDOWN, 0)


def test_after_the_end_nothing_is_asked_for(desk):
    desk.at(1_000, *both(1_000), Finish(EndCode.LEFT))
    desk.at(1_000, GateClosed(1_000, 0))
    assert desk.session.ended
    assert desk.at(2_000, *both(2_000), Extended(5_000), Finish(EndCode.KICKED), SegmentOpened()) == []
    assert desk.session.next_deadline() is None
    assert desk.session.view(2_000) == Show("ended", None, 15 * MINUTE - 1_000, None)
