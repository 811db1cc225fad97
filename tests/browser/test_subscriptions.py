"""A subscription of a room: subscribed and in, not renewed in the middle of a call, paid again with another card, cancelled."""

import json
import re
import sqlite3
from contextlib import closing
from urllib.request import Request, urlopen

from playwright.sync_api import Page, expect

from tests.browser import moves
from tests.browser.conftest import NewPerson
from tests.browser.look import Look
from tests.browser.people import Person
from tests.browser.server import Room, Server
from tests.browser.test_sign_in import link_in_mail


def host_chooses_subscription(ana: Person, server: Server) -> Room:
    """On the landing page; Ana is live at the end of it."""
    page = ana.page
    page.goto(server.url)
    page.get_by_label("Title", exact=True).fill("Yoga, every week")
    page.get_by_label("Description").fill("We stretch.")
    page.get_by_label("Your name").fill("Ana")
    page.get_by_role("radio", name=re.compile("Subscription")).check(force=True)
    page.get_by_label("Price", exact=True).fill("9.00")
    page.get_by_role("button", name="Enter the room").click()
    share_url, host_url = page.locator("#share-url").input_value(), page.locator("#host-url").input_value()
    room_id = host_url.rsplit("/", 1)[1].partition("#")[0]
    room = Room(room_id, share_url.rsplit("/", 1)[1], share_url, host_url, host_url.partition("#key=")[2])
    moves.host_enters(ana, room)
    return room


def sign_in_on_the_way(page: Page, server: Server, room: Room, email: str, look: Look) -> None:
    """The card sends there, and the link out of the mail leads back."""
    page.goto(room.share_url)
    expect(page.get_by_role("heading", name="Subscribe")).to_be_visible()
    look(page, "card-subscribe-sign-in")
    page.locator("#subscribe-sign-in").click()
    page.get_by_label("E-mail address").fill(email)
    page.get_by_role("button", name="Send the link").click()
    expect(page.locator("main")).to_have_attribute("data-state", "sent")
    page.goto(link_in_mail(page, server, email))
    page.get_by_role("button", name="Sign in").click()
    page.wait_for_url(room.share_url)


def subscribe(page: Page, look: Look) -> None:
    page.get_by_label("Your name").fill("Ben")
    expect(page.locator(".use-note")).to_contain_text(
        "€9.00 are charged now and then each month, until you cancel."
    )
    page.get_by_role("checkbox").check()
    look(page, "card-subscribe")
    page.get_by_role("button", name="Subscribe for €9.00 a month").click()
    page.wait_for_url("**/sandbox/checkout/**")
    moves.pay_at_till(page)
    moves.call_state(page, "connected", 120_000)
    moves.meter_state(page, "counting", 120_000)


def renewal_fails(server: Server, room: Room) -> None:
    with closing(sqlite3.connect(server.folder / "tollroom.db", timeout=10)) as rows:
        query = "select id from subscriptions where room_id = ?"
        (subscription_id,) = rows.execute(query, (room.id,)).fetchone()
    body = json.dumps({"subscription": subscription_id, "fails": True}).encode()
    headers = {"Content-Type": "application/json"}
    request = Request(f"{server.dashboard}advance_subscription", body, headers, method="POST")
    with urlopen(request, timeout=30) as answer:
        assert json.load(answer)["status"] == "past_due"


def another_card_at_the_portal(page: Page, look: Look) -> None:
    page.get_by_role("button", name="Change or cancel").click()
    page.wait_for_url("**/sandbox/portal/**")
    page.get_by_role("button", name="Use this card (test)").click()
    expect(page.get_by_role("main")).to_contain_text("The card was changed.")
    page.get_by_role("link", name="Go back").click()
    expect(page.locator("#my-subscriptions")).to_contain_text("then it renews by itself")
    look(page, "me-subscribed")


def test_a_lapse_ends_the_call_and_another_card_opens_the_same_pass_again(
    server: Server, person: NewPerson, look: Look
) -> None:
    ana, ben = person("Ana"), person("Ben")
    room = host_chooses_subscription(ana, server)
    page = ben.page
    sign_in_on_the_way(page, server, room, "ben-subscribes@example.org", look)
    subscribe(page, look)
    renewal_fails(server, room)
    expect(
        page.get_by_text(re.compile("Your subscription was not renewed. You can stay for 1 hour"))
    ).to_be_visible()
    # Its grace is over at once, so that nobody waits an hour for it here.
    server.call("PUT", f"/api/host/rooms/{room.id}/rates", {"figures": {"grace_s": 0}}, bearer=room.host_key)
    moves.end_code(page, "lapsed", 120_000)
    expect(page.get_by_role("heading", name="Your subscription is not paid")).to_be_visible()
    look(page, "call-lapsed")
    page.get_by_role("link", name="Your page").click()
    expect(page.locator("#my-subscriptions")).to_contain_text("The last payment did not go through.")
    look(page, "me-not-paid")
    another_card_at_the_portal(page, look)
    page.locator("#my-subscriptions").get_by_role("link", name="Open the room").click()
    expect(page.get_by_role("heading", name="You are subscribed")).to_be_visible()
    look(page, "card-subscribed")
    page.get_by_role("link", name="Go in").click()
    moves.call_state(page, "connected", 120_000)
    moves.meter_state(page, "counting", 120_000)


def test_a_declined_card_subscribes_nobody(server: Server, person: NewPerson, look: Look) -> None:
    ana, ben = person("Ana"), person("Ben")
    room = host_chooses_subscription(ana, server)
    page = ben.page
    sign_in_on_the_way(page, server, room, "ben-declined@example.org", look)
    page.get_by_label("Your name").fill("Ben")
    page.get_by_role("checkbox").check()
    page.get_by_role("button", name="Subscribe for €9.00 a month").click()
    page.wait_for_url("**/sandbox/checkout/**")
    moves.pay_at_till(page, "declined")
    expect(page.get_by_role("alert")).to_contain_text("declined")
    page.goto(f"{server.url}/me")
    expect(page.locator("main")).to_have_attribute("data-state", "ready")
    expect(page.locator("#my-subscriptions")).to_have_count(0)
