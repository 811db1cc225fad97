"""Paying for what was used: a hold, a talk, the end, and what of the hold was charged."""

import re
import sqlite3
from contextlib import closing
from typing import Any

from playwright.sync_api import Page, expect

from tests.browser import moves
from tests.browser.conftest import NewPerson
from tests.browser.look import Look
from tests.browser.people import Person, sees_and_hears, wait_until
from tests.browser.server import Order, Room, Server

METERED = {"kind": "metered", "rate_minor_per_min": 100, "currency": "eur", "window_s": 900}


def host_chooses_pay_for_use(ana: Person, server: Server, look: Look) -> Room:
    """On the landing page; Ana is live at the end of it."""
    page = ana.page
    page.goto(server.url)
    page.get_by_label("Title", exact=True).fill("Italian conversation")
    page.get_by_label("Description").fill("We talk about whatever you like.")
    page.get_by_label("Your name").fill("Ana")
    page.get_by_role("radio", name=re.compile("Pay for use")).check(force=True)
    page.get_by_label("Price a minute").fill("1.00")
    expect(page.locator("#preview")).to_contain_text("You pay for what you use")
    look(page, "landing-pay-for-use")
    page.get_by_role("button", name="Enter the room").click()
    share_url = page.locator("#share-url").input_value()
    room = Room("", share_url.rsplit("/", 1)[1], share_url, page.locator("#host-url").input_value(), "")
    moves.host_enters(ana, room)
    return room


def payer_has_it_held(bo: Person, room: Room, look: Look, *, card: str, goes_on: bool) -> Order:
    """What it means is said before the card is asked."""
    page = bo.page
    page.goto(room.share_url)
    moves.card_state(page, "live")
    page.get_by_label("Your name").fill("Bo")
    note = page.locator(".use-note")
    expect(note).to_contain_text("hold €15.00, enough for 15 minutes")
    expect(note).to_contain_text("less than €0.50 is free, once a day")
    look(page, "card-pay-for-use")
    page.get_by_label(re.compile("I accept")).check()
    if goes_on:
        page.get_by_label(re.compile("Go on after that")).check()
    page.get_by_role("button", name="Hold €15.00").click()
    page.wait_for_url("**/sandbox/checkout/**")
    moves.pay_at_till(page, card)
    moves.call_state(page, "connected")
    moves.meter_state(page, "counting")
    stored: dict[str, Any] = page.evaluate(
        """(slug) => { const id = localStorage.getItem(`tollroom:room:${slug}`);
          return {id, ...JSON.parse(localStorage.getItem(`tollroom:order:${id}`))}; }""",
        room.slug,
    )
    return Order(stored["id"], stored["secret"], room.slug)


def cost(page: Page) -> float:
    shown = page.locator("body").get_attribute("data-meter-cost") or "€0"
    return float(shown.removeprefix("€"))


def fact(page: Page, name: str) -> str:
    return page.locator(".ending dl div").filter(has_text=name).locator("dd").inner_text()


def test_hold_talk_leave_and_see_what_was_charged(server: Server, person: NewPerson, look: Look) -> None:
    ana, bo = person("Ana"), person("Bo")
    room = host_chooses_pay_for_use(ana, server, look)
    order = payer_has_it_held(bo, room, look, card="succeeds", goes_on=False)
    sees_and_hears(bo.page)
    expect(bo.page.locator(".meter__caption")).to_have_text("Time used")
    before = moves.time_left_s(bo.page)
    wait_until(bo.page, "the time used goes up", lambda: moves.time_left_s(bo.page) > before)
    wait_until(bo.page, "the price goes up", lambda: cost(bo.page) >= 0.03)
    bo.page.get_by_role("button", name="Cost so far").click()
    expect(bo.page.locator("#next-hold")).to_contain_text("Your card was not kept")
    look(bo.page, "call-pay-for-use", schemes=("light",))

    moves.leave(bo.page)
    expect(bo.page.locator("body")).to_have_attribute("data-settled", "true")
    charged, held, released = (fact(bo.page, name) for name in ("Charged", "Held before", "Released"))
    # Seconds of talk cost less than the smallest charge: free, this first time.
    assert (charged, held, released) == ("€0.00", "€15.00", "€15.00")
    look(bo.page, "call-pay-for-use-settled", schemes=("light",))
    use = server.refresh(order)["use"]
    assert (use["charged_minor"], use["settled"]) == (0, True)


def test_seven_minutes_cost_seven_minutes(server: Server, person: NewPerson, look: Look) -> None:
    ana, bo = person("Ana"), person("Bo")
    room = server.create_room(tariff=METERED)
    moves.host_enters(ana, room)
    order = server.buy(room, "Bo")
    server.leave_ms(order, 900_000 - 432_000)
    moves.payer_enters(bo, order, server.url)
    moves.meter_state(bo.page, "counting")
    wait_until(bo.page, "the price of what was used", lambda: cost(bo.page) >= 7.20)
    moves.open_panel(ana.page, "people")
    expect(ana.page.locator(".roster__clock")).to_contain_text("used")
    moves.leave(bo.page)
    expect(bo.page.locator("body")).to_have_attribute("data-settled", "true")
    charged = float(fact(bo.page, "Charged").removeprefix("€"))
    assert 7.20 <= charged <= 8.00
    assert float(fact(bo.page, "Released").removeprefix("€")) == round(15 - charged, 2)
    assert server.refresh(order)["use"]["charged_minor"] == round(charged * 100)
    bo.page.get_by_role("link", name="Receipt").click()
    expect(bo.page.locator(".receipt")).to_contain_text(f"€{charged:.2f} were charged")
    look(bo.page, "receipt-pay-for-use", schemes=("light",))
    bo.page.goto(room.share_url)
    expect(bo.page.locator("[data-notice=used_up]")).to_contain_text(f"€{charged:.2f} were charged")
    look(bo.page, "card-pay-for-use-over", schemes=("light",))


