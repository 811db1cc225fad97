"""Chromium as encoder and as player, from a page of another origin: a second implementation besides aiortc."""

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
from playwright.async_api import Browser, Page

from tests.integration.harness import App, running_app
from tests.integration.rooms.streaming import encoder, order_key, room_key
from tests.integration.rooms.streampage import FRAMES, SOURCES, STREAM


async def until(page: Page, script: str, enough: Callable[[Any], bool]) -> None:
    """Until the script's answer is enough."""
    async with asyncio.timeout(20):
        while not enough(await page.evaluate(script)):
            await asyncio.sleep(0.05)


@pytest.fixture
async def app(tmp_path: Path) -> AsyncIterator[App]:
    async with running_app(tmp_path) as running:
        yield running


async def _stream(browser: Browser, app: App, kind: str, key: str) -> Page:
    page = await browser.new_page()
    location = await page.evaluate(STREAM, {"url": f"{app.url}/{kind}", "key": key, "sends": kind == "whip"})
    assert location.startswith(f"{app.url}/{kind}/")
    return page


async def test_chromium_sends_by_whip_and_watches_by_whep(app: App, browser: Browser) -> None:
    room = await app.create_room()
    await _stream(browser, app, "whip", await room_key(app, room))
    await app.until_state(room, "live")
    order = await app.buy(room)
    page = await _stream(browser, app, "whep", await order_key(app, order))
    await until(page, FRAMES, lambda frames: frames > 10)


async def test_a_player_in_chromium_shows_the_encoder_that_takes_over(app: App, browser: Browser) -> None:
    room = await app.create_room()
    key = await room_key(app, room)
    async with encoder(app, key) as first, encoder(app, key) as second:
        await first.start()
        await app.until_state(room, "live")
        order = await app.buy(room)
        page = await _stream(browser, app, "whep", await order_key(app, order))
        await until(page, FRAMES, lambda frames: frames > 5)
        before = await page.evaluate(SOURCES)
        await second.start()
        await until(page, SOURCES, lambda sources: bool(set(sources) - set(before)))
