"""One connection of one client: ICE agent, DTLS, SRTP. Closed once, whatever the cause.

Who closes whom: the owner calls `close()`; the peer itself ends by `join_timeout`, `dtls_failed`,
`remote_closed` or `silent` and tells its owner through `on_closed`, exactly once and never after `close()`.
"""

import asyncio
from collections.abc import Callable, Sequence
from typing import Any, Protocol

from aiortc import RTCCertificate

from mediaserver.forwarder import ForwardedPacket
from mediaserver.ice import IceAgent, IceServer
from mediaserver.negotiation import Fingerprint
from mediaserver.rtp import is_rtcp
from mediaserver.transport import Role, Scratch, SecureTransport, SrtpReceiver, SrtpSender

SILENT_NS = 30_000_000_000
_DTLS_FIRST_BYTES = range(20, 64)
_SRTP_FIRST_BYTES = range(128, 192)
_RTCP_BYTES_MIN = 8
RETIRED_STREAMS_MAX = 1000


class PeerOwner(Protocol):
    """Told what happens on a peer. All calls come from the event loop."""

    def on_connected(self) -> None: ...

    def on_closed(self, reason: str) -> None: ...

    def on_rtp(self, data: bytes, now_ns: int) -> None:
        """A decrypted RTP packet."""

    def on_rtcp(self, data: bytes, now_ns: int) -> None:
        """A decrypted RTCP datagram."""

    def on_forwarded(self, packets: list[ForwardedPacket]) -> None:
        """Packets were forwarded by their `Course`s."""

    def on_keyframe_request(self, ssrc: int, now_ns: int) -> None:
        """The client asks for a keyframe of what it receives as this SSRC."""

    def uses(self, ssrc: int) -> bool:
        """Whether the stream must be kept when the peer has too many."""


