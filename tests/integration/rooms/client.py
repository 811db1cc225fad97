"""A participant made of aiohttp and aiortc: one WebSocket, two peer connections, real media over loopback."""

import asyncio
import contextlib
import fractions
from collections import defaultdict
from typing import Any

import aiohttp
import av
from aiortc import MediaStreamTrack, RTCConfiguration, RTCPeerConnection, RTCSessionDescription
from aiortc.mediastreams import AudioStreamTrack, MediaStreamError

from tests.integration.hangup import hang_up
from tests.integration.rooms.arrivals import arrived, more_arrives

WAIT_S = 20.0
FRAMES_PER_S = 10
CLOCK_RATE = 90_000


class Picture(MediaStreamTrack):
    """A small dark picture, ten times a second: cheap to encode."""

    kind = "video"

    def __init__(self) -> None:
        super().__init__()
        self._n = 0

    async def recv(self) -> av.VideoFrame:
        if self.readyState != "live":
            raise MediaStreamError
        await asyncio.sleep(1 / FRAMES_PER_S)
        self._n += 1
        frame = av.VideoFrame(160, 120, "yuv420p")
        for plane in frame.planes:
            plane.update(bytes([self._n * 5 % 200]) * plane.buffer_size)
        frame.pts = self._n * CLOCK_RATE // FRAMES_PER_S
        frame.time_base = fractions.Fraction(1, CLOCK_RATE)
        return frame


