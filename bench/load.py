"""A load process: one host, or many viewers. Started by `bench.media`.

The parent passes descriptions on: this process never talks to the media server but by packets.
"""

import asyncio
import random
import sys
from typing import Any

import uvloop
from aiortc import RTCCertificate

from bench import sdp
from bench.light import LightTransport
from bench.pipe import Message, serve
from bench.sink import Viewer
from bench.traffic import AUDIO_SSRC, VIDEO_SSRC, Host, Rate


class Load:
    """Answers the parent. One certificate for all: making hundreds would only slow the start."""

    def __init__(self, rng: random.Random) -> None:
        self._rng = rng
        self._certificate = RTCCertificate.generateCertificate()
        self._viewers: dict[str, Viewer] = {}
        self._host: Host | None = None
        self._publishing: LightTransport | None = None
        self._sending: asyncio.Task[None] | None = None

    async def handle(self, op: str, args: Message) -> Message:
        result: Any = await getattr(self, f"_{op}")(**args)
        return result or {}

    async def _host_offer(self) -> Message:
        self._publishing = LightTransport(self._certificate, lambda _rtp: None, self._on_host_rtcp)
        return {"sdp": sdp.publish_offer(self._publishing.local, AUDIO_SSRC, VIDEO_SSRC)}

    async def _host_start(self, answer: str, video_per_s: int, video_bytes: int) -> None:
        remote, transport = sdp.remote(answer), self._publishing
        assert remote is not None
        assert transport is not None
        await transport.connect(remote)
        ids = {kind: sdp.extension_ids(answer, kind) for kind in ("audio", "video")}
        self._host = Host(transport, Rate(video_per_s, video_bytes), ids)
        self._sending = asyncio.create_task(self._host.run())

    def _on_host_rtcp(self, rtcp: bytes) -> None:
        if self._host is not None:
            self._host.on_rtcp(rtcp)

    async def _host_counts(self) -> Message:
        assert self._host is not None
        return {
            "sent": self._host.audio.sent + self._host.video.sent,
            "keyframes": self._host.keyframes,
        }

    async def _offer(self, participant_id: str, sdp: str) -> Message:
        return {"sdp": self._viewer(participant_id).answer(sdp)}

    def _viewer(self, name: str) -> Viewer:
        if name not in self._viewers:
            self._viewers[name] = Viewer(self._certificate, self._rng)
        return self._viewers[name]

    async def _connected(self, participant_id: str) -> None:
        await self._viewer(participant_id).connected()

    async def _reset(self) -> None:
        for viewer in self._viewers.values():
            viewer.reset()

    async def _counts(self) -> Message:
        """Of the window since `reset`, all viewers together; delays in microseconds."""
        counters = [c for viewer in self._viewers.values() for c in viewer.counters.values()]
        return {
            "received": sum(c.received for c in counters),
            "expected": sum(c.expected for c in counters),
            "streams": len(counters),
            "unauthentic": sum(viewer.unauthentic for viewer in self._viewers.values()),
            "delays_us": [d // 1000 for viewer in self._viewers.values() for d in viewer.delays_ns],
        }

    async def _last_packets(self) -> Message:
        """When the first and the last packet of each viewer came (CLOCK_MONOTONIC, ns)."""
        return {name: [viewer.first_ns, viewer.last_ns] for name, viewer in self._viewers.items()}

    async def close(self) -> None:
        if self._sending is not None:
            self._sending.cancel()
        if self._publishing is not None:
            await self._publishing.close()
        for viewer in self._viewers.values():
            await viewer.close()


async def main(seed: int) -> None:
    load = Load(random.Random(seed))
    try:
        await serve(load.handle)
    finally:
        await load.close()


if __name__ == "__main__":
    uvloop.run(main(int(sys.argv[1])))