def goes_on_with(server: Server, order: Order, kept: str) -> None:
    """What the kept card does when it is asked again, by the name of one of Stripe's test methods."""
    with closing(sqlite3.connect(server.folder / "tollroom.db", timeout=10)) as db, db:
        changed = db.execute("UPDATE orders SET payment_method_id = ? WHERE id = ?", (kept, order.id))
        assert changed.rowcount == 1


def windows_of(server: Server, order: Order) -> list[tuple[str, int | None]]:
    use = server.refresh(order)["use"]
    return [(window["state"], window["charged_minor"]) for window in use["windows"]]


def test_a_declined_second_hold_ends_the_call_at_the_limit(
    server: Server, person: NewPerson, look: Look
) -> None:
    ana, bo = person("Ana"), person("Bo")
    room = server.create_room(tariff=METERED)
    moves.host_enters(ana, room)
    order = payer_has_it_held(bo, room, look, card="succeeds", goes_on=True)
    goes_on_with(server, order, "pm_card_visa_chargeDeclined")
    expect(bo.page.get_by_role("button", name="Cost so far")).to_be_visible()
    bo.page.get_by_role("button", name="Cost so far").click()
    expect(bo.page.locator("#next-hold")).to_contain_text("the next hold of €15.00 is asked for at")
    expect(bo.page.get_by_label("Go on with a further hold")).to_be_checked()
    look(bo.page, "call-going-on", schemes=("light",))

    # The page is closed, and opened again with a quarter of a minute left.
    bo.page.goto("about:blank")
    row = ana.page.locator(".roster__row")
    expect(row).to_have_attribute("data-meter-state", "paused", timeout=30_000)
    server.leave_ms(order, 15_000)
    other = person("Bo")
    moves.payer_enters(other, order, server.url)
    expect(other.page.locator(".toast")).to_contain_text("Your bank declined the next hold")
    moves.level(other.page, "urgent")
    look(other.page, "call-hold-declined", schemes=("light",))
    moves.end_code(other.page, "used_up", 40_000)
    expect(other.page.locator("body")).to_have_attribute("data-settled", "true")
    assert windows_of(server, order) == [("settled", 1500), ("failed", None)]
    assert fact(other.page, "Charged") == "€15.00"
    assert fact(other.page, "Released") == "€0.00"


def test_a_second_hold_lets_the_call_go_on(server: Server, person: NewPerson) -> None:
    ana, bo = person("Ana"), person("Bo")
    room = server.create_room(tariff=METERED)
    moves.host_enters(ana, room)
    order = server.buy(room, "Bo", goes_on=True)
    server.leave_ms(order, 5_000)
    moves.payer_enters(bo, order, server.url)
    expect(bo.page.locator(".toast")).to_contain_text("Held for another 15 minutes")
    moves.meter_state(bo.page, "counting")
    wait_until(bo.page, "past the first hold", lambda: cost(bo.page) > 15.0, 30)
    sees_and_hears(bo.page)
    moves.leave(bo.page)
    expect(bo.page.locator("body")).to_have_attribute("data-settled", "true")
    (first, _), (second, rest) = windows_of(server, order)
    assert (first, second) == ("settled", "settled")
    assert rest == 50, "below the smallest charge by itself: the rest comes from the first hold"
    assert fact(bo.page, "Held before") == "€30.00"


def test_the_bank_asks_about_a_further_hold_without_leaving_the_call(
    server: Server, person: NewPerson, look: Look
) -> None:
    ana, bo = person("Ana"), person("Bo")
    room = server.create_room(tariff=METERED)
    moves.host_enters(ana, room)
    order = server.buy(room, "Bo", goes_on=True)
    goes_on_with(server, order, "pm_card_threeDSecure2Required")
    server.leave_ms(order, 55_000)
    moves.payer_enters(bo, order, server.url)
    bank = bo.page.frame_locator("iframe.payment-frame")
    expect(bank.get_by_role("heading", name="Your bank asks: is this you?")).to_be_visible()
    expect(bank.locator("main")).to_contain_text("€15.00 will be held on a test card")
    look(bo.page, "call-bank-asks", schemes=("light",))
    bank.get_by_role("button", name="Approve the payment").click()
    expect(bo.page.locator(".toast")).to_contain_text("Held for another 15 minutes")
    expect(bo.page.locator("iframe.payment-frame")).to_have_count(0)
    moves.meter_state(bo.page, "counting")
    sees_and_hears(bo.page)
    assert windows_of(server, order) == [("held", None), ("held", None)]
