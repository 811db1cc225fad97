"""What a subscriber sees is one unbroken stream of its own, whatever was withheld from it."""

from mediaserver.forwarder import CACHE_PACKETS, RESENDS_PER_SECOND_MAX
from mediaserver.rtcp import SenderReport

from .fanning import MS


def test_headers_are_rewritten_and_the_payload_is_not(stage):
    _, inbox = stage.subscribe(ssrc=77, payload_type=45, first_number=500)
    stage.send(70000, payload=b"frame", marker=True)
    (packet,) = inbox.packets
    assert (packet.ssrc, packet.payload_type, packet.sequence) == (77, 45, 500)
    assert (packet.timestamp, packet.marker, packet.payload) == (700000, True, b"frame")


def test_loss_upstream_is_visible_downstream(stage):
    _, inbox = stage.subscribe()
    stage.send(1, 2, 5)
    assert inbox.numbers == [100, 101, 104]


def test_a_late_packet_takes_the_number_that_was_kept_for_it(stage):
    _, inbox = stage.subscribe()
    stage.send(1, 2, 5, 3)
    assert inbox.numbers == [100, 101, 104, 102]


def test_packets_from_before_the_subscription_are_not_sent(stage):
    stage.send(10, 12)
    _, inbox = stage.subscribe()
    stage.send(11, 13)
    assert inbox.numbers == [100]


def test_sixteen_bits_wrap(stage):
    _, inbox = stage.subscribe(first_number=65535)
    stage.send(1, 2)
    assert inbox.numbers == [65535, 0]


def test_withheld_packets_leave_no_gap_and_never_come_late(stage):
    gate = stage.gate()
    subscription, inbox = stage.subscribe(gate)
    gate.open(None)
    stage.send(1, 2, 4)
    gate.close(stage.now_ns)
    stage.forwarder.recheck(subscription)
    stage.send(5, 6)
    gate.open(None)
    stage.send(8)
    assert inbox.numbers == [100, 101, 103, 104]
    stage.send(7)  # was not yet passing
    stage.send(5)  # was withheld
    stage.send(3)  # belongs to before: its number was kept
    assert inbox.numbers == [100, 101, 103, 104, 102]


def test_every_beginning_and_resumption_asks_for_a_keyframe_once(stage):
    gate = stage.gate()
    subscription, _ = stage.subscribe(gate)
    stage.send(1, 2)
    assert stage.keyframes == 0
    gate.open(None)
    stage.send(3, 4)
    assert stage.keyframes == 1
    gate.close(stage.now_ns)
    stage.forwarder.recheck(subscription)
    stage.send(5)
    gate.open(None)
    stage.send(6, 7)
    assert stage.keyframes == 2


def test_a_recheck_that_changes_nothing_leaves_the_numbers_alone(stage):
    gate = stage.gate()
    gate.open(None)
    subscription, inbox = stage.subscribe(gate)
    stage.send(1)
    stage.forwarder.recheck(subscription)
    stage.send(3, 2)
    assert inbox.numbers == [100, 102, 101]
    assert stage.keyframes == 1


def test_a_nack_is_answered_by_rtx_with_its_own_numbers(stage):
    subscription, inbox = stage.subscribe(first_number=100, rtx_number=40)
    stage.send(1, 2, 3, payload=b"media")
    stage.forwarder.resend(stage.fanout, subscription, [101, 102])
    again = inbox.packets[3:]
    assert [(packet.ssrc, packet.payload_type, packet.sequence) for packet in again] == [
        (2000, 97, 40),
        (2000, 97, 41),
    ]
    assert [packet.payload for packet in again] == [b"\0\x65media", b"\0\x66media"]
    assert [packet.timestamp for packet in again] == [20, 30]


def test_without_rtx_nothing_is_ever_sent_again(stage):
    subscription, inbox = stage.subscribe(rtx_payload_type=None)
    stage.send(1, 2)
    stage.forwarder.resend(stage.fanout, subscription, [100, 101])
    assert len(inbox.packets) == 2


