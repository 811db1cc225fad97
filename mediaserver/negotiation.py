"""What to answer to the offer of a publisher or of a viewer, and what to offer to a subscriber. Pure: text and data
in, text and data out.

Every description that cannot be used raises NegotiationError. Client candidates are ignored: an ICE-lite
server learns addresses from the checks themselves, and would otherwise send where a client tells it to.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from mediaserver import sdp as sdp_text
from mediaserver.errors import NegotiationError
from mediaserver.events import Kind
from mediaserver.sdp import Media, Sdp

Setup = Literal["actpass", "active", "passive"]

MID_URI = "urn:ietf:params:rtp-hdrext:sdes:mid"
TRANSPORT_CC_URI = "http://www.ietf.org/id/draft-holmer-rmcat-transport-wide-cc-extensions-01"
AUDIO_LEVEL_URI = "urn:ietf:params:rtp-hdrext:ssrc-audio-level"
SEND_TIME_URI = "http://www.webrtc.org/experiments/rtp-hdrext/abs-send-time"
RID_URI = "urn:ietf:params:rtp-hdrext:sdes:rtp-stream-id"
REPAIRED_RID_URI = "urn:ietf:params:rtp-hdrext:sdes:repaired-rtp-stream-id"
# https://aomediacodec.github.io/av1-rtp-spec/ appendix A
DESCRIPTOR_URI = "https://aomediacodec.github.io/av1-rtp-spec/#dependency-descriptor-rtp-header-extension"
_EXTENSIONS: dict[str, tuple[str, ...]] = {
    "audio": (MID_URI, TRANSPORT_CC_URI, AUDIO_LEVEL_URI),
    "video": (MID_URI, TRANSPORT_CC_URI, RID_URI, REPAIRED_RID_URI),
}
# What viewers are told of each packet. Our own offers have one number each, for ever, so that a pooled m-line may
# change its codec; where the viewer offers, the numbers are its own.
OFFERED_EXTENSIONS: dict[str, dict[str, int]] = {
    "audio": {MID_URI: 1, SEND_TIME_URI: 2, TRANSPORT_CC_URI: 3, AUDIO_LEVEL_URI: 4},
    "video": {MID_URI: 1, SEND_TIME_URI: 2, TRANSPORT_CC_URI: 3, DESCRIPTOR_URI: 5},
}
ENCODINGS_MAX = 3  # of one picture
_EXTENSION_IDS_MAX = 14  # one-byte header extensions, RFC 8285 section 4.2
_HASHES = ("sha-256", "sha-384", "sha-512")
_RID = re.compile(r"[A-Za-z0-9]{1,16}")
_FINGERPRINT = re.compile(r"(?:[0-9A-Fa-f]{2}:){31,63}[0-9A-Fa-f]{2}")


@dataclass(frozen=True, slots=True)
class Codec:
    """One codec as negotiated. `rtx_payload_type` is None where retransmission was not agreed (RFC 4588)."""

    name: str
    payload_type: int
    clock_rate_hz: int
    channels: int = 1
    parameters: str = ""
    rtx_payload_type: int | None = None

    @property
    def rtpmap(self) -> str:
        channels = f"/{self.channels}" if self.channels > 1 else ""
        return f"{self.name}/{self.clock_rate_hz}{channels}"


OFFERED_CODECS: dict[str, Codec] = {
    "opus": Codec("opus", 111, 48000, 2, "minptime=10;useinbandfec=1"),
    "VP8": Codec("VP8", 96, 90000, rtx_payload_type=97),
    "VP9": Codec("VP9", 98, 90000, parameters="profile-id=0", rtx_payload_type=99),
    "H264": Codec(
        "H264",
        102,
        90000,
        parameters="level-asymmetry-allowed=1;packetization-mode=1;profile-level-id=42e01f",
        rtx_payload_type=103,
    ),
    "AV1": Codec("AV1", 45, 90000, parameters="level-idx=5;profile=0;tier=0", rtx_payload_type=46),
}


@dataclass(frozen=True, slots=True)
class Fingerprint:
    algorithm: str
    value: str


@dataclass(frozen=True, slots=True)
class LocalTransport:
    """Our end of a transport as it is written into SDP."""

    ufrag: str
    password: str
    fingerprint: Fingerprint
    candidates: tuple[tuple[str, int], ...]
    session_id: int


@dataclass(frozen=True, slots=True)
class RemoteTransport:
    """The client's end: the credentials tell a restart, the fingerprints whose certificate to expect."""

    ufrag: str
    password: str
    fingerprints: tuple[Fingerprint, ...]
    setup: Setup


