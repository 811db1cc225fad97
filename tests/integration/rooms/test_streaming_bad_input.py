"""What an encoder or a player must not send: a clear refusal, and nothing lost for who is live."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from tests.integration.harness import App, running_app
from tests.integration.rooms.streaming import SDP, StreamClient, encoder, order_key, player, room_key


@pytest.fixture
async def app(tmp_path: Path) -> AsyncIterator[App]:
    async with running_app(tmp_path, ice_servers=ICE) as running:
        yield running


ICE = (
    {"urls": ["turn:turn.example.org?transport=udp"], "username": 'a"b', "credential": "c"},
    {"urls": "stun:stun.example.org"},
)


def changed(offer: str, old: str, new: str) -> str:
    assert old in offer
    return offer.replace(old, new)


def bad_offers(offer: str) -> dict[str, tuple[str | bytes, int, str]]:
    """What is wrong: the body, the status, the code."""
    media = offer[offer.index("m=video") :]
    return {
        "nothing": ("", 400, "bad_sdp"),
        "no SDP": ("hello", 400, "bad_sdp"),
        "JSON": ('{"sdp": "v=0"}', 400, "bad_sdp"),
        "broken lines": ("v=0\r\nnonsense", 400, "bad_sdp"),
        "no text": (b"v=0\r\n\xff\xfe", 400, "bad_sdp"),
        "no media": ("v=0\r\ns=-\r\n", 422, "unusable_offer"),
        "no codec of ours": (changed(changed(offer, "VP8", "XYZ"), "H264", "XYZ"), 422, "unusable_offer"),
        "no fingerprint": (changed(offer, "a=fingerprint", "a=finger"), 422, "unusable_offer"),
        "no rtcp-mux": (changed(offer, "a=rtcp-mux", "a=rtcp-no"), 422, "unusable_offer"),
        "two pictures": (
            offer + changed(media, "a=mid:1", "a=mid:2") + changed(media, "a=mid:1", "a=mid:3"),
            422,
            "unusable_offer",
        ),
        "too long": ("v=0\r\n" + "a=x\r\n" * 15_000, 413, "too_large"),
    }


async def refusal(client: StreamClient, body: Any, **headers: str) -> tuple[int, str]:
    status, answered, text = await client.call("POST", client.url, body, **{"Content_Type": SDP} | headers)
    assert answered["Access-Control-Allow-Origin"] == "*"
    return status, text.split('"code": "')[1].split('"')[0]


async def test_an_offer_that_cannot_be_used_is_refused_and_the_live_encoder_stays(app: App) -> None:
    room = await app.create_room()
    key = await room_key(app, room)
    async with encoder(app, key) as live, encoder(app, key) as bad:
        await live.start()
        await app.until_state(room, "live")
        offer = await bad.offer()
        for name, (body, status, code) in bad_offers(offer).items():
            assert await refusal(bad, body) == (status, code), name
        receiving = changed(offer, "a=sendonly", "a=recvonly")
        assert await refusal(bad, receiving) == (422, "unusable_offer")
        assert await refusal(bad, offer, Content_Type="application/json") == (415, "wrong_type")
        assert (await app.card(room))["state"] == "live"
        assert await live.stop() == 200


async def test_a_player_whose_offer_cannot_be_used_takes_no_seat_and_ends_no_stay(app: App) -> None:
    room = await app.create_room()
    await app.host(room)
    order = await app.buy(room)
    page = await app.payer(order)
    await page.wait("meter", state="counting")
    async with player(app, await order_key(app, order)) as bad:
        offer = await bad.offer()
        for name, (body, status, code) in bad_offers(offer).items():
            if name != "two pictures":
                assert await refusal(bad, body) == (status, code), name
        assert await refusal(bad, changed(offer, "a=recvonly", "a=sendonly")) == (422, "unusable_offer")
        await page.watching()


async def test_keys_open_what_they_were_made_for_and_nothing_else(app: App) -> None:
    room = await app.create_room()
    host = await app.host(room)
    order = await app.buy(room)
    host_key, viewer_key = await room_key(app, room), await order_key(app, order)
    async with encoder(app, viewer_key) as thief, player(app, host_key) as other:
        assert await refusal(thief, await thief.offer()) == (403, "wrong_stream_key")
        assert await refusal(other, await other.offer()) == (403, "wrong_stream_key")
        for key in ("", "whip_unknown", order.secret, room.host_key, await app.token(order), "x" * 300):
            thief.key = key
            status, _ = await refusal(thief, await thief.offer())
            assert status == 401, key
        await host.send("leave")


async def test_a_session_obeys_the_key_it_began_with(app: App) -> None:
    room, elsewhere = await app.create_room(), await app.create_room()
    async with encoder(app, await room_key(app, room)) as live:
        await live.start()
        await app.until_state(room, "live")
        session = live.location.rsplit("/", 1)[1]
        live.key, own = await room_key(app, elsewhere), live.key
        assert await live.stop() == 403
        live.key = ""
        assert await live.stop() == 401
        live.key = own
        for path in (f"/whep/{session}", "/whip/par_unknown"):
            assert (await live.call("DELETE", app.url + path))[0] == 404, path
        assert await live.stop() == 200
        assert await live.stop() == 404


async def test_methods_kept_for_later_versions_are_refused(app: App) -> None:
    for path, methods in {"/whip": "GET PUT DELETE PATCH", "/whep/par_x": "GET PUT POST"}.items():
        for method in methods.split():
            async with app.http.request(method, app.url + path) as response:
                assert response.status == 405, (method, path)


async def test_options_say_what_is_accepted_from_any_origin(app: App) -> None:
    expected = {
        "/whip": ("Accept-Post", "application/sdp"),
        "/whep/x": ("Accept-Patch", "application/trickle-ice-sdpfrag"),
    }
    for path, (name, value) in expected.items():
        async with app.http.options(app.url + path) as response:
            assert response.status == 200
            assert response.headers[name] == value
            assert response.headers["Access-Control-Allow-Origin"] == "*"
            assert "Authorization" in response.headers["Access-Control-Allow-Headers"]


async def test_the_answer_names_the_ice_servers_and_a_session_url_of_the_callers_own_host(app: App) -> None:
    room = await app.create_room()
    async with encoder(app, await room_key(app, room)) as live:
        await live.start()
        await app.until_state(room, "live")
        assert live.headers.getall("Link") == [
            '<turn:turn.example.org?transport=udp>; rel="ice-server"; username="a\\"b"; credential="c"; credential-type="password"',
            '<stun:stun.example.org>; rel="ice-server"',
        ]
        assert live.headers["Location"].startswith(app.url + "/whip/par_")
        assert live.headers["Cache-Control"] == "no-store"
        assert live.headers["Access-Control-Expose-Headers"].startswith("Location, ETag")
