"""Invariant: whatever a client sends as SDP is either understood or refused with NegotiationError; and an
answer that we write for what was understood is itself a description with the same m-lines in the same order."""

import contextlib
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from mediaserver import sdp
from mediaserver.errors import NegotiationError
from mediaserver.negotiation import (
    OFFERED_CODECS,
    Fingerprint,
    LocalTransport,
    OutgoingMedia,
    read_ice_fragment,
    read_publish_offer,
    read_subscribe_answer,
    read_watch_offer,
    write_publish_answer,
    write_watch_answer,
)

FOLDER = Path(__file__).parents[2] / "unit" / "mediaserver" / "descriptions"
SEEDS = [path.read_bytes().decode() for path in sorted(FOLDER.glob("*.sdp"))]
LOCAL = LocalTransport(
    "u" * 16, "p" * 32, Fingerprint("sha-256", ":".join(["AB"] * 32)), (("192.0.2.1", 1),), 7
)
CODECS = ("VP8", "H264", "VP9", "AV1")
OFFERED = (
    OutgoingMedia("0", "audio", OFFERED_CODECS["opus"], 1, 0),
    *(OutgoingMedia(str(n + 1), "video", OFFERED_CODECS[name], 2, 3) for n, name in enumerate(CODECS)),
    OutgoingMedia("5", "audio"),
    OutgoingMedia("6", "video"),
)
PIECES = st.sampled_from(
    ["", "0", "-1", "4294967296", "99999999999999999999999", "x", "\x00", "\u2028", "é", "a=mid:0", "m=video 9 X 1",
     "a=fmtp:96", "a=rtpmap:96 VP8", "a=rtpmap:96 VP8/", "a=rtpmap:999 VP8/90000", "a=ssrc:", "a=ssrc-group:FID 1 x",
     "a=extmap:15 urn:ietf:params:rtp-hdrext:sdes:mid", "a=extmap:x y", "a=extmap:3", "a=fmtp:97 apt=", "m=", "m=audio",
     "m=audio 0 X 0", "a=setup:", "a=inactive", "a=bundle-only", "a", "=", "a=rtcp-mux"]
)  # fmt: skip


@st.composite
def spoiled(draw: st.DrawFn) -> str:
    """A real description with some lines removed, repeated, cut, swapped or replaced."""
    lines = draw(st.sampled_from(SEEDS)).split("\r\n")
    for _ in range(draw(st.integers(1, 6))):
        at = draw(st.integers(0, len(lines) - 1))
        match draw(st.integers(0, 5)):
            case 0:
                del lines[at]
            case 1:
                lines.insert(at, draw(st.sampled_from(lines)))
            case 2:
                lines[at] = lines[at][: draw(st.integers(0, len(lines[at])))]
            case 3:
                lines[at] = draw(PIECES)
            case 4:
                cut = draw(st.integers(0, len(lines[at])))
                lines[at] = lines[at][:cut] + draw(PIECES) + lines[at][cut:]
            case _:
                other = draw(st.integers(0, len(lines) - 1))
                lines[at], lines[other] = lines[other], lines[at]
        lines = lines or [""]
    return draw(st.sampled_from(["\r\n", "\n"])).join(lines)


def check_offer(text: str) -> None:
    try:
        offer = read_publish_offer(text, CODECS)
    except NegotiationError:
        return
    answer = write_publish_answer(offer, LOCAL, 1)
    assert answer.isascii()
    assert [media.kind for media in sdp.parse(answer).media] == [media.kind for media in offer.parsed.media]


def check_watch_offer(text: str) -> None:
    try:
        offer = read_watch_offer(text, CODECS)
    except NegotiationError:
        return
    answer = write_watch_answer(offer, {media.mid: media.codecs for media in offer.watched}, LOCAL, "stream")
    assert answer.isascii()
    assert [media.kind for media in sdp.parse(answer).media] == [media.kind for media in offer.parsed.media]


@given(st.one_of(st.text(max_size=300), st.text(max_size=300).map(lambda text: "v=0\r\n" + text)))
def test_any_text(text: str) -> None:
    check_offer(text)
    check_watch_offer(text)


@given(st.one_of(st.text(max_size=300), spoiled()))
def test_any_fragment(text: str) -> None:
    with contextlib.suppress(NegotiationError):
        fragment = read_ice_fragment(text)
        assert bool(fragment.ufrag) == bool(fragment.password)


@settings(max_examples=200, deadline=None)
@given(spoiled())
def test_a_spoiled_offer_of_a_viewer(text: str) -> None:
    check_watch_offer(text.replace("a=sendonly", "a=recvonly").replace("a=sendrecv", "a=recvonly"))


@settings(max_examples=400, deadline=None)
@given(spoiled())
def test_spoiled_offers(text: str) -> None:
    check_offer(text)


@settings(max_examples=400, deadline=None)
@given(spoiled())
def test_spoiled_answers(text: str) -> None:
    with contextlib.suppress(NegotiationError):
        answer = read_subscribe_answer(text, OFFERED)
        assert set(answer.accepted) <= {section.mid for section in OFFERED if section.codec}
