"""Statements that SQLite and PostgreSQL spell alike but SQLAlchemy keeps apart."""

from functools import cache
from typing import Any

from sqlalchemy import Table
from sqlalchemy.dialects import postgresql, sqlite

from signaling.stores.database import Transaction


async def insert_once(tx: Transaction, table: Table, values: dict[str, Any]) -> bool:
    """Inserts unless a unique key already holds it; True when this call inserted."""
    return (await tx.execute(_insert_once(table, tx.dialect.name), values)).rowcount == 1


@cache
def _insert_once(table: Table, dialect: str) -> Any:
    """Made once: to spell a statement out costs more than to run it."""
    insert = sqlite.insert if dialect == "sqlite" else postgresql.insert
    return insert(table).on_conflict_do_nothing()


async def put(tx: Transaction, table: Table, key: str | tuple[str, ...], values: dict[str, Any]) -> None:
    """Inserts, or replaces the row with the same `key` column (or columns)."""
    insert = sqlite.insert if tx.dialect.name == "sqlite" else postgresql.insert
    statement = insert(table).values(values)
    keys = (key,) if isinstance(key, str) else key
    changed = {name: statement.excluded[name] for name in values if name not in keys}
    await tx.execute(statement.on_conflict_do_update(index_elements=list(keys), set_=changed))
