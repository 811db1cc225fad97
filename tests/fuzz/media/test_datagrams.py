"""Invariant: no bytes from the network raise out of the parsers (RTP's ValueError aside), make an agent answer
without MESSAGE-INTEGRITY, or make a publication send under anything but the subscriber's own SSRCs."""

import contextlib
import hashlib
import struct
from types import SimpleNamespace

from aioice import stun
from hypothesis import example, given, settings
from hypothesis import strategies as st

from mediaserver import rtcp, rtp
from mediaserver.arrivals import ArrivalLog
from mediaserver.events import TrackInfo
from mediaserver.forwarder import Fanout, PacketForwarder, Subscription
from mediaserver.gate import Lease
from mediaserver.ice import IceServer
from mediaserver.negotiation import OFFERED_CODECS, IncomingMedia
from mediaserver.publication import Publication

ADDRESS = ("198.51.100.7", 4000)


class Port:
    """A UdpPort in memory."""

    def __init__(self):
        self.agents, self.dropped, self.sent = {}, 0, []

    def send(self, data, address):
        self.sent.append((data, address))


class Agent:
    """One agent on a server without sockets."""

    def __init__(self):
        self.server = IceServer(lambda: 1, lambda count: hashlib.sha256(bytes([count])).digest()[:count])
        self.checked = 0
        self.agent = self.server.open_agent(SimpleNamespace(on_checked=self._on_checked))
        self.port = Port()

    def _on_checked(self):
        self.checked += 1

    def request(self):
        message = stun.Message(
            stun.Method.BINDING,
            stun.Class.REQUEST,
            attributes={"USERNAME": f"{self.agent.ufrag}:x", "PRIORITY": 1, "USE-CANDIDATE": None},
        )
        message.add_message_integrity(self.agent.password.encode())
        return bytes(message)


def test_the_check_that_the_others_are_spoiled_from_is_answered():
    target = Agent()
    target.server.check(target.port, target.request(), ADDRESS)
    assert (len(target.port.sent), target.checked) == (1, 1)
    assert target.agent.route == (target.port, ADDRESS)


@settings(max_examples=400, deadline=None)
@given(st.data())
def test_a_spoiled_check_is_never_answered(data: st.DataObject) -> None:
    target = Agent()
    original = target.request()
    request = bytearray(original)
    signed = len(request) - 8  # FINGERPRINT comes last and is no secret
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, signed - 1))
        request[at] ^= data.draw(st.integers(1, 255))
    spoiled = bytes(request)
    if spoiled[:signed] == original[:signed]:
        return
    crc = stun.message_fingerprint(spoiled[:signed]) if data.draw(st.booleans()) else 0
    target.server.check(target.port, spoiled[:signed] + struct.pack("!HHI", 0x8028, 4, crc), ADDRESS)
    target.server.check(target.port, spoiled, ADDRESS)
    assert target.port.sent == []
    assert target.agent.route is None
    assert target.agent.heard_ns == 0


@given(st.binary(max_size=120))
@example(b"\x00\x01\x00\x08\x21\x12\xa4\x42" + bytes(12) + b"\x00\x24\x00\x02\xff\xff\x00\x00")
def test_any_bytes_as_a_check(data: bytes) -> None:
    target = Agent()
    target.server.check(target.port, data, ADDRESS)
    target.server.check(target.port, b"\x00\x01" + data[2:4] + b"\x21\x12\xa4\x42" + data[4:], ADDRESS)
    assert target.port.sent == []


@given(st.binary(max_size=200))
@example(b"\x80\xce\x00\x03" + bytes(8) + b"REMB")
@example(b"\xa0\xcd\x00\x02" + bytes(7) + b"\xff")
def test_any_bytes_as_rtcp(data: bytes) -> None:
    for kind in (None, 200, 201, 203, 205, 206):
        framed = (
            data
            if kind is None
            else bytes([0x80 | len(data) % 32, kind]) + struct.pack("!H", len(data) // 4) + data
        )
        feedback = rtcp.parse(framed)
        assert sum(len(lost) for _, lost in feedback.nacks) <= rtcp.NACKS_MAX
        assert all(0 <= sequence <= 0xFFFF for _, lost in feedback.nacks for sequence in lost)


@given(st.binary(max_size=200))
def test_any_bytes_as_rtp(data: bytes) -> None:
    for framed in (data, b"\x90" + data, b"\xb0" + data):
        with contextlib.suppress(ValueError):
            packet = rtp.parse(framed)
            assert 0 <= rtp.payload_bytes(packet) <= len(packet.payload)
            for identifier in range(1, 15):
                rtp.find_extension(packet.extensions, identifier)


PACKETS = st.lists(
    st.tuples(
        st.sampled_from(["media", "repair"]),
        st.integers(0, 0xFFFF),
        st.integers(0, 0xFFFFFFFF),
        st.sampled_from([5, 6, 7]),
        st.sampled_from([96, 97, 98]),
        st.binary(max_size=6),
        st.booleans(),
    ),
    max_size=60,
)


@settings(max_examples=200, deadline=None)
@given(PACKETS)
def test_any_order_of_packets_leaves_as_a_stream_of_the_subscribers_own(packets) -> None:
    lease = Lease()
    lease.until_ns = 1 << 62
    sent = []
    egress = SimpleNamespace(
        send_rtp=lambda head, payload: sent.append(rtp.parse(head + payload)) or True,
        send_rtcp=lambda _: None,
    )
    clock = iter(range(1, 1 << 40, 1_000_000))
    forwarder = PacketForwarder(lease, lambda: next(clock))
    publication = Publication(
        1,
        TrackInfo("1", "video", "host", "camera"),
        IncomingMedia("1", "video", True, OFFERED_CODECS["VP8"], (5,), {6: 5}, 1, 2),
        forwarder=forwarder,
        cname="c",
        own_ssrc=1,
        send_rtcp=lambda _: None,
    )
    assert isinstance(publication.encodings[0].fanout, Fanout)
    forwarder.add(
        publication.encodings[0].fanout,
        Subscription(1000, 45, (), egress, 100, rtx_ssrc=2000, rtx_payload_type=46),
    )
    for kind, sequence, timestamp, ssrc, payload_type, payload, padding in packets:
        packet = rtp.RtpPacket(False, padding, payload_type, sequence, timestamp, ssrc, b"", payload)
        if kind == "media":
            publication.encodings[0].receive(packet, next(clock))
        else:
            publication.encodings[0].receive_repair(packet, 5, next(clock))
        publication.tick(next(clock))
        publication.encodings[0].report_block(next(clock))
    assert {(packet.ssrc, packet.payload_type) for packet in sent} <= {(1000, 45)}
    numbers, highest = [], 100
    for out in sent:
        numbers.append(rtp.unwrap_sequence(out.sequence, highest))
        highest = max(highest, numbers[-1])
    assert len(numbers) == len(set(numbers)), "a number is never used twice"


@given(st.lists(st.tuples(st.integers(0, 0xFFFF), st.integers(0, 10**12)), min_size=1, max_size=80))
def test_any_arrivals_become_feedback_that_fits_a_datagram(arrivals) -> None:
    log = ArrivalLog()
    for sequence, now_ns in arrivals:
        log.add(sequence, now_ns)
    taken = log.take()
    assert taken is not None
    data = rtcp.transport_cc(1, 2, *taken)
    assert len(data) % 4 == 0
    assert len(data) < 1350