@dataclass(frozen=True, slots=True)
class ViewerExtensions:
    """The ids of the header extensions that a viewer understands on one m-line, 0 for those it does not."""

    mid_id: int = 0
    send_time_id: int = 0
    transport_cc_id: int = 0
    level_id: int = 0
    descriptor_id: int = 0


@dataclass(frozen=True, slots=True)
class IncomingMedia:
    """One m-line of a publisher. `ssrcs` are those its SDP named, `rtx_ssrcs` maps their retransmissions. `rids` are
    the encodings of its simulcast in the publisher's order, empty without; with `simulcast_ssrcs` they are told by SSRC, else
    by header extensions. `audio_level_id` None: it is not told how loud the sound is."""

    mid: str
    kind: Kind
    sending: bool
    codec: Codec
    ssrcs: tuple[int, ...]
    rtx_ssrcs: dict[int, int]
    mid_id: int | None
    transport_cc_id: int | None
    audio_level_id: int | None = None
    rids: tuple[str, ...] = ()
    rid_id: int | None = None
    repaired_rid_id: int | None = None
    simulcast_ssrcs: tuple[int, ...] = ()
    descriptor_id: int | None = None


@dataclass(frozen=True, slots=True)
class PublishOffer:
    """A publisher's offer, understood. `sections` keeps every m-line in order, None for those we reject."""

    transport: RemoteTransport
    sections: tuple[IncomingMedia | None, ...]
    parsed: Sdp

    @property
    def incoming(self) -> tuple[IncomingMedia, ...]:
        return tuple(section for section in self.sections if section is not None)


@dataclass(frozen=True, slots=True)
class WatchedMedia:
    """One m-line on which a viewer would receive: what it decodes of what the room may carry, in the room's order,
    with the viewer's payload types."""

    mid: str
    kind: Kind
    codecs: tuple[Codec, ...]
    extensions: ViewerExtensions


@dataclass(frozen=True, slots=True)
class WatchOffer:
    """A viewer's own offer, understood. `sections` keeps every m-line in order, None for those we reject."""

    transport: RemoteTransport
    sections: tuple[WatchedMedia | None, ...]
    parsed: Sdp

    @property
    def watched(self) -> tuple[WatchedMedia, ...]:
        return tuple(section for section in self.sections if section is not None)


@dataclass(frozen=True, slots=True)
class IceFragment:
    """What an SDP fragment says of its sender's credentials (RFC 8840 section 9), "" where it says nothing."""

    ufrag: str
    password: str


@dataclass(frozen=True, slots=True)
class OutgoingMedia:
    """One m-line of a subscribe offer; `codec` None while there is nothing to send on it."""

    mid: str
    kind: Kind
    codec: Codec | None = None
    ssrc: int = 0
    rtx_ssrc: int = 0
    cname: str = ""
    stream_id: str = ""


@dataclass(frozen=True, slots=True)
class SubscribeAnswer:
    """What a subscriber took: per mid the codec with the subscriber's numbers; absent when it was refused."""

    transport: RemoteTransport
    accepted: dict[str, Codec]
    extensions: dict[str, ViewerExtensions]


# --- reading ---------------------------------------------------------------------------------------------


def read_publish_offer(text: str, video_codecs: Sequence[str]) -> PublishOffer:
    """Understand a publish offer. `video_codecs` in the room's order of preference. Raises NegotiationError."""
    parsed = sdp_text.parse(text)
    transport = _read_transport(parsed)
    sections = tuple(_read_incoming(parsed, media, video_codecs) for media in parsed.media)
    mids = [section.mid for section in sections if section is not None]
    if not mids:
        raise NegotiationError("the offer has no audio or video that could be received")
    if len(set(mids)) != len(mids):
        raise NegotiationError("the offer uses a mid twice")
    return PublishOffer(transport, sections, parsed)


