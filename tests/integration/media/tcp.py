"""A client whose network lets no UDP out: its peer connection runs over one TCP connection, framed by RFC 4571."""

import asyncio
import socket
from types import SimpleNamespace

from .client import Hall, Leg, until


def framed(*packets: bytes) -> bytes:
    return b"".join(len(packet).to_bytes(2, "big") + packet for packet in packets)


class TcpLeg(Leg):
    """`connection` is its socket; what the server sends is taken apart into packets."""

    def __init__(self, server: tuple[str, int]) -> None:
        super().__init__(server)
        self.connection = socket.create_connection(server)
        self.connection.setblocking(False)
        self.hung_up = False
        self._arrived = b""
        asyncio.get_running_loop().add_reader(self.connection.fileno(), self._read_stream)
        self._agent.route = (SimpleNamespace(send_to=self._send_framed, dropped=0), server)

    def send(self, data: bytes) -> None:
        self.connection.sendall(framed(data))

    def _send_framed(self, data: bytes, _address: tuple[str, int]) -> int:
        self.on_wire.append(bytes(data))
        self.connection.sendall(framed(bytes(data)))
        return len(data)

    def stop_reading(self) -> None:
        asyncio.get_running_loop().remove_reader(self.connection.fileno())

    def hang_up(self) -> None:
        if self.connection.fileno() >= 0:
            self.stop_reading()
            self.connection.close()

    def read_again(self) -> None:
        asyncio.get_running_loop().add_reader(self.connection.fileno(), self._read_stream)

    def _read_stream(self) -> None:
        try:
            data = self.connection.recv(65536)
        except OSError:
            data = b""
        if not data:
            self.hung_up = True
            self.stop_reading()
            return
        self._arrived += data
        self._take_apart()

    def _take_apart(self) -> None:
        while len(self._arrived) >= 2:
            end = 2 + int.from_bytes(self._arrived[:2], "big")
            if len(self._arrived) < end:
                return
            self._receive(self.connection, self._arrived[2:end])
            self._arrived = self._arrived[end:]

    async def close(self) -> None:
        await super().close()
        self.hang_up()


class Caller:
    """A bare TCP connection to the media port, for what no client would do."""

    def __init__(self, hall: Hall) -> None:
        self.socket = socket.create_connection(hall.address)
        self.socket.setblocking(False)

    def send(self, data: bytes) -> None:
        self.socket.sendall(data)

    @property
    def hung_up(self) -> bool:
        try:
            return self.socket.recv(65536) == b""
        except BlockingIOError:
            return False
        except ConnectionError:
            return True

    async def until_hung_up(self) -> None:
        await until(lambda: self.hung_up, "the server hangs up")

    def close(self) -> None:
        self.socket.close()


def tcp_leg(hall: Hall) -> TcpLeg:
    leg = TcpLeg(hall.address)
    hall.legs.append(leg)
    return leg
