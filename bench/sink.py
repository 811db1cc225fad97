"""What one viewer received: counted by sequence numbers, a sample unprotected for its delay.

Counting is native (`viewers.c`) where there is a compiler: then a viewer also sends what Chromium would, reports with the delay
since the server's own, transport-wide feedback every 100 ms (when the server negotiated it) and NACKs for 0.5 % of the video.
Without one it counts in Python and sends plain reports only.
"""

import asyncio
import random
import struct
from collections.abc import Iterator
from dataclasses import dataclass

from aiortc import RTCCertificate

from bench import sdp
from bench.light import LightTransport, monotonic_ns
from bench.native import Sink
from bench.traffic import sent_ns

SAMPLE_EVERY = 64
REPORT_S = 1.0
Counts = dict[str, int]


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
    """Receives, reports once a second, stays alive. Times are of RTP packets, CLOCK_MONOTONIC."""

    def __init__(
        self, certificate: RTCCertificate, rng: random.Random, *, address: str, sink: Sink | None
    ) -> None:
        self.transport = LightTransport(certificate, self._on_rtp, self._on_rtcp, address=address)
        self.counters: dict[int, Counter] = {}
        self.delays_ns: list[int] = []
        self.unauthentic = 0
        self.feedback_sent = 0
        self._first_ns: int | None = None
        self._last_ns: int | None = None
        self._sink = sink
        self._index = -1
        self._arrival_ns = 0
        self._seen = rng.randrange(SAMPLE_EVERY)
        self._rng = rng
        self._ssrc = rng.getrandbits(31)
        self._tasks: list[asyncio.Task[None]] = []
        self._offered = asyncio.Event()

    def answer(self, offer: str) -> str:
        """Answer the server's offer; the first one with media starts the connection."""
        remote = sdp.remote(offer)
        if remote is not None and not self._tasks:
            self.transport.controlling = sdp.is_lite(offer)
            self._tasks = [asyncio.create_task(self._connect(remote, offer))]
            if self._sink is None:
                self._tasks += [asyncio.create_task(self._report())]
            self._offered.set()
        return sdp.answer(offer, self.transport.local)

    async def _connect(self, remote: sdp.Remote, offer: str) -> None:
        await self.transport.connect(remote)
        if self._sink is not None:
            ids = sdp.extension_ids(offer, "video")
            self._index = self._sink.add(
                self.transport.hand_over(),
                self.transport.sending_session(),
                transport_seq_id=ids.get(sdp.TRANSPORT_SEQ, 0),
                kinds=sdp.payload_kinds(offer),
                random=self._rng.getrandbits(32),
                on_record=self._on_record,
            )

    async def connected(self) -> None:
        """Raises what the connection failed with."""
        await self._offered.wait()
        await self._tasks[0]

    def times(self) -> tuple[int | None, int | None]:
        """When the first and the last packet came."""
        return (
            self._sink.times(self._index)
            if self._sink and self._index >= 0
            else (self._first_ns, self._last_ns)
        )

    def reset(self) -> None:
        """Begin a new window (the sink's own counters apart)."""
        self.counters.clear()
        self.delays_ns.clear()
        self.feedback_sent = 0

    async def close(self, *, notify: bool = True) -> None:
        for task in self._tasks:
            task.cancel()
        if self._sink is not None and self._index >= 0:
            self._sink.remove(self._index)
        await self.transport.close(notify=notify)

    def _on_record(self, data: bytes, arrival_ns: int) -> None:
        """From the sink: a sampled packet, or one that is not RTP."""
        if 127 < data[0] < 192 and not 191 < data[1] < 224:
            self._sample(data, arrival_ns)
        else:
            self._arrival_ns = arrival_ns
            self.transport.take(data)

    def _on_rtcp(self, rtcp: bytes) -> None:
        if self._sink is not None and self._index >= 0:
            for ssrc, middle in sender_reports(rtcp):
                self._sink.heard(self._index, ssrc, middle, self._arrival_ns)

    def _on_rtp(self, data: bytes) -> None:
        seq = data[2] << 8 | data[3]
        ssrc = int.from_bytes(data[8:12], "big")
        counter = self.counters.get(ssrc)
        if counter is None:
            counter = self.counters[ssrc] = Counter(seq, seq)
        counter.add(seq)
        self._last_ns = monotonic_ns()
        if self._first_ns is None:
            self._first_ns = self._last_ns
        self._seen += 1
        if self._seen % SAMPLE_EVERY == 0:
            self._sample(data, self._last_ns)

    def _sample(self, data: bytes, arrival_ns: int) -> None:
        if not self.transport.connected.is_set():
            return
        plain = self.transport.unprotect(data)
        if plain is None:
            self.unauthentic += 1
        else:
            self.delays_ns.append(arrival_ns - sent_ns(plain))

    async def _report(self) -> None:
        await self.transport.connected.wait()
        await asyncio.sleep(self._rng.random())
        while not self.transport.closed.is_set():
            self.feedback_sent += 1
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


def sender_reports(rtcp: bytes) -> Iterator[tuple[int, int]]:
    """SSRC and the middle 32 bits of the NTP time of each sender report (RFC 3550 section 6.4.1) in a compound packet."""
    at = 0
    while at + 16 <= len(rtcp):
        if rtcp[at + 1] == 200:
            ssrc, middle = struct.unpack_from("!I2xI", rtcp, at + 4)
            yield ssrc, middle
        at += 4 + 4 * int.from_bytes(rtcp[at + 2 : at + 4], "big")


def counts(viewers: list[Viewer], sink: Sink | None) -> Counts:
    """Of the window since the last reset, all viewers together."""
    if sink is not None:
        return sink.counts()
    counters = [c for viewer in viewers for c in viewer.counters.values()]
    return {
        "received": sum(c.received for c in counters),
        "expected": sum(c.expected for c in counters),
        "repeated": 0,
        "retransmitted": 0,
        "streams": len(counters),
        "feedback": sum(viewer.feedback_sent for viewer in viewers),
    }
