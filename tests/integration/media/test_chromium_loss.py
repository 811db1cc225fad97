"""Lost packets are repaired: by the publisher toward us, by us toward the viewer."""

import asyncio
import random

import pytest
from aiohttp.test_utils import TestServer
from playwright.async_api import Browser

from mediaserver.events import RoomOptions

from .chromium import App
from .pages import decodes, enter, frames, until

pytestmark = pytest.mark.browser

LOSS = 0.05
SECONDS = 8
# Chromium's fake camera.
FRAMES_PER_S = 20


def lose_packets(app: App, seed: int) -> dict[str, int]:
    """From now on each datagram, either way, is lost with probability LOSS. Counts what was lost."""
    lost = {"in": 0, "out": 0}
    chance = random.Random(seed)
    (port,) = app.media._ice._ports
    route, send_to = port._route, port.send_to

    def lossy_route(data, address):
        if chance.random() < LOSS:
            lost["in"] += 1
        else:
            route(data, address)

    def lossy_send(data, address):
        if chance.random() < LOSS:
            lost["out"] += 1
            return len(data)
        return send_to(data, address)

    port._route, port.send_to = lossy_route, lossy_send
    return lost


async def test_five_percent_loss_each_way_hardly_costs_a_frame(browser: Browser) -> None:
    app = App(RoomOptions(video_codecs=("VP8",)))
    async with TestServer(app.application()) as server:
        context = await browser.new_context()
        host, viewer = await enter(context, server, "host"), await enter(context, server, "viewer")
        assert await host.evaluate("publish({audio: true, video: {width: 640, height: 480}})") == "ok"
        await until(lambda: decodes(viewer), "frames are decoded")
        lost = lose_packets(app, seed=7)
        before = (await frames(viewer))[0]
        await asyncio.sleep(SECONDS)
        after = (await frames(viewer))[0]
        decoded = int(str(after["frames"])) - int(str(before["frames"]))
        assert lost["in"] > 10
        assert lost["out"] > 10
        assert int(str(after["rtx"])) > int(str(before["rtx"])), "retransmissions arrived"
        assert decoded >= 0.95 * SECONDS * FRAMES_PER_S, (decoded, before, after, lost)
        await context.close()
