"""Disputes of a payment: what a bank looks into and takes back, each by its own id, and of the payment a whole or a part.

Facts may be older than what is known: a dispute goes from open to won or lost, and never back. What the lost ones took
and the refunds together are never more than was paid; where that cuts a loss short and a refund then comes back, the
rest of it is taken. (A bank that disputes the whole of a payment that was partly refunded gives that part back in the
end, and the dispute reads as lost all the same.)
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

Dispute = Literal["none", "open", "won", "lost"]  # of a payment, or of all payments of an order
DisputeState = Literal["open", "won", "lost"]

_WORST_FIRST: tuple[DisputeState, ...] = ("lost", "open", "won")


@dataclass(frozen=True, slots=True)
class SeenDispute:
    """One dispute in one fact. `lost_minor`: what the bank kept of `amount_minor`, once it is lost."""

    dispute_id: str
    state: DisputeState
    amount_minor: int
    lost_minor: int = 0


@dataclass(frozen=True, slots=True)
class KnownDispute:
    """One dispute as it is booked. `lost_minor`: what was taken of the sale by it."""

    dispute_id: str
    state: DisputeState
    amount_minor: int
    lost_minor: int = 0


@dataclass(frozen=True, slots=True)
class MoveDispute:
    """The dispute stands so from now on; book `taken_minor` as gone by it."""

    known: KnownDispute
    taken_minor: int = 0

    @property
    def loss_id(self) -> str:
        """Of this loss: the dispute's, and where it is a further one, also what was taken before."""
        before_minor = self.known.lost_minor - self.taken_minor
        return f"{self.known.dispute_id}:{before_minor}" if before_minor else self.known.dispute_id


def to_move(
    known: Iterable[KnownDispute], seen: Iterable[SeenDispute], left_minor: int
) -> tuple[MoveDispute, ...]:
    """The steps from what is known of a payment's disputes to what the fact says. `left_minor`: what neither refunds nor
    disputes have taken of the payment."""
    held = {one.dispute_id: one for one in known}
    moves: list[MoveDispute] = []
    for one in sorted(seen, key=lambda seen: seen.dispute_id):
        before = held.get(one.dispute_id)
        if before is not None and before.state not in {"open", one.state}:
            continue  # an older fact
        lost_minor = 0 if before is None else before.lost_minor
        taken_minor = max(0, min(one.lost_minor - lost_minor, left_minor)) if one.state == "lost" else 0
        after = KnownDispute(one.dispute_id, one.state, one.amount_minor, lost_minor + taken_minor)
        if after != before:
            moves.append(MoveDispute(after, taken_minor))
            left_minor -= taken_minor
    return tuple(moves)


def moved(known: Iterable[KnownDispute], moves: Sequence[MoveDispute]) -> tuple[KnownDispute, ...]:
    """All of them once the steps are taken."""
    rows = {one.dispute_id: one for one in known} | {one.known.dispute_id: one.known for one in moves}
    return tuple(rows.values())


def worst_dispute(states: Iterable[Dispute]) -> Dispute:
    """Of several disputes or payments, what the payment or the order is."""
    found = set(states)
    return next((one for one in _WORST_FIRST if one in found), "none")


def open_minor(known: Iterable[KnownDispute]) -> int:
    """What the open ones are about."""
    return sum(one.amount_minor for one in known if one.state == "open")
