"""A real viewer behind a narrow line: what it is sent follows what the line carries, and sound goes on whatever it is."""

import asyncio
from typing import Any

import pytest
from aiohttp.test_utils import TestServer
from playwright.async_api import Browser, Page

from mediaserver import planes
from mediaserver.events import MediaEvent, Offer, Reception, RoomOptions

from .chromium import App
from .pages import decodes, enter, frames, until
from .test_chromium_simulcast import rids
from .throttle import Narrows

pytestmark = [pytest.mark.browser, pytest.mark.slow]

CAMERA = "{audio: true, video: {width: 960, height: 540}}"
ENCODINGS = """[
  {rid: "l", scaleResolutionDownBy: 4, maxBitrate: 150000},
  {rid: "m", scaleResolutionDownBy: 2, maxBitrate: 400000},
  {rid: "h", maxBitrate: 900000}]"""
WIDTHS = {"l": 240, "m": 480, "h": 960}


class NarrowApp(App):
    """The viewer reaches the server through a relay."""

    narrows: Narrows

    def _on_event(self, event: MediaEvent) -> None:
        if isinstance(event, Offer) and event.participant_id == "viewer":
            sdp = event.sdp.replace(f" {self.media.port} typ host", f" {self.narrows.port} typ host")
            event = Offer(event.participant_id, event.offer_id, sdp, event.tracks)
        super()._on_event(event)

    @property
    def line(self) -> Any:
        return self.media._participants["viewer"].subscriber.line

    @property
    def states(self) -> list[str]:
        return [e.state for e in self.events if isinstance(e, Reception) and e.participant_id == "viewer"]


async def sound(page: Page) -> int:
    return int((await page.evaluate("inbound('audio')"))[0]["packets"])


@pytest.mark.parametrize("plane", ["python", "native"])
async def test_the_picture_follows_the_line_and_the_sound_outlives_it(browser: Browser, plane: str) -> None:
    if plane == "native" and planes.dataplane is None:
        pytest.skip("the native data plane is not compiled")
    app = NarrowApp(RoomOptions(video_codecs=("VP8",)), plane=plane)
    async with TestServer(app.application()) as server, Narrows(("127.0.0.1", app.media.port)) as narrows:
        app.narrows = narrows
        context = await browser.new_context()
        host, viewer = await enter(context, server, "host"), await enter(context, server, "viewer")

        async def all_come() -> bool:
            return len(rids(app)) == 3 and all(rids(app).values())

        async def is_wide(width: int) -> bool:
            return (await frames(viewer))[0]["width"] == width

        async def is_told(state: str) -> bool:
            return app.states[-1:] == [state]

        assert await host.evaluate(f"publish({CAMERA}, {ENCODINGS})") == "ok"
        await until(lambda: decodes(viewer), "frames are decoded")
        await until(all_come, "all three encodings", seconds=30)
        await until(lambda: is_wide(WIDTHS["h"]), "the largest picture", seconds=40)
        assert app.line.feedbacks > 0
        assert app.line.estimate_bps > 450_000

        narrows.rate_bps = 330e3
        await until(lambda: is_wide(WIDTHS["l"]), "the smallest picture on a line of 330 kbit/s", seconds=15)
        assert {"reduced", "poor"} & set(app.states[-2:])

        narrows.rate_bps = 60e3
        await until(lambda: is_told("audio_only"), "the pause of the picture", seconds=15)
        await asyncio.sleep(2)
        before = await sound(viewer), (await frames(viewer))[0]["frames"]
        await asyncio.sleep(2)
        after = await sound(viewer), (await frames(viewer))[0]["frames"]
        assert after[0] - before[0] > 70, "the sound has stopped"
        assert after[1] == before[1]

        narrows.rate_bps = 20e6
        await until(lambda: is_told("good"), "everything again", seconds=40)
        await until(lambda: is_wide(WIDTHS["h"]), "the largest picture in the end")
        await context.close()
