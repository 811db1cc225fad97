"""What every part of the payments is handed."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from signaling.clock import Clock, rfc3339
from signaling.ids import RandomBytes, new_id
from signaling.notices import Notice, Notices
from signaling.payments.port import PaymentService
from signaling.payments.settings import PaymentsSettings
from signaling.stores.database import Database, Transaction


def _nowhere(_step: str) -> None:
    """In production nothing happens between two steps."""


async def nothing_between() -> None:
    """For who is not to be interrupted between two steps."""


@dataclass(frozen=True, slots=True)
class Context:
    """`step` is called between any two steps that a crash may part; tests raise from it."""

    db: Database
    clock: Clock
    random_bytes: RandomBytes
    notices: Notices
    service: PaymentService
    settings: PaymentsSettings
    step: Callable[[str], None] = field(default=_nowhere)

    def now_s(self) -> int:
        return int(self.clock.wall_s())

    def now_text(self) -> str:
        return rfc3339(self.clock.wall_s())

    def new_id(self, prefix: str) -> str:
        return new_id(prefix, self.random_bytes)

    async def write(self, work: Callable[[Transaction], Awaitable[Sequence[Notice]]]) -> None:
        """One transaction; what it answers is published once it is committed."""
        notices = await self.db.write(work)
        self.step("committed")
        for notice in notices:
            self.notices.publish(notice)


async def side_by_side(work: Iterable[Coroutine[Any, Any, None]], limit: int = 4) -> None:
    """All of it, at most `limit` at a time: one slow answer does not hold up the others. What one raises is raised
    once all have ended, so that nothing goes on behind the caller's back."""
    turns, all_of_it = asyncio.Semaphore(limit), list(work)

    async def in_turn(one: Coroutine[Any, Any, None]) -> None:
        async with turns:
            await one

    try:
        results = await asyncio.gather(*(in_turn(one) for one in all_of_it), return_exceptions=True)
    finally:
        for one in all_of_it:  # of no effect but on those that a cancellation kept from beginning
            one.close()
    for result in results:
        if isinstance(result, BaseException):
            raise result
