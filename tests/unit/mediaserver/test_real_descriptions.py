"""Offers and answers as Chromium, Firefox and aiortc wrote them, and what is made of them."""

from pathlib import Path

import pytest

from mediaserver.errors import NegotiationError
from mediaserver.negotiation import (
    OFFERED_CODECS,
    Fingerprint,
    LocalTransport,
    OutgoingMedia,
    read_publish_offer,
    read_subscribe_answer,
    write_publish_answer,
    write_subscribe_offer,
)

FOLDER = Path(__file__).parent / "descriptions"
LOCAL = LocalTransport(
    "serverufrag0001",
    "serverpassword0000000000000000aa",
    Fingerprint("sha-256", ":".join(["AB"] * 32)),
    (("192.0.2.1", 8444), ("2001:db8::1", 8444)),
    77,
)
ALL_CODECS = ("VP8", "H264", "VP9", "AV1")
# What the recorded answers answer: one m-line a codec, then two idle ones.
OFFERED = (
    OutgoingMedia("0", "audio", OFFERED_CODECS["opus"], 1001, 0, "cname1", "cname1-main"),
    *(
        OutgoingMedia(str(n + 1), "video", OFFERED_CODECS[name], 2001 + n, 3001 + n, "cname1", "cname1-main")
        for n, name in enumerate(ALL_CODECS)
    ),
    OutgoingMedia("5", "audio"),
    OutgoingMedia("6", "video"),
)


def read(name):
    return (FOLDER / f"{name}.sdp").read_bytes().decode()


def answer_to(name, *codecs):
    return write_publish_answer(read_publish_offer(read(name), codecs or ALL_CODECS), LOCAL, 1).split("\r\n")


@pytest.mark.parametrize(
    "name", ["chromium-offer", "firefox-offer", "aiortc-offer", "chromium-simulcast-offer"]
)
def test_an_offer_of_camera_and_microphone_is_understood(name):
    offer = read_publish_offer(read(name), ALL_CODECS)
    audio, video = offer.incoming
    assert (audio.kind, audio.codec.name, audio.sending) == ("audio", "opus", True)
    assert (video.kind, video.codec.name, video.sending) == ("video", "VP8", True)
    assert audio.mid_id is not None
    assert video.mid_id is not None
    assert video.codec.rtx_payload_type is not None
    assert offer.transport.setup == "actpass"
    assert offer.transport.fingerprints[0].algorithm == "sha-256"


@pytest.mark.parametrize("name", ["chromium-offer", "firefox-offer"])
def test_browsers_get_transport_wide_feedback_for_their_bandwidth_estimate(name):
    assert all(media.transport_cc_id for media in read_publish_offer(read(name), ALL_CODECS).incoming)
    assert sum("transport-cc" in line for line in answer_to(name) if line.startswith("a=rtcp-fb")) == 2


@pytest.mark.parametrize("name", ["chromium-offer", "firefox-offer", "aiortc-offer"])
def test_clients_are_asked_how_loud_they_are_and_only_for_sound(name):
    incoming = read_publish_offer(read(name), ALL_CODECS).incoming
    assert {media.kind: media.audio_level_id is not None for media in incoming} == {
        "audio": True,
        "video": False,
    }
    assert sum("ssrc-audio-level" in line for line in answer_to(name)) == 1


def test_payload_types_are_the_browsers_own():
    assert read_publish_offer(read("chromium-offer"), ["VP8"]).incoming[1].codec.payload_type == 96
    assert read_publish_offer(read("firefox-offer"), ["VP8"]).incoming[1].codec.payload_type == 120


@pytest.mark.parametrize("codec", ALL_CODECS)
def test_the_rooms_first_codec_is_the_one_in_the_answer(codec):
    codecs = [codec, *ALL_CODECS]
    names = [
        line.split()[1].split("/")[0] for line in answer_to("chromium-offer", *codecs) if "rtpmap" in line
    ]
    assert names == ["opus", codec, "rtx"]


def test_h264_is_answered_in_constrained_baseline_mode_1():
    codec = read_publish_offer(read("chromium-offer"), ["H264"]).incoming[1].codec
    assert "profile-level-id=42e0" in codec.parameters
    assert "packetization-mode=1" in codec.parameters


def test_ssrcs_and_their_retransmissions_are_bound():
    video = read_publish_offer(read("chromium-offer"), ["VP8"]).incoming[1]
    assert len(video.ssrcs) == 1
    assert list(video.rtx_ssrcs.values()) == list(video.ssrcs)