def read_subscribe_answer(text: str, offered: Sequence[OutgoingMedia]) -> SubscribeAnswer:
    """Understand the answer to our offer of `offered`. Raises NegotiationError."""
    parsed = sdp_text.parse(text)
    if len(parsed.media) != len(offered):
        raise NegotiationError("the answer has not as many m-lines as the offer")
    transport = _read_transport(parsed)
    if transport.setup == "actpass":
        raise NegotiationError("an answer must choose setup active or passive")
    accepted: dict[str, Codec] = {}
    extensions: dict[str, ViewerExtensions] = {}
    for section, media in zip(offered, parsed.media, strict=True):
        codec = _accepted_codec(parsed, media, section)
        if codec is not None:
            accepted[section.mid] = codec
            extensions[section.mid] = _viewer_extensions(media, section.kind)
    return SubscribeAnswer(transport, accepted, extensions)


def read_watch_offer(text: str, video_codecs: Sequence[str]) -> WatchOffer:
    """Understand a viewer's own receive-only offer. `video_codecs` in the room's order of preference. Raises
    NegotiationError, also when one of the m-lines could carry nothing: half a picture would mislead its viewer."""
    parsed = sdp_text.parse(text)
    transport = _read_transport(parsed)
    sections = tuple(_read_watched(parsed, media, video_codecs) for media in parsed.media)
    mids = [section.mid for section in sections if section is not None]
    if not mids:
        raise NegotiationError("the offer receives neither audio nor video")
    if len(set(mids)) != len(mids):
        raise NegotiationError("the offer uses a mid twice")
    return WatchOffer(transport, sections, parsed)


def _read_watched(parsed: Sdp, media: Media, video_codecs: Sequence[str]) -> WatchedMedia | None:
    mid = media.attributes.first("mid")
    if mid:
        sdp_text.token(mid)  # repeated in the answer, also where the m-line is rejected
    receives = parsed.direction(media) in ("recvonly", "sendrecv")
    if media.kind not in ("audio", "video") or not _is_wanted(media) or not receives:
        return None
    if media.attributes.first("rtcp-mux") is None:
        raise NegotiationError("rtcp-mux is required")
    kind: Kind = "audio" if media.kind == "audio" else "video"
    names = ["opus"] if kind == "audio" else video_codecs
    codecs = tuple(codec for name in names if (codec := _choose_codec(media, [name])) is not None)
    if not codecs:
        raise NegotiationError(f"the offer has no {kind} codec that this room carries")
    return WatchedMedia(sdp_text.token(mid or ""), kind, codecs, _viewer_extensions(media, kind))


def read_ice_fragment(text: str) -> IceFragment:
    """The credentials in an `application/trickle-ice-sdpfrag`; its candidates are ignored like all others.
    Raises NegotiationError."""
    parsed = sdp_text.parse("v=0\r\n" + text)
    found = [*parsed.attributes.lines, *(line for media in parsed.media for line in media.attributes.lines)]
    if not found:
        raise NegotiationError("the fragment says nothing")
    values = dict(reversed(found))
    ufrag, password = (values.get(name, "") for name in ("ice-ufrag", "ice-pwd"))
    if bool(ufrag) != bool(password):
        raise NegotiationError("the fragment has one half of the credentials")
    return IceFragment(ufrag and sdp_text.token(ufrag), password and sdp_text.token(password))


def _accepted_codec(parsed: Sdp, media: Media, section: OutgoingMedia) -> Codec | None:
    if media.kind != section.kind:
        raise NegotiationError("the answer has its m-lines in another order than the offer")
    receives = parsed.direction(media) in ("recvonly", "sendrecv")
    if section.codec is None or media.port == 0 or not receives:
        return None
    return _choose_codec(media, [section.codec.name])


