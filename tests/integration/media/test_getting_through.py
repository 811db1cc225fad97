"""Networks that are not plain: no UDP, IPv6, a public address that the machine does not have, one that changes."""

import pytest
from aiohttp.test_utils import TestServer
from playwright.async_api import Browser, Page

from mediaserver.events import Closed, RoomOptions
from tests.router import Router

from .chromium import App
from .client import Hall, Leg
from .client import until as until_here
from .pages import decodes, enter, frames, until

VIDEO = "publish({audio: true, video: {width: 320, height: 240}})"
OUTER = "127.0.0.2"


@pytest.mark.browser
@pytest.mark.parametrize("plane", ["python", "auto"])
async def test_chromium_publishes_and_watches_without_any_udp(browser: Browser, plane: str) -> None:
    app = App(RoomOptions(), plane=plane)
    async with TestServer(app.application()) as server:
        context = await browser.new_context()
        host = await enter(context, server, "host", "&only=tcp")
        viewer = await enter(context, server, "viewer", "&only=tcp")
        assert await host.evaluate(VIDEO) == "ok"
        await until(lambda: decodes(viewer), "frames are decoded")
        assert set(await host.evaluate("paths()")) == {"tcp"}
        assert set(await viewer.evaluate("paths()")) == {"tcp"}
        assert (await frames(viewer))[0]["lost"] == 0
        await context.close()


@pytest.mark.browser
async def test_chromium_prefers_udp_where_both_work(browser: Browser) -> None:
    app = App(RoomOptions())
    async with TestServer(app.application()) as server:
        context = await browser.new_context()
        host, viewer = await enter(context, server, "host"), await enter(context, server, "viewer")
        assert await host.evaluate(VIDEO) == "ok"
        await until(lambda: decodes(viewer), "frames are decoded")
        assert set(await viewer.evaluate("paths()")) == {"udp"}
        peers = [peer for p in app.media._participants.values() for _, peer in p.peers()]
        assert {peer.agent.route[0].protocol for peer in peers if peer.agent.route} == {"udp"}
        await context.close()


async def test_a_client_on_ipv6_publishes_and_another_watches() -> None:
    async with Hall(addresses=("::1", "127.0.0.1")) as hall:
        await hall.add("host")
        host = Leg(("::1", hall.media.port))
        hall.legs.append(host)
        answer = await hall.media.publish("host", host.offer(), {})
        assert f"udp 2130706431 ::1 {hall.media.port} typ host" in answer
        await host.connect(answer)
        await hall.add("viewer")
        viewer = await hall.view("viewer")
        assert viewer.leg.server[0] == "127.0.0.1"
        host.video(1)
        await until_here(lambda: len(viewer.leg.packets) == 1, "a packet from IPv6 to IPv4")


@pytest.mark.browser
async def test_chromium_publishes_and_watches_over_ipv6_by_udp_and_by_tcp(browser: Browser) -> None:
    app = App(RoomOptions(), addresses=("::1",))
    async with TestServer(app.application()) as server:
        context = await browser.new_context()
        host = await enter(context, server, "host", "&only=tcp")
        viewer = await enter(context, server, "viewer")
        assert await host.evaluate(VIDEO) == "ok"
        await until(lambda: decodes(viewer), "frames are decoded")
        assert set(await host.evaluate("paths()")) == {"tcp"}
        assert set(await viewer.evaluate("paths()")) == {"udp"}
        await context.close()


@pytest.mark.browser
async def test_browsers_reach_a_server_whose_public_address_is_another_than_its_own(browser: Browser) -> None:
    app = App(RoomOptions(), advertised=(OUTER,))
    async with TestServer(app.application()) as server:
        with Router(OUTER, ("127.0.0.1", app.media.port)) as router:
            context = await browser.new_context()
            host, viewer = await enter(context, server, "host"), await enter(context, server, "viewer")
            assert await host.evaluate(VIDEO) == "ok"
            await until(lambda: decodes(viewer), "frames are decoded")
            assert len(router.clients) >= 2
            await context.close()


async def _state(page: Page, connection: str, state: str) -> bool:
    return bool(await page.evaluate(f"{connection}.connectionState === '{state}'"))


@pytest.mark.browser
async def test_media_goes_on_after_both_clients_changed_their_network_and_restarted_ice(
    browser: Browser,
) -> None:
    app = App(RoomOptions(), advertised=(OUTER,))
    async with TestServer(app.application()) as server:
        with Router(OUTER, ("127.0.0.1", app.media.port)) as router:
            context = await browser.new_context()
            host, viewer = await enter(context, server, "host"), await enter(context, server, "viewer")
            assert await host.evaluate(VIDEO) == "ok"
            await until(lambda: decodes(viewer), "frames are decoded")
            before = router.clients
            router.forget_all()
            await until(lambda: _state(host, "pub", "disconnected"), "the host's page notices", 20)
            await until(lambda: _state(viewer, "sub", "disconnected"), "the viewer's page notices", 20)
            seen = int(str((await frames(viewer))[0]["frames"]))
            await host.evaluate("pub.restartIce(); renegotiate()")
            await app.media.restart("viewer", "subscribe")
            await until(lambda: decodes(viewer, seen + 20), "frames are decoded again")
            assert router.clients.isdisjoint(before)
            assert not [event for event in app.events if isinstance(event, Closed)]
            await context.close()
