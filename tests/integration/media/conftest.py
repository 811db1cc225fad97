from collections.abc import AsyncIterator

import pytest
from playwright.async_api import Browser, async_playwright

from .chromium import CHROMIUM, FLAGS
from .client import Hall


@pytest.fixture
async def hall() -> AsyncIterator[Hall]:
    async with Hall() as hall:
        yield hall


@pytest.fixture
async def browser() -> AsyncIterator[Browser]:
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield browser
        await browser.close()
