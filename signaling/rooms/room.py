"""A room with people in it: who is here, and telling them about each other.

Lives in memory only, on the node that forwards the room; what must outlive it is in the database.
"""

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from mediaserver.events import Offer, Reception
from metering.events import Show
from metering.orders import OrderSnapshot
from signaling.clock import Clock, now_ms, rfc3339
from signaling.rooms import wire
from signaling.rooms.socket import Channel
from signaling.rooms.tokens import Role
from signaling.stores.orders import Funding
from signaling.stores.rooms import Room

TELL_AFTER_S = 0.05  # changes that come together are told together
TELL_RECEPTION_S = 1.0  # in a big room somebody's line changes all the time
CHAT_BURST, CHAT_PER_S = 10.0, 1.0
VIEW_BURST, VIEW_PER_S = 20.0, 4.0


@dataclass(slots=True)
class Allowance:
    """`burst` messages at once, then `per_s`."""

    burst: float
    per_s: float
    tokens: float = 0.0
    at_ms: int | None = None  # when `tokens` was right

    def take(self, at_ms: int) -> bool:
        gained = self.burst if self.at_ms is None else (at_ms - self.at_ms) * self.per_s / 1000
        self.tokens = min(self.burst, self.tokens + gained)
        self.at_ms = at_ms
        if self.tokens < 1:
            return False
        self.tokens -= 1
        return True


@dataclass(frozen=True, slots=True)
class Stream:
    """What an encoder (WHIP) or a player (WHEP) is known by; it has no WebSocket. `etag` names its ICE session, which
    the client began with `client_ufrag`."""

    kind: Literal["whip", "whep"]
    key_hash: str
    client_ufrag: str
    etag: str


@dataclass(slots=True, eq=False)
class Participant:
    """One identity in a room. `channel` is None between a lost WebSocket and its `resume`, and for a `stream`."""

    id: str
    role: Role
    name: str
    room: "LiveRoom"
    may_publish: bool
    resume_key: str
    joined_ms: int
    pass_id: str | None = None
    granted_ms: int | None = None
    funding: Funding = "payment"
    channel: Channel | None = None
    detached_ms: int | None = None
    media: wire.MediaFlags = field(default_factory=wire.MediaFlags)
    muted: set[wire.Muteable] = field(default_factory=set)
    show: Show | None = None
    paid: dict[str, Any] | None = None
    refundable: tuple[OrderSnapshot, ...] = ()  # whose unused part goes back when this stay ends
    offer: Offer | None = None
    has_published: bool = False
    stream: Stream | None = None
    ended: bool = False
    reception: Reception | None = None
    may_chat: Allowance = field(default_factory=lambda: Allowance(CHAT_BURST, CHAT_PER_S))
    may_view: Allowance = field(default_factory=lambda: Allowance(VIEW_BURST, VIEW_PER_S))

    def send(self, message: wire.ServerMessage) -> None:
        if self.channel is not None:
            self.channel.send(message)

    def refuse(self, code: str, message: str, re: str | None) -> None:
        self.send(wire.Error(code, message, re))


