"""Events received from Stripe, stored before they are answered, applied by the worker."""

from dataclasses import dataclass
from typing import Any, Literal

from sqlalchemy import bindparam, select, update

from signaling.stores.database import Transaction
from signaling.stores.schema import inbox, quarantine
from signaling.stores.shelf import EVERYTHING, Shelf
from signaling.stores.statements import insert_once

InboxState = Literal["received", "applied", "ignored", "quarantined"]


@dataclass(frozen=True, slots=True)
class InboxEvent:
    """`payload` is the event's object, as Stripe sent it: a hint, never the truth."""

    event_id: str
    mode: str
    account: str
    type: str
    object_id: str
    payload: dict[str, Any]
    attempts: int = 0


async def receive(tx: Transaction, event: InboxEvent, *, now_s: int, received_at: str) -> bool:
    """False when that event is stored already."""
    values = {
        "event_id": event.event_id,
        "mode": event.mode,
        "account": event.account,
        "type": event.type,
        "object_id": event.object_id,
        "payload": event.payload,
        "state": "received",
        "note": None,
        "attempts": 0,
        "next_at_s": now_s,
        "received_at": received_at,
    }
    return await insert_once(tx, inbox, values)


async def due_events(
    tx: Transaction, now_s: int, limit: int = 100, shelf: Shelf = EVERYTHING
) -> list[InboxEvent]:
    columns = [
        inbox.c[name] for name in ("event_id", "mode", "account", "type", "object_id", "payload", "attempts")
    ]
    query = select(*columns).where(inbox.c.state == "received", inbox.c.next_at_s <= now_s, shelf.heard())
    rows = await tx.execute(query.order_by(inbox.c.next_at_s, inbox.c.received_at).limit(limit))
    return [InboxEvent(**row._mapping) for row in rows]  # noqa: SLF001 - SQLAlchemy's documented name


_CLOSE = update(inbox).where(inbox.c.event_id == bindparam("key"))


async def close_event(tx: Transaction, event_id: str, state: InboxState, note: str | None = None) -> None:
    await tx.execute(_CLOSE, {"key": event_id, "state": state, "note": note})


async def retry_event(tx: Transaction, event_id: str, attempts: int, next_at_s: int, note: str) -> None:
    values = {"attempts": attempts, "next_at_s": next_at_s, "note": note[:500]}
    await tx.execute(update(inbox).where(inbox.c.event_id == event_id).values(values))


async def put_in_quarantine(
    tx: Transaction,
    *,
    quarantine_id: str,
    reason: str,
    subject_id: str,
    payload: dict[str, Any],
    created_at: str,
) -> bool:
    """Shown to the operator; once for each id."""
    values = {
        "id": quarantine_id[:64],
        "reason": reason[:64],
        "subject_id": subject_id,
        "payload": payload,
        "created_at": created_at,
    }
    return await insert_once(tx, quarantine, values)
