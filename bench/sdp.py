"""The little SDP that a load client needs: one publish offer, answers to the server's offers."""

import re
from dataclasses import dataclass

VIDEO_PT = 96
AUDIO_PT = 111
AUDIO_LEVEL = "urn:ietf:params:rtp-hdrext:ssrc-audio-level"
SEND_TIME = "http://www.webrtc.org/experiments/rtp-hdrext/abs-send-time"
TRANSPORT_SEQ = "http://www.ietf.org/id/draft-holmer-rmcat-transport-wide-cc-extensions-01"
MID = "urn:ietf:params:rtp-hdrext:sdes:mid"

# What the answer repeats from the offer: the client takes every codec it is offered.
KEPT = ("a=rtpmap:", "a=fmtp:", "a=rtcp-fb:", "a=extmap:", "a=mid:", "c=")


@dataclass(frozen=True, slots=True)
class Local:
    """One side's ICE credentials and certificate fingerprint (SHA-256, colon-separated hex)."""

    ufrag: str
    pwd: str
    fingerprint: str
    candidate: str = ""

    def lines(self, setup: str) -> list[str]:
        """Candidates are for a server with full ICE; an ICE-lite one has no use for them."""
        candidates = [f"a=candidate:{self.candidate}"] if self.candidate else []
        return [
            *candidates,
            f"a=ice-ufrag:{self.ufrag}",
            f"a=ice-pwd:{self.pwd}",
            f"a=fingerprint:sha-256 {self.fingerprint}",
            f"a=setup:{setup}",
            "a=rtcp-mux",
        ]


@dataclass(frozen=True, slots=True)
class Remote:
    """Where the server receives a transport, and how it proves who it is."""

    ufrag: str
    pwd: str
    fingerprint: str
    host: str
    port: int


def remote(sdp: str) -> Remote | None:
    """The server's side of a transport; None while its description has no media (nothing to connect)."""
    candidate = re.search(r"a=candidate:\S+ 1 (?i:udp) \d+ (\S+) (\d+) typ host", sdp)
    if candidate is None:
        return None
    return Remote(
        _one(r"a=ice-ufrag:(\S+)", sdp),
        _one(r"a=ice-pwd:(\S+)", sdp),
        _one(r"a=fingerprint:sha-256 (\S+)", sdp),
        candidate[1],
        int(candidate[2]),
    )


def publish_offer(local: Local, audio_ssrc: int, video_ssrc: int) -> str:
    """One Opus and one VP8 stream, as Chromium offers them (less its other codecs)."""
    audio = _section(
        "audio",
        0,
        [AUDIO_PT],
        [
            f"a=rtpmap:{AUDIO_PT} opus/48000/2",
            f"a=fmtp:{AUDIO_PT} minptime=10;useinbandfec=1",
            f"a=extmap:1 {AUDIO_LEVEL}",
            *_extensions(),
            *_stream(audio_ssrc, "microphone"),
        ],
        local,
    )
    video = _section(
        "video",
        1,
        [VIDEO_PT, VIDEO_PT + 1],
        [
            f"a=rtpmap:{VIDEO_PT} VP8/90000",
            *(f"a=rtcp-fb:{VIDEO_PT} {fb}" for fb in ("transport-cc", "ccm fir", "nack", "nack pli")),
            f"a=rtpmap:{VIDEO_PT + 1} rtx/90000",
            f"a=fmtp:{VIDEO_PT + 1} apt={VIDEO_PT}",
            *_extensions(),
            f"a=ssrc-group:FID {video_ssrc} {video_ssrc + 1}",
            *_stream(video_ssrc, "camera"),
            *_stream(video_ssrc + 1, "camera"),
        ],
        local,
    )
    return _join([*_head(["0", "1"]), *audio, *video])


def answer(offer: str, local: Local) -> str:
    """Take everything that is offered. We are the DTLS client, because the server is ICE-lite and passive."""
    sections = re.split(r"\r?\n(?=m=)", offer.strip())[1:]
    mids = [_one(r"a=mid:(\S+)", section) for section in sections]
    lines = _head(mids)
    for section in sections:
        lines += _answer_section(section, local)
    return _join(lines)


def extension_ids(sdp: str, kind: str) -> dict[str, int]:
    """URI to id of the header extensions in the `kind` section."""
    section = re.search(rf"m={kind} .*?(?=\r?\nm=|\Z)", sdp, re.DOTALL)
    found = re.findall(r"a=extmap:(\d+)(?:/\w+)? (\S+)", section[0] if section else "")
    return {uri: int(number) for number, uri in found}


def is_lite(sdp: str) -> bool:
    return "a=ice-lite" in sdp


def payload_kinds(sdp: str) -> dict[int, str]:
    """Payload type to audio, video or rtx, as the server offers them."""
    found: dict[int, str] = {}
    for section in re.split(r"\r?\n(?=m=)", sdp.strip())[1:]:
        kind = section[2 : section.index(" ")]
        for pt, name in re.findall(r"a=rtpmap:(\d+) ([^/\s]+)/", section):
            found[int(pt)] = "rtx" if name == "rtx" else kind
    return found


def _answer_section(section: str, local: Local) -> list[str]:
    old = section.splitlines()
    active = any(line in ("a=sendonly", "a=sendrecv") for line in old)
    kept = [line for line in old[1:] if line.startswith(KEPT)]
    return [old[0], *kept, "a=recvonly" if active else "a=inactive", *local.lines("active")]


def _section(kind: str, mid: int, pts: list[int], body: list[str], local: Local) -> list[str]:
    numbers = " ".join(str(pt) for pt in pts)
    head = [f"m={kind} 9 UDP/TLS/RTP/SAVPF {numbers}", "c=IN IP4 0.0.0.0", f"a=mid:{mid}", "a=sendonly"]
    return [*head, f"a=msid:load {kind}", *local.lines("active"), *body]


def _extensions() -> list[str]:
    return [f"a=extmap:2 {SEND_TIME}", f"a=extmap:3 {TRANSPORT_SEQ}", f"a=extmap:4 {MID}"]


def _stream(ssrc: int, label: str) -> list[str]:
    return [f"a=ssrc:{ssrc} cname:load", f"a=ssrc:{ssrc} msid:load {label}"]


def _head(mids: list[str]) -> list[str]:
    return [
        "v=0",
        "o=- 4611731400430051336 2 IN IP4 127.0.0.1",
        "s=-",
        "t=0 0",
        "a=group:BUNDLE " + " ".join(mids),
        "a=msid-semantic: WMS *",
    ]


def _join(lines: list[str]) -> str:
    return "\r\n".join(lines) + "\r\n"


def _one(pattern: str, sdp: str) -> str:
    found = re.search(pattern, sdp)
    if found is None:
        raise ValueError(f"no {pattern} in the server's description")
    return found[1]
