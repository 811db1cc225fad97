"""Money that a host and the operator give back on their pages: a subscription's payment, and credits that nobody spent."""

import re

from playwright.sync_api import Page, expect

from tests.browser import moves
from tests.browser.conftest import NewPerson
from tests.browser.look import Look
from tests.browser.people import wait_until
from tests.browser.server import Server
from tests.browser.test_sign_in import page_state, sign_in
from tests.browser.test_subscriptions import host_chooses_subscription, sign_in_on_the_way, subscribe
from tests.browser.test_wallet import WALLET, buy, credits_state


def unseen(_page: Page, _state: str) -> None:
    """For the way there, which other tests look at."""


def newest_order(page: Page, server: Server) -> str:
    """Of who is signed in."""
    bought = page.request.get(f"{server.url}/api/me/orders").json()["orders"]
    return str(bought[0]["order_id"])


def arrives(page: Page, server: Server, order_id: str) -> None:
    """Its receipt, once the refund was made: that happens behind the page's back."""

    def there() -> bool:
        receipt = page.request.get(f"{server.url}/api/orders/{order_id}/receipt").json()
        return [one["state"] for one in receipt["refunds"]] == ["succeeded"]

    wait_until(page, "the refund was made", there)
    page.goto(f"{server.url}/orders/{order_id}")
    expect(page.locator("#receipt-page")).to_contain_text("Total after refunds")


def test_a_host_gives_back_a_subscriptions_payment_and_it_is_not_renewed(
    server: Server, person: NewPerson, look: Look
) -> None:
    ana, ben = person("Ana"), person("Ben")
    sign_in(ana.page, server, "ana-gives-back@example.org", "/me/rooms")
    page_state(ana.page, "ready")
    room = host_chooses_subscription(ana, server)
    sign_in_on_the_way(ben.page, server, room, "ben-gets-back@example.org", unseen)
    subscribe(ben.page, unseen)
    page = ana.open(f"{server.url}/me/rooms")
    page_state(page, "ready")
    page.locator(f"[data-room-id='{room.id}'] + details summary").click()
    sale = page.locator("[data-order-id]", has_text="Ben")
    sale.get_by_role("button", name="Give money back").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_role("button", name="Give it back").click()
    expect(dialog.get_by_text("Write an amount, such as 5.00.")).to_be_visible()
    expect(dialog.get_by_label("Which payment")).to_contain_text("€9.00")
    dialog.get_by_label("All that is left").check()
    dialog.get_by_label("Why").select_option("requested")
    dialog.get_by_label("does not renew").check()
    look(page, "give-back-subscription", schemes=("light",))
    dialog.get_by_role("button", name="Give it back").click()
    expect(dialog).to_have_count(0)

    arrives(ben.page, server, newest_order(ben.page, server))
    receipt = ben.page.locator("#receipt-page")
    expect(receipt).to_contain_text("asked for, sent")
    expect(receipt).to_contain_text(re.compile("Total after refunds.*€0.00", re.DOTALL))
    look(ben.page, "receipt-subscription-given-back", schemes=("light",))

    def ends() -> bool:
        mine = ben.page.request.get(f"{server.url}/api/me/subscriptions").json()
        return [one["cancel_at_period_end"] for one in mine["subscriptions"]] == [True]

    wait_until(ben.page, "the subscription ends with its period", ends)
    ben.page.goto(f"{server.url}/me")
    expect(ben.page.locator("#my-subscriptions")).to_contain_text("Nothing more is charged")


def test_the_operator_gives_back_credits_that_nobody_spent(
    server: Server, person: NewPerson, look: Look
) -> None:
    ana, cy, opal = person("Ana"), person("Cy"), person("Opal")
    room = server.create_room(tariff=WALLET)
    moves.host_enters(ana, room)
    sign_in(cy.page, server, "cy-gets-back@example.org", f"/r/{room.slug}")
    credits_state(cy.page, "low")
    buy(cy.page, "€25.00")
    credits_state(cy.page, "enough")
    order_id = newest_order(cy.page, server)

    page = opal.page
    sign_in(page, server, "opal-gives-back@example.org", "/admin")
    page_state(page, "refused")
    server.command("operator", "opal-gives-back@example.org")
    page.reload()
    page_state(page, "ready")
    desk = page.locator("#purchases")
    desk.get_by_label("Order").fill(order_id)
    desk.get_by_role("button", name="Look it up").click()
    desk.get_by_role("button", name="Give money back").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_label("Amount (EUR)").fill("30")
    dialog.get_by_role("button", name="Give it back").click()
    expect(dialog.get_by_role("alert")).to_contain_text("Less than that is left")
    dialog.get_by_label("Amount (EUR)").fill("4.00")
    dialog.get_by_label("Why").select_option("requested")
    look(page, "give-back-credits", schemes=("light",))
    dialog.get_by_role("button", name="Give it back").click()
    expect(dialog).to_have_count(0)
    expect(desk.locator("[data-refund]")).to_contain_text("€4.00")
    look(page, "admin-given-back", schemes=("light",))

    arrives(cy.page, server, order_id)
    receipt = cy.page.locator("#receipt-page")
    expect(receipt).to_contain_text("asked for, sent")
    expect(receipt).to_contain_text("€21.00")
    look(cy.page, "receipt-credits-given-back", schemes=("light",))
    cy.page.goto(f"{server.url}/me")
    page_state(cy.page, "ready")
    expect(cy.page.locator("#my-credits")).to_contain_text("€21.00")
