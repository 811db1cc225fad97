"""What the parts of one media server share: sockets, certificate, forwarder, clock, random source."""

from collections.abc import Callable

from aiortc import RTCCertificate

from mediaserver.events import MediaConfig, MediaEvent
from mediaserver.forwarder import Forwarder
from mediaserver.ice import IceServer
from mediaserver.negotiation import LocalTransport
from mediaserver.peer import Peer, PeerOwner
from mediaserver.transport import Scratch, fingerprint, generate_certificate

CERTIFICATE_AGE_NS = 24 * 3600 * 1_000_000_000
# Each stream may come with its retransmissions, and reports come under an SSRC of their own.
SSRCS_PER_STREAM = 3


class Context:
    """`emit` may be called from anywhere on the event loop; it never calls back synchronously."""

    def __init__(
        self,
        config: MediaConfig,
        forwarder: Forwarder,
        ice: IceServer,
        *,
        now_ns: Callable[[], int],
        random_bytes: Callable[[int], bytes],
        emit: Callable[[MediaEvent], None],
    ) -> None:
        self.config = config
        self.forwarder = forwarder
        self.ice = ice
        self.now_ns = now_ns
        self.random_bytes = random_bytes
        self.emit = emit
        self._scratch = Scratch()
        self._certificate: RTCCertificate | None = None
        self._certificate_ns = 0
        self._publications = 0

    def certificate(self) -> RTCCertificate:
        """The process's certificate, renewed daily; a peer keeps the one it began with."""
        now_ns = self.now_ns()
        if self._certificate is None or now_ns - self._certificate_ns >= CERTIFICATE_AGE_NS:
            self._certificate, self._certificate_ns = generate_certificate(), now_ns
        return self._certificate

    def open_peer(
        self, owner: PeerOwner, certificate: RTCCertificate, *, streams_max: int, viewer: bool
    ) -> Peer:
        return Peer(
            owner,
            self.ice,
            certificate,
            self._scratch,
            now_ns=self.now_ns,
            join_timeout_s=self.config.join_timeout_s,
            streams_max=streams_max * SSRCS_PER_STREAM,
            viewer=viewer,
        )

    def local_transport(self, peer: Peer, certificate: RTCCertificate, session_id: int) -> LocalTransport:
        addresses = self.config.advertised or self.ice.addresses
        return LocalTransport(
            ufrag=peer.agent.ufrag,
            password=peer.agent.password,
            fingerprint=fingerprint(certificate),
            candidates=tuple((address, self.ice.port) for address in addresses),
            session_id=session_id,
        )

    def random_number(self, low: int, high: int) -> int:
        """Uniform enough in low..high-1."""
        return low + int.from_bytes(self.random_bytes(8), "big") % (high - low)

    def random_ssrc(self) -> int:
        return self.random_number(1, 1 << 32)

    def next_publication_id(self) -> int:
        self._publications += 1
        return self._publications
