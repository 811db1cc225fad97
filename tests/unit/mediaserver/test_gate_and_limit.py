"""Nothing passes a closed gate, a used-up allowance or a lapsed lease; checked on every packet."""

from .fanning import MS, START_NS

START_MS = START_NS // MS


def test_a_closed_gate_lets_nothing_pass_and_an_unmetered_viewer_receives(stage):
    _, payer = stage.subscribe(stage.gate())
    _, cohost = stage.subscribe()
    stage.send(70000, 70001)
    assert payer.packets == []
    assert len(cohost.packets) == 2


def test_the_allowance_runs_from_the_first_packet_and_ends_exactly(stage):
    gate = stage.gate()
    _, payer = stage.subscribe(gate)
    gate.open(1000)
    stage.send(1, at_ms=5000)
    stage.send(2, at_ms=5999.999999)
    stage.send(3, at_ms=6000)
    assert payer.numbers == [100, 101]
    assert stage.firsts == [START_NS + 5000 * MS]
    report = gate.close(stage.now_ns + 7 * MS)
    assert report.first_forwarded_ms == START_MS + 5000
    assert report.last_forwarded_ms == START_MS + 5999
    assert report.stopped_ms == START_MS + 6000


def test_the_limit_falls_within_one_fan_out(stage):
    """The clock is read for every send: viewers late in the row are not given more."""
    gate = stage.gate()
    gate.open(10)
    _, first = stage.subscribe(gate)
    _, second = stage.subscribe(gate)
    stage.send(1, at_ms=0)
    stage.times = iter([START_NS + 9 * MS, START_NS + 10 * MS])
    stage.send(2)
    assert (len(first.packets), len(second.packets)) == (2, 1)


def test_time_is_added_to_an_open_gate_from_the_same_first_packet(stage):
    gate = stage.gate()
    _, payer = stage.subscribe(gate)
    gate.open(1000)
    stage.send(1, at_ms=0)
    gate.open(3000)
    stage.send(2, at_ms=1500)
    stage.send(3, at_ms=2999)
    stage.send(4, at_ms=3000)
    assert payer.numbers == [100, 101, 102]
    assert stage.firsts == [START_NS]


def test_time_is_added_after_the_limit_was_reached(stage):
    gate = stage.gate()
    _, payer = stage.subscribe(gate)
    gate.open(1000)
    stage.send(1, at_ms=0)
    stage.send(2, at_ms=1000)
    gate.open(2000)
    stage.send(3, at_ms=1500)
    assert payer.numbers == [100, 101]


def test_a_gate_made_stricter_holds_at_once(stage):
    gate = stage.gate()
    subscription, payer = stage.subscribe(gate)
    gate.open(None)
    stage.send(1, at_ms=0)
    gate.open(500)
    stage.forwarder.recheck(subscription)
    stage.send(2, at_ms=500)
    assert payer.numbers == [100]


def test_closing_reports_and_a_second_closing_is_empty(stage):
    gate = stage.gate()
    subscription, payer = stage.subscribe(gate)
    gate.open(None)
    stage.send(1, at_ms=10)
    report = gate.close(START_NS + 20 * MS)
    stage.forwarder.recheck(subscription)
    stage.send(2, at_ms=21)
    assert (report.first_forwarded_ms, report.last_forwarded_ms, report.stopped_ms) == (
        START_MS + 10,
        START_MS + 10,
        START_MS + 20,
    )
    assert payer.numbers == [100]
    empty = gate.close(START_NS + 30 * MS)
    assert (empty.first_forwarded_ms, empty.last_forwarded_ms) == (None, None)


def test_an_opened_gate_that_nothing_passed_reports_nothing(stage):
    gate = stage.gate()
    gate.open(1000)
    report = gate.close(START_NS + 5 * MS)
    assert report.first_forwarded_ms is None
    assert report.stopped_ms == START_MS + 5


def test_a_later_opening_starts_a_new_count(stage):
    gate = stage.gate()
    subscription, payer = stage.subscribe(gate)
    gate.open(100)
    stage.send(1, at_ms=0)
    gate.close(START_NS + 50 * MS)
    stage.forwarder.recheck(subscription)
    gate.open(100)
    stage.send(2, at_ms=1000)
    stage.send(3, at_ms=1099)
    stage.send(4, at_ms=1100)
    assert payer.numbers == [100, 101, 102]
    assert stage.firsts == [START_NS, START_NS + 1000 * MS]
    assert gate.close(stage.now_ns).first_forwarded_ms == START_MS + 1000


def test_what_a_payer_sends_passes_its_own_gate(stage):
    publishing, receiving = stage.gate(), stage.gate()
    _, payer = stage.subscribe(publishing, receiving)
    receiving.open(None)
    stage.send(1, at_ms=0)
    assert payer.packets == []
    publishing.open(1000)
    stage.send(2, at_ms=1)
    assert len(payer.packets) == 1
    stage.send(3, at_ms=1001)
    assert len(payer.packets) == 1


def test_a_lapsed_lease_stops_everybody_until_it_is_renewed(stage):
    gate = stage.gate()
    gate.open(None)
    _, payer = stage.subscribe(gate)
    _, cohost = stage.subscribe()
    stage.lease.until_ns = START_NS + 100 * MS
    stage.send(1, at_ms=99)
    stage.send(2, at_ms=100)
    stage.lease.until_ns = START_NS + 200 * MS
    stage.send(3, at_ms=101)
    assert payer.numbers == cohost.numbers == [100, 101]


def test_no_lease_no_media(stage):
    stage.lease.until_ns = 0
    _, cohost = stage.subscribe()
    stage.send(1)
    assert cohost.packets == []


def test_a_report_ends_at_the_lease_when_that_came_first(stage):
    gate = stage.gate()
    gate.open(None)
    stage.subscribe(gate)
    stage.send(1, at_ms=0)
    stage.lease.until_ns = START_NS + 40 * MS
    assert gate.close(START_NS + 90 * MS).stopped_ms == START_MS + 40


def test_a_removed_subscription_still_counts_in_the_report(stage):
    gate = stage.gate()
    gate.open(None)
    subscription, inbox = stage.subscribe(gate)
    stage.send(1, at_ms=0)
    stage.send(2, at_ms=33)
    stage.forwarder.remove(stage.fanout, subscription)
    stage.send(3, at_ms=66)
    assert len(inbox.packets) == 2
    assert inbox.control[-1].goodbyes == [1000]
    assert gate.close(stage.now_ns).last_forwarded_ms == START_MS + 33


def test_retransmissions_and_reports_pass_no_closed_gate(stage):
    gate = stage.gate()
    gate.open(100)
    subscription, payer = stage.subscribe(gate)
    stage.send(1, 2, at_ms=0)
    stage.now_ns = START_NS + 100 * MS
    stage.forwarder.resend(stage.fanout, subscription, [100])
    assert len(payer.packets) == 2
    assert payer.control == []
