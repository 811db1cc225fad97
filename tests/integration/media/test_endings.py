"""How transports end: each once, with its reason, and without leaving anything behind."""

import asyncio
import gc
import socket
import weakref

import pytest

from mediaserver.errors import (
    MediaServerFullError,
    NegotiationError,
    NotAllowedToPublishError,
    PortInUseError,
    UnknownOfferError,
    UnknownParticipantError,
)
from mediaserver.events import Closed, Connected, Offer, TracksPublished
from mediaserver.negotiation import Fingerprint

from .client import Hall, settle, until


async def test_a_client_that_closes_is_remote_closed(hall):
    await hall.add("viewer")
    viewer = await hall.view("viewer")
    await viewer.leg._secure.close()
    await until(lambda: hall.reasons("viewer") == ["remote_closed"], "the transport ended")
    with pytest.raises(UnknownParticipantError):
        await hall.media.answer("viewer", 1, "")


async def test_a_publisher_that_closes_takes_its_tracks_away(hall):
    await hall.add("host")
    await hall.add("viewer")
    viewer = await hall.view("viewer")
    host = await hall.publish("host")
    await settle()
    await viewer.follow()
    host.video(1)
    await until(lambda: viewer.leg.packets, "a packet")
    await host._secure.close()
    await until(lambda: hall.reasons("host") == ["remote_closed"], "the transport ended")
    assert hall.of(TracksPublished, "host")[-1].tracks == ()
    await until(lambda: [f for f in viewer.leg.feedback if f.goodbyes], "a BYE")
    await viewer.follow()
    assert viewer.offers[-1].tracks == ()
    assert (await hall.media.liveness())["host"].publish_rtp_ms is None


async def test_who_is_removed_gets_close_notify_on_both_transports(hall):
    await hall.add("host")
    host = await hall.publish("host")
    view = await hall.view("host")
    await hall.media.remove_participant("host")
    await until(lambda: host.gone and view.leg.gone, "close_notify")
    assert hall.of(Closed, "host") == []
    await hall.media.remove_participant("host")


async def test_after_the_removal_returns_nothing_more_is_sent(hall):
    await hall.add("host")
    host = await hall.publish("host")
    await hall.add("viewer")
    viewer = await hall.view("viewer")
    host.video(1)
    await until(lambda: viewer.leg.packets, "a packet")
    await hall.media.remove_participant("viewer")
    host.video(2, 3)
    await settle()
    assert len(viewer.leg.packets) == 1


async def test_a_join_that_never_connects_ends():
    async with Hall(join_timeout_s=0.2) as hall:
        await hall.add("viewer")
        await hall.media.publish("viewer", hall.leg().offer(), {})
        await until(lambda: hall.reasons("viewer") == ["join_timeout"] * 2, "both ended")
        transports = {event.transport for event in hall.of(Closed, "viewer")}
        assert transports == {"publish", "subscribe"}
        assert hall.of(Connected, "viewer") == []


async def test_a_stalled_handshake_ends_by_the_join_timeout():
    async with Hall(join_timeout_s=0.3) as hall:
        await hall.add("host")
        leg = hall.leg()
        leg.learn(await hall.media.publish("host", leg.offer(), {}))
        await leg.nominate()
        await until(lambda: "join_timeout" in hall.reasons("host"), "the handshake was given up")


async def test_a_certificate_that_does_not_match_the_offer_fails(hall):
    await hall.add("host")
    leg = hall.leg()
    offer = leg.offer()
    own = offer.split("a=fingerprint:sha-256 ")[1][:95]
    answer = await hall.media.publish("host", offer.replace(own, ":".join(["00"] * 32)), {})
    leg.learn(answer)
    await leg.nominate()
    connecting = asyncio.create_task(leg._secure.connect("client", [leg.remote_fingerprint]))
    await until(lambda: hall.reasons("host") == ["dtls_failed"], "the handshake was refused")
    connecting.cancel()
    await asyncio.gather(connecting, return_exceptions=True)


