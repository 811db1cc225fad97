"""A machine of invented time: an event loop that jumps to whatever is due next, databases without threads, and processes
that can be killed between any two of their steps.

Nothing in it waits and nothing runs beside anything else, so a seed gives the same run every time.
"""

import asyncio
import selectors
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Mapping
from concurrent.futures import Executor, Future
from contextlib import asynccontextmanager
from contextvars import Context, ContextVar, copy_context
from functools import cache, partial
from random import Random
from typing import Any, TypeVar, cast

from sqlalchemy import Connection, Engine, create_engine, event

from signaling.stores.database import Database, Transaction

T = TypeVar("T")

WALL_S = 1_790_000_000.0


class DeadlockError(Exception):
    """Everybody waits, and nothing will ever happen."""


class _Nobody(selectors.BaseSelector):
    """No file ever becomes ready: waiting moves the clock instead."""

    def __init__(self) -> None:
        self.now_s = 0.0
        self._keys: dict[int, selectors.SelectorKey] = {}

    def register(self, fileobj: Any, events: int, data: Any = None) -> selectors.SelectorKey:
        number = fileobj if isinstance(fileobj, int) else fileobj.fileno()
        key = self._keys[number] = selectors.SelectorKey(fileobj, number, events, data)
        return key

    def unregister(self, fileobj: Any) -> selectors.SelectorKey:
        return self._keys.pop(fileobj if isinstance(fileobj, int) else fileobj.fileno())

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout is None:
            raise DeadlockError
        self.now_s += max(0.0, timeout)
        return []

    def get_map(self) -> Mapping[Any, selectors.SelectorKey]:
        return self._keys


class Loop(asyncio.SelectorEventLoop):
    """asyncio's own loop on that clock. Each task belongs to the process in whose name it was started."""

    def __init__(self) -> None:
        self._nobody = _Nobody()
        super().__init__(self._nobody)
        self.set_task_factory(_task_of_process)

    def time(self) -> float:
        return self._nobody.now_s

    def _write_to_self(self) -> None:
        """No other thread waits to be heard."""


def run(main: Coroutine[Any, Any, T]) -> T:
    """`main` on a machine of its own. Raises DeadlockError."""
    with asyncio.Runner(loop_factory=Loop) as runner:
        return runner.run(main)


class Clock:
    """Satisfies signaling's Clock by the loop that runs."""

    def now_ns(self) -> int:
        return round(asyncio.get_running_loop().time() * 1e9)

    def wall_s(self) -> float:
        return WALL_S + asyncio.get_running_loop().time()


# --- processes --------------------------------------------------------------------------------------------


