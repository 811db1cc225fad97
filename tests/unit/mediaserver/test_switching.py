"""A subscription goes over from one encoding of a picture to another: what its decoder sees is one unbroken stream."""

import itertools
import random

import pytest

from mediaserver import rtcp
from mediaserver.encoding import SILENT_NS
from mediaserver.events import TrackInfo
from mediaserver.forwarder import Splice, Subscription
from mediaserver.negotiation import OFFERED_CODECS, IncomingMedia
from mediaserver.payload import parse_vp8
from mediaserver.publication import Publication
from mediaserver.rtcp import SenderReport
from mediaserver.rtp import RtpPacket

from .fanning import MS, Inbox, Mailbox

FRAME_MS = 50
SECOND_NTP = 1 << 32
KEYFRAME_HEAD = b"\x00\x00\x00\x9d\x01\x2a"


def vp8(ids, *, first=True, key=False, wide=True, size=(0, 0)):
    picture, tl0, key_index = ids
    number = (picture & 0x7FFF | 0x8000).to_bytes(2, "big") if wide else bytes([picture & 0x7F])
    head = KEYFRAME_HEAD + size[0].to_bytes(2, "little") + size[1].to_bytes(2, "little") if key else b"\x01"
    descriptor = (
        bytes([0x90 if first else 0x80, 0xF0]) + number + bytes([tl0 & 0xFF, 0x20 | key_index & 0x1F])
    )
    return descriptor + (head if first else b"rest")


class Sender:
    """One encoding as its sender makes it: SSRC, numbers, timestamps and ids of its own."""

    def __init__(self, encoding, ssrc, sequence, timestamp, ids=(0, 0, 0), *, wide=True):
        self.encoding, self.ssrc, self.sequence, self.timestamp = encoding, ssrc, sequence, timestamp
        self.ids, self.wide = ids, wide

    def next_ids(self, *, key):
        picture, tl0, key_index = self.ids
        self.ids = (picture + 1, tl0 + 1, key_index + key)
        return self.ids


class Show:
    """One publication in two encodings and one viewer."""

    def __init__(self, stage, codec="VP8", low=(11, 100, 5000), high=(22, 900, 77_000), **more):
        self.stage, self.codec, self.control, self.retaken = stage, codec, [], []
        media = IncomingMedia("1", "video", True, OFFERED_CODECS[codec], (), {}, 1, 2, None, ("l", "h"), 3, 4)
        self.publication = Publication(
            1, TrackInfo("1", "video", "host", "camera"), media,
            forwarder=stage.forwarder, cname="host", own_ssrc=1,
            send_rtcp=lambda data: self.control.append(rtcp.parse(data)), retake=self.retaken.append,
        )  # fmt: skip
        first, second = self.publication.encodings
        self.low, self.high = Sender(first, *low, **more), Sender(second, *high, **more)
        self.began_ns = stage.now_ns

    def subscribe(self, *gates, ssrc=1000):
        inbox = Mailbox(self.stage.forwarder, self.stage.port) if self.stage.native else Inbox()
        self.stage.inboxes.append(inbox)
        to = Subscription(ssrc, 96, gates, inbox, 65530, rtx_ssrc=ssrc + 1000, rtx_payload_type=97)
        self.publication.add(to)
        return to, inbox

    def picture(self, *senders, key=False, packets=2, lose=()):
        """The same picture in each of the encodings, FRAME_MS after the one before. Returns what was lost."""
        self.stage.now_ns += FRAME_MS * MS
        lost = []
        for sender in senders or (self.low, self.high):
            sender.timestamp += FRAME_MS * 90
            ids = sender.next_ids(key=key)
            for place in range(packets):
                sender.sequence += 1
                payload = vp8(ids, first=place == 0, key=key, wide=sender.wide)
                packet = self.packet(sender, sender.sequence, payload, marker=place == packets - 1)
                if place in lose:
                    lost.append((sender, packet))
                else:
                    self.arrive(sender, packet)
        return lost

    def packet(self, sender, sequence, payload, *, marker=False):
        payload_type = OFFERED_CODECS[self.codec].payload_type
        stamp = sender.timestamp & 0xFFFFFFFF
        return RtpPacket(marker, False, payload_type, sequence & 0xFFFF, stamp, sender.ssrc, b"", payload)

    def arrive(self, sender, packet):
        sender.encoding.receive(packet, self.stage.now_ns)
        for inbox in self.stage.inboxes:
            inbox.numbers  # noqa: B018 - read it, so that no socket overflows

    def report(self, sender, error_ms=0):
        """The sender's clock and its media time at this moment."""
        elapsed_ns = self.stage.now_ns - self.began_ns + error_ms * MS
        ntp = (1 << 62) + elapsed_ns * SECOND_NTP // 1_000_000_000
        report = SenderReport(sender.ssrc, ntp, sender.timestamp & 0xFFFFFFFF, 1, 1)
        sender.encoding.receive_report(report, self.stage.now_ns)

    def tick(self, after_ms=0):
        self.stage.now_ns += after_ms * MS
        self.publication.tick(self.stage.now_ns)

    @property
    def keyframes_asked(self):
        return [ssrc for feedback in self.control for ssrc in feedback.keyframes]

    def go(self, to, sender, **more):
        """Select, and let the keyframe come at once."""
        self.publication.select(to, sender.encoding)
        self.picture(key=True, **more)
        assert self.publication.current(to) is sender.encoding


