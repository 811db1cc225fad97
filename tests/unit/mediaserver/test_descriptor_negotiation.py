"""AV1's dependency descriptor in offers and answers: for AV1 alone, and only where both forms of extensions may mix."""

import pytest

from mediaserver.negotiation import (
    DESCRIPTOR_URI,
    OFFERED_CODECS,
    OutgoingMedia,
    read_publish_offer,
    read_subscribe_answer,
    read_watch_offer,
    write_publish_answer,
    write_subscribe_offer,
    write_watch_answer,
)

from .test_real_descriptions import LOCAL, read

EXTMAP = f"a=extmap:12 {DESCRIPTOR_URI}"


def published(codec, change=lambda text: text):
    offer = read_publish_offer(change(read("chromium-simulcast-offer")), [codec])
    return offer.incoming[1], write_publish_answer(offer, LOCAL, 1).split("\r\n")


def test_an_av1_publisher_is_asked_for_it_in_whichever_form_it_needs():
    media, answer = published("AV1")
    assert media.descriptor_id == 12
    assert EXTMAP in answer
    assert "a=extmap-allow-mixed" in answer


@pytest.mark.parametrize("codec", ["VP8", "VP9", "H264"])
def test_nobody_else_is_asked_for_it(codec):
    media, answer = published(codec)
    assert media.descriptor_id is None
    assert EXTMAP not in answer
    assert "a=extmap-allow-mixed" not in answer


def test_a_publisher_that_cannot_mix_the_forms_is_not_asked_for_it():
    media, answer = published("AV1", lambda text: text.replace("a=extmap-allow-mixed\r\n", ""))
    assert media.descriptor_id is None
    assert EXTMAP not in answer


def outgoing(codec):
    return OutgoingMedia("0", "video", OFFERED_CODECS[codec], 5, 6, "cname", "stream")


@pytest.mark.parametrize(("codec", "offered"), [("AV1", True), ("VP9", False), ("VP8", False)])
def test_viewers_are_offered_it_with_av1(codec, offered):
    offer = write_subscribe_offer([outgoing(codec)], LOCAL, 1)
    assert (DESCRIPTOR_URI in offer) is offered


@pytest.mark.parametrize(("takes", "identifier"), [(True, 5), (False, 0)])
def test_it_is_sent_to_who_took_it(takes, identifier):
    section = outgoing("AV1")
    answer = (
        write_subscribe_offer([section], LOCAL, 1)
        .replace("actpass", "active")
        .replace("sendonly", "recvonly")
    )
    if not takes:
        answer = "\r\n".join(line for line in answer.split("\r\n") if DESCRIPTOR_URI not in line)
    assert read_subscribe_answer(answer, [section]).extensions["0"].descriptor_id == identifier


def test_a_viewer_that_offers_it_is_answered_with_its_own_number():
    text = read("chromium-simulcast-offer").replace("a=sendonly", "a=recvonly")
    offer = read_watch_offer(text, ["AV1"])
    video = next(media for media in offer.watched if media.kind == "video")
    assert video.extensions.descriptor_id == 12
    chosen = {media.mid: media.codecs for media in offer.watched}
    assert EXTMAP in write_watch_answer(offer, chosen, LOCAL, "stream").split("\r\n")
