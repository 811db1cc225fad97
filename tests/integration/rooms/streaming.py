"""An encoder (WHIP) and a player (WHEP), written from RFC 9725 and draft-ietf-wish-whep on aiortc and aiohttp."""

import asyncio
from collections import defaultdict
from typing import Any, Self
from urllib.parse import urljoin

import aiohttp
from aiortc import MediaStreamTrack, RTCConfiguration, RTCPeerConnection, RTCSessionDescription
from aiortc.mediastreams import AudioStreamTrack, MediaStreamError

from tests.integration.hangup import hang_up
from tests.integration.harness import App, Order, Room
from tests.integration.rooms.arrivals import arrived, more_arrives
from tests.integration.rooms.client import WAIT_S, Picture

SDP = "application/sdp"
FRAGMENT = "application/trickle-ice-sdpfrag"


class StreamClient:
    """One session: `start` posts the offer, `stop` deletes the session. Frames are counted by kind."""

    def __init__(self, http: aiohttp.ClientSession, url: str, key: str) -> None:
        self._http = http
        self.url, self.key = url, key
        self.peer = RTCPeerConnection(RTCConfiguration(iceServers=[]))
        self.location = ""
        self.etag = ""
        self.headers: Any = {}
        self.frames: dict[str, int] = defaultdict(int)
        self._tasks: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_error: object) -> None:
        await hang_up(self.peer)
        for task in tuple(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def offer(self) -> str:
        """The same each time: a connection that was ended makes no more offers."""
        if self.peer.localDescription is not None:
            return self.peer.localDescription.sdp
        await self.peer.setLocalDescription(await self.peer.createOffer())
        return self.peer.localDescription.sdp

    async def call(self, method: str, url: str, body: str | None = None, **headers: str) -> Any:
        """Status, headers and text."""
        sent = {"Authorization": f"Bearer {self.key}"} | {k.replace("_", "-"): v for k, v in headers.items()}
        async with self._http.request(method, url, data=body, headers=sent) as response:
            return response.status, response.headers, await response.text()

    async def start(self) -> None:
        status, headers, text = await self.call("POST", self.url, await self.offer(), Content_Type=SDP)
        assert status == 201, (status, text)
        self.headers, self.etag = headers, headers["ETag"]
        self.location = urljoin(self.url, headers["Location"])
        await self.peer.setRemoteDescription(RTCSessionDescription(text, "answer"))

    async def patch(self, body: str, **headers: str) -> Any:
        return await self.call("PATCH", self.location, body, **{"Content_Type": FRAGMENT} | headers)

    async def stop(self) -> int:
        status, _, _ = await self.call("DELETE", self.location)
        return int(status)

    async def gone(self) -> None:
        """Until the server has closed the connection."""
        async with asyncio.timeout(WAIT_S):
            while self.peer.connectionState not in {"closed", "failed"}:
                await asyncio.sleep(0.02)

    async def watching(self) -> None:
        """Until a picture and a sound more were decoded."""
        before = dict(self.frames)
        async with asyncio.timeout(WAIT_S):
            while any(self.frames[kind] <= before.get(kind, 0) for kind in ("audio", "video")):
                await asyncio.sleep(0.02)

    @property
    def packets(self) -> int:
        """RTP and RTCP that arrived."""
        return arrived(self.peer)

    async def receiving(self, packets: int = 50) -> None:
        """Until so many more packets arrived."""
        await more_arrives(self.peer, packets, WAIT_S)

    def watch(self, track: MediaStreamTrack) -> None:
        task = asyncio.create_task(self._count(track))
        self._tasks.add(task)

    async def _count(self, track: MediaStreamTrack) -> None:
        while True:
            try:
                await track.recv()
            except MediaStreamError:
                return
            self.frames[track.kind] += 1


def encoder(app: App, key: str) -> StreamClient:
    made = StreamClient(app.http, f"{app.url}/whip", key)
    made.peer.addTransceiver(AudioStreamTrack(), direction="sendonly")
    made.peer.addTransceiver(Picture(), direction="sendonly")
    return made


def player(app: App, key: str) -> StreamClient:
    made = StreamClient(app.http, f"{app.url}/whep", key)
    made.peer.addTransceiver("audio", direction="recvonly")
    made.peer.addTransceiver("video", direction="recvonly")
    made.peer.on("track", made.watch)
    return made


async def room_key(app: App, room: Room) -> str:
    made = await app.call("POST", f"/api/host/rooms/{room.id}/stream-key", bearer=room.host_key)
    return str(made["key"])


async def order_key(app: App, order: Order) -> str:
    made = await app.call("POST", f"/api/orders/{order.id}/stream-key", bearer=order.secret)
    return str(made["key"])