def pictures(inbox):
    """The viewer's media packets grouped by timestamp, in the order of their numbers."""
    found = {}
    for packet in inbox.packets:
        if packet.payload_type == 96:
            found.setdefault(packet.timestamp, []).append(packet)
    return list(found.items())


def check_unbroken(inbox):
    """No number is left out or used twice; every picture is later than the one before, under the next ids."""
    numbers = [packet.sequence for packet in inbox.packets if packet.payload_type == 96]
    assert numbers == [(numbers[0] + n) & 0xFFFF for n in range(len(numbers))]
    seen = pictures(inbox)
    for (stamp, packets), (later, after) in itertools.pairwise(seen):
        assert 0 < (later - stamp) & 0xFFFFFFFF < 90_000
        one, other = parse_vp8(packets[0].payload), parse_vp8(after[0].payload)
        bits = one.picture_id_bits
        assert other.picture_id == (one.picture_id + 1) % (1 << bits)
        assert other.tl0_picture_index == (one.tl0_picture_index + 1) & 0xFF
        assert other.key_index == (one.key_index + other.keyframe) & 0x1F
        assert {parse_vp8(packet.payload).picture_id for packet in after} == {other.picture_id}


@pytest.fixture
def show(stage):
    return Show(stage)


def test_it_goes_on_with_the_present_encoding_until_a_keyframe_of_the_other_begins(show):
    to, inbox = show.subscribe()
    show.picture(key=True)
    show.publication.select(to, show.high.encoding)
    show.picture()
    assert show.publication.current(to) is show.low.encoding
    assert show.publication.target(to) is show.high.encoding
    assert len(inbox.packets) == 4
    show.picture(show.high, key=True)
    assert show.publication.current(to) is show.high.encoding
    show.picture(show.low)
    assert len(inbox.packets) == 6
    show.picture(show.high)
    check_unbroken(inbox)
    assert [parse_vp8(packet.payload).keyframe for packet in inbox.packets[::2]] == [True, False, True, False]


@pytest.mark.parametrize("wide", [True, False])
def test_numbers_times_and_ids_run_around_without_a_stumble(stage, wide):
    show = Show(
        stage, low=(11, 65530, 0xFFFFFFFF - 9000, (0x7FFD, 253, 30)), high=(22, 3, 0x80000000, (60, 9, 31)), wide=wide,
    )  # fmt: skip
    to, inbox = show.subscribe()
    show.picture(key=True)
    for sender in (show.high, show.low) * 6:
        show.go(to, sender)
        for _ in range(3):
            show.picture()
    check_unbroken(inbox)
    # Of the picture at which it went up, the small keyframe had been sent as well.
    assert len(pictures(inbox)) == 1 + 12 * 4 + 6


def test_where_both_clocks_are_known_time_goes_on_by_them(show):
    to, inbox = show.subscribe()
    show.picture(key=True)
    show.report(show.low)
    show.report(show.high)
    show.stage.now_ns += 30 * MS  # the keyframe comes late over the network
    show.go(to, show.high)
    stamps = [stamp for stamp, _ in pictures(inbox)]
    assert abs(stamps[1] - stamps[0] - FRAME_MS * 90) <= 1


