"""One published track on its way in: numbers that grow for ever, what is missing, reports, keyframes. Pure.

RTCP toward the publisher is handed to `send_rtcp`; time is an argument.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

from mediaserver.events import TrackInfo
from mediaserver.forwarder import Course, Fanout, Forwarder, Packet
from mediaserver.negotiation import IncomingMedia
from mediaserver.rtcp import ReportBlock, SenderReport, nack, picture_loss
from mediaserver.rtp import SEQUENCE_MOD, RtpPacket, audio_level, payload_bytes, unwrap_sequence

KEYFRAME_INTERVAL_NS = 500_000_000
NACK_INTERVAL_NS = 100_000_000
NACK_TRIES_MAX = 5
NACKS_AT_ONCE_MAX = 100
MISSING_MAX = 256
MISSING_AGE_MAX = 1000
_SECOND_NS = 1_000_000_000


@dataclass(slots=True)
class Missing:
    tries: int
    due_ns: int


class Source:
    """What is counted of one incoming SSRC for its receiver reports (RFC 3550 appendix A)."""

    def __init__(self, ssrc: int, sequence: int, clock_rate_hz: int) -> None:
        self.ssrc = ssrc
        # One cycle ahead, so that packets from before the first one still have positive numbers.
        self.first = sequence + SEQUENCE_MOD
        self.highest = self.first - 1
        self._clock_rate_hz = clock_rate_hz
        self._received = self._received_before = self._expected_before = 0
        self._jitter = 0.0
        self._transit: float | None = None
        self._report_ntp = 0
        self._report_ns = 0

    def count(self, number: int, timestamp: int, now_ns: int) -> None:
        self._received += 1
        self.highest = max(self.highest, number)
        transit = now_ns * self._clock_rate_hz / _SECOND_NS - timestamp
        if self._transit is not None and abs(transit - self._transit) < self._clock_rate_hz:
            self._jitter += (abs(transit - self._transit) - self._jitter) / 16
        self._transit = transit

    def note_report(self, ntp: int, now_ns: int) -> None:
        self._report_ntp, self._report_ns = ntp >> 16 & 0xFFFFFFFF, now_ns

    def report_block(self, now_ns: int) -> ReportBlock:
        expected = self.highest - self.first + 1
        expected_now = expected - self._expected_before
        lost_now = max(0, expected_now - (self._received - self._received_before))
        self._expected_before, self._received_before = expected, self._received
        delay = (now_ns - self._report_ns) * 65536 // _SECOND_NS if self._report_ns else 0
        return ReportBlock(
            ssrc=self.ssrc,
            fraction_lost=min(255, lost_now * 256 // expected_now) if expected_now > 0 else 0,
            packets_lost=max(-0x800000, min(0x7FFFFF, expected - self._received)),
            highest_sequence=self.highest - SEQUENCE_MOD & 0xFFFFFFFF,
            jitter=int(self._jitter) & 0xFFFFFFFF,
            last_sender_report=self._report_ntp,
            delay_since_last=min(delay, 0xFFFFFFFF),
        )


class Publication:
    """One m-line of a publisher. A further SSRC on it (a browser that began anew) continues the numbers."""

    def __init__(
        self,
        publication_id: int,
        info: TrackInfo,
        media: IncomingMedia,
        *,
        forwarder: Forwarder,
        cname: str,
        own_ssrc: int,
        send_rtcp: Callable[[bytes], None],
    ) -> None:
        self.publication_id = publication_id
        self.info = info
        self.media = media
        self.cname = cname
        self.is_paused = False
        self.fanout = Fanout(on_resume=self.want_keyframe, cname=cname, caching=info.kind == "video")
        self._forwarder = forwarder
        self._send_rtcp = send_rtcp
        self._own_ssrc = own_ssrc
        self._source: Source | None = None
        self._former_ssrcs: set[int] = set()
        self._shift = 0
        self._timestamp_shift = 0
        self._timestamp = 0
        self._arrival_ns = 0
        self._missing: dict[int, Missing] = {}
        self._keyframe_wanted = False
        self._keyframe_asked_ns = -KEYFRAME_INTERVAL_NS

    @property
    def stream_id(self) -> str:
        """Groups what belongs together in time: camera with microphone, screen with its sound."""
        return f"{self.cname}-{'screen' if self.info.source.startswith('screen') else 'main'}"

    def renegotiate(self, media: IncomingMedia) -> None:
        """The same track by a new description; an SSRC that it names may come (back)."""
        self.media = media
        self._former_ssrcs.difference_update(media.ssrcs)

    def set_paused(self, paused: bool) -> None:
        """Pass it on to nobody for now, or again to everybody; what comes in is listened to all the same. Subscriptions
        that are added meanwhile begin likewise."""
        if paused != self.is_paused:
            self.is_paused = paused
            for subscription in self.fanout.subscriptions:
                self._forwarder.set_paused(subscription, paused)

    def take_audio_level(self) -> int | None:
        """The level (-dBov) of the loudest packet since the last call; -1 when none came that told it, None where the
        publisher does not tell levels."""
        if self.media.audio_level_id is None:
            return None
        return self._forwarder.take_audio_level(self.fanout)

    # --- packets in ---

    def receive(self, packet: RtpPacket, now_ns: int) -> None:
        """A packet of a bound SSRC with this publication's payload type."""
        if packet.payload_type != self.media.codec.payload_type:
            return
        source = self._source
        if source is None or source.ssrc != packet.ssrc:
            if packet.ssrc in self._former_ssrcs:
                return
            source = self._begin(packet, now_ns)
        number = unwrap_sequence(packet.sequence, source.highest)
        newest = number > source.highest
        if newest:
            self._note_gap(source.highest, number, now_ns)
        elif self._missing.pop(number, None) is None:
            return  # a repetition, or older than anybody waits for
        source.count(number, packet.timestamp, now_ns)
        if newest:
            self._timestamp, self._arrival_ns = packet.timestamp + self._timestamp_shift, now_ns
        self._forward(packet, number)

    def course(self, ssrc: int) -> Course | None:
        """How ordinary packets of the SSRC go on from here; None unless it is the current source."""
        source, media = self._source, self.media
        if source is None or source.ssrc != ssrc:
            return None
        return Course(
            ssrc=ssrc,
            payload_type=media.codec.payload_type,
            highest=source.highest,
            shift=self._shift,
            timestamp_shift=self._timestamp_shift,
            transport_cc_id=media.transport_cc_id or 0,
            audio_level_id=media.audio_level_id or 0,
        )

    def note_forwarded(self, ssrc: int, number: int, timestamp: int, now_ns: int) -> None:
        """A packet of the course was forwarded without asking."""
        source = self._source
        if source is None or source.ssrc != ssrc:
            return
        self._note_gap(source.highest, number, now_ns)
        source.count(number, timestamp, now_ns)
        self._timestamp, self._arrival_ns = timestamp + self._timestamp_shift, now_ns

    def receive_repair(self, packet: RtpPacket, primary_ssrc: int, now_ns: int) -> None:
        """A retransmission (RFC 4588): the original sequence number leads its payload."""
        if payload_bytes(packet) < 2 or packet.payload_type != self.media.codec.rtx_payload_type:  # noqa: PLR2004
            return
        if self._source is None or primary_ssrc != self._source.ssrc:
            return
        sequence = int.from_bytes(packet.payload[:2], "big")
        if unwrap_sequence(sequence, self._source.highest) in self._missing:
            payload_type = self.media.codec.payload_type
            self.receive(
                replace(
                    packet,
                    ssrc=primary_ssrc,
                    sequence=sequence,
                    payload_type=payload_type,
                    payload=packet.payload[2:],
                ),
                now_ns,
            )

    def _begin(self, packet: RtpPacket, now_ns: int) -> Source:
        """The first packet of an SSRC: its numbers and timestamps go on where the former one's stopped."""
        source = Source(packet.ssrc, packet.sequence, self.media.codec.clock_rate_hz)
        if self._source is not None:
            self._former_ssrcs.add(self._source.ssrc)
            self._shift = self._forwarder.highest(self.fanout) + 1 - source.first
            elapsed = (now_ns - self._arrival_ns) * self.media.codec.clock_rate_hz // _SECOND_NS
            self._timestamp_shift = self._timestamp + elapsed - packet.timestamp
            self._missing.clear()
            self.fanout.last_report = None
            self.want_keyframe()
        self._source = source
        return source

    def _forward(self, packet: RtpPacket, number: int) -> None:
        timestamp = (packet.timestamp + self._timestamp_shift) & 0xFFFFFFFF
        level, voice = audio_level(packet.extensions, self.media.audio_level_id)
        kept = Packet(
            number + self._shift, packet.marker, packet.padding, timestamp, packet.payload, level, voice
        )
        self._forwarder.forward(self.fanout, kept)

    # --- what is missing ---

    def _note_gap(self, highest: int, number: int, now_ns: int) -> None:
        if number <= highest + 1:
            return
        if number - highest > MISSING_MAX:
            self._missing.clear()
            self.want_keyframe()
            return
        for lost in range(highest + 1, number):
            self._missing[lost] = Missing(0, now_ns)
        while len(self._missing) > MISSING_MAX:
            del self._missing[next(iter(self._missing))]
        self._ask_missing(now_ns)

    def _ask_missing(self, now_ns: int) -> None:
        if self._source is None or self.info.kind != "video":
            return
        oldest = self._source.highest - MISSING_AGE_MAX
        self._missing = {number: entry for number, entry in self._missing.items() if number > oldest}
        due = [
            n for n, entry in self._missing.items() if entry.due_ns <= now_ns and entry.tries < NACK_TRIES_MAX
        ]
        due = due[:NACKS_AT_ONCE_MAX]
        for number in due:
            self._missing[number] = Missing(self._missing[number].tries + 1, now_ns + NACK_INTERVAL_NS)
        if due:
            self._send_rtcp(
                nack(self._own_ssrc, self._source.ssrc, (number & 0xFFFF for number in sorted(due)))
            )

    # --- reports and keyframes ---

    def receive_report(self, report: SenderReport, now_ns: int) -> None:
        if self._source is None or report.ssrc != self._source.ssrc:
            return
        self._source.note_report(report.ntp, now_ns)
        timestamp = (report.rtp + self._timestamp_shift) & 0xFFFFFFFF
        self._forwarder.report(self.fanout, replace(report, rtp=timestamp))

    def report_block(self, now_ns: int) -> ReportBlock | None:
        return None if self._source is None else self._source.report_block(now_ns)

    def want_keyframe(self) -> None:
        """Ask the publisher for a keyframe soon; requests are merged, see `tick`."""
        self._keyframe_wanted = self.info.kind == "video"

    def tick(self, now_ns: int) -> None:
        """Called every 50 ms or so: ask again for what is missing, ask for a wanted keyframe."""
        if self._missing:
            self._ask_missing(now_ns)
        if not self._keyframe_wanted or self._source is None:
            return
        if now_ns - self._keyframe_asked_ns >= KEYFRAME_INTERVAL_NS:
            self._keyframe_wanted, self._keyframe_asked_ns = False, now_ns
            self._send_rtcp(picture_loss(self._own_ssrc, self._source.ssrc))


