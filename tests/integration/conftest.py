from collections.abc import AsyncIterator

import pytest
from playwright.async_api import Browser, async_playwright

from bench.chromium import CHROMIUM

from .media.chromium import FLAGS


@pytest.fixture
async def browser() -> AsyncIterator[Browser]:
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield browser
        await browser.close()
