"""Hosts close tabs, servers are killed, people open a second tab: the pass and its time stay what they were."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

from playwright.sync_api import expect

from tests.browser import moves
from tests.browser.conftest import NewPerson, NewServer
from tests.browser.look import Look
from tests.browser.people import Person, receives_nothing, sees_and_hears
from tests.browser.server import Order, Room, Server


def in_a_call(server: Server, person: NewPerson) -> tuple[Room, Order, Person, Person]:
    """Ana hosts, Bo has paid for 30 minutes and is in."""
    room = server.create_room()
    ana, bo = person("Ana"), person("Bo")
    moves.host_enters(ana, room)
    order = server.buy(room, "Bo")
    moves.payer_enters(bo, order, server.url)
    moves.meter_state(bo.page, "counting")
    sees_and_hears(bo.page)
    return room, order, ana, bo


def keeps_the_time(server: Server, order: Order, bo: Person, look: Look) -> None:
    """In the call, and on the receipt in another tab: the same decision."""
    bo.page.get_by_role("button", name="Keep my time").click()
    expect(bo.page.get_by_role("button", name="Refund me instead")).to_be_visible()
    assert server.refresh(order)["waits"] is True
    receipt = bo.open(f"{server.url}/orders/{order.id}")
    expect(receipt.get_by_text("You keep your time")).to_be_visible()
    look(receipt, "receipt-time-kept", schemes=("light",))
    receipt.close()


def test_the_clock_stands_still_while_the_host_is_away(server: Server, person: NewPerson, look: Look) -> None:
    room, order, ana, bo = in_a_call(server, person)
    ana.page.close()
    moves.meter_state(bo.page, "paused")
    moves.call_state(bo.page, "paused")
    expect(bo.page.locator(".overlay")).to_contain_text("Your time is not running")
    moves.stands_still(bo.page)
    look(bo.page, "call-host-away", schemes=("light",))
    keeps_the_time(server, order, bo, look)
    paused_ms = server.refresh(order)["pass"]["remaining_ms"]

    ana.page = ana.open(room.host_url)
    moves.go_live(ana.page)
    moves.meter_state(bo.page, "counting")
    assert server.refresh(order)["pass"]["remaining_ms"] <= paused_ms
    sees_and_hears(bo.page)
    moves.counts_down(bo.page)


def test_a_killed_server_is_started_again_and_the_call_goes_on(
    server: Server, person: NewPerson, look: Look
) -> None:
    _room, order, ana, bo = in_a_call(server, person)
    left_s = moves.time_left_s(bo.page)
    server.kill9()
    moves.call_state(bo.page, "reconnecting")
    look(bo.page, "call-reconnecting", schemes=("light",))
    server.start()
    moves.call_state(bo.page, "connected", 40_000)
    moves.meter_state(bo.page, "counting")
    sees_and_hears(bo.page)
    sees_and_hears(ana.page)
    assert left_s - 60 < moves.time_left_s(bo.page) <= left_s + 5, "the pass kept its time"
    assert server.refresh(order)["pass"]["state"] == "active"


def test_a_second_tab_replaces_the_first_for_good(server: Server, person: NewPerson, look: Look) -> None:
    _room, order, _ana, bo = in_a_call(server, person)
    first = bo.page
    second = bo.open(f"{server.url}/r/{order.slug}/call")
    moves.end_code(first, "replaced")
    moves.call_state(second, "connected")
    sees_and_hears(second)
    look(first, "call-replaced", schemes=("light",))
    assert receives_nothing(first)
    moves.end_code(first, "replaced")
    moves.call_state(second, "connected")


def test_a_link_continues_the_same_pass_on_another_device(
    server: Server, person: NewPerson, look: Look
) -> None:
    _room, order, _ana, bo = in_a_call(server, person)
    bo.page.locator("[data-control=devices]").click()
    dialog = bo.page.get_by_role("dialog")
    dialog.get_by_role("button", name="Make the link").click()
    link = dialog.get_by_label("Link to your pass")
    expect(link).to_have_value(re.compile(rf"/orders/{order.id}#secret=.+"))
    look(bo.page, "call-devices", schemes=("light",))
    url = link.input_value()
    phone = person("Bo's phone", width=390, height=844)
    phone.page.goto(url)
    expect(phone.page.get_by_text("This device now holds your pass")).to_be_visible()
    look(phone.page, "receipt-other-device")
    phone.page.get_by_role("link", name="Go in").or_(
        phone.page.get_by_role("button", name="Go in")
    ).first.click()
    moves.call_state(phone.page, "connected")
    moves.end_code(bo.page, "replaced")
    sees_and_hears(phone.page)
    assert 28 * 60 < moves.time_left_s(phone.page) < 30 * 60


class BadGateway(BaseHTTPRequestHandler):
    """A proxy whose server is gone."""

    def do_GET(self) -> None:
        self.send_error(502)

    def log_message(self, *_arguments: object) -> None:
        """Not into the tests' output."""


@contextmanager
def proxy_without_a_server(port: int) -> Iterator[None]:
    proxy = ThreadingHTTPServer(("localhost", port), BadGateway)
    thread = Thread(target=proxy.serve_forever, args=(0.05,))
    thread.start()
    try:
        yield
    finally:
        proxy.shutdown()
        thread.join()
        proxy.server_close()


def test_a_visitor_during_a_restart_is_told_so_and_the_page_opens_by_itself(
    own_server: NewServer, person: NewPerson, look: Look
) -> None:
    server = own_server()
    page = person("Bo").page
    page.goto(server.url)
    page.evaluate("navigator.serviceWorker.ready.then(() => true)")
    server.stop()
    with proxy_without_a_server(server.http_port):
        page.goto(server.url)
        expect(page.get_by_role("heading", name="The server is restarting")).to_be_visible()
        expect(page.get_by_role("status")).to_contain_text("no paid time is lost")
        look(page, "restarting")
    server.start()
    expect(page.get_by_label("Title", exact=True)).to_be_visible(timeout=30_000)
