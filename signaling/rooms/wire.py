"""The messages of PROTOCOL.md: one frozen dataclass each, a parser for what clients send, JSON for what we send.

A field that PROTOCOL.md marks with `?` is left out when it is None (`OPTIONAL`); every other None is `null`.
"""

import functools
import json
from dataclasses import dataclass, field, fields
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field, StringConstraints, TypeAdapter, ValidationError

from mediaserver.events import ReceptionState, Source, Transport

FRAME_BYTES_MAX = 64 * 1024
SOURCES_MAX = 8
VIEWS_MAX = 120
PIXELS_MAX = 16_384

Id = Annotated[str, StringConstraints(min_length=1, max_length=64)]
Secret = Annotated[str, StringConstraints(min_length=1, max_length=4096)]
Sdp = Annotated[str, StringConstraints(min_length=1, max_length=60_000)]
ChatText = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=2000)]
Mid = Annotated[str, StringConstraints(min_length=1, max_length=16)]
Pixels = Annotated[int, Field(ge=0, le=PIXELS_MAX)]
Muteable = Literal["microphone", "camera", "screen"]


class WireError(Exception):
    """A frame that is not a message we take. `re` is the type it named, None when there was none to read."""

    def __init__(self, code: str, message: str, re: str | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.re = re


# --- client to server -------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Join:
    type: ClassVar[str] = "join"
    token: Secret


@dataclass(frozen=True, slots=True)
class Resume:
    type: ClassVar[str] = "resume"
    key: Secret


@dataclass(frozen=True, slots=True)
class Publish:
    type: ClassVar[str] = "publish"
    sdp: Sdp
    sources: Annotated[dict[Mid, Source], Field(max_length=SOURCES_MAX)] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Answer:
    type: ClassVar[str] = "answer"
    offer_id: int
    sdp: Sdp


@dataclass(frozen=True, slots=True)
class Restart:
    type: ClassVar[str] = "restart"
    transport: Transport


@dataclass(frozen=True, slots=True)
class Media:
    type: ClassVar[str] = "media"
    microphone: bool = False
    camera: bool = False
    screen: bool = False


@dataclass(frozen=True, slots=True)
class View:
    type: ClassVar[str] = "view"
    sizes: Annotated[dict[Mid, tuple[Pixels, Pixels]], Field(max_length=VIEWS_MAX)]


@dataclass(frozen=True, slots=True)
class Chat:
    type: ClassVar[str] = "chat"
    text: ChatText


@dataclass(frozen=True, slots=True)
class Wait:
    type: ClassVar[str] = "wait"
    wait: bool


@dataclass(frozen=True, slots=True)
class Leave:
    type: ClassVar[str] = "leave"


@dataclass(frozen=True, slots=True)
class Ping:
    type: ClassVar[str] = "ping"
    n: int = 0


@dataclass(frozen=True, slots=True)
class Mute:
    type: ClassVar[str] = "mute"
    participant_id: Id
    source: Muteable


@dataclass(frozen=True, slots=True)
class Grant:
    type: ClassVar[str] = "grant"
    participant_id: Id
    publish: bool


@dataclass(frozen=True, slots=True)
class Kick:
    type: ClassVar[str] = "kick"
    participant_id: Id
    refund: bool = True


@dataclass(frozen=True, slots=True)
class Lock:
    type: ClassVar[str] = "lock"
    locked: bool


@dataclass(frozen=True, slots=True)
class CloseRoom:
    type: ClassVar[str] = "close_room"
    refund: bool = True


ClientMessage = (
    Join
    | Resume
    | Publish
    | Answer
    | Restart
    | Media
    | View
    | Chat
    | Wait
    | Leave
    | Ping
    | Mute
    | Grant
    | Kick
    | Lock
    | CloseRoom
)
CLIENT_MESSAGES: tuple[type[ClientMessage], ...] = (
    Join,
    Resume,
    Publish,
    Answer,
    Restart,
    Media,
    View,
    Chat,
    Wait,
    Leave,
    Ping,
    Mute,
    Grant,
    Kick,
    Lock,
    CloseRoom,
)


@functools.cache
def _adapters() -> dict[str, TypeAdapter[Any]]:
    return {message.type: TypeAdapter(message) for message in CLIENT_MESSAGES}


def parse(text: str) -> ClientMessage:
    """The message in one text frame. Raises WireError: `too_large`, `bad_json`, `bad_message`, `unknown_type`."""
    if len(text.encode(errors="surrogatepass")) > FRAME_BYTES_MAX:
        raise WireError("too_large", f"a message may have up to {FRAME_BYTES_MAX} bytes")
    obj = _decode(text)
    kind = obj.get("type")
    if not isinstance(kind, str):
        raise WireError("bad_message", "a message is an object with a type")
    adapter = _adapters().get(kind)
    if adapter is None:
        raise WireError("unknown_type", "there is no such message", kind[:64])
    try:
        # From JSON, since in strict mode only JSON objects become dataclasses; `type` is one of the ignored fields.
        return adapter.validate_json(text, strict=True)  # type: ignore[no-any-return]
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False, include_context=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        raise WireError("bad_message", f"{where}: {first['msg']}"[:200], kind) from None


def _decode(text: str) -> dict[str, Any]:
    try:
        obj = json.loads(text, parse_constant=_no_constant)
        text.encode()  # lone surrogates cannot be sent on
    except (ValueError, RecursionError):
        raise WireError("bad_json", "a message is one JSON object") from None
    if not isinstance(obj, dict) or not _is_text(obj):
        raise WireError("bad_json", "a message is one JSON object")
    return obj


def _no_constant(name: str) -> None:
    raise ValueError(name)


def _is_text(obj: object) -> bool:
    """Whether every string can be sent on as UTF-8: JSON escapes may spell halves of characters."""
    try:
        json.dumps(obj, ensure_ascii=False).encode()
    except (UnicodeEncodeError, RecursionError):
        return False
    return True


# --- server to client -------------------------------------------------------------------------------------

MoneyJson = dict[str, Any]
# Which fields of which message are left out when they are None.
OPTIONAL = {
    "Joined": {"resumed"},
    "ParticipantInfo": {"via", "meter", "paid", "reception"},
    "Notice": {
        "name",
        "participant_id",
        "amount",
        "seconds",
        "remaining_ms",
        "balance",
        "failure",
        "client_secret",
        "action_url",
    },
    "Ended": {"refund"},
}


@dataclass(frozen=True, slots=True)
class Grants:
    publish: bool
    moderate: bool


@dataclass(frozen=True, slots=True)
class RoomInfo:
    slug: str
    title: str
    description: str
    privacy: str
    locked: bool
    mode: str
    currency: str
    tariff: dict[str, Any]
    video_codecs: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class MeterInfo:
    """The meter as it stands, inside `joined` and the host's `participants`."""

    state: str
    reason: str | None
    remaining_ms: int | None
    used_ms: int | None
    ends_at: str | None
    server_time: str


@dataclass(frozen=True, slots=True)
class Joined:
    type: ClassVar[str] = "joined"
    participant_id: str
    role: str
    resume_key: str
    grants: Grants
    room: RoomInfo
    ice_servers: list[dict[str, Any]]
    meter: MeterInfo | None
    resumed: bool | None = None


@dataclass(frozen=True, slots=True)
class Published:
    type: ClassVar[str] = "published"
    sdp: str


@dataclass(frozen=True, slots=True)
class OfferTrack:
    mid: str
    kind: str
    participant_id: str
    source: str


@dataclass(frozen=True, slots=True)
class Offer:
    type: ClassVar[str] = "offer"
    offer_id: int
    sdp: str
    tracks: list[OfferTrack]


@dataclass(frozen=True, slots=True)
class Meter:
    type: ClassVar[str] = "meter"
    state: str
    reason: str | None
    remaining_ms: int | None
    used_ms: int | None
    ends_at: str | None
    server_time: str


@dataclass(frozen=True, slots=True)
class MediaFlags:
    microphone: bool = False
    camera: bool = False
    screen: bool = False


@dataclass(frozen=True, slots=True)
class ParticipantInfo:
    participant_id: str
    role: str
    name: str
    publish: bool
    media: MediaFlags
    via: str | None = None  # whip | whep
    meter: MeterInfo | None = None
    paid: MoneyJson | None = None
    reception: ReceptionState | None = None


@dataclass(frozen=True, slots=True)
class Participants:
    type: ClassVar[str] = "participants"
    participants: list[ParticipantInfo]


@dataclass(frozen=True, slots=True)
class Reception:
    type: ClassVar[str] = "reception"
    state: ReceptionState
    estimate_bps: int | None


@dataclass(frozen=True, slots=True)
class Speakers:
    type: ClassVar[str] = "speakers"
    participant_ids: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Earnings:
    type: ClassVar[str] = "earnings"
    gross: MoneyJson
    refunded: MoneyJson
    payers: int
    net: MoneyJson


@dataclass(frozen=True, slots=True)
class ChatLine:
    type: ClassVar[str] = "chat"
    participant_id: str
    name: str
    text: str
    sent_at: str


NoticeKind = Literal[
    "paid",
    "joined",
    "left",
    "warning",
    "extended",
    "granted",
    "muted",
    "locked",
    "unlocked",
    "host_away",
    "host_back",
    "balance_low",
    "topped_up",
    "funding_failed",
    "funded",
    "action_needed",
    "lapsing",
]


@dataclass(frozen=True, slots=True)
class Notice:
    type: ClassVar[str] = "notice"
    kind: NoticeKind
    sent_at: str
    name: str | None = None
    participant_id: str | None = None
    amount: MoneyJson | None = None
    seconds: int | None = None
    remaining_ms: int | None = None
    balance: MoneyJson | None = None
    failure: str | None = None
    client_secret: str | None = field(default=None, repr=False)
    action_url: str | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class Pong:
    type: ClassVar[str] = "pong"
    n: int
    server_time: str


@dataclass(frozen=True, slots=True)
class Error:
    type: ClassVar[str] = "error"
    code: str
    message: str
    re: str | None


@dataclass(frozen=True, slots=True)
class Ended:
    type: ClassVar[str] = "ended"
    code: str
    used_ms: int | None
    charged: MoneyJson | None
    refund: MoneyJson | None = None


ServerMessage = (
    Joined
    | Published
    | Offer
    | Meter
    | Participants
    | Reception
    | Speakers
    | Earnings
    | ChatLine
    | Notice
    | Pong
    | Error
    | Ended
)
SERVER_MESSAGES: tuple[type[ServerMessage], ...] = (
    Joined,
    Published,
    Offer,
    Meter,
    Participants,
    Reception,
    Speakers,
    Earnings,
    ChatLine,
    Notice,
    Pong,
    Error,
    Ended,
)


def encode(message: ServerMessage) -> str:
    return json.dumps({"type": message.type, **_plain(message)}, ensure_ascii=False, separators=(",", ":"))


def _plain(value: Any) -> Any:
    if isinstance(value, list):
        return [_plain(item) for item in value]
    if not hasattr(value, "__dataclass_fields__"):
        return value
    optional = OPTIONAL.get(type(value).__name__, set())
    named = ((f.name, getattr(value, f.name)) for f in fields(value))
    return {name: _plain(inner) for name, inner in named if inner is not None or name not in optional}
