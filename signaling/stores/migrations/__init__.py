"""Migrations of the database (Alembic). A server runs `upgrade` before anything else touches the tables."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from alembic import command
from alembic.config import Config
from sqlalchemy import Connection, text

from signaling.stores.database import Database

HERE = Path(__file__).parent
LOCK = 7_401_126_001  # any number that is ours alone on that PostgreSQL server


def config(connection: Connection | None = None) -> Config:
    """Alembic's configuration, without a file."""
    made = Config(attributes={"connection": connection})
    made.set_main_option("script_location", str(HERE).replace("%", "%%"))
    made.set_main_option("path_separator", "os")
    return made


def _upgrade(connection: Connection, to: str) -> None:
    command.upgrade(config(connection), to)
    if connection.dialect.name == "sqlite" and (
        broken := connection.execute(text("PRAGMA foreign_key_check")).all()
    ):
        raise RuntimeError(f"the migration would leave references to nothing: {broken[:3]}")


async def upgrade(database_url: str, to: str = "head") -> None:
    """Brings the database to this version's schema (or the earlier one `to`): all of it, or nothing. Two servers that
    start at once take turns.

    Raises ValueError for a URL that is neither SQLite nor PostgreSQL, and what the driver raises when it is out of
    reach.
    """
    db = Database(database_url, rebuilds_tables=True)
    try:
        async with _turn(db):
            await db.write(lambda tx: tx.run_sync(_upgrade, to))
    finally:
        await db.close()


@asynccontextmanager
async def _turn(db: Database) -> AsyncIterator[None]:
    """SQLite's one writer is a queue already. On PostgreSQL another transaction holds the lock, since the upgrading
    one must not have taken its snapshot before it is its turn."""
    if db.is_sqlite:
        yield
        return
    async with db.read() as holder:
        await holder.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": LOCK})
        yield
