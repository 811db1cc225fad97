"""Asking the payment service for something once, whatever happens on the way: attempt, look, next key.

Key and exact parameters are stored before the first request. Whoever asks again looks first whether something came of
it. Where the service answered a failure, that is all its key will ever answer: once a look has proved that nothing
came of it, the next attempt has the next key. What came of it is applied in one transaction with the call's being done.
"""

from typing import Any, Protocol, TypeVar

from signaling.payments.context import Context
from signaling.payments.port import OutcomeUnknownError, RefusedByServiceError
from signaling.stores import refunds as calls
from signaling.stores.database import Transaction
from signaling.stores.refunds import StripeCall

KEYS_MAX = 5
# A request that was stored so long ago and never answered to us may have been made by a process that died.
LOOK_AFTER_S = 30
CLOCK_SKEW_S = 300

Made = TypeVar("Made")


class Errand(Protocol[Made]):
    """One kind of thing to ask for. `find` answers None only when nothing came of any of its calls."""

    @property
    def operation(self) -> str: ...

    async def make(self, params: dict[str, Any], key: str) -> Made: ...

    async def find(self, call: StripeCall) -> Made | None: ...

    def id_of(self, made: Made) -> str: ...

    async def done(self, tx: Transaction, made: Made) -> None: ...

    async def refused(self, tx: Transaction, error: RefusedByServiceError) -> None: ...


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
        retry_at_s=now_s,
    )


async def carry_out(ctx: Context, errand: Errand[Made], call: StripeCall) -> Made:
    """Raises RefusedByServiceError when nothing came of it and the call is closed, OutcomeUnknownError when that is not
    known: to be asked again later, with the newest call of the subject."""
    is_repeat = call.attempts > 0 or ctx.now_s() - call.created_at_s >= LOOK_AFTER_S
    made = await errand.find(call) if is_repeat else None
    if made is None:
        try:
            made = await errand.make(call.params, call.idempotency_key)
        except RefusedByServiceError as error:
            await _refused(ctx, errand, call, error)
            raise
        except OutcomeUnknownError as error:
            await _unknown(ctx, errand, call, error)
            raise
    ctx.step("made")
    await _done(ctx, errand, call, made)
    return made


async def _done(ctx: Context, errand: Errand[Made], call: StripeCall, made: Made) -> None:
    async def work(tx: Transaction) -> tuple[()]:
        await calls.set_call(tx, call.idempotency_key, "done", result_id=errand.id_of(made))
        await errand.done(tx, made)
        return ()

    await ctx.write(work)


async def _refused(
    ctx: Context, errand: Errand[Made], call: StripeCall, error: RefusedByServiceError
) -> None:
    async def work(tx: Transaction) -> tuple[()]:
        await calls.set_call(tx, call.idempotency_key, "refused", note=str(error))
        await errand.refused(tx, error)
        return ()

    await ctx.write(work)


async def _unknown(ctx: Context, errand: Errand[Made], call: StripeCall, error: OutcomeUnknownError) -> None:
    is_proved = error.answered and call.attempts > 0 and await errand.find(call) is None
    now_s = ctx.now_s()

    async def work(tx: Transaction) -> tuple[()]:
        made = await calls.calls_of(tx, call.subject_id, call.operation)
        if is_proved and len(made) < KEYS_MAX:
            await calls.set_call(tx, call.idempotency_key, "refused", note="nothing came of it")
            key = made[0].idempotency_key
            await begin(tx, call.operation, call.subject_id, call.params, first_key=key, now_s=now_s)
        else:
            await calls.postpone_call(tx, call, now_s, str(error))
        return ()

    await ctx.write(work)
