"""The operator's page: rates with what holds where nothing is said, a fee, terms, codes; and who may not see it."""

import re

from playwright.sync_api import Page, expect

from tests.browser import moves
from tests.browser.conftest import NewPerson, NewServer
from tests.browser.look import Look
from tests.browser.server import Room, Server
from tests.browser.test_sign_in import page_state, sign_in


def set_for_everyone(page: Page, server: Server, look: Look) -> None:
    """Amounts need a currency, which is said at the field."""
    page.get_by_role("button", name="Everyone").click()
    page.get_by_label("Rate per minute").fill("1.00")
    page.get_by_role("button", name="Save").click()
    expect(page.locator("#figure-rate_minor_per_min-error")).to_have_text(
        "Choose the currency that amounts are in."
    )
    page.get_by_label("Currency of the amounts here").select_option("eur")
    page.get_by_label("Lengths to choose from").fill("15, 30")
    page.get_by_label("Percent of the price").fill("10")
    page.get_by_label("The guest pays it on top").select_option("yes")
    page.get_by_label("Packages: price").fill("10.00 = 11.00; 25")
    page.get_by_label("Warn the payer at a balance of").fill("3.00")
    page.get_by_label("Stripe computes the tax").select_option("yes")
    page.get_by_label("Web address of the terms").fill(f"{server.url}/terms")
    page.get_by_label("Version of the terms").fill("2026-1")
    look(page, "admin-rates")
    page.get_by_role("button", name="Save").click()
    everyone = page.locator("#rates .admin__line", has_text="Everyone")
    for said in ("€1.00", "10.00 = 11.00; 25.00", "balance of: €3.00", "paid in advance: Yes"):
        expect(everyone).to_contain_text(said)
    look(page, "admin-places")


def credits_are_sold_as_set(page: Page, server: Server) -> None:
    """What the operator said is what a person's page offers."""
    wallet = page.request.get(f"{server.url}/api/me/wallets/eur").json()
    assert [(one["price_minor"], one["credit_minor"]) for one in wallet["packages"]] == [
        (1000, 1100),
        (2500, 2500),
    ]


def set_for_room(page: Page, room: Room) -> None:
    page.get_by_label("E-mail address of a host, or a room").fill(room.share_url)
    page.get_by_role("button", name="Find").click()
    page.get_by_role("button", name=re.compile("Open talk")).click()
    expect(page.locator("#figure-rate_minor_per_min-help")).to_have_text("otherwise €1.00")
    page.get_by_label("Currency of the amounts here").select_option("eur")
    page.get_by_label("Rate per minute").fill("2")
    page.get_by_role("button", name="Save").click()
    expect(page.locator("#rates .admin__line", has_text="Open talk")).to_contain_text("€2.00")


def make_code(page: Page, room: Room) -> None:
    page.get_by_label("Code", exact=True).fill("half-off")
    page.get_by_label("Amount", exact=True).fill("50")
    page.get_by_label("Room", exact=True).fill(room.share_url)
    page.get_by_label("How often").fill("1")
    page.get_by_role("button", name="Make the code").click()
    code = page.locator("#codes .admin__line", has_text="HALF-OFF")
    expect(code).to_contain_text("50 % · Open talk · used 0 times, 1 left")


def pay_with_code(page: Page, room: Room, server: Server) -> None:
    page.goto(room.share_url)
    expect(page.get_by_role("link", name="terms of this room")).to_have_attribute(
        "href", f"{server.url}/terms"
    )
    moves.fill_card(page, "Bo")
    page.get_by_role("radio", name=re.compile("15 minutes")).check()
    expect(page.locator("#pay")).to_have_text("Pay €33.00")
    page.get_by_text("I have a code").click()
    page.get_by_label("Promotion code").fill("half-off")
    page.get_by_role("button", name="Use code").click()
    expect(page.locator("#code-result")).to_contain_text("€1.50")
    expect(page.locator("#pay")).to_have_text("Pay €16.50")
    moves.press_pay(page)
    moves.pay_at_till(page)
    page.wait_for_url("**/r/*/call", timeout=60_000)
    (sale,) = server.call("GET", f"/api/host/rooms/{room.id}/sales", bearer=room.host_key)["sales"]
    assert sale["paid_minor"] == 1650


def test_an_operator_sets_rates_and_codes_and_a_payer_meets_them(
    own_server: NewServer, person: NewPerson, look: Look
) -> None:
    server = own_server()
    opal, ana, bo = person("Opal"), person("Ana"), person("Bo")
    page = opal.page
    sign_in(page, server, "opal@example.org", "/admin")
    page_state(page, "refused")
    expect(page.get_by_text("tollroom operator opal@example.org")).to_be_visible()
    look(page, "admin-refused")
    server.command("operator", "opal@example.org")
    page.reload()
    page_state(page, "ready")
    expect(page.get_by_text("Nothing is set yet.")).to_be_visible()
    look(page, "admin-empty")
    set_for_everyone(page, server, look)
    credits_are_sold_as_set(page, server)
    # A room that leaves its price open takes it from there, unless something is said for it.
    room = server.create_room(title="Open talk", tariff={"kind": "per_minute"})
    set_for_room(page, room)
    make_code(page, room)
    look(page, "admin-codes")
    moves.host_enters(ana, room)
    pay_with_code(bo.page, room, server)
    # The host sees what is theirs, and why it is less.
    expect(ana.page.locator("[data-earnings=net]")).to_contain_text("€15.00")
    expect(ana.page.locator("[data-earnings=net]")).to_contain_text("of €16.50 paid, less €1.50 of fees")
    look(ana.page, "studio-fees", schemes=("dark",))
    # An ended code is refused, and what is taken back says nothing any more.
    page.get_by_role("button", name="End: HALF-OFF").click()
    page.get_by_role("button", name="End it").click()
    expect(page.locator("#codes .admin__line", has_text="HALF-OFF")).to_contain_text("ended")
    page.get_by_role("button", name="Change: Everyone").click()
    page.get_by_role("button", name="Say nothing here").click()
    expect(page.locator("#rates .admin__line", has_text="Everyone")).to_have_count(0)
