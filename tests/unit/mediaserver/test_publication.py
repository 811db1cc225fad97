"""A published track on its way in: what is missing is asked for, repairs fit in, a new source goes on."""

from dataclasses import replace

import pytest

from mediaserver import rtcp
from mediaserver.arrivals import ArrivalLog
from mediaserver.events import TrackInfo
from mediaserver.negotiation import OFFERED_CODECS, IncomingMedia
from mediaserver.publication import Publication
from mediaserver.rtcp import SenderReport
from mediaserver.rtp import RtpPacket

from .fanning import MS, Stage

VIDEO = IncomingMedia("1", "video", True, OFFERED_CODECS["VP8"], (5,), {6: 5}, 1, 2)


class Track:
    def __init__(self, kind="video"):
        self.stage = Stage()
        self.control = []
        self.publication = Publication(
            1,
            TrackInfo("1", kind, "host", "camera" if kind == "video" else "microphone"),
            VIDEO,
            forwarder=self.stage.forwarder,
            cname="host",
            own_ssrc=1,
            send_rtcp=lambda data: self.control.append(rtcp.parse(data)),
        )
        (self.encoding,) = self.publication.encodings
        self.stage.fanout = self.encoding.fanout
        self.subscription, self.inbox = self.stage.subscribe(first_number=100)

    def receive(self, *sequences, ssrc=5, payload_type=96, timestamp=None):
        for sequence in sequences:
            stamp = sequence * 3000 if timestamp is None else timestamp
            self.encoding.receive(
                RtpPacket(False, False, payload_type, sequence & 0xFFFF, stamp & 0xFFFFFFFF, ssrc, b"", b"x"),
                self.stage.now_ns,
            )

    def repair(self, sequence, ssrc=6, payload_type=97):
        packet = RtpPacket(
            False, False, payload_type, 1, sequence * 3000, ssrc, b"", sequence.to_bytes(2, "big") + b"x"
        )
        self.encoding.receive_repair(packet, 5, self.stage.now_ns)

    def tick(self, after_ms=50):
        self.stage.now_ns += after_ms * MS
        self.publication.tick(self.stage.now_ns)

    @property
    def nacks(self):
        return [lost for feedback in self.control for ssrc, lost in feedback.nacks if ssrc == 5]

    @property
    def keyframes(self):
        return [ssrc for feedback in self.control for ssrc in feedback.keyframes]


@pytest.fixture
def track():
    return Track()


def test_what_is_missing_is_asked_for_at_once_and_again_up_to_five_times(track):
    track.receive(10, 11, 14)
    assert track.nacks == [[12, 13]]
    asked_ms = [0]
    for at_ms in range(50, 3000, 50):
        before = len(track.nacks)
        track.tick(50)
        asked_ms += [at_ms] * (len(track.nacks) - before)
    assert track.nacks == [[12, 13]] * 5
    assert asked_ms == [0, 100, 300, 600, 1000]


@pytest.fixture
def watched(track):
    """Its viewer has had the keyframe to begin with."""
    track.receive(9)
    track.tick(600)
    track.control.clear()
    return track


def test_what_was_asked_for_in_vain_is_given_up_for_a_keyframe(watched):
    track = watched
    track.receive(10, 12)
    for _ in range(29):
        track.tick(50)
    assert track.keyframes == []
    track.tick(50)
    assert track.keyframes == [5]
    track.receive(11)
    assert track.inbox.numbers == [100, 101, 103], "whoever decodes has gone on"
    for _ in range(40):
        track.tick(50)
    assert track.keyframes == [5]


def test_what_comes_late_needs_no_keyframe(watched):
    track = watched
    track.receive(10, 12)
    for _ in range(25):
        track.tick(50)
    track.repair(11)
    for _ in range(40):
        track.tick(50)
    assert track.keyframes == []


def test_nobody_watches_and_no_keyframe_is_asked_for(watched):
    track = watched
    track.receive(10, 12)
    track.stage.forwarder.remove(track.encoding.fanout, track.subscription)
    for _ in range(60):
        track.tick(50)
    assert track.keyframes == []


def test_a_retransmission_fits_into_its_place_and_ends_the_asking(track):
    track.receive(10, 12)
    track.repair(11)
    assert track.inbox.numbers == [100, 102, 101]
    assert track.inbox.packets[2].payload == b"x"
    track.tick(200)
    assert track.nacks == [[11]]