class Peer:
    """`streams_max` bounds how many SSRCs of the client are kept at a time, retransmissions and reports
    included: a page that starts its camera anew for the twentieth time goes on, one that makes up SSRCs
    costs no memory. `viewer`: it receives and does not publish."""

    def __init__(
        self,
        owner: PeerOwner,
        ice: IceServer,
        certificate: RTCCertificate,
        scratch: Scratch,
        *,
        now_ns: Callable[[], int],
        join_timeout_s: float,
        streams_max: int,
        viewer: bool,
    ) -> None:
        self._owner = owner
        self._ice = ice
        self._now_ns = now_ns
        self._join_timeout_s = join_timeout_s
        self._streams_max = streams_max
        self._viewer = viewer
        self._ssrcs: dict[int, None] = {}  # in order of appearance
        # Their windows are gone, so their packets could be replayed: never taken again.
        self._retired: set[int] = set()
        self._fingerprints: tuple[Fingerprint, ...] = ()
        self._role: Role = "server"
        self._closing = False
        self._checked = asyncio.Event()
        self._trusted = asyncio.Event()
        self._silent = asyncio.Event()
        self.agent: IceAgent = ice.open_agent(self)
        self._secure = SecureTransport(self.agent, certificate, scratch)
        self.connected = False
        self._rtp_ns = 0
        self._packets_in = 0
        self._bytes_in = 0
        self._task: asyncio.Task[None] | None = asyncio.create_task(self._run())

    @property
    def sender(self) -> SrtpSender | None:
        return self._secure.sender if self.connected else None

    @property
    def fingerprints(self) -> tuple[Fingerprint, ...]:
        """Of the client's certificate; empty before the first description."""
        return self._fingerprints

    @property
    def link(self) -> Any:
        """What the native plane keeps of this peer; None without one."""
        return self.agent.link

    @property
    def heard_ns(self) -> int:
        """The last authenticated packet; 0 before the first."""
        return self.agent.last_heard_ns

    @property
    def rtp_ns(self) -> int:
        """The last authenticated RTP packet; 0 before the first."""
        return self._rtp_ns if self.link is None else max(self._rtp_ns, self.link.rtp_ns)

    @property
    def packets_in(self) -> int:
        return self._packets_in + (0 if self.link is None else self.link.packets_in)

    @property
    def bytes_in(self) -> int:
        return self._bytes_in + (0 if self.link is None else self.link.bytes_in)

    @property
    def packets_out(self) -> int:
        return 0 if self._secure.sender is None else self._secure.sender.packets_out

    @property
    def bytes_out(self) -> int:
        return 0 if self._secure.sender is None else self._secure.sender.bytes_out

    def trust(self, fingerprints: Sequence[Fingerprint], role: Role) -> None:
        """The client's description came: the handshake may begin. Later calls change nothing."""
        if not self._fingerprints:
            self._fingerprints, self._role = tuple(fingerprints), role
            self._trusted.set()

    def restart(self) -> None:
        self._ice.restart(self.agent)

    async def _run(self) -> None:
        """The life of the peer; its return is the one place where it ends by itself."""
        reason = await self._live()
        if not self._closing:
            self._closing = True
            self.connected = False
            self._ice_farewell()
            await self._secure.close()
            self._owner.on_closed(reason)
            self._part()

    async def _live(self) -> str:
        try:
            async with asyncio.timeout(self._join_timeout_s):
                await self._checked.wait()
                await self._trusted.wait()
                connected = await self._secure.connect(self._role, self._fingerprints)
        except TimeoutError:
            return "join_timeout"
        if not connected:
            return "dtls_failed"
        self.connected = True
        self._secure.hand_over(viewer=self._viewer)
        self._owner.on_connected()
        return await self._until_gone()

    async def _until_gone(self) -> str:
        ways = [
            asyncio.create_task(self._secure.closed_by_remote()),
            asyncio.create_task(self._silent.wait()),
        ]
        try:
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for way in ways:
                way.cancel()
            await asyncio.gather(*ways, return_exceptions=True)
        return "silent" if self._silent.is_set() else "remote_closed"

    def check_silence(self, now_ns: int) -> None:
        """Called every second or so: a connected peer that was not heard for SILENT_NS ends."""
        if self.connected and now_ns - self.heard_ns >= SILENT_NS:
            self._silent.set()

    def on_checked(self) -> None:
        self._checked.set()

    def on_datagram(self, data: bytes) -> None:
        first = data[0]
        if first in _SRTP_FIRST_BYTES:
            if self._secure.receiver is not None and len(data) >= _RTCP_BYTES_MIN and not self._closing:
                self._on_secure(data)
        elif first in _DTLS_FIRST_BYTES:
            self._secure.feed(data)

    def _on_secure(self, data: bytes) -> None:
        receiver = self._secure.receiver
        assert receiver is not None
        control = is_rtcp(data)
        at = 4 if control else 8
        ssrc = int.from_bytes(data[at : at + 4], "big")
        if ssrc in self._retired or len(self._retired) > RETIRED_STREAMS_MAX:
            return
        clear = receiver.unprotect_rtcp(data) if control else receiver.unprotect(data)
        if clear is None:
            return
        if ssrc not in self._ssrcs:
            self._ssrcs[ssrc] = None
            receiver.know(ssrc)
            self._retire_one(receiver)
        now_ns = self._now_ns()
        self.agent.heard_ns = now_ns
        self._packets_in += 1
        self._bytes_in += len(data)
        if control:
            self._owner.on_rtcp(clear, now_ns)
        else:
            self._rtp_ns = now_ns
            self._owner.on_rtp(clear, now_ns)

    # --- what the native plane has decrypted and counted ---

    def on_clear(self, data: bytes, now_ns: int, *, control: bool) -> None:
        if self._closing:
            return
        if control:
            self._owner.on_rtcp(data, now_ns)
        else:
            self._owner.on_rtp(data, now_ns)

    def on_forwarded(self, packets: list[ForwardedPacket]) -> None:
        if not self._closing:
            self._owner.on_forwarded(packets)

    def on_keyframe_request(self, ssrc: int, now_ns: int) -> None:
        if not self._closing:
            self._owner.on_keyframe_request(ssrc, now_ns)

    def _retire_one(self, receiver: SrtpReceiver) -> None:
        """An authentic SSRC is kept by libsrtp for ever: with one too many, the oldest unused goes."""
        if len(self._ssrcs) > self._streams_max:
            oldest = next(
                (ssrc for ssrc in self._ssrcs if not self._owner.uses(ssrc)), next(iter(self._ssrcs))
            )
            del self._ssrcs[oldest]
            self._retired.add(oldest)
            receiver.forget(oldest)

    async def close(self) -> None:
        """Stop receiving at once, send close_notify, and wait until the handshake task is gone."""
        task, first = self._task, not self._closing
        if task is None:
            return
        if first:
            self._closing = True
            self.connected = False
            self._ice_farewell()
            await self._secure.close()
            # A handshake ends by the ConnectionError of its channel; the waits before and after it, by this.
            task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        if first:
            self._part()

    def _part(self) -> None:
        """Nobody calls either way any more. Otherwise a closed peer, with 100 kB and more of OpenSSL's behind it, would
        wait in a reference cycle for a full collection, which a live server hardly ever makes (`worker.py`). A
        cancelled task is part of one, too: its exception's traceback leads back here."""
        self._task = None
        del self._owner, self.agent.receiver

    def _ice_farewell(self) -> None:
        """Unhook from the sockets but keep the route, so that close_notify still finds its way."""
        route = self.agent.route
        self._ice.close_agent(self.agent)
        self.agent.route = route
