"""What is to be done outside after a commit: written in the same transaction, done at least once."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from sqlalchemy import select, update

from signaling.stores.database import Transaction
from signaling.stores.orders import orders_of_pass
from signaling.stores.schema import outbox
from signaling.stores.shelf import EVERYTHING, Shelf
from signaling.stores.statements import insert_once

OutboxState = Literal["waiting", "done", "failed"]
# `goodwill`, `duplicate` and `requested` are said by people; the rest by what happened.
RefundReason = Literal[
    "host_absent",
    "host_left",
    "technical",
    "kicked",
    "host_ended",
    "unserved",
    "goodwill",
    "duplicate",
    "requested",
    "dashboard",
]


@dataclass(frozen=True, slots=True)
class OutboxRow:
    id: str
    kind: str
    subject_id: str
    payload: dict[str, Any]
    attempts: int


async def add(
    tx: Transaction,
    *,
    outbox_id: str,
    kind: str,
    subject_id: str,
    payload: dict[str, Any],
    now_s: int,
    created_at: str,
) -> bool:
    """Once for each `outbox_id` (chosen by the caller from what it means, up to 64 characters): False for a
    repeat. Publish `OutboxFilled` after the commit."""
    values = {
        "id": outbox_id,
        "kind": kind,
        "subject_id": subject_id,
        "payload": payload,
        "state": "waiting",
        "attempts": 0,
        "next_at_s": now_s,
        "note": None,
        "created_at": created_at,
    }
    return await insert_once(tx, outbox, values)


async def ask_refund(
    tx: Transaction,
    order_id: str,
    reason: RefundReason,
    *,
    now_s: int,
    created_at: str,
    amount_minor: int | Literal["unused"] = "unused",
) -> bool:
    """Give back `amount_minor` of an order, or the part of it that is unused once its meter stands still."""
    payload = {"order_id": order_id, "amount_minor": amount_minor, "reason": reason}
    return await add(
        tx,
        outbox_id=f"refund:{order_id}:{reason}",
        kind="refund",
        subject_id=order_id,
        payload=payload,
        now_s=now_s,
        created_at=created_at,
    )


async def ask_refund_of_pass(
    tx: Transaction, pass_id: str, reason: RefundReason, *, now_s: int, created_at: str
) -> int:
    """The unused time of a pass: of the order that granted it and of those that extended it. How many asked."""
    asked = 0
    for order in await orders_of_pass(tx, pass_id):
        asked += await ask_refund(tx, order.id, reason, now_s=now_s, created_at=created_at)
    return asked


async def ask_expiry(tx: Transaction, order_id: str, reason: str, *, now_s: int, created_at: str) -> bool:
    """Close the Checkout Session of an order, then give its seat back."""
    return await add(
        tx,
        outbox_id=f"expire:{order_id}",
        kind="expire_checkout",
        subject_id=order_id,
        payload={"order_id": order_id, "reason": reason},
        now_s=now_s,
        created_at=created_at,
    )


async def due(
    tx: Transaction, now_s: int, kinds: Sequence[str], limit: int = 50, shelf: Shelf = EVERYTHING
) -> list[OutboxRow]:
    columns = [outbox.c[name] for name in ("id", "kind", "subject_id", "payload", "attempts")]
    query = select(*columns).where(
        outbox.c.state == "waiting",
        outbox.c.next_at_s <= now_s,
        outbox.c.kind.in_(kinds),
        shelf.about(outbox.c.subject_id),
    )
    rows = await tx.execute(query.order_by(outbox.c.next_at_s, outbox.c.id).limit(limit))
    return [OutboxRow(**row._mapping) for row in rows]  # noqa: SLF001 - SQLAlchemy's documented name


async def exists(tx: Transaction, outbox_id: str) -> bool:
    return await payload_of(tx, outbox_id) is not None


async def existing(tx: Transaction, outbox_ids: Sequence[str]) -> set[str]:
    """Those of them that are there."""
    return set((await tx.execute(select(outbox.c.id).where(outbox.c.id.in_(outbox_ids)))).scalars())


async def payload_of(tx: Transaction, outbox_id: str) -> dict[str, Any] | None:
    """What that row asks for, None when there is none."""
    found: dict[str, Any] | None = (
        await tx.execute(select(outbox.c.payload).where(outbox.c.id == outbox_id))
    ).scalar()
    return found


async def revive(tx: Transaction, outbox_id: str, now_s: int) -> bool:
    """Try once more what was given up; False when it was not."""
    done = await tx.execute(
        update(outbox)
        .where(outbox.c.id == outbox_id, outbox.c.state == "failed")
        .values(state="waiting", attempts=0, next_at_s=now_s)
    )
    return done.rowcount == 1


async def finish(tx: Transaction, outbox_id: str, state: OutboxState, note: str | None = None) -> None:
    await tx.execute(
        update(outbox).where(outbox.c.id == outbox_id).values(state=state, note=note and note[:500])
    )


async def retry(tx: Transaction, outbox_id: str, attempts: int, next_at_s: int, note: str) -> None:
    values = {"attempts": attempts, "next_at_s": next_at_s, "note": note[:500]}
    await tx.execute(update(outbox).where(outbox.c.id == outbox_id).values(values))
