"""What tests do with Chromium's pages."""

import asyncio
from collections.abc import Awaitable, Callable

from aiohttp.test_utils import TestServer
from playwright.async_api import BrowserContext, Page


async def until(check: Callable[[], Awaitable[bool]], what: str, seconds: float = 15) -> None:
    deadline = asyncio.get_running_loop().time() + seconds
    while not await check():
        assert asyncio.get_running_loop().time() < deadline, f"never happened: {what}"
        await asyncio.sleep(0.1)


async def enter(context: BrowserContext, server: TestServer, participant_id: str, more: str = "") -> Page:
    page = await context.new_page()
    await page.goto(f"http://127.0.0.1:{server.port}/?id={participant_id}{more}")
    await page.evaluate("window.open_")
    return page


async def connected(page: Page) -> bool:
    return bool(await page.evaluate("sub.connectionState === 'connected'"))


async def frames(page: Page, kind: str = "video") -> list[dict[str, object]]:
    return await page.evaluate(f"inbound('{kind}')")


async def decodes(page: Page, more_than: int = 20) -> bool:
    return any(int(str(item["frames"])) > more_than for item in await frames(page))
