"""A WebRTC transport that is cheap enough to run by the hundred: ICE toward an ICE-lite server, DTLS as the
client, SRTP keys. Received SRTP is handed out encrypted; whoever wants a packet's content unprotects it."""

import asyncio
import secrets
import socket
import time
from collections.abc import Callable
from dataclasses import replace

import pylibsrtp
from aioice import stun
from aiortc import RTCCertificate, RTCDtlsFingerprint, RTCDtlsParameters, RTCDtlsTransport
from pylibsrtp._binding import ffi

from bench.sdp import Local, Remote

CHECK_S = 2.5  # as often as Chromium
RECEIVE_BUFFER = 1 << 20
DRAIN_MAX = 256  # packets per wake-up, so that one socket cannot starve the others
INBOX_MAX = 64

OnPacket = Callable[[bytes], None]


def local_credentials(certificate: RTCCertificate) -> Local:
    fingerprint = next(f.value for f in certificate.getFingerprints() if f.algorithm == "sha-256")
    return Local(secrets.token_urlsafe(6), secrets.token_urlsafe(24), fingerprint)


class _Ice:
    """What RTCDtlsTransport asks of an ICE transport."""

    role = "controlling"
    state = "completed"

    def __init__(self, send: Callable[[bytes], None]) -> None:
        self.inbox: asyncio.Queue[bytes | None] = asyncio.Queue(INBOX_MAX)
        self._send_datagram = send

    async def _recv(self) -> bytes:
        data = await self.inbox.get()
        if data is None:
            raise ConnectionError
        return data

    async def _send(self, data: bytes) -> None:
        self._send_datagram(data)


