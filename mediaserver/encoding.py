"""One of the streams in which a picture or a voice comes in: growing numbers, what is missing, reports, keyframes. Pure.

RTCP toward the publisher is handed to `send_rtcp`; time is an argument. How viewers go from one encoding to another stands
in `publication.py`.
"""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, replace

from mediaserver.events import TrackInfo
from mediaserver.forwarder import Course, Fanout, Forwarder, Packet
from mediaserver.layers import Lane, Layer, layer_reader
from mediaserver.negotiation import IncomingMedia
from mediaserver.payload import Size, keyframe_size, starts_keyframe
from mediaserver.rtcp import ReportBlock, SenderReport, nack, picture_loss
from mediaserver.rtp import (
    SEQUENCE_MOD,
    RtpPacket,
    audio_level,
    extension_of,
    payload_bytes,
    unwrap_sequence,
)

KEYFRAME_INTERVAL_NS = 500_000_000
# Of the first repetition; each waits that much longer. Senders do not repeat a packet within a round trip, so that five
# requests in half a second would be one or two on a long line.
NACK_INTERVAL_NS = 100_000_000
NACK_TRIES_MAX = 5
NACKS_AT_ONCE_MAX = 100
MISSING_MAX = 256
MISSING_AGE_MAX = 1000
# An encoding without a packet for so long is one that its sender has stopped (a screen at rest still sends one a second).
SILENT_NS = 1_500_000_000
# Sooner, where the others have gone on meanwhile: its sender has stopped this one alone.
STOPPED_NS = 400_000_000
STOPPED_PICTURES = 8
BITRATE_SAMPLES = 5
BITRATE_SAMPLE_NS = 250_000_000
# A keyframe that somebody waits for is asked for again so often: its beginning may have been lost.
WAIT_NS = 1_000_000_000
_SECOND_NS = 1_000_000_000
# RFC 3550 section 5.1: the last byte counts the padding, itself included.
_ONLY_PADDING = b"\x01"


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


