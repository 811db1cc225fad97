"""Double entry over plain data. (Being written: the signatures stand.)"""

from dataclasses import dataclass, field
from typing import Literal

TransferKind = Literal["single", "hold", "post", "void"]
Posted = Literal["created", "exists", "exists_different"]


@dataclass(frozen=True, slots=True)
class Transfer:
    """`amount_minor` from `credit` to `debit`. The id comes from the caller and is the idempotency key.
    `kind` post and void name the hold that they resolve in `pending_id`."""

    id: str
    debit: str
    credit: str
    amount_minor: int
    currency: str
    code: str
    kind: TransferKind = "single"
    pending_id: str | None = None


@dataclass(slots=True)
class Ledger:
    """Every transfer ever posted, in order. Accounts are strings and exist per currency by being named."""

    transfers: dict[str, Transfer] = field(default_factory=dict)


def post(ledger: Ledger, transfer: Transfer) -> Posted:
    """Add the transfer once. Raises MeterError for one that cannot be booked (see the README)."""
    raise NotImplementedError


def check_invariants(ledger: Ledger) -> list[str]:
    """What is wrong with the books, in sentences; empty when nothing is."""
    raise NotImplementedError
