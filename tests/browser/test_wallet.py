"""Credits: bought, taken while a call goes on, bought again without leaving it, and used up."""

from typing import Any

from playwright.sync_api import Page, expect

from tests.browser import moves
from tests.browser.conftest import NewPerson
from tests.browser.look import Look
from tests.browser.people import sees_and_hears, wait_until
from tests.browser.server import Order, Room, Server
from tests.browser.test_sign_in import page_state, sign_in

# Ten euros are 80 seconds, 25 euros 200: a window of two minutes, and then the rest of them.
WALLET = {"kind": "wallet", "rate_minor_per_min": 750, "currency": "eur"}


def credits_state(page: Page, state: str) -> None:
    expect(page.locator("#credits-form")).to_have_attribute("data-credits", state)


def buy(page: Page, price: str = "€10.00", card: str = "succeeds") -> None:
    """In the form that is on show: the package, the terms, the till in its frame."""
    form = page.locator(".addtime")
    form.get_by_label(f"{price} of credits").check(force=True)
    form.get_by_label("I accept that I pay").check()
    form.get_by_role("button", name=f"Pay {price}").click()
    till = page.frame_locator("iframe.payment-frame")
    expect(till.locator("#pay")).to_be_visible()
    moves.pay_at_till(till, card)


def stored_order(page: Page, slug: str) -> Order:
    stored: dict[str, Any] = page.evaluate(
        """(slug) => { const id = localStorage.getItem(`tollroom:room:${slug}`);
          return {id, ...JSON.parse(localStorage.getItem(`tollroom:order:${id}`))}; }""",
        slug,
    )
    return Order(stored["id"], stored["secret"], slug)


def own_wallet(page: Page) -> Any:
    return page.evaluate("async () => (await fetch('/api/me/wallets/eur')).json()")


def go_in(page: Page, room: Room) -> Order:
    page.locator("#payer-terms").check()
    page.locator("#pay").click()
    page.wait_for_url(f"**/r/{room.slug}/call")
    moves.call_state(page, "connected")
    moves.meter_state(page, "counting")
    return stored_order(page, room.slug)


def back_later(host: Page, page: Page, server: Server, order: Order, left_ms: int) -> None:
    """The page is closed, and opened again when so much is left of what is held."""
    page.goto("about:blank")
    if host.locator("body").get_attribute("data-panel") != "people":
        moves.open_panel(host, "people")
    row = host.locator(".roster__row")
    expect(row).to_have_attribute("data-meter-state", "paused", timeout=30_000)
    server.leave_ms(order, left_ms)
    page.goto(f"{server.url}/r/{order.slug}/call")
    moves.call_state(page, "connected")


def fact(page: Page, name: str) -> str:
    return page.locator(".ending dl div").filter(has_text=name).locator("dd").inner_text()


def afterwards(page: Page, server: Server, room: Room, look: Look) -> None:
    """What the card and the own page say of the call."""
    page.goto(room.share_url)
    credits_state(page, "low")
    expect(page.locator("[data-notice=used_up]")).to_contain_text("€35.00 were taken from your credits")
    page.goto(f"{server.url}/me")
    page_state(page, "ready")
    own = page.locator("#my-credits")
    expect(own).to_contain_text("€0.00")
    own.get_by_text("What happened").click()
    expect(own.locator(".wallet-line[data-kind=use]")).to_contain_text("€35.00")
    expect(own.locator(".wallet-line[data-kind=topup]")).to_have_count(2)
    look(page, "me-credits")


