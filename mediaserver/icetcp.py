"""ICE over TCP: passive candidates (RFC 6544) on the number of the UDP port, for clients whose network lets no UDP out.

A connection carries packets framed by RFC 4571: two bytes of length, then STUN, DTLS, SRTP or SRTCP as on UDP.
Nobody stays without a valid check: the first packet must be one, within UNVERIFIED_S. Where framing is broken that
one connection ends. A client that reads too slowly loses whole packets, as on a congested line, so what waits for it
is bounded; when none fitted for STALLED_NS its connection ends.
"""

import asyncio
import errno
import socket
from collections.abc import Callable
from typing import ClassVar, cast

from mediaserver.errors import PortInUseError
from mediaserver.ice import DATAGRAM_BYTES_MAX, STUN_FIRST_BYTE_MAX, Address, IceAgent, IceServer

RECEIVE_BUFFER_BYTES = 16 << 10
# About half a second of video: more would only be watched late.
SEND_BUFFER_BYTES_MAX = 128 << 10
KERNEL_UNSENT_BYTES = 32 << 10
STALLED_NS = 10_000_000_000
UNVERIFIED_MAX = 256
UNVERIFIED_S = 10.0
# Long enough for close_notify to leave after its peer was closed.
LINGER_S = 1.0
BACKLOG = 128
FREE_PORT_TRIES = 16
_LENGTH_BYTES = 2


