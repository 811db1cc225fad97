"""What a client must not send: an answer to it alone, and nothing lost for the others."""

import asyncio
import json
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from tests.integration.harness import App, Client, running_app

FIRST = {
    "not JSON": "hello",
    "no object": "[1, 2]",
    "no type": "{}",
    "unknown type": '{"type": "nonsense"}',
    "not yet": '{"type": "chat", "text": "hi"}',
    "wrong type": '{"type": "join", "token": 7}',
    "oversize": json.dumps({"type": "join", "token": "x" * 70_000}),
}
LATER = {
    "bad_json": ["{", "[]", '"text"', "\u0000"],
    "unknown_type": ['{"type": "nonsense"}'],
    "bad_message": [
        '{"type": 5}',
        '{"type": "chat"}',
        '{"type": "chat", "text": ""}',
        json.dumps({"type": "chat", "text": "x" * 2001}),
        '{"type": "publish", "sdp": ["v=0"]}',
        '{"type": "answer", "offer_id": "1", "sdp": "v=0"}',
        '{"type": "restart", "transport": "sideways"}',
    ],
    "too_large": [json.dumps({"type": "chat", "text": "x" * 66_000})],
    "out_of_order": ['{"type": "join", "token": "again"}', '{"type": "resume", "key": "again"}'],
    "forbidden": ['{"type": "lock", "locked": true}', '{"type": "close_room"}'],
    "bad_sdp": ['{"type": "publish", "sdp": "v=0\\r\\nnonsense"}'],
    "unknown_offer": ['{"type": "answer", "offer_id": 999, "sdp": "v=0"}'],
}


async def _joined(app: App) -> Client:
    room = await app.create_room()
    host = await app.host(room)
    payer = await app.payer(await app.buy(room), media=False)
    await host.wait("notice", kind="joined")
    return payer


async def test_before_joining_anything_else_closes_with_4400(tmp_path: Path) -> None:
    async with running_app(tmp_path) as app:
        for name, text in FIRST.items():
            stranger = app.client(media=False)
            await stranger.open()
            await stranger.send_text(text)
            assert await stranger.ended() == ("protocol_error", 4400), name
        binary = app.client(media=False)
        await binary.open()
        assert binary.ws is not None
        await binary.ws.send_bytes(b"\x00\x01")
        assert await binary.ended() == ("protocol_error", 4400)
        flood = app.client(media=False)
        await flood.open()
        await flood.send_text("x" * 2_000_000)
        async with flood.said:
            await flood.said.wait_for(lambda: flood.close_code is not None)
        assert flood.close_code == 1009


async def test_after_joining_each_mistake_has_its_code_and_changes_nothing(tmp_path: Path) -> None:
    async with running_app(tmp_path) as app:
        payer = await _joined(app)
        for code, texts in LATER.items():
            for text in texts:
                payer.forget("error")
                await payer.send_text(text)
                error = await payer.wait("error")
                assert error["code"] == code, (text[:60], error)
        assert payer.ws is not None
        payer.forget("error")
        await payer.ws.send_bytes(b"{}")
        await payer.wait("error", code="binary")
        await payer.ping()
        assert not payer.messages["ended"]


async def test_too_many_mistakes_and_too_many_messages_end_the_connection_only(tmp_path: Path) -> None:
    async with running_app(tmp_path) as app:
        payer = await _joined(app)
        for _ in range(25):
            await payer.send_text("{")
        assert await payer.ended() == ("protocol_error", 4400)
        # The stay itself goes on for whoever has its key.
        key = payer.messages["joined"][0]["resume_key"]
        payer.forget("ended")
        payer.close_code = None
        await payer.resume(key)
        await payer.wait("joined", resumed=True)
        for n in range(500):
            await payer.send("ping", n=n)
        assert await payer.ended() == ("rate_limited", 4429)


async def test_a_flood_of_chat_is_refused_to_its_writer(tmp_path: Path) -> None:
    async with running_app(tmp_path) as app:
        payer = await _joined(app)
        for n in range(15):
            await payer.send("chat", text=f"line {n}")
        await payer.wait("error", code="rate_limited", re="chat")
        assert not payer.messages["ended"]


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        (b"", 422, "invalid"),
        (b"{", 422, "invalid"),
        (b"[]", 422, "invalid"),
        (b'{"room_id": 5, "host_key": "x"}', 422, "invalid"),
        (b'{"room_id": "room_x", "host_key": "x"}', 403, "bad_host_key"),
        (b"x" * 40_000, 413, "too_large"),
    ],
)
async def test_http_bodies_are_parsed_or_refused(tmp_path: Path, body: bytes, status: int, code: str) -> None:
    async with running_app(tmp_path) as app:
        headers = {"Content-Type": "application/json"}
        async with app.http.post(f"{app.url}/api/host/token", data=body, headers=headers) as response:
            answer: Any = await response.json()
        assert (response.status, answer["error"]["code"]) == (status, code)


async def test_a_client_that_does_not_read_is_dropped_and_the_others_stay(tmp_path: Path) -> None:
    async with running_app(tmp_path) as app:
        room = await app.create_room()
        host = await app.host(room)
        token = await app.token(await app.buy(room))
        async with aiohttp.ClientSession() as http:
            ws = await http.ws_connect(f"{app.url}/ws")
            await ws.send_json({"type": "join", "token": token})
            await host.wait("notice", kind="joined")
            assert ws._response.connection is not None
            ws._response.connection.transport.pause_reading()
            participant = next(p for p in app.parts.rooms.participants.values() if p.role == "payer")
            channel = participant.channel
            assert channel is not None
            text = "x" * 2000
            for _ in range(20_000):
                if channel.ended:
                    break
                participant.send(_chat(text))
                await asyncio.sleep(0)
            assert channel.ended
            await ws.close()
        await host.ping()
        assert not host.messages["ended"]


def _chat(text: str) -> Any:
    from signaling.rooms.wire import ChatLine

    return ChatLine("par_x", "Ana", text, "2026-01-01T00:00:00.000Z")