async def test_a_client_that_expects_another_certificate_fails(hall):
    await hall.add("host")
    leg = hall.leg()
    leg.learn(await hall.media.publish("host", leg.offer(), {}))
    await leg.nominate()
    assert not await leg._secure.connect("client", [Fingerprint("sha-256", ":".join(["00"] * 32))])


async def test_closing_during_a_handshake_leaves_no_task_behind():
    before = asyncio.all_tasks()
    async with Hall() as hall:
        await hall.add("host")
        leg = hall.leg()
        leg.learn(await hall.media.publish("host", leg.offer(), {}))
        await leg.nominate()
        await settle()
    assert asyncio.all_tasks() == before


async def test_a_caller_who_is_cancelled_leaves_no_half_closed_peer(hall):
    before = asyncio.all_tasks()
    await hall.add("host")
    host = await hall.publish("host")
    removing = asyncio.create_task(hall.media.remove_participant("host"))
    await asyncio.sleep(0)
    removing.cancel()
    await asyncio.gather(removing, return_exceptions=True)
    await hall.media.close()
    await until(lambda: host.gone, "close_notify")
    await host.close()
    assert asyncio.all_tasks() <= before


async def test_a_silent_transport_ends_after_30_s_and_not_before(hall):
    await hall.add("viewer")
    await hall.view("viewer")
    await until(lambda: hall.of(Connected, "viewer"), "connected")
    hall.clock.ahead_ns += 28_000_000_000
    await settle()
    assert hall.reasons("viewer") == []
    hall.clock.ahead_ns += 3_000_000_000
    await until(lambda: hall.reasons("viewer") == ["silent"], "silence was noticed")


async def test_a_check_with_integrity_is_a_sign_of_life(hall):
    await hall.add("viewer")
    viewer = await hall.view("viewer")
    first = (await hall.media.liveness())["viewer"].subscribe_any_ms
    hall.clock.ahead_ns += 5_000_000_000
    await viewer.leg.nominate()
    assert (await hall.media.liveness())["viewer"].subscribe_any_ms >= first + 5000


async def test_a_passive_client_is_served_by_our_active_side(hall):
    await hall.add("host")
    leg = hall.leg()
    answer = await hall.media.publish("host", leg.offer(setup="passive"), {})
    assert "a=setup:active" in answer
    await leg.connect(answer, role="server")
    leg.video(1)
    await until(lambda: hall.of(Connected, "host"), "connected")


async def test_a_port_in_use_is_named_at_start(hall):
    with pytest.raises(PortInUseError, match=str(hall.media.port)):
        async with Hall(port=hall.media.port):
            pass


async def test_a_full_server_refuses():
    async with Hall(peers_max=1) as hall:
        await hall.add("one")
        with pytest.raises(MediaServerFullError):
            await hall.add("two")


async def test_both_address_families_are_served_on_one_port():
    if not socket.has_ipv6:
        pytest.skip("no IPv6 here")
    async with Hall(addresses=("127.0.0.1", "::1")) as hall:
        await hall.add("viewer")
        await until(lambda: hall.of(Offer, "viewer"), "an offer")
        leg = hall.leg()
        leg.server = ("::1", hall.media.port, 0, 0)
        leg._agent.route = (leg._agent.route[0], leg.server)
        leg.open_socket()
        offer = hall.of(Offer, "viewer")[0]
        assert f"::1 {hall.media.port} typ host" in offer.sdp
        await hall.media.answer("viewer", offer.offer_id, leg.answer(offer.sdp))
        await leg.connect(offer.sdp)
        await until(lambda: hall.of(Connected, "viewer"), "connected")


async def test_the_advertised_address_replaces_the_local_ones():
    async with Hall(advertised=("203.0.113.5",)) as hall:
        await hall.add("viewer")
        sdp = hall.of(Offer, "viewer")[0].sdp
        assert f"203.0.113.5 {hall.media.port} typ host" in sdp
        assert "127.0.0.1 " + str(hall.media.port) not in sdp


