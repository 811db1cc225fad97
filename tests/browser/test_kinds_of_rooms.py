"""Rooms of every tariff bought in the browser, and a server whose rooms open by invitation and pay inside the page."""

import re

from playwright.sync_api import Page, expect

from tests.browser import moves
from tests.browser.conftest import NewPerson, NewServer
from tests.browser.look import Look
from tests.browser.people import Person, sees_and_hears
from tests.browser.server import Server

UNLIMITED = {"kind": "entrance", "price_minor": 500, "currency": "eur", "seconds": None}
PER_MINUTE = {
    "kind": "per_minute",
    "rate_minor_per_min": 50,
    "currency": "eur",
    "presets_s": [900, 1800, 3600],
}


def buys_at_the_till(page: Page, name: str) -> None:
    moves.fill_card(page, name)
    moves.press_pay(page)
    page.wait_for_url("**/sandbox/checkout/**")
    moves.pay_at_till(page)
    moves.call_state(page, "connected")


def test_who_pays_once_for_ever_comes_back(server: Server, person: NewPerson, look: Look) -> None:
    room = server.create_room(tariff=UNLIMITED)
    ana, bo = person("Ana"), person("Bo")
    moves.host_enters(ana, room)
    page = bo.page
    page.goto(room.share_url)
    expect(page.get_by_text("come back whenever you like").first).to_be_visible()
    look(page, "card-unlimited", schemes=("light",))
    buys_at_the_till(page, "Bo")
    moves.meter_state(page, "counting")
    expect(page.locator(".meter")).to_contain_text("No time limit")
    expect(page.get_by_role("button", name="Add time")).to_be_hidden()
    look(page, "call-unlimited", schemes=("light",))
    moves.leave(page)
    page.goto(room.share_url)
    page.locator("#go-in").click()
    moves.call_state(page, "connected")
    moves.meter_state(page, "counting")
    sees_and_hears(page)

    moves.step_out(ana.page)
    moves.call_state(page, "paused")
    # Of an unlimited pass that was used nothing goes back: there is nothing to keep.
    expect(page.get_by_text("Come back whenever the host is here")).to_be_visible()
    expect(page.get_by_role("button", name="Keep my time")).to_have_count(0)


def test_minutes_are_chosen_and_paid_by_the_minute(server: Server, person: NewPerson, look: Look) -> None:
    room = server.create_room(tariff=PER_MINUTE)
    ana, bo = person("Ana"), person("Bo")
    moves.host_enters(ana, room)
    page = bo.page
    page.goto(room.share_url)
    for length, price in (("15 minutes", "€7.50"), ("30 minutes", "€15.00"), ("1 hour", "€30.00")):
        page.get_by_role("radio", name=re.compile(length)).check()
        expect(page.locator("#pay")).to_have_text(f"Pay {price}")
    look(page, "card-per-minute")
    page.get_by_role("radio", name=re.compile("15 minutes")).check()
    buys_at_the_till(page, "Bo")
    moves.meter_state(page, "counting")
    assert 14 * 60 < moves.time_left_s(page) <= 15 * 60
    moves.expect_notice(ana.page, "paid", "Bo paid €7.50")
    page.get_by_role("button", name="Add time").click()
    page.locator("#panel").get_by_role("radio", name=re.compile("1 hr")).check()
    expect(page.locator("#panel [data-pay]")).to_have_text("Pay €30.00")
    look(page, "call-add-time-choice", schemes=("light",))


def opens_a_room_by_invitation(ana: Person, server: Server, look: Look) -> str:
    """Returns the link to share."""
    page = ana.page
    page.goto(server.url)
    expect(page.get_by_text("Rooms on this server open by invitation")).to_be_visible()
    moves.fill_room_form(page)
    expect(page.get_by_role("button", name="Enter the room")).to_be_disabled()
    expect(page.locator("#missing")).to_have_text("Still missing: an invitation.")
    look(page, "landing-by-invitation")
    page.goto("about:blank")
    link = server.command("invite", "--note", "Ana")
    assert link.startswith(f"{server.url}/#invite=")
    page.goto(link)
    expect(page.get_by_text("You are invited to open a room here")).to_be_visible()
    assert "#" not in page.url, "the invitation stays out of the address bar"
    moves.fill_room_form(page)
    look(page, "landing-invited", schemes=("light",))
    page.get_by_role("button", name="Enter the room").click()
    share_url = page.locator("#share-url").input_value()
    page.locator("#open-studio").click()
    moves.go_live(page)
    return share_url


def pays_inside_the_card(bo: Person, share_url: str, look: Look) -> None:
    page = bo.page
    page.goto(share_url)
    moves.card_state(page, "live")
    page.get_by_label("E-mail for the receipt").fill("bo@example.org")
    moves.fill_card(page, "Bo")
    moves.press_pay(page)
    till = page.frame_locator("iframe.payment-frame")
    expect(till.locator("#pay")).to_be_visible()
    expect(till.locator("#email")).to_have_value("bo@example.org")
    expect(till.locator("#back")).to_be_visible()
    expect(page.get_by_role("button", name="Back, pay later")).to_have_count(0)
    look(page, "card-paying-inside")
    till.locator("#back").click()
    expect(page.locator("[data-notice=canceled]")).to_be_visible()
    page.get_by_role("checkbox").check()
    moves.press_pay(page)
    moves.pay_at_till(till)
    page.wait_for_url("**/r/*/call")
    moves.call_state(page, "connected")
    sees_and_hears(page)


def test_an_order_still_on_its_way_is_not_forgotten_by_a_question_about_the_one_before(
    own_server: NewServer, person: NewPerson
) -> None:
    server = own_server(CHECKOUT_UI="embedded")
    room = server.create_room()
    moves.host_enters(person("Ana"), room)
    page = person("Bo").page
    page.goto(room.share_url)
    moves.fill_card(page, "Bo")
    moves.press_pay(page)
    page.frame_locator("iframe.payment-frame").locator("#back").click()
    expect(page.locator("[data-notice=canceled]")).to_be_visible()
    page.evaluate(
        """() => {
          const send = window.fetch;
          const late = () => new Promise((go) => setTimeout(go, 6000));
          window.fetch = async (url, init) => { if (init?.method === "POST") await late(); return send(url, init); };
        }"""
    )
    page.get_by_role("checkbox").check()
    moves.press_pay(page)
    moves.pay_at_till(page.frame_locator("iframe.payment-frame"))
    page.wait_for_url("**/r/*/call")
    moves.call_state(page, "connected")


def sees_the_server_restart(bo: Person, server: Server, look: Look) -> None:
    page = bo.page
    page.evaluate("navigator.serviceWorker.ready.then(() => true)")
    server.kill9()
    page.goto(server.url)
    expect(page.get_by_role("heading", name="No connection")).to_be_visible()
    look(page, "offline")
    server.start()
    expect(page.get_by_label("Title", exact=True)).to_be_visible(timeout=30_000)


def test_rooms_by_invitation_are_paid_inside_the_page(
    own_server: NewServer, person: NewPerson, look: Look
) -> None:
    server = own_server(ROOM_CREATION="invitation", CHECKOUT_UI="embedded")
    ana, bo = person("Ana"), person("Bo")
    share_url = opens_a_room_by_invitation(ana, server, look)
    pays_inside_the_card(bo, share_url, look)
    sees_the_server_restart(bo, server, look)
