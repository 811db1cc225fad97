"""Real Chromium on both sides: every codec that rooms allow is published, forwarded and decoded."""

import pytest
from aiohttp.test_utils import TestServer
from playwright.async_api import Browser

from mediaserver.events import RoomOptions

from .chromium import App
from .pages import connected, decodes, enter, frames, until

pytestmark = pytest.mark.browser


@pytest.mark.parametrize("codec", ["VP8", "H264", "VP9", "AV1"])
async def test_every_codec_is_decoded_by_the_subscriber_with_sound(browser: Browser, codec: str) -> None:
    app = App(RoomOptions(video_codecs=(codec,)))
    async with TestServer(app.application()) as server:
        context = await browser.new_context()
        host, viewer = await enter(context, server, "host"), await enter(context, server, "viewer")
        assert await host.evaluate("publish({audio: true, video: {width: 320, height: 240}})") == "ok"
        await until(lambda: decodes(viewer), f"frames of {codec} decoded")
        video, audio = (await frames(viewer))[0], (await frames(viewer, "audio"))[0]
        assert video["codec"] == f"video/{codec}"
        assert int(str(audio["packets"])) > 20
        assert float(str(audio["energy"])) > 0
        assert video["lost"] == 0
        await context.close()


async def test_the_subscribe_transport_connects_with_nothing_to_receive_and_shows_a_later_publication(
    browser: Browser,
) -> None:
    app = App(RoomOptions())
    async with TestServer(app.application()) as server:
        context = await browser.new_context()
        viewer = await enter(context, server, "viewer")
        await until(lambda: connected(viewer), "the empty subscribe transport is connected")
        assert await viewer.evaluate("tracks") == []
        host = await enter(context, server, "host")
        assert await host.evaluate("publish({audio: true, video: true})") == "ok"
        await until(lambda: decodes(viewer), "the later publication is decoded")
        assert [track["source"] for track in await viewer.evaluate("tracks")] == ["microphone", "camera"]
        await context.close()


async def test_a_line_is_used_again_by_the_next_publication_in_another_codec(browser: Browser) -> None:
    app = App(RoomOptions(video_codecs=("VP8",)))
    async with TestServer(app.application()) as server:
        context = await browser.new_context()
        viewer, host = await enter(context, server, "viewer"), await enter(context, server, "host")
        assert await host.evaluate("publish({audio: true, video: true})") == "ok"
        await until(lambda: decodes(viewer), "the first publication is decoded")
        await host.evaluate("pub.close()")
        await until(lambda: viewer.evaluate("tracks.length === 0"), "the tracks are gone")
        app.options = RoomOptions(video_codecs=("VP9",))
        other = await enter(context, server, "other")
        assert await other.evaluate("publish({audio: true, video: true})") == "ok"
        await until(lambda: viewer.evaluate("tracks.length === 2"), "the other tracks are offered")
        assert [track["mid"] for track in await viewer.evaluate("tracks")] == ["0", "1"]

        async def next_is_decoded() -> bool:
            return any(
                item["codec"] == "video/VP9" and int(str(item["frames"])) > 20
                for item in await frames(viewer)
            )

        await until(next_is_decoded, "the next publication is decoded on the same line")
        await context.close()


async def test_a_page_that_closes_is_noticed_at_once(browser: Browser) -> None:
    app = App(RoomOptions())
    async with TestServer(app.application()) as server:
        context = await browser.new_context()
        host = await enter(context, server, "host")
        assert await host.evaluate("publish({audio: true, video: false})") == "ok"
        await until(lambda: host.evaluate("pub.connectionState === 'connected'"), "connected")
        await host.evaluate("pub.close()")

        async def told() -> bool:
            return bool(
                await host.evaluate("ended?.transport === 'publish' && ended.reason === 'remote_closed'")
            )

        await until(told, "remote_closed", seconds=3)
        await context.close()
