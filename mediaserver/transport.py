# ruff: noqa: SLF001 - this file exists to keep these private names in one place
"""DTLS-SRTP of one peer, on aiortc's RTCDtlsTransport.

The only file that touches private names of aiortc and pylibsrtp; their exact versions are pinned and
`tests/unit/mediaserver/test_private_names.py` fails when one of the names goes away. RTCDtlsTransport is given
a stand-in for its ICE transport that carries DTLS records alone; SRTP runs on sessions of our own, made from
the exported keys (RFC 5764 section 4.2), so that a number is never encrypted twice (`allow_repeat_tx`).
"""

import asyncio
import contextlib
import logging
from collections.abc import Callable, Sequence
from typing import Any, Literal, cast

from aiortc import RTCCertificate
from aiortc.rtcdtlstransport import (
    SRTP_PROFILES,
    RTCDtlsFingerprint,
    RTCDtlsParameters,
    RTCDtlsTransport,
    SRTPProtectionProfile,
)
from aiortc.rtcicetransport import RTCIceTransport
from OpenSSL import SSL
from pylibsrtp import Error, Policy, Session
from pylibsrtp._binding import ffi, lib  # type: ignore[import-untyped, unused-ignore]

from mediaserver.ice import DATAGRAM_BYTES_MAX, IceAgent
from mediaserver.negotiation import Fingerprint

logger = logging.getLogger(__name__)

RECORDS_QUEUED_MAX = 64
REPLAY_WINDOW = 1024
GCM_PROFILES = (Policy.SRTP_PROFILE_AEAD_AES_128_GCM, Policy.SRTP_PROFILE_AEAD_AES_256_GCM)
# What libsrtp may add behind a packet (SRTP_MAX_TRAILER_LEN + 4 for SRTCP's index).
_TRAILER_BYTES = 148

Role = Literal["server", "client"]


class SharedCertificate(RTCCertificate):
    """One SSL context for all peers of the certificate, where aiortc makes one for each: that takes half a millisecond and
    some 10 kB, and pyOpenSSL leaves a reference cycle behind it. Nothing of one peer is kept for the next: sessions are
    not cached (tickets are off already)."""

    _context: SSL.Context | None = None

    def _create_ssl_context(self, srtp_profiles: list[SRTPProtectionProfile]) -> SSL.Context:
        if self._context is None:
            self._context = super()._create_ssl_context(srtp_profiles)
            self._context.set_session_cache_mode(SSL.SESS_CACHE_OFF)
        return self._context


def generate_certificate() -> RTCCertificate:
    """A self-signed certificate, valid for 30 days."""
    return SharedCertificate.generateCertificate()


def fingerprint(certificate: RTCCertificate) -> Fingerprint:
    for found in certificate.getFingerprints():
        if found.algorithm == "sha-256":
            return Fingerprint(found.algorithm, found.value)
    raise AssertionError("aiortc no longer makes sha-256 fingerprints")


class Scratch:
    """One buffer for all sessions of a server: libsrtp works in place, and only one thread calls it."""

    def __init__(self) -> None:
        self.cdata: Any = ffi.new("char[]", DATAGRAM_BYTES_MAX + 2 * _TRAILER_BYTES)
        self.buffer: Any = ffi.buffer(self.cdata)
        self.view = memoryview(self.buffer)
        self.length: Any = ffi.new("int *")


def srtp_functions() -> tuple[int, int, int, int]:
    """The addresses of libsrtp's protect, unprotect, protect_rtcp and unprotect_rtcp, for the native data plane: it
    calls the library that pylibsrtp has loaded, so that nothing more is linked."""
    names = ("srtp_protect", "srtp_unprotect", "srtp_protect_rtcp", "srtp_unprotect_rtcp")
    protect, unprotect, protect_rtcp, unprotect_rtcp = (_pointer(ffi.addressof(lib, name)) for name in names)
    return protect, unprotect, protect_rtcp, unprotect_rtcp


def _pointer(cdata: Any) -> int:
    return int(ffi.cast("uintptr_t", cdata))


