"""A router between clients and the server: its outer address is another one, and its mappings can be lost."""

import asyncio
import socket
from typing import Self

Address = tuple[str, int]


class Router:
    """Passes UDP from `outer`:port on to `inner`:port, one socket a client, and the answers back.

    `forget_all` is what a change of the client's network looks like from the server: packets from and to the
    client addresses of before are lost, new ones pass.
    """

    def __init__(self, outer: str, inner: Address) -> None:
        self._inner = inner
        self._outer = _bound((outer, inner[1]))
        self._mappings: dict[Address, socket.socket] = {}
        self._forgotten: set[Address] = set()

    def __enter__(self) -> Self:
        asyncio.get_running_loop().add_reader(self._outer.fileno(), self._from_clients)
        return self

    def __exit__(self, *exc: object) -> None:
        self.forget_all()
        asyncio.get_running_loop().remove_reader(self._outer.fileno())
        self._outer.close()

    @property
    def clients(self) -> set[Address]:
        return set(self._mappings)

    def forget_all(self) -> None:
        for address in self.clients:
            self._forgotten.add(address)
            mapping = self._mappings.pop(address)
            asyncio.get_running_loop().remove_reader(mapping.fileno())
            mapping.close()

    def _from_clients(self) -> None:
        for data, address in _drain(self._outer):
            if address in self._forgotten:
                continue
            if address not in self._mappings:
                self._mappings[address] = mapping = _bound(("127.0.0.1", 0))
                asyncio.get_running_loop().add_reader(mapping.fileno(), self._from_server, mapping, address)
            self._mappings[address].sendto(data, self._inner)

    def _from_server(self, mapping: socket.socket, client: Address) -> None:
        for data, _ in _drain(mapping):
            self._outer.sendto(data, client)


def _bound(address: Address) -> socket.socket:
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
    sock.setblocking(False)
    sock.bind(address)
    return sock


def _drain(sock: socket.socket) -> list[tuple[bytes, Address]]:
    found = []
    try:
        while True:
            found.append(sock.recvfrom(2048))
    except OSError:
        return found
