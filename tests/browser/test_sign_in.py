"""Signing in by the link in the sandbox's mail, and what the page of who is signed in shows."""

import re

from playwright.sync_api import Page, expect

from tests.browser import moves
from tests.browser.conftest import NewPerson, NewServer
from tests.browser.look import Look
from tests.browser.people import wait_until
from tests.browser.server import Server

# Paying and connecting on a machine that does other things too.
LONG_MS = 60_000


def page_state(page: Page, state: str) -> None:
    expect(page.locator("main")).to_have_attribute("data-state", state)


def link_in_mail(page: Page, server: Server, email: str, nth: int = 1) -> str:
    """The newest link that was mailed to that address, once there are so many. Tests share one server: each has
    addresses of its own."""
    found = page.locator("article", has_text=f"To {email}").get_by_role("link", name="Sign in")

    def there() -> bool:
        page.goto(f"{server.url}/sandbox/mail")
        return found.count() == nth

    wait_until(page, "the mail arrives", there)
    return str(found.first.get_attribute("href"))


def ask_for_link(page: Page, server: Server, email: str, next_path: str = "/me") -> None:
    page.goto(f"{server.url}/signin?next={next_path}")
    page.get_by_label("E-mail address").fill(email)
    page.get_by_role("button", name="Send the link").click()
    page_state(page, "sent")


def sign_in(page: Page, server: Server, email: str, next_path: str = "/me", nth: int = 1) -> None:
    """`nth`: how often somebody has asked for this address by now."""
    ask_for_link(page, server, email, next_path)
    page.goto(link_in_mail(page, server, email, nth))
    page.get_by_role("button", name="Sign in").click()
    page.wait_for_url(f"{server.url}{next_path}")


def test_a_link_from_the_mail_opens_the_own_page_once(server: Server, person: NewPerson, look: Look) -> None:
    page = person("Ana").page
    page.goto(server.url)
    page.get_by_role("link", name="Sign in").click()
    page_state(page, "form")
    page.get_by_role("button", name="Send the link").click()
    expect(page.locator("#email-error")).to_be_visible()
    look(page, "signin-form")
    page.get_by_label("E-mail address").fill("ana@example.org")
    page.get_by_role("button", name="Send the link").click()
    page_state(page, "sent")
    look(page, "signin-sent")
    link = link_in_mail(page, server, "ana@example.org")
    look(page, "sandbox-mail")
    page.goto(link)
    page_state(page, "open")
    assert "#" not in page.url, "the secret does not stay in the address"
    look(page, "signin-open")
    page.get_by_role("button", name="Sign in").click()
    page.wait_for_url(f"{server.url}/me")
    page_state(page, "ready")
    expect(page.get_by_role("heading", name="Hello, ana")).to_be_visible()
    expect(page.locator("#account-name")).to_have_text("ana")

    thief = person("Thief").page
    thief.goto(link)
    thief.get_by_role("button", name="Sign in").click()
    page_state(thief, "form")
    expect(thief.get_by_text("That link does not work")).to_be_visible()
    look(thief, "signin-used", schemes=("light",))

    page.get_by_label("Name").fill("Ana Belle")
    page.get_by_role("button", name="Save").click()
    expect(page.locator("#account-name")).to_have_text("Ana Belle")
    page.get_by_role("button", name="Sign out", exact=True).click()
    page.wait_for_url(f"{server.url}/")
    expect(page.get_by_role("link", name="Sign in")).to_be_visible()


def test_who_is_signed_out_elsewhere_is_asked_to_sign_in_again(
    server: Server, person: NewPerson, look: Look
) -> None:
    page, phone = person("Bo").page, person("Bo's phone").page
    sign_in(page, server, "bo@example.org")
    sign_in(phone, server, "bo@example.org", nth=2)
    page_state(phone, "ready")
    look(phone, "me-new")
    phone.get_by_role("button", name="Sign out everywhere else").click()
    expect(phone.get_by_text("Signed out everywhere else")).to_be_visible()
    page.reload()
    page.wait_for_url(re.compile(r"/signin\?over=1"))
    expect(page.get_by_text("You were signed out")).to_be_visible()
    look(page, "signin-over", schemes=("light",))


