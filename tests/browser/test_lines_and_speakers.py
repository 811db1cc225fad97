"""How the line is, on both sides of a call; who speaks; and what pages tell of the size of their pictures."""

from playwright.sync_api import Page, expect

from tests.browser import moves
from tests.browser.conftest import NewPerson
from tests.browser.look import Look
from tests.browser.overheard import Message, Overheard, participant_id
from tests.browser.people import Person, wait_until
from tests.browser.server import Server

# What getStats tells of pictures that no longer come, and of a sender whose packets get lost.
STANDS_STILL = """
(() => {
  const getStats = RTCPeerConnection.prototype.getStats;
  window.standsStill = false;
  window.losesOwn = false;
  const changed = (entry) => {
    if (window.standsStill && entry.type === "inbound-rtp" && entry.kind === "video") return {...entry, framesDecoded: 7};
    if (window.losesOwn && entry.type === "remote-inbound-rtp") return {...entry, fractionLost: 0.2};
    return entry;
  };
  RTCPeerConnection.prototype.getStats = async function (...args) {
    const report = await getStats.apply(this, args);
    return new Map([...report].map(([id, entry]) => [id, changed(entry)]));
  };
})();
"""
HIDE = """
(hidden) => {
  Object.defineProperty(document, "hidden", { configurable: true, get: () => hidden });
  document.dispatchEvent(new Event("visibilitychange"));
}
"""


def in_a_call(server: Server, person: NewPerson) -> tuple[Person, Person, Overheard, Overheard]:
    """Ana hosts, Bo has paid and is in; what both pages say and hear."""
    room = server.create_room()
    ana, bo = person("Ana"), person("Bo")
    for someone in (ana, bo):
        someone.context.add_init_script(STANDS_STILL)
    of_ana, of_bo = Overheard(ana), Overheard(bo)
    for overheard in (of_ana, of_bo):
        overheard.mute |= {"reception", "speakers"}
    moves.host_enters(ana, room)
    moves.payer_enters(bo, server.buy(room, "Bo"), server.url)
    moves.meter_state(bo.page, "counting")
    return ana, bo, of_ana, of_bo


def line(page: Page, words: str) -> None:
    expect(page.locator("#line")).to_have_text(words)


def spoken(page: Page) -> str:
    return page.locator("#announce-polite").inner_text()


def test_a_payer_is_told_how_the_line_is(server: Server, person: NewPerson, look: Look) -> None:
    _ana, bo, _, of_bo = in_a_call(server, person)
    page = bo.page
    of_bo.say("reception", state="good", estimate_bps=2_000_000)
    line(page, "Good connection")

    of_bo.say("reception", state="reduced", estimate_bps=400_000)
    line(page, "Reduced picture: your connection is slow")
    assert spoken(page) == "Reduced picture: your connection is slow"
    look(page, "call-line-reduced", schemes=("light",))

    of_bo.say("reception", state="poor", estimate_bps=200_000)
    line(page, "Poor picture: your connection loses data")
    expect(page.get_by_text("Your connection is weak")).to_be_visible()
    look(page, "call-line-poor", schemes=("light",))


def test_a_picture_that_the_server_has_paused_does_not_look_live(
    server: Server, person: NewPerson, look: Look
) -> None:
    _ana, bo, _, of_bo = in_a_call(server, person)
    page = bo.page
    tile = page.locator(".stage__grid .tile")
    video = tile.locator("video")
    wait_until(page, "Ana is seen", lambda: video.evaluate("(video) => video.currentTime > 0"))
    expect(tile).to_have_attribute("data-frozen", "no")

    page.evaluate("window.standsStill = true")
    of_bo.say("reception", state="audio_only", estimate_bps=60_000)
    line(page, "Sound only: your connection is too slow")
    expect(tile.get_by_text("Sound only. The picture comes back by itself.")).to_be_visible()
    assert float(video.evaluate("(video) => getComputedStyle(video).opacity")) < 0.5
    look(page, "call-sound-only", schemes=("light",))

    page.evaluate("window.standsStill = false")
    of_bo.say("reception", state="good", estimate_bps=2_000_000)
    expect(tile).to_have_attribute("data-frozen", "no")
    assert float(video.evaluate("(video) => getComputedStyle(video).opacity")) == 1
    line(page, "Good connection")


