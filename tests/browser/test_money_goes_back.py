"""Refunds and disputes that somebody makes at the payment service, while the payer is in the call."""

from playwright.sync_api import Page, expect

from tests.browser import moves
from tests.browser.conftest import NewPerson
from tests.browser.look import Look
from tests.browser.people import receives_nothing
from tests.browser.server import Order, Server


def presses(board: Page, order: Order, action: str) -> None:
    row = board.locator("#payments tr").filter(has_text=order.id)
    row.get_by_role("button", name=action, exact=True).click()


def test_a_refund_and_a_dispute_in_the_dashboard_end_live_calls(
    server: Server, person: NewPerson, look: Look
) -> None:
    room = server.create_room()
    ana, bo, cy, operator = (person(name) for name in ("Ana", "Bo", "Cy", "Operator"))
    moves.host_enters(ana, room)
    refunded, disputed = server.buy(room, "Bo"), server.buy(room, "Cy")
    for someone, order in ((bo, refunded), (cy, disputed)):
        moves.payer_enters(someone, order, server.url)
        moves.meter_state(someone.page, "counting")
    board = operator.page
    board.goto(server.dashboard)
    expect(board.locator("#payments tr").filter(has_text=refunded.id)).to_be_visible()
    look(board, "sandbox-dashboard")

    presses(board, refunded, "Refund")
    moves.end_code(bo.page, "refunded")
    expect(bo.page.get_by_role("heading", name="Your payment was refunded")).to_be_visible()
    # In the same message that ended the call: what came back of what was paid.
    expect(bo.page.locator("#ending .facts")).to_contain_text("€5.00")
    assert receives_nothing(bo.page)
    look(bo.page, "call-refunded", schemes=("light",))
    moves.call_state(cy.page, "connected")

    presses(board, disputed, "Dispute")
    moves.end_code(cy.page, "disputed")
    expect(cy.page.get_by_role("heading", name="This payment is disputed")).to_be_visible()
    look(cy.page, "call-disputed", schemes=("light",))
    expect(ana.page.locator(".roster__row")).to_have_count(0)

    bo.page.get_by_role("link", name="Pay again").click()
    expect(bo.page.locator("[data-notice=refunded]")).to_be_visible()
    look(bo.page, "card-refunded", schemes=("light",))
    cy.page.goto(room.share_url)
    expect(cy.page.locator("[data-notice=disputed]")).to_be_visible()
