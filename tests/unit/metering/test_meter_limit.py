"""At the limit: the cut, the doubt about a silent leg, time added, warnings."""

import pytest

from metering.errors import MeterError
from metering.events import End, EndCode, Forwarding, GateClosed, OpenGate, SegmentOpened
from metering.session import Session, recovered_used_ms
from tests.unit.metering.story import Story, tell


def test_used_up_at_the_limit_when_both_were_heard_just_now():
    tell("""
        pass 15:00
        payer alive
        host alive
        tick 15:00
        expect ended used_up
        expect used 15:00
        expect forwarded 15:00
        expect left 00:00
    """)


def test_earlier_stays_count():
    tell("""
        pass 15:00
        used 14:00
        payer alive
        host alive
        tick 59s
        expect ended no
        tick 1s
        expect ended used_up
        expect forwarded 01:00
    """)


def test_a_pass_without_anything_left_ends_at_once():
    tell("pass 15:00\nused 15:00\nexpect ended used_up\nexpect used 15:00")


def test_a_leg_silent_at_the_limit_that_comes_back_had_used_it_up():
    tell("""
        pass 15:00
        payer alive
        host alive
        tick 14:55
        payer silent
        tick 5s
        expect state holding connecting
        expect forwarded 15:00
        tick 6s
        expect ended no
        payer alive
        expect ended used_up
        expect used 15:00
    """)


def test_a_leg_silent_at_the_limit_that_proves_dead_gets_the_rest_back():
    tell("""
        pass 15:00
        payer alive
        host alive
        tick 14:55
        host silent
        tick 5s
        expect state holding connecting
        tick 7s
        expect state paused host_away
        expect used 14:55
        expect left 00:05
        tick 60s
        host alive
        expect state counting
        tick 5s
        expect ended used_up
        expect used 15:00
        expect forwarded 15:05
    """)


def test_a_payer_without_budget_gets_nothing_back_at_the_limit():
    tell("""
        pass 60:00
        forgiven 01:00
        payer alive
        host alive
        tick 59:55
        payer silent
        tick 17s
        expect ended used_up
        expect used 60:00
    """)


def test_time_added_while_counting_moves_the_end_and_keeps_the_media():
    story = tell("""
        pass 15:00
        payer alive
        host alive
        tick 10:00
        add 15:00
        expect left 20:00
        expect segments 0
        tick 15:00
        expect state counting
        tick 05:00
        expect ended used_up
        expect used 30:00
        expect segments 1
    """)
    assert [effect.allow_ms for effect in story.effects if isinstance(effect, OpenGate)] == [
        900_000,
        1_800_000,
    ]


def test_time_added_while_holding_resumes():
    tell("""
        pass 15:00
        payer alive
        host alive
        tick 14:57
        payer silent
        tick 3s
        expect state holding connecting
        add 15:00
        expect state counting
        payer alive
        tick 01:00
        finish left
        expect used 16:00
        expect segments 2
    """)


def test_time_taken_back_beyond_what_was_used_ends_the_session():
    story = Story("pass 30:00\npayer alive\nhost alive\ntick 20:00").run()
    from metering.events import Extended

    story.tell(Extended(-900_000))
    assert story.ended == End(EndCode.USED_UP, 900_000)


def test_an_end_while_holding_follows_the_ordinary_rule():
    tell("""
        pass 15:00
        payer alive
        host alive
        tick 14:58
        payer silent
        tick 2s
        finish left
        expect ended left
        expect used 15:00
    """)
    tell("""
        pass 15:00
        payer alive
        host alive
        tick 14:54
        payer silent
        tick 6s
        finish left
        expect used 14:54
    """)


def test_warnings_once_each_and_again_after_time_was_added():
    tell("""
        pass 15:00
        payer alive
        host alive
        tick 599900ms
        expect warned nothing
        tick 100ms
        expect warned 05:00
        payer silent
        tick 12s
        payer alive
        tick 04:00
        expect warned 01:00
        add 10:00
        tick 06:30
        expect warned 05:00
        tick 04:00
        expect warned 01:00
    """)


def test_who_comes_in_below_a_mark_is_told_only_when_the_end_is_near():
    tell(
        "pass 05:00\npayer alive\nhost alive\ntick 1s\nexpect warned nothing\ntick 04:00\nexpect warned 01:00"
    )
    tell(
        "pass 15:00\nused 14:20\npayer alive\nhost alive\nexpect warned 00:40\ntick 30s\nexpect warned nothing"
    )


def test_a_pass_that_becomes_unlimited_while_counting_goes_on():
    tell("pass 15:00\npayer alive\nhost alive\ntick 14:00\nadd unlimited\ntick 60:00\nexpect state counting")


def test_a_stop_reported_a_moment_before_the_limit_is_the_limit():
    story = Story("pass 15:00\npayer alive\nhost alive\ntick 14:59").run()
    story.gate.allow_ms = 900_000 - 1
    for leg in ("payer", "host"):
        story._leg(leg, "alive")
    story.do_tick("1s")
    assert story.ended == End(EndCode.USED_UP, 900_000)


def test_reports_about_an_earlier_gate_change_nothing():
    story = Story(
        "pass 15:00\npayer alive\nhost alive\ntick 60s\nhost silent\ntick 12s\nhost alive\ntick 5s"
    ).run()
    before = list(story.effects)
    story.tell(GateClosed(story.now_ms - 17_000, story.now_ms - 77_000))
    story.tell(Forwarding(story.now_ms - 77_000))
    story.tell(SegmentOpened())
    assert story.effects == before


def test_a_gate_report_that_forgot_its_first_packet_does_not_make_the_stay_free():
    story = Story("pass 15:00\npayer alive\nhost alive\ntick 60s").run()
    story.gate.first_ms = None
    story.do_finish("left")
    assert story.session.used_ms == 60_000


@pytest.mark.parametrize(
    ("started", "beat", "silent", "left", "used"),
    [
        (None, 9_000, None, 5_000, 0),
        (1_000, 9_000, None, 60_000, 8_000),
        (1_000, 9_000, 4_000, 60_000, 3_000),
        (1_000, 9_000, 500, 60_000, 0),
        (1_000, 9_000, None, 5_000, 5_000),
        (1_000, 900, None, 5_000, 0),
        (1_000, 9_000, 12_000, None, 8_000),
    ],
)
def test_a_crash_costs_up_to_the_last_proof(started, beat, silent, left, used):
    assert recovered_used_ms(started, beat, silent, left) == used


def test_figures_below_zero_are_the_callers_mistake():
    with pytest.raises(MeterError):
        Session("ses_1", limit_ms=-1, used_ms=0, purchased_ms=None)
