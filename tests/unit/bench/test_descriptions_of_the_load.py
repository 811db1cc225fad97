"""A load client takes what a browser would take of an offer: above all, feedback, retransmission and extensions."""

from bench import sdp

LOCAL = sdp.Local("ufrag", "password", "AA:BB", "1 1 udp 1 10.0.0.2 5000 typ host")
OFFER = "\r\n".join(
    [
        "v=0", "o=- 1 1 IN IP4 10.0.0.1", "s=-", "t=0 0", "a=group:BUNDLE a v",
        "m=audio 9 UDP/TLS/RTP/SAVPF 111", "c=IN IP4 10.0.0.1", "a=sendonly", "a=mid:a", "a=rtpmap:111 opus/48000/2",
        "m=video 9 UDP/TLS/RTP/SAVPF 96 97", "c=IN IP4 10.0.0.1", "a=sendonly", "a=mid:v", "a=rtpmap:96 VP8/90000",
        "a=rtcp-fb:96 nack", "a=rtcp-fb:96 transport-cc", "a=rtpmap:97 rtx/90000", "a=fmtp:97 apt=96",
        f"a=extmap:3/sendonly {sdp.TRANSPORT_SEQ}", "a=ssrc-group:FID 1 2", "a=ssrc:1 cname:janus", "",
    ]
)  # fmt: skip


def test_an_answer_keeps_feedback_retransmission_and_extensions():
    answer = sdp.answer(OFFER, LOCAL)
    for line in (
        "a=rtcp-fb:96 nack",
        "a=rtcp-fb:96 transport-cc",
        "a=fmtp:97 apt=96",
        "a=rtpmap:97 rtx/90000",
    ):
        assert f"\r\n{line}\r\n" in answer
    assert sdp.extension_ids(answer, "video")[sdp.TRANSPORT_SEQ] == 3


def test_an_answer_only_receives_and_speaks_for_itself():
    answer = sdp.answer(OFFER, LOCAL)
    assert answer.count("a=recvonly") == 2
    assert "sendonly\r\n" not in answer.replace("a=extmap:3/sendonly", "")
    assert "a=ssrc" not in answer
    assert answer.count("a=setup:active") == 2


def test_retransmissions_are_known_by_their_payload_type():
    assert sdp.payload_kinds(OFFER) == {111: "audio", 96: "video", 97: "rtx"}
