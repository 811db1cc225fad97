"""Asking the payment service for something once, whatever happens on the way: attempt, look, next key.

Key and exact parameters are stored before the first request. Whoever asks again looks first whether something came of
it. Where the service answered a failure, that is all its key will ever answer: once a look has proved that nothing
came of it, the next attempt has the next key. What came of it is applied in one transaction with the call's being done.

An `Errand` is one kind of thing to ask for. Some are carried out by the outbox (`carry_out`); a `WatchedErrand` is asked
for as soon as it is stored (`attempt`) and then looked after by the sweep, until it is known what came of it
(`reconcile`).
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, ClassVar, Generic, Literal, TypeVar

import structlog

from signaling.notices import Notice
from signaling.payments.context import Context
from signaling.payments.port import OutcomeUnknownError, RefusedByServiceError
from signaling.stores import refunds as calls
from signaling.stores.database import Transaction
from signaling.stores.earnings import Now
from signaling.stores.refunds import StripeCall

log = structlog.get_logger()

KEYS_MAX = 4
BACKOFF_MAX_S = 60
FIRST_LOOK_S = 25  # a call in progress is left alone so long; a restart looks at once
IN_FLIGHT_S = 60  # after this a request that got no answer is no longer being worked on
CLOCK_SKEW_S = 300
NOTHING = "nothing came of it"

Made = TypeVar("Made")
# `known`: there is nothing left to find out. `dropped`: nobody wants it any more, but it may have been made.
Wish = Literal["wanted", "dropped", "known"]


class Errand(ABC, Generic[Made]):
    """One thing to ask for, about one subject."""

    __slots__ = ()
    operation: ClassVar[str]

    @property
    @abstractmethod
    def subject_id(self) -> str: ...

    @abstractmethod
    async def make(self, params: dict[str, Any], key: str) -> Made: ...

    @abstractmethod
    async def find(self, first: StripeCall) -> Sequence[Made]:
        """What came of any of its calls since the first one, beginning with the one to keep. Empty only when nothing did."""

    @abstractmethod
    def id_of(self, made: Made) -> str: ...

    @abstractmethod
    async def done(self, tx: Transaction, made: Made, now: Now) -> Sequence[Notice]: ...

    @abstractmethod
    async def refused(self, tx: Transaction, error: RefusedByServiceError, now: Now) -> Sequence[Notice]: ...

    async def spare(self, made: Made) -> None:
        """Two keys may have made two: ends the one that is not kept."""

    def is_final(self, *, is_late: bool) -> bool:  # noqa: ARG002 - for others to say
        """Whether a refusal says that it cannot be had, by its first attempt or by a late one."""
        return True

    async def next_params(self, _tx: Transaction, call: StripeCall, _now: Now) -> dict[str, Any] | None:
        """Of the attempt after `call`. None: there is to be none."""
        return call.params

    async def out_of_keys(self, _tx: Transaction, _now: Now) -> Sequence[Notice] | None:
        """Every key has failed. None: the last one is asked again."""
        return None


class WatchedErrand(Errand[Made]):
    """One that nobody waits for: it may stop being wanted while it is not known what came of it."""

    __slots__ = ()

    @abstractmethod
    async def wish(self, tx: Transaction, now_s: int) -> Wish: ...

    @abstractmethod
    async def dropped(self, tx: Transaction, now: Now) -> Sequence[Notice]:
        """It is proved that nothing of it exists, and it is not wanted any more."""


async def begin(
    tx: Transaction, operation: str, subject_id: str, params: dict[str, Any], *, first_key: str, now_s: int
) -> StripeCall:
    """Stores the next call about a subject; its key follows from how many there were."""
    made = await calls.calls_of(tx, subject_id, operation)
    return await calls.begin_call(
        tx,
        key=first_key if not made else f"{first_key}:{len(made) + 1}",
        operation=operation,
        subject_id=subject_id,
        params=params,
        now_s=now_s,
        # The first attempt is made by whoever stores it; a later one by the next round.
        retry_at_s=now_s if made else now_s + FIRST_LOOK_S,
    )


async def carry_out(ctx: Context, errand: Errand[Made], call: StripeCall) -> Made:
    """Raises RefusedByServiceError when nothing came of it and the call is closed, OutcomeUnknownError when that is not
    known: to be asked again later, with the newest call of the subject."""
    if _is_late(ctx, call):
        found = await _found(ctx, errand, call)
        if found is not None:
            return found
    outcome = await _make(ctx, errand, call)
    if isinstance(outcome, RefusedByServiceError | OutcomeUnknownError):
        raise outcome
    return outcome


async def attempt(ctx: Context, errand: Errand[Made]) -> None:
    """Makes the newest call about a subject. Does not tell what came of it: what is unknown stays unknown, and is looked
    at again. Raises OutcomeUnknownError only when a look that a failure asks for is not answered."""
    async with ctx.db.read() as tx:
        call = (await calls.calls_of(tx, errand.subject_id, errand.operation))[-1]
    await _make(ctx, errand, call)


async def reconcile(ctx: Context, errand: WatchedErrand[Made]) -> None:
    """Finds out what came of the calls about a subject, and asks again where nothing did. Raises OutcomeUnknownError when
    the service cannot be asked."""
    async with ctx.db.read() as tx:
        made = await calls.calls_of(tx, errand.subject_id, errand.operation)
        wish = await errand.wish(tx, ctx.now_s())
    if not made or wish == "known" or await _found(ctx, errand, made[-1]) is not None:
        return
    if wish == "wanted":
        await attempt(ctx, errand)
    elif ctx.now_s() - made[-1].created_at_s < IN_FLIGHT_S:
        await postpone(ctx, made[-1], "given up; waiting to be sure that nothing comes of it")
    else:
        await _drop(ctx, errand, made[-1])


async def adopt(ctx: Context, errand: Errand[Made], made: Made, call: StripeCall) -> None:
    """What came of a call, by its answer or by a look: a late answer closes the calls that were begun after it."""
    result_id, now = errand.id_of(made), Now(ctx.now_s(), ctx.now_text())

    async def work(tx: Transaction) -> Sequence[Notice]:
        await calls.set_call(tx, call.idempotency_key, "done", result_id=result_id)
        await calls.close_open_calls(tx, errand.subject_id, result_id, operation=errand.operation)
        return await errand.done(tx, made, now)

    await ctx.write(work)


def since_s(first: StripeCall) -> int:
    """From when on to look, where the service's clock may be behind ours."""
    return first.created_at_s - CLOCK_SKEW_S


