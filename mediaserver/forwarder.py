"""From one publication to its subscriptions, packet by packet, without decoding.

`Forwarder` is all that rooms and peers know of this: a native implementation can take its place. In this
one every packet of a publication has an ever-growing number, and a subscriber sees number - offset. The offset
changes only after packets were withheld (gate, lease), so that withheld packets never look lost; a late
packet takes the number that was kept for it, and NACKs are mapped back through the former offsets.

A subscription may be moved to another encoding of the same picture (`Forwarder.move`; see `publication.py` for when):
its numbers, timestamps and picture ids go on growing, and what it was sent before can still be asked for again.
"""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import islice
from struct import Struct
from typing import Any, Protocol

from mediaserver.bandwidth import Line
from mediaserver.gate import Gate, Lease
from mediaserver.repairs import Repairs
from mediaserver.rtcp import (
    GOODBYE,
    SenderReport,
    goodbye,
    receiver_report,
    sender_report,
    source_description,
)
from mediaserver.rtp import NO_EXTENSION, HeadExtension, unwrap_sequence

CACHE_PACKETS = 1024  # a power of two; about 3 s of video at 300 packets/s
OFFSETS_KEPT = 8
RESENDS_PER_SECOND_MAX = 500
# libsrtp refuses to send what lies further behind than its window.
LATE_PACKETS_MAX = 1000
# Chromium reports six times a second at 2 Mbit/s: to a thousand viewers that would cost a twentieth of a core.
REPORT_INTERVAL_NS = 4_000_000_000
REPORTS_AT_ONCE_MAX = 250  # about 2 ms
# A receiver needs two to match the sender's clock.
NEWCOMER_REPORTS = 2
# Of one packet that is nothing but padding (one byte counts it).
PADDING_BYTES = 224
_SECOND_NS = 1_000_000_000
_HEADER = Struct("!BBHII")


class Egress(Protocol):
    """Where a subscriber's packets leave: encrypts and sends; False when the packet could not be sent."""

    def send_rtp(self, head: bytes, payload: bytes) -> bool: ...

    def send_rtcp(self, data: bytes) -> None: ...


@dataclass(slots=True)
class Packet:
    """One received packet as it is kept: `number` grows for ever, `timestamp` runs on over source changes.
    `audio_level` (-dBov, 0 to 127) and `voice` are what its sender says of the sound; -1: nothing. `descriptor` is its AV1
    dependency descriptor."""

    number: int
    marker: bool
    padding: bool
    timestamp: int
    payload: bytes
    audio_level: int = -1
    voice: bool = False
    descriptor: bytes = b""


@dataclass(frozen=True, slots=True)
class Splice:
    """How an encoding's packets go on where another one's stopped: what is added to each timestamp (modulo 2^32), and
    in VP8 to each picture id (modulo 2^15 or 2^7), TL0PICIDX (2^8) and KEYIDX (2^5). RFC 7741 section 4.2."""

    timestamp: int = 0
    picture_id: int = 0
    tl0_picture_index: int = 0
    key_index: int = 0

    @property
    def changes_payload(self) -> bool:
        return bool(self.picture_id or self.tl0_picture_index or self.key_index)

    def payload(self, payload: bytes) -> bytes:
        """A VP8 payload with its ids shifted; a descriptor that is cut off stays as it is."""
        ids = payload[1] if len(payload) > 1 and payload[0] & 0x80 else 0
        changed, at = bytearray(payload), 2
        wide = ids & 0x80 and len(payload) > at and payload[at] & 0x80
        if ids & 0x80 and len(payload) > at + bool(wide):
            if wide:
                value = int.from_bytes(payload[at : at + 2], "big") + self.picture_id
                changed[at : at + 2] = (value & 0x7FFF | 0x8000).to_bytes(2, "big")
            else:
                changed[at] = payload[at] + self.picture_id & 0x7F
        at += (2 if wide else 1) if ids & 0x80 else 0
        if ids & 0x40 and len(payload) > at:
            changed[at] = payload[at] + self.tl0_picture_index & 0xFF
        at += 1 if ids & 0x40 else 0
        if ids & 0x10 and len(payload) > at:
            changed[at] = payload[at] & 0xE0 | payload[at] + self.key_index & 0x1F
        return bytes(changed)