def _read_transport(parsed: Sdp) -> RemoteTransport:
    media = next((m for m in parsed.media if m.port != 0), None) or (
        parsed.media[0] if parsed.media else None
    )
    if media is None:
        raise NegotiationError("the description has no m-line")
    ufrag = sdp_text.token(parsed.inherited(media, "ice-ufrag") or "")
    password = sdp_text.token(parsed.inherited(media, "ice-pwd") or "")
    return RemoteTransport(ufrag, password, _fingerprints(parsed, media), _setup(parsed, media))


def _setup(parsed: Sdp, media: Media) -> Setup:
    match parsed.inherited(media, "setup"):
        case "active":
            return "active"
        case "passive":
            return "passive"
        case "actpass" | None:
            return "actpass"
    raise NegotiationError("the description has an unknown setup attribute")


def _fingerprints(parsed: Sdp, media: Media) -> tuple[Fingerprint, ...]:
    lines = list(media.attributes.every("fingerprint")) or list(parsed.attributes.every("fingerprint"))
    found = []
    for line in lines:
        algorithm, _, value = line.partition(" ")
        if algorithm.lower() in _HASHES and _FINGERPRINT.fullmatch(value):
            found.append(Fingerprint(algorithm.lower(), value.upper()))
    if not found:
        raise NegotiationError("the description has no fingerprint of a known kind")
    return tuple(found)


def _read_incoming(parsed: Sdp, media: Media, video_codecs: Sequence[str]) -> IncomingMedia | None:
    mid = media.attributes.first("mid")
    if mid:
        sdp_text.token(mid)  # repeated in the answer, also where the m-line is rejected
    if media.kind not in ("audio", "video") or not _is_wanted(media):
        return None
    if media.attributes.first("rtcp-mux") is None:
        raise NegotiationError("rtcp-mux is required")
    kind: Kind = "audio" if media.kind == "audio" else "video"
    codec = _choose_codec(media, ["opus"] if kind == "audio" else video_codecs)
    if codec is None:
        raise NegotiationError(f"the offer has no {kind} codec that this room accepts")
    ids = _extension_ids(media)
    rtx_ssrcs = _retransmission_ssrcs(media)
    grouped = _simulcast_ssrcs(media)
    rids = _sent_rids(media, codec) if RID_URI in ids and kind == "video" else ()
    return IncomingMedia(
        mid=sdp_text.token(mid or ""),
        kind=kind,
        sending=parsed.direction(media) in ("sendonly", "sendrecv"),
        codec=codec,
        ssrcs=tuple(ssrc for ssrc in _ssrcs(media) if ssrc not in rtx_ssrcs),
        rtx_ssrcs=rtx_ssrcs,
        mid_id=ids.get(MID_URI),
        transport_cc_id=ids.get(TRANSPORT_CC_URI),
        descriptor_id=ids.get(DESCRIPTOR_URI) if codec.name == "AV1" and _may_mix(parsed, media) else None,
        rids=rids or tuple(str(place) for place in range(len(grouped))),
        rid_id=ids.get(RID_URI),
        repaired_rid_id=ids.get(REPAIRED_RID_URI),
        simulcast_ssrcs=() if rids else grouped,
        audio_level_id=ids.get(AUDIO_LEVEL_URI) if kind == "audio" else None,
    )


def _sent_rids(media: Media, codec: Codec) -> tuple[str, ...]:
    """Which encodings the m-line sends (RFC 8853 section 5): of alternatives the first; paused ones too, they may begin
    later. Empty when it is but one: that is no simulcast."""
    described = dict(line.partition(" ")[::2] for line in media.attributes.every("rid"))
    words = (media.attributes.first("simulcast") or "").split()
    sent = dict(zip(words[::2], words[1::2], strict=False)).get("send", "")
    names = [alternatives.partition(",")[0].removeprefix("~") for alternatives in sent.split(";")]
    rids = [name for name in dict.fromkeys(names) if _is_sent(name, described.get(name, ""), codec)]
    return tuple(rids[:ENCODINGS_MAX]) if len(rids) > 1 else ()


