"""The subscribe transport of one participant: our offers, what is sent to it, the feedback that comes back.

One offer is outstanding at a time; what changes meanwhile goes into the next one. m-lines are pooled: one
whose publication ended becomes inactive and is used again, under a new SSRC.

Or the client made the one offer there is (`watch`): then its m-lines stay as they are, and carry what comes and goes.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

from mediaserver import rtcp
from mediaserver.bandwidth import MOST_BPS, Estimate, Line
from mediaserver.context import Context
from mediaserver.errors import NegotiationError, UnknownOfferError
from mediaserver.events import Connected, Kind, Offer, Reception, TrackInfo
from mediaserver.forwarder import ForwardedPacket, Subscription
from mediaserver.gate import MS, Gate
from mediaserver.negotiation import (
    OFFERED_CODECS,
    Codec,
    LocalTransport,
    OutgoingMedia,
    SubscribeAnswer,
    ViewerExtensions,
    WatchedMedia,
    WatchOffer,
    read_subscribe_answer,
    write_subscribe_offer,
    write_watch_answer,
)
from mediaserver.patience import KeyframePatience
from mediaserver.publication import Publication
from mediaserver.quality import Picture, Quality, sound_bps
from mediaserver.room import SECTIONS_MAX, Slot, Wanted, arrange
from mediaserver.rtp import head_extension
from mediaserver.transport import Role

# libsrtp mistakes an early reordering for a wrap when the first number is high (RFC 3711 section 3.3.1).
FIRST_NUMBER_MAX = 1 << 15
NO_EXTENSIONS = ViewerExtensions()


@dataclass(frozen=True, slots=True)
class Available:
    """A publication that this participant should receive, with the gate of its publisher (if metered)."""

    publication: Publication
    gate: Gate | None


@dataclass(slots=True, eq=False)
class Section:
    """One pooled m-line. `offered` is what the last offer said of it."""

    offered: OutgoingMedia
    available: Available | None = None
    accepted: Codec | None = None
    extensions: ViewerExtensions = NO_EXTENSIONS
    # Where the client offered: what it decodes, to choose from when there is something to send.
    choices: tuple[Codec, ...] = ()
    subscription: Subscription | None = None
    patience: KeyframePatience = field(default_factory=KeyframePatience)

    @property
    def publication_id(self) -> int | None:
        return None if self.available is None else self.available.publication.publication_id


@dataclass(slots=True)
class Outstanding:
    offer_id: int
    sections: tuple[OutgoingMedia, ...] = field(default=())


def _fitting(section: Section, item: Available) -> Codec | None:
    """In which codec the section could carry the publication; None when it is taken or its client decodes none."""
    publication = item.publication
    if section.available is not None or section.offered.kind != publication.info.kind:
        return None
    return next((codec for codec in section.choices if codec.name == publication.media.codec.name), None)


class Subscriber:
    """`on_gone` is called with the reason when the transport has ended by itself; `gate` is this
    participant's own (None: unmetered)."""

    def __init__(
        self,
        participant_id: str,
        context: Context,
        gate: Gate | None,
        on_gone: Callable[["Subscriber", str], None],
    ) -> None:
        self._participant_id = participant_id
        self._context = context
        self._gate = gate
        self._on_gone = on_gone
        self._certificate = context.certificate()
        self.peer = context.open_peer(self, self._certificate, streams_max=SECTIONS_MAX, viewer=True)
        self._wanted: dict[int, Available] = {}
        self._sections: list[Section] = []
        self._by_ssrc: dict[int, Section] = {}
        self._outstanding: Outstanding | None = None
        self._offer_id = 0
        self._session_id = context.random_number(1, 1 << 62)
        self._closed = False
        self._watching = False
        self._sizes: dict[str, tuple[int, int]] = {}
        # The native plane keeps it with the peer.
        self._own_line = Line() if self.peer.link is None else None
        self._quality = Quality(context.forwarder, self.line, context.now_ns)

    # --- offers ---

    def want(self, wanted: Mapping[int, Available]) -> None:
        """What this participant should receive now. What is gone stops at once; what is new is offered."""
        self._wanted = dict(wanted)
        for section in self._sections:
            if section.publication_id is not None and section.publication_id not in self._wanted:
                self._stop(section)
                section.available = None
        if self._watching:
            self._fill()
            self._start_accepted()
        elif self._outstanding is None:
            self._offer_if_changed()

    def restart(self) -> None:
        """Fresh ICE credentials by an offer that takes the place of an outstanding one; whoever made the offer itself
        asks for them (`refresh_ice`)."""
        if not self._watching:
            self.peer.restart()
            self._offer(self._arranged())

    def refresh_ice(self) -> LocalTransport:
        """Fresh ICE credentials, told by the caller; the former ones live until the new ones are nominated."""
        self.peer.restart()
        return self._local()

    def _local(self) -> LocalTransport:
        return self._context.local_transport(self.peer, self._certificate, self._session_id)

    def _arranged(self) -> tuple[Slot, ...]:
        slots = [Slot(section.offered.kind, section.publication_id) for section in self._sections]
        return arrange(slots, [Wanted(key, item.publication.info.kind) for key, item in self._wanted.items()])

    def _offer_if_changed(self) -> None:
        slots = self._arranged()
        same = len(slots) == len(self._sections) and all(
            slot.publication_id == section.publication_id
            and (section.offered.codec is None) == (slot.publication_id is None)
            for slot, section in zip(slots, self._sections, strict=True)
        )
        if not same:
            self._offer(slots)

    def _offer(self, slots: tuple[Slot, ...]) -> None:
        if self._closed:
            return
        for place, slot in enumerate(slots):
            if place == len(self._sections):
                self._sections.append(Section(OutgoingMedia(str(place), slot.kind)))
            self._assign(self._sections[place], slot)
        self._offer_id += 1
        sections = tuple(section.offered for section in self._sections)
        self._outstanding = Outstanding(self._offer_id, sections)
        sdp = write_subscribe_offer(sections, self._local(), self._offer_id)
        self._context.emit(Offer(self._participant_id, self._offer_id, sdp, self._tracks()))

    def _assign(self, section: Section, slot: Slot) -> None:
        """Make the section carry the slot's publication; a new one comes under new SSRCs."""
        if slot.publication_id == section.publication_id and section.publication_id is not None:
            return
        section.accepted = None
        available = None if slot.publication_id is None else self._wanted[slot.publication_id]
        section.available = available
        section.offered = self._outgoing(section.offered.mid, slot.kind, available)

    def _outgoing(self, mid: str, kind: Kind, available: Available | None) -> OutgoingMedia:
        if available is None:
            return OutgoingMedia(mid, kind)
        publication = available.publication
        codec = OFFERED_CODECS[publication.media.codec.name]
        return OutgoingMedia(
            mid=mid,
            kind=kind,
            codec=codec,
            ssrc=self._context.random_ssrc(),
            rtx_ssrc=self._context.random_ssrc() if codec.rtx_payload_type else 0,
            cname=publication.cname,
            stream_id=publication.stream_id,
        )

    def _tracks(self) -> tuple[TrackInfo, ...]:
        return tuple(
            replace(section.available.publication.info, mid=section.offered.mid)
            for section in self._sections
            if section.available is not None
        )

    def answer(self, offer_id: int, sdp: str) -> None:
        """Raises UnknownOfferError, NegotiationError; then nothing has changed."""
        outstanding = self._outstanding
        if outstanding is None or outstanding.offer_id != offer_id:
            raise UnknownOfferError(f"offer {offer_id} is not outstanding")
        answer = read_subscribe_answer(sdp, outstanding.sections)
        if self.peer.fingerprints and self.peer.fingerprints != answer.transport.fingerprints:
            raise NegotiationError("the answer comes from another connection than the first one")
        self._outstanding = None
        self._take(answer, outstanding.sections)
        self.peer.trust(
            answer.transport.fingerprints, "client" if answer.transport.setup == "passive" else "server"
        )
        self._start_accepted()
        self._offer_if_changed()

    def _take(self, answer: SubscribeAnswer, offered: tuple[OutgoingMedia, ...]) -> None:
        for section, media in zip(self._sections, offered, strict=True):
            if section.offered is media and section.available is not None:
                section.accepted = answer.accepted.get(media.mid)
                section.extensions = answer.extensions.get(media.mid, NO_EXTENSIONS)

    # --- the client's own offer ---

    def watch(self, offer: WatchOffer) -> str:
        """Answer the client's own offer instead of making offers: it receives on its m-lines what the room has, now
        and later. Once only. Raises NegotiationError, and then nothing has changed."""
        if self._watching or self.peer.fingerprints:
            raise NegotiationError("this transport was negotiated already")
        if len(offer.watched) > SECTIONS_MAX:
            raise NegotiationError("the offer has more m-lines than anybody can watch")
        for media in offer.watched:
            self._check_decodes(media)
        self._watching, self._outstanding = True, None
        self._sections = [
            Section(OutgoingMedia(media.mid, media.kind), extensions=media.extensions, choices=media.codecs)
            for media in offer.watched
        ]
        self._fill()
        for section in self._sections:
            # Once it is known what comes, nothing else is promised.
            section.choices = section.choices if section.accepted is None else (section.accepted,)
        chosen = {section.offered.mid: section.choices for section in self._sections}
        answer = write_watch_answer(offer, chosen, self._local(), self._context.random_bytes(8).hex())
        role: Role = "client" if offer.transport.setup == "passive" else "server"
        self.peer.trust(offer.transport.fingerprints, role)
        return answer

    def _check_decodes(self, media: WatchedMedia) -> None:
        """Better refused than sold a picture that stays black. Raises NegotiationError."""
        coming = {
            item.publication.media.codec.name
            for item in self._wanted.values()
            if item.gate is None and item.publication.info.kind == media.kind
        }
        if coming and not coming & {codec.name for codec in media.codecs}:
            raise NegotiationError(f"the host sends {' and '.join(sorted(coming))}, which the offer has not")

    def _fill(self) -> None:
        """Put what is wanted on free m-lines of its kind, the host's first, where the client decodes it."""
        carried = {section.publication_id for section in self._sections}
        wanted = [item for key, item in self._wanted.items() if key not in carried]
        for item in sorted(wanted, key=lambda item: item.gate is not None):
            for section in self._sections:
                codec = _fitting(section, item)
                if codec is not None:
                    section.available, section.accepted = item, codec
                    section.offered = self._outgoing(section.offered.mid, section.offered.kind, item)
                    break

    # --- sending ---

    def set_view(self, sizes: Mapping[str, tuple[int, int]]) -> None:
        """How large each m-line is shown, by mid: width and height in device pixels."""
        self._sizes = dict(sizes)
        self._quality.wake()

    def tick(self, now_ns: int) -> None:
        """Called every 250 ms or so: choose anew in which encoding each picture comes, unless all is well."""
        if self.peer.connected and not self._quality.rests(now_ns):
            self._choose(now_ns)

    def _choose(self, now_ns: int) -> None:
        pictures: list[Picture] = []
        sounds_bps = 0.0
        for section in self._sections:
            subscription, available = section.subscription, section.available
            if subscription is None or available is None:
                continue
            if section.offered.kind == "audio":
                sounds_bps += sound_bps(available.publication)
            else:
                view = self._sizes.get(section.offered.mid)
                pictures.append(Picture(available.publication, subscription, view, available.gate is None))
        if pictures or sounds_bps:
            state = self._quality.update(pictures, sounds_bps, self.peer.bytes_out, now_ns)
            if state is not None:
                self._context.emit(Reception(self._participant_id, state, self._quality.estimate_bps))

    def _start_accepted(self) -> None:
        for section in self._sections:
            if section.subscription is None and section.accepted is not None:
                self._start(section, section.accepted)

    def _start(self, section: Section, codec: Codec) -> None:
        sender = self.peer.sender
        if sender is None or section.available is None:
            return
        ids = section.extensions
        section.subscription = Subscription(
            ssrc=section.offered.ssrc,
            payload_type=codec.payload_type,
            gates=tuple(gate for gate in (section.available.gate, self._gate) if gate is not None),
            egress=sender,
            first_number=self._context.random_number(1, FIRST_NUMBER_MAX),
            head_extension=head_extension(
                section.offered.mid.encode(),
                mid_id=ids.mid_id,
                send_time_id=ids.send_time_id,
                transport_cc_id=ids.transport_cc_id,
                level_id=ids.level_id,
                descriptor_id=ids.descriptor_id if codec.name == "AV1" else 0,
            ),
            line=self._own_line,
            rtx_ssrc=section.offered.rtx_ssrc,
            rtx_payload_type=codec.rtx_payload_type,
            rtx_number=self._context.random_number(1, FIRST_NUMBER_MAX),
            paused=section.available.publication.is_paused,
        )
        self._by_ssrc[section.offered.ssrc] = section
        self._quality.wake()
        section.available.publication.add(section.subscription)

    def _stop(self, section: Section) -> None:
        section.accepted = None
        if section.subscription is None or section.available is None:
            return
        section.available.publication.remove(section.subscription)
        del self._by_ssrc[section.subscription.ssrc]
        if self.peer.sender is not None:
            self.peer.sender.forget(section.subscription.ssrc)
            self.peer.sender.forget(section.subscription.rtx_ssrc)
        section.subscription = None

    def stop(self) -> None:
        """Nothing is sent to this participant any more."""
        self._quality.stop()
        for section in self._sections:
            self._stop(section)

    def recheck(self) -> None:
        """A gate or the lease has become stricter."""
        for section in self._sections:
            if section.subscription is not None:
                self._context.forwarder.recheck(section.subscription)

    def want_keyframes(self) -> None:
        for section in self._sections:
            if section.subscription is not None and section.available is not None:
                section.available.publication.want_keyframe(section.subscription)

    # --- feedback ---

    def on_rtp(self, data: bytes, now_ns: int) -> None:
        """Nobody publishes on this transport; the packet has counted as a sign of life."""

    def uses(self, ssrc: int) -> bool:  # noqa: ARG002 - PeerOwner's signature
        """Reports alone come here, and none of their senders matters more than another."""
        return False

    def on_rtcp(self, data: bytes, now_ns: int) -> None:
        """Feedback, taken only for this participant's own subscriptions and while they may pass."""
        feedback = rtcp.parse(data)
        for ssrc, lost in feedback.nacks:
            section = self._passing(ssrc, now_ns)
            if section is not None and section.available and section.subscription:
                fanout = section.available.publication.current(section.subscription).fanout
                self._context.forwarder.resend(fanout, section.subscription, lost)
        for ssrc in feedback.keyframes:
            self.on_keyframe_request(ssrc, now_ns)
        if self._own_line is None:
            self.peer.link.note_feedback(data, now_ns)
        else:
            self._read_line(self._own_line, feedback, now_ns)

    def _read_line(self, line: Line, feedback: rtcp.Feedback, now_ns: int) -> None:
        for transport in feedback.transport:
            line.take_feedback(transport, now_ns)
        if feedback.receiver_reports:
            line.reports += feedback.receiver_reports
            own = [report.fraction_lost for report in feedback.reports if self._passing(report.ssrc, now_ns)]
            line.told_loss = max(own, default=0) / 256
        for _, bitrate_bps in feedback.bitrates_bps:
            line.told_bps = min(float(bitrate_bps), MOST_BPS)

    @property
    def line(self) -> Estimate:
        """What is known of the line to this participant."""
        line: Estimate = self.peer.link if self._own_line is None else self._own_line
        return line

    def on_forwarded(self, packets: list[ForwardedPacket]) -> None:
        """Nobody publishes on this transport."""

    def on_keyframe_request(self, ssrc: int, now_ns: int) -> None:
        section = self._passing(ssrc, now_ns)
        if section is not None and section.available and section.patience.allows(now_ns):
            section.available.publication.want_keyframe(section.subscription)

    def _passing(self, ssrc: int, now_ns: int) -> Section | None:
        section = self._by_ssrc.get(ssrc)
        if section is None or section.subscription is None:
            return None
        return section if self._context.forwarder.passing(section.subscription, now_ns) else None

    # --- life ---

    def on_connected(self) -> None:
        self._context.emit(Connected(self._participant_id, "subscribe", self._context.now_ns() // MS))
        self._start_accepted()

    def on_closed(self, reason: str) -> None:
        self._closed = True
        self.stop()
        self._on_gone(self, reason)

    async def close(self) -> None:
        self._closed = True
        self.stop()
        await self.peer.close()