def test_what_was_bought_and_opened_is_found_again_on_another_device(
    server: Server, person: NewPerson, look: Look
) -> None:
    ana, cy, phone = person("Ana"), person("Cy"), person("Cy's phone")
    for one in (ana, cy, phone):
        one.context.set_default_timeout(LONG_MS)
    sign_in(ana.page, server, "ana2@example.org", "/")
    moves.fill_room_form(ana.page)
    ana.page.get_by_role("button", name="Enter the room").click()
    share_url = ana.page.locator("#share-url").input_value()
    path = share_url.removeprefix(server.url)
    ana.page.locator("#open-studio").click()
    moves.go_live(ana.page)

    sign_in(cy.page, server, "cy@example.org", path)
    moves.card_state(cy.page, "live")
    moves.fill_card(cy.page, "Cy")
    moves.press_pay(cy.page)
    moves.pay_at_till(cy.page)
    cy.page.wait_for_url(f"{server.url}{path}/call", timeout=LONG_MS)
    cy.page.goto(server.url)  # away, without a word

    sign_in(phone.page, server, "cy@example.org", nth=2)
    page_state(phone.page, "ready")
    row = phone.page.locator("#my-purchases .history__row")
    expect(row).to_contain_text("Italian conversation")
    expect(row).to_contain_text("€5.00")
    look(phone.page, "me-purchases")

    rooms = ana.open(f"{server.url}/me/rooms")
    page_state(rooms, "ready")
    expect(rooms.locator("#my-rooms .history__row")).to_contain_text("1 purchase")
    expect(rooms.locator("#my-rooms .history__row")).to_contain_text("€5.00 taken")
    rooms.get_by_text("Sales", exact=True).click()
    sale = rooms.locator("#my-rooms .sales .history__row")
    expect(sale).to_contain_text("Cy")
    expect(sale).to_contain_text("€5.00")
    look(rooms, "me-rooms")
    rooms.close()

    row.get_by_role("link", name="Receipt").click()
    expect(phone.page.get_by_role("heading", name="Receipt")).to_be_visible()
    look(phone.page, "receipt-signed-in", schemes=("light",))
    phone.page.get_by_role("button", name="Go in").click()
    moves.call_state(phone.page, "connected", LONG_MS)


def test_a_host_without_the_host_link_goes_live_from_another_device(
    server: Server, person: NewPerson
) -> None:
    ana, phone = person("Ana"), person("Ana's phone")
    for one in (ana, phone):
        one.context.set_default_timeout(LONG_MS)
    sign_in(ana.page, server, "ana3@example.org", "/")
    moves.fill_room_form(ana.page)
    ana.page.get_by_role("button", name="Enter the room").click()
    share_url = ana.page.locator("#share-url").input_value()

    sign_in(phone.page, server, "ana3@example.org", "/me/rooms", nth=2)
    page_state(phone.page, "ready")
    phone.page.get_by_text("Sales", exact=True).click()
    expect(phone.page.get_by_text("Nothing sold yet.")).to_be_visible()
    studio = phone.page.get_by_role("link", name="Open studio")
    # An older link that this browser has kept does not stand in the way.
    room_id = str(studio.get_attribute("href")).removeprefix("/host/")
    phone.page.evaluate("(id) => localStorage.setItem(`tollroom:host:${id}`, 'x'.repeat(43))", room_id)
    studio.click()
    moves.call_state(phone.page, "before")
    assert "#" not in phone.page.url
    moves.go_live(phone.page)
    card_url = share_url.replace("/r/", "/api/rooms/")
    wait_until(phone.page, "the room is live", lambda: phone.page.request.get(card_url).json()["live"])

    stranger = person("Stranger").page
    stranger.goto(f"{server.url}/host/{room_id}")
    moves.end_code(stranger, "no_key")
    stranger.get_by_role("link", name="Sign in").last.click()
    page_state(stranger, "form")