def _is_sent(rid: str, description: str, codec: Codec) -> bool:
    """RFC 8851 section 4: `send`, then restrictions; of those only the payload types matter here."""
    direction, _, restrictions = description.partition(" ")
    allowed = next((part[3:].split(",") for part in restrictions.split(";") if part.startswith("pt=")), None)
    return (
        _RID.fullmatch(rid) is not None
        and direction == "send"
        and (allowed is None or str(codec.payload_type) in allowed)
    )


def _simulcast_ssrcs(media: Media) -> tuple[int, ...]:
    """Simulcast of before RFC 8853, lowest first: `ssrc-group:SIM`."""
    for line in media.attributes.every("ssrc-group"):
        match line.split():
            case ["SIM", *ssrcs] if media.kind == "video" and len(ssrcs) > 1:
                return tuple(sdp_text.number(ssrc, 0, 0xFFFFFFFF) for ssrc in ssrcs[:ENCODINGS_MAX])
    return ()


def _may_mix(parsed: Sdp, media: Media) -> bool:
    """Whether one stream may carry both forms of header extensions (RFC 8285 section 6)."""
    return parsed.inherited(media, "extmap-allow-mixed") is not None


def _is_wanted(media: Media) -> bool:
    """An m-line in a bundle may carry port 0 and still be wanted (RFC 9143 section 6: bundle-only)."""
    return media.port != 0 or media.attributes.first("bundle-only") is not None


def _extension_ids(media: Media) -> dict[str, int]:
    ids: dict[str, int] = {}
    for line in media.attributes.every("extmap"):
        number, _, uri = line.partition(" ")
        head = number.partition("/")[0]
        identifier = sdp_text.number(head, 1, 255)
        if identifier <= _EXTENSION_IDS_MAX and uri.split():
            ids.setdefault(uri.split()[0], identifier)
    return ids


def _viewer_extensions(media: Media, kind: Kind) -> ViewerExtensions:
    ids = {uri: n for uri, n in _extension_ids(media).items() if uri in OFFERED_EXTENSIONS[kind]}
    return ViewerExtensions(
        mid_id=ids.get(MID_URI, 0),
        send_time_id=ids.get(SEND_TIME_URI, 0),
        transport_cc_id=ids.get(TRANSPORT_CC_URI, 0),
        level_id=ids.get(AUDIO_LEVEL_URI, 0),
        descriptor_id=ids.get(DESCRIPTOR_URI, 0),
    )


def _ssrcs(media: Media) -> tuple[int, ...]:
    lines = (line.partition(" ")[0] for line in media.attributes.every("ssrc"))
    return tuple(dict.fromkeys(sdp_text.number(line, 0, 0xFFFFFFFF) for line in lines))


def _retransmission_ssrcs(media: Media) -> dict[int, int]:
    """Retransmission SSRC -> SSRC of the stream it repairs (`ssrc-group:FID`, RFC 5576)."""
    pairs: dict[int, int] = {}
    for line in media.attributes.every("ssrc-group"):
        match line.split():
            case ["FID", primary, repair]:
                pairs[sdp_text.number(repair, 0, 0xFFFFFFFF)] = sdp_text.number(primary, 0, 0xFFFFFFFF)
    return pairs


# --- codecs ----------------------------------------------------------------------------------------------


def _choose_codec(media: Media, names: Sequence[str]) -> Codec | None:
    """The first of `names` that the m-line offers in a form we pass on."""
    codecs = _codecs(media)
    for name in names:
        for fits in (_usable, _is_plain_baseline):
            for codec in codecs:
                if codec.name.lower() == name.lower() and fits(codec):
                    return replace(codec, name=name, rtx_payload_type=_rtx_of(codec, codecs))
    return None


