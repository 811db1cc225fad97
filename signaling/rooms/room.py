"""A room with people in it: who is here, and telling them about each other.

Lives in memory only, on the node that forwards the room; what must outlive it is in the database.
"""

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any

from mediaserver.events import Offer
from metering.events import Show
from metering.orders import OrderSnapshot
from signaling.clock import Clock, now_ms, rfc3339
from signaling.rooms import wire
from signaling.rooms.socket import Channel
from signaling.rooms.tokens import Role
from signaling.stores.rooms import Room

TELL_AFTER_S = 0.05  # changes that come together are told together


@dataclass(slots=True, eq=False)
class Participant:
    """One identity in a room. `channel` is None between a lost WebSocket and its `resume`."""

    id: str
    role: Role
    name: str
    room: "LiveRoom"
    may_publish: bool
    resume_key: str
    joined_ms: int
    pass_id: str | None = None
    granted_ms: int | None = None
    channel: Channel | None = None
    detached_ms: int | None = None
    media: wire.MediaFlags = field(default_factory=wire.MediaFlags)
    muted: set[wire.Muteable] = field(default_factory=set)
    show: Show | None = None
    paid: dict[str, Any] | None = None
    refundable: tuple[OrderSnapshot, ...] = ()  # whose unused part goes back when this stay ends
    offer: Offer | None = None
    has_published: bool = False
    ended: bool = False
    chat_tokens: float = 10.0
    chat_at_ms: int = 0

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
        self._clock = clock
        self._tell: asyncio.TimerHandle | None = None
        self._tell_all = False

    @property
    def id(self) -> str:
        return self.row.id

    @property
    def host(self) -> Participant | None:
        return next((p for p in self.participants.values() if p.role == "host"), None)

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
        for participant in tuple(self.participants.values()):
            if participant is not but:
                participant.send(message)

    def notice(self, kind: wire.NoticeKind, *, but: Participant | None = None, **about: Any) -> None:
        self.broadcast(self.make_notice(kind, **about), but=but)

    def make_notice(self, kind: wire.NoticeKind, **about: Any) -> wire.Notice:
        return wire.Notice(kind, rfc3339(self._clock.wall_s()), **about)

    def changed(self, *, host_only: bool = False) -> None:
        """The list of participants is sent soon, once for all changes until then."""
        self._tell_all = self._tell_all or not host_only
        if self._tell is None:
            self._tell = asyncio.get_running_loop().call_later(TELL_AFTER_S, self._send_lists)

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
        )
        if not for_host or participant.role == "host":
            return info
        return replace(info, meter=self.meter_info(participant.show), paid=participant.paid)

    # --- the meter as it is told --------------------------------------------------------------------------

    def meter_info(self, show: Show | None) -> wire.MeterInfo | None:
        if show is None:
            return None
        wall_s = self._clock.wall_s()
        ends_at = None
        remaining_ms = show.remaining_ms
        if show.ends_at_ms is not None:
            remaining_ms = max(0, show.ends_at_ms - now_ms(self._clock))
            ends_at = rfc3339(wall_s + remaining_ms / 1000)
        return wire.MeterInfo(show.state, show.reason, remaining_ms, ends_at, rfc3339(wall_s))

    def meter_message(self, show: Show) -> wire.Meter:
        info = self.meter_info(show)
        assert info is not None
        return wire.Meter(info.state, info.reason, info.remaining_ms, info.ends_at, info.server_time)