def test_a_nack_is_mapped_back_through_former_offsets(stage):
    gate = stage.gate()
    gate.open(None)
    subscription, inbox = stage.subscribe(gate)
    stage.send(1, payload=b"one")
    gate.close(stage.now_ns)
    stage.forwarder.recheck(subscription)
    stage.send(*range(2, 10), payload=b"secret")
    gate.open(None)
    stage.send(10, payload=b"ten")
    stage.forwarder.resend(stage.fanout, subscription, [100, 101, 99, 102, 108])
    assert [packet.payload for packet in inbox.packets[2:]] == [b"\0\x64one", b"\0\x65ten"]


def test_what_the_cache_no_longer_holds_is_not_invented(stage):
    subscription, inbox = stage.subscribe(first_number=1)
    stage.send(*range(1, CACHE_PACKETS + 11))
    sent = len(inbox.packets)
    stage.forwarder.resend(stage.fanout, subscription, [1, 10, 11])
    assert [packet.payload[:2] for packet in inbox.packets[sent:]] == [b"\0\x0b"]


def test_retransmissions_are_limited_per_second(stage):
    subscription, inbox = stage.subscribe()
    stage.send(1)
    stage.forwarder.resend(stage.fanout, subscription, [100] * (RESENDS_PER_SECOND_MAX + 50))
    assert len(inbox.packets) == 1 + RESENDS_PER_SECOND_MAX
    stage.now_ns += 1000 * MS
    stage.forwarder.resend(stage.fanout, subscription, [100])
    assert len(inbox.packets) == 2 + RESENDS_PER_SECOND_MAX


def test_a_senders_report_reaches_subscribers_in_their_own_numbers(stage):
    _, inbox = stage.subscribe(ssrc=55)
    stage.send(1, 2, payload=b"12345")
    stage.forwarder.report(stage.fanout, SenderReport(9, 1 << 40, 20, 1000, 99999))
    assert inbox.control[0].sender_reports == [SenderReport(55, 1 << 40, 20, 2, 10)]


def test_a_newcomer_gets_the_last_report_with_its_first_packet(stage):
    stage.forwarder.report(stage.fanout, SenderReport(9, 1 << 40, 20, 1000, 99999))
    _, inbox = stage.subscribe(ssrc=55)
    stage.send(1, 2)
    assert [report for control in inbox.control for report in control.sender_reports] == [
        SenderReport(55, 1 << 40, 20, 0, 0)
    ]


def reports(inboxes):
    return [[r.ntp for control in inbox.control for r in control.sender_reports] for inbox in inboxes]


def test_a_crowd_gets_the_senders_reports_in_turn(stage):
    """However often the publisher reports, everybody hears it every four seconds, and never all at once."""
    inboxes = [stage.subscribe(ssrc=1000 + n)[1] for n in range(40)]
    stage.send(1, 2, marker=True)
    at_once = []
    for n in range(100):
        stage.now_ns += 160 * MS
        before = sum(map(len, reports(inboxes)))
        stage.forwarder.report(stage.fanout, SenderReport(9, n + 1, 20, 1000, 99999))
        at_once.append(sum(map(len, reports(inboxes))) - before)
    assert at_once[:2] == [40, 40], "whoever begins gets two soon"
    assert max(at_once[2:]) == 2
    counts = [len(seen) for seen in reports(inboxes)]
    assert all(2 + 3 <= count <= 2 + 6 for count in counts)
    assert all(seen == sorted(seen) for seen in reports(inboxes))


def test_whoever_has_gone_gets_no_more_reports(stage):
    subscription, inbox = stage.subscribe(ssrc=55)
    stage.send(1, 2)
    stage.forwarder.remove(stage.fanout, subscription)
    stage.forwarder.report(stage.fanout, SenderReport(9, 1, 20, 1000, 99999))
    assert reports([inbox]) == [[]]


def test_what_could_not_be_sent_is_not_counted(stage):
    subscription, inbox = stage.subscribe()
    inbox.accepting = False
    stage.send(1)
    assert stage.counted(subscription) == (0, 0, 0)
