"""The first paid call, whole: open a room, pay, talk, add time."""

import re

from playwright.sync_api import Page, expect

from tests.browser import moves
from tests.browser.conftest import NewPerson
from tests.browser.look import Look
from tests.browser.people import Person, sees_and_hears
from tests.browser.server import Server


def host_opens_a_room(ana: Person, server: Server, look: Look) -> str:
    """Returns the link to share; Ana's page is then the studio, before going live."""
    page = ana.page
    page.goto(server.url)
    expect(page.get_by_text("Test payments, no real money").first).to_be_visible()
    enter = page.get_by_role("button", name="Enter the room")
    expect(enter).to_be_disabled()
    expect(page.locator("#missing")).to_contain_text("Still missing")
    look(page, "landing-empty")
    moves.fill_room_form(page)
    expect(enter).to_be_enabled()
    look(page, "landing-complete")
    enter.click()
    share_url = page.locator("#share-url").input_value()
    assert "#key=" in page.locator("#host-url").input_value()
    look(page, "landing-created")
    page.locator("#open-studio").click()
    expect(page.get_by_role("button", name="Go live", exact=True)).to_be_visible()
    assert "#" not in page.url, "the host key stays out of the address bar"
    return share_url


def card_waits_then_opens_by_itself(ana: Person, bo: Person, share_url: str, look: Look) -> None:
    bo.page.goto(share_url)
    moves.card_state(bo.page, "away")
    expect(bo.page.get_by_role("button", name=re.compile("^Pay "))).to_have_count(0)
    look(bo.page, "card-away")
    bo.page.evaluate("window.neverReloaded = true")
    look(ana.page, "studio-preview")
    moves.go_live(ana.page)
    moves.card_state(bo.page, "live")
    assert bo.page.evaluate("window.neverReloaded")
    look(ana.page, "studio-live-alone")
    look(bo.page, "card-live")


def payer_is_declined_then_pays(bo: Person, look: Look) -> None:
    page = bo.page
    moves.fill_card(page, "Bo")
    moves.press_pay(page)
    page.wait_for_url("**/sandbox/checkout/**")
    expect(page.locator("#pay")).to_be_visible()
    look(page, "till-open")
    moves.pay_at_till(page, "declined")
    expect(page.get_by_role("alert")).to_contain_text("declined")
    look(page, "till-declined")
    moves.pay_at_till(page)
    page.wait_for_url("**/r/*/call")
    moves.call_state(page, "connected")


def payer_adds_time_beside_the_call(bo: Person, ana: Person, look: Look) -> None:
    page = bo.page
    before_s = moves.time_left_s(page)
    page.get_by_role("button", name="Add time").click()
    start_to_pay(page)
    frame = page.frame_locator("iframe.payment-frame")
    expect(frame.locator("#pay")).to_be_visible()
    look(page, "call-adding-time", schemes=("light",))
    moves.pay_at_till(frame)
    expect(page.locator(".meter")).to_contain_text(re.compile(r"(59|1:00):\d\d"))
    assert moves.time_left_s(page) > before_s + 1700
    moves.call_state(page, "connected")
    sees_and_hears(page)
    moves.expect_notice(ana.page, "extended", "Bo added")


def start_to_pay(page: Page) -> None:
    terms = page.locator("#panel").get_by_role("checkbox")
    if terms.count():
        terms.check()
    page.locator("#panel").get_by_role("button", name=re.compile("^Pay ")).click()


def test_a_host_opens_a_room_and_a_visitor_pays_and_talks(
    server: Server, person: NewPerson, look: Look
) -> None:
    ana, bo = person("Ana"), person("Bo")
    share_url = host_opens_a_room(ana, server, look)
    card_waits_then_opens_by_itself(ana, bo, share_url, look)
    payer_is_declined_then_pays(bo, look)

    sees_and_hears(bo.page)
    sees_and_hears(ana.page)
    moves.expect_notice(ana.page, "paid", "Bo paid")
    moves.meter_state(bo.page, "counting")
    assert 29 * 60 < moves.time_left_s(bo.page) <= 30 * 60
    moves.counts_down(bo.page)
    look(bo.page, "call-connected", schemes=("light",))
    look(ana.page, "studio-with-payer", schemes=("light",))

    moves.open_chat(ana.page)
    ana.page.get_by_label("Message").fill("Benvenuto, see https://example.org")
    ana.page.keyboard.press("Enter")
    moves.open_chat(bo.page)
    expect(bo.page.locator(".chat__text")).to_have_text("Benvenuto, see https://example.org")
    assert bo.page.locator(".chat__text a").count() == 0, "links are text"
    look(bo.page, "call-chat", schemes=("light",))

    payer_adds_time_beside_the_call(bo, ana, look)
