"""Simulcast over real transports: which SSRC is which encoding, and viewers who go from one to another."""

import asyncio

import pytest

from mediaserver.encoding import Encoding
from mediaserver.publication import Publication

from .client import HOST_AUDIO, OPUS, RTX, VP8, Hall, Leg, Viewer, settle, simulcast_extension, until

LOW, HIGH, LOW_RTX, HIGH_RTX = 101, 103, 201, 203
KEY = b"\x10\x00\x00\x00\x9d\x01\x2a"
DELTA = b"\x10\x01"


def camera(hall: Hall) -> Publication:
    publisher = hall.media._participants["host"].publisher
    assert publisher is not None
    return publisher.publications["v"]


def ssrcs(hall: Hall) -> dict[str, int | None]:
    return {encoding.rid: encoding.ssrc for encoding in camera(hall).encodings}


class Scene:
    """A host with two encodings, and one viewer."""

    def __init__(self, hall: Hall, host: Leg, viewer: Viewer) -> None:
        self.hall, self.host, self.viewer = hall, host, viewer
        self.number = {LOW: 500, HIGH: 9000}
        self.subscriber = hall.media._participants["viewer"].subscriber
        assert self.subscriber is not None
        self.subscriber.tick = lambda _: None  # here the test decides who gets what

    @classmethod
    async def open(cls, hall: Hall) -> "Scene":
        await hall.add("host")
        host = await hall.publish("host", rids=("l", "h"))
        await hall.add("viewer")
        return cls(hall, host, await hall.view("viewer"))

    def send(self, ssrc: int, payload: bytes, extension: bytes = b"") -> None:
        self.number[ssrc] += 1
        self.host.send_rtp(ssrc, VP8, self.number[ssrc], payload, extension=extension)

    async def begin(self) -> None:
        self.send(LOW, KEY + b"low", simulcast_extension("l"))
        self.send(HIGH, KEY + b"high", simulcast_extension("h"))
        await until(lambda: ssrcs(self.hall) == {"l": LOW, "h": HIGH}, "both encodings are bound")

    def select(self, rid: str) -> Encoding:
        encoding = camera(self.hall).encoding(rid)
        assert encoding is not None
        assert self.subscriber is not None
        (section,) = (s for s in self.subscriber._sections if s.available and s.offered.kind == "video")
        assert section.subscription is not None
        camera(self.hall).select(section.subscription, encoding)
        return encoding

    async def see(self, *payloads: bytes) -> None:
        await until(lambda: len(self.viewer.leg.payloads()) >= len(payloads), f"{payloads} arrive")
        await settle()
        assert self.viewer.leg.payloads() == list(payloads)


async def test_packets_name_their_encoding_once_and_the_ssrc_stays_bound(hall: Hall) -> None:
    scene = await Scene.open(hall)
    await scene.begin()
    scene.send(LOW, DELTA + b"2")
    scene.send(HIGH, DELTA + b"2")
    await scene.see(KEY + b"low", DELTA + b"2")


async def test_an_ssrc_that_names_no_encoding_reaches_nobody(hall: Hall) -> None:
    scene = await Scene.open(hall)
    await scene.begin()
    scene.host.send_rtp(7, VP8, 5, KEY, extension=b"\xbe\xde\x00\x01\x40v\x00\x00")
    scene.host.send_rtp(8, VP8, 5, KEY, extension=simulcast_extension("x"))
    scene.host.send_rtp(9, VP8, 5, KEY)
    await scene.see(KEY + b"low")


async def test_a_viewer_goes_up_at_a_keyframe_and_down_again(hall: Hall) -> None:
    scene = await Scene.open(hall)
    await scene.begin()
    await scene.see(KEY + b"low")
    scene.select("h")
    await until(lambda: any(HIGH in feedback.keyframes for feedback in scene.host.feedback), "a request")
    scene.send(LOW, DELTA + b"2")
    scene.send(HIGH, DELTA + b"2")
    scene.send(HIGH, KEY + b"up")
    scene.send(LOW, DELTA + b"3")
    scene.send(HIGH, DELTA + b"up 2")
    await scene.see(KEY + b"low", DELTA + b"2", KEY + b"up", DELTA + b"up 2")
    scene.select("l")
    scene.send(LOW, KEY + b"down")
    await scene.see(KEY + b"low", DELTA + b"2", KEY + b"up", DELTA + b"up 2", KEY + b"down")
    numbers = [packet.sequence for packet in scene.viewer.leg.packets]
    assert numbers == [(numbers[0] + n) & 0xFFFF for n in range(5)]


