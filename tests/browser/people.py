"""People with browsers: Chromium or Firefox with fake camera and microphone, and what they can see and hear."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

from playwright.sync_api import Browser, BrowserContext, Page, Playwright

from bench import chromium

T = TypeVar("T")

FIREFOX = "/usr/bin/firefox-esr"
FIREFOX_PREFS: dict[str, str | float | bool] = {
    "media.navigator.streams.fake": True,
    "media.navigator.permission.disabled": True,
    "media.autoplay.default": 0,
    "media.peerconnection.ice.obfuscate_host_addresses": False,
    # Without a network of its own the machine is not "offline".
    "network.manage-offline-status": False,
    "app.update.enabled": False,
    "datareporting.policy.dataSubmissionEnabled": False,
    "toolkit.telemetry.enabled": False,
    "browser.safebrowsing.update.enabled": False,
    "services.settings.server": "http://127.0.0.1:9/",
}
# What Chromium has to be asked for; Firefox is told by its preferences and knows only some of these names.
PERMISSIONS = ["camera", "microphone", "clipboard-read", "clipboard-write"]
FLAGS = [
    *chromium.FLAGS,
    # Pages of this test are all in use at once, though only one is in front.
    "--disable-background-timer-throttling",
    "--disable-backgrounding-occluded-windows",
    "--disable-renderer-backgrounding",
]

# Keeps the page's own peer connections within reach of getStats; the page notices nothing.
KEEP_PEERS = """
(() => {
  const Native = window.RTCPeerConnection;
  window.peersUnderTest = [];
  window.RTCPeerConnection = class RTCPeerConnection extends Native {
    constructor(...args) { super(...args); window.peersUnderTest.push(this); }
  };
})();
"""

RECEIVED = """
async () => {
  const sum = {frames: 0, energy: 0, packets: 0};
  for (const peer of window.peersUnderTest ?? []) {
    if (peer.connectionState === 'closed') continue;
    for (const report of (await peer.getStats()).values()) {
      if (report.type !== 'inbound-rtp') continue;
      sum.packets += report.packetsReceived ?? 0;
      sum.frames += report.framesDecoded ?? 0;
      sum.energy += report.totalAudioEnergy ?? 0;
    }
  }
  return sum;
}
"""


ONLY_CANDIDATES = """
(() => {
  const native = RTCPeerConnection.prototype.setRemoteDescription;
  RTCPeerConnection.prototype.setRemoteDescription = function (description) {
    const lines = description.sdp.split('\\r\\n');
    const kept = lines.filter((line) => !line.startsWith('a=candidate') || line.includes(' WORD '));
    return native.call(this, {type: description.type, sdp: kept.join('\\r\\n')});
  };
})();
"""


@dataclass(frozen=True, slots=True)
class Received:
    """What came out of a page's decoders so far, all streams together."""

    frames: int
    energy: float
    packets: int


def launch(playwright: Playwright) -> Browser:
    return playwright.chromium.launch(executable_path=chromium.CHROMIUM, args=FLAGS)


def launch_firefox(playwright: Playwright) -> Browser:
    """Debian's own Firefox, over WebDriver BiDi."""
    return playwright.firefox.launch(
        channel="moz-firefox", executable_path=FIREFOX, firefox_user_prefs=FIREFOX_PREFS
    )


class Person:
    """One browser profile with its pages. A page error (an uncaught exception) fails the test at `close`."""

    def __init__(self, browser: Browser, name: str, *, width: int = 1440, height: int = 900) -> None:
        self.name = name
        self.errors: list[str] = []
        self.context: BrowserContext = browser.new_context(
            viewport={"width": width, "height": height},
            permissions=PERMISSIONS if browser.browser_type.name == "chromium" else None,
            locale="en-GB",
        )
        self.context.add_init_script(KEEP_PEERS)
        self.context.set_default_timeout(15_000)
        self.page = self.open()

    def reaches_only(self, word: str) -> None:
        """Of the server's candidates this browser gets no further than to those with `word`: `tcp`, an address."""
        self.context.add_init_script(ONLY_CANDIDATES.replace("WORD", word))

    def open(self, url: str | None = None) -> Page:
        """Another tab."""
        page = self.context.new_page()
        page.on("pageerror", lambda error: self.errors.append(f"{self.name}: {error}"))
        if url is not None:
            page.goto(url)
        return page

    def close(self) -> None:
        self.context.close()
        assert self.errors == []


def received(page: Page) -> Received:
    found: dict[str, Any] = page.evaluate(RECEIVED)
    return Received(int(found["frames"]), float(found["energy"]), int(found["packets"]))


def wait_until(
    page: Page, what: str, look: Callable[[], T], timeout_s: float = 15.0, every_ms: int = 100
) -> T:
    """The first true answer of `look`; fails by naming `what` did not happen."""
    until = time.monotonic() + timeout_s
    while not (found := look()):
        assert time.monotonic() < until, f"not within {timeout_s:g} s: {what}"
        page.wait_for_timeout(every_ms)  # lets the other pages' events through, unlike time.sleep
    return found


def sees_and_hears(page: Page, frames: int = 10, timeout_s: float = 20.0) -> None:
    """At least `frames` more frames are decoded from now on, and sound comes out of the decoder."""
    before = received(page)

    def grew() -> bool:
        now = received(page)
        return now.frames >= before.frames + frames and now.energy > before.energy

    wait_until(page, "frames decoded and sound heard", grew, timeout_s)


def receives_nothing(page: Page, for_s: float = 1.5, within_s: float = 6.0) -> bool:
    """No packet at all arrives for so long, beginning soon: a busy machine takes a moment to read what has arrived."""
    until = time.monotonic() + within_s
    before, since = received(page).packets, time.monotonic()
    while time.monotonic() - since < for_s:
        if time.monotonic() > until:
            return False
        page.wait_for_timeout(100)
        now = received(page).packets
        if now > before:
            before, since = now, time.monotonic()
    return True