NO_SPLICE = Splice()


@dataclass(frozen=True, slots=True)
class Stretch:
    """Packets `base`..`last` of a fanout went out as number - `offset`, spliced so."""

    fanout: "Fanout"
    base: int
    last: int
    offset: int
    splice: Splice


@dataclass(slots=True, eq=False)
class Subscription:
    """One subscriber's copy of one publication.

    `gates` are those of both participants, where metered. `head_extension` is the ready-made header
    extension, to which an AV1 dependency descriptor may be added; `line` numbers what goes to the same viewer (the native
    forwarder does that by itself). `first_number` is the outgoing sequence to begin with (random, below 32768). `paused`
    is changed by `Forwarder.set_paused` alone.
    """

    ssrc: int
    payload_type: int
    gates: tuple[Gate, ...]
    egress: Egress
    first_number: int
    head_extension: HeadExtension = NO_EXTENSION
    line: Line | None = None
    first_byte: int = 0x80
    rtx_ssrc: int = 0
    rtx_payload_type: int | None = None
    rtx_number: int = 0
    paused: bool = False
    # The hot path compares with this alone. A cache: 0 means "ask the gates".
    until_ns: int = 0
    last_ns: int = 0
    packets: int = 0
    octets: int = 0
    offset: int = 0
    base: int = 0
    withheld: bool = True
    next_number: int = 0
    former: deque[Stretch] = field(default_factory=lambda: deque(maxlen=OFFSETS_KEPT))
    # Where its packets come from now, and how they are spliced; `start` is the packet to begin with after a move: a
    # keyframe, so that none has to be asked for.
    fanout: "Fanout | None" = None
    splice: Splice = NO_SPLICE
    start: int = -1
    resend_second: int = 0
    resends: int = 0
    repairs: Repairs = field(default_factory=Repairs)
    # What the native forwarder keeps of it; its numbers and counters are there and not here.
    link: Any = None

    def __post_init__(self) -> None:
        self.next_number = self.first_number
        self.first_byte = 0x90 if self.head_extension.block else 0x80

    def extension(self, now_ns: int, packet: Packet | None = None, descriptor: bytes = b"") -> bytes:
        """The header extension of the next packet: of this one, or of a retransmission with this descriptor."""
        number = 0 if self.line is None else self.line.next_number
        level, voice = (-1, False) if packet is None else (packet.audio_level, packet.voice)
        block = self.head_extension.stamped(number, now_ns, level, voice=voice)
        return self.head_extension.described(block, descriptor if packet is None else packet.descriptor)

    def send(self, head: bytes, payload: bytes, now_ns: int) -> bool:
        """False when it could not be sent; then its transport-wide number goes to the next."""
        sent = self.egress.send_rtp(head, payload)
        if sent and self.line is not None and self.head_extension.transport_cc_at:
            self.line.note_sent(len(head) + len(payload), now_ns)
        return sent

    def withhold(self, highest: int) -> None:
        """Packets after `highest` are not passed on: remember which outgoing number comes next."""
        if not self.withheld:
            self.withheld = True
            self.next_number = highest + 1 - self.offset
            assert self.fanout is not None
            self.former.append(Stretch(self.fanout, self.base, highest, self.offset, self.splice))

    def resume(self, number: int) -> None:
        """Pass on from `number`: it gets the outgoing number that follows the last one before the pause."""
        self.withheld = False
        self.base = number
        self.offset = number - self.next_number

    def late(self, number: int) -> Stretch | None:
        """What holds for a packet of before `base`; None when it was withheld."""
        return next((s for s in self.former if s.base <= number <= s.last and s.fanout is self.fanout), None)

    def sent_as(self, outgoing: int) -> Stretch | None:
        """Where the packet of an (unwrapped) outgoing number came from."""
        if not self.withheld and outgoing >= self.base - self.offset:
            assert self.fanout is not None
            return Stretch(self.fanout, self.base, self.fanout.highest, self.offset, self.splice)
        return next((s for s in self.former if s.base <= outgoing + s.offset <= s.last), None)

    def may_resend(self, now_ns: int) -> bool:
        """At most RESENDS_PER_SECOND_MAX: a viewer cannot have us multiply traffic."""
        second = now_ns // _SECOND_NS
        if second != self.resend_second:
            self.resend_second, self.resends = second, 0
        self.resends += 1
        return self.resends <= RESENDS_PER_SECOND_MAX

    def may_repair(self, outgoing: int, size: int, now_ns: int, *, left_behind: bool) -> bool:
        """Whether the line bears it."""
        return self.line is None or self.repairs.admit(
            self.line, outgoing, size, now_ns, left_behind=left_behind
        )


