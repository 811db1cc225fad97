"""A shared screen, and a line that is too weak for pictures."""

from playwright.sync_api import Page, expect

from tests.browser import moves
from tests.browser.conftest import NewPerson
from tests.browser.look import Look
from tests.browser.people import Person, wait_until
from tests.browser.server import Server

# What getStats tells on a line that loses every fifth packet; Chromium's own throttling does not reach WebRTC.
LOSES_PACKETS = """
(() => {
  const Native = window.RTCPeerConnection;
  const getStats = Native.prototype.getStats;
  window.losesPackets = false;
  Native.prototype.getStats = async function (...args) {
    const report = await getStats.apply(this, args);
    if (!window.losesPackets) return report;
    const entries = new Map();
    for (const [id, entry] of report) {
      const lost = Math.floor((entry.packetsReceived ?? 0) / 4);
      entries.set(id, entry.type === "inbound-rtp" ? { ...entry, packetsLost: lost } : entry);
    }
    return entries;
  };
})();
"""


def screen_plays(page: Page) -> bool:
    """The big picture is the screen's, and it moves."""
    played = """() => {
      const video = document.querySelector(".stage__spotlight video[data-source=screen]");
      return video !== null && video.videoWidth > 0 && video.currentTime > 0 && !video.paused;
    }"""
    return bool(page.evaluate(played))


def shares(ana: Person, bo: Person, look: Look) -> None:
    ana.page.locator("[data-control=screen]").click()
    expect(bo.page.locator("#stage")).to_have_attribute("data-mode", "screen")
    wait_until(bo.page, "the shared screen plays", lambda: screen_plays(bo.page))
    expect(bo.page.get_by_text("Ana's screen")).to_be_visible()
    face = bo.page.locator(".stage__grid .tile video")
    assert face.count() == 1, "the host's face stays beside the screen"
    big, small = (
        bo.page.locator(".stage__spotlight .tile").bounding_box(),
        bo.page.locator(".stage__grid .tile").bounding_box(),
    )
    assert big is not None
    assert small is not None
    assert big["width"] * big["height"] > 4 * small["width"] * small["height"], "the screen takes the stage"
    expect(ana.page.get_by_text("You are sharing your screen")).to_be_visible()
    look(bo.page, "call-screen", schemes=("light",))
    look(ana.page, "studio-sharing", schemes=("light",))


def stops_sharing(ana: Person, bo: Person) -> None:
    ana.page.locator(".stage__banners").get_by_role("button", name="Stop sharing").click()
    expect(bo.page.locator("#stage")).to_have_attribute("data-mode", "grid")
    expect(ana.page.get_by_text("You are sharing your screen")).to_be_hidden()


def test_a_shared_screen_takes_the_stage_and_a_weak_line_is_told(
    server: Server, person: NewPerson, look: Look
) -> None:
    room = server.create_room()
    ana, bo = person("Ana"), person("Bo")
    bo.context.add_init_script(LOSES_PACKETS)
    moves.host_enters(ana, room)
    order = server.buy(room, "Bo")
    moves.payer_enters(bo, order, server.url)
    shares(ana, bo, look)
    stops_sharing(ana, bo)

    bo.page.evaluate("window.losesPackets = true")
    weak = bo.page.get_by_text("Your connection is weak")
    expect(weak).to_be_visible()
    look(bo.page, "call-poor-line", schemes=("light",))
    bo.page.get_by_role("button", name="Turn my camera off").click()
    expect(bo.page.locator("[data-control=camera]")).to_contain_text("Camera on")
    bo.page.evaluate("window.losesPackets = false")
    expect(weak).to_be_hidden()
