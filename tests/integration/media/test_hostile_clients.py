"""Whatever arrives on the port, and whatever a client with valid credentials does: the others' call goes on."""

import os
import socket

import pytest

from mediaserver import rtcp

from .client import HOST_VIDEO, OPUS, VP8, Hall, settle, until

CLIENT_HELLO = bytes.fromhex("16feff0000000000000000007d") + bytes(120)


class Call:
    """A host and a viewer whose packets are counted."""

    def __init__(self, hall, host, viewer):
        self.hall, self.host, self.viewer = hall, host, viewer
        self.sequence = 100

    async def goes_on(self):
        before = len(self.viewer.leg.packets)
        self.sequence += 1
        self.host.video(self.sequence)
        await until(lambda: len(self.viewer.leg.packets) == before + 1, "the next packet of the call")
        assert self.hall.reasons("host") == self.hall.reasons("viewer") == []


@pytest.fixture
async def call(hall: Hall) -> Call:
    await hall.add("host")
    host = await hall.publish("host")
    await hall.add("viewer")
    call = Call(hall, host, await hall.view("viewer"))
    await call.goes_on()
    return call


NOISE = {
    "empty": b"",
    "oversize": b"\x80" * 1501,
    "oversize DTLS": b"\x16" * 1600,
    "stray ClientHello": CLIENT_HELLO,
    "stray DTLS alert": bytes.fromhex("15fefd000000000000000000020100"),
    "RTP": b"\x80\x60" + bytes(60),
    "RTCP": b"\x80\xc8" + bytes(60),
    "one byte": b"\x80",
    "short RTP": b"\x80\x60\x00",
    "STUN header alone": b"\x00\x01\x00\x00\x21\x12\xa4\x42" + bytes(12),
    "STUN with a broken attribute": b"\x00\x01\x00\x08\x21\x12\xa4\x42"
    + bytes(12)
    + b"\x00\x24\x00\x01\xff\0\0\0",
    "STUN with an unknown method": b"\x00\x3f\x00\x00\x21\x12\xa4\x42" + bytes(12),
}


@pytest.mark.parametrize("noise", NOISE)
@pytest.mark.parametrize("source", ["stranger", "host", "viewer"])
async def test_noise_changes_nothing(call, noise, source):
    """From a strange address, and from the addresses of the call itself (forged, or a client gone mad)."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as stranger:
        for _ in range(3):
            if source == "stranger":
                stranger.sendto(NOISE[noise], call.hall.address)
            else:
                (call.host if source == "host" else call.viewer.leg).send(NOISE[noise])
    await settle()
    await call.goes_on()


async def test_random_bytes_change_nothing(call):
    for size in (1, 2, 13, 20, 100, 1200, 1500):
        for first in (0, 1, 22, 23, 128, 144, 191, 255):
            data = bytes([first]) + os.urandom(size - 1)
            call.host.send(data)
            call.viewer.leg.send(data)
    await settle()
    await call.goes_on()


async def test_a_check_without_valid_integrity_is_not_answered_and_verifies_nothing(call):
    intruder = call.hall.leg()
    intruder.remote_ufrag, intruder.remote_password = call.viewer.leg.remote_ufrag, "wrong"
    intruder.send(intruder.check())
    await settle()
    assert intruder.responses == []
    await call.goes_on()
    assert intruder.packets == []


async def test_a_check_without_priority_is_tolerated(call):
    leg = call.viewer.leg
    before = len(leg.responses)
    leg.send(leg.check(without=("PRIORITY", "ICE-CONTROLLING")))
    await until(lambda: len(leg.responses) > before, "a response")


async def test_media_follows_the_address_that_nominated_last(call):
    leg = call.viewer.leg
    former, latter = leg.receiving, leg.open_socket()
    leg.send(leg.check(without=("USE-CANDIDATE",)))
    await settle()
    await call.goes_on()
    assert leg.receiving is former, "a check alone does not move the call"
    await leg.nominate()
    await call.goes_on()
    assert leg.receiving is latter


async def test_nobody_takes_over_the_address_of_a_live_neighbour(call):
    """A payer forges checks, valid for its own transport, with the viewer's source address."""
    hall = call.hall
    await hall.add("payer", metered=True)
    payer = await hall.view("payer")
    before = len(call.viewer.leg.responses)
    call.viewer.leg.send(payer.leg.check())
    await settle()
    assert len(call.viewer.leg.responses) == before
    await call.goes_on()
    lost = call.viewer.leg.packets[-1].sequence
    count = len(call.viewer.leg.packets)
    call.viewer.leg.send_rtcp(rtcp.nack(1, call.viewer.ssrc(), [lost]))
    await until(
        lambda: len(call.viewer.leg.packets) > count, "feedback from the address still counts as the viewer's"
    )


async def test_a_replayed_packet_is_forwarded_once(call):
    await call.goes_on()
    recorded = call.host.on_wire[-1]
    count = len(call.viewer.leg.packets)
    call.host.send(recorded)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as stranger:
        stranger.sendto(recorded, call.hall.address)
    await settle()
    assert len(call.viewer.leg.packets) == count
    await call.goes_on()


