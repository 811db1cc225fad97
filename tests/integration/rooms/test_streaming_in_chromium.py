"""Chromium as encoder and as player, from a page of another origin: a second implementation besides aiortc."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from playwright.async_api import Browser, Page, async_playwright

from tests.integration.harness import App, running_app
from tests.integration.media.chromium import CHROMIUM, FLAGS
from tests.integration.rooms.streaming import encoder, order_key, room_key

SCRIPT = """
async (args) => {
  const post = async (peer) => {
    await peer.setLocalDescription();
    const response = await fetch(args.url, { method: "POST", body: peer.localDescription.sdp,
      headers: { "Content-Type": "application/sdp", Authorization: `Bearer ${args.key}` } });
    if (response.status !== 201) throw new Error(await response.text());
    await peer.setRemoteDescription({ type: "answer", sdp: await response.text() });
    return response.headers.get("Location");
  };
  const peer = window.peer = new RTCPeerConnection();
  if (args.sends) {
    const canvas = document.createElement("canvas");
    setInterval(() => { canvas.getContext("2d").fillRect(Math.random() * 200, 0, 9, 99); }, 50);
    const sound = new AudioContext().createMediaStreamDestination().stream.getTracks()[0];
    peer.addTransceiver(sound, { direction: "sendonly" });
    peer.addTransceiver(canvas.captureStream(20).getTracks()[0], { direction: "sendonly" });
  } else {
    for (const kind of ["audio", "video"]) peer.addTransceiver(kind, { direction: "recvonly" });
    const video = document.createElement("video");
    video.muted = true;
    peer.ontrack = ({ track }) => { if (track.kind === "video") { video.srcObject = new MediaStream([track]); video.play(); } };
  }
  return post(peer);
}
"""
FRAMES = """
async () => Math.max(0, ...[...(await peer.getStats()).values()]
  .filter((s) => s.type === "inbound-rtp" && s.kind === "video").map((s) => s.framesDecoded))
"""
RECEIVED = "async (n) => { const start = await (%s)(); while (await (%s)() < start + n) await new Promise((r) => setTimeout(r, 50)); }"
WATCHING = RECEIVED % (FRAMES, FRAMES)
NEW_SOURCE = """
async () => {
  const sources = async () => new Set([...(await peer.getStats()).values()]
    .filter((s) => s.type === "inbound-rtp" && s.kind === "video" && s.framesDecoded > 0).map((s) => s.ssrc));
  while (![...await sources()].some((ssrc) => !before.has(ssrc))) await new Promise((r) => setTimeout(r, 50));
}
"""
REMEMBER = """
async () => { window.before = new Set([...(await peer.getStats()).values()]
  .filter((s) => s.type === "inbound-rtp" && s.kind === "video").map((s) => s.ssrc)); }
"""


@pytest.fixture
async def app(tmp_path: Path) -> AsyncIterator[App]:
    async with running_app(tmp_path) as running:
        yield running


@pytest.fixture
async def browser() -> AsyncIterator[Browser]:
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield browser
        await browser.close()


async def _stream(browser: Browser, app: App, kind: str, key: str) -> Page:
    page = await browser.new_page()
    page.set_default_timeout(20_000)
    location = await page.evaluate(SCRIPT, {"url": f"{app.url}/{kind}", "key": key, "sends": kind == "whip"})
    assert location.startswith(f"{app.url}/{kind}/")
    return page


async def test_chromium_sends_by_whip_and_watches_by_whep(app: App, browser: Browser) -> None:
    room = await app.create_room()
    await _stream(browser, app, "whip", await room_key(app, room))
    await app.until_state(room, "live")
    order = await app.buy(room)
    page = await _stream(browser, app, "whep", await order_key(app, order))
    await page.evaluate(WATCHING, 10)


async def test_a_player_in_chromium_shows_the_encoder_that_takes_over(app: App, browser: Browser) -> None:
    room = await app.create_room()
    key = await room_key(app, room)
    async with encoder(app, key) as first, encoder(app, key) as second:
        await first.start()
        await app.until_state(room, "live")
        order = await app.buy(room)
        page = await _stream(browser, app, "whep", await order_key(app, order))
        await page.evaluate(WATCHING, 5)
        await page.evaluate(REMEMBER)
        await second.start()
        await page.evaluate(NEW_SOURCE)
