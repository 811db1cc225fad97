"""A gesture of the host, seen by the payer: on the receipt, in plain words."""

import secrets

from playwright.sync_api import expect

from tests.browser import moves
from tests.browser.conftest import NewPerson
from tests.browser.look import Look
from tests.browser.server import Server


def test_a_goodwill_refund_stands_on_the_receipt(server: Server, person: NewPerson, look: Look) -> None:
    room = server.create_room()
    ana, bo = person("Ana"), person("Bo")
    moves.host_enters(ana, room)
    order = server.buy(room, "Bo")
    (sale,) = server.call("GET", f"/api/host/rooms/{room.id}/sales", bearer=room.host_key)["sales"]
    assert (sale["order_id"], sale["name"], sale["paid_minor"]) == (order.id, "Bo", 500)
    asked = {
        "refund_id": f"rfd_{secrets.token_urlsafe(16)}",
        "order_id": order.id,
        "reason": "goodwill",
        "amount_minor": 150,
    }
    server.call("POST", f"/api/host/rooms/{room.id}/refunds", asked, bearer=room.host_key)
    bo.page.goto(f"{server.url}/orders/{order.id}#secret={order.secret}")
    receipt = bo.page.locator("#receipt-page")
    expect(receipt).to_contain_text("a gesture of goodwill")
    expect(receipt).to_contain_text("€1.50")
    expect(receipt).to_contain_text("€3.50")
    look(bo.page, "receipt-goodwill")