# --- negotiation through the door ---


async def test_one_offer_is_outstanding_and_changes_are_merged_into_the_next(hall):
    await hall.add("viewer")
    for name in ("ann", "ben"):
        await hall.add(name)
        await hall.publish(name)
    await settle()
    assert len(hall.of(Offer, "viewer")) == 1
    viewer = await hall.view("viewer")
    await settle()
    await viewer.follow()
    assert len(viewer.offers) == 2
    assert {track.participant_id for track in viewer.offers[-1].tracks} == {"ann", "ben"}


async def test_a_bad_answer_changes_nothing_and_the_offer_may_be_answered_again(hall):
    await hall.add("viewer")
    offer = hall.of(Offer, "viewer")[0]
    leg = hall.leg()
    with pytest.raises(NegotiationError):
        await hall.media.answer("viewer", offer.offer_id, "v=0\r\nnonsense")
    with pytest.raises(UnknownOfferError):
        await hall.media.answer("viewer", offer.offer_id + 7, leg.answer(offer.sdp))
    await hall.media.answer("viewer", offer.offer_id, leg.answer(offer.sdp))
    with pytest.raises(UnknownOfferError):
        await hall.media.answer("viewer", offer.offer_id, leg.answer(offer.sdp))


async def test_a_bad_offer_leaves_the_former_publication_alone(hall):
    await hall.add("host")
    host = await hall.publish("host")
    await hall.add("viewer")
    viewer = await hall.view("viewer")
    with pytest.raises(NegotiationError):
        await hall.media.publish("host", host.offer().replace("VP8/90000", "VPX/90000"), {})
    with pytest.raises(NegotiationError):
        await hall.media.publish("host", host.offer(), {"v": "microphone"})
    host.video(1)
    await until(lambda: viewer.leg.packets, "a packet")


async def test_a_page_that_was_reloaded_publishes_anew(hall):
    await hall.add("host")
    former = await hall.publish("host")
    await hall.add("viewer")
    viewer = await hall.view("viewer")
    latter = await hall.publish("host")
    await until(lambda: former.gone, "the former transport was closed")
    await settle()
    await viewer.follow()
    latter.video(1, payload=b"again")
    await until(lambda: viewer.leg.payloads() == [b"again"], "the new publication")
    assert hall.reasons("host") == []


async def test_pausing_by_renegotiation_takes_the_tracks_away_and_back(hall):
    await hall.add("host")
    host = await hall.publish("host")
    await hall.media.publish("host", host.offer(direction="inactive"), {})
    await hall.media.publish("host", host.offer(), {"v": "screen", "a": "screen_audio"})
    await settle()
    published = [[track.source for track in event.tracks] for event in hall.of(TracksPublished, "host")]
    assert published == [["microphone", "camera"], [], ["screen_audio", "screen"]]


async def test_a_camera_may_be_started_anew_any_number_of_times(hall):
    await hall.add("host")
    host = await hall.publish("host")
    await hall.add("viewer")
    viewer = await hall.view("viewer")
    for turn in range(1, 31):
        await hall.media.publish("host", host.offer(video=turn * 100), {})
        host.send_rtp(turn * 100, 96, 7, str(turn).encode())
        await until(lambda: len(viewer.leg.packets) == turn, f"camera {turn}")  # noqa: B023
    first = viewer.leg.packets[0].sequence
    assert [packet.sequence - first for packet in viewer.leg.packets] == list(range(30))


async def test_closing_the_server_twice_is_safe(hall):
    await hall.add("host")
    await hall.media.close()
    await hall.media.close()
    with pytest.raises(MediaServerFullError):
        await hall.add("late")


async def test_taking_the_right_to_publish_closes_the_transport_at_once(hall):
    await hall.add("guest")
    guest = await hall.publish("guest")
    await hall.media.set_may_publish("guest", False)
    await until(lambda: guest.gone, "close_notify")
    assert hall.of(TracksPublished, "guest")[-1].tracks == ()
    with pytest.raises(NotAllowedToPublishError):
        await hall.media.publish("guest", guest.offer(), {})
    await hall.media.set_may_publish("guest", True)
    await hall.publish("guest")