class TcpConnection(asyncio.BufferedProtocol):
    """One client's connection: a `Port` with one address. It ends by `end` alone, whatever the cause."""

    protocol: ClassVar[str] = "tcp"

    def __init__(self, server: "TcpServer") -> None:
        self._server = server
        self._transport: asyncio.Transport | None = None
        self._address: Address = ()
        self._buffer = memoryview(bytearray(RECEIVE_BUFFER_BYTES))
        self._filled = 0
        self._full_since_ns: int | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._leaving = False
        self.agents: dict[Address, IceAgent] = {}
        self.dropped = 0

    # --- what the event loop calls ---

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._address = transport.get_extra_info("peername") or ()
        connected = transport.get_extra_info("socket")
        self._timer = asyncio.get_running_loop().call_later(UNVERIFIED_S, self.end)
        self._server.opened(self)
        try:
            connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, KERNEL_UNSENT_BYTES)
        except OSError:
            self._address = ()
        if not self._address:  # reset before it was accepted
            self.end()

    def connection_lost(self, _exc: Exception | None) -> None:
        self.end()

    def get_buffer(self, _sizehint: int) -> memoryview:
        return self._buffer[self._filled :]

    def buffer_updated(self, nbytes: int) -> None:
        self._filled += nbytes
        start = 0
        while not self._leaving and self._filled - start >= _LENGTH_BYTES:
            size = int.from_bytes(self._buffer[start : start + _LENGTH_BYTES], "big")
            end = start + _LENGTH_BYTES + size
            if size > DATAGRAM_BYTES_MAX:
                self.dropped += 1
                self.end()
            elif end > self._filled:
                break
            else:
                self._take(bytes(self._buffer[start + _LENGTH_BYTES : end]))
            start = end
        self._keep_from(start)
        self._server.ice.flush()

    def _keep_from(self, start: int) -> None:
        """Move the beginning of a packet to the front; what comes while leaving is not kept."""
        rest = b"" if self._leaving else bytes(self._buffer[start : self._filled])
        self._buffer[: len(rest)] = rest
        self._filled = len(rest)

    def _take(self, packet: bytes) -> None:
        if not packet:  # RFC 4571 section 2: the null packet
            return
        agent = self.agents.get(self._address)
        if packet[0] <= STUN_FIRST_BYTE_MAX:
            self._server.ice.check(self, packet, self._address)
            if agent is None and self.agents:
                self._verified()
        elif agent is not None:
            self._server.ice.receive(agent, packet)
        if not self.agents and not self._leaving:
            self.end()

    def _verified(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._server.verified(self)

    # --- what agents call ---

    def send_to(self, data: bytes | memoryview, _address: Address) -> int:
        """Raises BlockingIOError when too much is waiting already, ConnectionResetError when it has ended."""
        transport, size = self._transport, len(data)
        if transport is None or transport.is_closing():
            raise ConnectionResetError
        if transport.get_write_buffer_size() + size > SEND_BUFFER_BYTES_MAX:
            self._end_if_stalled()
            raise BlockingIOError
        self._full_since_ns = None
        transport.write(size.to_bytes(_LENGTH_BYTES, "big") + data)
        return size

    def _end_if_stalled(self) -> None:
        now_ns = self._server.now_ns()
        if self._full_since_ns is None:
            self._full_since_ns = now_ns
        elif now_ns - self._full_since_ns >= STALLED_NS:
            # Later: who sends is in the middle of something.
            asyncio.get_running_loop().call_soon(self.end)

    def send(self, data: bytes, _address: Address) -> None:
        try:
            self.send_to(data, self._address)
        except OSError:
            self.dropped += 1

    def forget(self, _address: Address) -> None:
        """The agent is gone: what it still sends may leave, what comes is ignored, then the connection ends."""
        self.agents.clear()
        if not self._leaving:
            self._leaving = True
            self._timer = asyncio.get_running_loop().call_later(LINGER_S, self.end)

    # --- its end ---

    def end(self) -> None:
        self._leaving = True
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        for agent in self.agents.values():
            self._server.ice.lost(agent, self, self._address)
        self.agents.clear()
        if self._transport is not None:
            self._transport.abort()
            self._transport = None
            self._server.closed(self)

    def close(self) -> None:
        """The server closes: what still waits may leave, unless this client does not read anyway."""
        transport, self._leaving = self._transport, True
        if transport is not None and self._full_since_ns is None:
            transport.close()  # `connection_lost` follows
        else:
            self.end()


class TcpServer:
    """The listening sockets and all connections. At most UNVERIFIED_MAX have not shown a valid check yet: the one
    that took longest makes room for a newcomer, so that idle strangers keep nobody out."""

    def __init__(self, ice: IceServer, now_ns: Callable[[], int]) -> None:
        self.ice = ice
        self.now_ns = now_ns
        self._listeners: list[asyncio.Server] = []
        self._unverified: dict[TcpConnection, None] = {}  # in order of arrival
        self._connections: set[TcpConnection] = set()
        self._dropped = 0

    @property
    def connections(self) -> int:
        return len(self._connections)

    @property
    def dropped(self) -> int:
        return self._dropped + sum(connection.dropped for connection in self._connections)

    async def start(self, addresses: tuple[str, ...], port: int) -> None:
        """Listen on every address. Raises PortInUseError, and then listens on none."""
        loop = asyncio.get_running_loop()
        try:
            for address in addresses:
                listening = _listen(address, port)
                self._listeners.append(
                    await loop.create_server(lambda: TcpConnection(self), sock=listening, backlog=BACKLOG)
                )
        except (OSError, PortInUseError):
            self.close()
            raise

    def close(self) -> None:
        for listener in self._listeners:
            listener.close()
        self._listeners.clear()
        for connection in tuple(self._connections):
            connection.close()

    def opened(self, connection: TcpConnection) -> None:
        self._connections.add(connection)
        self._unverified[connection] = None
        if len(self._unverified) > UNVERIFIED_MAX:
            next(iter(self._unverified)).end()

    def verified(self, connection: TcpConnection) -> None:
        self._unverified.pop(connection, None)

    def closed(self, connection: TcpConnection) -> None:
        self._unverified.pop(connection, None)
        self._connections.discard(connection)
        self._dropped += connection.dropped


def _listen(address: str, port: int) -> socket.socket:
    listening = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_STREAM)
    try:
        # What an earlier process of ours left in TIME_WAIT must not keep the next one from starting.
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind((address, port))
    except OSError as error:
        listening.close()
        if error.errno == errno.EADDRINUSE:
            raise PortInUseError(f"TCP port {port} on {address} is in use") from error
        raise
    return listening


async def open_ports(ice: IceServer, tcp: TcpServer, addresses: tuple[str, ...], port: int) -> None:
    """UDP and TCP on the same number, for 0 on one that is free for both. Raises PortInUseError."""
    for tries_left in reversed(range(FREE_PORT_TRIES if port == 0 else 1)):
        try:
            ice.start(addresses, port)
            await tcp.start(addresses, ice.port)
        except PortInUseError:
            ice.close()
            if not tries_left:
                raise
        except OSError:
            ice.close()
            raise
        else:
            return
