"""The media server's one door.

Rules of the gate. A *metered* participant (a payer) has a gate, closed at first. A packet from participant A
to participant B passes only while both gates are open, now < both `until`, and now < the lease. An unmetered
participant (a host) is bound by the lease alone. A gate opened with `allow_ms` runs from the first packet
that passes it; that moment is reported once as `Forwarding`. All of it is checked on every send.
"""

import asyncio
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Protocol

from mediaserver.context import Context
from mediaserver.errors import MediaServerFullError, NotAllowedToPublishError, UnknownParticipantError
from mediaserver.events import (
    Closed,
    Forwarding,
    GateReport,
    Liveness,
    MediaConfig,
    MediaEvent,
    RoomOptions,
    Source,
    Speakers,
    TracksPublished,
    Transport,
)
from mediaserver.gate import MS, Gate, Lease
from mediaserver.ice import IceServer
from mediaserver.icetcp import TcpServer, open_ports
from mediaserver.negotiation import read_publish_offer, read_watch_offer, write_ice_fragment
from mediaserver.peer import Peer
from mediaserver.planes import open_plane
from mediaserver.publication import Publication
from mediaserver.publisher import Publisher
from mediaserver.speakers import INTERVAL_NS, Heard, RoomAudio
from mediaserver.subscriber import Available, Subscriber

TICK_S = 0.05
# Viewers take turns at the ticks, so that not all choose their pictures at once: four times a second each.
TURNS = 5
SILENCE_CHECK_INTERVAL_NS = 1_000_000_000

EventSink = Callable[[MediaEvent], None]


class MediaDoor(Protocol):
    """What signaling may ask. Async throughout, with plain data, so that it can live in another process."""

    async def start(self) -> None:
        """Bind the sockets. Raises PortInUseError."""

    async def close(self) -> None:
        """Close every peer (DTLS close_notify) and the sockets. Safe to call twice."""

    async def add_participant(
        self,
        room_id: str,
        participant_id: str,
        *,
        metered: bool,
        may_publish: bool,
        options: RoomOptions,
        receives: bool = True,
    ) -> None:
        """Enter a participant into a room (made on first use) and start its subscribe transport: an `Offer`
        event follows, even when there is nothing to receive yet. Without `receives` it only publishes.
        Raises MediaServerFullError."""

    async def remove_participant(self, participant_id: str) -> None:
        """Stop forwarding both ways before returning, then close both transports. Unknown ids are ignored.
        A room without participants is dropped."""

    async def publish(self, participant_id: str, sdp: str, sources: dict[str, str]) -> str:
        """Answer the participant's publish offer (first or renegotiation). `sources` maps mid to a Source;
        a missing mid is microphone or camera by kind. Raises NegotiationError, NotAllowedToPublishError,
        UnknownParticipantError. An offer with other ICE credentials restarts ICE."""

    async def answer(self, participant_id: str, offer_id: int, sdp: str) -> None:
        """The client's answer to an `Offer`. Raises NegotiationError, UnknownOfferError,
        UnknownParticipantError; after NegotiationError the same offer may be answered again."""

    async def watch(self, participant_id: str, sdp: str) -> str:
        """Answer the participant's own receive-only offer on the subscribe transport, once, in place of `Offer`s to
        it. Its m-lines carry what the room has, now and later, one codec each while a publisher is known.
        Raises NegotiationError, UnknownParticipantError."""

    async def refresh_ice(self, participant_id: str, transport: Transport) -> str:
        """Fresh ICE credentials for a client that cannot be sent a new offer: an SDP fragment (RFC 8840) for it.
        The old pair lives until the new one is nominated. Raises UnknownParticipantError."""

    async def restart(self, participant_id: str, transport: Transport) -> None:
        """Fresh ICE credentials for the subscribe transport by a new `Offer`; the old pair lives until a
        new one is nominated. For "publish" the client sends a new publish offer; this call then only checks
        the id."""

    async def set_may_publish(self, participant_id: str, may_publish: bool) -> None:
        """Grant or take the right to publish; taking it closes the publish transport at once."""

    async def set_muted(self, participant_id: str, source: Source, muted: bool) -> None:
        """Take what the participant publishes from this source off the air at once, or let it pass again. Unlike
        `set_may_publish` it leaves the transport as it is."""

    async def set_view(self, participant_id: str, sizes: dict[str, tuple[int, int]]) -> None:
        """How large the participant shows what it receives: by mid of its `Offer`, width and height in device pixels,
        (0, 0) where it does not show it. A mid that is not named is shown as large as it comes; unknown mids are
        ignored. Raises UnknownParticipantError."""

    async def open_gate(self, participant_id: str, allow_ms: int | None) -> None:
        """Let media pass for `allow_ms` from the first forwarded packet (None: until closed), and ask the
        publishers for keyframes. Opening an open gate replaces its allowance, counted from the same first
        packet: that is how time is added."""

    async def close_gate(self, participant_id: str) -> GateReport:
        """Stop forwarding at once; tells what had passed. On a closed gate: an empty report."""

    async def set_lease(self, until_ms: int) -> None:
        """Nothing at all is forwarded at or after `until_ms`."""

    async def liveness(self) -> dict[str, Liveness]:
        """Last authenticated packets of every participant."""


