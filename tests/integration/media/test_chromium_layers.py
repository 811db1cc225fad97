"""A Chromium host sends its camera in spatial layers; a viewer goes from one to the other and its picture does not stumble."""

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


def layers(app: App) -> tuple[Encoding, ...]:
    """What the host's camera comes in, the smallest first."""
    publisher = app.media._participants["host"].publisher
    if publisher is None:
        return ()
    cameras = (item for item in publisher.publications.values() if item.info.kind == "video")
    return next((camera.encodings for camera in cameras), ())


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
        for width in (*widths, *reversed(widths), widths[-1], widths[0]):
            await look_at(app, viewer, width)
            await goes_on(viewer)
        after = await video(viewer)
        assert after["frozen_s"] - before["frozen_s"] < 1.5, (before, after)
        assert after["plis"] - before["plis"] <= 1, (before, after)
        ups = len(widths)
        assert after["key_frames"] - before["key_frames"] <= ups + 3, (before, after)
