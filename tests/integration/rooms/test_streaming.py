"""A host who goes live from an encoder, a payer who watches in a player: the same room, the same meter."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from mediaserver.events import Closed
from signaling.stores.schema import segments, sessions, stream_keys
from tests.integration.harness import App, RefusedError, running_app
from tests.integration.rooms.streaming import encoder, order_key, player, room_key


@pytest.fixture
async def app(tmp_path: Path) -> AsyncIterator[App]:
    async with running_app(tmp_path) as running:
        yield running


async def end_codes(app: App, count: int = 1) -> list[str]:
    """How `count` stays ended, once they have."""
    async with asyncio.timeout(20):
        while True:
            await app.settled()
            codes = [row.end_code for row in await app.rows(sessions) if row.end_code is not None]
            if len(codes) >= count:
                return codes
            await asyncio.sleep(0.05)


async def test_a_host_goes_live_from_an_encoder_and_a_payer_watches_in_a_player(app: App) -> None:
    room = await app.create_room()
    async with encoder(app, await room_key(app, room)) as obs:
        await obs.start()
        await app.until_state(room, "live")
        order = await app.buy(room)
        async with player(app, await order_key(app, order)) as vlc:
            await vlc.start()
            await vlc.watching()
            assert (await app.rows(segments))[0].closed_ms is None, "its time is counted"
            assert await vlc.stop() == 200
            await vlc.gone()
        assert await end_codes(app) == ["left"]
        assert (await app.state(order))["pass"]["used_ms"] > 0
        assert await obs.stop() == 200
        await app.until_state(room, "away")


async def test_a_page_watches_an_encoder_beside_the_studio(app: App) -> None:
    room = await app.create_room()
    studio = await app.host(room, live=False)
    async with encoder(app, await room_key(app, room)) as obs:
        await obs.start()
        await app.until_state(room, "live")
        payer = await app.payer(await app.buy(room))
        await payer.watching()
        people = payer.messages["participants"][-1]["participants"]
        assert [(p["role"], p.get("via")) for p in people if p["role"] == "host"] == [
            ("host", None),
            ("host", "whip"),
        ]
        assert next(p for p in people if p.get("via"))["media"] == {
            "microphone": True,
            "camera": True,
            "screen": False,
        }
        # The studio stays the place to moderate, and its leaving does not stop the encoder.
        await studio.send("leave")
        await studio.ended()
        await payer.watching()
        assert (await app.card(room))["state"] == "live"


async def test_the_room_stays_live_when_the_encoder_goes_and_the_studio_sends(app: App) -> None:
    room = await app.create_room()
    await app.host(room)
    async with encoder(app, await room_key(app, room)) as obs:
        await obs.start()
        payer = await app.payer(await app.buy(room))
        await payer.wait("meter", state="counting")
        await obs.stop()
        await obs.gone()
        await payer.receiving()
        assert (await app.card(room))["state"] == "live"
        assert payer.messages["meter"][-1]["state"] == "counting"


async def test_a_player_is_cut_at_the_limit(app: App) -> None:
    room = await app.create_room()
    await app.host(room)
    order = await app.buy(room)
    await app.leave_ms(order, 1_500)
    async with player(app, await order_key(app, order)) as vlc:
        await vlc.start()
        await vlc.gone()
        assert await end_codes(app) == ["used_up"]
        assert (await app.state(order))["pass"]["remaining_ms"] == 0
        status, _, text = await vlc.call("POST", vlc.url, await vlc.offer(), Content_Type="application/sdp")
        assert (status, "pass_used_up" in text) == (410, True)
        assert await vlc.stop() == 404


async def test_a_player_takes_the_place_of_the_page_and_of_an_earlier_player(app: App) -> None:
    room = await app.create_room()
    await app.host(room)
    order = await app.buy(room)
    page = await app.payer(order)
    await page.wait("meter", state="counting")
    key = await order_key(app, order)
    async with player(app, key) as first, player(app, key) as second:
        await first.start()
        assert await page.ended() == ("replaced", 4409)
        await first.watching()
        await second.start()
        await first.gone()
        await second.watching()
        assert (await app.card(room))["seats_left"] == 10, "one pass, one seat"
        assert await first.stop() == 404
    assert await end_codes(app, 3) == ["replaced", "replaced", "left"]


async def test_a_player_that_leaves_without_a_word_ends_its_stay(app: App) -> None:
    room = await app.create_room()
    await app.host(room)
    order = await app.buy(room)
    async with player(app, await order_key(app, order)) as vlc:
        await vlc.start()
        await vlc.watching()
        # What the media server tells when nothing was heard for 30 s.
        app.parts.rooms.on_media(Closed(vlc.location.rsplit("/", 1)[1], "subscribe", "silent"))
        assert await end_codes(app) == ["connection_lost"]


async def test_a_clock_waits_for_the_encoder_and_goes_on_with_its_next_session(app: App) -> None:
    room = await app.create_room()
    key = await room_key(app, room)
    async with encoder(app, key) as first:
        await first.start()
        await app.until_state(room, "live")
        order = await app.buy(room)
        async with player(app, await order_key(app, order)) as vlc:
            await vlc.start()
            await vlc.watching()
            async with encoder(app, key) as second:
                await second.start()  # a newer session replaces the older
                await first.gone()
                assert await first.stop() == 404
                await vlc.receiving()
            await app.until_state(room, "away")


async def test_ending_the_room_ends_the_encoder_and_the_player(app: App) -> None:
    room = await app.create_room()
    studio = await app.host(room, live=False)
    key = await room_key(app, room)
    async with encoder(app, key) as obs:
        await obs.start()
        await app.until_state(room, "live")
        order = await app.buy(room)
        async with player(app, await order_key(app, order)) as vlc:
            await vlc.start()
            await vlc.watching()
            await studio.send("close_room", refund=False)
            await vlc.gone()
            await obs.gone()
        assert await end_codes(app) == ["host_ended"]
    async with encoder(app, key) as again:
        status, _, text = await again.call(
            "POST", again.url, await again.offer(), Content_Type="application/sdp"
        )
        assert (status, "room_closed" in text) == (409, True)


async def test_a_kick_ends_a_player_and_its_key_opens_nothing_more(app: App) -> None:
    room = await app.create_room()
    host = await app.host(room)
    order = await app.buy(room)
    async with player(app, await order_key(app, order)) as vlc:
        await vlc.start()
        await vlc.watching()
        await host.send("kick", participant_id=vlc.location.rsplit("/", 1)[1], refund=False)
        await vlc.gone()
        assert await end_codes(app) == ["kicked"]
        status, _, text = await vlc.call("POST", vlc.url, await vlc.offer(), Content_Type="application/sdp")
        assert (status, "revoked" in text) == (403, True)


async def test_a_full_room_has_no_seat_for_a_player(app: App) -> None:
    room = await app.create_room(capacity=1)
    await app.host(room)
    order = await app.buy(room)
    async with player(app, await order_key(app, order)) as vlc:
        await vlc.start()
        await vlc.watching()
        with pytest.raises(RefusedError, match="409 room_full"):
            await app.buy(room, "Cleo")


@pytest.mark.parametrize("how", ["POST", "DELETE"])
async def test_a_key_that_is_changed_or_taken_back_takes_its_session_along(app: App, how: str) -> None:
    room = await app.create_room()
    path = f"/api/host/rooms/{room.id}/stream-key"
    async with encoder(app, await room_key(app, room)) as obs:
        await obs.start()
        await app.until_state(room, "live")
        answer = await app.call(how, path, bearer=room.host_key)
        await obs.gone()
        status, headers, _ = await obs.call(
            "POST", obs.url, await obs.offer(), Content_Type="application/sdp"
        )
        assert (status, headers["WWW-Authenticate"]) == (401, "Bearer")
        assert answer["url"].endswith("/whip")
        assert ("key" in answer) == (how == "POST")


async def test_a_key_is_told_once_and_kept_as_a_hash(app: App) -> None:
    room = await app.create_room()
    path = f"/api/host/rooms/{room.id}/stream-key"
    assert (await app.call("GET", path, bearer=room.host_key))["created_at"] is None
    key = await room_key(app, room)
    shown = await app.call("GET", path, bearer=room.host_key)
    assert shown["created_at"] is not None
    assert key not in str(shown)
    assert key not in str(await app.rows(stream_keys))
    await app.call("DELETE", path, bearer=room.host_key)
    assert await app.rows(stream_keys) == []


async def test_only_its_owner_makes_a_key(app: App) -> None:
    room = await app.create_room()
    await app.host(room)
    paid = await app.buy(room)
    unpaid, _ = await app.order(room, "Cleo")
    for method in ("GET", "POST", "DELETE"):
        with pytest.raises(RefusedError, match="403 bad_host_key"):
            await app.call(method, f"/api/host/rooms/{room.id}/stream-key", bearer=paid.secret)
        with pytest.raises(RefusedError, match="404 unknown_order"):
            await app.call(method, f"/api/orders/{paid.id}/stream-key", bearer=room.host_key)
        with pytest.raises(RefusedError, match="401 secret_required"):
            await app.call(method, f"/api/orders/{paid.id}/stream-key")
        with pytest.raises(RefusedError, match="402 not_paid"):
            await app.call(method, f"/api/orders/{unpaid.id}/stream-key", bearer=unpaid.secret)


async def test_an_ice_restart_changes_credentials_and_entity_tag_but_not_the_session(app: App) -> None:
    room = await app.create_room()
    async with encoder(app, await room_key(app, room)) as obs:
        await obs.start()
        await app.until_state(room, "live")
        own = next(line for line in obs.peer.localDescription.sdp.split("\r\n") if "ice-ufrag" in line)
        trickle = f"{own}\r\na=ice-pwd:{'x' * 24}\r\nm=audio 9 RTP/AVP 0\r\na=mid:0\r\na=candidate:1 1 udp 1 192.0.2.1 9 typ host\r\n"
        status, headers, text = await obs.patch(trickle, If_Match=obs.etag)
        assert (status, text, "ETag" in headers) == (204, "", False)

        restart = f"a=ice-ufrag:other\r\na=ice-pwd:{'y' * 24}\r\n"
        status, headers, text = await obs.patch(restart, If_Match="*")
        assert status == 200
        assert headers["Content-Type"].startswith("application/trickle-ice-sdpfrag")
        assert text.startswith("a=ice-lite\r\na=ice-ufrag:")
        assert headers["ETag"] not in ("", obs.etag)

        assert (await obs.patch(trickle, If_Match=obs.etag))[0] == 412, "an earlier ICE session's"
        assert (await obs.patch(restart))[0] == 428
        assert (await obs.patch("", If_Match="*"))[0] == 400
        assert (await obs.patch("a=ice-ufrag:half\r\n", If_Match="*"))[0] == 400
        assert (await obs.patch("x" * 20_000, If_Match="*"))[0] == 413
        assert (await obs.patch(restart, If_Match="*", Content_Type="text/plain"))[0] == 415
        assert (await app.card(room))["state"] == "live"
        assert await obs.stop() == 200
