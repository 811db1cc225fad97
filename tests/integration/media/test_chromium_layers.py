"""A Chromium host sends its camera in spatial layers; a viewer goes from one to the other and its picture does not stumble."""

import asyncio
import time
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from aiohttp.test_utils import TestServer
from playwright.async_api import Browser, Page

from mediaserver import planes
from mediaserver.encoding import Encoding
from mediaserver.events import RoomOptions

from .chromium import App
from .pages import decodes, enter, frames, until

pytestmark = pytest.mark.browser

SLOW = pytest.mark.slow
STUMBLED_S_MAX = 1.5
# A thread of the page's process that only looks at the clock: when nobody let it do so.
CLOCK = """
() => {
  const look = `let last = Date.now(); const late = [];
    setInterval(() => { const now = Date.now(); if (now - last > 150) late.push([last / 1000, now / 1000]); last = now; }, 50);
    onmessage = () => postMessage(late);`;
  window.clock = new Worker(URL.createObjectURL(new Blob([look])));
}
"""
LATE = "new Promise((say) => { clock.onmessage = ({data}) => say(data); clock.postMessage(0); })"
Span = tuple[float, float]


def layers(app: App) -> tuple[Encoding, ...]:
    """What the host's camera comes in, the smallest first."""
    publisher = app.media._participants["host"].publisher
    if publisher is None:
        return ()
    cameras = (item for item in publisher.publications.values() if item.info.kind == "video")
    return next((camera.encodings for camera in cameras), ())


def overlap_s(spans: list[Span], begin_s: float, end_s: float) -> float:
    """How much of the time between these two is in any of the spans."""
    covered_s, reached_s = 0.0, begin_s
    for first_s, last_s in sorted(spans):
        covered_s += max(0.0, min(last_s, end_s) - max(first_s, reached_s))
        reached_s = max(reached_s, last_s)
    return covered_s


class Stumbles:
    """When a viewer's picture stood still though nothing was held up: a busy machine lets the camera, its encoder or a
    whole page do nothing for a while, and what is frozen just then is nobody's stumble."""

    def __init__(self, app: App, host: Page, viewer: Page) -> None:
        self._app = app
        self._pages = (host, viewer)
        self._viewer = viewer
        self._held_up: list[Span] = []
        # Between two looks, and how long of it the picture stood still.
        self._frozen: list[tuple[Span, float]] = []
        self._gaps: deque[float] = deque(maxlen=30)

    async def watch_source(self) -> None:
        """What reaches the server, by the rule by which Chromium counts freezes: three times as long as usual, and at
        least 150 ms longer."""
        timestamp, before_s = self._newest()
        while True:
            await asyncio.sleep(0.01)
            newest, at_s = self._newest()
            if newest == timestamp:
                continue
            gap_s = at_s - before_s
            self._gaps.append(gap_s)
            usual_s = sum(self._gaps) / len(self._gaps)
            if gap_s >= max(3 * usual_s, usual_s + 0.15):
                self._held_up.append((before_s, at_s))
            timestamp, before_s = newest, at_s

    def _newest(self) -> tuple[int, float]:
        """The newest picture, and when its packets came."""
        stream = layers(self._app)[0].stream
        ago_ns = time.clock_gettime_ns(time.CLOCK_BOOTTIME) - stream.arrival_ns
        return stream.timestamp, time.time() - ago_ns / 1e9

    async def watch_viewer(self) -> None:
        looked_s, frozen_s = time.time(), (await video(self._viewer))["frozen_s"]
        while True:
            await asyncio.sleep(0.1)
            began_s, before_s = looked_s, frozen_s
            frozen_s = (await video(self._viewer))["frozen_s"]
            looked_s = time.time()
            # A freeze is counted when it is over.
            more_s = frozen_s - before_s
            if more_s > 0:
                self._frozen.append(((began_s - more_s, looked_s), more_s))

    async def seconds(self) -> float:
        held_up = [*self._held_up]
        for page in self._pages:
            held_up += [(first_s, last_s) for first_s, last_s in await page.evaluate(LATE)]
        return sum(max(0.0, long_s - overlap_s(held_up, *span)) for span, long_s in self._frozen)


