"""RTP headers (RFC 3550 section 5, RFC 8285 header extensions, RFC 4588 retransmission). Pure."""

from dataclasses import dataclass, field
from struct import pack

HEADER_BYTES = 12
SEQUENCE_MOD = 1 << 16
_ONE_BYTE_PROFILE = 0xBEDE
_TWO_BYTE_PROFILE = 0x1000  # its last four bits are the application's
_ONE_BYTE_ID_MAX = 14
_ONE_BYTE_LENGTH_MAX = 16


@dataclass(slots=True)
class RtpPacket:
    """A parsed packet. `payload` still ends with the padding when `padding` is set. `extensions` are in the one-byte
    form, also where they came in the other; `long_extensions` are (id, value) of those that it cannot hold."""

    marker: bool
    padding: bool
    payload_type: int
    sequence: int
    timestamp: int
    ssrc: int
    extensions: bytes
    payload: bytes
    long_extensions: tuple[tuple[int, bytes], ...] = ()


def is_rtcp(data: bytes) -> bool:
    """Whether a datagram that begins like RTP is RTCP (RFC 5761 section 4). Needs two bytes."""
    return 192 <= data[1] <= 223  # noqa: PLR2004


def parse(data: bytes) -> RtpPacket:
    """Raises ValueError for what is not RTP."""
    if len(data) < HEADER_BYTES or data[0] >> 6 != 2:  # noqa: PLR2004 - the version
        raise ValueError("not an RTP packet")
    start = HEADER_BYTES + 4 * (data[0] & 0x0F)
    extensions = b""
    long_extensions: tuple[tuple[int, bytes], ...] = ()
    if data[0] & 0x10:
        end = start + 4 + 4 * int.from_bytes(data[start + 2 : start + 4], "big")
        profile = int.from_bytes(data[start : start + 2], "big")
        if profile == _ONE_BYTE_PROFILE:
            extensions = data[start + 4 : end]
        elif profile & 0xFFF0 == _TWO_BYTE_PROFILE:
            extensions, long_extensions = _narrowed(data[start + 4 : end])
        start = end
    if start > len(data):
        raise ValueError("the RTP header is longer than the packet")
    return RtpPacket(
        marker=data[1] >= 0x80,  # noqa: PLR2004 - the highest bit
        padding=bool(data[0] & 0x20),
        payload_type=data[1] & 0x7F,
        sequence=int.from_bytes(data[2:4], "big"),
        timestamp=int.from_bytes(data[4:8], "big"),
        ssrc=int.from_bytes(data[8:12], "big"),
        extensions=extensions,
        payload=data[start:],
        long_extensions=long_extensions,
    )


def _narrowed(elements: bytes) -> tuple[bytes, tuple[tuple[int, bytes], ...]]:
    """Elements of the two-byte form (RFC 8285 section 4.3) in the one-byte form, and apart those that do not fit it."""
    narrow, long, at = b"", [], 0
    while at + 1 < len(elements):
        if elements[at] == 0:  # padding
            at += 1
            continue
        identifier, value = elements[at], elements[at + 2 : at + 2 + elements[at + 1]]
        if identifier <= _ONE_BYTE_ID_MAX and 0 < len(value) <= _ONE_BYTE_LENGTH_MAX:
            narrow += bytes([identifier << 4 | (len(value) - 1)]) + value
        else:
            long.append((identifier, value))
        at += 2 + elements[at + 1]
    return narrow, tuple(long)


def extension_of(packet: RtpPacket, identifier: int) -> bytes | None:
    """The value of a header extension, of whichever form."""
    for found, value in packet.long_extensions:
        if found == identifier:
            return value
    return find_extension(packet.extensions, identifier)


def find_extension(extensions: bytes, identifier: int) -> bytes | None:
    """The value of a one-byte header extension; tolerant of a truncated list."""
    at = 0
    while at < len(extensions):
        head = extensions[at]
        if head == 0:  # padding
            at += 1
            continue
        length = (head & 0x0F) + 1
        if head >> 4 == identifier:
            return extensions[at + 1 : at + 1 + length]
        if head >> 4 == 15:  # noqa: PLR2004 - RFC 8285 section 4.2: stop here
            return None
        at += 1 + length
    return None


def audio_level(extensions: bytes, identifier: int | None) -> tuple[int, bool]:
    """The level of an audio packet, 0 (loudest) to 127 (silence) in -dBov, and whether its sender takes it for a voice
    (RFC 6464 section 3); (-1, False) where the packet does not tell."""
    value = find_extension(extensions, identifier) if identifier else None
    if value is None or len(value) != 1:
        return -1, False
    return value[0] & 0x7F, value[0] >= 0x80  # noqa: PLR2004 - the highest bit


