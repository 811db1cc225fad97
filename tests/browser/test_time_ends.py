"""Five minutes left, one minute left, the limit, and buying more when it is reached."""

import time

from playwright.sync_api import expect

from tests.browser import moves
from tests.browser.conftest import NewPerson
from tests.browser.look import Look
from tests.browser.people import Person, receives_nothing, sees_and_hears
from tests.browser.server import Order, Server

FIVE_MINUTES_MS = 300_000
ONE_MINUTE_MS = 60_000
# So long before a border one comes in. The clock begins with the first packet, so a slow way in takes nothing of it.
BEFORE_MS = 6_000


def comes_in_with(server: Server, order: Order, bo: Person, left_ms: int) -> None:
    """Bo's next stay begins with so much time left."""
    if bo.page.locator("#ending").count():
        server.leave_ms(order, left_ms)
        moves.go_back_in(bo.page)
    else:
        server.leave_ms(order, left_ms)
        moves.payer_enters(bo, order, server.url)
        moves.meter_state(bo.page, "counting")


def crosses_five_minutes(ana: Person, bo: Person, look: Look) -> None:
    moves.level(bo.page, "calm")
    row = ana.page.locator(".roster__row")
    expect(row).to_have_attribute("data-level", "calm")
    moves.level(bo.page, "warning")
    expect(bo.page.locator("#announce-polite")).to_have_text("Five minutes left.")
    expect(bo.page.locator(".toast").filter(has_text="5 minutes left")).to_be_visible()
    expect(row).to_have_attribute("data-level", "warning")
    moves.expect_notice(ana.page, "warning", "Bo has 5 minutes left")
    look(bo.page, "call-five-minutes", schemes=("light",))


def crosses_one_minute(ana: Person, bo: Person, look: Look) -> None:
    moves.level(bo.page, "warning")
    moves.level(bo.page, "urgent")
    expect(bo.page.locator("#announce-assertive")).to_contain_text("One minute left.")
    expect(bo.page.get_by_role("button", name="Add time")).to_be_visible()
    expect(ana.page.locator(".roster__row")).to_have_attribute("data-level", "urgent")
    moves.expect_notice(ana.page, "warning", "Bo has 1 minute left")
    look(bo.page, "call-last-minute", schemes=("light",))
    look(ana.page, "studio-payers-last-minute", schemes=("light",))


def is_cut(server: Server, order: Order, ana: Person, bo: Person, look: Look) -> None:
    moves.end_code(bo.page, "used_up", BEFORE_MS + 5_000)
    cut_at = time.monotonic()
    expect(bo.page.get_by_role("heading", name="Your time is up")).to_be_visible()
    assert receives_nothing(bo.page)
    assert receives_nothing(ana.page), "what the payer sends is cut too"
    assert time.monotonic() - cut_at < 14
    look(bo.page, "call-time-up", schemes=("light",))
    state = server.refresh(order)["pass"]
    assert state["state"] == "used_up"
    assert state["remaining_ms"] == 0


def test_a_payer_is_warned_then_cut_at_the_limit_and_pays_again(
    server: Server, person: NewPerson, look: Look
) -> None:
    room = server.create_room()
    ana, bo = person("Ana"), person("Bo")
    moves.host_enters(ana, room)
    order = server.buy(room, "Bo")
    comes_in_with(server, order, bo, FIVE_MINUTES_MS + BEFORE_MS)
    crosses_five_minutes(ana, bo, look)
    sees_and_hears(bo.page)
    moves.leave(bo.page)
    comes_in_with(server, order, bo, ONE_MINUTE_MS + BEFORE_MS)
    crosses_one_minute(ana, bo, look)
    moves.leave(bo.page)
    comes_in_with(server, order, bo, BEFORE_MS)
    is_cut(server, order, ana, bo, look)

    bo.page.get_by_role("link", name="Pay again").click()
    moves.card_state(bo.page, "live")
    moves.fill_card(bo.page, "Bo")
    moves.press_pay(bo.page)
    bo.page.wait_for_url("**/sandbox/checkout/**")
    moves.pay_at_till(bo.page)
    moves.call_state(bo.page, "connected")
    sees_and_hears(bo.page)