def _codecs(media: Media) -> list[Codec]:
    parameters = dict(line.partition(" ")[::2] for line in media.attributes.every("fmtp"))
    if not all(value.isascii() and value.isprintable() for value in parameters.values()):
        raise NegotiationError("the description has codec parameters that are not printable")
    found = []
    for line in media.attributes.every("rtpmap"):
        payload_type, _, rest = line.partition(" ")
        parts = rest.strip().split("/")
        if payload_type not in media.formats or len(parts) < 2:  # noqa: PLR2004 - name and clock rate
            continue
        found.append(
            Codec(
                name=sdp_text.token(parts[0]),
                payload_type=sdp_text.number(payload_type, 0, 127),
                clock_rate_hz=sdp_text.number(parts[1].strip(), 1, 1_000_000),
                channels=sdp_text.number(parts[2].strip(), 1, 255) if len(parts) > 2 else 1,  # noqa: PLR2004
                parameters=parameters.get(payload_type, ""),
            )
        )
    order = {payload_type: place for place, payload_type in enumerate(media.formats)}
    return sorted(found, key=lambda codec: order[str(codec.payload_type)])


def _parameter(codec: Codec, name: str, default: str) -> str:
    for part in codec.parameters.split(";"):
        key, _, value = part.partition("=")
        if key.strip().lower() == name:
            return value.strip().lower()
    return default


def _usable(codec: Codec) -> bool:
    """Forms that every browser decodes: constrained baseline H264, profile 0 of VP9 and AV1."""
    match codec.name.upper():
        case "OPUS":
            return codec.clock_rate_hz == 48000 and codec.channels == 2  # noqa: PLR2004 - RFC 7587 section 7
        case "H264":
            profile = _parameter(codec, "profile-level-id", "420010")
            return (
                profile.startswith(("42e0", "42c0")) and _parameter(codec, "packetization-mode", "0") == "1"
            )
        case "VP9":
            return _parameter(codec, "profile-id", "0") == "0"
        case "AV1":
            return _parameter(codec, "profile", "0") == "0"
    return codec.name.upper() == "VP8"


def _is_plain_baseline(codec: Codec) -> bool:
    """H264 baseline without the bit that says "constrained". Encoders mean the same by it (FFmpeg puts that bit where
    it is not looked for), and nothing makes the slice groups that would set the two apart."""
    return (
        codec.name.upper() == "H264"
        and _parameter(codec, "profile-level-id", "420010").startswith("42")
        and _parameter(codec, "packetization-mode", "0") == "1"
    )


def _rtx_of(codec: Codec, codecs: Iterable[Codec]) -> int | None:
    for other in codecs:
        if other.name.lower() == "rtx" and _parameter(other, "apt", "") == str(codec.payload_type):
            return other.payload_type
    return None


# --- writing ---------------------------------------------------------------------------------------------


def write_publish_answer(offer: PublishOffer, local: LocalTransport, version: int) -> str:
    """Our answer: receive what the room can use, reject the rest."""
    setup: Setup = "active" if offer.transport.setup == "passive" else "passive"
    lines = _session_lines(local, version, [section.mid for section in offer.incoming])
    for section, media in zip(offer.sections, offer.parsed.media, strict=True):
        lines += _rejected_lines(media) if section is None else _answer_lines(section, media, local, setup)
    return _text(lines)


def write_watch_answer(
    offer: WatchOffer, chosen: Mapping[str, Sequence[Codec]], local: LocalTransport, stream_id: str
) -> str:
    """Our answer to a viewer: send on every m-line in one of the codecs `chosen` for its mid.

    No SSRC is named: the description is the only one there will be, and what is sent comes under a new SSRC whenever
    the publisher changes. Viewers find the m-line by mid or payload type (RFC 9143 section 9.2)."""
    setup: Setup = "active" if offer.transport.setup == "passive" else "passive"
    lines = _session_lines(local, 1, [section.mid for section in offer.watched])
    for section, media in zip(offer.sections, offer.parsed.media, strict=True):
        if section is None:
            lines += _rejected_lines(media)
            continue
        lines += _media_lines(section.kind, section.mid, chosen[section.mid], media.protocol)
        lines += _transport_lines(local, setup)
        lines += _viewer_extension_lines(section.extensions)
        lines += ["a=sendonly", f"a=msid:{stream_id} {stream_id}-{section.mid}", "a=rtcp-mux", "a=rtcp-rsize"]
        feedback = ["nack", "nack pli", "ccm fir"] if section.kind == "video" else []
        feedback += ["transport-cc"] if section.extensions.transport_cc_id else []
        lines += [line for codec in chosen[section.mid] for line in _codec_lines(codec, feedback)]
    return _text(lines)