async def test_who_sends_with_the_hosts_ssrc_reaches_nobody_through_the_host(call):
    hall = call.hall
    await hall.add("payer", metered=True)
    thief = await hall.publish("payer")  # the very same SSRCs in its own offer
    await settle()
    await call.viewer.follow()
    thief.video(call.sequence + 1, payload=b"stolen")
    await settle()
    assert b"stolen" not in call.viewer.leg.payloads()
    await call.goes_on()
    # With an open gate it is seen, as the payer's own camera and under another SSRC.
    await hall.media.open_gate("payer", None)
    thief.video(call.sequence + 2, payload=b"own")
    await until(lambda: b"own" in call.viewer.leg.payloads(), "the payer's own camera")
    ssrc = {packet.ssrc for packet in call.viewer.leg.packets if packet.payload == b"own"}
    assert ssrc == {call.viewer.ssrc("video", 1)}
    await call.goes_on()


async def test_feedback_for_anothers_subscription_is_ignored(call):
    hall = call.hall
    await hall.add("other")
    other = await hall.view("other")
    await call.goes_on()
    await until(lambda: other.leg.packets, "the other one receives too")
    hall.clock.ahead_ns += 1_000_000_000
    await settle()  # a request that was waiting for its turn has been sent now
    asked, received = len([f for f in call.host.feedback if f.keyframes]), len(call.viewer.leg.packets)
    others, lost = len(other.leg.packets), call.viewer.leg.packets[-1].sequence
    other.leg.send_rtcp(rtcp.nack(1, call.viewer.ssrc(), [lost]))
    other.leg.send_rtcp(rtcp.nack(1, HOST_VIDEO, [call.sequence]))
    for ssrc in (call.viewer.ssrc(), HOST_VIDEO):
        other.leg.send_rtcp(rtcp.picture_loss(1, ssrc))
    hall.clock.ahead_ns += 1_000_000_000
    await settle()
    assert len([f for f in call.host.feedback if f.keyframes]) == asked
    assert (len(call.viewer.leg.packets), len(other.leg.packets)) == (received, others)
    other.leg.send_rtcp(rtcp.picture_loss(1, other.ssrc()))
    await until(lambda: len([f for f in call.host.feedback if f.keyframes]) == asked + 1, "its own is heard")


async def test_a_viewer_who_asks_for_keyframes_all_the_time_is_heard_now_and_then(call):
    """Every keyframe is paid for by all the others with the quality of their picture."""
    hall = call.hall
    await call.goes_on()
    hall.clock.ahead_ns += 1_000_000_000
    await settle()
    asked = len([f for f in call.host.feedback if f.keyframes])
    for _ in range(24):
        for _ in range(5):
            call.viewer.leg.send_rtcp(rtcp.picture_loss(1, call.viewer.ssrc()))
        hall.clock.ahead_ns += 1_000_000_000
        await settle()
        await call.goes_on()
    asked = len([f for f in call.host.feedback if f.keyframes]) - asked
    assert 5 <= asked <= 5 + 27 // 4


async def test_a_payer_with_a_closed_gate_asks_for_no_keyframes(call):
    hall = call.hall
    await hall.add("payer", metered=True)
    payer = await hall.view("payer")
    await settle()
    hall.clock.ahead_ns += 1_000_000_000
    asked = len([f for f in call.host.feedback if f.keyframes])
    payer.leg.send_rtcp(rtcp.picture_loss(1, payer.ssrc()))
    await settle()
    assert len([f for f in call.host.feedback if f.keyframes]) == asked


async def test_streams_per_peer_are_bounded_and_those_in_use_are_kept(call):
    """Authentic packets under ever new SSRCs: they cost no memory and do not crowd out the camera."""
    for ssrc in range(10_000, 10_060):
        call.host.send_rtp(ssrc, VP8, 1, b"new")
    await settle()
    peer = call.hall.media._participants["host"].publisher.peer
    assert len(peer._ssrcs) <= 48
    await call.goes_on()


async def test_a_retired_stream_cannot_be_replayed(call):
    """Its window is gone, so a recorded packet would decrypt once more: it is not taken."""
    call.host.send_rtp(9999, VP8, 1, b"old", extension=b"\xbe\xde\x00\x01\x40v\x00\x00")
    recorded = call.host.on_wire[-1]
    await until(lambda: b"old" in call.viewer.leg.payloads(), "bound by its mid")
    await call.hall.media.publish("host", call.host.offer(), {})
    for ssrc in range(10_000, 10_060):
        call.host.send_rtp(ssrc, VP8, 1, b"new")
    await settle()
    count = len(call.viewer.leg.packets)
    call.host.send(recorded)
    await settle()
    assert len(call.viewer.leg.packets) == count


async def test_what_is_sent_on_the_receiving_transport_reaches_nobody(call):
    count = len(call.viewer.leg.packets)
    call.viewer.leg.send_rtp(HOST_VIDEO, VP8, 5000, b"wrong way")
    call.viewer.leg.send_rtp(1, OPUS, 5000, b"wrong way")
    await settle()
    assert len(call.viewer.leg.packets) == count
    await call.goes_on()