def test_while_a_clock_is_unknown_time_goes_on_by_arrival(show):
    to, inbox = show.subscribe()
    show.picture(key=True)
    show.report(show.low)
    show.stage.now_ns += 30 * MS
    show.publication.select(to, show.high.encoding)
    show.picture(show.high, key=True)
    stamps = [stamp for stamp, _ in pictures(inbox)]
    assert stamps[1] - stamps[0] == (FRAME_MS + 30) * 90


def test_a_clock_that_jumps_is_not_believed(show):
    to, inbox = show.subscribe()
    show.picture(key=True)
    show.report(show.low)
    show.report(show.high, error_ms=3_600_000)
    show.publication.select(to, show.high.encoding)
    show.picture(show.high, key=True)
    stamps = [stamp for stamp, _ in pictures(inbox)]
    assert stamps[1] - stamps[0] == FRAME_MS * 90


def test_a_keyframe_of_the_picture_that_was_sent_already_comes_later_all_the_same(show):
    to, inbox = show.subscribe()
    show.picture(key=True)
    show.report(show.low)
    show.report(show.high)
    show.publication.select(to, show.high.encoding)
    show.picture(show.low)
    show.stage.now_ns -= FRAME_MS * MS
    show.picture(show.high, key=True)
    stamps = [stamp for stamp, _ in pictures(inbox)]
    assert stamps[2] - stamps[1] == 1


def test_reports_to_the_viewer_are_in_its_own_time(show):
    to, inbox = show.subscribe(ssrc=55)
    show.picture(key=True)
    show.go(to, show.high)
    show.picture()
    show.report(show.high)
    (report,) = [report for control in inbox.control for report in control.sender_reports]
    assert report.ssrc == 55
    assert report.rtp == inbox.packets[-1].timestamp
    show.report(show.low)
    assert len(inbox.control) == 1


def test_a_keyframe_is_asked_of_the_target_alone_and_again_while_it_does_not_come(show):
    to, _ = show.subscribe()
    show.picture(key=True)
    show.tick(600)
    show.control.clear()
    show.publication.select(to, show.high.encoding)
    assert show.retaken == [22]
    for _ in range(45):
        show.tick(50)
    assert show.keyframes_asked == [22, 22, 22]
    show.picture(show.high, key=True)
    for _ in range(45):
        show.tick(50)
    assert show.keyframes_asked == [22, 22, 22], "its keyframe is here"


def test_many_who_wait_for_the_same_keyframe_are_one_request_and_go_together(show):
    several = [show.subscribe(ssrc=1000 + 2 * n) for n in range(3)]
    show.picture(key=True)
    show.tick(600)
    show.control.clear()
    for to, _ in several:
        show.publication.select(to, show.high.encoding)
        show.tick(10)
    assert show.keyframes_asked == [22]
    show.picture(key=True)
    for to, inbox in several:
        assert show.publication.current(to) is show.high.encoding
        check_unbroken(inbox)


def test_while_somebody_waits_every_packet_of_the_target_is_looked_at(show):
    to, _ = show.subscribe()
    show.picture(key=True)
    assert show.high.encoding.course(22).ssrc == 22
    show.publication.select(to, show.high.encoding)
    assert show.high.encoding.course(22) is None
    assert show.low.encoding.course(11) is not None
    show.picture(key=True)
    assert show.high.encoding.course(22) is not None


@pytest.mark.parametrize("ends", ["stays", "is removed", "wants the third"])
def test_who_no_longer_waits_is_not_moved(show, ends):
    to, inbox = show.subscribe()
    show.picture(key=True)
    show.publication.select(to, show.high.encoding)
    if ends == "is removed":
        show.publication.remove(to)
    else:
        show.publication.select(to, show.low.encoding)
    assert show.high.encoding.course(22) is not None
    show.picture(key=True)
    assert len(inbox.packets) == (2 if ends == "is removed" else 4)


def test_a_keyframe_without_its_beginning_is_not_gone_to(show):
    to, inbox = show.subscribe()
    show.picture(key=True)
    show.publication.select(to, show.high.encoding)
    ((_, low), (_, high)) = show.picture(key=True, lose=(0,))
    show.arrive(show.high, high)  # too late: what follows it has passed
    show.arrive(show.low, low)
    assert show.publication.current(to) is show.low.encoding
    show.picture(key=True)
    assert show.publication.current(to) is show.high.encoding
    assert [packet.sequence for packet in inbox.packets] == [65530, 65531, 65533, 65532, 65534, 65535, 0, 1]


