"""Firefox on either side of a call, Chromium on the other: other payload types, other ICE, the same pages.

Firefox never uses a loopback address, so the server names this machine's own addresses, as it does by default.
"""

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser

from signaling.network import local_addresses
from tests.browser import moves
from tests.browser.conftest import NewPerson
from tests.browser.people import Person, sees_and_hears, wait_until
from tests.browser.server import Order, Server
from tests.browser.test_several_sizes import heights_sent

# Of a busy machine; it is a tenth of that on a quiet one.
AT_ONCE_S = 5.0

pytestmark = pytest.mark.skipif(not local_addresses(), reason="this machine has no address but loopback")


@pytest.fixture(scope="module")
def reachable(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server that names every address of the machine."""
    started = Server(tmp_path_factory.mktemp("server"), MEDIA_ADDRESS="")
    started.start()
    yield started
    started.stop()


def call(server: Server, ana: Person, bo: Person) -> Order:
    """Ana hosts, Bo has paid, and both see and hear each other while Bo's time runs."""
    _, order = moves.in_a_call(server, ana, bo)
    sees_and_hears(ana.page)
    moves.counts_down(bo.page)
    return order


def test_a_payer_with_firefox_meets_a_host_with_chromium(
    reachable: Server, person: NewPerson, firefox: Browser
) -> None:
    bo = person("Bo", firefox)
    order = call(reachable, person("Ana"), bo)
    bo.page.reload()
    moves.call_state(bo.page, "connected")
    sees_and_hears(bo.page)
    wait_until(bo.page, "the pass is used", lambda: reachable.refresh(order)["pass"]["state"] == "active")


def test_a_payer_with_firefox_gets_through_where_no_udp_does(
    reachable: Server, person: NewPerson, firefox: Browser
) -> None:
    bo = person("Bo", firefox)
    bo.reaches_only("tcp")
    call(reachable, person("Ana"), bo)


def test_a_host_with_firefox_meets_a_payer_with_chromium(
    reachable: Server, person: NewPerson, firefox: Browser
) -> None:
    ana = person("Ana", firefox)
    call(reachable, ana, person("Bo"))
    ana.page.close()


def test_a_host_with_firefox_sends_several_sizes(
    reachable: Server, person: NewPerson, firefox: Browser
) -> None:
    ana = person("Ana", firefox)
    call(reachable, ana, person("Bo"))
    wait_until(ana.page, "Ana sends two sizes", lambda: len(heights_sent(ana.page)) > 1, 60)
    ana.page.close()


def test_a_visitor_with_firefox_opens_the_card_pays_and_is_in(
    reachable: Server, person: NewPerson, firefox: Browser
) -> None:
    room = reachable.create_room()
    moves.host_enters(person("Ana"), room)
    bo = person("Bo", firefox)
    bo.page.goto(room.share_url)
    moves.card_state(bo.page, "live")
    moves.fill_card(bo.page, "Bo")
    moves.press_pay(bo.page)
    bo.page.wait_for_url("**/sandbox/checkout/**")
    moves.pay_at_till(bo.page)
    bo.page.wait_for_url("**/r/*/call")
    moves.call_state(bo.page, "connected")
    sees_and_hears(bo.page)


@pytest.mark.parametrize("name", ["chromium", "firefox"])
def test_a_payer_goes_on_at_once_when_the_host_comes_back(
    reachable: Server, person: NewPerson, firefox: Browser, name: str
) -> None:
    """Another connection of the host's: other SSRCs on the m-lines that were there. Nobody reloads anything."""
    ana, bo = person("Ana"), person("Bo", firefox if name == "firefox" else None)
    call(reachable, ana, bo)
    for _ in range(2):
        ana.page.reload()
        moves.go_live(ana.page)
        moves.meter_state(bo.page, "counting")
        sees_and_hears(bo.page, timeout_s=AT_ONCE_S)