def test_the_answer_is_ice_lite_bundled_and_lists_every_address():
    lines = answer_to("chromium-offer")
    assert "a=ice-lite" in lines
    assert "a=group:BUNDLE 0 1" in lines
    assert lines.count("a=setup:passive") == 2
    assert lines.count("a=end-of-candidates") == 2
    assert lines.count("a=rtcp-mux") == 2
    assert lines.count("a=recvonly") == 2
    candidates = [tuple(line.split()[2:5:2]) for line in lines if line.startswith("a=candidate")]
    addresses = ("192.0.2.1", "2001:db8::1")
    assert candidates == [(protocol, address) for protocol in ("udp", "tcp") for address in addresses] * 2


def test_a_data_channel_is_rejected_and_the_rest_taken():
    lines = answer_to("chromium-data-offer")
    assert any(line.startswith("m=application 0 ") for line in lines)
    assert "a=group:BUNDLE 0 1" in lines


def test_a_passive_offer_is_answered_active():
    offer = read("aiortc-offer").replace("a=setup:actpass", "a=setup:passive")
    answer = write_publish_answer(read_publish_offer(offer, ALL_CODECS), LOCAL, 1)
    assert "a=setup:active" in answer


def test_a_paused_sender_gets_an_inactive_line():
    offer = read_publish_offer(read("chromium-offer").replace("a=sendonly", "a=inactive"), ALL_CODECS)
    assert not any(media.sending for media in offer.incoming)
    assert write_publish_answer(offer, LOCAL, 1).count("a=inactive") == 2


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (lambda sdp: sdp.replace("a=ice-ufrag", "a=x-ufrag"), "token"),
        (lambda sdp: sdp.replace("a=fingerprint:sha-256", "a=fingerprint:md5"), "fingerprint"),
        (lambda sdp: sdp.replace("a=rtcp-mux\r\n", ""), "rtcp-mux"),
        (lambda sdp: sdp.replace("a=mid:1", "a=mid:0"), "mid twice"),
        (lambda sdp: sdp.replace("VP8/90000", "XX8/90000"), "codec"),
        (lambda sdp: sdp.replace("m=video 9", "m=video x"), "number"),
        (lambda sdp: sdp.replace("a=setup:actpass", "a=setup:holdconn"), "setup"),
        (lambda sdp: sdp.replace("v=0", "v=1"), "not an SDP"),
        (lambda _: "", "not an SDP"),
        (lambda sdp: sdp + "a=x\r\n" * 300_000, "too long"),
        (lambda sdp: sdp.split("m=")[0], "no m-line"),
    ],
)
def test_what_cannot_be_used_is_refused_with_a_reason(change, problem):
    with pytest.raises(NegotiationError, match=problem):
        read_publish_offer(change(read("chromium-offer")), ["VP8"])


def test_candidates_of_the_client_change_nothing():
    sdp = read("chromium-offer")
    aimed = sdp + "a=candidate:1 1 udp 1 203.0.113.9 53 typ host\r\n"
    answers = [write_publish_answer(read_publish_offer(text, ["VP8"]), LOCAL, 1) for text in (sdp, aimed)]
    assert answers[0] == answers[1]


@pytest.mark.parametrize("browser", ["chromium", "firefox"])
def test_a_browser_takes_our_codecs_with_retransmission_and_leaves_idle_lines_idle(browser):
    answer = read_subscribe_answer(read(f"{browser}-answer"), OFFERED)
    # This Firefox came without its H264 plug-in.
    expected = {"0": "opus", "1": "VP8", "2": "H264", "3": "VP9", "4": "AV1"}
    taken = {mid: codec.name for mid, codec in answer.accepted.items()}
    assert {mid: name for mid, name in taken.items() if name != "H264"} == {
        mid: name for mid, name in expected.items() if name != "H264"
    }
    assert all(codec.rtx_payload_type for mid, codec in answer.accepted.items() if mid != "0")
    assert all(ids.mid_id for ids in answer.extensions.values())
    assert answer.transport.setup == "active"


def test_an_answer_with_other_lines_than_the_offer_is_refused():
    answer = read("chromium-answer")
    with pytest.raises(NegotiationError, match="as many m-lines"):
        read_subscribe_answer(answer, OFFERED[:-1])
    with pytest.raises(NegotiationError, match="another order"):
        read_subscribe_answer(answer, OFFERED[::-1])
    with pytest.raises(NegotiationError, match="must choose"):
        read_subscribe_answer(answer.replace("a=setup:active", "a=setup:actpass"), OFFERED)


def test_the_offer_groups_sound_and_picture_and_names_its_repair_stream():
    text = write_subscribe_offer(OFFERED, LOCAL, 3)
    assert "a=ssrc-group:FID 2001 3001" in text
    assert text.count("a=msid:cname1-main ") == 5
    assert text.count("a=inactive") == 2
    assert text.count("a=sendonly") == 5
    assert "o=- 77 3 IN" in text
