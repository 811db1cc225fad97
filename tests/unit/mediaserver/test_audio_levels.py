"""How loud a packet is, as its sender tells it, and the loudest of those that came in."""

import pytest

from mediaserver.events import TrackInfo
from mediaserver.forwarder import Packet
from mediaserver.negotiation import OFFERED_CODECS, IncomingMedia
from mediaserver.publication import Publication
from mediaserver.rtp import RtpPacket, audio_level

MICROPHONE = IncomingMedia("0", "audio", True, OFFERED_CODECS["opus"], (5,), {}, None, None, 6)


@pytest.mark.parametrize(
    ("extensions", "expected"),
    [
        (b"\x60\x1e", (30, False)),
        (b"\x60\x9e", (30, True)),
        (b"\x60\xff", (127, True)),
        (b"\x51\1\2\0\x60\0", (0, False)),
        (b"\x61\x1e\x1e", (-1, False)),  # not one byte
        (b"\x60", (-1, False)),  # cut off
        (b"\x50\x1e", (-1, False)),  # another one
        (b"", (-1, False)),
    ],
)
def test_the_level_is_seven_bits_and_the_eighth_says_voice(extensions, expected):
    assert audio_level(extensions, 6) == expected
    assert audio_level(extensions, None) == (-1, False)


def send(stage, *levels):
    for level in levels:
        number = stage.forwarder.highest(stage.fanout) + 1
        stage.forwarder.forward(stage.fanout, Packet(number, False, False, 0, b"sound", level))
        for inbox in stage.inboxes:
            inbox.numbers  # noqa: B018 - read it, so that no socket overflows


def test_the_loudest_since_the_last_question_is_told_once(stage):
    stage.subscribe()
    assert stage.forwarder.take_audio_level(stage.fanout) == -1
    send(stage, 90, 30, -1, 60)
    assert stage.forwarder.take_audio_level(stage.fanout) == 30
    assert stage.forwarder.take_audio_level(stage.fanout) == -1
    send(stage, -1, 127)
    assert stage.forwarder.take_audio_level(stage.fanout) == 127


def test_what_is_sent_to_nobody_is_heard_all_the_same(stage):
    gate = stage.gate()
    subscription, _ = stage.subscribe()
    stage.subscribe(gate, ssrc=1001)
    stage.forwarder.set_paused(subscription, True)
    send(stage, 40)
    assert stage.forwarder.take_audio_level(stage.fanout) == 40


def test_a_publication_reads_the_extension_that_was_agreed_on(stage):
    publication = Publication(
        1, TrackInfo("0", "audio", "guest", "microphone"), MICROPHONE, forwarder=stage.forwarder, cname="c", own_ssrc=1,
        send_rtcp=lambda _: None,
    )  # fmt: skip
    publication.encodings[0].receive(RtpPacket(False, False, 111, 1, 0, 5, b"\x60\x9e", b"x"), stage.now_ns)
    assert stage.forwarder.take_audio_level(publication.encodings[0].fanout) == 30
    assert publication.encodings[0].course(5).audio_level_id == 6
