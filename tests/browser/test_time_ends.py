"""The limit, and buying more when it is reached."""

import time

from playwright.sync_api import expect

from tests.browser import moves
from tests.browser.conftest import NewPerson
from tests.browser.look import Look
from tests.browser.people import receives_nothing, sees_and_hears
from tests.browser.server import Server

LEFT_MS = 20_000


def test_a_payer_is_warned_then_cut_at_the_limit_and_pays_again(
    server: Server, person: NewPerson, look: Look
) -> None:
    room = server.create_room()
    ana, bo = person("Ana"), person("Bo")
    moves.host_enters(ana, room)
    order = server.buy(room, "Bo")
    server.leave_ms(order, LEFT_MS)
    moves.payer_enters(bo, order, server.url)
    moves.meter_state(bo.page, "counting")
    sees_and_hears(bo.page)
    expect(bo.page.locator("body")).to_have_attribute("data-meter-level", "urgent", timeout=10_000)
    expect(bo.page.get_by_role("button", name="Add time")).to_be_visible()
    look(bo.page, "call-last-minute", schemes=("light",))

    moves.end_code(bo.page, "used_up", LEFT_MS + 5_000)
    cut_at = time.monotonic()
    expect(bo.page.get_by_role("heading", name="Your time is up")).to_be_visible()
    assert receives_nothing(bo.page)
    assert receives_nothing(ana.page), "what the payer sends is cut too"
    assert time.monotonic() - cut_at < 10
    look(bo.page, "call-time-up", schemes=("light",))
    state = server.refresh(order)["pass"]
    assert state["state"] == "used_up"
    assert state["remaining_ms"] == 0

    bo.page.get_by_role("link", name="Pay again").or_(
        bo.page.get_by_role("button", name="Pay again")
    ).first.click()
    moves.card_state(bo.page, "live")
    moves.fill_card(bo.page, "Bo")
    moves.press_pay(bo.page)
    bo.page.wait_for_url("**/sandbox/checkout/**")
    moves.pay_at_till(bo.page)
    moves.call_state(bo.page, "connected")
    sees_and_hears(bo.page)