class SrtpReceiver:
    """Decrypts what one peer sends. None for what is forged, replayed or broken. `link`: what a native plane keeps
    of the peer; it decrypts the SSRCs that it knows by itself, with the same session."""

    def __init__(self, session: Session, scratch: Scratch, link: Any = None) -> None:
        self._session = session  # keeps the handle alive
        self._link = link
        self._handle = session._srtp[0]
        self._scratch = scratch

    def unprotect(self, data: bytes) -> bytes | None:
        return self._run(lib.srtp_unprotect, data)

    def unprotect_rtcp(self, data: bytes) -> bytes | None:
        return self._run(lib.srtp_unprotect_rtcp, data)

    def know(self, ssrc: int) -> None:
        """The stream is admitted."""
        if self._link is not None:
            self._link.know(ssrc)

    def forget(self, ssrc: int) -> None:
        """Drop what libsrtp keeps of a stream (its window and rollover counter)."""
        if self._link is not None:
            self._link.forget(ssrc)
        _forget(self._session, ssrc)

    def _run(self, function: Callable[[Any, Any, Any], int], data: bytes) -> bytes | None:
        scratch = self._scratch
        size = len(data)
        scratch.buffer[0:size] = data
        scratch.length[0] = size
        if function(self._handle, scratch.cdata, scratch.length):
            return None
        clear: bytes = scratch.buffer[0 : scratch.length[0]]
        return clear


class SrtpSender:
    """Encrypts and sends to one peer, at the address that its ICE agent selected. Where a native plane forwards,
    it does the same with the same keys, and only RTCP of our own leaves here."""

    def __init__(self, session: Session, scratch: Scratch, agent: IceAgent) -> None:
        self._session = session  # keeps the handle alive
        self._handle = session._srtp[0]
        self._scratch = scratch
        self._cdata, self._buffer, self._view = scratch.cdata, scratch.buffer, scratch.view
        self._length = scratch.length
        self._protect = lib.srtp_protect
        self._agent = agent
        self.failed = 0
        self._packets = 0
        self._bytes = 0

    @property
    def link(self) -> Any:
        """What a native plane keeps of the peer; None without one."""
        return self._agent.link

    @property
    def packets_out(self) -> int:
        """RTP packets sent."""
        return self._packets + (0 if self.link is None else self.link.packets_out)

    @property
    def bytes_out(self) -> int:
        """Encrypted bytes of RTP sent."""
        return self._bytes + (0 if self.link is None else self.link.bytes_out)

    def send_rtp(self, head: bytes, payload: bytes) -> bool:
        """Send head + payload as one packet. False when it could not be encrypted (a number used before or
        too old, a packet too long), or there is no route, or the socket would not take it; or a native plane forwards: that
        encrypts with the same keys, and nobody else may."""
        data = head + payload
        size = len(data)
        route = self._agent.route
        if size > DATAGRAM_BYTES_MAX or route is None or self._agent.link is not None:
            return False
        self._buffer[0:size] = data
        length = self._length
        length[0] = size
        if self._protect(self._handle, self._cdata, length):
            self.failed += 1
            return False
        size = length[0]
        try:
            route[0].send_to(self._view[:size], route[1])
        except OSError:
            route[0].dropped += 1
            return False
        self._packets += 1
        self._bytes += size
        return True

    def send_rtcp(self, data: bytes) -> None:
        size = len(data)
        if size > DATAGRAM_BYTES_MAX - _TRAILER_BYTES:
            return
        self._buffer[0:size] = data
        self._length[0] = size
        if lib.srtp_protect_rtcp(self._handle, self._cdata, self._length) == 0:
            self._agent.send(self._buffer[0 : self._length[0]])

    def forget(self, ssrc: int) -> None:
        """Drop what libsrtp keeps of a stream; its SSRC must never be sent under again."""
        _forget(self._session, ssrc)


def _forget(session: Session, ssrc: int) -> None:
    with contextlib.suppress(Error):  # nothing was ever sent or received under it
        session.remove_stream(ssrc)


class _RecordChannel:
    """What RTCDtlsTransport needs of an RTCIceTransport, for DTLS records alone."""

    def __init__(self, agent: IceAgent) -> None:
        self.role = "controlled"
        self.state = "completed"
        self._agent = agent
        self._records: asyncio.Queue[bytes] = asyncio.Queue(RECORDS_QUEUED_MAX)
        self._closed = asyncio.Event()

    def feed(self, record: bytes) -> None:
        """When the queue is full the record is lost: DTLS repeats what matters."""
        with contextlib.suppress(asyncio.QueueFull):
            self._records.put_nowait(record)

    def close(self) -> None:
        """Wakes a pending `_recv`: it and every later one raise ConnectionError."""
        if not self._closed.is_set():
            self._closed.set()
            if self._records.empty():
                self._records.put_nowait(b"")

    async def _recv(self) -> bytes:
        record = b"" if self._closed.is_set() else await self._records.get()
        if self._closed.is_set():
            raise ConnectionError
        return record

    async def _send(self, data: bytes) -> None:
        self._agent.send(data)


