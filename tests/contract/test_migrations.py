"""The migrations make what `schema.py` describes."""

import asyncio
from typing import Any

from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import inspect

from signaling.stores.database import Database
from signaling.stores.migrations import upgrade
from signaling.stores.schema import metadata


def _compare(connection: Any) -> Any:
    return compare_metadata(MigrationContext.configure(connection), metadata)


def _indexes(connection: Any) -> dict[str, list[str]]:
    """By table, with what makes them partial: autogenerate does not compare that."""
    found = inspect(connection)
    return {
        table: sorted(
            f"{index['name']} {bool(index['unique'])} "
            f"{[str(option) for name, option in index.get('dialect_options', {}).items() if 'where' in name]}"
            for index in found.get_indexes(table)
        )
        for table in metadata.tables
    }


async def test_a_migrated_database_has_the_schema(database_url: str) -> None:
    await upgrade(database_url)
    db = Database(database_url)
    async with db.read() as tx:
        differences = await tx.run_sync(_compare)
    await db.close()
    assert differences == []


async def test_partial_indexes_are_migrated_too(database_url: str) -> None:
    await upgrade(database_url)
    db = Database(database_url)
    async with db.read() as tx:
        migrated = await tx.run_sync(_indexes)
    drop = metadata.tables.values()
    await db.write(lambda tx: tx.run_sync(lambda c: metadata.drop_all(c, tables=list(drop))))
    await db.create_schema()
    async with db.read() as tx:
        described = await tx.run_sync(_indexes)
    await db.close()
    assert migrated == described
    assert "closed_ms IS NULL" in str(migrated["segments"])


async def test_servers_that_start_together_migrate_once(database_url: str) -> None:
    await asyncio.gather(upgrade(database_url), upgrade(database_url))
    await upgrade(database_url)
    db = Database(database_url)
    async with db.read() as tx:
        assert await tx.run_sync(_compare) == []
    await db.close()
