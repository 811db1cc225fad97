"""What people do on the pages, by the words and signs they see there."""

import re

from playwright.sync_api import FrameLocator, Page, expect

from tests.browser.people import Person, sees_and_hears, wait_until
from tests.browser.server import Order, Room, Server

Till = Page | FrameLocator

CONNECT_MS = 20_000


def call_state(page: Page, state: str, timeout_ms: int = CONNECT_MS) -> None:
    """The state of the call or studio, as the page's body tells it."""
    expect(page.locator("body")).to_have_attribute("data-call-state", state, timeout=timeout_ms)


def meter_state(page: Page, state: str, timeout_ms: int = CONNECT_MS) -> None:
    expect(page.locator("body")).to_have_attribute("data-meter-state", state, timeout=timeout_ms)


def end_code(page: Page, code: str, timeout_ms: int = CONNECT_MS) -> None:
    expect(page.locator("body")).to_have_attribute("data-end-code", code, timeout=timeout_ms)


def card_state(page: Page, state: str, timeout_ms: int = 10_000) -> None:
    expect(page.locator("main")).to_have_attribute("data-card-state", state, timeout=timeout_ms)


def fill_room_form(page: Page) -> None:
    page.get_by_label("Title", exact=True).fill("Italian conversation")
    page.get_by_label("Description").fill("We talk about whatever you like, and I correct you gently.")
    page.get_by_label("Your name").fill("Ana")
    page.get_by_label("Price to enter").fill("5.00")


def go_live(page: Page) -> None:
    """From the studio's preview to being live."""
    page.get_by_role("button", name="Go live", exact=True).click()
    call_state(page, "connected")


def host_enters(person: Person, room: Room) -> None:
    person.page.goto(room.host_url)
    go_live(person.page)
    card_url = room.share_url.replace("/r/", "/api/rooms/")
    # The host is live when the first packets were seen, a moment after the page is connected.
    wait_until(person.page, "the room is live", lambda: person.page.request.get(card_url).json()["live"])


def fill_card(page: Page, name: str) -> None:
    page.get_by_label("Your name").fill(name)
    page.get_by_role("checkbox").check()


def press_pay(page: Page) -> None:
    page.get_by_role("button", name=re.compile("^Pay ")).click()


def pay_at_till(till: Till, card: str = "succeeds") -> None:
    till.locator(f"#card-{card}").check()
    till.locator("#pay").click()


def come_with(page: Page, order: Order, origin: str) -> None:
    """Give the page's browser an order that was bought elsewhere, as the payment's way back would leave it."""
    page.goto(f"{origin}/static/icons/favicon.svg")
    page.evaluate(
        """([id, secret, slug]) => {
          localStorage.setItem(`tollroom:order:${id}`, JSON.stringify({secret, slug, created_at: Date.now()}));
          localStorage.setItem(`tollroom:room:${slug}`, id);
        }""",
        [order.id, order.secret, order.slug],
    )


def payer_enters(person: Person, order: Order, origin: str) -> None:
    come_with(person.page, order, origin)
    person.page.goto(f"{origin}/r/{order.slug}/call")
    call_state(person.page, "connected")


def time_left_s(page: Page) -> int:
    """The countdown as it is shown: `29:58` or `1:02:03`."""
    shown = page.locator(".meter").first.inner_text()
    clock = re.search(r"(?:(\d+):)?(\d+):(\d\d)", shown)
    assert clock is not None, f"no clock in {shown!r}"
    return int(clock[1] or 0) * 3600 + int(clock[2]) * 60 + int(clock[3])


def leave(page: Page) -> None:
    page.locator("[data-control=leave]").click()
    end_code(page, "left")


def step_out(page: Page) -> None:
    """The host leaves, and the room stays."""
    page.locator("[data-control=leave]").click()
    page.get_by_role("dialog").get_by_role("button", name="Step out").click()
    end_code(page, "left")


def go_back_in(page: Page) -> None:
    page.get_by_role("button", name="Go back in").click()
    call_state(page, "connected")
    meter_state(page, "counting")


def level(page: Page, wanted: str, timeout_ms: int = CONNECT_MS) -> None:
    """calm, warning (5 minutes), urgent (1 minute) or paused."""
    expect(page.locator("body")).to_have_attribute("data-meter-level", wanted, timeout=timeout_ms)


def counts_down(page: Page) -> None:
    before = time_left_s(page)
    wait_until(page, "the countdown goes on", lambda: time_left_s(page) < before, 10)


def stands_still(page: Page, for_ms: int = 2500) -> None:
    before = time_left_s(page)
    page.wait_for_timeout(for_ms)
    assert time_left_s(page) == before


def open_panel(page: Page, name: str) -> None:
    """chat, or in the studio people."""
    if page.locator("body").get_attribute("data-panel") != name:
        page.locator(f"[data-control={name}]").click()


def open_chat(page: Page) -> None:
    open_panel(page, "chat")


def expect_notice(page: Page, kind: str, words: str) -> None:
    line = page.locator(f".chat__notice[data-kind={kind}]").filter(has_text=words)
    expect(line.first).to_be_attached()


def in_a_call(server: Server, host: Person, payer: Person) -> tuple[Room, Order]:
    """The host is live, the payer has paid and come in, and the payer's time runs."""
    room = server.create_room()
    host_enters(host, room)
    order = server.buy(room, payer.name)
    payer_enters(payer, order, server.url)
    meter_state(payer.page, "counting")
    sees_and_hears(payer.page)
    return room, order


def payer_enters_waiting(person: Person, order: Order, origin: str) -> None:
    """Into a room whose host is away."""
    come_with(person.page, order, origin)
    person.page.goto(f"{origin}/r/{order.slug}/call")
    call_state(person.page, "waiting")
