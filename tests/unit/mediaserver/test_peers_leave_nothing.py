"""A closed peer is freed at once. In a reference cycle it would wait, with 100 kB of OpenSSL's behind it, for a full
collection, which a live server hardly ever makes."""

import asyncio
import gc
import os
import weakref
from collections.abc import AsyncIterator, Iterator
from typing import ClassVar

import pytest

from mediaserver import planes
from mediaserver.forwarder import ForwardedPacket
from mediaserver.gate import Lease
from mediaserver.ice import Address, IceAgent, IceServer
from mediaserver.peer import Peer
from mediaserver.planes import NativePlane
from mediaserver.transport import Scratch, fingerprint, generate_certificate

HERE: Address = ("in memory", 0)
PLANES = [
    "python",
    pytest.param("native", marks=pytest.mark.skipif(planes.dataplane is None, reason="it is not compiled")),
]


class Wire:
    """A Port whose packets reach the other peer, which it does not keep alive."""

    protocol: ClassVar[str] = "udp"

    def __init__(self, other: Peer) -> None:
        self.agents: dict[Address, IceAgent] = {}
        self.dropped = 0
        self._receive = weakref.WeakMethod(other.on_datagram)

    def send_to(self, data: bytes | memoryview, _address: Address) -> int:
        receive = self._receive()
        if receive is not None:
            asyncio.get_running_loop().call_soon(receive, bytes(data))
        return len(data)

    def send(self, data: bytes, address: Address) -> None:
        self.send_to(data, address)

    def forget(self, _address: Address) -> None: ...


class Owner:
    def __init__(self) -> None:
        self.connected = asyncio.Event()
        self.reasons: list[str] = []

    def on_connected(self) -> None:
        self.connected.set()

    def on_closed(self, reason: str) -> None:
        self.reasons.append(reason)

    def on_rtp(self, data: bytes, now_ns: int) -> None: ...

    def on_rtcp(self, data: bytes, now_ns: int) -> None: ...

    def on_forwarded(self, packets: list[ForwardedPacket]) -> None: ...

    def on_keyframe_request(self, ssrc: int, now_ns: int) -> None: ...

    def uses(self, ssrc: int) -> bool:
        return False


class Pair:
    """Two peers of a server without sockets, each the other's client."""

    def __init__(self, plane: str) -> None:
        self.at_ns = 1
        native = NativePlane(Lease(), self.now_ns, 1) if plane == "native" else None
        self.ice = IceServer(self.now_ns, os.urandom, native)
        self.certificate = generate_certificate()
        self.owners = [Owner(), Owner()]
        self.peers: list[Peer] = []

    def now_ns(self) -> int:
        return self.at_ns

    def open(self, join_timeout_s: float = 15.0) -> None:
        for owner in self.owners:
            peer = Peer(
                owner,
                self.ice,
                self.certificate,
                Scratch(),
                now_ns=self.now_ns,
                join_timeout_s=join_timeout_s,
                streams_max=4,
                viewer=False,
            )
            self.peers.append(peer)

    async def connect(self) -> None:
        one, other = self.peers
        for peer, opposite, role in ((one, other, "server"), (other, one, "client")):
            peer.agent.route = (Wire(opposite), HERE)
            peer.on_checked()
            peer.trust([fingerprint(self.certificate)], role)
        async with asyncio.timeout(10):
            for owner in self.owners:
                await owner.connected.wait()

    def watched(self) -> list["weakref.ref[object]"]:
        """What must be gone. From here on nobody else knows the peers."""
        found = [
            weakref.ref(part) for peer in self.peers for part in (peer, peer._secure, peer._secure._dtls)
        ]
        self.peers.clear()
        return found


@pytest.fixture
def _without_collector() -> Iterator[None]:
    gc.collect()
    gc.disable()
    yield
    gc.enable()


@pytest.fixture(params=PLANES)
async def pair(request: pytest.FixtureRequest, _without_collector: None) -> AsyncIterator[Pair]:
    pair = Pair(request.param)
    yield pair
    for peer in pair.peers:
        await peer.close()


async def gone(watched: list["weakref.ref[object]"]) -> None:
    """The loop lets go of what it has just called in its next turns."""
    for _ in range(10):
        await asyncio.sleep(0)
    assert [left for part in watched if (left := part()) is not None] == []


async def test_peers_closed_in_a_call_are_freed_without_the_collector(pair: Pair) -> None:
    pair.open()
    await pair.connect()
    for peer in pair.peers:
        await peer.close()
    del peer
    await gone(pair.watched())


async def test_peers_closed_before_they_connected_are_freed_without_the_collector(pair: Pair) -> None:
    pair.open()
    await asyncio.sleep(0)
    for peer in pair.peers:
        await peer.close()
    del peer
    await gone(pair.watched())


async def test_peers_that_end_by_themselves_are_freed_without_the_collector(pair: Pair) -> None:
    pair.open()
    await pair.connect()
    watched = pair.watched()[:3]
    # It was not heard for half a minute.
    pair.at_ns += 31_000_000_000
    ending = watched[0]()
    assert isinstance(ending, Peer)
    ending.check_silence(pair.at_ns)
    del ending
    async with asyncio.timeout(10):
        while not all(owner.reasons for owner in pair.owners):
            await asyncio.sleep(0)
    assert pair.owners[0].reasons == ["silent"]
    await gone(watched)


async def test_peers_nobody_came_to_are_freed_without_the_collector(pair: Pair) -> None:
    pair.open(join_timeout_s=0.0)
    watched = pair.watched()
    async with asyncio.timeout(10):
        while not all(owner.reasons for owner in pair.owners):
            await asyncio.sleep(0)
    assert [owner.reasons for owner in pair.owners] == [["join_timeout"], ["join_timeout"]]
    await gone(watched)
