"""CPU, delay and memory of packet forwarding: 1 host, N viewers, one JSON line per N.

The server's CPU time is that of its process (CLOCK_PROCESS_CPUTIME_ID, what /proc/PID/stat rounds to 10 ms). On a
kernel without CONFIG_IRQ_TIME_ACCOUNTING it includes the softirq work that a send does on loopback, which is the
receiver's half of the network stack: on a real interface that part belongs to the driver.
"""

import argparse
import asyncio
import json
import socket
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Self

from bench.pipe import Child, Message
from bench.traffic import AUDIO_BYTES, AUDIO_PER_S, FRAMES_PER_S

VIEWERS_PER_PROCESS = 150
JOINS_AT_ONCE = 8
WARM_UP_S = 2.0


@dataclass(frozen=True, slots=True)
class Options:
    """`seconds` is the length of the measured window for each N."""

    viewers: tuple[int, ...]
    seconds: float
    video_per_s: int
    video_bytes: int
    plane: str = "auto"


def free_port() -> int:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Bench:
    """One server, one host process, as many viewer processes as needed. Use as an async context manager."""

    def __init__(self, viewers: int, options: Options) -> None:
        self._options = options
        self._count = viewers
        self._owner: dict[str, Child] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._stack = AsyncExitStack()
        self.closed: list[Message] = []

    async def __aenter__(self) -> Self:
        enter = self._stack.enter_async_context
        self.server = await enter(
            Child("bench.media_server", str(free_port()), self._options.plane, on_event=self._on_event)
        )
        self._host = await enter(Child("bench.load", "0"))
        processes = -(-self._count // VIEWERS_PER_PROCESS)
        self.loads = [await enter(Child("bench.load", str(n + 1))) for n in range(processes)]
        return self

    async def __aexit__(self, *exc: object) -> None:
        for task in self._tasks:
            task.cancel()
        await self._stack.aclose()

    async def start_host(self) -> None:
        self._owner["host"] = self._host
        await self.server.request("add", participant_id="host", host=True)
        offer = await self._host.request("host_offer")
        answer = await self.server.request("publish", participant_id="host", sdp=offer["sdp"])
        await self._host.request(
            "host_start",
            answer=answer["sdp"],
            video_per_s=self._options.video_per_s,
            video_bytes=self._options.video_bytes,
        )

    async def join_viewers(self, *, gates: bool = True) -> list[str]:
        """All viewers in and connected, a few at a time; `gates`: each opened without limit."""
        turn = asyncio.Semaphore(JOINS_AT_ONCE)

        async def join(n: int) -> str:
            async with turn:
                return await self._join(f"v{n}", self.loads[n % len(self.loads)], gates=gates)

        return await asyncio.gather(*(join(n) for n in range(self._count)))

    async def _join(self, name: str, load: Child, *, gates: bool) -> str:
        self._owner[name] = load
        await self.server.request("add", participant_id=name, host=False)
        await load.request("connected", participant_id=name)
        if gates:
            await self.open_gates({name: None})
        return name

    async def open_gates(self, allow_ms: Mapping[str, int | None]) -> None:
        for name, allowed_ms in allow_ms.items():
            await self.server.request("open", participant_id=name, allow_ms=allowed_ms)

    async def last_packets(self) -> Message:
        """Viewer to the arrival of its first and its last packet (CLOCK_MONOTONIC, ns)."""
        parts = await asyncio.gather(*(load.request("last_packets") for load in self.loads))
        return {name: times for part in parts for name, times in part.items()}

    def _on_event(self, message: Message) -> None:
        if message["event"] == "Offer":
            task = asyncio.create_task(self._pass_on(message))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        elif message["event"] == "Closed":
            self.closed.append(message)

    async def _pass_on(self, offer: Message) -> None:
        name = offer["participant_id"]
        reply = await self._owner[name].request("offer", participant_id=name, sdp=offer["sdp"])
        await self.server.request("answer", participant_id=name, offer_id=offer["offer_id"], sdp=reply["sdp"])

    async def window(self, seconds: float) -> Message:
        """Counts of one window: the server's CPU and everything the viewers saw."""
        await asyncio.gather(*(load.request("reset") for load in self.loads))
        before = await self.server.request("usage")
        await asyncio.sleep(seconds)
        after = await self.server.request("usage")
        seen = await asyncio.gather(*(load.request("counts") for load in self.loads))
        host = await self._host.request("host_counts")
        return {
            "cpu_ns": after["cpu_ns"] - before["cpu_ns"],
            "received": sum(part["received"] for part in seen),
            "expected": sum(part["expected"] for part in seen),
            "streams": sum(part["streams"] for part in seen),
            "unauthentic": sum(part["unauthentic"] for part in seen),
            "delays_us": sorted(d for part in seen for d in part["delays_us"]),
            "keyframes": host["keyframes"],
            "closed": list(self.closed),
        }


def percentile(ordered: Sequence[int], part: float) -> float:
    return float(ordered[min(len(ordered) - 1, int(len(ordered) * part))]) if ordered else float("nan")


async def measure(viewers: int, options: Options) -> Message:
    async with Bench(viewers, options) as bench:
        await bench.start_host()
        await asyncio.sleep(WARM_UP_S)
        before, base = await bench.server.request("usage"), await bench.window(1.0)
        idle = await bench.server.request("usage")
        await bench.join_viewers()
        joined = await bench.server.request("usage")
        await asyncio.sleep(WARM_UP_S)
        seen = await bench.window(options.seconds)
        after = await bench.server.request("usage")
    assert base["received"] == 0
    assert before["cpu_ns"] <= idle["cpu_ns"]
    return result(viewers, options, seen, {"idle": idle, "joined": joined, "after": after})


def result(viewers: int, options: Options, seen: Message, usage: dict[str, Message]) -> Message:
    if seen["streams"] != 2 * viewers or seen["unauthentic"] or seen["closed"]:
        raise RuntimeError(f"not every viewer received both streams, authentic: {seen}")
    delays = seen["delays_us"]
    return {
        "server": "tollroom",
        "plane": options.plane,
        "setting": f"{options.seconds:g} s, uvloop, loopback, {FRAMES_PER_S} frames/s",
        "traffic": f"{options.video_per_s} x {options.video_bytes} B + {AUDIO_PER_S} x {AUDIO_BYTES} B per s",
        "viewers": viewers,
        "packets_per_s": round(seen["expected"] / options.seconds),
        "us_per_packet": round(seen["cpu_ns"] / 1000 / seen["expected"], 2),
        "cpu_share": round(seen["cpu_ns"] / 1e9 / options.seconds, 3),
        "loss": round(1 - seen["received"] / seen["expected"], 5),
        "delay_p50_ms": round(percentile(delays, 0.5) / 1000, 2),
        "delay_p99_ms": round(percentile(delays, 0.99) / 1000, 2),
        "kb_per_viewer": round((usage["after"]["rss_kb"] - usage["idle"]["rss_kb"]) / viewers),
        "join_cpu_ms": round((usage["joined"]["cpu_ns"] - usage["idle"]["cpu_ns"]) / 1e6 / viewers, 2),
    }


def parse(arguments: Sequence[str] | None = None) -> Options:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--viewers", type=int, nargs="+", default=[1, 10, 50, 100])
    parser.add_argument("--seconds", type=float, default=10)
    parser.add_argument("--video-per-s", type=int, default=290)
    parser.add_argument("--video-bytes", type=int, default=1100)
    parser.add_argument("--plane", choices=("auto", "native", "python"), default="auto")
    found = parser.parse_args(arguments)
    return Options(tuple(found.viewers), found.seconds, found.video_per_s, found.video_bytes, found.plane)


async def main(options: Options) -> None:
    for viewers in options.viewers:
        print(json.dumps(await measure(viewers, options)), flush=True)


if __name__ == "__main__":
    asyncio.run(main(parse()))