class LiveRoom:
    """`row` is the room as last read; `live` whether its host's packets arrive."""

    def __init__(self, row: Room, clock: Clock) -> None:
        self.row = row
        self.live = False
        self.host_heard_ms: int | None = None  # the last packet of its host's camera or microphone
        self.closing = False
        self.participants: dict[str, Participant] = {}
        self.speakers: tuple[str, ...] = ()
        self._clock = clock
        self._tell: asyncio.TimerHandle | None = None
        self._tell_all = False

    @property
    def id(self) -> str:
        return self.row.id

    @property
    def host(self) -> Participant | None:
        """The host at the studio page, who moderates."""
        return next((p for p in self.hosts if p.stream is None), None)

    @property
    def encoder(self) -> Participant | None:
        """The host's encoder: a second leg beside the studio page, or alone."""
        return next((p for p in self.hosts if p.stream is not None), None)

    @property
    def hosts(self) -> tuple[Participant, ...]:
        return tuple(p for p in self.participants.values() if p.role == "host")

    @property
    def payers(self) -> Iterator[Participant]:
        return (p for p in tuple(self.participants.values()) if p.role == "payer")

    def set_locked(self, locked: bool) -> None:
        self.row = replace(self.row, locked=locked)

    def add(self, participant: Participant) -> None:
        self.participants[participant.id] = participant
        self.changed()

    def remove(self, participant: Participant) -> None:
        self.participants.pop(participant.id, None)
        self.changed()

    def close(self) -> None:
        if self._tell is not None:
            self._tell.cancel()

    # --- telling ------------------------------------------------------------------------------------------

    def broadcast(self, message: wire.ServerMessage, *, but: Participant | None = None) -> None:
        text = wire.encode(message)
        for participant in tuple(self.participants.values()):
            if participant is not but and participant.channel is not None:
                participant.channel.send_text(text)

    def notice(self, kind: wire.NoticeKind, *, but: Participant | None = None, **about: Any) -> None:
        self.broadcast(self.make_notice(kind, **about), but=but)

    def make_notice(self, kind: wire.NoticeKind, **about: Any) -> wire.Notice:
        return wire.Notice(kind, rfc3339(self._clock.wall_s()), **about)

    def changed(self, *, host_only: bool = False, within_s: float = TELL_AFTER_S) -> None:
        """The list of participants is sent soon, once for all changes until then."""
        self._tell_all = self._tell_all or not host_only
        loop = asyncio.get_running_loop()
        if self._tell is not None and self._tell.when() > loop.time() + within_s:
            self._tell.cancel()
            self._tell = None
        if self._tell is None:
            self._tell = loop.call_later(within_s, self._send_lists)

    def _send_lists(self) -> None:
        to_all, self._tell_all, self._tell = self._tell_all, False, None
        for participant in tuple(self.participants.values()):
            if to_all or participant.role == "host":
                participant.send(self.list_for(participant))

    def list_for(self, reader: Participant) -> wire.Participants:
        for_host = reader.role == "host"
        return wire.Participants([self._info(p, for_host=for_host) for p in self.participants.values()])

    def _info(self, participant: Participant, *, for_host: bool) -> wire.ParticipantInfo:
        info = wire.ParticipantInfo(
            participant_id=participant.id,
            role=participant.role,
            name=participant.name,
            publish=participant.may_publish,
            media=participant.media,
            via=None if participant.stream is None else participant.stream.kind,
        )
        if not for_host or participant.role == "host":
            return info
        reception = participant.reception
        return replace(
            info,
            meter=self.meter_info(participant.show, participant.granted_ms),
            paid=participant.paid,
            reception=None if reception is None else reception.state,
        )

    def tell_reception(self, participant: Participant) -> None:
        """How well it receives: to itself at once, to the host with the list."""
        told = participant.reception
        if told is not None:
            participant.send(wire.Reception(told.state, told.estimate_bps))
            self.changed(host_only=True, within_s=TELL_RECEPTION_S)

    def tell_speakers(self, participant_ids: tuple[str, ...]) -> None:
        self.speakers = participant_ids
        self.broadcast(wire.Speakers(participant_ids))

    # --- the meter as it is told --------------------------------------------------------------------------

    def meter_info(self, show: Show | None, granted_ms: int | None) -> wire.MeterInfo | None:
        """`granted_ms`: of the pass, from which follows what was used of it (None: unlimited)."""
        if show is None:
            return None
        wall_s = self._clock.wall_s()
        ends_at = None
        remaining_ms = show.remaining_ms
        if show.ends_at_ms is not None:
            remaining_ms = max(0, show.ends_at_ms - now_ms(self._clock))
            ends_at = rfc3339(wall_s + remaining_ms / 1000)
        used_ms = None
        if granted_ms is not None and remaining_ms is not None:
            used_ms = max(0, granted_ms - remaining_ms)
        return wire.MeterInfo(show.state, show.reason, remaining_ms, used_ms, ends_at, rfc3339(wall_s))

    def meter_message(self, show: Show, granted_ms: int | None) -> wire.Meter:
        info = self.meter_info(show, granted_ms)
        assert info is not None
        return wire.Meter(
            info.state, info.reason, info.remaining_ms, info.used_ms, info.ends_at, info.server_time
        )
