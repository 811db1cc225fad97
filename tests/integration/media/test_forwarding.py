"""A publisher, some viewers, real STUN, DTLS and SRTP between them."""

import asyncio

from mediaserver import rtcp
from mediaserver.events import Connected, Forwarding, Offer, TracksPublished

from .client import HOST_AUDIO, HOST_VIDEO, KEYFRAME, OPUS, VP8, settle, until


async def test_what_the_host_publishes_arrives_under_the_viewers_own_numbers(hall):
    await hall.add("host")
    await hall.add("viewer")
    viewer = await hall.view("viewer")
    host = await hall.publish("host")
    await until(lambda: len(hall.of(Offer, "viewer")) == 2, "the offer with the tracks")
    await viewer.follow()
    host.video(1000, 1001)
    host.send_rtp(HOST_AUDIO, OPUS, 5, b"sound")
    await until(lambda: len(viewer.leg.packets) == 3, "three packets")
    assert viewer.leg.payloads() == [KEYFRAME, KEYFRAME]
    assert viewer.leg.payloads("audio") == [b"sound"]
    assert {packet.ssrc for packet in viewer.leg.packets} == {viewer.ssrc("video"), viewer.ssrc("audio")}
    assert HOST_VIDEO not in {packet.ssrc for packet in viewer.leg.packets}
    assert [track.source for track in viewer.offers[-1].tracks] == ["microphone", "camera"]
    assert hall.of(TracksPublished, "host")[0].tracks[1].participant_id == "host"


async def test_the_subscribe_transport_connects_with_nothing_to_receive(hall):
    await hall.add("viewer")
    await hall.view("viewer")
    await until(lambda: hall.of(Connected, "viewer"), "connected")
    assert (await hall.media.liveness())["viewer"].subscribe_any_ms is not None


async def test_a_stream_is_bound_by_its_mid_when_the_offer_names_no_ssrc(hall):
    await hall.add("host")
    host = await hall.publish("host", ssrcs=False)
    await hall.add("viewer")
    viewer = await hall.view("viewer")
    host.send_rtp(77, VP8, 1, b"unnamed")
    host.send_rtp(78, VP8, 1, b"named", extension=b"\xbe\xde\x00\x01\x40v\x00\x00")
    host.send_rtp(78, VP8, 2, b"bound")
    await until(lambda: len(viewer.leg.packets) == 2, "two packets")
    assert viewer.leg.payloads() == [b"named", b"bound"]


async def test_a_viewer_who_joins_makes_the_host_send_a_keyframe(hall):
    await hall.add("host")
    host = await hall.publish("host")
    host.video(1)
    await hall.add("viewer")
    await hall.view("viewer")
    assert not [f for f in host.feedback if f.keyframes]
    host.video(2)
    await until(lambda: [f for f in host.feedback if HOST_VIDEO in f.keyframes], "a keyframe request")


async def test_a_gate_lets_media_pass_for_its_allowance(hall):
    await hall.add("host")
    await hall.add("payer", metered=True)
    host = await hall.publish("host")
    payer = await hall.view("payer")
    await settle()
    await payer.follow()
    host.video(1)
    await settle()
    assert payer.leg.packets == []
    await hall.media.open_gate("payer", 200)
    await until(lambda: [f for f in host.feedback if f.keyframes], "a keyframe request at the opening")
    for number in range(2, 42):
        host.video(number)
        await asyncio.sleep(0.01)
    report = await hall.media.close_gate("payer")
    (forwarding,) = hall.of(Forwarding, "payer")
    assert report.first_forwarded_ms == forwarding.since_ms
    assert report.stopped_ms == forwarding.since_ms + 200
    assert 150 <= report.last_forwarded_ms - report.first_forwarded_ms <= 200
    assert 1 < len(payer.leg.packets) < 30
    assert (await hall.media.close_gate("payer")).first_forwarded_ms is None


