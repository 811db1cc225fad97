"""What one viewer received: counted by sequence numbers, a sample unprotected for its delay."""

import asyncio
import random
import struct
from dataclasses import dataclass

from aiortc import RTCCertificate

from bench import sdp
from bench.light import LightTransport, monotonic_ns
from bench.traffic import sent_ns

SAMPLE_EVERY = 64
REPORT_S = 1.0


@dataclass
class Counter:
    """One received stream in the current window. `highest` counts on past 65535."""

    first: int
    highest: int
    received: int = 0

    def add(self, seq: int) -> None:
        ahead = (seq - self.highest) & 0xFFFF
        if ahead < 0x8000:
            self.highest += ahead
        self.received += 1

    @property
    def expected(self) -> int:
        return self.highest - self.first + 1 if self.received else 0


class Viewer:
    """Receives, reports once a second, stays alive. `last_ns`: when the last RTP packet came."""

    def __init__(self, certificate: RTCCertificate, rng: random.Random) -> None:
        self.transport = LightTransport(certificate, self._on_rtp, lambda _rtcp: None)
        self.counters: dict[int, Counter] = {}
        self.delays_ns: list[int] = []
        self.unauthentic = 0
        self.first_ns: int | None = None
        self.last_ns: int | None = None
        self.sample_every = SAMPLE_EVERY
        self._seen = rng.randrange(SAMPLE_EVERY)
        self._rng = rng
        self._ssrc = rng.getrandbits(31)
        self._reports: asyncio.Task[None] | None = None
        self._connecting: asyncio.Task[None] | None = None
        self._offered = asyncio.Event()

    def answer(self, offer: str) -> str:
        """Answer the server's offer; the first one with media starts the connection."""
        remote = sdp.remote(offer)
        if remote is not None and self._connecting is None:
            self._connecting = asyncio.create_task(self.transport.connect(remote))
            self._reports = asyncio.create_task(self._report())
            self._offered.set()
        return sdp.answer(offer, self.transport.local)

    async def connected(self) -> None:
        """Raises what the connection failed with."""
        await self._offered.wait()
        assert self._connecting is not None
        await self._connecting

    def reset(self) -> None:
        """Begin a new window."""
        self.counters.clear()
        self.delays_ns.clear()

    async def close(self, *, notify: bool = True) -> None:
        for task in (self._reports, self._connecting):
            if task is not None:
                task.cancel()
        await self.transport.close(notify=notify)

    def _on_rtp(self, data: bytes) -> None:
        seq = data[2] << 8 | data[3]
        ssrc = int.from_bytes(data[8:12], "big")
        counter = self.counters.get(ssrc)
        if counter is None:
            counter = self.counters[ssrc] = Counter(seq, seq)
        counter.add(seq)
        self.last_ns = monotonic_ns()
        if self.first_ns is None:
            self.first_ns = self.last_ns
        self._seen += 1
        if self._seen % self.sample_every == 0:
            self._sample(data)

    def _sample(self, data: bytes) -> None:
        if not self.transport.connected.is_set():
            return
        plain = self.transport.unprotect(data)
        if plain is None:
            self.unauthentic += 1
        elif self.last_ns is not None:
            self.delays_ns.append(self.last_ns - sent_ns(plain))

    async def _report(self) -> None:
        await self.transport.connected.wait()
        await asyncio.sleep(self._rng.random())
        while not self.transport.closed.is_set():
            self.transport.send_rtcp(self._receiver_report())
            await asyncio.sleep(REPORT_S)

    def _receiver_report(self) -> bytes:
        """RFC 3550 section 6.4.2, without loss figures: nothing is to be retransmitted here."""
        blocks = b"".join(
            struct.pack("!IIIIII", ssrc, 0, counter.highest & 0xFFFFFFFF, 0, 0, 0)
            for ssrc, counter in list(self.counters.items())[:31]
        )
        count = len(blocks) // 24
        return struct.pack("!BBHI", 0x80 | count, 201, 1 + 6 * count, self._ssrc) + blocks