@dataclass(frozen=True, slots=True)
class HeadExtension:
    """A whole header extension (RFC 8285 section 4.2), ready but for what is told of each packet: that is written at
    the places `*_at`, counted from the first byte of `block`, 0 where it is not told.

    The transport-wide number takes two bytes, the time of sending three, the audio level a byte for its id and one
    for its value: without a level both are padding. With a `descriptor_id` it is in the two-byte form, in which a
    dependency descriptor may follow."""

    block: bytes = b""
    transport_cc_at: int = 0
    send_time_at: int = 0
    level_at: int = 0
    level_id: int = 0
    descriptor_id: int = 0
    # The block as one large number, and how far the values are to be shifted into it.
    _blank: int = field(init=False, repr=False, compare=False)
    _bits: tuple[int, int, int] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        ends = (self.transport_cc_at + 2, self.send_time_at + 3, self.level_at + 2)
        object.__setattr__(self, "_blank", int.from_bytes(self.block, "big"))
        object.__setattr__(self, "_bits", tuple(max(0, 8 * (len(self.block) - end)) for end in ends))

    def stamped(self, transport_number: int, now_ns: int, audio_level: int, *, voice: bool) -> bytes:
        """The block of one packet. `audio_level` 0 to 127 (-dBov), -1 where it is not known."""
        stamped, (transport_cc_bits, send_time_bits, level_bits) = self._blank, self._bits
        if self.transport_cc_at:
            stamped |= (transport_number & 0xFFFF) << transport_cc_bits
        if self.send_time_at:
            stamped |= send_time(now_ns) << send_time_bits
        if self.level_at and audio_level >= 0:
            stamped |= (self.level_id << 12 | audio_level | voice << 7) << level_bits
        return self.block if stamped == self._blank else stamped.to_bytes(len(self.block), "big")

    def described(self, block: bytes, descriptor: bytes) -> bytes:
        """A stamped block with a dependency descriptor of at most 255 bytes."""
        if not self.descriptor_id or not descriptor:
            return block
        element = bytes([self.descriptor_id, len(descriptor)]) + descriptor
        element += bytes(-len(element) % 4)
        words = int.from_bytes(block[2:4], "big") + len(element) // 4
        return block[:2] + words.to_bytes(2, "big") + block[4:] + element


NO_EXTENSION = HeadExtension()


def send_time(now_ns: int) -> int:
    """Seconds modulo 64 as 6.18-bit fixed point (abs-send-time)."""
    return (now_ns % 64_000_000_000 << 18) // 1_000_000_000 & 0xFFFFFF


def head_extension(
    mid: bytes,
    *,
    mid_id: int = 0,
    transport_cc_id: int = 0,
    send_time_id: int = 0,
    level_id: int = 0,
    descriptor_id: int = 0,
) -> HeadExtension:
    """The extension with those elements whose id is not 0; a `mid` of over 16 bytes does not fit and is left out. Levels
    are of sound and descriptors of pictures: not both."""
    body, places, wide = b"", {}, bool(descriptor_id)
    for name, identifier, value in (
        ("transport_cc_at", transport_cc_id, bytes(2)),
        ("send_time_at", send_time_id, bytes(3)),
        ("mid_at", mid_id, mid),
    ):
        if identifier and 1 <= len(value) <= _ONE_BYTE_LENGTH_MAX:
            head = (identifier, len(value)) if wide else (identifier << 4 | (len(value) - 1),)
            body += bytes(head)
            places[name] = 4 + len(body)
            body += value
    if level_id and not wide:
        places["level_at"] = 4 + len(body)
        body += bytes(2)
    if not body and not wide:
        return NO_EXTENSION
    body += bytes(-len(body) % 4)
    places.pop("mid_at", None)
    block = pack("!HH", _TWO_BYTE_PROFILE if wide else _ONE_BYTE_PROFILE, len(body) // 4) + body
    return HeadExtension(block, **places, level_id=level_id, descriptor_id=descriptor_id)


def payload_bytes(packet: RtpPacket) -> int:
    """Bytes of payload without padding (0 for a packet that only probes the network)."""
    if not packet.padding or not packet.payload:
        return len(packet.payload)
    return max(0, len(packet.payload) - packet.payload[-1])


def unwrap_sequence(sequence: int, reference: int) -> int:
    """The 16-bit number as an ever-growing one, the nearest to `reference`."""
    delta = (sequence - reference) & 0xFFFF
    return reference + (delta - SEQUENCE_MOD if delta & 0x8000 else delta)
