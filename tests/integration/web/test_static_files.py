"""How scripts, styles and the offline page reach a browser: compressed, revalidated, never half of both."""

from collections.abc import Awaitable, Callable
from typing import Any, cast

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient

from signaling.pages import PageFacts, Pages
from signaling.rooms.cards import Cards

Client = TestClient[web.Request, web.Application]
SCRIPT = "/static/js/dom.js"


@pytest.fixture
async def client(aiohttp_client: Callable[..., Awaitable[Client]]) -> Client:
    # No test of this file asks for a card.
    cards = cast("Cards", None)
    pages = Pages(cards, PageFacts("sandbox", "http://localhost", "sandbox", "", "invitation"))
    app = web.Application(middlewares=[pages.middleware])
    pages.install(app)
    return await aiohttp_client(app, auto_decompress=False)


async def get(client: Client, path: str, **headers: str) -> tuple[int, Any, bytes]:
    async with client.get(path, headers={"Accept-Encoding": "gzip"} | headers) as answer:
        return answer.status, answer.headers, await answer.read()


async def test_a_script_is_sent_compressed(client: Client) -> None:
    status, headers, body = await get(client, SCRIPT)
    plain = await get(client, SCRIPT, **{"Accept-Encoding": "identity"})
    assert (status, headers["Content-Encoding"], headers["Vary"]) == (200, "gzip", "Accept-Encoding")
    assert "Content-Encoding" not in plain[1]
    assert len(body) < len(plain[2]) / 2


async def test_a_script_that_did_not_change_is_an_empty_answer(client: Client) -> None:
    _, headers, _ = await get(client, SCRIPT)
    status, again, body = await get(client, SCRIPT, **{"If-None-Match": headers["Etag"]})
    assert (status, body) == (304, b"")
    # gzip's end in the empty body would be read as the start of the next answer on the connection.
    assert "Content-Encoding" not in again
    assert (await get(client, SCRIPT))[0] == 200


async def test_part_of_a_script_is_not_compressed(client: Client) -> None:
    status, headers, body = await get(client, SCRIPT, Range="bytes=0-9")
    assert (status, len(body)) == (206, 10)
    assert "Content-Encoding" not in headers


async def test_the_service_worker_may_serve_the_whole_site(client: Client) -> None:
    status, headers, _ = await get(client, "/worker.js")
    assert (status, headers["Cache-Control"]) == (200, "no-cache")
    assert "javascript" in headers["Content-Type"]


async def test_the_offline_page_and_all_that_the_worker_keeps_exist(client: Client) -> None:
    _, _, worker = await get(client, "/worker.js", **{"Accept-Encoding": "identity"})
    kept = [
        word
        for word in worker.decode().split('"')
        if word.startswith(("/static/", "/offline", "/restarting"))
    ]
    assert len(kept) > 5
    for path in kept:
        assert (await get(client, path))[0] == 200, path


async def test_the_landing_page_keeps_the_place_of_the_invitation(client: Client) -> None:
    async with client.get("/") as answer:
        assert "opening__notice--kept" in await answer.text()