@dataclass(frozen=True, slots=True)
class TransportStats:
    """Encrypted bytes and packets on one transport since it was opened."""

    packets_in: int = 0
    bytes_in: int = 0
    packets_out: int = 0
    bytes_out: int = 0


@dataclass(frozen=True, slots=True)
class MediaStats:
    """For /metrics: per participant and transport, and datagrams dropped before any peer saw them."""

    participants: dict[str, dict[Transport, TransportStats]]
    dropped: int


class Participant:
    """One identity in a room: its gate, and its transports while they live."""

    def __init__(
        self,
        room_id: str,
        participant_id: str,
        options: RoomOptions,
        gate: Gate | None,
        *,
        may_publish: bool,
    ) -> None:
        self.room_id = room_id
        self.participant_id = participant_id
        self.options = options
        self.gate = gate
        self.may_publish = may_publish
        self.muted: set[Source] = set()
        self.publisher: Publisher | None = None
        self.subscriber: Subscriber | None = None

    @property
    def is_heard(self) -> bool:
        """Whether its microphone may be passed on at all."""
        return "microphone" not in self.muted and (self.gate is None or self.gate.is_open)

    def microphones(self) -> list[Publication]:
        publications = () if self.publisher is None else self.publisher.publications.values()
        return [item for item in publications if item.info.source == "microphone"]

    def peers(self) -> Iterator[tuple[Transport, Peer]]:
        if self.publisher is not None:
            yield "publish", self.publisher.peer
        if self.subscriber is not None:
            yield "subscribe", self.subscriber.peer


