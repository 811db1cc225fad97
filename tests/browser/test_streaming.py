"""An encoder as the host's camera and a player as a payer's screen, by what the pages hand out."""

from playwright.sync_api import Page, expect

from tests.browser import moves
from tests.browser.conftest import NewPerson
from tests.browser.look import Look
from tests.browser.people import sees_and_hears, wait_until
from tests.browser.server import Server
from tests.integration.rooms.streampage import FRAMES, STREAM


def make_key(page: Page, title: str) -> tuple[str, str]:
    """Server and key as the panel shows them."""
    panel = page.locator("details.fold").filter(has_text=title, visible=True)
    panel.locator("summary").click()
    panel.get_by_role("button", name="Make a key").click()
    expect(panel.get_by_text("it is not shown again")).to_be_visible()
    return (
        panel.get_by_label("Server").input_value(),
        panel.get_by_label("Key (bearer token)").input_value(),
    )


def stream(page: Page, address: tuple[str, str]) -> None:
    page.evaluate(STREAM, {"url": address[0], "key": address[1], "sends": address[0].endswith("/whip")})


def test_an_encoder_is_the_hosts_camera_and_a_player_a_payers_screen(
    server: Server, person: NewPerson, look: Look
) -> None:
    room = server.create_room()
    ana, bo, gear, screen = person("Ana"), person("Bo"), person("Encoder"), person("Player")
    ana.page.goto(room.host_url)
    address = make_key(ana.page, "Stream from OBS")
    look(ana.page, "studio-stream-key")
    stream(gear.page, address)
    ana.page.locator("[data-action=no-camera]").click()
    moves.call_state(ana.page, "connected")
    wait_until(ana.page, "the room is live", lambda: server.call("GET", f"/api/rooms/{room.slug}")["live"])
    expect(ana.page.locator(".tile[data-role=host][data-camera=on]")).to_have_count(1)
    assert ana.page.locator(".sounds audio").count() == 0, "nobody hears itself"
    look(ana.page, "studio-encoder", schemes=("light",))

    order = server.buy(room, "Bo")
    moves.payer_enters(bo, order, server.url)
    sees_and_hears(bo.page)
    expect(bo.page.locator(".stage__grid .tile")).to_have_count(1)

    bo.page.goto(f"{server.url}/orders/{order.id}")
    seat = make_key(bo.page, "Watch in a player")
    look(bo.page, "receipt-stream-key")
    stream(screen.page, seat)
    wait_until(screen.page, "the player shows the room", lambda: screen.page.evaluate(FRAMES) > 10)
    expect(ana.page.locator(".roster__row")).to_have_count(1)

    panel = bo.page.locator("details.fold")
    panel.locator("[data-action=revoke-key]").click()
    expect(panel.get_by_text("There is no key yet")).to_be_visible()
    expect(ana.page.locator(".roster__row")).to_have_count(0)
