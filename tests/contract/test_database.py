"""Write transactions as a whole."""

import asyncio

from sqlalchemy import text

from signaling.stores.database import Database, Transaction


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