def _viewer_extension_lines(ids: ViewerExtensions) -> list[str]:
    named = (
        (ids.mid_id, MID_URI),
        (ids.send_time_id, SEND_TIME_URI),
        (ids.transport_cc_id, TRANSPORT_CC_URI),
        (ids.level_id, AUDIO_LEVEL_URI),
        (ids.descriptor_id, DESCRIPTOR_URI),
    )
    return [f"a=extmap:{identifier} {uri}" for identifier, uri in named if identifier]


def write_ice_fragment(local: LocalTransport) -> str:
    """Our new credentials and candidates as an `application/trickle-ice-sdpfrag` (RFC 8840 section 9)."""
    credentials = ["a=ice-lite", f"a=ice-ufrag:{local.ufrag}", f"a=ice-pwd:{local.password}"]
    return _text([*credentials, *_candidate_lines(local)])


def _rejected_lines(media: Media) -> list[str]:
    mid = media.attributes.first("mid")
    lines = [f"m={media.kind} 0 {media.protocol} {media.formats[0]}", "c=IN IP4 0.0.0.0", "a=inactive"]
    return lines + ([f"a=mid:{mid}"] if mid else [])


def _answer_lines(section: IncomingMedia, media: Media, local: LocalTransport, setup: Setup) -> list[str]:
    ids = {uri: n for uri, n in _extension_ids(media).items() if uri in _EXTENSIONS[section.kind]}
    ids |= {DESCRIPTOR_URI: section.descriptor_id} if section.descriptor_id else {}
    codec = section.codec
    lines = _media_lines(section.kind, section.mid, [codec], media.protocol)
    lines += _transport_lines(local, setup)
    lines += [f"a=extmap:{n} {uri}" for uri, n in ids.items()]
    # Few descriptors are long enough to need the two-byte form.
    lines += ["a=extmap-allow-mixed"] if section.descriptor_id else []
    lines += ["a=recvonly" if section.sending else "a=inactive", "a=rtcp-mux"]
    lines += ["a=rtcp-rsize"] if media.attributes.first("rtcp-rsize") is not None else []
    feedback = ["nack", "nack pli"] if section.kind == "video" else []
    feedback += ["transport-cc"] if TRANSPORT_CC_URI in ids else []
    return lines + _codec_lines(_answered(codec), feedback) + _simulcast_lines(section)


def _simulcast_lines(section: IncomingMedia) -> list[str]:
    if section.simulcast_ssrcs:
        return ["a=x-google-flag:conference"]  # without it Chromium sends the first SSRC alone
    if not section.rids:
        return []
    return [*(f"a=rid:{rid} recv" for rid in section.rids), f"a=simulcast:recv {';'.join(section.rids)}"]


def _answered(codec: Codec) -> Codec:
    """Opus parameters are ours to ask for (they describe what we want to receive); others are echoed."""
    return replace(codec, parameters=OFFERED_CODECS["opus"].parameters) if codec.name == "opus" else codec


def write_subscribe_offer(sections: Sequence[OutgoingMedia], local: LocalTransport, version: int) -> str:
    """Our offer on a subscribe transport; sections without a codec are kept inactive."""
    lines = _session_lines(local, version, [section.mid for section in sections])
    for section in sections:
        lines += _offer_lines(section, local)
    return _text(lines)


