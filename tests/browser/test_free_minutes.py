"""Free minutes: a card is kept and nothing charged, the time runs low in the call and is paid for there; a card that had them."""

import re

from playwright.sync_api import Page, expect

from tests.browser import moves
from tests.browser.conftest import NewPerson
from tests.browser.look import Look
from tests.browser.people import wait_until
from tests.browser.server import Order, Room, Server
from tests.browser.test_sign_in import sign_in

FREE = {
    "kind": "per_minute",
    "rate_minor_per_min": 100,
    "currency": "eur",
    "presets_s": [900],
    "free_seconds": 300,
}


def try_for_nothing(page: Page, room: Room, name: str) -> None:
    page.goto(room.share_url)
    page.get_by_label("Your name").fill(name)
    page.get_by_role("checkbox").check()
    page.get_by_role("button", name="Try 5 minutes for nothing").click()
    page.wait_for_url("**/sandbox/checkout/**")
    moves.pay_at_till(page)


def order_of(page: Page, room: Room) -> Order:
    stored = page.evaluate(
        """(slug) => { const id = localStorage.getItem(`tollroom:room:${slug}`);
          return {id, ...JSON.parse(localStorage.getItem(`tollroom:order:${id}`))}; }""",
        room.slug,
    )
    return Order(stored["id"], stored["secret"], room.slug)


def test_free_minutes_are_paid_for_in_the_call_and_a_card_has_them_once(
    server: Server, person: NewPerson, look: Look
) -> None:
    room = server.create_room(tariff=FREE)
    ana, ben, cid = person("Ana"), person("Ben"), person("Cid")
    moves.host_enters(ana, room)
    page = ben.page
    page.goto(room.share_url)
    expect(page.get_by_role("link", name="Sign in to try 5 minutes for nothing")).to_be_visible()
    look(page, "card-free-minutes")
    sign_in(page, server, "ben-tries@example.org")
    try_for_nothing(page, room, "Ben")
    moves.call_state(page, "connected", 120_000)
    moves.meter_state(page, "counting", 120_000)
    # Time is bought beside the call, which goes on.
    page.get_by_role("button", name="Add time").click()
    panel = page.locator("#panel")
    panel.get_by_role("checkbox").check()
    panel.get_by_role("button", name="Pay €15.00").click()
    frame = page.frame_locator("iframe.payment-frame")
    expect(frame.locator("#pay")).to_be_visible()
    moves.pay_at_till(frame)
    order = order_of(page, room)
    wait_until(
        page, "the time is added", lambda: server.refresh(order)["pass"]["granted_ms"] == 1_200_000, 60
    )
    expect(page.locator(".meter")).to_contain_text(re.compile(r"1[89]:\d\d"))
    moves.call_state(page, "connected")
    # Another person with the same card gets no second time for nothing.
    sign_in(cid.page, server, "cid-tries@example.org")
    try_for_nothing(cid.page, room, "Cid")
    expect(cid.page.get_by_text(re.compile("This card has had the free time of this room"))).to_be_visible(
        timeout=60_000
    )
    look(cid.page, "card-free-minutes-had")