def test_buy_credits_run_low_buy_more_in_the_call_and_run_empty(
    server: Server, person: NewPerson, look: Look
) -> None:
    ana, bo = person("Ana"), person("Bo")
    room = server.create_room(tariff=WALLET)
    moves.host_enters(ana, room)
    page = bo.page
    page.goto(room.share_url)
    credits_state(page, "signed_out")
    look(page, "card-credits-signed-out")
    sign_in(page, server, "spends@example.org", f"/r/{room.slug}")
    credits_state(page, "low")
    expect(page.locator("#credits-left")).to_have_text("You have no credits yet.")
    look(page, "card-credits-none")
    buy(page, "€25.00")
    credits_state(page, "enough")
    enough = "You have €25.00, enough for 3 minutes 20 seconds here."
    expect(page.locator("#credits-left")).to_have_text(enough)
    look(page, "card-credits-enough")

    order = go_in(page, room)
    sees_and_hears(page)
    expect(page.locator("body")).to_have_attribute("data-balance", "1000")
    back_later(ana.page, page, server, order, 55_000)
    # The rest is held for what follows, and nothing is left after that.
    expect(page.locator("body")).to_have_attribute("data-funding", "balance_low")
    expect(page.locator("body")).to_have_attribute("data-balance", "0")
    page.get_by_role("button", name="Cost so far").click()
    expect(page.locator(".facts", has_text="Credits left")).to_be_visible()
    page.locator("#buy-credits").click()
    look(page, "call-credits", schemes=("dark",))
    buy(page)
    expect(page.locator(".toast", has_text="Credits added")).to_be_visible()
    wait_until(
        page,
        "the call goes on with what was bought",
        lambda: server.refresh(order)["pass"]["granted_ms"] == 280_000,
    )
    moves.call_state(page, "connected")
    sees_and_hears(page)

    back_later(ana.page, page, server, order, 12_000)
    moves.level(page, "urgent")
    moves.end_code(page, "used_up", 40_000)
    expect(page.locator("body")).to_have_attribute("data-settled", "true")
    expect(page.locator(".ending")).to_contain_text("Your credits are used up")
    assert (fact(page, "Taken from your credits"), fact(page, "Credits left")) == ("€35.00", "€0.00")
    look(page, "call-credits-used-up", schemes=("dark",))

    afterwards(page, server, room, look)


def test_a_declined_card_buys_nothing_and_may_be_tried_again(
    server: Server, person: NewPerson, look: Look
) -> None:
    ana, cy = person("Ana"), person("Cy")
    room = server.create_room(tariff=WALLET)
    moves.host_enters(ana, room)
    page = cy.page
    sign_in(page, server, "is.declined@example.org", f"/r/{room.slug}")
    credits_state(page, "low")
    buy(page, "€25.00", card="declined")
    till = page.frame_locator("iframe.payment-frame")
    expect(till.get_by_text("declined").first).to_be_visible()
    moves.pay_at_till(till, "succeeds")
    credits_state(page, "enough")
    expect(page.locator("#credits-left")).to_contain_text("€25.00")
    go_in(page, room)
    wait_until(page, "a second window", lambda: page.locator("body").get_attribute("data-balance") == "1000")
    moves.leave(page)
    expect(page.locator("body")).to_have_attribute("data-settled", "true")
    left = float(fact(page, "Credits left").removeprefix("€"))
    taken = float(fact(page, "Taken from your credits").removeprefix("€"))
    assert round(left + taken, 2) == 25.0


def test_credits_whose_payment_a_bank_looks_into_are_shown_as_frozen(
    server: Server, person: NewPerson, look: Look
) -> None:
    ana, dee, operator = person("Ana"), person("Dee"), person("Operator")
    room = server.create_room(tariff=WALLET)
    moves.host_enters(ana, room)
    page = dee.page
    sign_in(page, server, "is.disputed@example.org", f"/r/{room.slug}")
    credits_state(page, "low")
    buy(page, "€25.00")
    credits_state(page, "enough")

    board = operator.page
    board.goto(server.dashboard)
    bought = board.locator("#payments tr").filter(has_text=own_wallet(page)["history"][0]["order_id"])
    bought.get_by_role("button", name="Dispute", exact=True).click()
    expect(bought.get_by_role("button", name="Dispute won")).to_be_visible()
    wait_until(
        page,
        "the credits are frozen",
        lambda: own_wallet(page)["frozen_minor"] == 2500,
        timeout_s=60,
        every_ms=500,
    )

    page.goto(f"{server.url}/me")
    page_state(page, "ready")
    expect(page.locator("#my-credits")).to_contain_text("€25.00 of it is frozen: your bank is looking into")
    look(page, "me-credits-frozen")
    page.goto(room.share_url)
    credits_state(page, "low")
    expect(page.locator("#credits-left")).to_contain_text("€25.00 more is frozen while your bank looks into")
    look(page, "card-credits-frozen")


def test_the_host_offers_a_room_for_credits(server: Server, person: NewPerson, look: Look) -> None:
    page = person("Ana").page
    page.goto(server.url)
    page.get_by_label("Title", exact=True).fill("Italian conversation")
    page.get_by_label("Description").fill("We talk about whatever you like.")
    page.get_by_label("Your name").fill("Ana")
    page.get_by_role("radio", name="From credits").check(force=True)
    page.get_by_label("Price a minute").fill("1.00")
    expect(page.locator("#preview")).to_contain_text("Taken from your credits, by the second")
    look(page, "landing-credits")
    page.get_by_role("button", name="Enter the room").click()
    expect(page.locator("#share-url")).to_be_visible()
