"""The media server's one door.

Rules of the gate. A *metered* participant (a payer) has a gate, closed at first. A packet from participant A
to participant B passes only while both gates are open, now < both `until`, and now < the lease. An unmetered
participant (a host) is bound by the lease alone. A gate opened with `allow_ms` runs from the first packet
that passes it; that moment is reported once as `Forwarding`. All of it is checked on every send.
"""

from collections.abc import Callable
from typing import Protocol

from mediaserver.events import GateReport, Liveness, MediaEvent, RoomOptions, Transport

EventSink = Callable[[MediaEvent], None]


class MediaDoor(Protocol):
    """What signaling may ask. Async throughout, with plain data, so that it can live in another process."""

    async def start(self) -> None:
        """Bind the sockets. Raises PortInUseError."""

    async def close(self) -> None:
        """Close every peer (DTLS close_notify) and the sockets. Safe to call twice."""

    async def add_participant(
        self, room_id: str, participant_id: str, *, metered: bool, may_publish: bool, options: RoomOptions
    ) -> None:
        """Enter a participant into a room (made on first use) and start its subscribe transport: an `Offer`
        event follows, even when there is nothing to receive yet. Raises MediaServerFullError."""

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

    async def restart(self, participant_id: str, transport: Transport) -> None:
        """Fresh ICE credentials for the subscribe transport by a new `Offer`; the old pair lives until a
        new one is nominated. For "publish" the client sends a new publish offer; this call then only checks
        the id."""

    async def set_may_publish(self, participant_id: str, may_publish: bool) -> None:
        """Grant or take the right to publish; taking it closes the publish transport at once."""

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


__all__ = ["EventSink", "MediaDoor"]
