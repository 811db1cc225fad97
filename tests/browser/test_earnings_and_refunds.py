"""A host's money on the pages: pending, available, a gesture that the payer finds on the receipt, the operator's view."""

import re

from playwright.sync_api import Page, expect

from tests.browser import moves
from tests.browser.conftest import NewPerson, NewServer
from tests.browser.look import Look
from tests.browser.people import Person, wait_until
from tests.browser.server import Room, Server
from tests.browser.test_sign_in import page_state, sign_in


def opens_a_room(host: Person, server: Server) -> Room:
    """Signed in, so that what is sold there is hers; live."""
    page = host.page
    sign_in(page, server, "ana@example.org", "/me/earnings")
    page_state(page, "ready")
    page.goto(server.url)
    moves.fill_room_form(page)
    page.get_by_role("button", name="Enter the room").click()
    share_url = page.locator("#share-url").input_value()
    host_url = page.locator("#host-url").input_value()
    host_key = host_url.partition("#key=")[2]
    room_id = host_url.partition("#")[0].rstrip("/").rpartition("/")[2]
    room = Room(room_id, share_url.rpartition("/")[2], share_url, host_url, host_key)
    page.locator("#open-studio").click()
    moves.go_live(page)
    card_url = share_url.replace("/r/", "/api/rooms/")
    wait_until(page, "the room is live", lambda: page.request.get(card_url).json()["live"])
    return room


def earnings(host: Person, server: Server) -> Page:
    """Her page, in a tab beside the call."""
    page = host.open(f"{server.url}/me/earnings")
    page_state(page, "ready")
    return page


def amount(page: Page, name: str, figure: str) -> None:
    """Reloads until the balance of that name is the figure: it moves behind the page's back."""
    line = page.locator(".sums__one", has=page.get_by_text(name, exact=True)).locator(".sums__amount")

    def there() -> bool:
        page.reload()
        page_state(page, "ready")
        return line.count() == 1 and line.inner_text() == figure

    wait_until(page, f"{name} is {figure}", there)


def test_what_is_sold_is_pending_then_available_and_a_gesture_is_taken_off(
    own_server: NewServer, person: NewPerson, look: Look
) -> None:
    server = own_server()
    ana, bo = person("Ana"), person("Bo")
    room = opens_a_room(ana, server)
    page = earnings(ana, server)
    expect(page.get_by_role("heading", name="Nothing sold yet")).to_be_visible()
    look(page, "earnings-none")
    order = server.buy(room, "Bo")
    amount(page, "Pending", "€5.00")
    expect(page.locator("tbody tr")).to_have_count(1)
    expect(page.locator("tbody tr")).to_contain_text("Italian conversation")
    look(page, "earnings-pending")
    asked = {
        "refund_id": "rfd_a-gesture-of-goodwill",
        "order_id": order.id,
        "reason": "goodwill",
        "amount_minor": 150,
    }
    server.call("POST", f"/api/host/rooms/{room.id}/refunds", asked, bearer=room.host_key)
    amount(page, "Pending", "€3.50")
    bo.page.goto(f"{server.url}/orders/{order.id}#secret={order.secret}")
    receipt = bo.page.locator("#receipt-page")
    expect(receipt).to_contain_text("a gesture of goodwill")
    expect(receipt).to_contain_text("€1.50")
    server.holding_time_is_over()
    amount(page, "Available", "€3.50")
    expect(page.locator("tbody tr")).to_have_attribute("data-state", "available")
    with page.expect_download() as download:
        page.get_by_role("link", name="Download as CSV").click()
    lines = download.value.path().read_text().splitlines()
    assert re.search(rf"{order.id}.*5\.00.*1\.50.*available", lines[1]), lines


def goes_through_the_forms(page: Page, outcome: str) -> None:
    """At the payment service, and back."""
    page.get_by_label(outcome).check()
    page.get_by_role("button", name="Go on (test)").click()
    page.wait_for_url(re.compile(r"/me/earnings$"))
    page_state(page, "ready")


def test_a_host_gives_a_bank_account_sells_and_is_paid_out(
    own_server: NewServer, person: NewPerson, look: Look
) -> None:
    server = own_server(CONNECT="on")
    ana = person("Ana")
    room = opens_a_room(ana, server)
    page = earnings(ana, server)
    expect(page.get_by_role("heading", name="Set up your payouts")).to_be_visible()
    page.get_by_role("button", name="Set up payouts").click()
    expect(page.locator("#country-error")).to_be_visible()
    look(page, "earnings-onboarding")
    page.get_by_label("Country of your bank account").select_option("IT")
    page.get_by_role("button", name="Set up payouts").click()
    goes_through_the_forms(page, "Leave unfinished")
    expect(page.get_by_role("heading", name="Stripe needs something from you")).to_be_visible()
    expect(page.get_by_text("your bank account")).to_be_visible()
    look(page, "earnings-restricted")
    server.buy(room, "Bo")
    amount(page, "Pending", "€5.00")
    server.holding_time_is_over()
    amount(page, "Available", "€5.00")
    page.get_by_role("button", name="Go on at Stripe").click()
    goes_through_the_forms(page, "Everything is told")
    expect(page.get_by_text("Payouts are set up")).to_be_visible()
    amount(page, "Paid out", "€5.00")
    expect(page.get_by_role("heading", name="Payouts")).to_be_visible()
    expect(page.locator("[data-sale]")).to_have_attribute("data-state", "paid")
    expect(page.locator("[data-payout]")).to_have_attribute("data-state", "sent")
    look(page, "earnings-paid")