class SecureTransport:
    """The DTLS association of one peer and the SRTP sessions that come of it."""

    def __init__(self, agent: IceAgent, certificate: RTCCertificate, scratch: Scratch) -> None:
        self._agent = agent
        self._scratch = scratch
        self._channel = _RecordChannel(agent)
        self._dtls = RTCDtlsTransport(cast("RTCIceTransport", self._channel), [certificate])
        self.receiver: SrtpReceiver | None = None
        self.sender: SrtpSender | None = None

    def feed(self, record: bytes) -> None:
        """A DTLS record from the verified address; kept until the handshake runs."""
        self._channel.feed(record)

    async def connect(self, role: Role, fingerprints: Sequence[Fingerprint]) -> bool:
        """Run the handshake; True when it succeeded and `receiver` and `sender` stand."""
        self._dtls._set_role(role)
        parameters = RTCDtlsParameters(
            fingerprints=[RTCDtlsFingerprint(item.algorithm, item.value) for item in fingerprints]
        )
        try:
            await self._dtls.start(parameters)
        except Exception:
            logger.warning("a DTLS handshake failed unexpectedly", exc_info=True)
            return False
        if self._dtls.state != "connected":
            return False
        self._make_sessions(role)
        return True

    def _make_sessions(self, role: Role) -> None:
        connection = self._dtls._ssl
        assert connection is not None
        name = connection.get_selected_srtp_profile()
        profile = next(item for item in SRTP_PROFILES if item.openssl_profile == name)
        size = 2 * (profile.key_length + profile.salt_length)
        keys = connection.export_keying_material(b"EXTRACTOR-dtls_srtp", size)
        ours, theirs = (1, 0) if role == "server" else (0, 1)
        incoming = _policy(profile.get_key_and_salt(keys, theirs), profile.libsrtp_profile)
        incoming.ssrc_type = Policy.SSRC_ANY_INBOUND
        key = profile.get_key_and_salt(keys, ours)
        outgoing = _policy(key, profile.libsrtp_profile)
        outgoing.ssrc_type = Policy.SSRC_ANY_OUTBOUND
        self._sessions = (Session(incoming), Session(outgoing))
        self._gcm_key = key if profile.libsrtp_profile in GCM_PROFILES else b""
        self.receiver = SrtpReceiver(self._sessions[0], self._scratch, self._agent.link)
        self.sender = SrtpSender(self._sessions[1], self._scratch, self._agent)
        # aiortc's own pair, made of the same keys, never sees a packet: only DTLS records are fed to it.
        self._dtls._rx_srtp = self._dtls._tx_srtp = cast("Session", None)

    def hand_over(self, *, viewer: bool) -> None:
        """Let the native plane, if there is one, decrypt and encrypt with the same sessions; it keeps them alive.
        `viewer`: the peer receives and does not publish."""
        link = self._agent.link
        if link is not None:
            secure(link, *self._sessions, viewer=viewer, gcm_key=self._gcm_key)
        self._gcm_key = b""

    async def closed_by_remote(self) -> None:
        """Returns when the client has sent close_notify (or its records cannot be read any more)."""
        pump = self._dtls._task
        if pump is not None:
            await asyncio.wait([pump])

    async def close(self) -> None:
        """Send close_notify where possible and wake a pending handshake."""
        pump = self._dtls._task
        await self._dtls.stop()
        self._channel.close()
        if pump is not None:
            await asyncio.gather(pump, return_exceptions=True)
        # Its 100 kB are out of the collector's sight, and must not wait for it.
        self._dtls._ssl = None


def secure(link: Any, incoming: Session, outgoing: Session, *, viewer: bool, gcm_key: bytes = b"") -> None:
    """`gcm_key`: master key and salt of `outgoing` where that is of AES-GCM. With it the native plane encrypts RTP by
    itself, and by that session nothing but RTCP (which has keys and numbers of its own) may be sent."""
    handles = (_pointer(incoming._srtp[0]), _pointer(outgoing._srtp[0]))
    # Asked with care: a module that was compiled from older sources knows no key, and libsrtp encrypts.
    sealing = {"key": gcm_key} if getattr(link, "seals", False) else {}
    link.secure((incoming, outgoing), *handles, feedback=viewer, **sealing)


def _policy(key: bytes, profile: int) -> Policy:
    policy = Policy(key=key, srtp_profile=profile)
    policy.allow_repeat_tx = False
    policy.window_size = REPLAY_WINDOW
    return policy
