"""What every second asks of the database does not grow with what was ever sold."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from sqlalchemy import event

from signaling.payments import sweeper
from signaling.stores import orders
from signaling.stores.database import Database

from .world import ACCOUNT, World

GROWS = ("orders", "passes", "transfers", "earnings", "refunds", "inbox", "outbox", "stripe_calls")


@contextmanager
def _reading(db: Database) -> Iterator[dict[str, Any]]:
    """The questions that are asked meanwhile, with what they were last asked with."""
    asked: dict[str, Any] = {}

    def note(_connection: Any, _cursor: Any, statement: str, given: Any, *_: Any) -> None:
        if statement.startswith("SELECT"):
            asked[statement] = given

    event.listen(db._reader.sync_engine, "before_cursor_execute", note)
    try:
        yield asked
    finally:
        event.remove(db._reader.sync_engine, "before_cursor_execute", note)


async def test_a_round_and_a_start_scan_no_table_that_grows(world: World) -> None:
    await world.payments.work_once()
    with _reading(world.db) as asked:
        await world.payments.work_once()
        await sweeper.settle_open(world.payments.ctx)
    assert len(asked) > 10
    scanned = []
    for statement, given in asked.items():
        async with world.db.read() as tx:
            plan = await tx.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", tuple(given))
            scanned += [row[3] for row in plan if row[3] in {f"SCAN {name}" for name in GROWS}]
    assert scanned == []


async def test_a_start_looks_at_every_open_order_a_page_at_a_time(world: World) -> None:
    await world.add_room(capacity=10)
    made = [world.customer() for _ in range(5)]
    for who in made:
        assert (await world.order(who))[0] == 201
    found, last = [], (-1, "")
    while True:
        async with world.db.read() as tx:
            page = await orders.unsettled(tx, "sandbox", ACCOUNT, after=last, limit=2)
        if not page:
            break
        assert len(page) <= 2
        found += [order_id for _, order_id in page]
        last = page[-1]
    assert sorted(found) == sorted(one.order_id for one in made)