def test_what_was_lost_around_a_move_is_repaired_in_the_numbers_and_ids_it_had(show):
    to, inbox = show.subscribe()
    show.picture(key=True)
    lost = show.picture(show.low, packets=3, lose=(1,))
    show.publication.select(to, show.high.encoding)
    lost += show.picture(show.high, key=True, packets=3, lose=(1,))
    numbers = [65530, 65531, 65532, 65534, 65535, 1]
    assert inbox.numbers == numbers
    for sender, packet in lost:
        show.arrive(sender, packet)
    assert inbox.numbers == [*numbers, 0], (
        "the former encoding's comes when it is asked for, the new one's at once"
    )
    show.stage.forwarder.resend(to.fanout, to, [65533, 65531, 0])
    again = inbox.packets[len(numbers) + 1 :]
    assert [int.from_bytes(packet.payload[:2], "big") for packet in again] == [65533, 65531, 0]
    by_number = {packet.sequence: packet for packet in inbox.packets if packet.payload_type == 96}
    for packet in again[1:]:
        sent = by_number[int.from_bytes(packet.payload[:2], "big")]
        assert (packet.timestamp, packet.payload[2:]) == (sent.timestamp, sent.payload)
    assert again[0].timestamp == by_number[65532].timestamp
    assert parse_vp8(again[0].payload[2:]).picture_id == parse_vp8(by_number[65532].payload).picture_id


def test_a_former_encodings_packet_is_never_sent_for_one_of_the_new(show):
    to, inbox = show.subscribe()
    for _ in range(5):
        show.picture(key=True)
    show.go(to, show.high)
    sent = len(inbox.packets)
    for _ in range(200):
        show.picture(show.low)
    show.stage.forwarder.resend(to.fanout, to, [(65530 + n) & 0xFFFF for n in range(-5, 30)])
    again = [int.from_bytes(packet.payload[:2], "big") for packet in inbox.packets[sent:]]
    assert again == [(65530 + n) & 0xFFFF for n in range(sent)]


def test_packets_of_the_target_from_before_its_keyframe_never_come(show):
    to, inbox = show.subscribe()
    show.picture(key=True)
    ((_, before),) = show.picture(show.high, lose=(1,))
    show.publication.select(to, show.high.encoding)
    show.picture(show.high, key=True)
    show.arrive(show.high, before)
    assert len(inbox.packets) == 4
    check_unbroken(inbox)


def test_a_gate_that_closes_meanwhile_lets_nothing_pass_and_the_picture_goes_on_in_the_new_encoding(show):
    gate = show.stage.gate()
    gate.open(None)
    to, inbox = show.subscribe(gate)
    show.picture(key=True)
    show.publication.select(to, show.high.encoding)
    gate.close(show.stage.now_ns)
    show.stage.forwarder.recheck(to)
    show.picture(key=True)
    show.picture()
    assert len(inbox.packets) == 2
    assert show.publication.current(to) is show.high.encoding
    show.tick(1000)
    show.control.clear()
    gate.open(None)
    show.picture()
    if show.stage.native:
        show.stage.forwarder._hand_on(show.stage.forwarder.native.work())
    show.tick(500)
    assert show.keyframes_asked == [22]
    assert inbox.numbers == [65530, 65531, 65532, 65533]
    assert inbox.packets[2].timestamp > inbox.packets[1].timestamp


def test_a_picture_in_h264_goes_over_at_its_parameter_sets_and_its_payload_stays(stage):
    show = Show(stage, "H264")
    to, inbox = show.subscribe()
    show.publication.select(to, show.high.encoding)
    for sender, payload in [
        (show.low, b"\x67sps"), (show.low, b"\x7c\x85idr"), (show.high, b"\x41slice"), (show.high, b"\x67sps+"),
        (show.high, b"\x68pps"), (show.high, b"\x7c\x85idr+"), (show.low, b"\x41slice"),
    ]:  # fmt: skip
        sender.sequence += 1
        sender.timestamp += 3000 if payload[:1] != b"\x7c" and payload[:1] != b"\x68" else 0
        show.arrive(sender, show.packet(sender, sender.sequence, payload))
    assert [packet.payload for packet in inbox.packets] == [
        b"\x67sps", b"\x7c\x85idr", b"\x67sps+", b"\x68pps", b"\x7c\x85idr+",
    ]  # fmt: skip
    assert inbox.numbers == [65530, 65531, 65532, 65533, 65534]


