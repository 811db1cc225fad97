"""A process that forwards media dies in the middle of a call: the pages come back by themselves, and the books say so."""

import os
import signal
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from tests.browser import moves
from tests.browser.conftest import NewPerson
from tests.browser.people import Person, sees_and_hears, wait_until
from tests.browser.server import Order, Server

NOTICE_LEAVING = """() => { window.leftTheCall = new Promise((resolve) => {
    new MutationObserver(() => document.body.dataset.callState !== "connected" && resolve())
        .observe(document.body, { attributes: true });
}); }"""
STRETCHES = (
    "SELECT started_ms, closed_ms, segments.used_ms FROM segments JOIN passes ON passes.id = segments.pass_id "
    "WHERE passes.order_id = ? ORDER BY opened_ms"
)


@pytest.fixture
def server(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Server]:
    started = Server(tmp_path, MEDIA_WORKERS=str(request.param))
    started.start()
    yield started
    started.stop()


def rows(server: Server, question: str, order: Order) -> list[tuple[Any, ...]]:
    with closing(sqlite3.connect(server.folder / "tollroom.db", timeout=10)) as db:
        return db.execute(question, (order.id,)).fetchall()


def kill_the_worker_and_come_back(worker: int, ana: Person, bo: Person) -> None:
    bo.page.evaluate(NOTICE_LEAVING)
    os.kill(worker, signal.SIGKILL)
    # A look from time to time would miss it: it is over in a moment.
    bo.page.evaluate("window.leftTheCall")
    moves.call_state(bo.page, "connected", 40_000)
    moves.meter_state(bo.page, "counting")
    sees_and_hears(bo.page)
    sees_and_hears(ana.page)


@pytest.mark.parametrize("server", [1], indirect=True)
def test_after_a_killed_worker_both_pages_go_on_with_the_time_that_was_left(
    server: Server, person: NewPerson
) -> None:
    ana, bo = person("Ana"), person("Bo")
    _, order = moves.in_a_call(server, ana, bo)
    left_s = moves.time_left_s(bo.page)
    for _ in range(2):  # the second time within the minute, too
        (worker,) = server.workers()
        kill_the_worker_and_come_back(worker, ana, bo)
    assert left_s - 60 < moves.time_left_s(bo.page) <= left_s + 5, "the pass kept its time"
    assert server.refresh(order)["pass"]["state"] == "active"


@pytest.mark.parametrize("server", [2], indirect=True)
def test_a_killed_worker_costs_its_room_no_time_and_the_other_room_nothing_at_all(
    server: Server, person: NewPerson
) -> None:
    ana, bo, eve, tom = person("Ana"), person("Bo"), person("Eve"), person("Tom")
    first, second = server.workers()
    _, order = moves.in_a_call(server, ana, bo)
    _, other_order = moves.in_a_call(server, eve, tom)
    # The first room went to the first worker, the second to the one with nobody in it.
    kill_the_worker_and_come_back(first, ana, bo)
    assert second in server.workers()
    moves.counts_down(bo.page)
    moves.leave(bo.page)
    moves.leave(tom.page)
    for mine in (order, other_order):
        wait_until(bo.page, "the stay is written", lambda order=mine: all(
            closed is not None for _, closed, _ in rows(server, STRETCHES, order)
        ))  # fmt: skip
    stretches, others = rows(server, STRETCHES, order), rows(server, STRETCHES, other_order)
    assert (len(stretches), len(others)) == (2, 1), "only the killed worker's room was interrupted"
    for started, closed, used in (*stretches, *others):
        assert used == closed - started > 0
    assert stretches[0][1] < stretches[1][0], "no moment is counted twice"
    used = rows(server, "SELECT used_ms FROM passes WHERE order_id = ?", order)
    assert used == [(sum(stretch[2] for stretch in stretches),)]
    assert server.refresh(order)["pass"]["state"] == "active"
    assert server.command("check").splitlines()[1:] == ["the books hold"]
