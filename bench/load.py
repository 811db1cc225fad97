"""A load process: hosts, or many viewers. Started by `bench.media` and `bench.soak`.

The parent passes descriptions on: this process never talks to the media server but by packets.

    python -m bench.load SEED ADDRESS (native | python | host)
"""

import asyncio
import contextlib
import gc
import os
import random
import resource
import sys
import time
from collections import Counter
from collections.abc import Coroutine
from typing import Any

import uvloop
from aiortc import RTCCertificate

from bench import sdp, sink
from bench.cases import CASES, rate
from bench.light import LightTransport
from bench.native import Sink
from bench.pipe import Message, serve
from bench.sink import Viewer
from bench.traffic import AUDIO_SSRC, VIDEO_SSRC, Host
from bench.usage import buffer_drops
from mediaserver.transport import srtp_functions

SAMPLE_EVERY_MIN = 8


class Load:
    """Answers the parent. One certificate for all: making hundreds would only slow the start."""

    def __init__(self, rng: random.Random, address: str, sink: Sink | None) -> None:
        self._rng = rng
        self._address = address
        self._sink = sink
        self._certificate = RTCCertificate.generateCertificate()
        self._viewers: dict[str, Viewer] = {}
        self._hosts: dict[str, Host] = {}
        self._publishing: dict[str, LightTransport] = {}
        self._sending: list[asyncio.Task[None]] = []

    async def handle(self, op: str, args: Message) -> Message:
        result: Any = await getattr(self, f"_{op}")(**args)
        return result or {}

    async def _host_offer(self, participant_id: str) -> Message:
        number = len(self._publishing)

        def on_rtcp(rtcp: bytes) -> None:
            if participant_id in self._hosts:
                self._hosts[participant_id].on_rtcp(rtcp)

        transport = LightTransport(self._certificate, lambda _rtp: None, on_rtcp, address=self._address)
        self._publishing[participant_id] = transport
        return {"sdp": sdp.publish_offer(transport.local, AUDIO_SSRC + number, VIDEO_SSRC + 16 * number)}

    async def _host_connect(self, participant_id: str, answer: str) -> Message:
        remote, transport = sdp.remote(answer), self._publishing[participant_id]
        assert remote is not None
        await transport.connect(remote)
        ids = {kind: sdp.extension_ids(answer, kind) for kind in ("audio", "video")}
        self._hosts[participant_id] = Host(transport, len(self._hosts), ids)
        return {"srtp_profile": transport.srtp_profile}

    async def _play(self, case: str | list[int]) -> None:
        """`case`: a name in `bench.cases`, or [video packets per second, bytes]."""
        traffic = CASES[case] if isinstance(case, str) else rate(*case)
        for host in self._hosts.values():
            self._sending.append(asyncio.create_task(asyncio.to_thread(host.run, traffic.sends())))

    async def _host_counts(self) -> Message:
        hosts = self._hosts.values()
        return {"sent": sum(host.sent for host in hosts), "keyframes": sum(host.keyframes for host in hosts)}

    async def _offer(self, participant_id: str, sdp: str) -> Message:
        return {"sdp": self._viewer(participant_id).answer(sdp)}

    def _viewer(self, name: str) -> Viewer:
        if name not in self._viewers:
            self._viewers[name] = Viewer(self._certificate, self._rng, address=self._address, sink=self._sink)
        return self._viewers[name]

    async def _connected(self, participant_id: str) -> None:
        await self._viewer(participant_id).connected()

    async def _drop(self, participant_id: str, *, notify: bool) -> None:
        """The viewer goes away, with or without a word."""
        viewer = self._viewers.pop(participant_id, None)
        if viewer is not None:
            await viewer.close(notify=notify)

    async def _collect(self) -> None:
        # Everything is set up: what a collection would visit now is only in the way of the packets.
        gc.collect()
        gc.freeze()
        if self._sink is not None:
            # About a thousand samples a second, however many viewers there are.
            self._sink.sample(max(SAMPLE_EVERY_MIN, len(self._viewers) // 4))

    async def _reset(self) -> Message:
        """Begin a new window; counts as `counts`."""
        counts = await self._counts()
        if self._sink is not None:
            self._sink.reset()
        for viewer in self._viewers.values():
            viewer.reset()
        return counts

    async def _counts(self) -> Message:
        """Of the window since `reset`, all viewers together; delays in microseconds."""
        viewers = list(self._viewers.values())
        return {
            **sink.counts(viewers, self._sink),
            "unauthentic": sum(viewer.unauthentic for viewer in viewers),
            "delays_us": [d // 1000 for viewer in viewers for d in viewer.delays_ns],
            "srtp_profiles": Counter(viewer.transport.srtp_profile for viewer in viewers),
            "buffer_drops": buffer_drops(),
            "cpu_ns": time.process_time_ns(),
        }

    async def _last_packets(self) -> Message:
        """When the first and the last packet of each viewer came (CLOCK_MONOTONIC, ns)."""
        return {name: list(viewer.times()) for name, viewer in self._viewers.items()}

    async def close(self) -> None:
        for host in self._hosts.values():
            host.stop()
        await asyncio.gather(*self._sending, return_exceptions=True)
        for transport in self._publishing.values():
            await transport.close()
        for viewer in self._viewers.values():
            await viewer.close()


async def main(seed: int, address: str, kind: str) -> None:
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    native = Sink(srtp_functions()[2]) if kind == "native" else None
    load = Load(random.Random(seed), address, native)
    if native is not None:
        native.start()
    try:
        await serve(load.handle)
    finally:
        await _finished(load.close())
        if native is not None:
            native.close()


async def _finished(closing: Coroutine[Any, Any, None]) -> None:
    async with asyncio.timeout(4):
        await closing


if __name__ == "__main__":
    if sys.argv[3] == "host":
        # The host's timing is the measure of every delay: nothing of the load may hold it up.
        with contextlib.suppress(PermissionError):
            os.nice(-15)
    uvloop.run(main(int(sys.argv[1]), sys.argv[2], sys.argv[3]))
