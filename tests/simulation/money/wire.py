"""Connections between the processes of a machine: real HTTP, no sockets. What was sent arrives in order and late; what a
dead process had sent before still arrives.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Iterable
from contextvars import Context
from random import Random
from typing import Any

import aiohttp

from .machine import Process, current

LATENCY_S = (0.0005, 0.0005, 0.001, 0.001, 0.002, 0.02, 0.2)
CONNECT_S = 0.001


class End(asyncio.Transport):
    """One end of a connection, as its protocol sees it."""

    def __init__(self, protocol: asyncio.Protocol, context: Context | None, chance: Random) -> None:
        super().__init__({"peername": ("127.0.0.1", 1), "sockname": ("127.0.0.1", 2)})
        self.other: End
        self._protocol: Any = protocol
        self._context = context
        self._chance = chance
        self._arriving: deque[bytes | BaseException | None] = deque()
        self._due_s = 0.0
        self._is_closing = False
        self._is_lost = False
        self._is_paused = False
        self._waiting = 0  # how much of what is arriving is here, and not taken yet

    # --- what a protocol may do ---------------------------------------------------------------------------

    def write(self, data: Any) -> None:
        if not self._is_closing:
            self.other.arrive(bytes(data))

    def writelines(self, list_of_data: Iterable[Any]) -> None:
        self.write(b"".join(list_of_data))

    def close(self) -> None:
        self._end(None)

    def abort(self) -> None:
        self._end(ConnectionResetError("reset by peer"))

    def _end(self, told: BaseException | None) -> None:
        if not self._is_closing:
            self._is_closing = True
            self.other.arrive(told)
            asyncio.get_running_loop().call_soon(self._lose, None, context=self._context)

    def is_closing(self) -> bool:
        return self._is_closing

    def get_protocol(self) -> asyncio.BaseProtocol:
        return self._protocol

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        self._protocol = protocol

    def get_write_buffer_size(self) -> int:
        return 0

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        """What is written has left."""

    def can_write_eof(self) -> bool:
        return False

    def is_reading(self) -> bool:
        return not self._is_paused

    def pause_reading(self) -> None:
        self._is_paused = True

    def resume_reading(self) -> None:
        self._is_paused = False
        while self._waiting and not self._is_paused:
            self._waiting -= 1
            self._take()

    # --- what comes over the wire -------------------------------------------------------------------------

    def arrive(self, what: bytes | BaseException | None) -> None:
        """Bytes, or the end."""
        loop = asyncio.get_running_loop()
        self._arriving.append(what)
        self._due_s = max(self._due_s, loop.time() + self._chance.choice(LATENCY_S))
        loop.call_at(self._due_s, self._take, context=self._context)

    def _take(self) -> None:
        if self._is_paused:
            self._waiting += 1
            return
        what = self._arriving.popleft()
        if isinstance(what, bytes):
            if not self._is_lost and not self._is_closing:
                self._protocol.data_received(what)
            return
        self._is_closing = True
        self._lose(what)

    def _lose(self, why: BaseException | None) -> None:
        if not self._is_lost:
            self._is_lost = True
            self._protocol.connection_lost(why)


class Network:
    """Who listens on which port of 127.0.0.1. Where several do, one of them is found, as behind a balancer."""

    def __init__(self, chance: Random) -> None:
        self._chance = chance
        self._listening: dict[int, list[tuple[Process, Callable[[], asyncio.Protocol]]]] = {}

    def listen(self, port: int, process: Process, protocol: Callable[[], Any]) -> None:
        self._listening[port] = [*self._alive_at(port), (process, protocol)]

    def _alive_at(self, port: int) -> list[tuple[Process, Callable[[], asyncio.Protocol]]]:
        return [one for one in self._listening.get(port, []) if one[0].is_alive]

    def connect(self, port: int, protocol: Any, client: Process | None) -> None:
        """Raises ConnectionRefusedError."""
        found = self._alive_at(port)
        if not found:
            raise ConnectionRefusedError(port)
        server, make = found[0] if len(found) == 1 else self._chance.choice(found)
        own = End(protocol, None if client is None else client.context, self._chance)
        theirs = End(server.context.run(make), server.context, self._chance)
        own.other, theirs.other = theirs, own
        server.at_death.append(theirs.abort)
        if client is not None:
            client.at_death.append(own.abort)
        server.context.run(theirs.get_protocol().connection_made, theirs)
        protocol.connection_made(own)


class Wire(aiohttp.BaseConnector):
    """Where an aiohttp client of one process finds the others. Each request and each answer is a step of its process."""

    def __init__(self, network: Network) -> None:
        super().__init__(force_close=True)
        self._network = network

    async def _create_connection(self, req: Any, traces: Any, timeout: Any) -> Any:  # noqa: ASYNC109 - aiohttp's word
        process = current()
        if process is not None:
            await process.step("before a request")
        await asyncio.sleep(CONNECT_S)
        protocol = self._factory()
        try:
            self._network.connect(req.url.port, protocol, process)
        except OSError as error:
            raise aiohttp.ClientConnectorError(req.connection_key, error) from error
        return protocol


def client(network: Network) -> aiohttp.ClientSession:
    return aiohttp.ClientSession(connector=Wire(network))
