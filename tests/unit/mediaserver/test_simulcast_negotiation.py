"""Offers of one picture in several encodings, and what is answered."""

import pytest

from mediaserver.negotiation import read_publish_offer, write_publish_answer

from .test_real_descriptions import LOCAL, read

HEAD = (
    "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\na=group:BUNDLE 0\r\na=ice-ufrag:u234\r\na=ice-pwd:p\r\n"
    f"a=fingerprint:sha-256 {':'.join(['AB'] * 32)}\r\nm=video 9 UDP/TLS/RTP/SAVPF 96 97 98\r\na=mid:0\r\na=sendonly\r\n"
    "a=rtcp-mux\r\na=rtpmap:96 VP8/90000\r\na=rtpmap:97 rtx/90000\r\na=fmtp:97 apt=96\r\na=rtpmap:98 H264/90000\r\n"
)
EXTENSIONS = (
    "a=extmap:4 urn:ietf:params:rtp-hdrext:sdes:mid\r\n"
    "a=extmap:10 urn:ietf:params:rtp-hdrext:sdes:rtp-stream-id\r\n"
    "a=extmap:11 urn:ietf:params:rtp-hdrext:sdes:repaired-rtp-stream-id\r\n"
)


def video(lines, extensions=EXTENSIONS):
    offer = read_publish_offer(HEAD + extensions + "".join(line + "\r\n" for line in lines), ["VP8"])
    return offer.incoming[0], write_publish_answer(offer, LOCAL, 1).split("\r\n")


def simulcast_lines(answer):
    return [line for line in answer if line.startswith(("a=rid", "a=simulcast", "a=x-google"))]


def test_chromiums_three_encodings_are_answered_with_the_extensions_that_name_them():
    offer = read_publish_offer(read("chromium-simulcast-offer"), ["VP8"])
    media = offer.incoming[1]
    assert (media.rids, media.rid_id, media.repaired_rid_id) == (("l", "m", "h"), 10, 11)
    answer = write_publish_answer(offer, LOCAL, 1).split("\r\n")
    assert simulcast_lines(answer) == [
        "a=rid:l recv",
        "a=rid:m recv",
        "a=rid:h recv",
        "a=simulcast:recv l;m;h",
    ]
    assert "a=extmap:10 urn:ietf:params:rtp-hdrext:sdes:rtp-stream-id" in answer
    assert "a=extmap:11 urn:ietf:params:rtp-hdrext:sdes:repaired-rtp-stream-id" in answer


@pytest.mark.parametrize(
    ("simulcast", "expected"),
    [
        ("send l;m;h", ("l", "m", "h")),
        ("send l;~m;h", ("l", "m", "h")),
        ("send l,m;h", ("l", "h")),
        ("send ~l,m;~h,m", ("l", "h")),
        ("send l;m;h;x", ("l", "m", "h")),
        ("recv m send l;h", ("l", "h")),
        ("send l;l;h", ("l", "h")),
        ("send l", ()),
        ("send l;unknown", ()),
        ("send l;r", ()),
        ("recv l;h", ()),
        ("send", ()),
        ("", ()),
        ("send rid=l;h", ()),
        ("send l;only264", ()),
        ("send l;also96", ("l", "also96")),
        ("send l;wrong-rid", ()),
    ],
)
def test_what_is_sent_in_several_encodings_is_taken_in_at_most_three(simulcast, expected):
    described = [f"a=rid:{rid} send" for rid in ("l", "m", "h", "x", "wrong-rid")]
    described += ["a=rid:only264 send pt=98", "a=rid:also96 send pt=98,96;max-width=640", "a=rid:r recv"]
    media, answer = video([*described, f"a=simulcast:{simulcast}"])
    assert media.rids == expected
    told = [*(f"a=rid:{rid} recv" for rid in expected), f"a=simulcast:recv {';'.join(expected)}"]
    assert simulcast_lines(answer) == (told if expected else [])


def test_without_the_extension_that_names_them_there_is_one_encoding():
    media, answer = video(["a=rid:l send", "a=rid:h send", "a=simulcast:send l;h"], extensions="")
    assert media.rids == ()
    assert simulcast_lines(answer) == []


def test_simulcast_by_ssrc_is_understood_as_well():
    media, answer = video(
        ["a=ssrc-group:SIM 1 2 3", "a=ssrc-group:FID 1 11", "a=ssrc-group:FID 2 12", "a=ssrc-group:FID 3 13"]
        + [f"a=ssrc:{ssrc} cname:c" for ssrc in (1, 11, 2, 12, 3, 13)]
    )
    assert (media.rids, media.simulcast_ssrcs) == (("0", "1", "2"), (1, 2, 3))
    assert media.rtx_ssrcs == {11: 1, 12: 2, 13: 3}
    assert simulcast_lines(answer) == ["a=x-google-flag:conference"]
