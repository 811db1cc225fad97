"""What the media server tells its owner, and the plain data it is asked with.

Everything here could cross a process boundary: strings, integers, tuples. Times are `*_ms` on the clock
that was handed to the media server (CLOCK_BOOTTIME in production), never wall-clock time.
"""

from dataclasses import dataclass, field
from typing import Literal

Transport = Literal["publish", "subscribe"]
Kind = Literal["audio", "video"]
Source = Literal["microphone", "camera", "screen", "screen_audio"]
PlaneChoice = Literal["auto", "native", "python"]
ReceptionState = Literal["good", "reduced", "poor", "audio_only"]

WORKER_LOST = "worker_lost"  # a reason of Closed


@dataclass(frozen=True, slots=True)
class MediaConfig:
    """Where media is received. `addresses` are the local addresses to bind (one socket each); `advertised`
    replaces them in candidates when a router translates addresses (`MEDIA_ADDRESS`). `plane`: what forwards
    packets; "native" is the compiled one, "auto" the native one where it was compiled, else Python.
    `audio_streams_max`: of how many metered participants' microphones at a time the loudest are passed on in a
    room (0: all); those of the others always are."""

    port: int
    addresses: tuple[str, ...]
    advertised: tuple[str, ...] = ()
    join_timeout_s: float = 15.0
    peers_max: int = 2000
    streams_per_peer_max: int = 8
    plane: PlaneChoice = "auto"
    audio_streams_max: int = 4


@dataclass(frozen=True, slots=True)
class RoomOptions:
    """`video_codecs` in order of preference; a publisher may use any of them (VP8, H264, VP9, AV1)."""

    video_codecs: tuple[str, ...] = ("VP8", "H264")


@dataclass(frozen=True, slots=True)
class TrackInfo:
    """One m-line of an offer or of a publisher: whose it is and what it shows. `muted` is not known here."""

    mid: str
    kind: Kind
    participant_id: str
    source: Source


@dataclass(frozen=True, slots=True)
class Liveness:
    """Times of the last authenticated packets of one participant, None before the first.

    `publish_rtp_ms`: RTP on the publishing transport (the host's leg). `subscribe_any_ms`: SRTP, SRTCP or
    STUN with integrity on the receiving transport (a payer's leg). `publish_any_ms`: likewise, publishing.
    """

    publish_rtp_ms: int | None = None
    publish_any_ms: int | None = None
    subscribe_any_ms: int | None = None


@dataclass(frozen=True, slots=True)
class GateReport:
    """What a gate let through since it was last opened: first and last forwarded packet to or from the
    participant, `stopped_ms` when the gate stopped forwarding (its limit, the lease, or the closing)."""

    stopped_ms: int
    first_forwarded_ms: int | None = None
    last_forwarded_ms: int | None = None


@dataclass(frozen=True, slots=True)
class Connected:
    """DTLS is up on this transport."""

    participant_id: str
    transport: Transport
    at_ms: int


@dataclass(frozen=True, slots=True)
class Closed:
    """A transport ended by itself: `join_timeout`, `dtls_failed`, `remote_closed`, `silent`; or with the
    worker process that carried it: `worker_lost`."""

    participant_id: str
    transport: Transport
    reason: str


@dataclass(frozen=True, slots=True)
class Offer:
    """The server's offer for the subscribe transport; the next one comes after this one was answered."""

    participant_id: str
    offer_id: int
    sdp: str
    tracks: tuple[TrackInfo, ...]


@dataclass(frozen=True, slots=True)
class TracksPublished:
    """What a participant publishes now (after its `publish` was answered)."""

    participant_id: str
    tracks: tuple[TrackInfo, ...] = field(default=())


@dataclass(frozen=True, slots=True)
class Forwarding:
    """The first packet passed to or from a metered participant since its gate was opened."""

    participant_id: str
    since_ms: int


@dataclass(frozen=True, slots=True)
class Reception:
    """How well a participant receives, told when it changes and at most once a second. `good`: every picture in the
    size asked for; `reduced`: a smaller layer, because more does not fit; `poor`: much is lost even so;
    `audio_only`: no picture fits and the sound goes on alone. `estimate_bps`: what its line seems to carry."""

    participant_id: str
    state: ReceptionState
    estimate_bps: int | None = None


@dataclass(frozen=True, slots=True)
class Speakers:
    """Who speaks in a room now, the loudest first; told when it changes, at most four times a second. Who is muted or
    behind a closed gate, or whose client does not tell how loud it is, is never named."""

    room_id: str
    participant_ids: tuple[str, ...] = field(default=())


MediaEvent = Connected | Closed | Offer | TracksPublished | Forwarding | Reception | Speakers
