"""A narrow line on loopback: a relay before the media server whose way to the client has a rate, a queue and a delay."""

import asyncio
import time
from typing import Self

Address = tuple[str, int]


class Narrows:
    """UDP relay from `port` to the server at `server`. Toward the client `rate_bps` pass, what waits longer than
    `queue_s` is dropped; the other way is free. Clients are told apart by address."""

    def __init__(
        self, server: Address, *, rate_bps: float = 50e6, queue_s: float = 0.2, delay_s: float = 0.01
    ) -> None:
        self.server = server
        self.rate_bps, self.queue_s, self.delay_s = rate_bps, queue_s, delay_s
        self.passed = self.dropped = 0
        self._free_s = 0.0
        self._upstreams: dict[Address, asyncio.DatagramTransport] = {}
        self._opening: set[asyncio.Task[None]] = set()
        self._transport: asyncio.DatagramTransport | None = None

    async def __aenter__(self) -> Self:
        loop = asyncio.get_running_loop()
        self._transport, _ = await loop.create_datagram_endpoint(
            lambda: _End(self._from_client), local_addr=("127.0.0.1", 0)
        )
        return self

    async def __aexit__(self, *exc: object) -> None:
        assert self._transport is not None
        await asyncio.gather(*self._opening)
        for transport in (self._transport, *self._upstreams.values()):
            transport.close()

    @property
    def port(self) -> int:
        assert self._transport is not None
        return int(self._transport.get_extra_info("sockname")[1])

    def _from_client(self, data: bytes, address: Address) -> None:
        upstream = self._upstreams.get(address)
        if upstream is not None:
            upstream.sendto(data)
            return
        task = asyncio.create_task(self._open(data, address))
        self._opening.add(task)
        task.add_done_callback(self._opening.discard)

    async def _open(self, data: bytes, client: Address) -> None:
        upstream, _ = await asyncio.get_running_loop().create_datagram_endpoint(
            lambda: _End(lambda answer, _: self._to_client(answer, client)), remote_addr=self.server
        )
        upstream.sendto(data)
        if client in self._upstreams:
            upstream.close()
        else:
            self._upstreams[client] = upstream

    def _to_client(self, data: bytes, client: Address) -> None:
        now_s = time.monotonic()
        if self._free_s - now_s > self.queue_s:
            self.dropped += 1
            return
        self._free_s = max(self._free_s, now_s) + (len(data) + 28) * 8 / self.rate_bps
        self.passed += 1
        loop = asyncio.get_running_loop()
        loop.call_later(self._free_s + self.delay_s - now_s, self._deliver, data, client)

    def _deliver(self, data: bytes, client: Address) -> None:
        if self._transport is not None and not self._transport.is_closing():
            self._transport.sendto(data, client)


class _End(asyncio.DatagramProtocol):
    def __init__(self, receive):
        self.datagram_received = receive

    def error_received(self, exc: Exception) -> None:
        """The other end has gone; its time is over anyway."""
