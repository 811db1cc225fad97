"""A viewer that makes the one offer there is (WHEP), and encoders that describe themselves sparsely (WHIP)."""

import pytest

from mediaserver import sdp
from mediaserver.errors import NegotiationError, UnknownParticipantError
from mediaserver.events import Connected, RoomOptions

from .client import KEYFRAME, OPUS, VP8, Hall, Leg, settle, until

PLAYER_VP8, PLAYER_RTX, PLAYER_H264, PLAYER_OPUS, PLAYER_MID_ID = 120, 121, 126, 109, 7
H264_PARAMETERS = "level-asymmetry-allowed=1;packetization-mode=1;profile-level-id=42e01f"


def player_offer(leg: Leg, *, video: tuple[str, ...] = ("VP8", "H264"), setup: str = "actpass") -> str:
    """Receive-only, in an order and with numbers of its own."""
    lines = {
        "VP8": [
            f"a=rtpmap:{PLAYER_VP8} VP8/90000",
            f"a=rtpmap:{PLAYER_RTX} rtx/90000",
            f"a=fmtp:{PLAYER_RTX} apt={PLAYER_VP8}",
        ],
        "H264": [f"a=rtpmap:{PLAYER_H264} H264/90000", f"a=fmtp:{PLAYER_H264} {H264_PARAMETERS}"],
    }
    formats = " ".join(
        {"VP8": f"{PLAYER_VP8} {PLAYER_RTX}", "H264": f"{PLAYER_H264}"}[name] for name in video
    )
    transport = leg._transport(setup).rstrip("\r\n").split("\r\n")
    extension = f"a=extmap:{PLAYER_MID_ID} urn:ietf:params:rtp-hdrext:sdes:mid"
    return "\r\n".join(
        [
            *("v=0", "o=- 1 1 IN IP4 127.0.0.1", "s=-", "t=0 0", "a=group:BUNDLE picture sound"),
            *(f"m=video 9 UDP/TLS/RTP/SAVPF {formats}", "a=mid:picture", "a=recvonly", extension, *transport),
            *(line for name in video for line in lines[name]),
            *(f"m=audio 9 UDP/TLS/RTP/SAVPF {PLAYER_OPUS}", "a=mid:sound", "a=recvonly", *transport),
            *(f"a=rtpmap:{PLAYER_OPUS} opus/48000/2", ""),
        ]
    )


def encoder_offer(leg: Leg, *, video: str = f"{VP8} VP8/90000", parameters: str = "") -> str:
    """As FFmpeg writes it: passive, no header extension; here without SSRCs too."""
    transport = leg._transport("passive").rstrip("\r\n").split("\r\n")
    number = video.split(maxsplit=1)[0]
    return "\r\n".join(
        [
            *(
                "v=0",
                "o=FFmpeg 1 2 IN IP4 127.0.0.1",
                "s=FFmpegPublishSession",
                "t=0 0",
                "a=group:BUNDLE 0 1",
            ),
            *(f"m=audio 9 UDP/TLS/RTP/SAVPF {OPUS}", "a=mid:0", "a=sendonly", *transport),
            f"a=rtpmap:{OPUS} opus/48000/2",
            *(f"m=video 9 UDP/TLS/RTP/SAVPF {number}", "a=mid:1", "a=sendonly", *transport),
            f"a=rtpmap:{video}",
            *([f"a=fmtp:{number} {parameters}"] if parameters else []),
            "",
        ]
    )


async def watch(hall: Hall, name: str, *, setup: str = "actpass", metered: bool = False) -> tuple[Leg, str]:
    """A connected player; `name` is entered."""
    await hall.media.add_participant(
        "room", name, metered=metered, may_publish=False, options=RoomOptions(("VP8", "H264"))
    )
    leg = hall.leg()
    answer = await hall.media.watch(name, player_offer(leg, setup=setup))
    await leg.connect(answer, "server" if setup == "passive" else "client")
    await until(lambda: hall.of(Connected, name), f"{name} connected")
    return leg, answer


def payload_types(description: str) -> list[tuple[str, tuple[str, ...]]]:
    return [(media.kind, media.formats) for media in sdp.parse(description).media]


async def test_a_player_receives_under_its_own_numbers(hall):
    await hall.add("host")
    host = await hall.publish("host")
    player, answer = await watch(hall, "player")
    assert payload_types(answer) == [
        ("video", (str(PLAYER_VP8), str(PLAYER_RTX))),
        ("audio", (str(PLAYER_OPUS),)),
    ], "one codec an m-line, in the order of the offer"
    assert "a=sendonly" in answer
    assert "a=ssrc" not in answer
    host.video(1, 2)
    host.send_rtp(0xA0D10, OPUS, 1, b"sound")
    await until(lambda: len(player.packets) == 3, "two pictures and a sound")
    assert {packet.payload_type for packet in player.packets} == {PLAYER_VP8, PLAYER_OPUS}
    pictures = [packet for packet in player.packets if packet.payload_type == PLAYER_VP8]
    assert all(b"\x76picture" in packet.extensions for packet in pictures), "mid under the player's number"


