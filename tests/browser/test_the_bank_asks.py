"""The first payment, whatever a room charges for: the bank declines, asks whether it is you, is refused, left alone in the
middle, and approved; not before that is anything bought, and then once."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from urllib.request import urlopen

import pytest
from playwright.sync_api import Page, expect

from tests.browser import moves
from tests.browser.conftest import NewPerson
from tests.browser.moves import Till
from tests.browser.people import Person
from tests.browser.server import Order, Room, Server
from tests.browser.test_sign_in import page_state, sign_in
from tests.browser.test_wallet import WALLET, credits_state, stored_order

PER_MINUTE = {"kind": "per_minute", "rate_minor_per_min": 100, "currency": "eur", "presets_s": [900, 1800]}
# A pass, an account and a call on a machine that does other things too.
LONG_MS = 60_000


@dataclass(frozen=True, slots=True)
class Way:
    """How a room charges. `press` opens the till, `asks` is what the bank asks about, `taken_minor` what the payment
    service has taken when the payer is in."""

    name: str
    tariff: dict[str, Any]
    press: str
    asks: str
    taken_minor: int
    signs_in: bool = False


WAYS = (
    Way(
        "prepaid",
        PER_MINUTE,
        "Pay €30.00",
        "€30.00 will be paid with",
        3000,
    ),
    Way(
        "unlimited",
        {"kind": "entrance", "price_minor": 500, "currency": "eur", "seconds": None},
        "Pay €5.00",
        "€5.00 will be paid with",
        500,
    ),
    Way(
        "for-use",
        {"kind": "metered", "rate_minor_per_min": 100, "currency": "eur", "window_s": 900},
        "Hold €15.00",
        "€15.00 will be held on",
        0,
    ),
    Way(
        "subscription",
        {"kind": "subscription", "price_minor": 900, "currency": "eur", "interval": "month"},
        "Subscribe for €9.00 a month",
        "€9.00 will be paid with",
        900,
        signs_in=True,
    ),
    Way(
        "free-minutes",
        PER_MINUTE | {"free_seconds": 300},
        "Try 5 minutes for nothing",
        "The test card will be kept",
        0,
        signs_in=True,
    ),
)


@pytest.fixture(scope="module")
def framing_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Whose tills are inside its own pages."""
    started = Server(tmp_path_factory.mktemp("framing"), CHECKOUT_UI="embedded")
    started.start()
    yield started
    started.stop()


@pytest.fixture
def ana(person: NewPerson) -> Person:
    return long_tempered(person("Ana"))


def long_tempered(someone: Person) -> Person:
    someone.context.set_default_timeout(LONG_MS)
    return someone


def is_declined(till: Till) -> None:
    moves.pay_at_till(till, "declined")
    expect(till.get_by_role("alert")).to_contain_text("Your card was declined")
    expect(till.get_by_role("alert")).to_contain_text("Nothing was charged")


def is_asked(till: Till, asks: str) -> None:
    moves.pay_at_till(till, "three_d_secure")
    bank_asks(till, asks)


def bank_asks(till: Till, asks: str) -> None:
    expect(till.get_by_role("heading", name="Your bank asks: is this you?")).to_be_visible()
    expect(till.locator("main")).to_contain_text(asks)


def refuses(till: Till) -> None:
    till.get_by_role("button", name="Fail the check").click()
    expect(till.get_by_role("alert")).to_contain_text("could not confirm that this is you")
    expect(till.get_by_role("alert")).to_contain_text("Nothing was charged")


def approves(till: Till) -> None:
    till.get_by_role("button", name="Approve the payment").click()


def nothing_is_bought(server: Server, order: Order) -> None:
    """Though the payment service is asked."""
    shown = server.refresh(order)
    assert (shown["state"], shown.get("pass")) == ("open", None)
    assert taken_minor(server, order) == 0


def taken_minor(server: Server, order: Order) -> int:
    """By the payment service's own books."""
    with urlopen(f"{server.dashboard}books", timeout=30) as answer:
        sessions = json.load(answer)["sessions"]
    return sum(one["captured_minor"] for one in sessions if one["client_reference_id"] == order.id)


def the_books_hold(server: Server) -> None:
    assert server.command("check").splitlines()[-1] == "the books hold"


def opens_card(server: Server, page: Page, room: Room, way: Way) -> None:
    if way.signs_in:
        sign_in(page, server, f"bank-{way.name}@example.org", f"/r/{room.slug}")
    page.goto(room.share_url)
    page.get_by_label("Your name").fill("Bo")
    page.locator("#payer-terms").check()
    page.get_by_role("button", name=way.press).click()


def is_in_and_has_paid(server: Server, page: Page, order: Order, way: Way) -> None:
    moves.call_state(page, "connected", LONG_MS)
    moves.meter_state(page, "counting", LONG_MS)
    assert server.refresh(order)["state"] == "paid"
    assert taken_minor(server, order) == way.taken_minor
    the_books_hold(server)