class Encoding:
    """One of the streams in which a picture comes, or the only one. A further SSRC (a browser that began anew)
    continues its numbers.

    `rid` names it ("" without simulcast). `is_active`: packets came lately; `bitrate_bps` is that of the payload over
    about the last second; `size` is that of the last keyframe that was looked at, None where nothing tells."""

    def __init__(
        self,
        info: TrackInfo,
        media: IncomingMedia,
        rid: str,
        *,
        forwarder: Forwarder,
        cname: str,
        own_ssrc: int,
        send_rtcp: Callable[[bytes], None],
        on_picture: Callable[["Encoding", Packet, int, bool], None],
    ) -> None:
        self.rid = rid
        self.info = info
        self.media = media
        self.fanout = Fanout(on_resume=self.want_keyframe, cname=cname, caching=info.kind == "video")
        self.is_active = False
        self.bitrate_bps = 0
        self.size: Size | None = None
        # Somebody waits for a keyframe: no packet may pass unseen.
        self.is_awaited = False
        # Of a layered stream: what its lower layers are on their own, the lowest first.
        self.lower: tuple[LayerEncoding, ...] = ()
        # Whether the end of the picture before the one that begins has come, and whether it said that it was the end.
        self.is_gapless = False
        self.has_ended = True
        self.newest_number = -1
        self._forwarder = forwarder
        self._send_rtcp = send_rtcp
        self._own_ssrc = own_ssrc
        self._on_picture = on_picture
        self._layers = layer_reader(media.codec.name, described=bool(media.descriptor_id))
        self._source: Source | None = None
        self._former_ssrcs: set[int] = set()
        self._shift = 0
        self._timestamp_shift = 0
        self.timestamp = 0
        self.arrival_ns = 0
        self._pictures = 0
        self._behind = 0
        self._octets: deque[tuple[int, int]] = deque(maxlen=BITRATE_SAMPLES)
        self._missing: dict[int, Missing] = {}
        self._keyframe_wanted = False
        self._keyframe_asked_ns = -KEYFRAME_INTERVAL_NS

    @property
    def ssrc(self) -> int | None:
        """Under which it comes now."""
        return None if self._source is None else self._source.ssrc

    @property
    def stream(self) -> "Encoding":
        """The stream that carries it: shared numbers of pictures, shared time."""
        return self

    def is_within(self, other: "Encoding") -> bool:
        """Whether it is a part of the other: who receives that can receive this from the next picture on."""
        parts = [*other.stream.lower, other.stream]
        return self in parts and parts.index(self) < parts.index(other)

    def renegotiate(self, media: IncomingMedia) -> None:
        """The same track by a new description; an SSRC that it names may come (back)."""
        self.media = media
        self._layers = self._layers or layer_reader(media.codec.name, described=bool(media.descriptor_id))
        self._former_ssrcs.difference_update(media.ssrcs)

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
        timestamp = (packet.timestamp + self._timestamp_shift) & 0xFFFFFFFF
        level, voice = audio_level(packet.extensions, self.media.audio_level_id)
        kept = Packet(
            number + self._shift,
            packet.marker,
            packet.padding,
            timestamp,
            packet.payload,
            level,
            voice,
            self._described(packet),
        )
        begins = newest and (timestamp != self.timestamp or not self.arrival_ns)
        if newest:
            self._note_arrival(timestamp, now_ns)
        if self._layers is None:
            if begins:
                self._look_for_keyframe(kept, now_ns)
            self._forwarder.forward(self.fanout, kept)
        else:
            layer = self._layers.read(kept.payload, kept.descriptor)
            self._take_layered(kept, layer, begins, now_ns)

    def _described(self, packet: RtpPacket) -> bytes:
        identifier = self.media.descriptor_id
        return (extension_of(packet, identifier) or b"") if identifier else b""

    def _look_for_keyframe(self, packet: Packet, now_ns: int) -> None:
        """The first packet of a picture, so that nobody is moved into the middle of one."""
        name = self.media.codec.name
        if self.info.kind == "video" and starts_keyframe(name, packet.payload):
            self.size = keyframe_size(name, packet.payload) or self.size
            if self.is_awaited:
                self._on_picture(self, packet, now_ns, True)

    # --- layers ---

    def _take_layered(self, packet: Packet, layer: Layer | None, begins: bool, now_ns: int) -> None:
        """All of it goes to whoever receives all layers, the rest gets its part. First they are moved, whose picture
        begins."""
        assert self._layers is not None
        for spatial_id in range(len(self.lower), self._layers.layers - 1):
            self.lower += (LayerEncoding(self, spatial_id),)
        parts: list[tuple[Encoding, Packet]] = [(self, packet)]
        for lower in self.lower:
            part = lower.part(packet, layer)
            parts += [] if part is None else [(lower, part)]
        if begins and (layer is None or layer.starts_picture):
            self._begin_picture(parts, now_ns)
        late = packet.timestamp != self.timestamp
        for encoding, part in parts:
            # Of layers that nobody receives only what is late is kept: who left them may have missed it.
            if encoding is self or encoding.fanout.subscriptions or late:
                self._forwarder.forward(encoding.fanout, part)
            if part.number > encoding.newest_number:
                encoding.newest_number = part.number
                encoding.has_ended = part.marker or (layer is None and encoding.has_ended)

    def _begin_picture(self, parts: list[tuple["Encoding", Packet]], now_ns: int) -> None:
        assert self._layers is not None
        packet = parts[0][1]
        keyframe = starts_keyframe(self.media.codec.name, packet.payload, packet.descriptor)
        sizes = self._layers.sizes
        for place, encoding in enumerate((*self.lower, self)):
            encoding.size = sizes[min(place, len(sizes) - 1)] if sizes else encoding.size
        for encoding, part in parts:
            encoding.is_gapless = part.number == encoding.newest_number + 1
            unfinished = encoding.is_gapless and not encoding.has_ended
            if unfinished and not keyframe and encoding.fanout.subscriptions:
                # Its encoder has dropped the upper layers when the lower were sent: decoders wait for them for seconds.
                self.want_keyframe()
        for encoding, part in parts:
            if encoding.is_awaited:
                self._on_picture(encoding, part, now_ns, keyframe)

    def course(self, ssrc: int) -> Course | None:
        """How ordinary packets of the SSRC go on from here; None unless it is the current source, while somebody waits
        for a keyframe of it, and where it may have layers."""
        source, media = self._source, self.media
        if source is None or source.ssrc != ssrc or self.is_awaited or self._layers is not None:
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
        self._note_arrival((timestamp + self._timestamp_shift) & 0xFFFFFFFF, now_ns)

    def _note_arrival(self, timestamp: int, now_ns: int) -> None:
        """The newest packet so far."""
        self._pictures += timestamp != self.timestamp
        self.timestamp, self.arrival_ns, self.is_active = timestamp, now_ns, True

    def receive_repair(self, packet: RtpPacket, primary_ssrc: int, now_ns: int) -> None:
        """A retransmission (RFC 4588): the original sequence number leads its payload. `primary_ssrc` is the SSRC that
        it repairs, 0 for the current one."""
        if payload_bytes(packet) < 2 or packet.payload_type != self.media.codec.rtx_payload_type:  # noqa: PLR2004
            return
        if self._source is None or primary_ssrc not in (0, self._source.ssrc):
            return
        sequence = int.from_bytes(packet.payload[:2], "big")
        if unwrap_sequence(sequence, self._source.highest) in self._missing:
            payload_type = self.media.codec.payload_type
            self.receive(
                replace(
                    packet,
                    ssrc=self._source.ssrc,
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
            elapsed = (now_ns - self.arrival_ns) * self.media.codec.clock_rate_hz // _SECOND_NS
            self._timestamp_shift = self.timestamp + elapsed - packet.timestamp
            self._missing.clear()
            for encoding in (self, *self.lower):
                encoding.fanout.last_report = None
            self._layers = layer_reader(self.media.codec.name, described=bool(self.media.descriptor_id))
            self.want_keyframe()
        self._source = source
        return source

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
            tries = self._missing[number].tries + 1
            self._missing[number] = Missing(tries, now_ns + tries * NACK_INTERVAL_NS)
        if due:
            self._send_rtcp(
                nack(self._own_ssrc, self._source.ssrc, (number & 0xFFFF for number in sorted(due)))
            )
        self._give_up(now_ns)

    def _give_up(self, now_ns: int) -> None:
        """What was asked for in vain will not come: with a keyframe viewers go on, and they need not find out first that
        it was not their own line."""
        vain = [n for n, entry in self._missing.items() if entry.due_ns <= now_ns]
        vain = [n for n in vain if self._missing[n].tries >= NACK_TRIES_MAX]
        for number in vain:
            del self._missing[number]
        if vain and self.fanout.subscriptions:
            self.want_keyframe()

    # --- reports and keyframes ---

    def receive_report(self, report: SenderReport, now_ns: int) -> None:
        if self._source is None or report.ssrc != self._source.ssrc:
            return
        self._source.note_report(report.ntp, now_ns)
        timestamp = (report.rtp + self._timestamp_shift) & 0xFFFFFFFF
        for encoding in (self, *self.lower):
            self._forwarder.report(encoding.fanout, replace(report, rtp=timestamp))

    def report_block(self, now_ns: int) -> ReportBlock | None:
        return None if self._source is None else self._source.report_block(now_ns)

    def want_keyframe(self) -> None:
        """Ask the publisher for a keyframe soon; requests are merged, see `tick`."""
        self._keyframe_wanted = self.info.kind == "video"

    def take_pictures(self) -> int:
        """How many pictures have begun since the last call."""
        count, self._pictures = self._pictures, 0
        return count

    def tick(self, now_ns: int, behind: int = 0) -> None:
        """Called every 50 ms or so: ask again for what is missing, ask for a wanted keyframe. `behind`: how many pictures
        another encoding has begun since the last call while this one began none."""
        for lower in self.lower:
            lower.tick(now_ns)
        self._behind = 0 if now_ns - self.arrival_ns < STOPPED_NS // 4 else self._behind + behind
        self._measure(now_ns)
        if self._missing:
            self._ask_missing(now_ns)
        if self.is_awaited and now_ns - self._keyframe_asked_ns >= WAIT_NS:
            self.want_keyframe()
        if not self._keyframe_wanted or self._source is None:
            return
        if now_ns - self._keyframe_asked_ns >= KEYFRAME_INTERVAL_NS:
            self._keyframe_wanted, self._keyframe_asked_ns = False, now_ns
            self._send_rtcp(picture_loss(self._own_ssrc, self._source.ssrc))

    def _measure(self, now_ns: int) -> None:
        allowed_ns = STOPPED_NS if self._behind >= STOPPED_PICTURES else SILENT_NS
        self.is_active = self.is_active and now_ns - self.arrival_ns < allowed_ns
        if self._octets and now_ns - self._octets[-1][0] < BITRATE_SAMPLE_NS:
            return
        self._octets.append((now_ns, self._octets_in()))
        (since_ns, before), (_, octets) = self._octets[0], self._octets[-1]
        if now_ns > since_ns:
            self.bitrate_bps = (octets - before) * 8 * _SECOND_NS // (now_ns - since_ns)

    def _octets_in(self) -> int:
        return self._forwarder.octets(self.fanout)


class LayerEncoding(Encoding):
    """The layers of a stream up to one of them, as if nothing else had come. It has no source of its own."""

    def __init__(self, whole: Encoding, spatial_id: int) -> None:
        super().__init__(
            whole.info,
            whole.media,
            f"{whole.rid}/{spatial_id}",
            forwarder=whole._forwarder,  # noqa: SLF001 - its own kind
            cname=whole.fanout.cname,
            own_ssrc=0,
            send_rtcp=lambda _: None,
            on_picture=whole._on_picture,  # noqa: SLF001
        )
        self._whole = whole
        self._spatial_id = spatial_id
        self._lane = Lane()
        self._taken = 0
        self._asked_ns = 0

    @property
    def ssrc(self) -> int | None:
        return self._whole.ssrc

    @property
    def stream(self) -> Encoding:
        return self._whole

    def part(self, packet: Packet, layer: Layer | None) -> Packet | None:
        """What the packet is here: itself under another number, with the marker where a picture ends here; padding,
        where it is not needed and its number was kept; or nothing. What cannot be told, everybody gets."""
        wanted = layer is None or layer.spatial_id <= self._spatial_id
        number = self._lane.number(packet.number, wanted=wanted)
        if number is None:
            return None
        if not wanted:
            return Packet(number, False, True, packet.timestamp, _ONLY_PADDING)
        self._taken += len(packet.payload)
        self.timestamp, self.arrival_ns, self.is_active = self._whole.timestamp, self._whole.arrival_ns, True
        ends = layer is not None and layer.ends_frame and layer.spatial_id == self._spatial_id
        return replace(packet, number=number, marker=packet.marker or ends)

    def want_keyframe(self) -> None:
        self._whole.want_keyframe()

    def tick(self, now_ns: int, behind: int = 0) -> None:
        """Called every 50 ms or so."""
        self._behind = behind
        self._measure(now_ns)
        if not self.is_awaited:
            self._asked_ns = now_ns
        elif now_ns - self._asked_ns >= WAIT_NS:
            self._asked_ns = now_ns
            self.want_keyframe()

    def _octets_in(self) -> int:
        return self._taken
