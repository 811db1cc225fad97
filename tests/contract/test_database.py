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
