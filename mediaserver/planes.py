"""Which data plane forwards: the native one (`dataplane.pyx`) where it was compiled, else Python (`forwarder.py`).

`NativePlane` is the native one as rooms and peers see it: a Forwarder, and what reads the sockets. Nothing is
decided here; it hands on what the native call says that Python must see.
"""

import asyncio
import logging
from collections.abc import Callable
from typing import Any, Literal, cast

from mediaserver.errors import NoNativePlaneError
from mediaserver.events import PlaneChoice
from mediaserver.forwarder import (
    Course,
    Fanout,
    ForwardedPacket,
    Forwarder,
    Packet,
    PacketForwarder,
    Splice,
    Subscription,
    send_goodbye,
    send_report,
)
from mediaserver.gate import Lease
from mediaserver.ice import Address, NativeSockets, Port, Receiver, UdpPort
from mediaserver.rtcp import SenderReport
from mediaserver.transport import SrtpSender, srtp_functions

try:
    from mediaserver import dataplane
except ImportError:  # no compiler when it was installed
    dataplane = None  # type: ignore[assignment]

logger = logging.getLogger(__name__)

NowNs = Callable[[], int]

HELD_S = 0.001  # HELD_NS of dataplane.pyx


def chosen_plane(choice: PlaneChoice) -> Literal["native", "python"]:
    """What forwards here. Raises NoNativePlaneError."""
    if choice == "native" and dataplane is None:
        raise NoNativePlaneError(
            "the native data plane is not compiled (it needs a C compiler and Python's headers)"
        )
    return "python" if choice == "python" or dataplane is None else "native"


def open_plane(
    choice: PlaneChoice, lease: Lease, now_ns: NowNs, random_bytes: Callable[[int], bytes]
) -> tuple[Forwarder, NativeSockets | None]:
    """The forwarder, and what reads the sockets for it (None: Python does). Raises NoNativePlaneError."""
    if chosen_plane(choice) == "python":
        logger.info(
            "packets are forwarded in Python%s", "" if dataplane else ": the native plane is not compiled"
        )
        return PacketForwarder(lease, now_ns), None
    logger.info("packets are forwarded by the native data plane")
    native = NativePlane(lease, now_ns, int.from_bytes(random_bytes(8), "big"))
    return native, native


