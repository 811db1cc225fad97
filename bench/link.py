"""A bad line between two network namespaces: two TUN devices joined by a process that loses, delays and limits. Needs root.

For kernels without netem. Whatever enters one device leaves the other, UDP and TCP alike: after `delay_ms`, if it is not lost
(`loss`, drawn for each packet), and behind what the line at `rate_bps` has still to carry; what would wait there for over
QUEUE_MS is lost too, as in a router whose queue is full. Nothing overtakes.

    python -m bench.link FD FD SEED

reads a JSON object a line ({"delay_ms": 50, "loss": 0.05, "rate_bps": null}), each way from then on, and answers each with what
happened since the one before.
"""

import asyncio
import contextlib
import fcntl
import json
import os
import random
import struct
import subprocess
import sys
from collections import deque
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Self

QUEUE_MS = 300
PACKET_BYTES_MAX = 65_536
_SET_INTERFACE = 0x400454CA  # TUNSETIFF
_TUN_WITHOUT_HEADER = 0x1001  # IFF_TUN | IFF_NO_PI


@dataclass(frozen=True, slots=True)
class Line:
    """What is wrong with the line, each way: one-way delay, share of packets lost, bits per second (None: no limit)."""

    delay_ms: float = 0
    loss: float = 0
    rate_bps: int | None = None


@dataclass(slots=True)
class Counts:
    passed: int = 0
    lost: int = 0
    overflowed: int = 0


class Way:
    """One direction, from device to device."""

    def __init__(self, source: int, sink: int, chance: random.Random) -> None:
        self.line = Line()
        self.counts = Counts()
        self._source = source
        self._sink = sink
        self._chance = chance
        self._waiting: deque[tuple[float, bytes]] = deque()
        self._free_s = 0.0
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(source, self._read)

    def _read(self) -> None:
        with contextlib.suppress(BlockingIOError):
            while True:
                self._take(os.read(self._source, PACKET_BYTES_MAX))

    def _take(self, packet: bytes) -> None:
        line, now_s = self.line, self._loop.time()
        if self._chance.random() < line.loss:
            self.counts.lost += 1
            return
        due_s = now_s
        if line.rate_bps is not None:
            if self._free_s - now_s > QUEUE_MS / 1000:
                self.counts.overflowed += 1
                return
            self._free_s = due_s = max(now_s, self._free_s) + 8 * len(packet) / line.rate_bps
        due_s += line.delay_ms / 1000
        last_s = self._waiting[-1][0] if self._waiting else 0.0
        self._waiting.append((max(due_s, last_s), packet))
        if len(self._waiting) == 1:
            self._loop.call_at(self._waiting[0][0], self._deliver)

    def _deliver(self) -> None:
        while self._waiting and self._waiting[0][0] <= self._loop.time():
            _, packet = self._waiting.popleft()
            self.counts.passed += 1
            with contextlib.suppress(OSError):  # the device is not up yet, or full
                os.write(self._sink, packet)
        if self._waiting:
            self._loop.call_at(self._waiting[0][0], self._deliver)


async def carry(one: int, other: int, seed: int) -> None:
    """Until standard input ends."""
    ways = [Way(one, other, random.Random(seed)), Way(other, one, random.Random(seed + 1))]
    reader = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(reader), sys.stdin
    )
    while told := await reader.readline():
        happened = [asdict(way.counts) for way in ways]
        for way in ways:
            way.line, way.counts = Line(**json.loads(told)), Counts()
        print(json.dumps(happened), flush=True)


class Link:
    """The two devices and the process between them. Use as a context manager: leaving it takes both away."""

    def __init__(self, namespaces: Sequence[str], addresses: Sequence[str], seed: int) -> None:
        self.interfaces = tuple(f"line{place}-{os.getpid()}" for place in range(2))
        self._devices = []
        for name, namespace, address in zip(self.interfaces, namespaces, addresses, strict=True):
            self._devices.append(_tun(name))
            _ip("link", "set", name, "netns", namespace)
            _ip("-n", namespace, "address", "add", f"{address}/24", "dev", name)
            _ip("-n", namespace, "link", "set", name, "up")
        self._process = subprocess.Popen(
            [sys.executable, "-m", "bench.link", *map(str, self._devices), str(seed)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            pass_fds=self._devices,
            text=True,
        )

    def become(self, line: Line) -> list[dict[str, int]]:
        """Behave so from now on. What was passed, lost and overflowed since the last call: from the first to the second
        namespace, and back."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        print(json.dumps(asdict(line)), file=self._process.stdin, flush=True)
        counts: list[dict[str, int]] = json.loads(self._process.stdout.readline())
        return counts

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self._process.communicate()
        for device in self._devices:
            os.close(device)


def _tun(name: str) -> int:
    device = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
    fcntl.ioctl(device, _SET_INTERFACE, struct.pack("16sH22x", name.encode(), _TUN_WITHOUT_HEADER))
    return device


def _ip(*arguments: str) -> None:
    subprocess.run(("ip", *arguments), check=True, capture_output=True)


if __name__ == "__main__":
    asyncio.run(carry(*map(int, sys.argv[1:4])))