def test_a_packet_that_is_not_missing_is_not_sent_twice(track):
    track.receive(10, 11)
    track.receive(11)
    track.repair(10)
    assert track.inbox.numbers == [100, 101]


def test_sound_is_never_asked_for_again():
    track = Track("audio")
    track.receive(10, 15)
    track.tick()
    assert track.nacks == []


def test_a_great_loss_asks_for_a_keyframe_instead(track):
    track.receive(10, 1000)
    track.tick()
    assert track.nacks == []
    assert track.keyframes == [5]


def test_keyframe_requests_are_merged_to_one_in_500_ms(track):
    track.receive(1)
    for _ in range(20):
        track.encoding.want_keyframe()
        track.tick(50)
    assert len(track.keyframes) == 2


def test_another_payload_type_is_not_forwarded(track):
    track.receive(1, payload_type=100)
    assert track.inbox.packets == []


def test_a_new_ssrc_continues_numbers_and_time(track):
    track.receive(10, 11)
    track.stage.now_ns += 1000 * MS
    track.receive(40000, ssrc=9, timestamp=123)
    track.receive(40001, ssrc=9, timestamp=123 + 3000)
    assert track.inbox.numbers == [100, 101, 102, 103]
    stamps = [packet.timestamp for packet in track.inbox.packets]
    assert stamps[2:] == [11 * 3000 + 90000, 11 * 3000 + 93000]
    track.receive(12, ssrc=5)  # the former one has had its day
    assert len(track.inbox.packets) == 4
    assert track.encoding._source.ssrc == 9


def test_a_former_ssrc_comes_back_when_a_description_names_it(track):
    track.receive(10)
    track.receive(500, ssrc=9)
    track.publication.renegotiate(VIDEO)
    track.receive(11, ssrc=5)
    assert track.inbox.numbers == [100, 101, 102]


def test_a_report_of_the_sender_follows_the_shifted_time(track):
    track.receive(10)
    track.receive(5, ssrc=9, timestamp=0)
    track.encoding.receive_report(SenderReport(9, 7, 600, 1, 1), track.stage.now_ns)
    track.encoding.receive_report(SenderReport(5, 7, 600, 1, 1), track.stage.now_ns)
    (feedback,) = track.inbox.control
    assert feedback.sender_reports[0].rtp == track.inbox.packets[-1].timestamp + 600


def test_receiver_reports_tell_loss_and_the_time_since_the_senders_report(track):
    track.receive(10, 11, 13)
    track.encoding.receive_report(SenderReport(5, 0x1122334455667788, 0, 1, 1), track.stage.now_ns)
    block = track.encoding.report_block(track.stage.now_ns + 500 * MS)
    assert (block.ssrc, block.packets_lost, block.fraction_lost) == (5, 1, 64)
    assert block.highest_sequence == 13
    assert block.last_sender_report == 0x33445566
    assert block.delay_since_last == 32768
    assert track.encoding.report_block(track.stage.now_ns).fraction_lost == 0


def test_sequence_numbers_wrap_without_a_loss(track):
    track.receive(65534, 65535, 65536, 65537)
    assert track.inbox.numbers == [100, 101, 102, 103]
    assert track.nacks == []
    assert track.encoding.report_block(0).highest_sequence == 65537


def test_screen_and_camera_are_separate_streams(track):
    camera = track.publication.stream_id
    track.publication.info = replace(track.publication.info, source="screen")
    assert track.publication.stream_id != camera


def test_arrivals_are_reported_once_in_order_and_across_the_wrap():
    log = ArrivalLog()
    for n, sequence in enumerate([65534, 65535, 1, 0]):
        log.add(sequence, n * MS)
    count, arrivals = log.take()
    assert count == 0
    assert [number & 0xFFFF for number, _ in arrivals] == [65534, 65535, 0, 1]
    assert [time for _, time in arrivals] == [0, 1000, 3000, 2000]
    assert log.take() is None
    log.add(65535, 9 * MS)  # told already
    assert log.take() is None


def test_arrivals_are_bounded_and_fit_a_datagram():
    log = ArrivalLog()
    for sequence in range(0, 60_000, 7):
        log.add(sequence, sequence * MS)
    _, arrivals = log.take()
    assert len(rtcp.transport_cc(1, 2, 0, arrivals)) < 1300
