"""A router between clients and the server: its outer address is another one, and its mappings can be lost."""

import selectors
import socket
import threading
from typing import Self

Address = tuple[str, int]
POLL_S = 0.05


class Router:
    """Passes UDP from `outer`:port on to `inner`:port, one socket a client, and the answers back, in a thread.

    `forget_all` is what a change of the clients' network looks like from the server: packets from and to the
    client addresses of before are lost, new ones pass.
    """

    def __init__(self, outer: str, inner: Address) -> None:
        self._inner = inner
        self._outer = _bound((outer, inner[1]))
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._outer, selectors.EVENT_READ)
        self._mappings: dict[Address, socket.socket] = {}
        self._clients: dict[socket.socket, Address] = {}
        self._forgotten: set[Address] = set()
        self._lock = threading.Lock()
        self._over = False
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._over = True
        self._thread.join()
        self.forget_all()
        self._selector.close()
        self._outer.close()

    @property
    def clients(self) -> set[Address]:
        """Who has a mapping now."""
        with self._lock:
            return set(self._mappings)

    def forget_all(self) -> None:
        with self._lock:
            self._forgotten |= set(self._mappings)
            for mapping in self._mappings.values():
                self._selector.unregister(mapping)
                mapping.close()
            self._mappings.clear()
            self._clients.clear()

    def _run(self) -> None:
        while not self._over:
            ready = self._selector.select(POLL_S)
            with self._lock:
                for key, _ in ready:
                    if isinstance(key.fileobj, socket.socket) and key.fileobj.fileno() >= 0:
                        self._pass_on(key.fileobj)

    def _pass_on(self, ready: socket.socket) -> None:
        for data, address in _drain(ready):
            if ready is not self._outer:
                self._outer.sendto(data, self._clients[ready])
            elif address not in self._forgotten:
                self._mapping(address).sendto(data, self._inner)

    def _mapping(self, client: Address) -> socket.socket:
        if client not in self._mappings:
            self._mappings[client] = mapping = _bound((self._inner[0], 0))
            self._clients[mapping] = client
            self._selector.register(mapping, selectors.EVENT_READ)
        return self._mappings[client]


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
