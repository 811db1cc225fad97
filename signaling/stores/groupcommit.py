"""Write transactions in turn, and those that wait for the same turn in one commit.

Each of a group has a savepoint of its own: what one raises is undone and told to its caller alone. Nobody is answered
before the commit. A commit waits for the disk, so under load this is what decides how many can write; and on PostgreSQL
those who would meet in the same rows do not race each other.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Any

from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncConnection

Work = Callable[[AsyncConnection], Awaitable[Any]]
GROUP_MAX = 32


@dataclass(slots=True, eq=False)
class _Asked:
    work: Work
    done: asyncio.Future[Any]

    def answer(self, result: Any) -> None:
        if not self.done.done():
            self.done.set_result(result)

    def fail(self, error: BaseException) -> None:
        if self.done.done():
            return
        if isinstance(error, asyncio.CancelledError):
            self.done.cancel()
        else:
            self.done.set_exception(error)


class GroupCommit:
    """`begin` opens a write transaction and commits or undoes it; `alone` runs one work in one, again where that is
    what the database wants; `lost` knows the errors after which nothing is committed for certain."""

    def __init__(
        self,
        begin: Callable[[], AbstractAsyncContextManager[AsyncConnection]],
        alone: Callable[[Work], Awaitable[Any]],
        lost: Callable[[SQLAlchemyError], bool],
    ) -> None:
        self._begin = begin
        self._alone = alone
        self._lost = lost
        self._waiting: deque[_Asked] = deque()
        self._emptying: asyncio.Task[None] | None = None

    def ask(self, work: Work, *, ahead: bool = False) -> asyncio.Future[Any]:
        """What `work` answers, once it is committed. `ahead`: before those that wait already."""
        asked = _Asked(work, asyncio.get_running_loop().create_future())
        (self._waiting.appendleft if ahead else self._waiting.append)(asked)
        if self._emptying is None:
            self._emptying = asyncio.create_task(self._empty(), name="database-writer")
        return asked.done

    async def _empty(self) -> None:
        try:
            while self._waiting:
                count = min(len(self._waiting), GROUP_MAX)
                await self._commit([self._waiting.popleft() for _ in range(count)])
        finally:
            self._emptying = None
            while self._waiting:  # the loop is ending
                self._waiting.popleft().done.cancel()

    async def _commit(self, group: Sequence[_Asked]) -> None:
        try:
            if len(group) == 1 or not await self._together(group):
                for asked in group:
                    await self._by_itself(asked)
        except BaseException as error:
            for asked in group:
                asked.fail(error)
            if not isinstance(error, Exception):
                raise

    async def _by_itself(self, asked: _Asked) -> None:
        try:
            asked.answer(await self._alone(asked.work))
        except Exception as error:  # noqa: BLE001 - it is its caller's
            asked.fail(error)

    async def _together(self, group: Sequence[_Asked]) -> bool:
        """False: the database refused one of them, which may have cost the others their transaction, and nothing is
        committed. Raises what the commit itself raises: then nobody knows."""
        try:
            results = await self._results(group)
        except _RefusedError:
            return False
        except SQLAlchemyError as error:
            if self._lost(error):
                return False
            raise
        for asked, (result, raised) in zip(group, results, strict=True):
            if raised is None:
                asked.answer(result)
            else:
                asked.fail(raised)
        return True

    async def _results(self, group: Sequence[_Asked]) -> list[tuple[Any, Exception | None]]:
        async with self._begin() as tx:
            return [await _in_a_savepoint(tx, asked.work) for asked in group]


class _RefusedError(Exception):
    """By the database."""


async def _in_a_savepoint(tx: AsyncConnection, work: Work) -> tuple[Any, Exception | None]:
    try:
        savepoint = await tx.begin_nested()
        try:
            result = await work(tx)
        except SQLAlchemyError:
            raise
        except Exception as error:  # noqa: BLE001 - it is its caller's
            await savepoint.rollback()
            return None, error
        await savepoint.commit()
    except SQLAlchemyError as error:
        raise _RefusedError from error
    return result, None