class Client:
    """`messages` are everything the server said, by type. Frames are counted by kind as they are decoded; `media_s`
    are the times at which RTP packets came."""

    def __init__(self, http: aiohttp.ClientSession, ws_url: str, *, media: bool = True) -> None:
        self._http = http
        self._ws_url = ws_url
        self._media = media
        self.ws: aiohttp.ClientWebSocketResponse | None = None
        self.messages: dict[str, list[dict[str, Any]]] = defaultdict(list)
        self.frames: dict[str, int] = defaultdict(int)
        self.last_frame_s = 0.0
        self.media_s: list[float] = []
        self.publisher: RTCPeerConnection | None = None
        self.subscriber: RTCPeerConnection | None = None
        self.said = asyncio.Condition()
        self._tasks: set[asyncio.Task[None]] = set()
        self._answers: set[asyncio.Task[None]] = set()
        self.close_code: int | None = None

    # --- WebSocket ----------------------------------------------------------------------------------------

    async def open(self) -> None:
        self.ws = await self._http.ws_connect(self._ws_url)
        self._spawn(self._read(self.ws))

    async def join(self, token: str) -> dict[str, Any]:
        await self.open()
        await self.send("join", token=token)
        return await self.wait("joined")

    async def resume(self, key: str) -> None:
        await self.open()
        await self.send("resume", key=key)

    async def send(self, message_type: str, /, **fields: Any) -> None:
        assert self.ws is not None
        await self.ws.send_json({"type": message_type, **fields})

    async def send_text(self, text: str) -> None:
        assert self.ws is not None
        await self.ws.send_str(text)

    async def wait(self, message_type: str, /, timeout_s: float = WAIT_S, **fields: Any) -> dict[str, Any]:
        """The first message of that type with those fields, said already or to come."""

        def found() -> dict[str, Any] | None:
            for message in self.messages[message_type]:
                if all(message.get(name) == value for name, value in fields.items()):
                    return message
            return None

        async with asyncio.timeout(timeout_s), self.said:
            await self.said.wait_for(lambda: found() is not None)
        message = found()
        assert message is not None
        return message

    async def ping(self) -> None:
        """Until everything sent before was read."""
        self.forget("pong")
        await self.send("ping", n=1)
        await self.wait("pong")

    def forget(self, kind: str) -> None:
        self.messages[kind].clear()

    async def ended(self, timeout_s: float = WAIT_S) -> tuple[str, int | None]:
        """The ending's code and the close code."""
        code = (await self.wait("ended", timeout_s))["code"]
        async with asyncio.timeout(timeout_s), self.said:
            await self.said.wait_for(lambda: self.close_code is not None)
        return code, self.close_code

    async def _read(self, ws: aiohttp.ClientWebSocketResponse) -> None:
        async for frame in ws:
            if frame.type is not aiohttp.WSMsgType.TEXT:
                continue
            message = frame.json()
            if message["type"] == "offer" and self._media:
                self._answers.add(self._spawn(self._answer(message)))
            async with self.said:
                self.messages[message["type"]].append(message)
                self.said.notify_all()
        async with self.said:
            self.close_code = ws.close_code
            self.said.notify_all()

    # --- media --------------------------------------------------------------------------------------------

    async def publish(self) -> None:
        self.publisher = RTCPeerConnection(RTCConfiguration(iceServers=[]))
        self.publisher.addTrack(AudioStreamTrack())
        self.publisher.addTrack(Picture())
        await self.publisher.setLocalDescription(await self.publisher.createOffer())
        self.forget("published")
        await self.send("publish", sdp=self.publisher.localDescription.sdp, sources={})
        answer = await self.wait("published")
        await self.publisher.setRemoteDescription(RTCSessionDescription(answer["sdp"], "answer"))

    async def _answer(self, offer: dict[str, Any]) -> None:
        if self.subscriber is None:
            self.subscriber = RTCPeerConnection(RTCConfiguration(iceServers=[]))
            self.subscriber.on("track", self._watch)
            await self.subscriber.setRemoteDescription(RTCSessionDescription(offer["sdp"], "offer"))
            self._note_media(self.subscriber.getTransceivers()[0].receiver.transport)
        else:
            await self.subscriber.setRemoteDescription(RTCSessionDescription(offer["sdp"], "offer"))
        await self.subscriber.setLocalDescription(await self.subscriber.createAnswer())
        with contextlib.suppress(ConnectionError):  # it may have ended meanwhile
            await self.send("answer", offer_id=offer["offer_id"], sdp=self.subscriber.localDescription.sdp)

    def _note_media(self, transport: Any) -> None:
        """Keep in `media_s` when each RTP packet came (loop time), decoded or not."""
        handle = transport._handle_rtp_data

        async def noted(*args: Any, **named: Any) -> None:
            self.media_s.append(asyncio.get_running_loop().time())
            await handle(*args, **named)

        transport._handle_rtp_data = noted

    def _watch(self, track: MediaStreamTrack) -> None:
        self._spawn(self._count(track))

    async def _count(self, track: MediaStreamTrack) -> None:
        while True:
            try:
                await track.recv()
            except MediaStreamError:
                return
            self.frames[track.kind] += 1
            self.last_frame_s = asyncio.get_running_loop().time()

    async def watching(self, timeout_s: float = WAIT_S) -> None:
        """Until a picture more was decoded."""
        before = self.frames["video"]
        async with asyncio.timeout(timeout_s):
            while self.frames["video"] <= before:
                await asyncio.sleep(0.02)

    @property
    def packets(self) -> int:
        """RTP and RTCP that arrived on the receiving connection."""
        assert self.subscriber is not None
        return arrived(self.subscriber)

    async def receiving(self, packets: int = 50) -> None:
        """Until so many more packets arrived."""
        assert self.subscriber is not None
        await more_arrives(self.subscriber, packets, WAIT_S)

    # --- going --------------------------------------------------------------------------------------------

    async def drop_ws(self) -> None:
        """The WebSocket breaks; media goes on."""
        assert self.ws is not None
        await self.ws.close()
        self.close_code = None

    async def stop_publishing(self) -> None:
        if self.publisher is not None:
            await hang_up(self.publisher)
            self.publisher = None

    async def close(self) -> None:
        if self.ws is not None:
            await self.ws.close()
        if self._answers:  # one that is cut off while it gathers addresses leaves a socket open
            await asyncio.wait(self._answers, timeout=WAIT_S)
        for peer in (self.publisher, self.subscriber):
            if peer is not None:
                await hang_up(peer)
        for task in tuple(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _spawn(self, work: Any) -> asyncio.Task[None]:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task
