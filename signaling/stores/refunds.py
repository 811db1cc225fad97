"""Refunds, ours and the dashboard's, and the calls to Stripe that create something."""

from dataclasses import dataclass
from typing import Any, Literal

from sqlalchemy import ColumnElement, exists, func, select, update

from signaling.stores.database import Transaction
from signaling.stores.schema import orders, refunds, stripe_calls
from signaling.stores.shelf import EVERYTHING, Shelf
from signaling.stores.statements import insert_once

RefundState = Literal["asked", "succeeded", "failed"]
CallState = Literal["pending", "done", "refused", "unknown"]


@dataclass(frozen=True, slots=True)
class Refund:
    """One row of `refunds`. `payment_intent_id`: which of the order's payments it gives back, where that is known."""

    id: str
    order_id: str
    amount_minor: int
    currency: str
    reason: str
    state: RefundState
    stripe_refund_id: str | None
    created_at: str
    payment_intent_id: str | None = None


_COLUMNS = [
    refunds.c[name]
    for name in (
        "id",
        "order_id",
        "amount_minor",
        "currency",
        "reason",
        "state",
        "stripe_refund_id",
        "created_at",
        "payment_intent_id",
    )
]


async def insert_refund(tx: Transaction, refund: Refund) -> bool:
    """False when that refund is recorded already."""
    names = [column.name for column in _COLUMNS]
    return await insert_once(tx, refunds, {name: getattr(refund, name) for name in names})


async def get_refund(tx: Transaction, refund_id: str) -> Refund | None:
    row = (await tx.execute(select(*_COLUMNS).where(refunds.c.id == refund_id))).first()
    return None if row is None else Refund(**row._mapping)  # noqa: SLF001 - SQLAlchemy's documented name


async def refunds_of(tx: Transaction, order_id: str) -> list[Refund]:
    query = select(*_COLUMNS).where(refunds.c.order_id == order_id)
    rows = await tx.execute(query.order_by(refunds.c.created_at, refunds.c.id))
    return [Refund(**row._mapping) for row in rows]  # noqa: SLF001 - SQLAlchemy's documented name


async def set_refund(
    tx: Transaction, refund_id: str, state: RefundState, stripe_refund_id: str | None
) -> None:
    values: dict[str, Any] = {"state": state}
    if stripe_refund_id is not None:
        values["stripe_refund_id"] = stripe_refund_id
    await tx.execute(update(refunds).where(refunds.c.id == refund_id).values(values))


def is_of_topup() -> ColumnElement[bool]:
    """Of a row of `refunds`."""
    return exists().where(orders.c.id == refunds.c.order_id, orders.c.purpose == "topup")


async def sent_back(tx: Transaction, limit: int = 100, shelf: Shelf = EVERYTHING) -> list[Refund]:
    """Refunds of our own asking that the service took and the bank then sent back, the newest first. Not of top-ups: theirs
    are credits again."""
    query = select(*_COLUMNS).where(
        refunds.c.state == "failed",
        refunds.c.stripe_refund_id.is_not(None),
        refunds.c.reason != "dashboard",
        shelf.about(refunds.c.order_id),
        ~is_of_topup(),
    )
    rows = await tx.execute(query.order_by(refunds.c.created_at.desc(), refunds.c.id).limit(limit))
    return [Refund(**row._mapping) for row in rows]  # noqa: SLF001 - SQLAlchemy's documented name


async def asked_minor(tx: Transaction, order_id: str, payment_intent_id: str | None = None) -> int:
    """What is being given back or was, of our own asking and the dashboard's (failed ones not); of one of its payments,
    where that is named."""
    query = select(func.coalesce(func.sum(refunds.c.amount_minor), 0)).where(
        refunds.c.order_id == order_id, refunds.c.state != "failed"
    )
    if payment_intent_id is not None:
        query = query.where(refunds.c.payment_intent_id == payment_intent_id)
    return int((await tx.execute(query)).scalar_one())


async def payments_of(tx: Transaction, order_id: str) -> frozenset[str]:
    """Those of its payments of which something was to go back, where that was said."""
    query = select(refunds.c.payment_intent_id).where(
        refunds.c.order_id == order_id, refunds.c.payment_intent_id.is_not(None)
    )
    return frozenset((await tx.execute(query)).scalars())


