"""Write transactions as a whole."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from sqlalchemy import event, text
from sqlalchemy.exc import IntegrityError

from signaling.stores.database import Database, Transaction
from signaling.stores.groupcommit import GROUP_MAX


async def test_a_cancelled_caller_leaves_no_transaction_behind(db: Database) -> None:
    started, may_end = asyncio.Event(), asyncio.Event()

    async def slow(tx: Transaction) -> None:
        await tx.execute(text("INSERT INTO settings (name, value) VALUES ('slow', '1')"))
        started.set()
        await may_end.wait()

    caller = asyncio.create_task(db.write(slow))
    await started.wait()
    caller.cancel()
    await asyncio.sleep(0)
    may_end.set()
    await asyncio.gather(caller, return_exceptions=True)
    assert caller.cancelled()

    async def count(tx: Transaction) -> int:
        return int((await tx.execute(text("SELECT count(*) FROM settings"))).scalar_one())

    async with asyncio.timeout(2):
        assert await db.write(count) == 1, "the transaction went to its end, and the lock is free"


async def test_what_raises_is_rolled_back(db: Database) -> None:
    async def failing(tx: Transaction) -> None:
        await tx.execute(text("INSERT INTO settings (name, value) VALUES ('x', '1')"))
        raise LookupError

    results = await asyncio.gather(db.write(failing), return_exceptions=True)
    assert isinstance(results[0], LookupError)
    async with db.read() as tx:
        assert (await tx.execute(text("SELECT count(*) FROM settings"))).scalar_one() == 0


async def test_many_who_write_one_row_at_once_all_come_through(db: Database) -> None:
    """As all sales do, which meet in the account of the money at the payment service."""
    number = 60

    async def add_one(tx: Transaction) -> None:
        known = (await tx.execute(text("SELECT value FROM settings WHERE name = 'sum'"))).scalar_one()
        await tx.execute(
            text("UPDATE settings SET value = :now WHERE name = 'sum'"), {"now": str(int(known) + 1)}
        )

    await db.write(lambda tx: tx.execute(text("INSERT INTO settings (name, value) VALUES ('sum', '0')")))
    await asyncio.gather(*(db.write(add_one) for _ in range(number)))
    async with db.read() as tx:
        assert int((await tx.execute(text("SELECT value FROM settings"))).scalar_one()) == number


# --- what is committed together ---------------------------------------------------------------------------


async def _names(db: Database) -> list[str]:
    async with db.read() as tx:
        return [row.name for row in await tx.execute(text("SELECT name FROM settings ORDER BY name"))]


def _putting(name: str) -> Callable[[Transaction], Awaitable[Any]]:
    return lambda tx: tx.execute(
        text("INSERT INTO settings (name, value) VALUES (:name, '1')"), {"name": name}
    )


async def test_those_who_wait_are_committed_together(db: Database) -> None:
    commits = 0

    @event.listens_for(db._writer.sync_engine, "commit")
    def _count(_connection: Any) -> None:
        nonlocal commits
        commits += 1

    await asyncio.gather(*(db.write(_putting(f"n{n}")) for n in range(GROUP_MAX + 1)))
    assert commits == 2
    assert len(await _names(db)) == GROUP_MAX + 1


async def test_what_one_of_them_raises_is_undone_and_told_to_it_alone(db: Database) -> None:
    async def failing(tx: Transaction) -> None:
        await _putting("b")(tx)
        raise LookupError("b")

    works = [_putting("a"), failing, _putting("c")]
    a, b, c = await asyncio.gather(*(db.write(work) for work in works), return_exceptions=True)
    assert isinstance(b, LookupError)
    assert not isinstance(a, Exception)
    assert not isinstance(c, Exception)
    assert await _names(db) == ["a", "c"]


async def test_what_the_database_refuses_costs_the_others_nothing(db: Database) -> None:
    works = [_putting("a"), _putting("a"), _putting("c")]
    results = await asyncio.gather(*(db.write(work) for work in works), return_exceptions=True)
    assert [isinstance(one, IntegrityError) for one in results] == [False, True, False]
    assert await _names(db) == ["a", "c"]


async def test_nobody_is_answered_when_the_commit_fails(db: Database) -> None:
    @event.listens_for(db._writer.sync_engine, "commit")
    def _refuse(_connection: Any) -> None:
        raise RuntimeError("the disk is full")

    writes = (db.write(_putting(name)) for name in "abc")
    results = await asyncio.gather(*writes, return_exceptions=True)
    event.remove(db._writer.sync_engine, "commit", _refuse)
    assert [str(one) for one in results] == ["the disk is full"] * 3
    assert await _names(db) == []


async def test_what_a_clock_waits_for_does_not_wait_for_the_others(db: Database) -> None:
    order: list[str] = []

    async def write(name: str, *, ahead: bool = False) -> None:
        await db.write(_putting(name), ahead=ahead)
        order.append(name)

    # On PostgreSQL each has a connection of its own, which takes longer to open than a group to write.
    await asyncio.gather(write("first"), write("first beat", ahead=True))
    order.clear()
    # More than one group: the beat comes while the first is waiting to begin, and is of that one.
    others = [asyncio.create_task(write(f"n{n}")) for n in range(3 * GROUP_MAX)]
    await asyncio.sleep(0)
    await write("beat", ahead=True)
    assert len(order) <= GROUP_MAX
    await asyncio.gather(*others)


async def test_a_cancelled_caller_costs_its_group_nothing(db: Database) -> None:
    callers = [asyncio.create_task(db.write(_putting(name))) for name in "abc"]
    await asyncio.sleep(0)
    callers[1].cancel()
    await asyncio.gather(*callers, return_exceptions=True)
    assert callers[1].cancelled()
    assert await _names(db) == ["a", "b", "c"]


# --- connections ------------------------------------------------------------------------------------------


async def test_what_is_read_is_a_snapshot_that_no_write_can_cost_its_reader(db: Database) -> None:
    """PostgreSQL may refuse a serializable transaction for what others wrote, also one that only reads."""
    if db.is_sqlite:
        return
    said = []
    for _ in range(2):  # a connection that was lent for one is lent for the other next
        async with db.read() as tx:
            reading = await tx.execute(text("SHOW transaction_isolation"))
            only = await tx.execute(text("SHOW transaction_read_only"))
            said.append((reading.scalar_one(), only.scalar_one()))
        writing = await db.write(_isolation)
        said.append(writing)
    assert said == [("repeatable read", "on"), ("serializable", "off")] * 2


async def _isolation(tx: Transaction) -> tuple[str, str]:
    isolation = (await tx.execute(text("SHOW transaction_isolation"))).scalar_one()
    return isolation, (await tx.execute(text("SHOW transaction_read_only"))).scalar_one()


async def test_no_question_is_compiled_first(db: Database) -> None:
    if db.is_sqlite:
        return
    async with db.read() as tx:
        assert (await tx.execute(text("SHOW jit"))).scalar_one() == "off"


async def test_one_after_the_other_shares_a_connection_and_what_it_has_prepared(db: Database) -> None:
    if db.is_sqlite:
        return

    async def who(tx: Transaction) -> int:
        return int((await tx.execute(text("SELECT pg_backend_pid()"))).scalar_one())

    async with db.read() as first, db.read() as second, db.read() as third:  # as many as were needed at once
        assert len({await who(tx) for tx in (first, second, third)}) == 3
    used = {await db.write(who) for _ in range(4)}
    for _ in range(4):
        async with db.read() as tx:
            used.add(await who(tx))
    assert len(used) == 1
