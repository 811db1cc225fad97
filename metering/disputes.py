"""Disputes of a payment: what a bank looks into and takes back, each by its own id, and of the payment a whole or a part.

Facts may be older than what is known: a dispute goes from open to won or lost, and never back. What a bank gave back of
what it had withdrawn only grows, and so tells which of two facts is the newer: it may give back a part or all of it when
it decides, and also later, long after the dispute was lost; then what was booked as lost comes back. A lost dispute of
which nothing was kept is a won one.

What the lost ones took and the refunds together are never more than was paid; where that cuts a loss short and a refund
then comes back, the rest of it is taken. (A bank that disputes the whole of a payment that was partly refunded gives that part back in the
end, and the dispute reads as lost all the same.)
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Literal

Dispute = Literal["none", "open", "won", "lost"]  # of a payment, or of all payments of an order
DisputeState = Literal["open", "won", "lost"]

_WORST_FIRST: tuple[DisputeState, ...] = ("lost", "open", "won")


@dataclass(frozen=True, slots=True)
class SeenDispute:
    """One dispute in one fact, once it is decided with what the bank kept of `amount_minor` (`lost_minor`) and what it gave
    back of what it had withdrawn (`returned_minor`)."""

    dispute_id: str
    state: DisputeState
    amount_minor: int
    lost_minor: int = 0
    returned_minor: int = 0


@dataclass(frozen=True, slots=True)
class KnownDispute:
    """One dispute as it is booked. `lost_minor`: what was taken of the sale by it; `returned_minor`: as the newest fact."""

    dispute_id: str
    state: DisputeState
    amount_minor: int
    lost_minor: int = 0
    returned_minor: int = 0


@dataclass(frozen=True, slots=True)
class MoveDispute:
    """The dispute stands so from now on; book `taken_minor` as gone by it, or `back_minor` of that as come back."""

    known: KnownDispute
    taken_minor: int = 0
    back_minor: int = 0

    @property
    def loss_id(self) -> str:
        """Of this loss: the dispute's, and where it is a further one, also what was taken before."""
        before_minor = self.known.lost_minor - self.taken_minor
        return f"{self.known.dispute_id}:{before_minor}" if before_minor else self.known.dispute_id

    @property
    def back_id(self) -> str:
        """Of what came back: a bank gives back the same sum once."""
        return f"{self.known.dispute_id}:{self.known.returned_minor}"


def to_move(
    known: Iterable[KnownDispute], seen: Iterable[SeenDispute], left_minor: int
) -> tuple[MoveDispute, ...]:
    """The steps from what is known of a payment's disputes to what the fact says, what comes back first. `left_minor`: what
    neither refunds nor disputes have taken of the payment."""
    held = {one.dispute_id: one for one in known}
    newer = [one for one in map(_decided, seen) if not _is_older(one, held.get(one.dispute_id))]
    newer.sort(key=lambda one: one.dispute_id)
    booked_minor = {one.dispute_id: one.lost_minor for one in known}
    backs = [
        MoveDispute(_known(one, one.lost_minor), back_minor=minor - one.lost_minor)
        for one in newer
        if (minor := booked_minor.get(one.dispute_id, 0)) > one.lost_minor
    ]
    left_minor += sum(back.back_minor for back in backs)
    returned = {back.known.dispute_id for back in backs}
    moves: list[MoveDispute] = []
    for one in newer:
        before_minor = booked_minor.get(one.dispute_id, 0)
        taken_minor = max(0, min(one.lost_minor - before_minor, left_minor))
        after = _known(one, before_minor + taken_minor)
        if one.dispute_id not in returned and after != held.get(one.dispute_id):
            moves.append(MoveDispute(after, taken_minor))
            left_minor -= taken_minor
    return (*backs, *moves)


def to_give_back(known: Iterable[KnownDispute], seen: Iterable[SeenDispute]) -> tuple[MoveDispute, ...]:
    """Of these steps those by which something comes back. They go before the fact's refunds: what a bank has given back
    may have been refunded since."""
    return tuple(one for one in to_move(known, seen, 0) if one.back_minor)


def _decided(seen: SeenDispute) -> SeenDispute:
    if seen.state != "lost":
        return replace(seen, lost_minor=0)
    return replace(seen, state="won") if seen.returned_minor and not seen.lost_minor else seen


def _is_older(seen: SeenDispute, before: KnownDispute | None) -> bool:
    if before is None:
        return False
    if seen.returned_minor != before.returned_minor:
        return seen.returned_minor < before.returned_minor
    return before.state not in {"open", seen.state}


def _known(seen: SeenDispute, lost_minor: int) -> KnownDispute:
    return KnownDispute(seen.dispute_id, seen.state, seen.amount_minor, lost_minor, seen.returned_minor)


def moved(known: Iterable[KnownDispute], moves: Sequence[MoveDispute]) -> tuple[KnownDispute, ...]:
    """All of them once the steps are taken."""
    rows = {one.dispute_id: one for one in known} | {one.known.dispute_id: one.known for one in moves}
    return tuple(rows.values())


def worst_dispute(states: Iterable[Dispute]) -> Dispute:
    """Of several disputes or payments, what the payment or the order is."""
    found = set(states)
    return next((one for one in _WORST_FIRST if one in found), "none")


def lost_by(moves: Iterable[MoveDispute]) -> int:
    """How much more of the payment is lost by these steps; below zero: how much less."""
    return sum(one.taken_minor - one.back_minor for one in moves)


def open_minor(known: Iterable[KnownDispute]) -> int:
    """What the open ones are about."""
    return sum(one.amount_minor for one in known if one.state == "open")
