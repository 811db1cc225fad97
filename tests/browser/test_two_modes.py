"""A server with live and test keys in the browser: a test room says what it is, is paid at its own till, and stands on the
test side of who bought there; so does everything one comes from and goes to."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from urllib.request import urlopen

import pytest
from playwright.sync_api import Page, expect

from tests.browser import moves
from tests.browser.conftest import NewPerson
from tests.browser.look import Look
from tests.browser.people import Person, wait_until
from tests.browser.server import Room
from tests.browser.test_sign_in import page_state
from tests.browser.two_sets import TwoSets
from tests.integration.people.smtp import MailServer, text_of

LONG_MS = 60_000
TEST_WORDS = "Test room: no real money"


@pytest.fixture
def mail() -> Iterator[MailServer]:
    server = MailServer()
    server.open()
    yield server
    server.close()


@pytest.fixture
def server(tmp_path: Path, mail: MailServer) -> Iterator[TwoSets]:
    started = TwoSets(tmp_path, mail.url)
    started.start()
    yield started
    started.stop()


def opens_a_room(ana: Person, server: TwoSets, mode: str) -> Room:
    """On the landing page; Ana is live at the end of it."""
    page = ana.page
    page.goto(server.url)
    moves.fill_room_form(page)
    page.get_by_label("Title", exact=True).fill(f"Italian, {mode}")
    expect(page.locator("#mode")).to_have_value("live")
    page.locator("#mode").select_option(mode)
    page.get_by_role("button", name="Enter the room").click()
    share_url, host_url = page.locator("#share-url").input_value(), page.locator("#host-url").input_value()
    room = Room("", share_url.rsplit("/", 1)[1], share_url, host_url, "")
    moves.host_enters(ana, room)
    return room


def is_said(page: Page, *, test: bool) -> None:
    expect(page.get_by_text(TEST_WORDS)).to_have_count(1 if test else 0)


def signs_in_from(page: Page, server: TwoSets, mail: MailServer, path: str, email: str) -> None:
    """The page there sends to the form, and the link out of the letter leads back to where it was."""
    page.goto(f"{server.url}{path}")
    page.wait_for_url("**/signin?**")
    page_state(page, "form")
    page.get_by_label("E-mail address").fill(email)
    page.get_by_role("button", name="Send the link").click()
    page_state(page, "sent")
    wait_until(page, "the letter arrives", lambda: mail.inbox.mails, 60)
    (letter,) = mail.inbox.mails
    found = re.search(r"http://\S+#token=\S+", text_of(letter))
    assert found is not None
    page.goto(found[0])
    page.get_by_role("button", name="Sign in").click()
    page.wait_for_url(f"{server.url}{path}")
    page_state(page, "ready")


def buys(page: Page, room: Room, *, test: bool) -> str:
    """Returns where the till is; goes in."""
    page.goto(room.share_url)
    moves.card_state(page, "live")
    is_said(page, test=test)
    moves.fill_card(page, "Bo")
    moves.press_pay(page)
    page.wait_for_url("**/sandbox/checkout/**")
    parts = urlsplit(page.url)
    moves.pay_at_till(page)
    moves.call_state(page, "connected", LONG_MS)
    moves.meter_state(page, "counting", LONG_MS)
    is_said(page, test=test)
    return f"{parts.scheme}://{parts.netloc}"


def books(till: str) -> Any:
    with urlopen(f"{till}/_control/books", timeout=30) as answer:
        return json.load(answer)


def bought(page: Page, title: str) -> None:
    """That, and nothing else."""
    page_state(page, "ready")
    rows = page.locator("#my-purchases .history__row")
    expect(rows).to_have_count(1)
    expect(rows).to_contain_text(title)


# Three people in calls, three servers.
@pytest.mark.timeout(600)
def test_a_test_room_and_a_live_room_are_told_apart_wherever_one_goes(
    server: TwoSets, mail: MailServer, person: NewPerson, look: Look
) -> None:
    people = {name: person(name) for name in ("Ana", "Ada", "Bo")}
    for one in people.values():
        one.context.set_default_timeout(LONG_MS)
    live, test = opens_a_room(people["Ana"], server, "live"), opens_a_room(people["Ada"], server, "test")
    is_said(people["Ana"].page, test=False)
    is_said(people["Ada"].page, test=True)

    page = people["Bo"].page
    signs_in_from(page, server, mail, "/me?mode=test", "bo@example.org")
    expect(page.get_by_text("Test mode: no real money")).to_be_visible()
    expect(page.locator("#my-purchases .history__row")).to_have_count(0)

    page.goto(test.share_url)
    look(page, "card-test-room", schemes=("light",))
    tills = [buys(page, live, test=False)]
    moves.leave(page)
    tills.append(buys(page, test, test=True))
    moves.leave(page)
    assert tills[0] != tills[1]
    for till in tills:
        assert [one["captured_minor"] for one in books(till)["charges"]] == [500]

    # From the test room one's page is the test side of it, and there is a way over.
    page.goto(test.share_url)
    page.locator("#account").click()
    page.wait_for_url(f"{server.url}/me?mode=test")
    bought(page, "Italian, test")
    look(page, "me-test-mode", schemes=("light",))
    page.locator("#my-purchases").get_by_role("link", name="Receipt").click()
    expect(page.get_by_role("heading", name="Receipt")).to_be_visible()
    is_said(page, test=True)
    page.go_back()
    page_state(page, "ready")
    page.locator("#switch-mode").click()
    page.wait_for_url(f"{server.url}/me")
    bought(page, "Italian, live")
    expect(page.get_by_text("no real money")).to_have_count(0)
    page.locator("#my-purchases").get_by_role("link", name="Receipt").click()
    expect(page.get_by_role("heading", name="Receipt")).to_be_visible()
    is_said(page, test=False)
    assert server.command("check").splitlines()[-1] == "the books hold"
