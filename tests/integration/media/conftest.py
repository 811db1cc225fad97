from collections.abc import AsyncIterator

import pytest
from playwright.async_api import Browser, async_playwright

from bench.chromium import CHROMIUM
from mediaserver import planes

from .chromium import FLAGS
from .client import Hall


@pytest.fixture(params=["python", "native"])
async def hall(request: pytest.FixtureRequest) -> AsyncIterator[Hall]:
    """A media server over each data plane."""
    if request.param == "native" and planes.dataplane is None:
        pytest.skip("the native data plane is not compiled")
    async with Hall(plane=request.param) as hall:
        yield hall


@pytest.fixture
async def browser() -> AsyncIterator[Browser]:
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield browser
        await browser.close()