class Process:
    """What is started `inside` it dies with it. `step` is passed wherever a death may part two effects."""

    def __init__(self, name: str, chance: Random) -> None:
        self.name = name
        self.is_alive = True
        self.chance = chance
        self.tasks: dict[asyncio.Task[Any], None] = {}
        self.at_death: list[Callable[[], None]] = []
        self.dies_at: int | None = None  # so many steps from now
        self.died_after: str | None = None
        self.context: Context = copy_context()
        self.context.run(_PROCESS.set, self)

    async def inside(self, work: Coroutine[Any, Any, T]) -> T:
        """What people of another process ask for, done in this one's name."""
        return await self.start(work)

    def start(self, work: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        return self.context.run(asyncio.create_task, work)

    async def step(self, name: str) -> None:
        """Between two effects: others may come first, and the process may end here."""
        if self.dies_at is not None:
            self.dies_at -= 1
            if self.dies_at < 0:
                self.died_after = name
                self.kill()
        if not self.is_alive:
            await asyncio.get_running_loop().create_future()  # for ever, that is until it is cancelled
        await asyncio.sleep(self.chance.choice(STEP_S))

    def kill(self) -> None:
        """As kill -9 does it: nothing more is written, sent or answered in its name."""
        self.is_alive, self.dies_at = False, None
        for ending in self.at_death:
            ending()
        for task in tuple(self.tasks):
            task.cancel()

    async def buried(self) -> None:
        """Once nothing of it runs any more."""
        while left := [task for task in self.tasks if not task.done()]:
            for task in left:  # code that stays to tidy up is not listened to
                task.cancel()
            await asyncio.wait(left, timeout=1)


# Most steps take next to nothing, some are overtaken by what others do.
STEP_S = (0.0, 0.0, 0.0, 0.001, 0.004, 0.05)
_PROCESS: ContextVar[Process | None] = ContextVar("process", default=None)


def current() -> Process | None:
    return _PROCESS.get()


def _task_of_process(
    loop: asyncio.AbstractEventLoop, work: Coroutine[Any, Any, Any], **options: Any
) -> asyncio.Task[Any]:
    task = asyncio.Task(work, loop=loop, **options)
    context = options.get("context")
    process = (context or copy_context()).get(_PROCESS)
    if process is not None:
        process.tasks[task] = None
        task.add_done_callback(partial(_forget, process))
        if not process.is_alive:
            task.cancel()
    return task


def _forget(process: Process, task: asyncio.Task[Any]) -> None:
    process.tasks.pop(task, None)
    if not process.is_alive and not task.cancelled():
        task.exception()  # of the dead nobody asks why


# --- databases --------------------------------------------------------------------------------------------


class DeadError(BaseException):
    """The process that wanted this is dead. No `except Exception` may outlive it."""


class AtOnce(Executor):
    """Does what it is given there and then."""

    def submit(self, fn: Callable[..., T], /, *args: Any, **kwargs: Any) -> "Future[T]":
        done: Future[T] = Future()
        try:
            done.set_result(fn(*args, **kwargs))
        except Exception as error:  # noqa: BLE001 - whoever waits for it is told
            done.set_exception(error)
        return done

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """There is nothing to wait for."""


class _Now:
    """A transaction whose statements are done there and then: no thread, and nobody waits."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self.dialect = connection.dialect

    async def execute(self, *said: Any) -> Any:
        return self._connection.execute(*said)


class ProcessDatabase(Database):
    """A process's own connections: before and after each transaction it may die, and others may come first. What dies in
    the middle leaves nothing behind."""

    def __init__(self, url: str, process: Process) -> None:
        self.is_sqlite = True
        self._turn = asyncio.Lock()
        self._process = process
        self._engine = _engine(url)

    async def write(self, work: Callable[[Transaction], Awaitable[T]], *, ahead: bool = False) -> T:
        await self._process.step("before a write")
        done = await super().write(work, ahead=ahead)
        await self._process.step("after a write")
        return done

    def _in_turn(self, work: Callable[[Transaction], Awaitable[T]], *, ahead: bool) -> asyncio.Future[T]:
        """One by one: each may be the last."""
        return asyncio.create_task(self._write_alone(work))

    async def _write_alone(self, work: Callable[[Transaction], Awaitable[T]]) -> T:
        self._check()
        async with self._turn:
            with self._engine.connect() as connection:
                connection.exec_driver_sql("BEGIN IMMEDIATE")
                done = await work(cast("Transaction", _Now(connection)))
                self._check()
                connection.commit()
                return done

    @asynccontextmanager
    async def read(self) -> AsyncIterator[Transaction]:
        self._check()
        with self._engine.connect() as connection:
            connection.exec_driver_sql("BEGIN")
            yield cast("Transaction", _Now(connection))

    async def close(self) -> None:
        self._engine.dispose()

    def _check(self) -> None:
        if not self._process.is_alive:
            raise DeadError(self._process.name)


@cache
def _engine(url: str) -> Engine:
    """Whoever had this file before has closed its connections; the statements that were compiled can be used again."""
    engine = create_engine(url, pool_size=50)
    event.listen(engine, "connect", _unsafe)
    return engine


def _unsafe(connection: Any, _record: Any) -> None:
    """The disk is not what dies here."""
    connection.isolation_level = None  # we say BEGIN ourselves
    for pragma in ("journal_mode=WAL", "synchronous=OFF", "foreign_keys=ON"):
        connection.execute(f"PRAGMA {pragma}").close()