async def test_a_retransmission_names_the_encoding_that_it_repairs(hall: Hall) -> None:
    scene = await Scene.open(hall)
    await scene.begin()
    scene.number[LOW] += 1
    lost = scene.number[LOW]
    scene.send(LOW, DELTA + b"3")
    await until(
        lambda: any(nack == (LOW, [lost]) for f in scene.host.feedback for nack in f.nacks), "it is asked for"
    )
    repair = lost.to_bytes(2, "big") + DELTA + b"2"
    scene.host.send_rtp(HIGH_RTX, RTX, 1, repair, extension=simulcast_extension("h", repair=True))
    scene.host.send_rtp(LOW_RTX, RTX, 1, repair, extension=simulcast_extension("l", repair=True))
    await scene.see(KEY + b"low", DELTA + b"3", DELTA + b"2")


async def test_a_new_description_leaves_encodings_bound(hall: Hall) -> None:
    scene = await Scene.open(hall)
    await scene.begin()
    before = camera(hall)
    await hall.media.publish("host", scene.host.offer(rids=("l", "h")), {})
    assert camera(hall) is before
    scene.send(LOW, DELTA + b"2")
    await scene.see(KEY + b"low", DELTA + b"2")


async def test_an_encoding_that_begins_anew_takes_the_place_of_its_former_ssrc(hall: Hall) -> None:
    scene = await Scene.open(hall)
    await scene.begin()
    await scene.see(KEY + b"low")
    scene.host.send_rtp(111, VP8, 3, KEY + b"anew", extension=simulcast_extension("l"))
    await scene.see(KEY + b"low", KEY + b"anew")
    assert ssrcs(hall) == {"l": 111, "h": HIGH}


async def test_a_publisher_that_removes_an_encoding_is_seen_in_the_one_that_is_left(hall: Hall) -> None:
    scene = await Scene.open(hall)
    await scene.begin()
    scene.select("h")
    scene.send(HIGH, KEY + b"up")
    await scene.see(KEY + b"low", KEY + b"up")
    await hall.media.publish("host", scene.host.offer(video=LOW), {})
    await asyncio.sleep(0)
    await scene.viewer.follow()
    scene.send(LOW, KEY + b"alone")
    await scene.see(KEY + b"low", KEY + b"up", KEY + b"alone")


async def test_by_itself_a_viewer_gets_the_largest_encoding_that_comes_and_its_view_needs(hall: Hall) -> None:
    await hall.add("host")
    host = await hall.publish("host", rids=("l", "h"))
    await hall.add("viewer")
    viewer = await hall.view("viewer")
    number = {LOW: 500, HIGH: 9000}

    async def reaches(wanted: bytes, *sent: int) -> None:
        for _ in range(200):
            for ssrc in sent:
                number[ssrc] += 1
                payload = KEY + (b"low" if ssrc == LOW else b"high")
                extension = simulcast_extension("l" if ssrc == LOW else "h")
                host.send_rtp(ssrc, VP8, number[ssrc], payload, extension=extension)
            await asyncio.sleep(0.02)
            if viewer.leg.payloads()[-1:] == [KEY + wanted]:
                return
        pytest.fail(f"never saw {wanted!r}")

    await reaches(b"low", LOW)
    await reaches(b"high", LOW, HIGH)
    await hall.media.set_view("viewer", {viewer_mid(viewer): (300, 200)})
    await reaches(b"low", LOW, HIGH)
    await hall.media.set_view("viewer", {})
    await reaches(b"high", LOW, HIGH)
    hall.clock.ahead_ns += 2_000_000_000
    await reaches(b"low", LOW)


def viewer_mid(viewer: Viewer) -> str:
    return next(track.mid for track in viewer.offers[-1].tracks if track.kind == "video")


async def test_sound_is_not_touched_by_it(hall: Hall) -> None:
    scene = await Scene.open(hall)
    await scene.begin()
    scene.host.send_rtp(HOST_AUDIO, OPUS, 5, b"sound")
    await until(lambda: scene.viewer.leg.payloads("audio") == [b"sound"], "sound")