# --- calls ------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class StripeCall:
    """A call that creates something: its key and exact parameters are stored before it is made."""

    idempotency_key: str
    operation: str
    subject_id: str
    params: dict[str, Any]
    state: CallState
    result_id: str | None
    attempts: int
    created_at_s: int


_CALL_COLUMNS = [
    stripe_calls.c[name]
    for name in (
        "idempotency_key",
        "operation",
        "subject_id",
        "params",
        "state",
        "result_id",
        "attempts",
        "created_at_s",
    )
]


def _call(row: Any) -> StripeCall:
    return StripeCall(**row._mapping)  # noqa: SLF001 - SQLAlchemy's documented name


async def begin_call(
    tx: Transaction,
    *,
    key: str,
    operation: str,
    subject_id: str,
    params: dict[str, Any],
    now_s: int,
    retry_at_s: int,
) -> StripeCall:
    """Stores the call, or answers the one stored under that key: its parameters are then the ones to send."""
    values = {
        "idempotency_key": key,
        "operation": operation,
        "subject_id": subject_id,
        "params": params,
        "state": "pending",
        "result_id": None,
        "note": None,
        "attempts": 0,
        "next_at_s": retry_at_s,
        "created_at_s": now_s,
    }
    await insert_once(tx, stripe_calls, values)
    query = select(*_CALL_COLUMNS).where(stripe_calls.c.idempotency_key == key)
    return _call((await tx.execute(query)).one())


async def calls_of(tx: Transaction, subject_id: str, operation: str) -> list[StripeCall]:
    """Oldest attempt first."""
    query = select(*_CALL_COLUMNS).where(
        stripe_calls.c.subject_id == subject_id, stripe_calls.c.operation == operation
    )
    rows = await tx.execute(query.order_by(stripe_calls.c.created_at_s, stripe_calls.c.idempotency_key))
    return [_call(row) for row in rows]


async def open_calls(
    tx: Transaction, now_s: int, operation: str, limit: int = 50, shelf: Shelf = EVERYTHING
) -> list[StripeCall]:
    """Calls whose outcome is unknown and that are due for another look."""
    query = select(*_CALL_COLUMNS).where(
        stripe_calls.c.state.in_(["pending", "unknown"]),
        stripe_calls.c.next_at_s <= now_s,
        stripe_calls.c.operation == operation,
        shelf.about(stripe_calls.c.subject_id),
    )
    rows = await tx.execute(query.order_by(stripe_calls.c.next_at_s).limit(limit))
    return [_call(row) for row in rows]


async def set_call(
    tx: Transaction, key: str, state: CallState, *, result_id: str | None = None, note: str | None = None
) -> None:
    values = {"state": state, "result_id": result_id, "note": note and note[:500]}
    await tx.execute(update(stripe_calls).where(stripe_calls.c.idempotency_key == key).values(values))


async def close_open_calls(
    tx: Transaction, subject_id: str, result_id: str, *, operation: str | None = None
) -> None:
    """What the calls about it were for has come about, whichever of them did it and whoever told us. `operation`: only
    those of one kind."""
    open_ones = stripe_calls.c.state.in_(["pending", "unknown"])
    change = update(stripe_calls).where(stripe_calls.c.subject_id == subject_id, open_ones)
    if operation is not None:
        change = change.where(stripe_calls.c.operation == operation)
    await tx.execute(change.values(state="done", result_id=result_id))


async def postpone_call(tx: Transaction, call: StripeCall, next_at_s: int, note: str) -> None:
    """Nothing when somebody else has found out meanwhile what came of it."""
    values = {
        "state": "unknown",
        "attempts": call.attempts + 1,
        "next_at_s": next_at_s,
        "note": note[:500],
    }
    open_ones = stripe_calls.c.state.in_(["pending", "unknown"])
    change = update(stripe_calls).where(stripe_calls.c.idempotency_key == call.idempotency_key, open_ones)
    await tx.execute(change.values(values))
