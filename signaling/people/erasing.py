"""Erasure on request, and forgetting by age (RETENTION_DAYS): names and addresses go, the books stay."""

import asyncio
from dataclasses import dataclass

import structlog

from signaling.clock import Clock, rfc3339
from signaling.errors import ApiError
from signaling.people import signin
from signaling.stores import erasing, people
from signaling.stores.database import Database, Transaction
from signaling.stores.erasing import ERASED

log = structlog.get_logger()

DAY_S = 86_400
LOOK_EVERY_S = 3600
ROUNDS_MAX = 50

_REFUSALS = {
    "room_live": "a room of this person is live: end it first",
    "subscribed": "a subscription goes on: cancel it first",
    "credits_left": "there are credits left: use them or have them refunded first",
}


@dataclass(frozen=True, slots=True)
class Erasure:
    """What was found under an address. `room_ids`: rooms that are closed now."""

    known: bool
    orders: int
    room_ids: tuple[str, ...] = ()


async def erase(db: Database, clock: Clock, email: str) -> Erasure:
    """Whoever has or gave that address. The account's row stays, as rooms, orders and the ledger refer to it, and nobody
    can sign in to it again. Raises ApiError 409 `room_live`, `subscribed`, `credits_left`."""
    now_s, now_text = int(clock.wall_s()), rfc3339(clock.wall_s())

    async def work(tx: Transaction) -> Erasure | str:
        user = await people.by_email(tx, email)
        hindrance = None if user is None else await erasing.what_hinders(tx, user.id)
        if hindrance is not None:
            return hindrance
        order_ids = await erasing.orders_of_person(tx, user.id if user else None, email)
        await erasing.erase_orders(tx, order_ids)
        await people.forget_links(tx, email)
        await erasing.drop_letters(tx, signin.LETTER, email=email, before_s=None)
        if user is None:
            return Erasure(known=False, orders=len(order_ids))
        closed = await erasing.close_rooms(tx, user.id, now_s, now_text)
        await erasing.forget_cards(tx, user.id)
        await people.end_sessions(tx, user.id)
        await people.replace_identity(tx, user.id, f"erased:{user.id}", ERASED)
        return Erasure(known=True, orders=len(order_ids), room_ids=tuple(closed))

    done = await db.write(work)
    if isinstance(done, str):
        raise ApiError(409, done, _REFUSALS[done])
    log.info("person_erased", known=done.known, orders=done.orders, rooms=len(done.room_ids))
    return done


class Retention:
    """Once an hour. `days` 0: orders keep their names until somebody is erased; letters with links go after a day in any
    case."""

    def __init__(self, db: Database, clock: Clock, days: int) -> None:
        self._db = db
        self._clock = clock
        self._days = days
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        self._task = asyncio.create_task(self._work_for_ever(), name="retention")

    async def close(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
            self._task = None

    async def work_once(self) -> int:
        """How many orders and events were forgotten."""
        now_s = int(self._clock.wall_s())
        await self._db.write(
            lambda tx: erasing.drop_letters(tx, signin.LETTER, email=None, before_s=now_s - DAY_S)
        )
        forgotten = 0
        for _ in range(ROUNDS_MAX if self._days else 0):
            done = await self._db.write(self._forget_some)
            forgotten += done
            if done == 0:
                break
        return forgotten

    async def _forget_some(self, tx: Transaction) -> int:
        before_s = int(self._clock.wall_s()) - self._days * DAY_S
        old = await erasing.old_orders(tx, before_s)
        await erasing.erase_orders(tx, old)
        return len(old) + await erasing.erase_old_events(tx, rfc3339(before_s))

    async def _work_for_ever(self) -> None:
        while True:
            try:
                await self.work_once()
            except Exception:
                log.exception("retention_failed")
            await asyncio.sleep(LOOK_EVERY_S)