class NativePlane:
    """Forwarder and NativeSockets in one. `seed` is for the hash tables; `stepped`: ask `now_ns` for every send."""

    def __init__(self, lease: Lease, now_ns: NowNs, seed: int, *, stepped: bool = False) -> None:
        self._now_ns = now_ns
        self.native = dataplane.DataPlane(lease.state, srtp_functions(), now_ns, seed, stepped=stepped)
        self._ports: dict[int, UdpPort] = {}
        self._handing_on = False
        self._taken_in_vain = 0
        self._continuing: asyncio.Handle | None = None
        self._releasing: asyncio.Handle | None = None

    # --- sockets ---

    @property
    def dropped(self) -> int:
        by_ports = sum(int(port.link.dropped) for port in self._ports.values())
        return self.native.dropped + by_ports + self._taken_in_vain

    def open_port(self, port: UdpPort) -> Any:
        self._ports[port.index] = port
        return self.native.open_port(port.index, port.fileno())

    def close_port(self, port: UdpPort) -> None:
        asyncio.get_running_loop().remove_writer(port.fileno())
        del self._ports[port.index]
        self.native.close_port(port.link)
        for handle in (self._continuing, self._releasing):
            if handle is not None and not self._ports:
                handle.cancel()

    def drain(self, port: UdpPort) -> None:
        self._hand_on(self.native.drain(port.link))
        self._go_on()

    def _go_on(self) -> None:
        """What Python decided to forward goes out now; what is left after that when others had their turn."""
        if self.native.backlog:
            self._hand_on(self.native.work())
        if self.native.backlog and self._continuing is None:
            self._continuing = asyncio.get_running_loop().call_soon(self._continue)
        if self.native.held and self._releasing is None:
            self._releasing = asyncio.get_running_loop().call_later(HELD_S, self._release)
        for port in self._ports.values():
            if port.link.blocked:
                asyncio.get_running_loop().add_writer(port.fileno(), self._on_writable, port)

    def _continue(self) -> None:
        self._continuing = None
        self._go_on()

    def _release(self) -> None:
        """What waits for the rest of a picture has waited long enough; mostly the rest came, and nothing waits."""
        self._releasing = None
        self.flush()

    def _on_writable(self, port: UdpPort) -> None:
        self.native.writable(port.link)
        if not port.link.blocked:
            asyncio.get_running_loop().remove_writer(port.fileno())

    def _hand_on(self, told: list[tuple[Any, ...]]) -> None:
        self._handing_on = True
        try:
            for kind, *what in told:
                _HANDLERS[kind](self, *what)
        finally:
            self._handing_on = False

    def _on_stun(self, index: int, address: Address, data: bytes) -> None:
        port = self._ports[index]
        port.on_check(port, data, address)

    def _on_datagram(self, peer: Any, data: bytes) -> None:
        peer.on_datagram(data)

    def _on_rtp(self, peer: Any, data: bytes, now_ns: int) -> None:
        peer.on_clear(data, now_ns, control=False)

    def _on_rtcp(self, peer: Any, data: bytes, now_ns: int) -> None:
        peer.on_clear(data, now_ns, control=True)

    def _on_forwarded(self, peer: Any, packets: list[ForwardedPacket]) -> None:
        peer.on_forwarded(packets)

    def _on_keyframe(self, peer: Any, ssrc: int, now_ns: int) -> None:
        peer.on_keyframe_request(ssrc, now_ns)

    def _on_resumed(self, to: Subscription, packets: int, octets: int, needs_keyframe: bool) -> None:
        fanout = to.fanout
        # Something told before this may have removed it.
        if fanout is not None and to in fanout.subscriptions:
            fanout.resumed(to, packets, octets, needs_keyframe=needs_keyframe)

    def _on_first(self, _who: object, gate: Any, now_ns: int) -> None:
        gate.tell_first(now_ns)

    # --- peers ---

    def open_peer(self, receiver: Receiver) -> Any:
        return self.native.open_peer(receiver)

    def close_peer(self, link: Any) -> None:
        self.native.close_peer(link)

    def add_address(self, link: Any, port: UdpPort, address: Address) -> None:
        self.native.add_address(link, port.index, address)

    def remove_address(self, port: UdpPort, address: Address) -> None:
        self.native.remove_address(port.index, address)

    def set_route(self, link: Any, route: tuple[Port, Address] | None) -> None:
        if route is None:
            self.native.set_route(link, None, ("", 0))
        elif isinstance(route[0], UdpPort):
            self.native.set_route(link, route[0].link, route[1])
        else:
            self.native.set_stream(link, route[0])

    # --- what comes by connections of their own ---

    def take(self, link: Any, data: bytes) -> None:
        if not self.native.take(link, data):
            self.flush()  # makes room, as far as one call may work
            self._taken_in_vain += not self.native.take(link, data)

    def flush(self) -> None:
        self._hand_on(self.native.work())
        self._go_on()

    # --- forwarding ---

    def _publication(self, fanout: Fanout) -> Any:
        if fanout.link is None:
            fanout.link = self.native.open_publication(caching=fanout.caching)
        return fanout.link

    def add(self, fanout: Fanout, subscription: Subscription) -> None:
        peer = cast("SrtpSender", subscription.egress).link
        subscription.link = self.native.subscribe(
            self._publication(fanout),
            peer,
            subscription,
            subscription.gates,
            [gate.state for gate in subscription.gates],
            ssrc=subscription.ssrc,
            payload_type=subscription.payload_type,
            first_number=subscription.first_number,
            head_extension=subscription.head_extension.block,
            transport_cc_at=subscription.head_extension.transport_cc_at,
            send_time_at=subscription.head_extension.send_time_at,
            level_at=subscription.head_extension.level_at,
            level_id=subscription.head_extension.level_id,
            descriptor_id=subscription.head_extension.descriptor_id,
            rtx_ssrc=subscription.rtx_ssrc,
            rtx_payload_type=-1 if subscription.rtx_payload_type is None else subscription.rtx_payload_type,
            rtx_number=subscription.rtx_number,
        )
        subscription.fanout = fanout
        subscription.link.paused = subscription.paused
        fanout.join(subscription)
        for gate in subscription.gates:
            gate.watch(subscription.link)

    def remove(self, fanout: Fanout, subscription: Subscription) -> None:
        if subscription not in fanout.subscriptions:
            return
        self.native.unsubscribe(subscription.link)
        fanout.leave(subscription)
        for gate in subscription.gates:
            gate.unwatch(subscription.link)
        if subscription.link.packets:
            send_goodbye(fanout, subscription)

    def recheck(self, subscription: Subscription) -> None:
        """Gates and lease are read on every send."""

    def set_paused(self, subscription: Subscription, paused: bool) -> None:
        subscription.paused = subscription.link.paused = paused

    def passing(self, subscription: Subscription, now_ns: int) -> bool:
        return bool(self.native.passing(subscription.link, now_ns))

    def take_audio_level(self, fanout: Fanout) -> int:
        return -1 if fanout.link is None else int(fanout.link.take_audio_level())

    def highest(self, fanout: Fanout) -> int:
        return -1 if fanout.link is None else int(fanout.link.highest)

    def octets(self, fanout: Fanout) -> int:
        return 0 if fanout.link is None else int(fanout.link.octets)

    def newest(self, fanout: Fanout) -> bytes:
        return b"" if fanout.link is None else self.native.newest(fanout.link)

    def move(self, subscription: Subscription, fanout: Fanout, splice: Splice, start: int) -> None:
        former = subscription.fanout
        assert former is not None
        resumed = self.native.move(
            subscription.link,
            self._publication(fanout),
            start=start,
            timestamp=splice.timestamp,
            picture_id=splice.picture_id,
            tl0_picture_index=splice.tl0_picture_index,
            key_index=splice.key_index,
        )
        if resumed is not None:
            self._on_resumed(subscription, *resumed)
        former.leave(subscription)
        fanout.join(subscription)
        subscription.fanout, subscription.splice, subscription.start = fanout, splice, start

    def follow(self, peer: Any, fanout: Fanout, course: Course) -> None:
        self.native.follow(
            peer,
            course.ssrc,
            self._publication(fanout),
            payload_type=course.payload_type,
            highest=course.highest,
            shift=course.shift,
            timestamp_shift=course.timestamp_shift,
            transport_cc_id=course.transport_cc_id,
            audio_level_id=course.audio_level_id,
        )

    def unfollow(self, peer: Any, ssrc: int | None = None) -> None:
        if ssrc is None:
            self.native.unfollow_all(peer)
        else:
            self.native.unfollow(peer, ssrc)

    def forward(self, fanout: Fanout, packet: Packet) -> None:
        self.native.forward(
            self._publication(fanout),
            packet.number,
            packet.timestamp,
            packet.marker,
            packet.padding,
            packet.payload,
            audio_level=packet.audio_level,
            voice=packet.voice,
            descriptor=packet.descriptor,
        )
        # While items are handed on, packets gather, so that they leave together.
        if not self._handing_on:
            self.flush()

    def resend(self, fanout: Fanout, subscription: Subscription, lost: list[int]) -> None:  # noqa: ARG002
        self.native.resend(subscription.link, lost)

    def pad(self, subscription: Subscription, size: int) -> int:
        return int(self.native.pad(subscription.link, size))

    def report(self, fanout: Fanout, report: SenderReport) -> None:
        fanout.last_report = report
        now_ns = self._now_ns()
        for to in fanout.reported_to(now_ns):
            if self.native.passing(to.link, now_ns):
                send_report(fanout, to, report, to.link.packets, to.link.octets)


# By the kind that the native plane numbers them with: STUN, DATAGRAM, RTP, RTCP, FORWARDED, KEYFRAME, RESUMED, FIRST.
_HANDLERS: tuple[Callable[..., None], ...] = (
    NativePlane._on_stun,  # noqa: SLF001
    NativePlane._on_datagram,  # noqa: SLF001
    NativePlane._on_rtp,  # noqa: SLF001
    NativePlane._on_rtcp,  # noqa: SLF001
    NativePlane._on_forwarded,  # noqa: SLF001
    NativePlane._on_keyframe,  # noqa: SLF001
    NativePlane._on_resumed,  # noqa: SLF001
    NativePlane._on_first,  # noqa: SLF001
)


__all__ = ["NativePlane", "chosen_plane", "open_plane"]