async def test_nothing_passes_without_a_lease(hall):
    await hall.add("host")
    host = await hall.publish("host")
    await hall.add("viewer")
    viewer = await hall.view("viewer")
    host.video(1)
    await until(lambda: viewer.leg.packets, "a packet under the lease")
    await hall.media.set_lease(hall.clock.ms)
    host.video(2, 3)
    await settle()
    assert len(viewer.leg.packets) == 1
    await hall.media.set_lease(hall.clock.ms + 10_000)
    host.video(4)
    await until(lambda: len(viewer.leg.packets) == 2, "a packet under the renewed lease")


async def test_the_hosts_clock_reaches_the_viewer_in_a_sender_report(hall):
    await hall.add("host")
    host = await hall.publish("host")
    await hall.add("viewer")
    viewer = await hall.view("viewer")
    host.video(7)
    await until(lambda: viewer.leg.packets, "a packet")
    host.send_rtcp(rtcp.sender_report(rtcp.SenderReport(HOST_VIDEO, 99 << 32, 7 * 3000, 1, 6)))
    await until(lambda: [f for f in viewer.leg.feedback if f.sender_reports], "a sender report")
    report = next(f for f in viewer.leg.feedback if f.sender_reports).sender_reports[0]
    assert report == rtcp.SenderReport(viewer.ssrc(), 99 << 32, 7 * 3000, 1, 6)


async def test_the_host_gets_reports_and_requests_for_what_was_lost(hall):
    await hall.add("host")
    host = await hall.publish("host")
    host.video(1, 2, 5)
    await until(lambda: [f for f in host.feedback if f.nacks], "a NACK")
    assert next(f for f in host.feedback if f.nacks).nacks == [(HOST_VIDEO, [3, 4])]
    await until(lambda: [f for f in host.feedback if f.reports], "a receiver report")


async def test_a_nack_is_answered_by_a_retransmission(hall):
    await hall.add("host")
    host = await hall.publish("host")
    await hall.add("viewer")
    viewer = await hall.view("viewer")
    host.video(1, payload=b"one")
    host.video(2, payload=b"two")
    await until(lambda: len(viewer.leg.packets) == 2, "two packets")
    lost = viewer.leg.packets[1].sequence
    viewer.leg.send_rtcp(rtcp.nack(1, viewer.ssrc(), [lost]))
    await until(lambda: len(viewer.leg.packets) == 3, "a retransmission")
    again = viewer.leg.packets[2]
    assert again.payload == lost.to_bytes(2, "big") + b"two"
    assert again.ssrc != viewer.ssrc()
    assert again.payload_type != VP8


async def test_a_retransmission_from_the_host_fills_the_gap(hall):
    await hall.add("host")
    host = await hall.publish("host")
    await hall.add("viewer")
    viewer = await hall.view("viewer")
    host.video(1, 3)
    host.send_rtp(HOST_VIDEO + 1, 97, 900, b"\x00\x02two")
    await until(lambda: len(viewer.leg.packets) == 3, "three packets")
    first = viewer.leg.packets[0].sequence
    assert [p.sequence - first for p in viewer.leg.packets] == [0, 2, 1]
    assert viewer.leg.packets[2].payload == b"two"


async def test_cohosts_see_each_other(hall):
    for name in ("ann", "ben"):
        await hall.add(name)
    ann, ben = await hall.publish("ann"), await hall.publish("ben", video=0xBE0, audio=0xBE8)
    await settle()
    views = {name: await hall.view(name) for name in ("ann", "ben")}
    await settle()
    for view in views.values():
        await view.follow()
    ann.video(1, payload=b"ann")
    ben.send_rtp(0xBE0, VP8, 1, b"ben")
    await until(lambda: views["ann"].leg.packets and views["ben"].leg.packets, "both see")
    assert views["ann"].leg.payloads() == [b"ben"]
    assert views["ben"].leg.payloads() == [b"ann"]


async def test_traffic_is_counted(hall):
    await hall.add("host")
    host = await hall.publish("host")
    await hall.add("viewer")
    viewer = await hall.view("viewer")
    host.video(1, 2)
    await until(lambda: len(viewer.leg.packets) == 2, "two packets")
    stats = hall.media.stats().participants
    assert stats["host"]["publish"].packets_in == 2
    assert stats["viewer"]["subscribe"].packets_out == 2
    assert stats["viewer"]["subscribe"].bytes_out > 2 * len(KEYFRAME)
