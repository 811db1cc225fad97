"""Disputes of payments: one row for each that a bank opened, by the payment service's id."""

from collections.abc import Iterable
from dataclasses import dataclass

from sqlalchemy import select

from metering.disputes import KnownDispute, MoveDispute
from signaling.stores.database import Transaction
from signaling.stores.schema import disputes
from signaling.stores.statements import put


@dataclass(frozen=True, slots=True)
class Disputed:
    """What a dispute is about, and whose books that is in. `subject_id`: a sale, or the order of a top-up."""

    subject_id: str
    order_id: str
    mode: str
    account: str
    currency: str


async def disputes_of(tx: Transaction, subject_id: str) -> tuple[KnownDispute, ...]:
    """Of one sale or top-up, by id."""
    columns = [disputes.c[name] for name in ("id", "state", "amount_minor", "lost_minor", "returned_minor")]
    query = select(*columns).where(disputes.c.subject_id == subject_id).order_by(disputes.c.id)
    return tuple(KnownDispute(*row) for row in await tx.execute(query))


async def keep(tx: Transaction, about: Disputed, moves: Iterable[MoveDispute], now_text: str) -> None:
    """As they stand now."""
    for move in moves:
        known = move.known
        values = {
            "id": known.dispute_id,
            "mode": about.mode,
            "account": about.account,
            "subject_id": about.subject_id,
            "order_id": about.order_id,
            "state": known.state,
            "amount_minor": known.amount_minor,
            "lost_minor": known.lost_minor,
            "returned_minor": known.returned_minor,
            "currency": about.currency,
            "updated_at": now_text,
        }
        await put(tx, disputes, "id", values)