class MediaServer:
    """The MediaDoor of this process. `now_ns` is CLOCK_BOOTTIME in production; `on_event` is called from the
    event loop, in order, never from within a call to this door."""

    def __init__(
        self,
        config: MediaConfig,
        *,
        now_ns: Callable[[], int],
        random_bytes: Callable[[int], bytes],
        on_event: EventSink,
    ) -> None:
        self._config = config
        self._now_ns = now_ns
        self._on_event = on_event
        self._lease = Lease()
        self._forwarder, native = open_plane(config.plane, self._lease, now_ns, random_bytes)
        self._ice = IceServer(now_ns, random_bytes, native)
        self._tcp = TcpServer(self._ice, now_ns)
        self._context = Context(
            config, self._forwarder, self._ice, now_ns=now_ns, random_bytes=random_bytes, emit=self._emit
        )
        self._participants: dict[str, Participant] = {}
        self._rooms: dict[str, dict[str, Participant]] = {}
        self._audio: dict[str, RoomAudio] = {}
        self._turn = 0
        self._listened_ns = 0
        self._publishers: set[Publisher] = set()
        self._closings: set[asyncio.Task[None]] = set()
        self._timer: asyncio.TimerHandle | None = None
        self._silence_checked_ns = 0

    @property
    def port(self) -> int:
        """The UDP and TCP port in use (of interest when the configured one was 0)."""
        return self._ice.port

    def stats(self) -> MediaStats:
        return MediaStats(
            {
                participant.participant_id: {name: _stats(peer) for name, peer in participant.peers()}
                for participant in self._participants.values()
            },
            self._ice.dropped + self._tcp.dropped,
        )

    # --- life ---

    async def start(self) -> None:
        await open_ports(self._ice, self._tcp, self._config.addresses, self._config.port)
        self._timer = asyncio.get_running_loop().call_later(TICK_S, self._tick)

    async def close(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        for participant_id in list(self._participants):
            self._drop(participant_id)
        await _all_done(self._closings)
        self._tcp.close()
        self._ice.close()

    def _tick(self) -> None:
        now_ns = self._now_ns()
        self._timer = asyncio.get_running_loop().call_later(TICK_S, self._tick)
        for publisher in self._publishers:
            publisher.tick(now_ns)
        for participant in islice(self._participants.values(), self._turn, None, TURNS):
            if participant.subscriber is not None:
                participant.subscriber.tick(now_ns)
        self._turn = (self._turn + 1) % TURNS
        # A clockwork that is a little early is on time.
        if now_ns - self._listened_ns >= INTERVAL_NS * 3 // 4:
            self._listened_ns = now_ns
            for room_id in self._rooms:
                self._listen(room_id, now_ns)
        if now_ns - self._silence_checked_ns >= SILENCE_CHECK_INTERVAL_NS:
            self._silence_checked_ns = now_ns
            for participant in self._participants.values():
                for _, peer in participant.peers():
                    peer.check_silence(now_ns)

    def _emit(self, event: MediaEvent) -> None:
        # Later, so that the owner may call the door from its sink, and never within the packet path.
        asyncio.get_running_loop().call_soon(self._on_event, event)

    # --- participants ---

    async def add_participant(
        self,
        room_id: str,
        participant_id: str,
        *,
        metered: bool,
        may_publish: bool,
        options: RoomOptions,
        receives: bool = True,
    ) -> None:
        await self.remove_participant(participant_id)
        self._check_open()
        if len(self._participants) >= self._config.peers_max:
            raise MediaServerFullError("the server has as many participants as it may have")
        gate = Gate(self._lease, self._reporter(participant_id)) if metered else None
        participant = Participant(room_id, participant_id, options, gate, may_publish=may_publish)
        if receives:
            participant.subscriber = Subscriber(participant_id, self._context, gate, self._subscriber_gone)
        self._participants[participant_id] = participant
        self._rooms.setdefault(room_id, {})[participant_id] = participant
        self._update_subscriber(participant)

    def _check_open(self) -> None:
        """A peer opened during or after `close` would never be closed."""
        if self._timer is None:
            raise MediaServerFullError("the media server is not running")

    def _reporter(self, participant_id: str) -> Callable[[int], None]:
        return lambda since_ns: self._emit(Forwarding(participant_id, since_ns // MS))

    async def remove_participant(self, participant_id: str) -> None:
        await _all_done(self._drop(participant_id))

    def _drop(self, participant_id: str) -> list[asyncio.Task[None]]:
        """Stop forwarding now; the tasks that close the transports."""
        participant = self._participants.pop(participant_id, None)
        if participant is None:
            return []
        room = self._rooms[participant.room_id]
        del room[participant_id]
        if not room:
            del self._rooms[participant.room_id]
            self._audio.pop(participant.room_id, None)
        subscriber, publisher = participant.subscriber, participant.publisher
        participant.subscriber = participant.publisher = None
        closing = [self._close_soon(item) for item in (subscriber, publisher) if item is not None]
        if subscriber is not None:
            subscriber.stop()
        if publisher is not None:
            self._forget_publisher(publisher)
            self._update_room(participant.room_id)
        return closing

    def _participant(self, participant_id: str) -> Participant:
        try:
            return self._participants[participant_id]
        except KeyError:
            raise UnknownParticipantError(f"no participant {participant_id}") from None

    def _subscriber_gone(self, subscriber: Subscriber, reason: str) -> None:
        for participant in self._participants.values():
            if participant.subscriber is subscriber:
                participant.subscriber = None
                self._emit(Closed(participant.participant_id, "subscribe", reason))

    def _publisher_gone(self, publisher: Publisher, reason: str) -> None:
        self._forget_publisher(publisher)
        for participant in self._participants.values():
            if participant.publisher is publisher:
                participant.publisher = None
                self._emit(TracksPublished(participant.participant_id))
                self._emit(Closed(participant.participant_id, "publish", reason))
                self._update_room(participant.room_id)

    def _forget_publisher(self, publisher: Publisher) -> None:
        publisher.publications = {}
        self._publishers.discard(publisher)

    # --- who receives what ---

    def _update_room(self, room_id: str) -> None:
        for participant in self._rooms.get(room_id, {}).values():
            self._update_subscriber(participant)

    def _update_subscriber(self, participant: Participant) -> None:
        if participant.subscriber is not None:
            participant.subscriber.want(
                {
                    publication.publication_id: Available(publication, other.gate)
                    for other in self._rooms[participant.room_id].values()
                    if other is not participant and other.publisher is not None
                    for publication in other.publisher.publications.values()
                    if publication.info.source not in other.muted
                }
            )

    # --- who speaks ---

    def _listen(self, room_id: str, now_ns: int) -> None:
        """How loud everybody has been since the last time: tell who speaks, pass on the loudest."""
        heard, microphones = [], []
        for participant in [item for item in self._rooms[room_id].values() if item.publisher is not None]:
            for publication in participant.microphones():
                level = publication.take_audio_level()
                microphones.append(publication)
                if participant.is_heard:
                    key, limited = publication.publication_id, participant.gate is not None
                    heard.append(Heard(key, participant.participant_id, level, limited))
        if not microphones and room_id not in self._audio:
            return
        audio = self._audio.setdefault(room_id, RoomAudio(self._config.audio_streams_max))
        audio.hear(heard, now_ns)
        for publication in microphones:
            publication.set_paused(publication.publication_id in audio.paused)
        speakers = audio.news(now_ns)
        if speakers is not None:
            self._emit(Speakers(room_id, speakers))

    # --- negotiation ---

    async def publish(self, participant_id: str, sdp: str, sources: dict[str, str]) -> str:
        self._check_open()
        participant = self._participant(participant_id)
        if not participant.may_publish:
            raise NotAllowedToPublishError(f"{participant_id} may not publish")
        offer = read_publish_offer(sdp, participant.options.video_codecs)
        former = participant.publisher
        continued = former is not None and former.continues(offer)
        publisher = former if continued else Publisher(participant_id, self._context, self._publisher_gone)
        assert publisher is not None
        try:
            answer = publisher.negotiate(offer, sources)
        except Exception:
            if not continued:
                self._close_soon(publisher)
            raise
        if former is not None and not continued:
            self._forget_publisher(former)
            self._close_soon(former)
        self._publishers.add(publisher)
        participant.publisher = publisher
        tracks = tuple(publication.info for publication in publisher.publications.values())
        self._emit(TracksPublished(participant_id, tracks))
        self._update_room(participant.room_id)
        return answer

    def _close_soon(self, closing: Publisher | Subscriber) -> asyncio.Task[None]:
        """A task of this server's own: a caller who is cancelled meanwhile leaves no half-closed peer."""
        task = asyncio.create_task(closing.close())
        self._closings.add(task)
        task.add_done_callback(self._closings.discard)
        return task

    async def answer(self, participant_id: str, offer_id: int, sdp: str) -> None:
        self._subscriber(participant_id).answer(offer_id, sdp)

    def _subscriber(self, participant_id: str) -> Subscriber:
        subscriber = self._participant(participant_id).subscriber
        if subscriber is None:
            raise UnknownParticipantError(f"the subscribe transport of {participant_id} has ended")
        return subscriber

    async def watch(self, participant_id: str, sdp: str) -> str:
        subscriber = self._subscriber(participant_id)
        return subscriber.watch(read_watch_offer(sdp, self._participant(participant_id).options.video_codecs))

    async def refresh_ice(self, participant_id: str, transport: Transport) -> str:
        if transport == "subscribe":
            return write_ice_fragment(self._subscriber(participant_id).refresh_ice())
        publisher = self._participant(participant_id).publisher
        if publisher is None:
            raise UnknownParticipantError(f"the publish transport of {participant_id} has ended")
        return write_ice_fragment(publisher.refresh_ice())

    async def restart(self, participant_id: str, transport: Transport) -> None:
        self._participant(participant_id)
        if transport == "subscribe":
            self._subscriber(participant_id).restart()

    async def set_may_publish(self, participant_id: str, may_publish: bool) -> None:
        participant = self._participant(participant_id)
        participant.may_publish = may_publish
        publisher = participant.publisher
        if publisher is not None and not may_publish:
            participant.publisher = None
            self._forget_publisher(publisher)
            self._emit(TracksPublished(participant_id))
            self._update_room(participant.room_id)
            await _all_done([self._close_soon(publisher)])

    async def set_muted(self, participant_id: str, source: Source, muted: bool) -> None:
        participant = self._participant(participant_id)
        if (source in participant.muted) != muted:
            participant.muted ^= {source}
            self._update_room(participant.room_id)

    async def set_view(self, participant_id: str, sizes: dict[str, tuple[int, int]]) -> None:
        self._subscriber(participant_id).set_view(sizes)

    # --- gates and lease ---

    async def open_gate(self, participant_id: str, allow_ms: int | None) -> None:
        participant = self._participant(participant_id)
        if participant.gate is None:
            return
        participant.gate.open(allow_ms)
        self._recheck_room(participant.room_id)
        if participant.subscriber is not None:
            participant.subscriber.want_keyframes()
        if participant.publisher is not None:
            for publication in participant.publisher.publications.values():
                publication.want_keyframe()

    async def close_gate(self, participant_id: str) -> GateReport:
        participant = self._participant(participant_id)
        now_ns = self._now_ns()
        if participant.gate is None:
            return GateReport(stopped_ms=now_ns // MS)
        report = participant.gate.close(now_ns)
        self._recheck_room(participant.room_id)
        return report

    async def set_lease(self, until_ms: int) -> None:
        stricter = until_ms * MS < self._lease.until_ns
        self._lease.until_ns = until_ms * MS
        if stricter:
            for room_id in self._rooms:
                self._recheck_room(room_id)

    def _recheck_room(self, room_id: str) -> None:
        for participant in self._rooms[room_id].values():
            if participant.subscriber is not None:
                participant.subscriber.recheck()

    async def liveness(self) -> dict[str, Liveness]:
        return {key: _liveness(participant) for key, participant in self._participants.items()}


async def _all_done(tasks: Collection[asyncio.Task[None]]) -> None:
    """Wait without cancelling them when the waiting is cancelled; an exception in one is raised."""
    if tasks:
        done, _ = await asyncio.wait(tasks)
        for task in done:
            task.result()


def _liveness(participant: Participant) -> Liveness:
    publish = participant.publisher.peer if participant.publisher is not None else None
    subscribe = participant.subscriber.peer if participant.subscriber is not None else None
    return Liveness(
        publish_rtp_ms=_ms(publish.rtp_ns if publish is not None else 0),
        publish_any_ms=_ms(publish.heard_ns if publish is not None else 0),
        subscribe_any_ms=_ms(subscribe.heard_ns if subscribe is not None else 0),
    )


def _ms(time_ns: int) -> int | None:
    return time_ns // MS if time_ns else None


def _stats(peer: Peer) -> TransportStats:
    return TransportStats(
        packets_in=peer.packets_in,
        bytes_in=peer.bytes_in,
        packets_out=peer.packets_out,
        bytes_out=peer.bytes_out,
    )


__all__ = ["EventSink", "MediaDoor", "MediaServer", "MediaStats", "TransportStats"]
