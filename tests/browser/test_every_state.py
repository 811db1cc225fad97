"""Every page in the states that the stories do not pass through: looked at, and judged by axe."""

import re

from playwright.sync_api import expect

from tests.browser import moves
from tests.browser.conftest import NewPerson
from tests.browser.look import Look
from tests.browser.people import Person, receives_nothing, sees_and_hears
from tests.browser.server import Server

# What a browser does whose user presses "Block".
REFUSE_DEVICES = """
navigator.mediaDevices.getUserMedia = () => Promise.reject(new DOMException("no", "NotAllowedError"));
"""

# The page as a server writes it that sends no mail (the tests' server does, into its own mailbox).
WITHOUT_MAIL = """
const body = () => { if (document.body) document.body.dataset.mail = "off"; };
new MutationObserver(body).observe(document, { childList: true, subtree: true });
"""

# What a browser does that plays no sound before the page was touched (Safari; Chromium by its own judgement).
SILENT_UNTIL_TOUCHED = """
// Not navigator.userActivation: a script from the test counts as activation there.
let touched = false;
addEventListener("click", () => { touched = true; }, true);
const play = HTMLMediaElement.prototype.play;
HTMLMediaElement.prototype.play = function () {
  const allowed = this.muted || touched;
  return allowed ? play.call(this) : Promise.reject(new DOMException("no", "NotAllowedError"));
};
"""


def test_pages_that_lead_nowhere_say_so(server: Server, person: NewPerson, look: Look) -> None:
    page = person("Bo").page
    page.goto(f"{server.url}/r/nosuchroom")
    expect(page.get_by_role("heading", name="No room behind this door")).to_be_visible()
    look(page, "error-unknown-room")
    page.goto(f"{server.url}/host/room_nosuch")
    expect(page.get_by_role("heading", name="This is a host's page")).to_be_visible()
    look(page, "studio-no-key", schemes=("light",))
    page.goto(f"{server.url}/orders/ord_nosuch")
    expect(page.get_by_role("heading", name="This receipt is not for this browser")).to_be_visible()
    expect(page.locator("#receipt-sign-in")).to_have_attribute("href", "/signin?next=%2Forders%2Ford_nosuch")
    look(page, "receipt-no-secret")
    room = server.create_room()
    page.goto(f"{room.share_url}/call")
    moves.end_code(page, "no_order")
    look(page, "call-no-order", schemes=("light",))


def test_where_no_mail_is_sent_the_studio_offers_no_signing_in(
    server: Server, person: NewPerson, look: Look
) -> None:
    page = person("Bo").page
    page.goto(f"{server.url}/host/room_nosuch")
    expect(page.get_by_role("link", name="Sign in")).to_be_visible()
    page.add_init_script(WITHOUT_MAIL)
    page.goto(f"{server.url}/host/room_nosuch")
    expect(
        page.get_by_text("Open it with the whole host link, the one with #key=… at its end.")
    ).to_be_visible()
    expect(page.get_by_role("link", name="Sign in")).to_have_count(0)
    look(page, "studio-no-key-no-mail", schemes=("light",))


def test_the_form_says_what_is_wrong(server: Server, person: NewPerson, look: Look) -> None:
    page = person("Ana").page
    page.goto(server.url)
    moves.fill_room_form(page)
    page.get_by_label("Price to enter").fill("0.10")
    page.get_by_label("Title", exact=True).focus()
    expect(page.locator("#price-error")).to_contain_text("The least a card can pay")
    expect(page.get_by_role("button", name="Enter the room")).to_be_disabled()
    look(page, "landing-price-too-low")
    page.get_by_role("radio", name="By the minute").check()
    page.locator("#price").fill("0.50")
    expect(page.get_by_role("button", name="Enter the room")).to_be_enabled()
    look(page, "landing-per-minute")


def test_the_card_tells_of_full_locked_and_closed_rooms(
    server: Server, person: NewPerson, look: Look
) -> None:
    room = server.create_room(capacity=1)
    ana, bo, cy = person("Ana"), person("Bo"), person("Cy")
    moves.host_enters(ana, room)
    cy.page.goto(room.share_url)
    moves.card_state(cy.page, "live")
    bo_walks_to_the_till_and_back(bo, cy, room.share_url, look)
    order = server.buy(room, "Bo")
    moves.come_with(bo.page, order, server.url)
    bo.page.goto(room.share_url)
    expect(bo.page.locator("#go-in")).to_be_visible()
    look(bo.page, "card-paid")
    ana.page.locator("[data-control=lock]").click()
    moves.card_state(cy.page, "locked")
    look(cy.page, "card-locked")
    expect(ana.page.locator("#room-locked")).to_have_text("Locked")
    look(ana.page, "studio-locked", schemes=("light",))
    bo.page.locator("#go-in").click()
    moves.call_state(bo.page, "connected")
    host_removes_bo_with_a_refund(ana, bo, look)
    end_for_all(ana, look)
    moves.card_state(cy.page, "closed")
    look(cy.page, "card-closed")