@dataclass(slots=True, eq=False)
class Fanout:
    """One publication's way out. `on_resume` is called when a subscription begins or goes on receiving:
    its decoder needs a keyframe."""

    on_resume: Callable[[], None]
    cname: str
    caching: bool
    subscriptions: tuple[Subscription, ...] = ()
    highest: int = -1
    # Of payload taken in.
    octets: int = 0
    # The loudest of the packets since it was last asked for; the smaller, the louder.
    audio_level: int = -1
    # Pairs media time with the publisher's clock: a newcomer gets it at once, so that lips match at once.
    last_report: SenderReport | None = None
    cache: list[Packet | None] = field(default_factory=list)
    # Whose turn it is to be sent the publisher's reports, and who has lately begun: how many reports it is to get soon.
    turn: int = 0
    reported_ns: int = -REPORT_INTERVAL_NS
    newcomers: dict[Subscription, int] = field(default_factory=dict)
    # What the native forwarder keeps of it; its cache, highest number and level are there and not here.
    link: Any = None

    def __post_init__(self) -> None:
        if self.caching:
            self.cache = [None] * CACHE_PACKETS

    def join(self, subscription: Subscription) -> None:
        self.subscriptions = (*self.subscriptions, subscription)

    def leave(self, subscription: Subscription) -> None:
        self.subscriptions = tuple(kept for kept in self.subscriptions if kept is not subscription)
        self.newcomers.pop(subscription, None)

    def resumed(self, to: Subscription, packets: int, octets: int, *, needs_keyframe: bool) -> None:
        """A subscription begins or goes on receiving; so much was sent to it before."""
        self.newcomers[to] = NEWCOMER_REPORTS
        if needs_keyframe:
            self.on_resume()
        if self.last_report is not None:
            send_report(self, to, self.last_report, packets, octets)

    def reported_to(self, now_ns: int) -> list[Subscription]:
        """Who is to get a report of the publisher's that came now: whoever has lately begun, and of the others so many
        that each has its turn every REPORT_INTERVAL_NS."""
        count, elapsed_ns = len(self.subscriptions), min(now_ns - self.reported_ns, REPORT_INTERVAL_NS)
        self.reported_ns = now_ns
        turns = min(REPORTS_AT_ONCE_MAX, -(-count * elapsed_ns // REPORT_INTERVAL_NS))
        chosen = list(islice(self.newcomers, REPORTS_AT_ONCE_MAX))
        for to in chosen:
            self.newcomers[to] -= 1
            if not self.newcomers[to]:
                del self.newcomers[to]
        chosen += [self.subscriptions[(self.turn + place) % count] for place in range(turns)]
        self.turn += turns
        return list(dict.fromkeys(chosen))

    def cached(self, number: int) -> Packet | None:
        packet = self.cache[number % CACHE_PACKETS] if self.caching else None
        return packet if packet is not None and packet.number == number else None


@dataclass(frozen=True, slots=True)
class Course:
    """How the packets of one SSRC become packets of a publication while nothing out of the ordinary happens:
    those with `payload_type` and a number above `highest` are forwarded as number + `shift`."""

    ssrc: int
    payload_type: int
    highest: int
    shift: int
    timestamp_shift: int
    transport_cc_id: int
    audio_level_id: int = 0


# What its publisher is told of a packet that was forwarded by its course: SSRC, number in the source, timestamp,
# transport-wide number (-1: it had none), and when it came in ns.
ForwardedPacket = tuple[int, int, int, int, int]


class Forwarder(Protocol):
    """The forwarding engine. All calls are synchronous and never raise for what clients send."""

    def add(self, fanout: Fanout, subscription: Subscription) -> None: ...

    def remove(self, fanout: Fanout, subscription: Subscription) -> None:
        """After this nothing more is sent for it; a BYE goes out."""

    def forward(self, fanout: Fanout, packet: Packet) -> None: ...

    def resend(self, fanout: Fanout, subscription: Subscription, lost: list[int]) -> None:
        """Answer a NACK with retransmissions. `lost` are 16-bit outgoing sequence numbers."""

    def pad(self, subscription: Subscription, size: int) -> int:
        """Probe the line with about `size` bytes of nothing, on the retransmission stream; how many were sent. Only
        where gates and lease let packets pass and one has passed them; a paused subscription may carry it. It counts
        as no packet of anything but the peer's traffic."""

    def report(self, fanout: Fanout, report: SenderReport) -> None:
        """Pass a publisher's sender report on to those of its subscribers whose turn it is, in their numbers."""

    def recheck(self, subscription: Subscription) -> None:
        """A gate or the lease has become stricter."""

    def set_paused(self, subscription: Subscription, paused: bool) -> None:
        """Send nothing of the publication to this subscriber, neither packets nor retransmissions nor reports, whatever
        its gates say; or go on with the next packet, which takes the number after the last one that was sent, and
        calls `on_resume`. Gates, lease and what they report are untouched: what is not sent has not passed them."""

    def passing(self, subscription: Subscription, now_ns: int) -> bool:
        """Whether packets have been passing and still may: only then is feedback listened to."""

    def take_audio_level(self, fanout: Fanout) -> int:
        """The level (-dBov: 0 is loudest, 127 silence) of the loudest packet that came in since the last call, whether
        it was sent to anybody or not; -1 when none told its level."""

    def highest(self, fanout: Fanout) -> int:
        """The highest number of the publication so far; -1 before the first."""

    def octets(self, fanout: Fanout) -> int:
        """Bytes of payload that the fanout has taken in."""

    def newest(self, fanout: Fanout) -> bytes:
        """The payload of the newest packet that subscriptions were sent; b"" when it is not kept."""

    def move(self, subscription: Subscription, fanout: Fanout, splice: Splice, start: int) -> None:
        """From here on the subscription gets this fanout's packets, beginning with number `start`, a keyframe, which
        is yet to be forwarded (-1: with any packet; its keyframe is asked for). Its own numbers go on without a gap;
        nothing more of the former fanout is sent but what it asks for again."""

    def follow(self, peer: Any, fanout: Fanout, course: Course) -> None:
        """The peer's ordinary packets of this SSRC (and of no other) may be forwarded without asking."""

    def unfollow(self, peer: Any, ssrc: int | None = None) -> None:
        """What was said of the peer's SSRCs (or of this one) no longer holds: ask again."""


class PacketForwarder:
    """The forwarder in Python."""

    def __init__(self, lease: Lease, now_ns: Callable[[], int]) -> None:
        self._lease = lease
        self._now_ns = now_ns

    def add(self, fanout: Fanout, subscription: Subscription) -> None:
        subscription.fanout = fanout
        fanout.join(subscription)
        for gate in subscription.gates:
            gate.watch(subscription)

    def remove(self, fanout: Fanout, subscription: Subscription) -> None:
        if subscription not in fanout.subscriptions:
            return
        fanout.leave(subscription)
        for gate in subscription.gates:
            gate.unwatch(subscription)
        if subscription.packets:
            send_goodbye(fanout, subscription)

    def recheck(self, subscription: Subscription) -> None:
        subscription.until_ns = 0

    def set_paused(self, subscription: Subscription, paused: bool) -> None:
        # The numbers are settled by the next packet, which knows what was sent before it.
        subscription.paused, subscription.until_ns = paused, 0

    def passing(self, subscription: Subscription, now_ns: int) -> bool:
        running = not subscription.withheld and all(gate.is_running for gate in subscription.gates)
        return running and now_ns < self._until(subscription, now_ns)

    def take_audio_level(self, fanout: Fanout) -> int:
        level, fanout.audio_level = fanout.audio_level, -1
        return level

    def highest(self, fanout: Fanout) -> int:
        return fanout.highest

    def follow(self, peer: Any, fanout: Fanout, course: Course) -> None:
        """Every packet comes through Python here."""

    def unfollow(self, peer: Any, ssrc: int | None = None) -> None:
        """Nothing is followed."""

    def octets(self, fanout: Fanout) -> int:
        return fanout.octets

    def newest(self, fanout: Fanout) -> bytes:
        packet = fanout.cached(fanout.highest)
        return b"" if packet is None else packet.payload

    def move(self, subscription: Subscription, fanout: Fanout, splice: Splice, start: int) -> None:
        former = subscription.fanout
        assert former is not None
        subscription.withhold(former.highest)
        former.leave(subscription)
        fanout.join(subscription)
        subscription.fanout, subscription.splice, subscription.start = fanout, splice, start
        subscription.until_ns = 0

    def forward(self, fanout: Fanout, packet: Packet) -> None:
        number, timestamp, payload = packet.number, packet.timestamp, packet.payload
        padding = 0x20 if packet.padding else 0
        marker = 0x80 if packet.marker else 0
        size, now, write = len(payload), self._now_ns, _HEADER.pack
        for to in fanout.subscriptions:
            at = now()
            if at >= to.until_ns and not self._admit(fanout, to, number, at):
                continue
            out, splice = number - to.offset, to.splice
            if number < to.base:
                late = self._late(fanout, to, number)
                if late is None:
                    continue
                out, splice = number - late.offset, late.splice
            stamp = (timestamp + splice.timestamp) & 0xFFFFFFFF
            head = write(to.first_byte | padding, marker | to.payload_type, out & 0xFFFF, stamp, to.ssrc)
            head += to.extension(at, packet)
            if to.send(head, splice.payload(payload) if splice.changes_payload else payload, at):
                to.last_ns = at
                to.packets += 1
                to.octets += size
        if fanout.caching:
            fanout.cache[number % CACHE_PACKETS] = packet
        fanout.highest = max(fanout.highest, number)
        fanout.octets += size
        if packet.audio_level >= 0:
            louder = fanout.audio_level < 0 or packet.audio_level < fanout.audio_level
            fanout.audio_level = packet.audio_level if louder else fanout.audio_level

    def _late(self, fanout: Fanout, to: Subscription, number: int) -> Stretch | None:
        return None if fanout.highest - number > LATE_PACKETS_MAX else to.late(number)

    def _admit(self, fanout: Fanout, to: Subscription, number: int, now_ns: int) -> bool:
        """Ask both gates and the lease, and note the answer in `until_ns`."""
        until = self._until(to, now_ns)
        if now_ns >= until or (to.withheld and (number <= fanout.highest or number < to.start)):
            to.until_ns = 0
            to.withhold(fanout.highest)
            return False
        for gate in to.gates:
            gate.note_first(now_ns)
        to.until_ns = until
        if to.withheld:
            to.resume(number)
            fanout.resumed(to, to.packets, to.octets, needs_keyframe=number != to.start)
        return True

    def _until(self, to: Subscription, now_ns: int) -> int:
        return 0 if to.paused else self._open_until(to, now_ns)

    def _open_until(self, to: Subscription, now_ns: int) -> int:
        return min([self._lease.until_ns, *(gate.until_ns(now_ns) for gate in to.gates)])

    def resend(self, fanout: Fanout, subscription: Subscription, lost: list[int]) -> None:
        if subscription.rtx_payload_type is None or subscription.withheld:
            return
        reference = fanout.highest - subscription.offset
        for sequence in lost:
            outgoing = unwrap_sequence(sequence, reference)
            stretch = subscription.sent_as(outgoing)
            packet = None if stretch is None else stretch.fanout.cached(outgoing + stretch.offset)
            now_ns = self._now_ns()
            if not self.passing(subscription, now_ns) or not subscription.may_resend(now_ns):
                return
            if stretch is not None and packet is not None:
                left_behind = stretch.fanout is not subscription.fanout
                if subscription.may_repair(outgoing, len(packet.payload), now_ns, left_behind=left_behind):
                    self._resend(subscription, packet, stretch.splice, sequence, now_ns)

    def _resend(self, to: Subscription, packet: Packet, splice: Splice, sequence: int, now_ns: int) -> None:
        """RFC 4588 section 4: own SSRC, payload type and numbers; the original number leads the payload."""
        assert to.rtx_payload_type is not None
        first = to.first_byte | (0x20 if packet.padding else 0)
        second = (0x80 if packet.marker else 0) | to.rtx_payload_type
        stamp = (packet.timestamp + splice.timestamp) & 0xFFFFFFFF
        head = _HEADER.pack(first, second, to.rtx_number & 0xFFFF, stamp, to.rtx_ssrc)
        to.rtx_number += 1
        payload = splice.payload(packet.payload) if splice.changes_payload else packet.payload
        head += to.extension(now_ns, descriptor=packet.descriptor)
        if to.send(head + sequence.to_bytes(2, "big"), payload, now_ns):
            to.last_ns = now_ns

    def pad(self, subscription: Subscription, size: int) -> int:
        to, sent = subscription, 0
        while sent < size and to.rtx_payload_type is not None:
            now_ns = self._now_ns()
            running = all(gate.is_running for gate in to.gates)
            if not running or now_ns >= self._open_until(to, now_ns):
                break
            number, to.rtx_number = to.rtx_number, to.rtx_number + 1
            head = _HEADER.pack(to.first_byte | 0x20, to.rtx_payload_type, number & 0xFFFF, 0, to.rtx_ssrc)
            head += to.extension(now_ns)
            if not to.send(head, bytes(PADDING_BYTES - 1) + bytes([PADDING_BYTES]), now_ns):
                break
            sent += len(head) + PADDING_BYTES
        return sent

    def report(self, fanout: Fanout, report: SenderReport) -> None:
        fanout.last_report = report
        now_ns = self._now_ns()
        for to in fanout.reported_to(now_ns):
            if self.passing(to, now_ns):
                send_report(fanout, to, report, to.packets, to.octets)


def send_report(fanout: Fanout, to: Subscription, report: SenderReport, packets: int, octets: int) -> None:
    """The publisher's report as the subscriber's own, with what was sent to it so far."""
    timestamp = (report.rtp + to.splice.timestamp) & 0xFFFFFFFF
    own = SenderReport(to.ssrc, report.ntp, timestamp, packets & 0xFFFFFFFF, octets & 0xFFFFFFFF)
    to.egress.send_rtcp(_described(sender_report(own), to.ssrc, fanout.cname))


def send_goodbye(fanout: Fanout, to: Subscription) -> None:
    to.egress.send_rtcp(_described(goodbye(to.ssrc), to.ssrc, fanout.cname))


def _described(packet: bytes, ssrc: int, cname: str) -> bytes:
    """A report first, then who it is (RFC 3550 section 6.1); a BYE comes last and needs a report before it."""
    description = source_description(ssrc, cname)
    if packet[1] == GOODBYE:
        return receiver_report(ssrc, []) + description + packet
    return packet + description