@asynccontextmanager
async def watched(app: App, host: Page, viewer: Page) -> AsyncIterator[Stumbles]:
    stumbles = Stumbles(app, host, viewer)
    for page in (host, viewer):
        await page.evaluate(CLOCK)
    watching = [asyncio.create_task(stumbles.watch_source()), asyncio.create_task(stumbles.watch_viewer())]
    try:
        yield stumbles
        assert not [task for task in watching if task.done()], "nobody has watched to the end"
    finally:
        for task in watching:
            task.cancel()
        await asyncio.gather(*watching, return_exceptions=True)


async def video(page: Page) -> dict[str, Any]:
    return (await frames(page))[0]


async def look_at(app: App, viewer: Page, width: int) -> None:
    async def shows() -> bool:
        return bool((await video(viewer))["width"] == width)

    await app.media.set_view("viewer", {(await video(viewer))["mid"]: (width, width * 9 // 16)})
    await until(shows, f"a picture {width} wide")


async def goes_on(viewer: Page) -> None:
    """The picture comes, however slowly a busy machine makes it; whether it stumbled is counted at the end."""
    decoded = (await video(viewer))["frames"]

    async def grew() -> bool:
        return bool((await video(viewer))["frames"] > decoded + 5)

    await until(grew, "more frames", seconds=30)


@pytest.mark.parametrize(
    ("codec", "mode", "widths", "plane"),
    [
        ("VP9", "L3T1_KEY", (320, 640, 1280), "native"),
        ("AV1", "L2T1", (320, 640), "native"),
        pytest.param("VP9", "L3T3_KEY", (320, 640, 1280), "native", marks=SLOW),
        pytest.param("VP9", "L2T1", (320, 640), "python", marks=SLOW),
        pytest.param("VP9", "L3T1", (320, 640, 1280), "native", marks=SLOW),
        pytest.param("AV1", "L2T3_KEY", (320, 640), "python", marks=SLOW),
        pytest.param("AV1", "L3T1", (320, 640, 1280), "native", marks=SLOW),
    ],
)
async def test_a_viewer_goes_up_and_down_between_layers_without_a_stumble(
    browser: Browser, codec: str, mode: str, widths: tuple[int, ...], plane: str
) -> None:
    if plane == "native" and planes.dataplane is None:
        pytest.skip("the native data plane is not compiled")
    app = App(RoomOptions(video_codecs=(codec,)), plane=plane)
    async with TestServer(app.application()) as server, await browser.new_context() as context:
        host, viewer = await enter(context, server, "host"), await enter(context, server, "viewer")
        camera = f"{{audio: false, video: {{width: {widths[-1]}, height: {widths[-1] * 9 // 16}}}}}"
        encodings = f"[{{scalabilityMode: '{mode}', maxBitrate: 1500000}}]"
        assert await host.evaluate(f"publish({camera}, {encodings})") == "ok"
        await until(lambda: decodes(viewer), "frames are decoded")

        async def all_come() -> bool:
            found = layers(app)
            return tuple(layer.size and layer.size[0] for layer in found) == widths

        await until(all_come, "all layers", seconds=30)
        before = await video(viewer)
        async with watched(app, host, viewer) as stumbles:
            for width in (*widths, *reversed(widths), widths[-1], widths[0]):
                await look_at(app, viewer, width)
                await goes_on(viewer)
            after = await video(viewer)
            stumbled_s = await stumbles.seconds()
        assert stumbled_s < STUMBLED_S_MAX, (before, after)
        assert after["plis"] - before["plis"] <= 1, (before, after)
        ups = len(widths)
        assert after["key_frames"] - before["key_frames"] <= ups + 3, (before, after)