async def postpone(ctx: Context, call: StripeCall, note: str) -> None:
    next_at_s = ctx.now_s() + min(2**call.attempts, BACKOFF_MAX_S)

    async def work(tx: Transaction) -> Sequence[Notice]:
        await calls.postpone_call(tx, call, next_at_s, note)
        return ()

    await ctx.write(work)


def _is_late(ctx: Context, call: StripeCall) -> bool:
    """A request that was stored so long ago and never answered to us may have been made by a process that died."""
    return call.attempts > 0 or ctx.now_s() - call.created_at_s >= FIRST_LOOK_S


async def _make(
    ctx: Context, errand: Errand[Made], call: StripeCall
) -> Made | RefusedByServiceError | OutcomeUnknownError:
    """What came of it, or the error, which is then dealt with."""
    about = {"operation": errand.operation, "subject_id": errand.subject_id}
    try:
        made = await errand.make(call.params, call.idempotency_key)
    except RefusedByServiceError as error:
        # A declined card is what happens every day.
        (log.info if error.decline_code else log.warning)("call_refused", **about, error=str(error))
        if not errand.is_final(is_late=_is_late(ctx, call)):
            return await _next_key(ctx, errand, call) or error
        await _refused(ctx, errand, call, error)
        return error
    except OutcomeUnknownError as error:
        log.warning("call_unknown", **about, error=str(error))
        if error.answered and call.attempts > 0:
            return await _next_key(ctx, errand, call) or error
        await postpone(ctx, call, str(error))
        return error
    ctx.step("made")
    await adopt(ctx, errand, made, call)
    return made


async def _found(ctx: Context, errand: Errand[Made], newest: StripeCall) -> Made | None:
    """Looks what came of any of the calls about a subject, and adopts it. Raises OutcomeUnknownError."""
    async with ctx.db.read() as tx:
        first = (await calls.calls_of(tx, newest.subject_id, newest.operation))[0]
    found = await errand.find(first)
    ctx.step("looked")
    if not found:
        return None
    kept, *others = found
    await adopt(ctx, errand, kept, newest)
    for other in others:
        await errand.spare(other)
    return kept


async def _next_key(ctx: Context, errand: Errand[Made], call: StripeCall) -> Made | None:
    """The key answers a failure for ever. A look that finds nothing allows the next key."""
    found = await _found(ctx, errand, call)
    if found is not None:
        return found
    now = Now(ctx.now_s(), ctx.now_text())
    next_at_s = now.s + min(2**call.attempts, BACKOFF_MAX_S)

    async def work(tx: Transaction) -> Sequence[Notice]:
        made = await calls.calls_of(tx, call.subject_id, call.operation)
        has_keys = len(made) < KEYS_MAX
        params = await errand.next_params(tx, call, now) if has_keys else None
        told = None if has_keys else await errand.out_of_keys(tx, now)
        if params is None and told is None:
            await calls.postpone_call(tx, call, next_at_s, NOTHING)
            return ()
        await calls.set_call(tx, call.idempotency_key, "refused", note=NOTHING)
        if params is not None:
            first_key = made[0].idempotency_key
            await begin(tx, call.operation, call.subject_id, params, first_key=first_key, now_s=now.s)
        return told or ()

    await ctx.write(work)
    return None


async def _refused(
    ctx: Context, errand: Errand[Made], call: StripeCall, error: RefusedByServiceError
) -> None:
    now = Now(ctx.now_s(), ctx.now_text())

    async def work(tx: Transaction) -> Sequence[Notice]:
        await calls.set_call(tx, call.idempotency_key, "refused", note=str(error))
        return await errand.refused(tx, error, now)

    await ctx.write(work)


async def _drop(ctx: Context, errand: WatchedErrand[Made], call: StripeCall) -> None:
    now = Now(ctx.now_s(), ctx.now_text())

    async def work(tx: Transaction) -> Sequence[Notice]:
        await calls.set_call(tx, call.idempotency_key, "refused", note=NOTHING)
        return await errand.dropped(tx, now)

    await ctx.write(work)