def _offer_lines(section: OutgoingMedia, local: LocalTransport) -> list[str]:
    idle = OFFERED_CODECS["opus" if section.kind == "audio" else "VP8"]
    codec = idle if section.codec is None else section.codec
    lines = _media_lines(section.kind, section.mid, [codec], "UDP/TLS/RTP/SAVPF")
    lines += _transport_lines(local, "actpass")
    extensions = OFFERED_EXTENSIONS[section.kind].items()
    lines += [f"a=extmap:{n} {uri}" for uri, n in extensions if uri != DESCRIPTOR_URI or codec.name == "AV1"]
    lines += ["a=inactive" if section.codec is None else "a=sendonly", "a=rtcp-mux", "a=rtcp-rsize"]
    feedback = ["nack", "nack pli", "ccm fir", "goog-remb"] if section.kind == "video" else []
    lines += _codec_lines(codec, [*feedback, "transport-cc"])
    return lines + (_source_lines(section) if section.codec is not None else [])


def _source_lines(section: OutgoingMedia) -> list[str]:
    lines = [f"a=msid:{section.stream_id} {section.stream_id}-{section.mid}"]
    if section.rtx_ssrc:
        lines += [f"a=ssrc-group:FID {section.ssrc} {section.rtx_ssrc}"]
    ssrcs = [section.ssrc, section.rtx_ssrc] if section.rtx_ssrc else [section.ssrc]
    return lines + [f"a=ssrc:{ssrc} cname:{section.cname}" for ssrc in ssrcs]


def _session_lines(local: LocalTransport, version: int, mids: Sequence[str]) -> list[str]:
    return [
        "v=0",
        f"o=- {local.session_id} {version} IN IP4 127.0.0.1",
        "s=-",
        "t=0 0",
        "a=ice-lite",
        "a=group:BUNDLE " + " ".join(mids),
        "a=msid-semantic: WMS *",
    ]


def _media_lines(kind: Kind, mid: str, codecs: Sequence[Codec], protocol: str) -> list[str]:
    numbers = " ".join(
        f"{codec.payload_type} {codec.rtx_payload_type}"
        if codec.rtx_payload_type
        else str(codec.payload_type)
        for codec in codecs
    )
    return [f"m={kind} 9 {protocol} {numbers}", "c=IN IP4 0.0.0.0", "a=rtcp:9 IN IP4 0.0.0.0", f"a=mid:{mid}"]


def _transport_lines(local: LocalTransport, setup: Setup) -> list[str]:
    return [
        f"a=ice-ufrag:{local.ufrag}",
        f"a=ice-pwd:{local.password}",
        f"a=fingerprint:{local.fingerprint.algorithm} {local.fingerprint.value}",
        f"a=setup:{setup}",
        *_candidate_lines(local),
    ]


def _candidate_lines(local: LocalTransport) -> list[str]:
    """Host candidates, earlier addresses preferred; each as UDP first, and as passive TCP for who gets no UDP out.
    Preferences: type 126 (RFC 8445 section 5.1.2.1), below it 90 for TCP, with direction 4 (RFC 6544 section 4.2)."""
    places = list(enumerate(local.candidates))
    udp = [
        f"a=candidate:{place + 1} 1 udp {(126 << 24) + ((65535 - place) << 8) + 255} {address} {port} typ host"
        for place, (address, port) in places
    ]
    tcp = [
        f"a=candidate:{len(places) + place + 1} 1 tcp {(90 << 24) + (((4 << 13) + 8191 - place) << 8) + 255} "
        f"{address} {port} typ host tcptype passive"
        for place, (address, port) in places
    ]
    return [*udp, *tcp, "a=end-of-candidates"]


def _codec_lines(codec: Codec, feedback: Sequence[str]) -> list[str]:
    lines = [f"a=rtpmap:{codec.payload_type} {codec.rtpmap}"]
    lines += [f"a=rtcp-fb:{codec.payload_type} {item}" for item in feedback]
    if codec.parameters:
        lines.append(f"a=fmtp:{codec.payload_type} {codec.parameters}")
    if codec.rtx_payload_type:
        lines.append(f"a=rtpmap:{codec.rtx_payload_type} rtx/{codec.clock_rate_hz}")
        lines.append(f"a=fmtp:{codec.rtx_payload_type} apt={codec.payload_type}")
    return lines


def _text(lines: Sequence[str]) -> str:
    return "\r\n".join(lines) + "\r\n"