def test_what_was_bought_and_opened_before_signing_in_is_kept(
    server: Server, person: NewPerson, look: Look
) -> None:
    ana, eve = person("Ana"), person("Eve")
    for one in (ana, eve):
        one.context.set_default_timeout(LONG_MS)
    room = server.create_room()
    moves.host_enters(ana, room)
    order = server.buy(room, "Eve")
    moves.step_out(ana.page)

    moves.come_with(eve.page, order, server.url)
    receipt = f"/orders/{order.id}"
    eve.page.goto(f"{server.url}{receipt}")
    expect(eve.page.get_by_role("heading", name="Receipt")).to_be_visible()
    keep = eve.page.get_by_role("button", name="Keep it in my history")
    expect(keep).to_have_count(0)  # nobody is signed in
    sign_in(eve.page, server, "eve@example.org", receipt)
    expect(keep).to_be_visible()
    look(eve.page, "receipt-keep")
    keep.click()
    eve.page.locator("[data-keep]").get_by_role("link", name="Show").click()
    page_state(eve.page, "ready")
    expect(eve.page.locator(f"#my-purchases [data-order-id={order.id}]")).to_contain_text("€")
    eve.page.goto(f"{server.url}{receipt}")
    expect(eve.page.get_by_role("heading", name="Receipt")).to_be_visible()
    expect(keep).to_have_count(0)  # it is theirs

    studio = f"/host/{room.id}"
    sign_in(ana.page, server, "ana4@example.org", studio)
    moves.call_state(ana.page, "before")
    look(ana.page, "studio-keep")
    ana.page.get_by_role("button", name="Add to my rooms").click()
    ana.page.locator("[data-keep]").get_by_role("link", name="Show").click()
    page_state(ana.page, "ready")
    expect(ana.page.locator(f"#my-rooms [data-room-id={room.id}]")).to_contain_text("1 purchase")


def test_a_new_host_link_closes_the_old_one_and_a_signed_out_host_is_told(
    own_server: NewServer, person: NewPerson, look: Look
) -> None:
    server = own_server()
    ana, other = person("Ana"), person("Other")
    for one in (ana, other):
        one.context.set_default_timeout(LONG_MS)
    page = ana.page
    sign_in(page, server, "ana5@example.org", "/")
    moves.fill_room_form(page)
    page.get_by_role("radio", name="Pay for use").check(force=True)
    expect(page.get_by_label("Free minutes at first")).to_be_hidden()
    page.get_by_role("radio", name="Entrance").check(force=True)
    page.get_by_label("Free minutes at first").fill("61")
    page.get_by_label("Your name").focus()
    expect(page.locator("#free_minutes-error")).to_have_text("Whole minutes, from 0 to 60.")
    expect(page.locator("#enter")).to_be_disabled()
    page.get_by_label("Free minutes at first").fill("5")
    look(page, "landing-free-minutes")
    page.get_by_role("button", name="Enter the room").click()
    old_url = page.locator("#host-url").input_value()
    share_url = page.locator("#share-url").input_value()
    card = server.call("GET", share_url.removeprefix(server.url).replace("/r/", "/api/rooms/"))
    assert card["tariff"]["free_seconds"] == 300

    page.goto(f"{server.url}/me/rooms")
    page_state(page, "ready")
    page.get_by_role("button", name="New host link").click()
    look(page, "me-rooms-new-link", schemes=("light",))
    page.get_by_role("button", name="Make a new one").click()
    made = page.get_by_role("dialog").get_by_label("Host link")
    expect(made).to_have_value(re.compile(r"/host/.*#key="))
    new_url = made.input_value()
    assert new_url != old_url
    other.page.goto(old_url)
    moves.end_code(other.page, "bad_host_key")
    other.page.goto("about:blank")  # the same page with another fragment would not be loaded again
    other.page.goto(new_url)
    moves.call_state(other.page, "before")

    # Live as the signed-in owner; the session ends elsewhere, then the line breaks for longer than a resume lasts.
    page.get_by_role("button", name="Close").last.click()
    page.get_by_role("link", name="Open studio").click()
    moves.call_state(page, "before")
    moves.go_live(page)
    ana.context.clear_cookies(name="tollroom_session")
    server.kill9()
    server.start()  # it knows no key to resume with
    moves.end_code(page, "bad_host_key", LONG_MS)
    expect(page.get_by_role("heading", name="You were signed out")).to_be_visible()
    look(page, "studio-signed-out", schemes=("dark",))
    page.get_by_role("link", name="Sign in").last.click()
    page_state(page, "form")
