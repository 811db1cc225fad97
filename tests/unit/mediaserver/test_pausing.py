"""A paused subscription is sent nothing at all, goes on without a gap, and its gates know nothing of it."""

from mediaserver.rtcp import SenderReport

from .fanning import MS, START_NS

START_MS = START_NS // MS


def test_a_pause_leaves_no_gap_in_the_numbers(stage):
    subscription, inbox = stage.subscribe()
    _, other = stage.subscribe(ssrc=1001)
    stage.send(1, 2, 4)
    stage.forwarder.set_paused(subscription, True)
    stage.send(5, 3, 6)
    stage.forwarder.set_paused(subscription, False)
    stage.send(8)
    assert inbox.numbers == [100, 101, 103, 104]
    assert other.numbers == [100, 101, 103, 104, 102, 105, 107]
    stage.send(7, 6, 5)  # not yet passing, or withheld
    stage.send(3)  # belongs to before: its number was kept
    assert inbox.numbers == [100, 101, 103, 104, 102]


def test_a_pause_in_which_nothing_came_changes_nothing(stage):
    subscription, inbox = stage.subscribe()
    stage.send(1)
    stage.forwarder.set_paused(subscription, True)
    stage.forwarder.set_paused(subscription, False)
    stage.send(3, 2)
    assert inbox.numbers == [100, 102, 101]
    assert stage.keyframes == 1


def test_going_on_asks_for_a_keyframe_and_tells_the_publishers_clock_anew(stage):
    subscription, inbox = stage.subscribe(ssrc=55)
    stage.send(1, payload=b"12345")
    stage.forwarder.set_paused(subscription, True)
    stage.send(2)
    stage.forwarder.report(stage.fanout, SenderReport(9, 1 << 40, 20, 1000, 99999))
    assert inbox.control == []
    stage.forwarder.set_paused(subscription, False)
    assert stage.keyframes == 1
    stage.send(3, 4)
    assert stage.keyframes == 2
    assert inbox.control[0].sender_reports == [SenderReport(55, 1 << 40, 20, 1, 5)]


def test_nothing_is_sent_again_while_paused_and_afterwards_what_was_sent_before(stage):
    subscription, inbox = stage.subscribe()
    stage.send(1, payload=b"one")
    stage.forwarder.set_paused(subscription, True)
    stage.forwarder.resend(stage.fanout, subscription, [100])
    stage.send(2, payload=b"withheld")
    stage.forwarder.resend(stage.fanout, subscription, [100, 101])
    assert not stage.forwarder.passing(subscription, stage.now_ns)
    assert len(inbox.packets) == 1
    stage.forwarder.set_paused(subscription, False)
    stage.send(3, payload=b"three")
    assert stage.forwarder.passing(subscription, stage.now_ns)
    stage.forwarder.resend(stage.fanout, subscription, [100, 101, 99, 102])
    assert [packet.payload for packet in inbox.packets[2:]] == [b"\0\x64one", b"\0\x65three"]


def test_a_subscription_can_begin_paused(stage):
    subscription, inbox = stage.subscribe(paused=True)
    stage.send(1, 2)
    assert (inbox.packets, stage.keyframes) == ([], 0)
    stage.forwarder.set_paused(subscription, False)
    stage.send(3)
    assert inbox.numbers == [100]


def test_the_allowance_does_not_begin_while_everything_is_paused(stage):
    gate = stage.gate()
    gate.open(1000)
    subscription, payer = stage.subscribe(gate, paused=True)
    stage.send(1, at_ms=0)
    assert (payer.packets, stage.firsts, gate.is_running) == ([], [], False)
    stage.forwarder.set_paused(subscription, False)
    stage.send(2, at_ms=700)
    stage.send(3, at_ms=1699)
    stage.send(4, at_ms=1700)
    assert payer.numbers == [100, 101]
    assert stage.firsts == [START_NS + 700 * MS]


def test_a_pause_neither_stops_nor_starts_the_allowance_anew(stage):
    gate = stage.gate()
    gate.open(1000)
    picture, shown = stage.subscribe(gate)
    _, heard = stage.subscribe(gate, ssrc=1001)
    stage.send(1, at_ms=0)
    stage.forwarder.set_paused(picture, True)
    stage.send(2, at_ms=400)
    stage.forwarder.set_paused(picture, False)
    stage.send(3, at_ms=999)
    stage.send(4, at_ms=1000)
    assert (shown.numbers, heard.numbers) == ([100, 101], [100, 101, 102])
    assert stage.firsts == [START_NS]
    report = gate.close(stage.now_ns)
    assert (report.first_forwarded_ms, report.last_forwarded_ms, report.stopped_ms) == (
        START_MS,
        START_MS + 999,
        START_MS + 1000,
    )


def test_going_on_opens_no_closed_gate_and_revives_no_lease(stage):
    gate = stage.gate()
    gate.open(None)
    subscription, payer = stage.subscribe(gate)
    stage.send(1)
    stage.forwarder.set_paused(subscription, True)
    gate.close(stage.now_ns)
    stage.forwarder.recheck(subscription)
    stage.forwarder.set_paused(subscription, False)
    stage.send(2)
    gate.open(None)
    stage.lease.until_ns = 0
    stage.forwarder.recheck(subscription)
    stage.send(3)
    assert payer.numbers == [100]
    stage.lease.until_ns = 1 << 61
    stage.send(4)
    assert payer.numbers == [100, 101]


def test_a_removed_subscription_says_goodbye_even_when_paused(stage):
    subscription, inbox = stage.subscribe()
    stage.send(1)
    stage.forwarder.set_paused(subscription, True)
    stage.forwarder.remove(stage.fanout, subscription)
    assert inbox.control[-1].goodbyes == [1000]
