"""When the clock runs, when it stands still, and what is given back."""

from metering.events import Alive
from metering.session import State
from tests.unit.metering.story import Story, tell


def test_counts_from_the_first_packet_and_stops_at_the_end():
    tell("""
        pass 30:00
        expect state waiting connecting
        payer alive
        expect state waiting host_away
        host alive
        expect state counting
        tick 30s
        expect left 29:30
        finish left
        expect ended left
        expect used 00:30
        expect forwarded 00:30
        expect segments 1
    """)


def test_nothing_counts_while_no_packet_passes():
    tell("""
        pass 30:00
        media waits
        payer alive
        host alive
        tick 10:00
        expect state waiting connecting
        media flows
        tick 05:00
        finish left
        expect used 05:00
    """)


def test_an_open_gate_that_nothing_passed_costs_nothing():
    tell("""
        pass 30:00
        media waits
        payer alive
        host alive
        tick 01:00
        host silent
        tick 12s
        expect state waiting host_away
        expect segments 1
        expect used 00:00
    """)


def test_a_payer_who_vanishes_pays_until_the_last_packet():
    tell("""
        pass 60:00
        payer alive
        host alive
        tick 10:00
        payer silent
        tick 11s
        expect state counting
        tick 1s
        expect state paused payer_away
        expect used 10:00
        expect left 50:00
        expect forgiven 00:12
        expect forwarded 10:12
        tick 10:00
        expect used 10:00
        payer alive
        expect state counting
        tick 05:00
        finish left
        expect used 15:00
        expect segments 2
    """)


def test_a_host_who_vanishes_costs_the_payer_nothing_however_often():
    again = """
        host silent
        tick 12s
        expect state paused host_away
        host alive
        tick 48s
    """
    story = tell(
        "pass 10:00\npayer alive\nhost alive\ntick 48s\n" + again * 10 + "finish left\nexpect forgiven 00:00"
    )
    assert story.session.used_ms == 11 * 48_000


def test_a_short_silence_counts():
    tell("""
        pass 30:00
        payer alive
        host alive
        tick 60s
        payer silent
        tick 11s
        payer alive
        tick 60s
        finish left
        expect used 02:11
        expect segments 1
    """)


def test_the_payers_gift_is_sixty_seconds_per_purchased_hour():
    vanish = """
        payer silent
        tick 12s
        payer alive
    """
    tell("pass 60:00\npayer alive\nhost alive\n" + vanish * 5 + "expect used 00:00\nexpect forgiven 01:00")
    tell("pass 60:00\npayer alive\nhost alive\n" + vanish * 6 + "expect used 00:12\nexpect forgiven 01:00")
    tell("pass 30:00\npayer alive\nhost alive\n" + vanish * 3 + "expect used 00:06\nexpect forgiven 00:30")


def test_the_gift_is_counted_over_the_whole_pass_and_grows_with_it():
    tell("""
        pass 60:00
        forgiven 00:55
        payer alive
        host alive
        tick 01:00
        payer silent
        tick 12s
        expect used 01:07
        expect forgiven 01:00
        add 60:00
        payer alive
        tick 48s
        payer silent
        tick 12s
        expect used 01:55
        expect forgiven 01:12
    """)


def test_an_unlimited_pass_never_ends_and_gives_back_whole():
    tell("""
        pass unlimited
        payer alive
        host alive
        tick 300:00
        payer silent
        tick 12s
        expect used 300:00
        expect left unlimited
        expect warned nothing
        payer alive
        expect state counting
        finish host_ended
        expect ended host_ended
    """)


def test_when_both_vanish_the_clock_goes_back_to_the_earlier_one():
    # The host was silent first: what lies between the two silences is nobody's fault but the host's.
    tell("""
        pass 60:00
        payer alive
        host alive
        tick 10:00
        host silent
        tick 6s
        payer silent
        tick 6s
        expect used 10:00
        expect forgiven 00:00
        expect state paused host_away
        tick 6s
        expect state paused host_away
        host alive
        expect state paused payer_away
    """)


def test_an_ordinary_end_puts_back_only_a_silence_above_five_seconds():
    tell(
        "pass 60:00\npayer alive\nhost alive\ntick 60s\npayer silent\ntick 5s\nfinish left\nexpect used 01:05"
    )
    tell(
        "pass 60:00\npayer alive\nhost alive\ntick 60s\npayer silent\ntick 6s\nfinish left\nexpect used 01:00"
    )
    tell(
        "pass 60:00\npayer alive\nhost alive\ntick 60s\nhost silent\ntick 6s\nfinish left\nexpect used 01:00"
    )


def test_a_lost_lease_stops_the_count_when_it_ran_out_not_when_it_was_noticed():
    tell("""
        pass 60:00
        payer alive
        host alive
        tick 60s
        lease lost 2s ago
        expect used 00:58
        expect state paused server
        tick 60s
        expect used 00:58
        lease back
        expect state counting
        tick 10s
        finish left
        expect used 01:08
    """)


def test_a_repeated_lease_loss_after_the_renewal_changes_nothing():
    tell("""
        pass 60:00
        payer alive
        host alive
        tick 60s
        lease lost
        tick 10s
        lease back
        lease lost 10s ago
        expect state counting
        lease back
        expect state counting
    """)


def test_a_gate_that_closes_by_itself_opens_again_only_after_fresh_packets_of_both():
    tell("""
        pass 60:00
        payer alive
        host alive
        tick 60200ms
        media dies
        expect used 01:00.200
        expect state paused connecting
        expect segments 1
        tick 300ms
        expect state counting
    """)


def test_the_slow_database_and_what_happens_meanwhile():
    start = "pass 60:00\ndatabase slow\npayer alive\nhost alive\nexpect state waiting connecting\n"
    tell(start + "database answers\nexpect state counting\ntick 5s\nfinish left\nexpect used 00:05")
    tell(
        start
        + "finish left\nexpect ended no\ndatabase answers\nexpect ended left\nexpect segments 1\nexpect used 00:00"
    )
    tell(
        start + "payer silent\ntick 12s\ndatabase answers\nexpect state waiting payer_away\nexpect segments 1"
    )
    tell(start + "lease lost\ndatabase answers\nexpect state waiting server\nlease back\nexpect segments 1")


def test_a_refused_segment_ends_the_session_with_its_code():
    tell("""
        pass 60:00
        database refuses replaced
        payer alive
        host alive
        expect ended replaced
        expect segments 0
    """)


def test_reports_only_at_deadlines_and_late_do_not_pause_a_living_call():
    # Both legs send all the time; the shell asks for them only when a deadline came, 20 ms late, one after the other.
    story = Story("pass 60:00\npayer alive\nhost alive").run()
    session, end_ms = story.session, story.now_ms + 600_000
    while (deadline_ms := session.next_deadline() or end_ms) < end_ms:
        story.now_ms = deadline_ms + 20
        for leg in ("payer", "host"):
            story.tell(Alive(leg, story.now_ms - 1))
        session.handle_timer(story.now_ms)
        story._drain()
    assert story.segments == []
    assert session.state is State.COUNTING
