"""Promotion codes at the public card: tried, refused, paid less, paid nothing; and a price that changes meanwhile."""

import re
import sqlite3
from contextlib import closing

from playwright.sync_api import expect

from tests.browser import moves
from tests.browser.conftest import NewPerson
from tests.browser.look import Look
from tests.browser.server import Room, Server

PER_MINUTE = {"kind": "per_minute", "rate_minor_per_min": 100, "currency": "eur", "presets_s": [900, 1800]}


def make_code(server: Server, room: Room, **body: object) -> None:
    server.call("POST", f"/api/host/rooms/{room.id}/promotions", body, bearer=room.host_key)


def test_a_code_lowers_what_is_paid_and_a_wrong_one_is_refused(
    server: Server, person: NewPerson, look: Look
) -> None:
    room = server.create_room(tariff=PER_MINUTE)
    make_code(server, room, code="HALF", percent=50, uses=1)
    ana, bo = person("Ana"), person("Bo")
    moves.host_enters(ana, room)
    page = bo.page
    page.goto(room.share_url)
    moves.fill_card(page, "Bo")
    page.get_by_text("I have a code").click()
    code = page.get_by_label("Promotion code")
    code.fill("nothing")
    code.press("Enter")
    expect(page.locator("#payer-code-error")).to_have_text("There is no such code. Check how it is written.")
    expect(code).to_have_attribute("aria-invalid", "true")
    look(page, "card-code-refused")
    code.fill("half")
    page.get_by_role("button", name="Use code").click()
    result = page.locator("#code-result")
    expect(result).to_contain_text("\N{MINUS SIGN}€15.00")
    expect(page.locator("#pay")).to_have_text("Pay €15.00")
    page.get_by_role("radio", name=re.compile("15 minutes")).check()
    expect(result).to_contain_text("\N{MINUS SIGN}€7.50")
    expect(page.locator("#pay")).to_have_text("Pay €7.50")
    look(page, "card-code")
    moves.press_pay(page)
    expect(page.locator("#pay")).to_contain_text("7.50")
    moves.pay_at_till(page)
    page.wait_for_url("**/r/*/call", timeout=60_000)
    (sale,) = server.call("GET", f"/api/host/rooms/{room.id}/sales", bearer=room.host_key)["sales"]
    assert sale["paid_minor"] == 750
    # It could be used once: the next one is told so at the field, and nothing was charged.
    cid = person("Cid").page
    cid.goto(room.share_url)
    moves.fill_card(cid, "Cid")
    cid.get_by_text("I have a code").click()
    cid.get_by_label("Promotion code").fill("HALF")
    moves.press_pay(cid)
    expect(cid.locator("#payer-code-error")).to_have_text("This code was used as often as it may be.")


def test_a_code_for_all_of_it_lets_in_without_a_payment(server: Server, person: NewPerson) -> None:
    room = server.create_room()
    make_code(server, room, code="GIFT-1", percent=100)
    ana, bo = person("Ana"), person("Bo")
    moves.host_enters(ana, room)
    page = bo.page
    page.goto(room.share_url)
    moves.fill_card(page, "Bo")
    page.get_by_text("I have a code").click()
    page.get_by_label("Promotion code").fill("gift-1")
    page.get_by_label("Promotion code").press("Enter")
    expect(page.locator("#code-result")).to_contain_text("The code pays all of it.")
    page.get_by_role("button", name="Join with the code").click()
    page.get_by_role("link", name="Go in").click()
    page.wait_for_url("**/r/*/call", timeout=60_000)


def test_a_card_that_is_open_follows_a_new_price_and_asks_again_for_new_terms(
    server: Server, person: NewPerson
) -> None:
    room = server.create_room()
    ana, bo = person("Ana"), person("Bo")
    moves.host_enters(ana, room)
    page = bo.page
    page.goto(room.share_url)
    moves.fill_card(page, "Bo")
    server.call(
        "PATCH",
        f"/api/host/rooms/{room.id}",
        {
            "tariff": {"kind": "entrance", "price_minor": 900, "currency": "eur", "seconds": 1800},
            "terms_url": f"{server.url}/terms",
        },
        bearer=room.host_key,
    )
    expect(page.locator("#pay")).to_have_text("Pay €9.00")
    expect(page.get_by_label("Your name")).to_have_value("Bo")
    expect(page.get_by_role("checkbox")).not_to_be_checked()
    expect(page.get_by_role("link", name="terms of this room")).to_be_visible()


def test_a_room_without_a_price_says_so_and_opens_when_it_has_one(
    server: Server, person: NewPerson, look: Look
) -> None:
    room = server.create_room()
    with closing(sqlite3.connect(server.folder / "tollroom.db", timeout=10)) as rows, rows:
        open_tariff = '{"kind": "per_minute", "presets_s": [900]}'
        rows.execute("update rooms set tariff = ? where id = ?", (open_tariff, room.id))
    ana, bo = person("Ana"), person("Bo")
    bo.page.goto(room.share_url)
    moves.card_state(bo.page, "unpriced")
    expect(bo.page.get_by_role("heading", name="This room has no price now")).to_be_visible()
    look(bo.page, "card-unpriced")
    ana.page.goto(room.host_url)
    expect(ana.page.get_by_text("No price is set for this room")).to_be_visible()
    server.call(
        "PUT",
        f"/api/host/rooms/{room.id}/rates",
        {"figures": {"rate_minor_per_min": 100, "currency": "eur"}},
        bearer=room.host_key,
    )
    moves.card_state(bo.page, "away")
    expect(bo.page.locator("#offer-price")).to_contain_text(re.compile("€1.00"))
