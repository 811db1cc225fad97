"""Transfers on disk: the rules are `metering.ledger`'s, the uniqueness is the table's."""

from dataclasses import dataclass
from typing import Any

from sqlalchemy import select

from metering.ledger import Posted, Transfer
from signaling.stores.database import Transaction
from signaling.stores.schema import transfers
from signaling.stores.statements import insert_once


@dataclass(frozen=True, slots=True)
class Entry:
    """A transfer and whose books it is in; `subject_id` is what it is about (an order)."""

    transfer: Transfer
    mode: str
    account: str
    subject_id: str


def _values(entry: Entry) -> dict[str, Any]:
    transfer = entry.transfer
    return {
        "mode": entry.mode,
        "account": entry.account,
        "debit": transfer.debit,
        "credit": transfer.credit,
        "amount_minor": transfer.amount_minor,
        "currency": transfer.currency,
        "code": transfer.code,
        "subject_id": entry.subject_id,
    }


async def post_transfer(tx: Transaction, entry: Entry, created_at: str) -> Posted:
    """Books a single transfer, once for each id. Raises ValueError for one that cannot be booked."""
    transfer = entry.transfer
    if transfer.kind != "single" or transfer.amount_minor <= 0 or transfer.debit == transfer.credit:
        raise ValueError("a transfer moves a positive amount between two accounts")
    values = _values(entry)
    if await insert_once(tx, transfers, {"id": transfer.id, **values, "created_at": created_at}):
        return "created"
    stored = (await tx.execute(select(transfers).where(transfers.c.id == transfer.id))).mappings().one()
    same = all(stored[name] == value for name, value in values.items())
    return "exists" if same else "exists_different"


async def entries(tx: Transaction) -> list[Entry]:
    """All of them, in no particular order."""
    rows = (await tx.execute(select(transfers))).mappings()
    return [_entry(dict(row)) for row in rows]


def _entry(row: dict[str, Any]) -> Entry:
    fields = ("id", "debit", "credit", "amount_minor", "currency", "code")
    transfer = Transfer(**{name: row[name] for name in fields})
    return Entry(transfer, row["mode"], row["account"], row["subject_id"])
