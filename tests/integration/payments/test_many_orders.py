"""What every second asks of the database does not grow with what was ever sold."""

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any

import aiosqlite
from sqlalchemy import event

from signaling.payments import sweeper
from signaling.stores import orders
from signaling.stores.database import Database

from .history import GROWS, add_history, add_who_they_are_of
from .world import ACCOUNT, World

# Indexes of the few rows that are still open, which may be walked through.
OF_THE_OPEN = ("subscriptions_standing", "earnings_owing", "earnings_open", "transfers_expires")
STEPS = 10  # of SQLite's machine, from one count to the next


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


@asynccontextmanager
async def _counting(db: Database) -> AsyncIterator[list[int]]:
    """How often ten steps were made meanwhile in reading, whatever the machine is busy with."""
    counted = [0]

    def count() -> int:
        counted[0] += 1
        return 0

    async def _set(handler: Any) -> None:
        # A round asks one after the other: it is lent the same connection each time, whichever that is of these.
        opened = [await db._reader.connect() for _ in range(4)]
        for one in opened:
            driver: aiosqlite.Connection = (await one.get_raw_connection()).driver_connection  # type: ignore[assignment]
            await driver.set_progress_handler(handler, STEPS)
        for one in opened:
            await one.close()

    await _set(count)
    try:
        yield counted
    finally:
        await _set(None)


async def _round(world: World) -> None:
    """With all that is looked at now and then."""
    world.payments._receipts_at_s = 0
    await world.payments.work_once()
    await sweeper.settle_open(world.payments.ctx)
    await world.payments.catch_up()


async def test_a_round_and_a_start_scan_no_table_that_grows(world: World) -> None:
    await world.reboot(connect=True, receipts=True)
    await _round(world)
    with _reading(world.db) as asked:
        await _round(world)
    assert len(asked) > 15
    scanned = []
    for statement, given in asked.items():
        async with world.db.read() as tx:
            plan = await tx.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", tuple(given))
            scanned += [row[3] for row in plan if row[3].startswith(tuple(f"SCAN {name}" for name in GROWS))]
    assert [one for one in scanned if not one.endswith(OF_THE_OPEN)] == []


async def test_a_round_costs_the_same_whatever_was_ever_sold(world: World) -> None:
    await world.reboot(connect=True, receipts=True)
    room = await world.add_room(live=False, away_since_s=1)
    await add_who_they_are_of(world.db)
    await add_history(world.db, room, 0, 50)
    await _round(world)
    async with _counting(world.db) as little:
        await _round(world)
    await add_history(world.db, room, 50, 2000)
    async with _counting(world.db) as much:
        await _round(world)
    assert little[0] > 0
    # One step for each of the new rows, in one question of one table, would be 200 more.
    assert much[0] - little[0] < 100


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
