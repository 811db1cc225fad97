"""Encoders and players: WHIP (RFC 9725) and WHEP (draft-ietf-wish-whep) sessions on the rooms.

A session is a participant without a WebSocket. An encoder is a second leg of the host: it keeps the room live by
itself or beside the studio page, which stays the place to moderate. A player is a payer with an ordinary stay, so that
the meter, the gate and the seats hold for it as for a page.
"""

from collections import Counter
from dataclasses import dataclass, replace

from mediaserver import sdp as sdp_text
from mediaserver.errors import MediaError, MediaServerFullError, NegotiationError, UnknownParticipantError
from mediaserver.events import Transport
from mediaserver.negotiation import read_ice_fragment, read_publish_offer, read_watch_offer
from signaling.errors import ApiError
from signaling.ids import RandomBytes, new_id, secret_hash, secret_matches
from signaling.rooms.joining import REFUSALS, RefusedJoinError
from signaling.rooms.room import Participant, Stream
from signaling.rooms.service import Rooms
from signaling.rooms.streamkeys import Kind, StreamKeys

TRANSPORTS: dict[Kind, Transport] = {"whip": "publish", "whep": "subscribe"}


@dataclass(frozen=True, slots=True)
class Begun:
    """A session's id, the entity-tag of its ICE session, and the answer to the offer."""

    session_id: str
    etag: str
    sdp: str


@dataclass(frozen=True, slots=True)
class Restarted:
    """Fresh credentials as an SDP fragment, under a new entity-tag."""

    etag: str
    fragment: str


class Streams:
    """Every session begins in `begin`; it ends as every stay does, in `Rooms`."""

    def __init__(self, rooms: Rooms, keys: StreamKeys, random_bytes: RandomBytes) -> None:
        self._rooms = rooms
        self._keys = keys
        self._random_bytes = random_bytes

    async def authorize(self, kind: Kind, key: str) -> None:
        """Before anything of a stranger's is read. Raises ApiError 401, 402, 403."""
        await self._keys.open(kind, key)

    async def begin(self, kind: Kind, key: str, offer: str) -> Begun:
        """Enter the room and answer the offer; a newer session of the same room or pass replaces the older, which an
        offer that cannot be used leaves alone. Raises ApiError."""
        ufrag = check_offer(kind, offer, self._rooms.options.video_codecs)
        claims = await self._keys.open(kind, key)
        stream = Stream(kind, secret_hash(key), ufrag, new_id("ice", self._random_bytes))
        try:
            participant = await self._rooms.join_stream(claims, stream)
        except RefusedJoinError as refused:
            raise _refused(refused.code) from refused
        try:
            answer = await self._negotiate(participant, kind, offer)
            await self._keys.open(kind, key)  # it may have been taken back meanwhile
        except BaseException:
            self._rooms.end(participant, "media_failed")
            raise
        return Begun(participant.id, stream.etag, answer)

    async def _negotiate(self, participant: Participant, kind: Kind, offer: str) -> str:
        door = self._rooms.door
        try:
            if kind == "whip":
                return await door.publish(participant.id, offer, {})
            return await door.watch(participant.id, offer)
        except NegotiationError as error:
            raise ApiError(422, "unusable_offer", str(error)) from error
        except (UnknownParticipantError, MediaServerFullError) as error:
            raise ApiError(503, "server_full", "there is no room on this server now") from error
        except MediaError as error:
            raise ApiError(409, error.code, str(error)) from error

    def find(self, kind: Kind, session_id: str, key: str) -> Participant:
        """The session that began with this key. Raises ApiError 404 `unknown_session`, 403 `wrong_stream_key`."""
        participant = self._rooms.participants.get(session_id)
        stream = None if participant is None else participant.stream
        if participant is None or stream is None or stream.kind != kind:
            raise ApiError(404, "unknown_session", "this session has ended, or there never was one")
        if not secret_matches(key, stream.key_hash):
            raise ApiError(403, "wrong_stream_key", "this session began with another stream key")
        return participant

    async def patch(self, participant: Participant, fragment: str, if_match: str | None) -> Restarted | None:
        """Trickled candidates (taken and not needed: we are ICE-lite; None) or an ICE restart, told by other
        credentials than before. Raises ApiError 428, 412, 400 `bad_sdp`, 404."""
        stream = participant.stream
        assert stream is not None
        _match(if_match, stream.etag)
        try:
            remote = read_ice_fragment(fragment)
        except NegotiationError as error:
            raise ApiError(400, "bad_sdp", str(error)) from error
        if remote.ufrag in ("", stream.client_ufrag):
            return None
        try:
            text = await self._rooms.door.refresh_ice(participant.id, TRANSPORTS[stream.kind])
        except MediaError as error:
            raise ApiError(404, "unknown_session", "this session is ending") from error
        etag = new_id("ice", self._random_bytes)
        participant.stream = replace(stream, client_ufrag=remote.ufrag, etag=etag)
        return Restarted(etag, text)

    def end(self, participant: Participant) -> None:
        self._rooms.end(participant, "left")

    def end_of_key(self, key_hash: str | None) -> None:
        """A key that was taken back takes its session along."""
        for participant in tuple(self._rooms.participants.values()):
            if participant.stream is not None and participant.stream.key_hash == key_hash:
                self._rooms.end(participant, "left")


def check_offer(kind: Kind, text: str, video_codecs: tuple[str, ...]) -> str:
    """The offer's ice-ufrag. Raises ApiError 400 `bad_sdp` when it cannot be read, 422 `unusable_offer` when this
    room cannot take all of it: a session that works by half would mislead people (RFC 9725 section 4.4.3)."""
    try:
        sdp_text.parse(text)
    except NegotiationError as error:
        raise ApiError(400, "bad_sdp", str(error)) from error
    try:
        if kind == "whep":
            return read_watch_offer(text, video_codecs).transport.ufrag
        offer = read_publish_offer(text, video_codecs)
    except NegotiationError as error:
        raise ApiError(422, "unusable_offer", str(error)) from error
    if not all(media.sending for media in offer.incoming):
        raise ApiError(422, "unusable_offer", "every m-line of an encoder must be sendonly")
    if max(Counter(media.kind for media in offer.incoming).values()) > 1:
        raise ApiError(422, "unusable_offer", "an encoder sends one picture and one sound")
    return offer.transport.ufrag


def _match(if_match: str | None, etag: str) -> None:
    if if_match is None:
        raise ApiError(428, "if_match_required", "send If-Match with the session's entity-tag")
    if if_match.strip() != "*" and f'"{etag}"' not in [part.strip() for part in if_match.split(",")]:
        raise ApiError(412, "other_ice_session", "this entity-tag is of an earlier ICE session")


def _refused(code: str) -> ApiError:
    if code in REFUSALS:
        return ApiError(REFUSALS[code][0], code, REFUSALS[code][1])
    if code in {"shutdown", "run_lost"}:
        return ApiError(503, code, "this server cannot take the session now: try again")
    return ApiError(409, code, "the session was refused")
