"""Sends what the outbox holds as `mail`: at least once each, with patience while the mail server is away.

A row says which letter (`letter`) and about what; its words are made when it is sent, by the one writer of that kind of
letter, so that no secret waits in the database.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import structlog

from signaling.clock import Clock
from signaling.mail import Letter, Mailer, MailError
from signaling.notices import Notice, Notices, OutboxFilled
from signaling.stores import outbox
from signaling.stores.database import Database
from signaling.stores.outbox import OutboxRow

log = structlog.get_logger()

KIND = "mail"
BACKOFF_S = 10
BACKOFF_MAX_S = 1800
ATTEMPTS_MAX = 100  # about two days
LOOK_EVERY_S = 15.0

# Makes the letter of a row; None: there is nothing to be said any more.
Writer = Callable[[OutboxRow], Awaitable[Letter | None]]


class Post:
    """`mailer` None: this server sends no mail, and rows wait. `start` and `close` run it in the background; tests call
    `work_once`."""

    def __init__(
        self,
        db: Database,
        clock: Clock,
        notices: Notices,
        *,
        mailer: Mailer | None,
        writers: Mapping[str, Writer],
    ) -> None:
        self._db = db
        self._clock = clock
        self._notices = notices
        self._mailer = mailer
        self._writers = writers
        self._woken = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._unsubscribe: Callable[[], None] | None = None

    async def start(self) -> None:
        if self._mailer is not None:
            self._unsubscribe = self._notices.subscribe(self._hear)
            self._task = asyncio.create_task(self._work_for_ever(), name="post")

    async def close(self) -> None:
        """In the middle of a letter too: it is then sent again."""
        if self._task is not None and self._unsubscribe is not None:
            self._unsubscribe()
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
            self._task = None

    async def work_once(self) -> int:
        """One round; how many letters were due."""
        if self._mailer is None:
            return 0
        async with self._db.read() as tx:
            due = await outbox.due(tx, self._now_s(), [KIND])
        for row in due:
            await self._deliver(row, self._mailer)
        return len(due)

    async def _deliver(self, row: OutboxRow, mailer: Mailer) -> None:
        try:
            letter = await self._writers[str(row.payload.get("letter"))](row)
            if letter is not None:
                await mailer.send(letter, row.id, self._clock.wall_s())
        except MailError as error:
            await self._postpone(row, str(error), for_good=error.for_good)
        except Exception as error:
            # One letter that cannot be written must not hold up the others.
            log.exception("letter_failed", outbox_id=row.id)
            await self._postpone(row, type(error).__name__, for_good=False)
        else:
            note = "nothing to say any more" if letter is None else None
            await self._db.write(lambda tx: outbox.finish(tx, row.id, "done", note))

    async def _postpone(self, row: OutboxRow, note: str, *, for_good: bool) -> None:
        attempts = row.attempts + 1
        if for_good or attempts >= ATTEMPTS_MAX:
            log.error("letter_given_up", outbox_id=row.id, note=note)
            await self._db.write(lambda tx: outbox.finish(tx, row.id, "failed", note))
            return
        log.warning("letter_postponed", outbox_id=row.id, note=note, attempts=attempts)
        wait_s = min(BACKOFF_S * 2 ** min(attempts - 1, 10), BACKOFF_MAX_S)
        next_at_s = self._now_s() + wait_s
        await self._db.write(lambda tx: outbox.retry(tx, row.id, attempts, next_at_s, note))

    def _hear(self, notice: Notice) -> None:
        if isinstance(notice, OutboxFilled):
            self._woken.set()

    async def _work_for_ever(self) -> None:
        while True:
            self._woken.clear()
            try:
                await self.work_once()
            except Exception:
                log.exception("post_round_failed")
            try:
                async with asyncio.timeout(LOOK_EVERY_S):
                    await self._woken.wait()
            except TimeoutError:
                continue

    def _now_s(self) -> int:
        return int(self._clock.wall_s())


def mail_payload(letter: str, **about: Any) -> dict[str, Any]:
    """What a row of the outbox holds for `writers[letter]`."""
    return {"letter": letter} | about