class ArrivalLog:
    """When the packets of one transport arrived: becomes transport-wide feedback for the sender's
    bandwidth estimate. Bounded: when full, the oldest arrivals are forgotten."""

    ARRIVALS_MAX = 2000
    # Two bits a number and at most two bytes an arrival: together they must fit a datagram.
    SPAN_MAX = 1024
    PER_FEEDBACK_MAX = 400

    def __init__(self) -> None:
        self._highest: int | None = None
        self._reported = -1
        self._arrivals: dict[int, int] = {}
        self._count = 0

    def add(self, sequence: int, now_ns: int) -> None:
        if self._highest is None:
            self._highest = sequence + SEQUENCE_MOD
        number = unwrap_sequence(sequence, self._highest)
        self._highest = max(self._highest, number)
        if number > self._reported:
            self._arrivals[number] = now_ns // 1000
        if len(self._arrivals) > self.ARRIVALS_MAX:
            del self._arrivals[next(iter(self._arrivals))]

    def take(self) -> tuple[int, list[tuple[int, int]]] | None:
        """(number of this feedback, arrivals for `rtcp.transport_cc`), None when nothing came."""
        if not self._arrivals:
            return None
        arrivals = sorted(self._arrivals.items())
        arrivals = [item for item in arrivals if arrivals[-1][0] - item[0] < self.SPAN_MAX][
            -self.PER_FEEDBACK_MAX :
        ]
        self._arrivals.clear()
        self._reported = arrivals[-1][0]
        self._count += 1
        return self._count - 1, arrivals
