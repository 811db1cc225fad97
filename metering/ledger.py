"""Double entry over plain data, after TigerBeetle: accounts, transfers, and hold / post / void.

A transfer moves `amount_minor` from its credit account to its debit account; there is no other way to move anything, so
that the entries of a currency always sum to zero. Nothing is changed or deleted. The id comes from the caller: posting
the same transfer again answers `exists` and changes nothing, another one under the same id `exists_different`.

A hold sets an amount aside without moving it. It is resolved at most once: by a post (of all or a part; the rest is
released) or a void. The chart of accounts is in the README.
"""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Literal

from metering.errors import MeterError, UnknownCurrencyError
from metering.money import MAX_AMOUNT_MINOR, currency

TransferKind = Literal["single", "hold", "post", "void"]
Posted = Literal["created", "exists", "exists_different"]

STRIPE_CLEARING = "stripe_clearing"


def room_earnings(room_id: str) -> str:
    return f"room_earnings:{room_id}"


@dataclass(frozen=True, slots=True)
class Transfer:
    """`amount_minor` from `credit` to `debit`. `kind` post and void name the hold that they resolve in `pending_id`
    and repeat its accounts and currency; a void has the amount 0.
    """

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
    """Every transfer ever posted, in order, and by which transfer a hold was resolved."""

    transfers: dict[str, Transfer] = field(default_factory=dict)
    resolved: dict[str, str] = field(default_factory=dict)

    def balance_minor(self, account: str, code: str) -> int:
        """Debits minus credits of what has moved; holds do not count."""
        return balances(self.transfers.values()).get((account, code), 0)

    def held_minor(self, account: str, code: str) -> int:
        """What open holds will take from this account, if they are posted whole."""
        return sum(
            transfer.amount_minor
            for transfer in self.transfers.values()
            if transfer.kind == "hold"
            and transfer.id not in self.resolved
            and (transfer.credit, transfer.currency) == (account, code)
        )


def balances(transfers: Iterable[Transfer]) -> dict[tuple[str, str], int]:
    """Debits minus credits by (account, currency)."""
    totals: dict[tuple[str, str], int] = defaultdict(int)
    for transfer in transfers:
        if transfer.kind in ("single", "post"):
            totals[transfer.debit, transfer.currency] += transfer.amount_minor
            totals[transfer.credit, transfer.currency] -= transfer.amount_minor
    return dict(totals)


def post(ledger: Ledger, transfer: Transfer) -> Posted:
    """Add the transfer once. Raises MeterError for one that can never be booked: no or too large an amount, an account
    against itself, a post above its hold, a hold that is unknown or resolved already. Raises UnknownCurrencyError.
    """
    known = ledger.transfers.get(transfer.id)
    if known is not None:
        return "exists" if known == transfer else "exists_different"
    fault = _fault(ledger, transfer)
    if fault is not None:
        raise MeterError(f"transfer {transfer.id}: {fault}")
    ledger.transfers[transfer.id] = transfer
    if transfer.pending_id is not None:
        ledger.resolved[transfer.pending_id] = transfer.id
    return "created"


def _fault(ledger: Ledger, transfer: Transfer) -> str | None:
    currency(transfer.currency)
    least_minor = 0 if transfer.kind == "void" else 1
    most_minor = 0 if transfer.kind == "void" else MAX_AMOUNT_MINOR
    if not least_minor <= transfer.amount_minor <= most_minor:
        return f"the amount {transfer.amount_minor}"
    if transfer.debit == transfer.credit:
        return "an account against itself"
    if transfer.kind in ("post", "void"):
        return _resolving_fault(ledger, transfer)
    return None if transfer.pending_id is None else "only post and void resolve a hold"


def _resolving_fault(ledger: Ledger, transfer: Transfer) -> str | None:
    hold = None if transfer.pending_id is None else ledger.transfers.get(transfer.pending_id)
    if hold is None or hold.kind != "hold":
        return "no such hold"
    if hold.id in ledger.resolved:
        return "the hold is resolved already"
    if (hold.debit, hold.credit, hold.currency) != (transfer.debit, transfer.credit, transfer.currency):
        return "other accounts than its hold"
    return "more than its hold" if transfer.amount_minor > hold.amount_minor else None


# --- the transfers of a room's payments -------------------------------------------------------------------


def payment_captured(order_id: str, room_id: str, amount_minor: int, code: str) -> Transfer:
    """The payer's money is at Stripe and earned by the room."""
    return Transfer(
        f"payment:{order_id}", STRIPE_CLEARING, room_earnings(room_id), amount_minor, code, "payment_captured"
    )


def refund(order_id: str, room_id: str, refunded_before_minor: int, amount_minor: int, code: str) -> Transfer:
    """Back to the payer. The id holds the sum refunded before, so that each further part is a transfer of its own and
    a repeat is the same one.
    """
    return Transfer(
        f"refund:{order_id}:{refunded_before_minor}",
        room_earnings(room_id),
        STRIPE_CLEARING,
        amount_minor,
        code,
        "refund",
    )


def dispute_lost(order_id: str, room_id: str, amount_minor: int, code: str) -> Transfer:
    """The bank took it back."""
    return Transfer(
        f"dispute_lost:{order_id}",
        room_earnings(room_id),
        STRIPE_CLEARING,
        amount_minor,
        code,
        "dispute_lost",
    )


def check_invariants(ledger: Ledger) -> list[str]:
    """What is wrong with the books, in sentences; empty when nothing is. Made for books that were read from storage:
    each transfer is booked anew, so that whatever `post` refuses is found here too.
    """
    wrong: list[str] = []
    fresh = Ledger()
    for name, transfer in ledger.transfers.items():
        if name != transfer.id:
            wrong.append(f"{name} holds the transfer {transfer.id}")
        fault = _stored_fault(fresh, transfer)
        if fault is not None:
            wrong.append(f"transfer {transfer.id}: {fault}")
            continue
        post(fresh, transfer)
    wrong.extend(_unbalanced(ledger))
    return wrong + _overdrawn_orders(ledger)


def _stored_fault(ledger: Ledger, transfer: Transfer) -> str | None:
    try:
        return _fault(ledger, transfer)
    except UnknownCurrencyError as error:
        return str(error)


def _unbalanced(ledger: Ledger) -> list[str]:
    totals: dict[str, int] = defaultdict(int)
    for (_account, code), minor in balances(ledger.transfers.values()).items():
        totals[code] += minor
    return [f"entries in {code} sum to {minor}" for code, minor in totals.items() if minor]


def _overdrawn_orders(ledger: Ledger) -> list[str]:
    """No order gives back more than it brought."""
    left: dict[str, int] = defaultdict(int)
    for transfer in ledger.transfers.values():
        order_id = transfer.id.split(":")[1] if ":" in transfer.id else transfer.id
        if transfer.code == "payment_captured":
            left[order_id] += transfer.amount_minor
        elif transfer.code in ("refund", "dispute_lost"):
            left[order_id] -= transfer.amount_minor
    return [
        f"order {order_id} gave back {-minor} more than it brought"
        for order_id, minor in left.items()
        if minor < 0
    ]
