"""The database: one writer at a time, short transactions, no network call inside one.

SQLite (WAL, synchronous=FULL) has one writer connection and `BEGIN IMMEDIATE`; PostgreSQL runs write
transactions SERIALIZABLE and repeats those that lost a race. On both, what waits for its turn is committed together
(groupcommit.py). Callers therefore give a function, not a block: it may run again and must have no effect but its
statements.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any, TypeVar

from sqlalchemy import event
from sqlalchemy.exc import DBAPIError, SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from signaling.stores.groupcommit import GroupCommit
from signaling.stores.schema import metadata
from signaling.stores.sqlitedriver import use_one_trip

Transaction = AsyncConnection
T = TypeVar("T")

SERIALIZATION_FAILURES = {"40001", "40P01"}
ATTEMPTS_MAX = 8
# As many as SQLAlchemy's pool opens at most by default; but these stay, where its last ten are made anew each time.
POSTGRES_CONNECTIONS = 20
# Of each connection. All that we say fits; the default of 100 does not hold one round of the background work beside the rest.
PREPARED_MAX = 500


def async_url(database_url: str) -> str:
    """The operator's DATABASE_URL with the asyncio driver named. Raises ValueError for other databases."""
    for prefix, driver in (("sqlite:", "sqlite+aiosqlite:"), ("postgresql:", "postgresql+asyncpg:")):
        if database_url.startswith(prefix):
            return driver + database_url.removeprefix(prefix)
    if database_url.startswith(("sqlite+aiosqlite:", "postgresql+asyncpg:")):
        return database_url
    raise ValueError("DATABASE_URL must start with sqlite: or postgresql:")


def _sqlite_engine(url: str, begin: str, pool_size: int, references: str = "ON") -> AsyncEngine:
    engine = create_async_engine(url, pool_size=pool_size, max_overflow=0, connect_args={"timeout": 10})

    use_one_trip(engine.sync_engine)

    @event.listens_for(engine.sync_engine, "connect")
    def _configure(connection: Any, _record: Any) -> None:
        connection.isolation_level = None  # we say BEGIN ourselves
        cursor = connection.cursor()
        for pragma in (
            "journal_mode=WAL",
            "synchronous=FULL",
            f"foreign_keys={references}",
            "busy_timeout=10000",
        ):
            cursor.execute(f"PRAGMA {pragma}")
        cursor.close()

    @event.listens_for(engine.sync_engine, "begin")
    def _begin(connection: Any) -> None:
        connection.exec_driver_sql(begin)

    return engine


def _postgres_engine(url: str) -> AsyncEngine:
    """The connection that was used last is used next: it has every statement prepared, and few are ever opened."""
    asked = {} if "prepared_statement_cache_size" in url else {"prepared_statement_cache_size": PREPARED_MAX}
    engine = create_async_engine(
        url,
        isolation_level="SERIALIZABLE",
        pool_size=POSTGRES_CONNECTIONS,
        max_overflow=0,
        pool_use_lifo=True,
        connect_args=asked,
    )

    @event.listens_for(engine.sync_engine, "connect")
    def _configure(connection: Any, _record: Any) -> None:
        # To compile a query takes seconds where its answer takes milliseconds, as soon as many rows make it look costly.
        connection.run_async(lambda driver: driver.execute("SET jit = off"))

    return engine


class Database:
    """Owns the engines. `write` runs a function in one write transaction, `read` opens a snapshot."""

    def __init__(self, database_url: str, *, rebuilds_tables: bool = False) -> None:
        """`rebuilds_tables`: for migrations. SQLite changes a column by making its table anew, which its references
        to other tables must not notice (sqlite.org/lang_altertable.html, section 7)."""
        url = async_url(database_url)
        self.is_sqlite = url.startswith("sqlite")
        if self.is_sqlite:
            self._writer = _sqlite_engine(url, "BEGIN IMMEDIATE", 1, "OFF" if rebuilds_tables else "ON")
            self._reader = _sqlite_engine(url, "BEGIN", 4)
        else:
            self._writer = _postgres_engine(url)
            # A snapshot as well, but one that no write can lose a race to, nor it to a write.
            self._reader = self._writer.execution_options(
                isolation_level="REPEATABLE READ", postgresql_readonly=True
            )
        alone = self._write_once if self.is_sqlite else self._write_retrying
        self._writes = GroupCommit(self._writer.begin, alone, _lost_a_race)

    async def create_schema(self) -> None:
        """For tests; a server migrates instead (`signaling.stores.migrations`)."""
        async with self._writer.begin() as tx:
            await tx.run_sync(metadata.create_all)

    async def write(self, work: Callable[[Transaction], Awaitable[T]], *, ahead: bool = False) -> T:
        """Run `work` in one transaction: committed when it returns, rolled back when it raises. A caller that is
        cancelled waits for the end first: its statements may be under way.

        `ahead`: somebody's clock stands still until it is done. It is next on SQLite; on PostgreSQL it waits for nobody.
        """
        if ahead and not self.is_sqlite:
            done: asyncio.Future[T] = asyncio.create_task(self._write_retrying(work))
        else:
            done = self._in_turn(work, ahead=ahead)
        try:
            return await asyncio.shield(done)
        except asyncio.CancelledError:
            await asyncio.gather(done, return_exceptions=True)
            raise

    def _in_turn(self, work: Callable[[Transaction], Awaitable[T]], *, ahead: bool) -> asyncio.Future[T]:
        return self._writes.ask(work, ahead=ahead)

    async def _write_retrying(self, work: Callable[[Transaction], Awaitable[T]]) -> T:
        """Whoever loses a race repeats: against another process, or against what is written ahead."""
        for attempt in range(1, ATTEMPTS_MAX):
            try:
                return await self._write_once(work)
            except DBAPIError as error:
                if not _lost_a_race(error):
                    raise
                await asyncio.sleep(0.002 * 2**attempt)
        return await self._write_once(work)

    async def _write_once(self, work: Callable[[Transaction], Awaitable[T]]) -> T:
        async with self._writer.begin() as tx:
            return await work(tx)

    @asynccontextmanager
    async def read(self) -> AsyncIterator[Transaction]:
        """A consistent snapshot for reading; nothing may be decided by it that is then written."""
        async with self._reader.begin() as tx:
            yield tx

    async def close(self) -> None:
        await self._reader.dispose()
        await self._writer.dispose()


def _lost_a_race(error: SQLAlchemyError) -> bool:
    return getattr(getattr(error, "orig", None), "sqlstate", None) in SERIALIZATION_FAILURES


__all__ = ["Database", "Transaction", "async_url"]
