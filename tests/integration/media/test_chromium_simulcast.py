"""A Chromium host sends its camera in three sizes; a viewer goes from one to the other and its picture does not stumble."""

import asyncio
from typing import Any

import pytest
from aiohttp.test_utils import TestServer
from playwright.async_api import Browser, Page

from mediaserver import planes
from mediaserver.events import RoomOptions

from .chromium import App
from .pages import decodes, enter, frames, until

pytestmark = pytest.mark.browser

CAMERA = "{audio: true, video: {width: 1280, height: 720}}"
ENCODINGS = """[
  {rid: "l", scaleResolutionDownBy: 4, maxBitrate: 150000},
  {rid: "m", scaleResolutionDownBy: 2, maxBitrate: 400000},
  {rid: "h", maxBitrate: 900000}]"""
WIDTHS = {"l": 320, "m": 640, "h": 1280}


async def video(page: Page) -> dict[str, Any]:
    return (await frames(page))[0]


async def shows(page: Page, width: int) -> bool:
    return (await video(page))["width"] == width


def rids(app: App) -> dict[str, bool]:
    """The host's encodings, and whether they come."""
    publisher = app.media._participants["host"].publisher
    assert publisher is not None
    (camera,) = (item for item in publisher.publications.values() if item.info.kind == "video")
    return {encoding.rid: encoding.is_active for encoding in camera.encodings}


async def look_at(app: App, viewer: Page, rid: str) -> None:
    width = WIDTHS[rid]
    await app.media.set_view("viewer", {(await video(viewer))["mid"]: (width, width * 9 // 16)})
    await until(lambda: shows(viewer, width), f"a picture {width} wide")


@pytest.mark.parametrize("plane", ["python", "native"])
@pytest.mark.parametrize("codec", ["VP8", "H264"])
async def test_a_viewer_goes_up_and_down_without_a_stumble(browser: Browser, codec: str, plane: str) -> None:
    if plane == "native" and planes.dataplane is None:
        pytest.skip("the native data plane is not compiled")
    app = App(RoomOptions(video_codecs=(codec,)), plane=plane)
    async with TestServer(app.application()) as server:
        context = await browser.new_context()
        host, viewer = await enter(context, server, "host"), await enter(context, server, "viewer")
        assert await host.evaluate(f"publish({CAMERA}, {ENCODINGS})") == "ok"
        await until(lambda: decodes(viewer), "frames are decoded")

        async def all_come() -> bool:
            return all(rids(app).values())

        await until(all_come, "all three encodings", seconds=30)
        before = await video(viewer)
        for rid in ("l", "h", "m", "l", "m", "h", "l", "h"):
            await look_at(app, viewer, rid)
            decoded = (await video(viewer))["frames"]
            await asyncio.sleep(0.7)
            assert (await video(viewer))["frames"] > decoded + 5
        after = await video(viewer)
        assert after["frozen_s"] - before["frozen_s"] < 0.8, (before, after)
        assert after["plis"] - before["plis"] <= 2, (before, after)
        assert after["key_frames"] - before["key_frames"] <= 12, (before, after)
        await context.close()
