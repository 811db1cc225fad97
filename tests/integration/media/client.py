"""Clients of the media server that a test can make misbehave, and a server to try them on.

`Leg` is one peer connection without a browser: its own UDP socket, real STUN, DTLS and SRTP. It carries
whatever RTP the test writes, so that numbers, SSRCs and times are the test's own.
"""

import asyncio
import os
import socket
import struct
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Self

from aioice import stun

from mediaserver import rtcp, rtp, sdp
from mediaserver.events import Closed, MediaConfig, MediaEvent, Offer, RoomOptions
from mediaserver.negotiation import REPAIRED_RID_URI, RID_URI, Fingerprint
from mediaserver.server import MediaServer
from mediaserver.transport import Scratch, SecureTransport, fingerprint, generate_certificate

HOST_AUDIO, HOST_VIDEO, HOST_RTX = 0xA0D10, 0x71DE0, 0x71DE1
VP8, RTX, OPUS = 96, 97, 111
KEYFRAME = b"\x10\x00\x00\x9d\x01\x2a"


def simulcast_extension(rid: str, *, repair: bool = False) -> bytes:
    """The header extension of an encoding's first packets: mid v and the rid."""
    elements = b"\x40v" + bytes([(7 if repair else 6) << 4 | len(rid) - 1]) + rid.encode()
    elements += bytes(-len(elements) % 4)
    return struct.pack("!HH", 0xBEDE, len(elements) // 4) + elements


class Clock:
    """CLOCK_BOOTTIME that a test can push forward."""

    def __init__(self) -> None:
        self.ahead_ns = 0

    def __call__(self) -> int:
        return time.clock_gettime_ns(time.CLOCK_BOOTTIME) + self.ahead_ns

    @property
    def ms(self) -> int:
        return self() // 1_000_000


class Hall:
    """A media server on loopback with its events, and helpers to fill its rooms."""

    def __init__(self, clock: Clock | None = None, **config: object) -> None:
        self.clock = clock or Clock()
        self.events: list[MediaEvent] = []
        fields = {"port": 0, "addresses": ("127.0.0.1",)} | config
        self.media = MediaServer(
            MediaConfig(**fields),
            now_ns=self.clock,
            random_bytes=self.random_bytes,
            on_event=self.events.append,
        )
        self.legs: list[Leg] = []
        self.faults: list[dict[str, object]] = []

    async def __aenter__(self) -> Self:
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(lambda _, context: self.faults.append(context))
        await self.media.start()
        await self.media.set_lease(self.clock.ms + 3_600_000)
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self.media.close()
        for leg in self.legs:
            await leg.close()
        asyncio.get_running_loop().set_exception_handler(None)
        assert self.faults == [], "nothing may escape into the event loop"

    def random_bytes(self, count: int) -> bytes:
        return os.urandom(count)

    @property
    def address(self) -> tuple[str, int]:
        return ("127.0.0.1", self.media.port)

    def of(self, kind: type, participant_id: str) -> list[MediaEvent]:
        return [e for e in self.events if isinstance(e, kind) and e.participant_id == participant_id]

    def reasons(self, participant_id: str) -> list[str]:
        return [e.reason for e in self.events if isinstance(e, Closed) and e.participant_id == participant_id]

    async def add(self, name: str, *, metered: bool = False, codecs: tuple[str, ...] = ("VP8",)) -> None:
        await self.media.add_participant(
            "room", name, metered=metered, may_publish=True, options=RoomOptions(codecs)
        )
        await until(lambda: self.of(Offer, name), f"an offer for {name}")

    def leg(self) -> "Leg":
        leg = Leg(self.address)
        self.legs.append(leg)
        return leg

    async def publish(self, name: str, **named: object) -> "Leg":
        """Connected and publishing one microphone and one camera."""
        leg = self.leg()
        answer = await self.media.publish(name, leg.offer(**named), {})
        await leg.connect(answer)
        return leg

    async def view(self, name: str) -> "Viewer":
        """Connected, having answered every offer so far; `follow` answers later ones."""
        viewer = Viewer(self, name, self.leg())
        await viewer.follow()
        await viewer.leg.connect(viewer.offers[-1].sdp)
        return viewer


class Leg:
    """One peer connection by hand. Decrypted RTP gathers in `packets`, RTCP in `feedback`."""

    def __init__(self, server: tuple[str, int]) -> None:
        self.server = server
        self.ufrag, self.password = os.urandom(4).hex(), os.urandom(12).hex()
        self.packets: list[rtp.RtpPacket] = []
        self.feedback: list[rtcp.Feedback] = []
        self.responses: list[bytes] = []
        self.on_wire: list[bytes] = []
        self.remote_ufrag = self.remote_password = ""
        self._certificate = generate_certificate()
        self._sockets: list[socket.socket] = []
        # The socket that encrypted media came to last.
        self.receiving = self.open_socket()
        # What SecureTransport needs of an ICE agent.
        port = SimpleNamespace(send_to=self._send_to, dropped=0)
        self._agent = SimpleNamespace(send=self.send, route=(port, server), link=None)
        self._secure = SecureTransport(self._agent, self._certificate, Scratch())
        self._gone: asyncio.Task[None] | None = None

    def open_socket(self) -> socket.socket:
        """A fresh source address, used from now on."""
        family = socket.AF_INET6 if ":" in self.server[0] else socket.AF_INET
        sock = socket.socket(family, socket.SOCK_DGRAM)
        sock.setblocking(False)
        sock.bind((self.server[0], 0))
        asyncio.get_running_loop().add_reader(sock.fileno(), self._read, sock)
        self._sockets.append(sock)
        return sock

    def send(self, data: bytes) -> None:
        self._sockets[-1].sendto(data, self.server)

    def _send_to(self, data: bytes, address: tuple[str, int]) -> int:
        self.on_wire.append(bytes(data))
        return self._sockets[-1].sendto(data, address)

    def _read(self, sock: socket.socket) -> None:
        try:
            while True:
                self._receive(sock, sock.recv(2048))
        except OSError:
            return

    def _receive(self, sock: socket.socket, data: bytes) -> None:
        if data[0] < 4:
            self.responses.append(data)
        elif data[0] < 64:
            self._secure.feed(data)
        elif self._secure.receiver is not None:
            if rtp.is_rtcp(data):
                clear = self._secure.receiver.unprotect_rtcp(data)
                if clear:
                    self.feedback.append(rtcp.parse(clear))
            elif clear := self._secure.receiver.unprotect(data):
                self.packets.append(rtp.parse(clear))
                self.receiving = sock

    # --- descriptions ---

    def _transport(self, setup: str) -> str:
        own = fingerprint(self._certificate)
        return (
            f"a=ice-ufrag:{self.ufrag}\r\na=ice-pwd:{self.password}\r\n"
            f"a=fingerprint:{own.algorithm} {own.value}\r\na=setup:{setup}\r\na=rtcp-mux\r\n"
        )

    def offer(
        self,
        *,
        video: int = HOST_VIDEO,
        audio: int = HOST_AUDIO,
        ssrcs: bool = True,
        setup: str = "actpass",
        direction: str = "sendonly",
        rids: tuple[str, ...] = (),
    ) -> str:
        """One microphone (mid a) and one camera (mid v) under these SSRCs, or in encodings that name themselves
        (`simulcast_extension`)."""
        named = (
            (
                f"a=ssrc:{audio} cname:c\r\n",
                (
                    f"a=ssrc-group:FID {video} {video + 1}\r\na=ssrc:{video} cname:c\r\n"
                    f"a=ssrc:{video + 1} cname:c\r\n"
                ),
            )
            if ssrcs
            else ("", "")
        )
        simulcast = (
            f"a=extmap:6 {RID_URI}\r\na=extmap:7 {REPAIRED_RID_URI}\r\n"
            + "".join(f"a=rid:{rid} send\r\n" for rid in rids)
            + f"a=simulcast:send {';'.join(rids)}\r\n"
        )
        mid = "a=extmap:4 urn:ietf:params:rtp-hdrext:sdes:mid\r\n"
        twcc = "a=extmap:5 http://www.ietf.org/id/draft-holmer-rmcat-transport-wide-cc-extensions-01\r\n"
        level = "a=extmap:6 urn:ietf:params:rtp-hdrext:ssrc-audio-level\r\n"
        return (
            "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\na=group:BUNDLE a v\r\n"
            f"m=audio 9 UDP/TLS/RTP/SAVPF {OPUS}\r\na=mid:a\r\na={direction}\r\n{self._transport(setup)}{mid}{twcc}{level}"
            f"a=rtpmap:{OPUS} opus/48000/2\r\n{named[0]}"
            f"m=video 9 UDP/TLS/RTP/SAVPF {VP8} {RTX}\r\na=mid:v\r\na={direction}\r\n{self._transport(setup)}{mid}{twcc}"
            f"a=rtpmap:{VP8} VP8/90000\r\na=rtpmap:{RTX} rtx/90000\r\na=fmtp:{RTX} apt={VP8}\r\n"
            f"{simulcast if rids else named[1]}"
        )

    def answer(self, offer: str, *, rtx: bool = True) -> str:
        """Everything offered is taken as it is; without `rtx` no retransmission."""
        lines = ["v=0", "o=- 1 1 IN IP4 127.0.0.1", "s=-", "t=0 0"]
        for media in sdp.parse(offer).media:
            formats = media.formats if rtx else media.formats[:1]
            lines.append(f"m={media.kind} 9 {media.protocol} {' '.join(formats)}")
            lines += self._transport("active").split("\r\n")[:-1]
            direction = "recvonly" if ("sendonly", "") in media.attributes.lines else "inactive"
            lines.append(f"a={direction}")
            lines += [
                f"a={name}:{value}" for name, value in media.attributes.lines if name in ("mid", "extmap")
            ]
            lines += [
                f"a={name}:{value}"
                for name, value in media.attributes.lines
                if name in ("rtpmap", "fmtp") and value.split()[0] in formats
            ]
        return "\r\n".join(lines) + "\r\n"

    # --- connecting ---

    def check(self, *, without: tuple[str, ...] = (), password: str | None = None) -> bytes:
        """A connectivity check as a browser sends it."""
        attributes = {
            "USERNAME": f"{self.remote_ufrag}:{self.ufrag}",
            "PRIORITY": 1853824767,
            "ICE-CONTROLLING": 5,
            "USE-CANDIDATE": None,
        }
        message = stun.Message(
            stun.Method.BINDING,
            stun.Class.REQUEST,
            attributes={name: value for name, value in attributes.items() if name not in without},
        )
        message.add_message_integrity((self.remote_password if password is None else password).encode())
        return bytes(message)

    def learn(self, description: str) -> None:
        parsed = sdp.parse(description)
        media = parsed.media[0]
        self.remote_ufrag = parsed.inherited(media, "ice-ufrag") or ""
        self.remote_password = parsed.inherited(media, "ice-pwd") or ""
        algorithm, value = (parsed.inherited(media, "fingerprint") or "").split()
        self.remote_fingerprint = Fingerprint(algorithm, value)

    async def nominate(self) -> None:
        before = len(self.responses)
        self.send(self.check())
        await until(lambda: len(self.responses) > before, "a response to the check")

    async def connect(self, description: str, role: str = "client") -> None:
        self.learn(description)
        await self.nominate()
        assert await self._secure.connect(role, [self.remote_fingerprint])
        self._gone = asyncio.create_task(self._secure.closed_by_remote())

    @property
    def gone(self) -> bool:
        """The server has sent close_notify."""
        return self._gone is not None and self._gone.done()

    async def close(self) -> None:
        await self._secure.close()
        if self._gone is not None:
            await self._gone
        for sock in self._sockets:
            if sock.fileno() >= 0:
                asyncio.get_running_loop().remove_reader(sock.fileno())
                sock.close()

    # --- media ---

    def send_rtp(
        self, ssrc: int, payload_type: int, sequence: int, payload: bytes, *, extension: bytes = b""
    ) -> None:
        first = 0x90 if extension else 0x80
        head = struct.pack("!BBHII", first, payload_type, sequence, sequence * 3000, ssrc) + extension
        assert self._secure.sender is not None
        assert self._secure.sender.send_rtp(head, payload)

    def video(self, *sequences: int, payload: bytes = KEYFRAME) -> None:
        for sequence in sequences:
            self.send_rtp(HOST_VIDEO, VP8, sequence, payload)

    def send_rtcp(self, data: bytes) -> None:
        assert self._secure.sender is not None
        self._secure.sender.send_rtcp(data)

    def payloads(self, kind: str = "video") -> list[bytes]:
        wanted = OPUS if kind == "audio" else VP8
        return [packet.payload for packet in self.packets if packet.payload_type == wanted]


@dataclass
class Viewer:
    """The receiving side of one participant."""

    hall: Hall
    name: str
    leg: Leg
    offers: list[Offer] = field(default_factory=list)

    async def follow(self, *, rtx: bool = True) -> None:
        """Answer the offers that are waiting."""
        waiting = self.hall.of(Offer, self.name)[len(self.offers) :]
        for offer in waiting:
            assert isinstance(offer, Offer)
            self.offers.append(offer)
            await self.hall.media.answer(self.name, offer.offer_id, self.leg.answer(offer.sdp, rtx=rtx))

    def ssrc(self, kind: str = "video", place: int = 0) -> int:
        """The SSRC that the latest offer gives to the camera or the microphone."""
        media = [m for m in sdp.parse(self.offers[-1].sdp).media if m.kind == kind][place]
        return int((media.attributes.first("ssrc") or "0").split()[0])


async def until(check: Callable[[], object], what: str, seconds: float = 10) -> None:
    deadline = time.monotonic() + seconds
    while not check():
        assert time.monotonic() < deadline, f"never happened: {what}"
        await asyncio.sleep(0.005)


async def settle() -> None:
    """Time enough for packets on loopback to have arrived, if any were sent."""
    await asyncio.sleep(0.08)
