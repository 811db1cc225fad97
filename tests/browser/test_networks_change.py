"""Wi-Fi to mobile: the browser's address changes in the middle of a call. The stay, its media and its books go on."""

import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.browser import moves
from tests.browser.conftest import NewPerson
from tests.browser.people import Person, received, sees_and_hears, wait_until
from tests.browser.server import Order, Server
from tests.router import Router

OUTER = "127.0.0.2"
# Until the page itself finds that nothing comes any more, restarts, and is connected again.
BY_ITSELF_S = 40.0


@dataclass(frozen=True, slots=True)
class Call:
    server: Server
    router: Router
    ana: Person
    bo: Person
    order: Order

    def rows(self, statement: str) -> list[tuple[int | None, ...]]:
        with closing(sqlite3.connect(self.server.folder / "tollroom.db", timeout=10)) as db:
            return list(db.execute(statement))

    def left_s(self) -> int:
        """By the server's clock, as Bo's page shows it."""
        return moves.time_left_s(self.bo.page)


@pytest.fixture
def call(tmp_path: Path, person: NewPerson) -> Iterator[Call]:
    """Ana and Bo talk through a router that may lose its mappings; Bo's time runs."""
    server = Server(tmp_path, MEDIA_ADDRESS=OUTER)
    server.start()
    try:
        with Router(OUTER, ("127.0.0.1", server.media_port)) as router:
            ana, bo = person("Ana"), person("Bo")
            for someone in (ana, bo):
                someone.reaches_only(OUTER)
            _, order = moves.in_a_call(server, ana, bo)
            yield Call(server, router, ana, bo, order)
    finally:
        server.stop()


def test_a_browser_that_says_it_is_online_again_is_back_before_the_clock_pauses(call: Call) -> None:
    began_s, left_s = time.monotonic(), call.left_s()
    former = call.router.clients
    call.router.forget_all()
    for someone in (call.ana, call.bo):
        someone.page.evaluate("window.dispatchEvent(new Event('online'))")
    sees_and_hears(call.bo.page)
    sees_and_hears(call.ana.page)
    assert call.router.clients.isdisjoint(former)
    moves.meter_state(call.bo.page, "counting")
    assert call.rows("SELECT count(*) FROM sessions") == [(1,)]
    assert call.rows("SELECT closed_ms FROM segments") == [(None,)], "one stretch of time, still open"
    counted_s, elapsed_s = left_s - call.left_s(), time.monotonic() - began_s
    assert abs(counted_s - elapsed_s) <= 2, "every second is counted, and once"


def test_a_page_that_notices_by_itself_comes_back_into_the_same_stay(call: Call) -> None:
    before = received(call.bo.page)
    began_s, left_s = time.monotonic(), call.left_s()
    call.router.forget_all()
    wait_until(
        call.bo.page,
        "media by the new addresses",
        lambda: received(call.bo.page).frames > before.frames + 40,
        BY_ITSELF_S,
    )
    moves.meter_state(call.bo.page, "counting")
    sees_and_hears(call.ana.page)
    assert call.rows("SELECT count(*) FROM sessions") == [(1,)]
    assert call.rows("SELECT count(*) FROM segments WHERE closed_ms IS NULL") == [(1,)]
    counted_s, elapsed_s = left_s - call.left_s(), time.monotonic() - began_s
    assert 0 < counted_s <= elapsed_s + 2, "no second is counted twice"
