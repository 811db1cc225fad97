"""RTCP: what is read from clients and what is written to them (RFC 3550, 4585, 5104, transport-wide-cc). Pure.

Reading is tolerant: a broken compound yields the packets before the fault. Bounded: at most
`NACKS_MAX` lost packets are taken from one datagram.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from struct import pack, unpack_from

SENDER_REPORT = 200
RECEIVER_REPORT = 201
SOURCE_DESCRIPTION = 202
GOODBYE = 203
TRANSPORT_FEEDBACK = 205
PAYLOAD_FEEDBACK = 206
NACKS_MAX = 512
STATUSES_MAX = 2048
_FORMAT_NACK = 1
_FORMAT_PLI = 1
_FORMAT_FIR = 4
_FORMAT_TRANSPORT_CC = 15
_FORMAT_APPLICATION = 15


@dataclass(frozen=True, slots=True)
class ReportBlock:
    """RFC 3550 section 6.4.1. `fraction_lost` in 1/256; delays in 1/65536 s."""

    ssrc: int
    fraction_lost: int
    packets_lost: int
    highest_sequence: int
    jitter: int
    last_sender_report: int
    delay_since_last: int


@dataclass(frozen=True, slots=True)
class SenderReport:
    """`ntp` is the 64-bit NTP time of the sender's clock, `rtp` the media time of the same moment."""

    ssrc: int
    ntp: int
    rtp: int
    packets: int
    octets: int


@dataclass(frozen=True, slots=True)
class TransportFeedback:
    """Which packets arrived, and when: for the numbers from `base` (16 bits) on, the time since the one before them
    that arrived, in ticks of 250 µs, None for what did not arrive. The first counts from `reference`, 24 bits in
    units of 64 ms."""

    base: int
    reference: int
    deltas: tuple[int | None, ...]


@dataclass(slots=True)
class Feedback:
    """Everything of use in one RTCP datagram."""

    sender_ssrcs: list[int] = field(default_factory=list)
    sender_reports: list[SenderReport] = field(default_factory=list)
    receiver_reports: int = 0
    reports: list[ReportBlock] = field(default_factory=list)
    goodbyes: list[int] = field(default_factory=list)
    nacks: list[tuple[int, list[int]]] = field(default_factory=list)
    keyframes: list[int] = field(default_factory=list)
    bitrates_bps: list[tuple[int, int]] = field(default_factory=list)
    transport: list[TransportFeedback] = field(default_factory=list)


# --- reading ---------------------------------------------------------------------------------------------


def parse(data: bytes) -> Feedback:
    """Read a compound or reduced-size RTCP datagram."""
    feedback = Feedback()
    for kind, count, body in _split(data):
        if len(body) >= 4:  # noqa: PLR2004 - the sender's SSRC
            _PARSERS.get(kind, _ignore)(feedback, count, body)
    return feedback


def _split(data: bytes) -> Iterator[tuple[int, int, bytes]]:
    """(type, count or format, body after the four header bytes) of each packet."""
    at = 0
    while at + 4 <= len(data) and data[at] >> 6 == 2:  # noqa: PLR2004 - the version
        length = 4 + 4 * int.from_bytes(data[at + 2 : at + 4], "big")
        if at + length > len(data):
            return
        body = data[at + 4 : at + length]
        if data[at] & 0x20 and body:
            body = body[: max(0, len(body) - body[-1])]
        yield data[at + 1], data[at] & 0x1F, body
        at += length


def _ignore(_feedback: Feedback, _count: int, _body: bytes) -> None:
    return


def _parse_sender_report(feedback: Feedback, count: int, body: bytes) -> None:
    if len(body) < 24:  # noqa: PLR2004 - RFC 3550 section 6.4.1
        return
    ssrc, ntp, rtp, packets, octets = unpack_from("!IQIII", body)
    feedback.sender_ssrcs.append(ssrc)
    feedback.sender_reports.append(SenderReport(ssrc, ntp, rtp, packets, octets))
    feedback.reports += _report_blocks(count, body, 24)


def _parse_receiver_report(feedback: Feedback, count: int, body: bytes) -> None:
    feedback.sender_ssrcs.append(int.from_bytes(body[:4], "big"))
    feedback.receiver_reports += 1
    feedback.reports += _report_blocks(count, body, 4)


def _report_blocks(count: int, body: bytes, start: int) -> Iterator[ReportBlock]:
    for at in range(start, min(start + 24 * count, len(body) - 23), 24):
        ssrc, loss, highest, jitter, last, delay = unpack_from("!IIIIII", body, at)
        lost = loss & 0xFFFFFF
        lost -= (lost & 0x800000) << 1
        yield ReportBlock(ssrc, loss >> 24, lost, highest, jitter, last, delay)


