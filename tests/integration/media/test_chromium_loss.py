"""Lost packets are repaired: by the publisher toward us, by us toward the viewer."""

import asyncio
import contextlib
import random
import socket
from typing import Any

import pytest
from aiohttp.test_utils import TestServer
from playwright.async_api import Browser

from mediaserver import planes
from mediaserver.events import RoomOptions

from .chromium import App
from .pages import decodes, enter, frames, until

pytestmark = pytest.mark.browser

LOSS = 0.05
RELAY_ADDRESS = "127.0.0.2"
SECONDS = 8
# Chromium's fake camera.
FRAMES_PER_S = 20


class LossyRelay(asyncio.DatagramProtocol):
    """Stands before the media server at another address, on the same port. Once `losing`, each datagram is lost with
    probability LOSS, either way; `lost` counts them."""

    def __init__(self, seed: int) -> None:
        self.chance = random.Random(seed)
        self.losing = False
        self.lost = {"in": 0, "out": 0}
        self._onward: dict[Any, socket.socket] = {}

    async def open(self, port: int) -> None:
        self._port = port
        loop = asyncio.get_running_loop()
        self._transport, _ = await loop.create_datagram_endpoint(
            lambda: self, local_addr=(RELAY_ADDRESS, port)
        )

    def close(self) -> None:
        for sock in self._onward.values():
            asyncio.get_running_loop().remove_reader(sock.fileno())
            sock.close()
        self._transport.close()

    def datagram_received(self, data: bytes, addr: Any) -> None:
        sock = self._onward.get(addr) or self._open_onward(addr)
        if not self._loses("in"):
            with contextlib.suppress(BlockingIOError):
                sock.send(data)

    def _open_onward(self, addr: Any) -> socket.socket:
        sock = self._onward[addr] = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        sock.setblocking(False)
        sock.connect(("127.0.0.1", self._port))
        asyncio.get_running_loop().add_reader(sock.fileno(), self._back, sock, addr)
        return sock

    def _back(self, sock: socket.socket, addr: Any) -> None:
        with contextlib.suppress(BlockingIOError):
            while True:
                data = sock.recv(2048)
                if not self._loses("out"):
                    self._transport.sendto(data, addr)

    def _loses(self, way: str) -> bool:
        loses = self.losing and self.chance.random() < LOSS
        self.lost[way] += loses
        return loses


@pytest.mark.parametrize("plane", ["python", "native"])
async def test_five_percent_loss_each_way_hardly_costs_a_frame(browser: Browser, plane: str) -> None:
    if plane == "native" and planes.dataplane is None:
        pytest.skip("the native data plane is not compiled")
    app = App(RoomOptions(video_codecs=("VP8",)), advertised=(RELAY_ADDRESS,), plane=plane)
    relay = LossyRelay(seed=7)
    async with TestServer(app.application()) as server:
        await relay.open(app.media.port)
        context = await browser.new_context()
        host, viewer = await enter(context, server, "host"), await enter(context, server, "viewer")
        assert await host.evaluate("publish({audio: true, video: {width: 640, height: 480}})") == "ok"
        await until(lambda: decodes(viewer), "frames are decoded")
        relay.losing, lost = True, relay.lost
        before = (await frames(viewer))[0]
        await asyncio.sleep(SECONDS)
        after = (await frames(viewer))[0]
        decoded = int(str(after["frames"])) - int(str(before["frames"]))
        assert lost["in"] > 10
        assert lost["out"] > 10
        assert int(str(after["rtx"])) > int(str(before["rtx"])), "retransmissions arrived"
        assert decoded >= 0.95 * SECONDS * FRAMES_PER_S, (decoded, before, after, lost)
        await context.close()
        relay.close()