async def test_a_player_that_came_first_receives_when_somebody_publishes(hall):
    player, answer = await watch(hall, "player")
    assert payload_types(answer)[0] == ("video", (str(PLAYER_VP8), str(PLAYER_RTX), str(PLAYER_H264))), (
        "whatever the room may carry, because there is no second answer"
    )
    await hall.add("host")
    host = await hall.publish("host")
    host.video(1)
    await until(lambda: player.packets, "a picture")


async def test_a_publisher_who_comes_back_goes_on_under_another_ssrc(hall):
    await hall.add("host")
    host = await hall.publish("host")
    player, _ = await watch(hall, "player")
    host.video(1)
    await until(lambda: len(player.packets) == 1, "a picture")
    again = await hall.publish("host")
    again.video(1)
    await until(lambda: len(player.packets) == 2, "a picture from the new connection")
    first, second = player.packets
    assert first.ssrc != second.ssrc
    assert first.payload_type == second.payload_type


async def test_only_the_hosts_picture_comes_where_there_is_place_for_one(hall):
    await hall.add("payer", metered=True)
    await hall.media.open_gate("payer", None)
    payer = await hall.publish("payer")
    await hall.add("host")
    host = await hall.publish("host")
    player, _ = await watch(hall, "player")
    payer.video(1, payload=b"payer")
    host.video(1)
    await until(lambda: player.packets, "a picture")
    await settle()
    assert {packet.payload for packet in player.packets} == {KEYFRAME}


async def test_a_closed_gate_keeps_everything_from_a_player(hall):
    await hall.add("host")
    host = await hall.publish("host")
    player, _ = await watch(hall, "player", metered=True)
    host.video(1)
    await settle()
    assert player.packets == []
    await hall.media.open_gate("player", None)
    host.video(2)
    await until(lambda: len(player.packets) == 1, "a picture")
    await hall.media.close_gate("player")
    host.video(3)
    await settle()
    assert len(player.packets) == 1


async def test_a_player_that_does_not_decode_what_the_host_sends_is_refused(hall):
    await hall.add("host")
    await hall.publish("host")
    await hall.media.add_participant(
        "room", "player", metered=False, may_publish=False, options=RoomOptions(("VP8", "H264"))
    )
    leg = hall.leg()
    with pytest.raises(NegotiationError, match="VP8"):
        await hall.media.watch("player", player_offer(leg, video=("H264",)))
    assert await hall.media.watch("player", player_offer(leg)), "another offer may follow"
    with pytest.raises(NegotiationError, match="already"):
        await hall.media.watch("player", player_offer(leg))


async def test_a_passive_player_is_called(hall):
    await hall.add("host")
    host = await hall.publish("host")
    player, answer = await watch(hall, "player", setup="passive")
    assert "a=setup:active" in answer
    host.video(1)
    await until(lambda: player.packets, "a picture")


async def test_an_encoder_may_be_passive_and_name_neither_ssrc_nor_mid(hall):
    viewer, _ = await watch(hall, "player")
    await hall.media.add_participant(
        "room", "encoder", metered=False, may_publish=True, options=RoomOptions(), receives=False
    )
    leg = hall.leg()
    answer = await hall.media.publish("encoder", encoder_offer(leg), {})
    assert "a=setup:active" in answer
    leg.learn(answer)
    leg.send(leg.check(without=("PRIORITY",)))
    await until(lambda: leg.responses, "an answer to a check without PRIORITY")
    await leg.connect(answer, "server")
    await until(lambda: hall.of(Connected, "encoder"), "the encoder connected")
    leg.send_rtp(1, VP8, 1, KEYFRAME)
    leg.send_rtp(2, OPUS, 1, b"sound")
    leg.send_rtp(3, 99, 1, b"of no m-line")
    await until(lambda: len(viewer.packets) == 2, "picture and sound")
    await settle()
    assert {packet.payload for packet in viewer.packets} == {KEYFRAME, b"sound"}


@pytest.mark.parametrize("profile", ["42e01f", "42021f", "42001f"])
async def test_baseline_is_taken_however_an_encoder_spells_it(hall, profile):
    await hall.media.add_participant(
        "room", "encoder", metered=False, may_publish=True, options=RoomOptions(), receives=False
    )
    parameters = f"level-asymmetry-allowed=1;packetization-mode=1;profile-level-id={profile}"
    offer = encoder_offer(hall.leg(), video="106 H264/90000", parameters=parameters)
    assert f"a=fmtp:106 {parameters}" in await hall.media.publish("encoder", offer, {})


async def test_an_ice_restart_is_told_as_a_fragment_and_media_goes_on(hall):
    await hall.add("host")
    host = await hall.publish("host")
    player, _ = await watch(hall, "player")
    fragment = await hall.media.refresh_ice("player", "subscribe")
    assert fragment.startswith("a=ice-lite\r\na=ice-ufrag:")
    assert "a=candidate:" in fragment
    former = player.remote_ufrag
    fields = dict(line[2:].split(":", 1) for line in fragment.split("\r\n") if ":" in line)
    player.remote_ufrag, player.remote_password = fields["ice-ufrag"], fields["ice-pwd"]
    assert player.remote_ufrag != former
    player.open_socket()
    await player.nominate()
    host.video(1)
    await until(lambda: player.packets, "a picture at the new address")
    assert (await hall.media.refresh_ice("host", "publish")) != fragment
    with pytest.raises(UnknownParticipantError):
        await hall.media.refresh_ice("player", "publish")
