"""Visitors whose network lets them reach a TURN server and nothing else: a real coturn, by UDP and by TCP."""

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from playwright.sync_api import Page

from tests.browser import moves
from tests.browser.conftest import NewPerson
from tests.browser.coturn import Coturn
from tests.browser.people import Person, sees_and_hears
from tests.browser.server import Server

SECRET = "shared between the two of them"
# As in a network without any other way out.
RELAY_ONLY = """
(() => {
  const Native = window.RTCPeerConnection;
  window.RTCPeerConnection = class RTCPeerConnection extends Native {
    constructor(configuration) { super({...configuration, iceTransportPolicy: "relay"}); }
  };
})();
"""
WAYS = """
async () => {
  const ways = [];
  for (const peer of window.peersUnderTest) {
    if (peer.connectionState !== 'connected') continue;
    const reports = [...(await peer.getStats()).values()];
    const transport = reports.find((report) => report.type === 'transport');
    const pair = reports.find((report) => report.id === transport.selectedCandidatePairId);
    const local = reports.find((report) => report.id === pair.localCandidateId);
    ways.push(`${local.candidateType} ${local.relayProtocol}`);
  }
  return ways;
}
"""


@pytest.fixture(params=["udp", "tcp"])
def transport(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def relayed(tmp_path: Path, transport: str) -> Iterator[Server]:
    """A server of its own whose participants get credentials for a coturn of its own."""
    with ExitStack() as stack:
        coturn = Coturn(tmp_path, SECRET)
        stack.callback(coturn.stop)
        server = Server(tmp_path, TURN_URLS=coturn.url(transport), TURN_SECRET=SECRET)
        server.start()
        stack.callback(server.stop)
        yield server


def only_by_relay(person: Person) -> Person:
    person.context.add_init_script(RELAY_ONLY)
    return person


def ways(page: Page) -> list[str]:
    found: list[str] = page.evaluate(WAYS)
    return found


def test_host_and_payer_meet_although_both_reach_nothing_but_the_relay(
    relayed: Server, transport: str, person: NewPerson
) -> None:
    ana, bo = only_by_relay(person("Ana")), only_by_relay(person("Bo"))
    room = relayed.create_room()
    moves.host_enters(ana, room)
    moves.payer_enters(bo, relayed.buy(room, "Bo"), relayed.url)
    moves.meter_state(bo.page, "counting")
    sees_and_hears(bo.page)
    sees_and_hears(ana.page)
    assert set(ways(bo.page)) == set(ways(ana.page)) == {f"relay {transport}"}