async def test_a_muted_source_is_off_the_air_at_once_and_comes_back_when_it_may(hall):
    await hall.add("guest")
    guest = await hall.publish("guest")
    await hall.add("viewer")
    viewer = await hall.view("viewer")
    guest.video(1)
    await until(lambda: len(viewer.leg.packets) == 1, "media")
    await hall.media.set_muted("guest", "camera", True)
    guest.video(2, 3)
    await settle()
    assert len(viewer.leg.packets) == 1
    await viewer.follow()
    await hall.media.set_muted("guest", "camera", False)
    await settle()
    await viewer.follow()
    guest.video(4)
    await until(lambda: len(viewer.leg.packets) == 2, "media after the mute")
    with pytest.raises(UnknownParticipantError):
        await hall.media.set_muted("nobody", "camera", True)


async def test_an_ice_restart_of_the_publisher_keeps_media_flowing_on_both_credentials(hall):
    await hall.add("host")
    host = await hall.publish("host")
    await hall.add("viewer")
    viewer = await hall.view("viewer")
    former = (host.remote_ufrag, host.remote_password)
    host.ufrag = "restarted"
    answer = await hall.media.publish("host", host.offer(), {})
    host.video(1)
    await until(lambda: len(viewer.leg.packets) == 1, "media before the new check")
    await host.nominate()  # the former credentials still live
    host.open_socket()
    host.learn(answer)
    assert (host.remote_ufrag, host.remote_password) != former
    await host.nominate()
    host.video(2)
    await until(lambda: len(viewer.leg.packets) == 2, "media from the new address")
    answered = len(host.responses)
    host.remote_ufrag, host.remote_password = former
    host.send(host.check())
    await settle()
    assert len(host.responses) == answered, "the former credentials are gone"


async def test_a_restart_of_the_subscriber_offers_fresh_credentials_in_place_of_an_outstanding_offer(hall):
    await hall.add("viewer")
    viewer = await hall.view("viewer")
    former = viewer.leg.remote_ufrag
    await hall.media.restart("viewer", "subscribe")
    await hall.media.restart("viewer", "subscribe")
    await settle()
    first, second = hall.of(Offer, "viewer")[1:]
    with pytest.raises(UnknownOfferError):
        await hall.media.answer("viewer", first.offer_id, viewer.leg.answer(first.sdp))
    viewer.offers.append(first)
    await viewer.follow()
    viewer.leg.learn(second.sdp)
    assert viewer.leg.remote_ufrag != former
    await viewer.leg.nominate()


async def test_calls_about_nobody_are_refused(hall):
    for call in (
        hall.media.publish("nobody", "", {}),
        hall.media.answer("nobody", 1, ""),
        hall.media.restart("nobody", "publish"),
        hall.media.set_may_publish("nobody", True),
        hall.media.open_gate("nobody", None),
        hall.media.close_gate("nobody"),
    ):
        with pytest.raises(UnknownParticipantError):
            await call


async def test_nothing_of_a_viewer_who_has_left_waits_for_the_garbage_collector(hall):
    """A live server hardly ever makes a full collection, and behind a peer there are 100 kB that it does not see."""
    await hall.add("host")
    host = await hall.publish("host")
    await hall.add("viewer")
    viewer = await hall.view("viewer")
    host.video(1)
    await until(lambda: viewer.leg.packets, "a packet")
    subscriber = hall.media._participants["viewer"].subscriber
    peer = subscriber.peer
    kept = {
        type(item).__name__: weakref.ref(item)
        for item in (subscriber, peer, peer.sender, peer._secure._dtls, *peer._secure._sessions)
    }
    del subscriber, peer
    gc.disable()
    try:
        await hall.media.remove_participant("viewer")
        await settle()
        assert [name for name, item in kept.items() if item() is not None] == []
    finally:
        gc.enable()
