"""aiortc's own RTCPeerConnection as publisher and as viewer: a second implementation besides browsers."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from fractions import Fraction

import av
import pytest
from aiortc import RTCConfiguration, RTCPeerConnection, RTCSessionDescription
from aiortc.mediastreams import AudioStreamTrack, VideoStreamTrack

from mediaserver.events import Offer
from tests.integration.hangup import hang_up

from .client import until

WIDTH, HEIGHT = 64, 48


class SmallVideo(VideoStreamTrack):
    """Little to encode: what is tested is the way, not the picture."""

    async def recv(self) -> av.VideoFrame:
        pts, _ = await self.next_timestamp()
        frame = av.VideoFrame(WIDTH, HEIGHT, "yuv420p")
        for plane in frame.planes:
            plane.update(bytes(plane.buffer_size))
        frame.pts, frame.time_base = pts, Fraction(1, 90000)
        return frame


@pytest.fixture
async def connections() -> AsyncIterator[list[RTCPeerConnection]]:
    made = [RTCPeerConnection(RTCConfiguration(iceServers=[])) for _ in range(2)]
    yield made
    for connection in made:
        await hang_up(connection)


async def test_aiortc_publishes_and_aiortc_decodes(hall, connections):
    publisher, viewer = connections
    await hall.add("host")
    publisher.addTrack(AudioStreamTrack())
    publisher.addTrack(SmallVideo())
    await publisher.setLocalDescription(await publisher.createOffer())
    answer = await hall.media.publish("host", publisher.localDescription.sdp, {})
    await publisher.setRemoteDescription(RTCSessionDescription(answer, "answer"))

    tracks = {}
    viewer.on("track", lambda track: tracks.setdefault(track.kind, track))
    await hall.add("viewer")
    offer = hall.of(Offer, "viewer")[0]
    await viewer.setRemoteDescription(RTCSessionDescription(offer.sdp, "offer"))
    await viewer.setLocalDescription(await viewer.createAnswer())
    await hall.media.answer("viewer", offer.offer_id, viewer.localDescription.sdp)

    await until(lambda: set(tracks) == {"audio", "video"}, "both tracks")
    async with asyncio.timeout(20):
        for _ in range(5):
            frame = await tracks["video"].recv()
            sound = await tracks["audio"].recv()
    assert (frame.width, frame.height) == (WIDTH, HEIGHT)
    assert sound.sample_rate == 48000
    with contextlib.suppress(asyncio.CancelledError):
        await hang_up(publisher)
    await until(lambda: hall.reasons("host") == ["remote_closed"], "the publisher's leaving was noticed")
