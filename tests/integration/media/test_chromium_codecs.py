"""Real Chromium on both sides: every codec that rooms allow is published, forwarded and decoded."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest
from aiohttp.test_utils import TestServer
from playwright.async_api import Browser, BrowserContext, Page, async_playwright

from mediaserver.events import RoomOptions

from .chromium import CHROMIUM, FLAGS, App

pytestmark = pytest.mark.browser


@pytest.fixture
async def browser() -> AsyncIterator[Browser]:
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield browser
        await browser.close()


async def until(check: Callable[[], Awaitable[bool]], what: str, seconds: float = 15) -> None:
    deadline = asyncio.get_running_loop().time() + seconds
    while not await check():
        assert asyncio.get_running_loop().time() < deadline, f"never happened: {what}"
        await asyncio.sleep(0.1)


async def enter(context: BrowserContext, server: TestServer, participant_id: str) -> Page:
    page = await context.new_page()
    await page.goto(f"http://127.0.0.1:{server.port}/?id={participant_id}")
    await page.evaluate("window.open_")
    return page


async def connected(page: Page) -> bool:
    return bool(await page.evaluate("sub.connectionState === 'connected'"))


async def frames(page: Page, kind: str = "video") -> list[dict[str, object]]:
    return await page.evaluate(f"inbound('{kind}')")


async def decodes(page: Page, more_than: int = 20) -> bool:
    return any(int(str(item["frames"])) > more_than for item in await frames(page))


@pytest.mark.parametrize("codec", ["VP8", "H264", "VP9", "AV1"])
async def test_every_codec_is_decoded_by_the_subscriber_with_sound(browser: Browser, codec: str) -> None:
    app = App(RoomOptions(video_codecs=(codec,)))
    async with TestServer(app.application()) as server:
        context = await browser.new_context()
        host, viewer = await enter(context, server, "host"), await enter(context, server, "viewer")
        assert await host.evaluate("publish({audio: true, video: {width: 320, height: 240}})") == "ok"
        await until(lambda: decodes(viewer), f"frames of {codec} decoded")
        video, audio = (await frames(viewer))[0], (await frames(viewer, "audio"))[0]
        assert video["codec"] == f"video/{codec}"
        assert int(str(audio["packets"])) > 20
        assert float(str(audio["energy"])) > 0
        assert video["lost"] == 0
        await context.close()


async def test_the_subscribe_transport_connects_with_nothing_to_receive_and_shows_a_later_publication(
    browser: Browser,
) -> None:
    app = App(RoomOptions())
    async with TestServer(app.application()) as server:
        context = await browser.new_context()
        viewer = await enter(context, server, "viewer")
        await until(lambda: connected(viewer), "the empty subscribe transport is connected")
        assert await viewer.evaluate("tracks") == []
        host = await enter(context, server, "host")
        assert await host.evaluate("publish({audio: true, video: true})") == "ok"
        await until(lambda: decodes(viewer), "the later publication is decoded")
        assert [track["source"] for track in await viewer.evaluate("tracks")] == ["microphone", "camera"]
        await context.close()
