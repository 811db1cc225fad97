"""One trip to SQLite's thread for each statement.

SQLAlchemy's aiosqlite dialect makes four: for the cursor, the statement, its rows, and the cursor's end. Each wakes the
event loop, which costs more than SQLite itself. Rows that are streamed are fetched as before.
"""

# ruff: noqa: SLF001 - the dialect's and the driver's own names; tests/contract holds every store to what comes of them

from collections import deque
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Engine, event
from sqlalchemy.dialects.sqlite.aiosqlite import AsyncAdapt_aiosqlite_connection, AsyncAdapt_aiosqlite_cursor
from sqlalchemy.util import EMPTY_DICT


@dataclass(slots=True)
class _Answer:
    """What the cursor knew when it was closed."""

    description: Any = None
    rowcount: int = -1
    lastrowid: int | None = None
    arraysize: int = 1

    def close(self) -> None:
        """It is."""


class _Cursor(AsyncAdapt_aiosqlite_cursor):
    __slots__ = ()

    _awaitable_cursor_close = False

    def __init__(self, adapt_connection: Any) -> None:
        self._adapt_connection = adapt_connection
        self._connection = adapt_connection._connection
        self._cursor: Any = _Answer()
        self._rows: deque[Any] = deque()
        self._soft_closed_memoized = EMPTY_DICT

    async def _execute_async(self, operation: Any, parameters: Any) -> None:
        await self._ask(_execute, operation, parameters)

    async def _executemany_async(self, operation: Any, seq_of_parameters: Any) -> None:
        await self._ask(_execute_many, operation, seq_of_parameters)

    async def _ask(self, run: Any, operation: Any, parameters: Any) -> None:
        connection: Any = self._connection
        async with self._adapt_connection._execute_mutex:
            self._cursor, self._rows = await connection._execute(run, connection._conn, operation, parameters)


class _Connection(AsyncAdapt_aiosqlite_connection):
    __slots__ = ()

    _cursor_cls = _Cursor


def _execute(connection: Any, operation: str, parameters: Any) -> tuple[_Answer, deque[Any]]:
    return _close(connection.execute(operation, () if parameters is None else parameters))


def _execute_many(connection: Any, operation: str, parameters: Any) -> tuple[_Answer, deque[Any]]:
    return _close(connection.executemany(operation, parameters))


def _close(cursor: Any) -> tuple[_Answer, deque[Any]]:
    rows = deque(cursor.fetchall() if cursor.description else ())
    answer = _Answer(cursor.description, cursor.rowcount, cursor.lastrowid)
    cursor.close()
    return answer, rows


def use_one_trip(engine: Engine) -> None:
    """For connections that `engine` makes from now on."""

    @event.listens_for(engine, "do_connect")
    def _connect(dialect: Any, _record: Any, arguments: Any, named: Any) -> _Connection:
        made = dialect.loaded_dbapi.connect(*arguments, **named)
        return _Connection(made.dbapi, made._connection)
