"""Real Chromium as several microphones: it tells how loud it is, and what is passed on sounds."""

import pytest
from aiohttp.test_utils import TestServer
from playwright.async_api import Browser, Page

from mediaserver.events import RoomOptions, Speakers

from .chromium import App
from .pages import enter, frames, until

pytestmark = pytest.mark.browser

# A tone in place of the microphone; `volume.gain.value` says how loud it is.
TONE = """
  const audio = new AudioContext(), tone = audio.createOscillator(), out = audio.createMediaStreamDestination();
  window.volume = audio.createGain();
  volume.gain.value = 0;
  tone.connect(volume).connect(out);
  tone.start();
  navigator.mediaDevices.getUserMedia = async () => out.stream;
"""
GUESTS = frozenset({"ann", "ben"})


async def say(page: Page, gain: float) -> None:
    await page.evaluate(f"volume.gain.value = {gain}")


async def hears(page: Page) -> dict[str, tuple[float, int, int]]:
    """By who is heard: energy, packets, packets lost."""
    whose = {track["mid"]: track["participant_id"] for track in await page.evaluate("tracks")}
    found = await frames(page, "audio")
    return {
        whose[str(item["mid"])]: (
            float(str(item["energy"])),
            int(str(item["packets"])),
            int(str(item["lost"])),
        )
        for item in found
        if item["mid"] in whose
    }


async def grows(page: Page, who: str) -> bool:
    """The sound of somebody is there and goes on."""
    before = (await hears(page)).get(who, (0.0, 0, 0))
    await page.wait_for_timeout(300)
    return (await hears(page)).get(who, (0.0, 0, 0))[0] > before[0] + 0.001


async def test_the_loudest_is_passed_on_and_named_and_takes_turns(browser: Browser) -> None:
    app = App(RoomOptions(), GUESTS, plane="auto", audio_streams_max=1)

    def speaking() -> tuple[str, ...]:
        told = [event for event in app.events if isinstance(event, Speakers)]
        return told[-1].participant_ids if told else ()

    async def speaks(*names: str) -> bool:
        return speaking() == names

    async with TestServer(app.application()) as server:
        context = await browser.new_context()
        pages = {name: await enter(context, server, name) for name in ("host", "ann", "ben")}
        for name, page in pages.items():
            await page.evaluate(f"() => {{ {TONE} }}")
            await app.media.open_gate(name, None)
            assert await page.evaluate("publish({audio: true})") == "ok"
        host = pages["host"]
        await say(pages["ann"], 0.3)
        await until(lambda: speaks("ann"), "ann is named")
        await until(lambda: grows(host, "ann"), "ann is heard")
        await say(pages["ann"], 0)
        await say(pages["ben"], 0.3)
        await until(lambda: grows(host, "ben"), "ben is heard")
        await until(lambda: speaks("ben"), "ben alone is named")
        before = (await hears(host))["ann"]
        await until(lambda: grows(host, "ben"), "ben is still heard")
        after = (await hears(host))["ann"]
        assert after[1] == before[1], "ann is not passed on any more"
        assert [lost for _, _, lost in (await hears(host)).values()] == [0, 0], "a pause looks like a loss"
        await say(pages["ben"], 0)
        await say(host, 0.3)
        await until(lambda: speaks("host"), "the host is named")
        await until(lambda: grows(pages["ann"], "host"), "the host is heard")
        await context.close()