def test_the_host_sees_whose_line_is_slow_and_how_the_own_one_is(
    server: Server, person: NewPerson, look: Look
) -> None:
    ana, _bo, of_ana, of_bo = in_a_call(server, person)
    page = ana.page
    payer_id = participant_id(of_bo)

    def with_line(state: str) -> None:
        def change(message: Message) -> Message:
            for someone in message.get("participants", []):
                if someone["participant_id"] == payer_id:
                    someone["reception"] = state
            return message

        of_ana.change = change
        latest = next(m for m in reversed(of_ana.heard) if m["type"] == "participants")
        of_ana.say(message_type="participants", participants=change(latest)["participants"])

    moves.open_panel(page, "people")
    row = page.locator(".roster__row")
    for state, words in [
        ("good", "Good connection"),
        ("reduced", "Reduced picture"),
        ("poor", "Poor connection"),
        ("audio_only", "Sound only"),
    ]:
        with_line(state)
        expect(row).to_contain_text(words)
    look(page, "studio-payer-sound-only", schemes=("light",))

    page.evaluate("window.losesOwn = true")
    line(page, "Others see you badly: weak connection")
    look(page, "studio-own-line-poor", schemes=("light",))


def test_who_speaks_is_marked_by_more_than_a_colour(server: Server, person: NewPerson, look: Look) -> None:
    ana, bo, of_ana, of_bo = in_a_call(server, person)
    host_id, payer_id = participant_id(of_ana), participant_id(of_bo)
    tile, own = bo.page.locator(".stage__grid .tile"), bo.page.locator(".selfview")
    moves.open_panel(ana.page, "people")
    row = ana.page.locator(".roster__row")

    for overheard in (of_ana, of_bo):
        overheard.say("speakers", participant_ids=[host_id])
    expect(tile).to_have_attribute("data-speaking", "yes")
    expect(tile.get_by_role("img", name="speaking")).to_be_visible()
    expect(own).to_have_attribute("data-speaking", "no")
    expect(row.get_by_role("img", name="speaking")).to_be_hidden()

    for overheard in (of_ana, of_bo):
        overheard.say("speakers", participant_ids=[payer_id, host_id])
    expect(own.get_by_role("img", name="speaking")).to_be_visible()
    expect(row.get_by_role("img", name="speaking")).to_be_visible()
    look(bo.page, "call-both-speak", schemes=("light",))
    look(ana.page, "studio-payer-speaks", schemes=("light",))

    # The fake microphones go on beeping: what the server says counts, not what is heard here.
    for overheard in (of_ana, of_bo):
        overheard.say("speakers", participant_ids=[])
    expect(tile).to_have_attribute("data-speaking", "no")
    expect(own).to_have_attribute("data-speaking", "no")
    bo.page.wait_for_timeout(2500)
    expect(tile).to_have_attribute("data-speaking", "no")


def told(overheard: Overheard) -> list[int]:
    """Width and height of the last view, which names one picture; [] before the first."""
    message = overheard.last("view")
    if message is None or len(message["sizes"]) != 1:
        return []
    return list(next(iter(message["sizes"].values())))


def test_a_page_tells_how_large_it_shows_what_it_receives(server: Server, person: NewPerson) -> None:
    _ana, bo, _, of_bo = in_a_call(server, person)
    page = bo.page

    def tile_size() -> list[int]:
        box = page.locator(".stage__grid .tile").bounding_box()
        assert box is not None
        return [round(box["width"]), round(box["height"])]

    wait_until(page, "the size is told", lambda: told(of_bo) == tile_size())
    page.set_viewport_size({"width": 390, "height": 844})
    wait_until(page, "the new size is told", lambda: told(of_bo) == tile_size())
    assert tile_size()[0] <= 390
    before = len([m for m in of_bo.sent if m["type"] == "view"])

    page.evaluate(HIDE, True)
    page.wait_for_timeout(1000)
    page.evaluate(HIDE, False)  # a glance at another tab changes nothing
    page.evaluate(HIDE, True)
    wait_until(page, "nothing is seen in a hidden tab", lambda: told(of_bo) == [0, 0])
    page.evaluate(HIDE, False)
    wait_until(page, "it is seen again", lambda: told(of_bo) == tile_size())
    assert len([m for m in of_bo.sent if m["type"] == "view"]) == before + 2
    assert not any(m["type"] == "error" for m in of_bo.heard)