def test_a_newcomer_begins_with_the_lowest_that_comes(show):
    show.picture(show.high, key=True)
    to, _ = show.subscribe()
    assert show.publication.current(to) is show.high.encoding
    show.picture(key=True)
    other, _ = show.subscribe(ssrc=3000)
    assert show.publication.current(other) is show.low.encoding


def test_an_encoding_that_stops_alone_is_soon_known_to_be_silent(show):
    for _ in range(10):
        show.picture(lose=(1,))
        show.tick()
    activity = []
    for _ in range(20):
        show.picture(show.low)
        show.tick()
        activity.append([encoding.is_active for encoding in show.publication.encodings])
    assert activity[5] == [True, True]
    assert activity[11] == [True, False]
    show.picture(show.high)
    assert show.high.encoding.is_active


def test_pictures_that_come_seldom_or_not_at_all_for_a_moment_are_no_silence(show):
    for turn in range(60):  # the other at a quarter of the rate
        show.picture(*([show.low, show.high] if turn % 4 == 0 else [show.low]))
        show.tick()
        assert show.high.encoding.is_active
    for _ in range(26):
        show.tick(50)
        assert [encoding.is_active for encoding in show.publication.encodings] == [True, True]
    for _ in range(8):
        show.tick(50)
    assert [encoding.is_active for encoding in show.publication.encodings] == [False, False]


def test_how_much_an_encoding_carries_is_measured_over_a_second(show):
    for _ in range(40):
        show.picture(packets=5)
        show.tick()
    assert 0.8 < show.low.encoding.bitrate_bps / (20 * 8 * (7 + 4 * 10)) < 1.2
    for _ in range(SILENT_NS // MS // FRAME_MS):
        show.picture(show.low)
        show.tick()
    assert show.high.encoding.bitrate_bps == 0


def test_the_encodings_are_in_order_of_their_size_once_it_is_known(show):
    low, high = show.publication.encodings
    for sender, size in ((show.low, (1280, 720)), (show.high, (320, 180))):
        show.arrive(sender, show.packet(sender, 7000, vp8((1, 1, 1), key=True, size=size)))
    assert show.publication.encodings == (high, low)
    assert (low.size, high.size) == ((1280, 720), (320, 180))


def test_an_encoding_that_begins_anew_goes_on_for_who_receives_it(show):
    to, inbox = show.subscribe()
    show.picture(key=True)
    show.go(to, show.high)
    again = Sender(show.high.encoding, 33, 40_000, 12, show.high.ids)
    show.picture(again, key=True)
    show.picture(again)
    check_unbroken(inbox)


@pytest.mark.parametrize("seed", range(8))
def test_whatever_is_lost_late_or_withheld_no_number_is_used_twice_and_time_never_goes_back(stage, seed):
    chance = random.Random(seed)
    show = Show(stage, low=(11, chance.randrange(1 << 16), 5, (5, 6, 7)), high=(22, 9, 1 << 31, (70, 80, 9)))
    gate = stage.gate()
    to, inbox = show.subscribe(gate)
    late, newest = [], 0
    for _ in range(150):
        act = chance.random()
        if act < 0.3:
            show.publication.select(to, chance.choice(show.publication.encodings))
        elif act < 0.4:
            gate.open(None)
        elif act < 0.43:
            gate.close(stage.now_ns)
            stage.forwarder.recheck(to)
        late += show.picture(
            key=chance.random() < 0.4, packets=3, lose=chance.choice([(), (), (0,), (1,), (0, 2)])
        )
        while late and chance.random() < 0.5:
            show.arrive(*late.pop(0))
        if chance.random() < 0.1:
            show.report(chance.choice([show.low, show.high]))
    numbers = [packet.sequence for packet in inbox.packets]
    assert len(numbers) == len(set(numbers))
    by_number = sorted(inbox.packets, key=lambda packet: (packet.sequence - 65530) & 0xFFFF)
    assert len(by_number) > 50
    for packet in by_number:
        assert (packet.timestamp - newest) & 0xFFFFFFFF < 1 << 31 or not newest
        newest = packet.timestamp


@pytest.mark.parametrize("size", range(9))
def test_a_descriptor_that_is_cut_off_is_no_harm(size):
    splice = Splice(0, 1, 1, 1)
    for payload in (vp8((5, 6, 7)), vp8((5, 6, 7), wide=False), bytes(8), b"\xff" * 8):
        changed = splice.payload(payload[:size])
        assert len(changed) == len(payload[:size])
        assert splice.payload(payload)[8:] == payload[8:]
