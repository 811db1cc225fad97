"""What a viewer tells of its line decides what it is sent, it alone; and the meter knows nothing of it."""

import asyncio

import pytest

from mediaserver import planes, rtcp
from mediaserver.events import Reception

from .client import HOST_AUDIO, OPUS, Hall, until


def remb(bps, ssrc):
    exponent = max(0, bps.bit_length() - 18)
    word = (1 << 24 | exponent << 18 | bps >> exponent).to_bytes(4, "big")
    return rtcp._packet(15, 206, bytes(8) + b"REMB" + word + ssrc.to_bytes(4, "big"))


class Call(Hall):
    """A host who sends sound and 800 kbit/s of picture, in the background, until the end."""

    async def begin(self, *viewers, metered=()):
        await self.add("host")
        self.host = await self.publish("host")
        self.viewers = {}
        for name in viewers:
            await self.add(name, metered=name in metered)
            if name in metered:
                await self.media.open_gate(name, None)
            self.viewers[name] = await self.view(name)
        self._sending = asyncio.create_task(self._send())
        await until(lambda: all(self.pictures(name) > 20 for name in viewers), "pictures for everybody")

    async def _send(self):
        number = 1
        while True:
            self.host.send_rtp(HOST_AUDIO, OPUS, number & 0xFFFF, bytes(60))
            self.host.video(
                2 * number & 0xFFFF, 2 * number + 1 & 0xFFFF, payload=b"\x10\x00\x00\x9d\x01\x2a" + bytes(994)
            )
            number += 1
            await asyncio.sleep(0.02)

    async def end(self):
        self._sending.cancel()
        await asyncio.gather(self._sending, return_exceptions=True)

    def pictures(self, name):
        return len(self.viewers[name].leg.payloads("video"))

    def sounds(self, name):
        return len(self.viewers[name].leg.payloads("audio"))

    def tell(self, name, bps):
        viewer = self.viewers[name]
        viewer.leg.send_rtcp(remb(bps, viewer.ssrc()))

    def states(self, name):
        return [event.state for event in self.of(Reception, name)]


@pytest.fixture(params=["python", "native"])
async def call(request):
    if request.param == "native" and planes.dataplane is None:
        pytest.skip("the native data plane is not compiled")
    async with Call(plane=request.param) as call:
        yield call
        await call.end()


async def test_a_narrow_line_keeps_the_sound_and_takes_nothing_from_others(call):
    await call.begin("slow", "fast", metered=("slow",))
    call.tell("slow", 120_000)
    await until(lambda: call.states("slow")[-1:] == ["audio_only"], "the pause of the picture")
    asked = sum(len(feedback.keyframes) for feedback in call.host.feedback)
    before = {name: (call.pictures(name), call.sounds(name)) for name in call.viewers}
    await until(lambda: call.sounds("slow") > before["slow"][1] + 25, "further sound")
    assert call.pictures("slow") <= before["slow"][0] + 4  # what was under way
    await until(lambda: call.pictures("fast") > before["fast"][0] + 25, "further pictures for the other")
    assert call.states("fast") == ["good"]

    call.tell("slow", 5_000_000)
    paused = call.pictures("slow")
    await until(lambda: call.pictures("slow") > paused + 20, "the picture again")
    assert sum(len(feedback.keyframes) for feedback in call.host.feedback) > asked
    await until(lambda: call.states("slow")[-1:] == ["good"], "good reception")
    assert call.of(Reception, "slow")[-1].estimate_bps == pytest.approx(5_000_000, rel=0.01)
    report = await call.media.close_gate("slow")
    assert report.stopped_ms - report.last_forwarded_ms < 1000


async def test_what_nobody_looks_at_is_not_sent(call):
    await call.begin("viewer")
    (video,) = (track.mid for track in call.viewers["viewer"].offers[-1].tracks if track.kind == "video")
    await call.media.set_view("viewer", {video: (0, 0)})
    subscriber = call.media._participants["viewer"].subscriber
    await until(lambda: any(s.subscription.paused for s in subscriber._sections if s.subscription), "a pause")
    await asyncio.sleep(0.1)
    before = call.pictures("viewer"), call.sounds("viewer")
    await until(lambda: call.sounds("viewer") > before[1] + 20, "further sound")
    assert call.pictures("viewer") == before[0]
    assert call.states("viewer") == ["good"]
    await call.media.set_view("viewer", {video: (640, 360)})
    await until(lambda: call.pictures("viewer") > before[0], "the picture again")