class LightTransport:
    """One UDP socket. `on_rtp` gets SRTP as it came, `on_rtcp` gets decrypted RTCP. Close it with `close`."""

    def __init__(
        self,
        certificate: RTCCertificate,
        on_rtp: OnPacket,
        on_rtcp: OnPacket,
        *,
        address: str = "127.0.0.1",
        controlling: bool = True,
    ) -> None:
        """`controlling`: who decides on the pair; a full ICE server that made the offer does so itself."""
        self.local = local_credentials(certificate)
        self.controlling = controlling
        self.srtp_profile = ""
        self.connected = asyncio.Event()
        self.closed = asyncio.Event()
        self._certificate = certificate
        self._on_rtp = on_rtp
        self._on_rtcp = on_rtcp
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.setblocking(False)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER)
        self._socket.bind((address, 0))
        host, port = self._socket.getsockname()
        self.local = replace(self.local, candidate=f"1 1 udp 2130706431 {host} {port} typ host")
        self._ice = _Ice(self._send)
        self._dtls: RTCDtlsTransport | None = None
        self._checked = asyncio.Event()
        self._checks: asyncio.Task[None] | None = None
        self._rx: pylibsrtp.Session | None = None
        self._tx: pylibsrtp.Session | None = None

    async def connect(self, remote: Remote) -> None:
        """ICE check, DTLS handshake, keys. Raises TimeoutError after 15 s, ConnectionError when DTLS fails."""
        self._remote = remote
        self._socket.connect((remote.host, remote.port))
        asyncio.get_running_loop().add_reader(self._socket, self._drain)
        self._checks = asyncio.create_task(self._keep_checking())
        try:
            async with asyncio.timeout(15):
                await self._checked.wait()
                await self._handshake(remote)
        except TimeoutError:
            missing = "DTLS did not finish" if self._checked.is_set() else "no answer to ICE checks"
            raise TimeoutError(missing) from None
        self.connected.set()

    def hand_over(self) -> int:
        """The socket's descriptor, for someone else to read from now on and to pass what is not RTP to `take`."""
        asyncio.get_running_loop().remove_reader(self._socket)
        return self._socket.fileno()

    def sending_session(self) -> int:
        """The address of libsrtp's session that encrypts what this side sends; it lives as long as the transport."""
        assert self._tx is not None
        return int(ffi.cast("uintptr_t", self._tx._srtp[0]))  # noqa: SLF001

    def take(self, data: bytes) -> None:
        """A datagram that is not RTP."""
        self._on_other(data[0] if data else 255, data)

    def send_rtp(self, packet: bytes) -> None:
        assert self._tx is not None
        self._send(self._tx.protect(packet))

    def send_rtcp(self, packet: bytes) -> None:
        assert self._tx is not None
        self._send(self._tx.protect_rtcp(packet))

    def unprotect(self, packet: bytes) -> bytes | None:
        """The packet's plain text; None when it is not authentic or was seen before."""
        assert self._rx is not None
        try:
            return bytes(self._rx.unprotect(packet))
        except pylibsrtp.Error:
            return None

    async def close(self, *, notify: bool = True) -> None:
        """`notify` False: vanish without close_notify, as a browser does that lost its network."""
        if self._checks is not None:
            self._checks.cancel()
        if self._dtls is not None and notify:
            await self._dtls.stop()
        self._shut()

    def _shut(self) -> None:
        if self._socket.fileno() >= 0:
            asyncio.get_running_loop().remove_reader(self._socket)
            self._socket.close()
        if not self._ice.inbox.full():
            self._ice.inbox.put_nowait(None)
        self.closed.set()

    async def _handshake(self, remote: Remote) -> None:
        dtls = self._dtls = RTCDtlsTransport(self._ice, [self._certificate])  # type: ignore[arg-type]
        dtls._set_role("client")  # noqa: SLF001  its role is decided by SDP, which we do not use here
        fingerprint = RTCDtlsFingerprint(algorithm="sha-256", value=remote.fingerprint)
        await dtls.start(RTCDtlsParameters(fingerprints=[fingerprint]))
        if dtls.state != "connected":
            raise ConnectionError(f"DTLS {dtls.state}")
        self._rx, self._tx = dtls._rx_srtp, dtls._tx_srtp  # noqa: SLF001
        assert dtls._ssl is not None  # noqa: SLF001
        self.srtp_profile = dtls._ssl.get_selected_srtp_profile().decode()  # noqa: SLF001
        dtls.on("statechange", self._on_dtls_state)

    def _on_dtls_state(self) -> None:
        if self._dtls is not None and self._dtls.state in ("closed", "failed"):
            self.closed.set()

    async def _keep_checking(self) -> None:
        while True:
            self._send(self._check())
            await asyncio.sleep(CHECK_S if self._checked.is_set() else 0.2)

    def _check(self) -> bytes:
        request = stun.Message(stun.Method.BINDING, stun.Class.REQUEST)
        request.attributes["USERNAME"] = f"{self._remote.ufrag}:{self.local.ufrag}"
        request.attributes["PRIORITY"] = 1853824767
        if self.controlling:
            request.attributes["ICE-CONTROLLING"] = 4611686018427387904
            request.attributes["USE-CANDIDATE"] = None
        else:
            request.attributes["ICE-CONTROLLED"] = 4611686018427387904
        request.add_message_integrity(self._remote.pwd.encode())
        request.add_fingerprint()
        return bytes(request)

    def _send(self, data: bytes) -> None:
        try:
            self._socket.send(data)
        except (BlockingIOError, ConnectionRefusedError, OSError):
            return  # lost, as any datagram may be

    def _drain(self) -> None:
        receive, on_rtp = self._socket.recv, self._on_rtp
        for _ in range(DRAIN_MAX):
            try:
                data = receive(2048)
            except (BlockingIOError, ConnectionRefusedError):
                return
            first = data[0] if data else 255
            if 127 < first < 192 and not 191 < data[1] < 224:
                on_rtp(data)
            else:
                self._on_other(first, data)

    def _on_other(self, first: int, data: bytes) -> None:
        if 127 < first < 192:
            self._on_srtcp(data)
        elif 19 < first < 64:
            if not self._ice.inbox.full():
                self._ice.inbox.put_nowait(data)
        elif first == 1:
            self._checked.set()
        elif first == 0:
            self._answer_check(data)

    def _answer_check(self, data: bytes) -> None:
        """A server with full ICE checks us too (RFC 8445 section 7.3). Its address is the one we are connected to."""
        try:
            request = stun.parse_message(data)
            request.check_message_integrity(self.local.pwd.encode())
        except (ValueError, KeyError):
            return
        response = stun.Message(
            stun.Method.BINDING, stun.Class.RESPONSE, transaction_id=request.transaction_id
        )
        response.attributes["XOR-MAPPED-ADDRESS"] = (self._remote.host, self._remote.port)
        response.add_message_integrity(self.local.pwd.encode())
        response.add_fingerprint()
        self._send(bytes(response))

    def _on_srtcp(self, data: bytes) -> None:
        if self._rx is None:
            return
        try:
            plain = self._rx.unprotect_rtcp(data)
        except pylibsrtp.Error:
            return
        self._on_rtcp(plain)


def monotonic_ns() -> int:
    """CLOCK_MONOTONIC: one clock for all processes of a machine, so delays can be taken across them."""
    return time.monotonic_ns()
