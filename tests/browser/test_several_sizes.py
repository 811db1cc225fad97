"""A host's picture in several sizes: sent by the page, and each payer gets the one that its window shows."""

from playwright.sync_api import Page

from tests.browser import moves
from tests.browser.conftest import NewPerson, NewServer
from tests.browser.people import sees_and_hears, wait_until

SENT = """
async () => {
  const sent = [];
  for (const peer of window.peersUnderTest) {
    if (peer.connectionState === "closed") continue;
    for (const entry of (await peer.getStats()).values()) {
      if (entry.type === "outbound-rtp" && entry.kind === "video" && entry.framesEncoded > 0) sent.push(entry.frameHeight);
    }
  }
  return sent;
}
"""
RECEIVED_HEIGHT = "document.querySelector('.stage__grid video').videoHeight"


def heights_sent(page: Page) -> list[int]:
    return sorted(page.evaluate(SENT))


def asked_for(page: Page) -> list[list[float]]:
    """By sender of a picture, by how much each encoding is scaled down."""
    scales: list[list[float]] = page.evaluate(
        """() => window.peersUnderTest.flatMap((peer) => peer.getSenders())
          .filter((sender) => sender.track?.kind === "video")
          .map((sender) => sender.getParameters().encodings.map((encoding) => encoding.scaleResolutionDownBy))"""
    )
    return scales


def test_each_payer_gets_the_size_that_its_window_shows(own_server: NewServer, person: NewPerson) -> None:
    server = own_server()
    room = server.create_room(privacy="conference")
    ana, bo, cy = person("Ana"), person("Bo"), person("Cy", width=390, height=500)
    moves.host_enters(ana, room)
    assert asked_for(ana.page) == [[4, 2, 1]]
    moves.payer_enters(bo, server.buy(room, "Bo"), server.url)
    moves.payer_enters(cy, server.buy(room, "Cy"), server.url)
    sees_and_hears(bo.page)
    wait_until(ana.page, "Ana sends two sizes", lambda: len(heights_sent(ana.page)) > 1, 60)
    wait_until(
        bo.page,
        "the large window gets a larger picture than the small one",
        lambda: bo.page.evaluate(RECEIVED_HEIGHT) > cy.page.evaluate(RECEIVED_HEIGHT) > 0,
        60,
    )
    # Bo's window becomes small, and with it the picture; nothing else changes, and it goes on.
    bo.page.set_viewport_size({"width": 390, "height": 500})
    wait_until(
        bo.page,
        "the small window gets the small picture",
        lambda: bo.page.evaluate(RECEIVED_HEIGHT) == cy.page.evaluate(RECEIVED_HEIGHT),
        60,
    )
    sees_and_hears(bo.page)
    sees_and_hears(cy.page)
