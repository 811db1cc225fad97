"""A process that forwards media dies in the middle of a call: the pages come back by themselves."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.browser import moves
from tests.browser.conftest import NewPerson
from tests.browser.people import sees_and_hears
from tests.browser.server import Server

NOTICE_LEAVING = """() => { window.leftTheCall = new Promise((resolve) => {
    new MutationObserver(() => document.body.dataset.callState !== "connected" && resolve())
        .observe(document.body, { attributes: true });
}); }"""


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    started = Server(tmp_path, MEDIA_WORKERS="1")
    started.start()
    yield started
    started.stop()


def test_after_a_killed_worker_both_pages_go_on_with_the_time_that_was_left(
    server: Server, person: NewPerson
) -> None:
    room = server.create_room()
    ana, bo = person("Ana"), person("Bo")
    moves.host_enters(ana, room)
    order = server.buy(room, "Bo")
    moves.payer_enters(bo, order, server.url)
    moves.meter_state(bo.page, "counting")
    sees_and_hears(bo.page)
    left_s = moves.time_left_s(bo.page)
    for _ in range(2):  # the second time within the minute, too
        (worker,) = server.workers()
        bo.page.evaluate(NOTICE_LEAVING)
        os.kill(worker, signal.SIGKILL)
        bo.page.evaluate(
            "window.leftTheCall"
        )  # a look from time to time would miss it: it is over in a moment
        moves.call_state(bo.page, "connected", 40_000)
        moves.meter_state(bo.page, "counting")
        sees_and_hears(bo.page)
        sees_and_hears(ana.page)
    assert left_s - 60 < moves.time_left_s(bo.page) <= left_s + 5, "the pass kept its time"
    assert server.refresh(order)["pass"]["state"] == "active"