def _parse_goodbye(feedback: Feedback, count: int, body: bytes) -> None:
    for at in range(0, min(4 * count, len(body) - 3), 4):
        feedback.goodbyes.append(int.from_bytes(body[at : at + 4], "big"))


def _parse_transport_feedback(feedback: Feedback, count: int, body: bytes) -> None:
    if count == _FORMAT_TRANSPORT_CC:
        _parse_transport_cc(feedback, body)
        return
    if count != _FORMAT_NACK or len(body) < 8:  # noqa: PLR2004 - two SSRCs
        return
    sender, media = unpack_from("!II", body)
    feedback.sender_ssrcs.append(sender)
    room = NACKS_MAX - sum(len(lost) for _, lost in feedback.nacks)
    lost: list[int] = []
    for at in range(8, len(body) - 3, 4):
        if len(lost) >= room:
            break
        first, mask = unpack_from("!HH", body, at)
        lost += [first] + [(first + bit + 1) & 0xFFFF for bit in range(16) if mask >> bit & 1]
    if lost and room > 0:
        feedback.nacks.append((media, lost[:room]))


def _parse_transport_cc(feedback: Feedback, body: bytes) -> None:
    """draft-holmer-rmcat-transport-wide-cc-extensions-01 section 3.1. A broken or endless one says nothing."""
    if len(body) < 16:  # noqa: PLR2004 - two SSRCs, base, count, reference time, number
        return
    base, count, reference = unpack_from("!HHI", body, 8)
    if count > STATUSES_MAX:
        return
    feedback.sender_ssrcs.append(int.from_bytes(body[:4], "big"))
    symbols, at = _read_symbols(body, count)
    deltas: list[int | None] = []
    for symbol in symbols:
        # 1: one byte; 2: two bytes, signed; 3 is reserved.
        if symbol == 3 or at + symbol > len(body):  # noqa: PLR2004
            return
        deltas.append(int.from_bytes(body[at : at + symbol], "big", signed=symbol == 2) if symbol else None)  # noqa: PLR2004
        at += symbol
    if len(deltas) == count:
        feedback.transport.append(TransportFeedback(base, reference >> 8, tuple(deltas)))


def _read_symbols(body: bytes, count: int) -> tuple[list[int], int]:
    """`count` statuses, fewer when the chunks end early, and where the deltas begin."""
    symbols: list[int] = []
    at = 16
    while len(symbols) < count and at + 2 <= len(body):
        word = int.from_bytes(body[at : at + 2], "big")
        at += 2
        if word < 0x8000:  # noqa: PLR2004 - a run of one status
            symbols += [word >> 13] * min(word & 0x1FFF, count - len(symbols))
        elif word < 0xC000:  # noqa: PLR2004 - 14 statuses of one bit
            symbols += [word >> (13 - bit) & 1 for bit in range(14)]
        else:  # seven of two bits
            symbols += [word >> (12 - 2 * place) & 3 for place in range(7)]
    return symbols[:count], at


def _parse_payload_feedback(feedback: Feedback, count: int, body: bytes) -> None:
    if len(body) < 8:  # noqa: PLR2004 - two SSRCs
        return
    sender, media = unpack_from("!II", body)
    feedback.sender_ssrcs.append(sender)
    if count == _FORMAT_PLI:
        feedback.keyframes.append(media)
    elif count == _FORMAT_FIR:
        feedback.keyframes += [int.from_bytes(body[at : at + 4], "big") for at in range(8, len(body) - 7, 8)]
    elif count == _FORMAT_APPLICATION and body[8:12] == b"REMB":
        _parse_remb(feedback, body)


def _parse_remb(feedback: Feedback, body: bytes) -> None:
    """draft-alvestrand-rmcat-remb section 2.2."""
    if len(body) < 16:  # noqa: PLR2004 - identifier, count, exponent and mantissa
        return
    word = int.from_bytes(body[12:16], "big")
    bitrate = (word & 0x3FFFF) << (word >> 18 & 0x3F)
    for at in range(16, min(16 + 4 * (word >> 24), len(body) - 3), 4):
        feedback.bitrates_bps.append((int.from_bytes(body[at : at + 4], "big"), bitrate))


_PARSERS = {
    SENDER_REPORT: _parse_sender_report,
    RECEIVER_REPORT: _parse_receiver_report,
    GOODBYE: _parse_goodbye,
    TRANSPORT_FEEDBACK: _parse_transport_feedback,
    PAYLOAD_FEEDBACK: _parse_payload_feedback,
}


