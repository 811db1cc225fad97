"""The publish transport of one participant: its offers, its incoming streams, the RTCP it gets from us.

Streams are known by (this peer, SSRC) alone and bound by what the SDP named or by the mid and rid extensions, so that
nobody sends into another one's publication by choosing its SSRC. Once bound an SSRC stays so: browsers leave the
extensions out when they have seen that we know.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from mediaserver import rtcp, rtp
from mediaserver.arrivals import ArrivalLog
from mediaserver.context import Context
from mediaserver.encoding import Encoding
from mediaserver.errors import NegotiationError
from mediaserver.events import Connected, Source, TrackInfo
from mediaserver.forwarder import ForwardedPacket
from mediaserver.gate import MS
from mediaserver.negotiation import IncomingMedia, LocalTransport, PublishOffer, write_publish_answer
from mediaserver.publication import Publication
from mediaserver.transport import Role

# Of a peer's tracks some are pictures in three encodings, the others come in one.
ENCODINGS_PER_TRACK = 2
TRANSPORT_CC_INTERVAL_NS = 100_000_000
REPORT_INTERVAL_NS = 1_000_000_000
_SOURCES: dict[str, tuple[Source, ...]] = {
    "audio": ("microphone", "screen_audio"),
    "video": ("camera", "screen"),
}


@dataclass(frozen=True, slots=True)
class Binding:
    """What an SSRC carries; `repairs` is the SSRC that it retransmits, 0 for "the current one"."""

    publication: Publication
    encoding: Encoding
    repairs: int | None = None


class Publisher:
    """`on_gone` is called with the reason when the transport has ended by itself."""

    def __init__(
        self, participant_id: str, context: Context, on_gone: Callable[["Publisher", str], None]
    ) -> None:
        self._participant_id = participant_id
        self._context = context
        self._on_gone = on_gone
        self._certificate = context.certificate()
        self.peer = context.open_peer(
            self,
            self._certificate,
            streams_max=ENCODINGS_PER_TRACK * context.config.streams_per_peer_max,
            viewer=False,
        )
        self.publications: dict[str, Publication] = {}
        self._bindings: dict[int, Binding] = {}
        self._kinds: tuple[str, ...] = ()
        self._ufrag = ""
        self._version = 0
        self._session_id = context.random_number(1, 1 << 62)
        self._ssrc = context.random_ssrc()
        self._cname = context.random_bytes(8).hex()
        self._arrivals = ArrivalLog()
        self._feedback_ns = self._report_ns = 0

    # --- negotiation ---

    def continues(self, offer: PublishOffer) -> bool:
        """Whether the offer is of the same client connection: another certificate means a new one."""
        return not self.peer.fingerprints or self.peer.fingerprints == offer.transport.fingerprints

    def negotiate(self, offer: PublishOffer, sources: Mapping[str, str]) -> str:
        """Take what the client publishes from now on; returns the answer. Raises NegotiationError, and then
        nothing has changed."""
        kinds = tuple(media.kind for media in offer.parsed.media)
        if kinds[: len(self._kinds)] != self._kinds:
            raise NegotiationError("the offer has dropped or reordered m-lines")
        infos = {
            media.mid: self._info(media, sources.get(media.mid)) for media in offer.incoming if media.sending
        }
        tracks_max = self._context.config.streams_per_peer_max
        encodings = sum(len(media.rids) or 1 for media in offer.incoming if media.sending)
        if len(infos) > tracks_max or encodings > ENCODINGS_PER_TRACK * tracks_max:
            raise NegotiationError("the offer sends more tracks than are allowed")
        restart = bool(self._ufrag) and offer.transport.ufrag != self._ufrag
        if restart:
            self.peer.restart()
        answer = write_publish_answer(offer, self._local(), self._version + 1)
        self._version += 1
        self._kinds, self._ufrag = kinds, offer.transport.ufrag
        self._take(offer, infos)
        role: Role = "client" if offer.transport.setup == "passive" else "server"
        self.peer.trust(offer.transport.fingerprints, role)
        return answer

    def refresh_ice(self) -> LocalTransport:
        """Fresh ICE credentials, told by the caller; the former ones live until the new ones are nominated."""
        self.peer.restart()
        return self._local()

    def _local(self) -> LocalTransport:
        return self._context.local_transport(self.peer, self._certificate, self._session_id)

    def _info(self, media: IncomingMedia, source: str | None) -> TrackInfo:
        allowed = _SOURCES[media.kind]
        for known in allowed:
            if source == known:
                return TrackInfo(media.mid, media.kind, self._participant_id, known)
        if source is not None:
            raise NegotiationError(f"{media.kind} cannot come from that source")
        return TrackInfo(media.mid, media.kind, self._participant_id, allowed[0])

    def _take(self, offer: PublishOffer, infos: Mapping[str, TrackInfo]) -> None:
        former, self.publications = self.publications, {}
        bound, self._bindings = self._bindings, {}
        self._context.forwarder.unfollow(self.peer.link)
        for media in offer.incoming:
            info = infos.get(media.mid)
            if info is None:
                continue
            publication = former.get(media.mid)
            if publication is None or not publication.continues(info, media):
                publication = self._publication(info, media)
            publication.renegotiate(media)
            self.publications[media.mid] = publication
            self._bind_described(publication, media)
        for ssrc, binding in bound.items():
            if binding.publication.media.rids and binding.publication in self.publications.values():
                self._bindings.setdefault(ssrc, binding)  # its rid does not come again

    def _publication(self, info: TrackInfo, media: IncomingMedia) -> Publication:
        return Publication(
            self._context.next_publication_id(),
            info,
            media,
            forwarder=self._context.forwarder,
            cname=self._cname,
            own_ssrc=self._ssrc,
            send_rtcp=self._send_rtcp,
            retake=self._retake,
        )

    def _retake(self, ssrc: int) -> None:
        self._context.forwarder.unfollow(self.peer.link, ssrc)

    def _bind_described(self, publication: Publication, media: IncomingMedia) -> None:
        names = dict(zip(media.simulcast_ssrcs, media.rids, strict=False))
        if media.rids and not names:
            return  # which SSRC is which encoding, its packets tell
        described = {ssrc: publication.encoding(names.get(ssrc, "")) for ssrc in media.ssrcs}
        bindings = [
            (ssrc, Binding(publication, encoding)) for ssrc, encoding in described.items() if encoding
        ]
        for repair, ssrc in media.rtx_ssrcs.items():
            encoding = described.get(ssrc)
            bindings += [(repair, Binding(publication, encoding, ssrc))] if encoding else []
        for ssrc, binding in bindings:
            if len(self._bindings) < self._bindings_max:
                self._bindings.setdefault(ssrc, binding)

    @property
    def _bindings_max(self) -> int:
        return 2 * ENCODINGS_PER_TRACK * self._context.config.streams_per_peer_max

    # --- packets ---

    def on_rtp(self, data: bytes, now_ns: int) -> None:
        try:
            packet = rtp.parse(data)
        except ValueError:
            return
        binding = self._bindings.get(packet.ssrc) or self._bind(packet)
        if binding is None:
            return
        encoding = binding.encoding
        self._note_arrival(packet, encoding.media.transport_cc_id, now_ns)
        if binding.repairs is not None:
            encoding.receive_repair(packet, binding.repairs, now_ns)
            return
        encoding.receive(packet, now_ns)
        course = encoding.course(packet.ssrc)
        if course is not None:
            self._context.forwarder.follow(self.peer.link, encoding.fanout, course)

    def on_forwarded(self, packets: list[ForwardedPacket]) -> None:
        for ssrc, number, timestamp, transport_cc, now_ns in packets:
            binding = self._bindings.get(ssrc)
            if binding is None:
                continue
            if transport_cc >= 0:
                self._arrivals.add(transport_cc, now_ns)
            binding.encoding.note_forwarded(ssrc, number, timestamp, now_ns)

    def on_keyframe_request(self, ssrc: int, now_ns: int) -> None:
        """Nobody receives on this transport."""

    def _bind(self, packet: rtp.RtpPacket) -> Binding | None:
        """An SSRC that the SDP did not name (RFC 9143 section 9.2)."""
        if len(self._bindings) >= self._bindings_max:
            return None
        publication = self._by_mid(packet) or self._by_payload_type(packet)
        if publication is None:
            return None
        repair = packet.payload_type == publication.media.codec.rtx_payload_type
        encoding = _named_encoding(publication, packet, repair=repair)
        if encoding is None:
            return None
        binding = self._bindings[packet.ssrc] = Binding(publication, encoding, 0 if repair else None)
        return binding

    def _by_mid(self, packet: rtp.RtpPacket) -> Publication | None:
        for mid, publication in self.publications.items():
            media = publication.media
            named = media.mid_id and rtp.find_extension(packet.extensions, media.mid_id)
            if named and named == mid.encode():
                return publication
        return None

    def _by_payload_type(self, packet: rtp.RtpPacket) -> Publication | None:
        """For encoders that name neither SSRC nor mid: the one m-line that has this payload type."""
        if any(publication.media.mid_id for publication in self.publications.values()):
            return None
        found = [
            publication
            for publication in self.publications.values()
            if packet.payload_type
            in (publication.media.codec.payload_type, publication.media.codec.rtx_payload_type)
        ]
        return found[0] if len(found) == 1 else None

    def _note_arrival(self, packet: rtp.RtpPacket, identifier: int | None, now_ns: int) -> None:
        value = rtp.find_extension(packet.extensions, identifier) if identifier else None
        if value is not None and len(value) == 2:  # noqa: PLR2004 - a 16-bit number
            self._arrivals.add(int.from_bytes(value, "big"), now_ns)

    def uses(self, ssrc: int) -> bool:
        return ssrc in self._bindings

    def on_rtcp(self, data: bytes, now_ns: int) -> None:
        for report in rtcp.parse(data).sender_reports:
            binding = self._bindings.get(report.ssrc)
            if binding is not None and binding.repairs is None:
                binding.encoding.receive_report(report, now_ns)

    # --- what the publisher gets from us ---

    def tick(self, now_ns: int) -> None:
        """Called every 50 ms: feedback for the sender's bandwidth estimate, reports, NACKs, keyframes."""
        if not self.peer.connected:
            return
        for publication in self.publications.values():
            publication.tick(now_ns)
        if now_ns - self._feedback_ns >= TRANSPORT_CC_INTERVAL_NS:
            self._feedback_ns = now_ns
            self._send_transport_cc()
        if now_ns - self._report_ns >= REPORT_INTERVAL_NS:
            self._report_ns = now_ns
            self._send_report(now_ns)

    def _send_transport_cc(self) -> None:
        taken = self._arrivals.take()
        if taken is not None:
            media_ssrc = next(iter(self._bindings), 0)
            self._send_rtcp(rtcp.transport_cc(self._ssrc, media_ssrc, *taken))

    def _send_report(self, now_ns: int) -> None:
        blocks = [
            block for publication in self.publications.values() for block in publication.report_blocks(now_ns)
        ]
        report = rtcp.receiver_report(self._ssrc, blocks)
        self._send_rtcp(report + rtcp.source_description(self._ssrc, self._cname))

    def _send_rtcp(self, data: bytes) -> None:
        sender = self.peer.sender
        if sender is not None:
            sender.send_rtcp(data)

    # --- life ---

    def on_connected(self) -> None:
        at_ms = self._context.now_ns() // MS
        self._context.emit(Connected(self._participant_id, "publish", at_ms))

    def on_closed(self, reason: str) -> None:
        self.publications, self._bindings = {}, {}
        self._on_gone(self, reason)

    async def close(self) -> None:
        self.publications, self._bindings = {}, {}
        await self.peer.close()


def _named_encoding(publication: Publication, packet: rtp.RtpPacket, *, repair: bool) -> Encoding | None:
    """The encoding that the packet names (RFC 8852), or the only one."""
    media = publication.media
    if not media.rids:
        return publication.encoding("")
    identifier = media.repaired_rid_id if repair else media.rid_id
    named = identifier and rtp.find_extension(packet.extensions, identifier)
    return publication.encoding(named.decode("latin-1")) if named else None