def bo_walks_to_the_till_and_back(bo: Person, cy: Person, share_url: str, look: Look) -> None:
    page = bo.page
    page.goto(share_url)
    moves.fill_card(page, "Bo")
    moves.press_pay(page)
    page.wait_for_url("**/sandbox/checkout/**")
    moves.card_state(cy.page, "full")
    look(cy.page, "card-full")
    page.locator("#card-three_d_secure").check()
    page.locator("#pay").click()
    expect(page.locator("#approve")).to_be_visible()
    look(page, "till-three-d-secure")
    page.locator("#refuse").click()
    expect(page.get_by_role("alert")).to_contain_text("could not confirm")
    page.locator("#back").click()
    page.wait_for_url("**/r/*")
    again = page.get_by_role("button", name="Start over")
    expect(again.or_(page.locator("[data-notice=canceled]")).first).to_be_visible()
    if again.is_visible():
        look(page, "card-payment-under-way")
        again.click()
    expect(page.locator("[data-notice=canceled]")).to_be_visible()
    look(page, "card-walked-away")
    moves.card_state(cy.page, "live")


def host_removes_bo_with_a_refund(ana: Person, bo: Person, look: Look) -> None:
    sees_and_hears(bo.page)
    if ana.page.locator("body").get_attribute("data-panel") != "people":
        ana.page.locator("[data-control=people]").click()
    ana.page.locator("[data-action=kick]").click()
    dialog = ana.page.get_by_role("dialog")
    expect(dialog).to_be_visible()
    look(ana.page, "studio-remove", schemes=("light",))
    dialog.get_by_role("button", name="Remove", exact=True).click()
    moves.end_code(bo.page, "kicked")
    assert receives_nothing(bo.page)
    look(bo.page, "call-removed", schemes=("light",))
    bo.page.get_by_role("link", name="Receipt").click()
    expect(bo.page.get_by_role("heading", name="Receipt")).to_be_visible()
    expect(bo.page.get_by_text(re.compile("^Refund ")).first).to_be_visible()
    look(bo.page, "receipt-refunded")


def end_for_all(ana: Person, look: Look) -> None:
    ana.page.locator("[data-control=leave]").click()
    dialog = ana.page.get_by_role("dialog")
    expect(dialog).to_be_visible()
    look(ana.page, "studio-leaving", schemes=("light",))
    dialog.get_by_role("radio", name="End for all, give unused time back").check()
    dialog.get_by_role("button", name="End for all").click()
    moves.end_code(ana.page, "host_ended")
    look(ana.page, "studio-ended", schemes=("light",))


def test_a_listener_is_let_speak_and_devices_are_refused(
    server: Server, person: NewPerson, look: Look
) -> None:
    room = server.create_room(privacy="conference")
    ana, bo = person("Ana"), person("Bo")
    moves.host_enters(ana, room)
    order = server.buy(room, "Bo")
    bo.context.add_init_script(REFUSE_DEVICES)
    bo.context.add_init_script(SILENT_UNTIL_TOUCHED)
    moves.payer_enters(bo, order, server.url)
    expect(bo.page.locator("[data-control=microphone]")).to_be_hidden()
    hear_after_a_tap(bo, look)
    sees_and_hears(bo.page)
    look(bo.page, "call-listening", schemes=("light",))
    ana.page.locator("[data-action=grant]").click()
    dialog = bo.page.get_by_role("dialog")
    expect(dialog).to_contain_text("The host lets you speak")
    look(bo.page, "call-may-speak", schemes=("light",))
    dialog.get_by_role("button", name="Microphone and camera").click()
    expect(bo.page.get_by_text("are blocked")).to_be_visible()
    look(bo.page, "call-devices-refused", schemes=("light",))


def hear_after_a_tap(bo: Person, look: Look) -> None:
    tap = bo.page.get_by_role("button", name="Tap for sound")
    expect(tap).to_be_visible()
    look(bo.page, "call-tap-for-sound", schemes=("light",))
    tap.click()
    expect(tap).to_be_hidden()


def test_a_payer_waits_for_a_host_who_has_left(server: Server, person: NewPerson, look: Look) -> None:
    room = server.create_room()
    ana, bo = person("Ana"), person("Bo")
    moves.host_enters(ana, room)
    order = server.buy(room, "Bo")
    moves.step_out(ana.page)
    look(ana.page, "studio-stepped-out", schemes=("light",))
    bo.page.goto(room.share_url)
    moves.card_state(bo.page, "away")
    moves.come_with(bo.page, order, server.url)
    bo.page.goto(f"{server.url}/orders/{order.id}")
    expect(bo.page.locator("#wait")).to_be_visible()
    look(bo.page, "receipt-host-away")
    bo.page.locator("#wait").click()
    expect(bo.page.get_by_text("You keep your time")).to_be_visible()
    moves.payer_enters_waiting(bo, order, server.url)
    expect(bo.page.get_by_text("Your time is kept for you")).to_be_visible()
    look(bo.page, "call-time-kept", schemes=("light",))
    bo.page.get_by_role("button", name="Refund me instead").click()
    expect(bo.page.get_by_text("Your time has not started yet")).to_be_visible()
    look(bo.page, "call-waiting-for-host", schemes=("light",))