# --- writing ---------------------------------------------------------------------------------------------


def _packet(count: int, kind: int, body: bytes) -> bytes:
    body += bytes(-len(body) % 4)
    return pack("!BBH", 0x80 | count, kind, len(body) // 4) + body


def sender_report(report: SenderReport) -> bytes:
    body = pack("!IQIII", report.ssrc, report.ntp, report.rtp, report.packets, report.octets)
    return _packet(0, SENDER_REPORT, body)


def receiver_report(ssrc: int, blocks: Sequence[ReportBlock]) -> bytes:
    """At most 31 blocks fit (five bits count them)."""
    body = pack("!I", ssrc)
    for block in blocks[:31]:
        loss = block.fraction_lost << 24 | (block.packets_lost & 0xFFFFFF)
        tail = (block.jitter, block.last_sender_report, block.delay_since_last)
        body += pack("!IIIIII", block.ssrc, loss, block.highest_sequence, *tail)
    return _packet(len(blocks[:31]), RECEIVER_REPORT, body)


def source_description(ssrc: int, cname: str) -> bytes:
    name = cname.encode()[:255]
    return _packet(1, SOURCE_DESCRIPTION, pack("!IBB", ssrc, 1, len(name)) + name + b"\0")


def goodbye(ssrc: int) -> bytes:
    return _packet(1, GOODBYE, pack("!I", ssrc))


def picture_loss(sender_ssrc: int, media_ssrc: int) -> bytes:
    return _packet(_FORMAT_PLI, PAYLOAD_FEEDBACK, pack("!II", sender_ssrc, media_ssrc))


def nack(sender_ssrc: int, media_ssrc: int, lost: Iterable[int]) -> bytes:
    """`lost` are 16-bit sequence numbers in growing order (RFC 4585 section 6.2.1)."""
    pairs: list[list[int]] = []
    for sequence in lost:
        distance = (sequence - pairs[-1][0] - 1) & 0xFFFF if pairs else 0xFFFF
        if distance < 16:  # noqa: PLR2004 - bits of the mask
            pairs[-1][1] |= 1 << distance
        else:
            pairs.append([sequence, 0])
    body = pack("!II", sender_ssrc, media_ssrc) + b"".join(pack("!HH", *pair) for pair in pairs)
    return _packet(_FORMAT_NACK, TRANSPORT_FEEDBACK, body)


def transport_cc(sender_ssrc: int, media_ssrc: int, count: int, arrivals: Sequence[tuple[int, int]]) -> bytes:
    """Feedback on `arrivals`: (ever-growing transport-wide sequence, arrival in µs), sorted by sequence,
    within 4096 numbers of one another. `count` numbers the feedback packets modulo 256.
    draft-holmer-rmcat-transport-wide-cc-extensions-01 section 3.1."""
    base = arrivals[0][0]
    reference = arrivals[0][1] // 64_000
    symbols = [0] * (arrivals[-1][0] - base + 1)
    deltas = b""
    clock = reference * 256  # in ticks of 250 µs
    for sequence, arrival_us in arrivals:
        delta = arrival_us // 250 - clock
        small = 0 <= delta <= 255  # noqa: PLR2004 - what one byte holds
        delta = max(-32768, min(32767, delta))
        clock += delta
        symbols[sequence - base] = 1 if small else 2
        deltas += pack("!B" if small else "!h", delta)
    body = pack("!IIHH", sender_ssrc, media_ssrc, base & 0xFFFF, len(symbols))
    body += (reference & 0xFFFFFF).to_bytes(3, "big") + bytes([count & 0xFF])
    body += _status_chunks(symbols) + deltas
    # Padding is declared: undeclared zeros would read as further arrivals.
    padding = -len(body) % 4
    body += bytes(padding - 1) + bytes([padding]) if padding else b""
    count_bits = _FORMAT_TRANSPORT_CC | (0x20 if padding else 0)
    return _packet(count_bits, TRANSPORT_FEEDBACK, body)


def _status_chunks(symbols: Sequence[int]) -> bytes:
    """Two-bit status vectors: seven symbols to a chunk."""
    chunks = b""
    for at in range(0, len(symbols), 7):
        part = [*symbols[at : at + 7], 0, 0, 0, 0, 0, 0][:7]
        word = 0xC000
        for place, symbol in enumerate(part):
            word |= symbol << (12 - 2 * place)
        chunks += pack("!H", word)
    return chunks