@pytest.mark.parametrize("way", WAYS, ids=[way.name for way in WAYS])
def test_a_first_payment_is_declined_then_asked_about_and_buys_once_approved(
    server: Server, person: NewPerson, ana: Person, way: Way
) -> None:
    page = long_tempered(person("Bo")).page
    room = server.create_room(tariff=way.tariff)
    moves.host_enters(ana, room)
    opens_card(server, page, room, way)
    page.wait_for_url("**/sandbox/checkout/**")
    order = stored_order(page, room.slug)
    is_declined(page)
    nothing_is_bought(server, order)
    is_asked(page, way.asks)
    nothing_is_bought(server, order)
    refuses(page)
    is_asked(page, way.asks)
    # Away in the middle of the bank's question, and back by the room's card.
    page.goto(room.share_url)
    page.locator("#continue-payment").click()
    page.wait_for_url("**/sandbox/checkout/**")
    bank_asks(page, way.asks)
    nothing_is_bought(server, order)
    approves(page)
    is_in_and_has_paid(server, page, order, way)


@pytest.mark.slow
@pytest.mark.parametrize("way", WAYS, ids=[way.name for way in WAYS])
def test_a_first_payment_inside_the_page_buys_once_the_bank_has_approved(
    framing_server: Server, person: NewPerson, ana: Person, way: Way
) -> None:
    server, page = framing_server, long_tempered(person("Bo")).page
    room = server.create_room(tariff=way.tariff)
    moves.host_enters(ana, room)
    opens_card(server, page, room, way)
    till = page.frame_locator("iframe.payment-frame")
    is_declined(till)
    order = stored_order(page, room.slug)
    is_asked(till, way.asks)
    refuses(till)
    is_asked(till, way.asks)
    nothing_is_bought(server, order)
    # The page is loaded anew in the middle of the bank's question.
    page.reload()
    page.locator("#continue-payment").click()
    bank_asks(till, way.asks)
    approves(till)
    is_in_and_has_paid(server, page, order, way)


CREDITS_SAID = """
() => {
  window.said = [];
  new MutationObserver(() => { for (const one of document.querySelectorAll(".addtime")) window.said.push(one.textContent); })
    .observe(document.body, {childList: true, subtree: true, characterData: true});
}
"""


def credits_minor(page: Page, server: Server) -> int:
    return int(page.request.get(f"{server.url}/api/me/wallets/eur").json()["balance_minor"])


def orders_credits(form: Page, price: str, *, keep: bool = False) -> None:
    """With whatever card is chosen there."""
    shown = form.locator(".addtime")
    shown.get_by_label(f"{price} of credits").check(force=True)
    shown.get_by_label("I accept that I pay").check()
    if keep:
        shown.get_by_label("Keep this card").check()
    shown.get_by_role("button", name=f"Pay {price}").click()


def first_credits(page: Page, server: Server, till: Till) -> None:
    """On the room's card; the card that asks is kept."""
    orders_credits(page, "€25.00", keep=True)
    is_declined(till)
    is_asked(till, "€25.00 will be paid with")
    refuses(till)
    is_asked(till, "€25.00 will be paid with")
    assert credits_minor(page, server) == 0
    approves(till)
    credits_state(page, "enough")
    assert credits_minor(page, server) == 2500


def kept_card_asks_again(page: Page, till: Till) -> None:
    """Beside the call: refused first, which is never called paid."""
    page.get_by_role("button", name="Cost so far").click()
    page.locator("#buy-credits").click()
    page.evaluate(CREDITS_SAID)
    orders_credits(page, "€10.00")
    bank_asks(till, "€10.00 will be paid with")
    till.get_by_role("button", name="Fail the check").click()
    expect(page.locator(".addtime .banner--danger")).to_contain_text("Nothing was charged")
    said = page.evaluate("window.said")
    assert said, "what was shown was not seen"
    assert not [one for one in said if "Paid." in one]
    orders_credits(page, "€10.00")
    bank_asks(till, "€10.00 will be paid with")
    approves(till)
    expect(page.locator(".toast", has_text="Credits added")).to_be_visible()
    moves.call_state(page, "connected")


def another_card_asks_on_the_own_page(page: Page, server: Server, till: Till) -> None:
    before = credits_minor(page, server)
    page.locator("#my-credits").get_by_role("button", name="Buy credits").click()
    page.get_by_label("Pay with").select_option(label="Another card")
    orders_credits(page, "€10.00")
    is_declined(till)
    is_asked(till, "€10.00 will be paid with")
    assert credits_minor(page, server) == before
    approves(till)
    expect(page.locator(".toast", has_text="Credits added")).to_be_visible()
    assert credits_minor(page, server) == before + 1000


def test_credits_are_bought_once_the_bank_has_approved_wherever_they_are_bought(
    server: Server, person: NewPerson, ana: Person
) -> None:
    page = long_tempered(person("Bo")).page
    till = page.frame_locator("iframe.payment-frame")
    room = server.create_room(tariff=WALLET)
    moves.host_enters(ana, room)
    sign_in(page, server, "bank-credits@example.org", f"/r/{room.slug}")
    credits_state(page, "low")
    first_credits(page, server, till)
    page.locator("#payer-terms").check()
    page.locator("#pay").click()
    moves.call_state(page, "connected", LONG_MS)
    moves.meter_state(page, "counting", LONG_MS)
    kept_card_asks_again(page, till)
    moves.leave(page)
    expect(page.locator("body")).to_have_attribute("data-settled", "true")
    page.goto(f"{server.url}/me")
    page_state(page, "ready")
    another_card_asks_on_the_own_page(page, server, till)
    the_books_hold(server)
