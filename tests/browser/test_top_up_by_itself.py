"""A kept card tops credits up while a call runs low: switched on by the payer, shown, left alone after a decline, forgotten."""

import sqlite3
import time
from contextlib import closing

from playwright.sync_api import Page, expect

from tests.browser import moves
from tests.browser.conftest import NewPerson, NewServer
from tests.browser.look import Look
from tests.browser.people import wait_until
from tests.browser.server import Server
from tests.browser.test_sign_in import page_state, sign_in
from tests.browser.test_wallet import WALLET, back_later, credits_state, go_in

LONG_MS = 60_000


def buy_and_keep(page: Page) -> None:
    form = page.locator(".addtime")
    form.get_by_label("€25.00 of credits").check(force=True)
    form.get_by_label("I accept that I pay").check()
    form.get_by_label("Keep this card").check()
    form.get_by_role("button", name="Pay €25.00").click()
    till = page.frame_locator("iframe.payment-frame")
    expect(till.locator("#pay")).to_be_visible()
    moves.pay_at_till(till)
    credits_state(page, "enough")


def own_page(page: Page, server: Server) -> None:
    page.goto(f"{server.url}/me")
    page_state(page, "ready")


def topups(page: Page, server: Server) -> list[tuple[str, int]]:
    """What was bought, the newest first."""
    wallet = page.request.get(f"{server.url}/api/me/wallets/eur").json()
    return [(one["kind"], one["amount_minor"]) for one in wallet["history"] if one["kind"] == "topup"]


def bank_declines_from_now_on(server: Server) -> None:
    """The kept card, by the name of one of Stripe's test methods."""
    with closing(sqlite3.connect(server.folder / "tollroom.db", timeout=10)) as db, db:
        (card,) = db.execute("SELECT auto_card FROM wallets WHERE auto_topup").fetchone()
        declined = "pm_card_visa_chargeDeclined"
        for table, column in (("cards", "payment_method_id"), ("wallets", "auto_card")):
            db.execute(f"UPDATE {table} SET {column} = ? WHERE {column} = ?", (declined, card))


def left_alone_for_s(server: Server) -> float:
    with closing(sqlite3.connect(server.folder / "tollroom.db", timeout=10)) as db:
        (until_s,) = db.execute("SELECT auto_not_before_s FROM wallets WHERE auto_topup").fetchone()
    return float(until_s or 0) - time.time()


def test_a_kept_card_tops_up_in_the_call_until_it_is_declined(
    own_server: NewServer, person: NewPerson, look: Look
) -> None:
    server = own_server()
    ana, bo = person("Ana"), person("Bo")
    for one in (ana, bo):
        one.context.set_default_timeout(LONG_MS)
    room = server.create_room(tariff=WALLET)
    moves.host_enters(ana, room)
    page = bo.page
    sign_in(page, server, "tops.up@example.org", f"/r/{room.slug}")
    credits_state(page, "low")
    buy_and_keep(page)

    own_page(page, server)
    expect(page.locator("#kept-cards")).to_contain_text("ending in")
    page.get_by_label("Top up by itself while a call runs low").check()
    expect(page.locator("[data-auto]")).to_have_attribute("data-auto", "on")
    look(page, "me-auto-top-up")

    # Two minutes are held first, then the rest; with nothing left the card is charged, once.
    page.goto(room.share_url)
    order = go_in(page, room)
    back_later(ana.page, page, server, order, 55_000)
    wait_until(page, "credits are bought", lambda: len(topups(page, server)) == 2, 60)
    assert topups(page, server) == [("topup", 1000), ("topup", 2500)]
    moves.call_state(page, "connected")

    bank_declines_from_now_on(server)
    back_later(ana.page, page, server, order, 55_000)
    expect(page.locator(".toast--danger")).to_be_visible(timeout=LONG_MS)
    wait_until(page, "the card is left alone", lambda: left_alone_for_s(server) > 3000, 60)
    assert len(topups(page, server)) == 2, "a declined card buys nothing"
    moves.call_state(page, "connected")
    look(page, "call-top-up-declined", schemes=("dark",))

    own_page(page, server)
    page.get_by_role("button", name="Forget").click()
    expect(page.get_by_text("is forgotten")).to_be_visible()
    expect(page.locator("#kept-cards")).to_have_count(0)
    expect(page.get_by_text("Keep a card when you buy credits")).to_be_visible()
