"""What of a payment has gone back: refunds as they are seen, some of which a bank sends back later.

Facts may be older than what is known. A refund that failed is named by its id, and so the one thing that ever makes
what is booked as refunded fall: each is booked back once, and a fact of before, in which it still stands, does not
book it again. What failed before it was ever seen is booked and booked back in the same breath, so that the books read
the same in whatever order the facts come.
"""

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class SeenRefund:
    """One refund of a payment in one fact. `failed`: it came back, or never left."""

    refund_id: str
    amount_minor: int
    failed: bool = False


@dataclass(frozen=True, slots=True)
class RecordRefund:
    """Book a refund of so much more than was booked before."""

    amount_minor_delta: int


@dataclass(frozen=True, slots=True)
class RefundFailed:
    """Book that refund back."""

    refund_id: str
    amount_minor: int


Step = RecordRefund | RefundFailed


def gone_minor(seen_minor: int, refunds: Sequence[SeenRefund], booked_back: frozenset[str]) -> int:
    """What a fact says has gone back. `seen_minor`: of the charge, which counts where no refund is listed: two answers of
    a service may be of two moments, one list never is."""
    if not refunds:
        return seen_minor
    return sum(one.amount_minor for one in refunds if not one.failed and one.refund_id not in booked_back)


def to_book(
    booked_minor: int,
    paid_minor: int,
    seen_minor: int,
    refunds: Sequence[SeenRefund] = (),
    booked_back: frozenset[str] = frozenset(),
) -> tuple[Step, ...]:
    """The steps from what is booked as refunded to what the fact says; at no step below zero or above what was paid."""
    failed = [one for one in refunds if one.failed and one.refund_id not in booked_back]
    now_minor = min(gone_minor(seen_minor, refunds, booked_back), paid_minor)
    rest_minor = max(0, now_minor - booked_minor + sum(one.amount_minor for one in failed))
    steps: list[Step] = []
    for one in failed:
        unseen_minor = min(max(0, one.amount_minor - booked_minor), rest_minor)
        if unseen_minor > paid_minor - booked_minor:
            rest_minor -= one.amount_minor  # a dispute has taken by now what it would have been of
            continue
        if unseen_minor:
            steps.append(RecordRefund(unseen_minor))
            booked_minor, rest_minor = booked_minor + unseen_minor, rest_minor - unseen_minor
        if one.amount_minor <= booked_minor:
            steps.append(RefundFailed(one.refund_id, one.amount_minor))
            booked_minor -= one.amount_minor
    rest_minor = min(rest_minor, paid_minor - booked_minor)
    return (*steps, RecordRefund(rest_minor)) if rest_minor > 0 else tuple(steps)


def booked_after(booked_minor: int, steps: Sequence[Step]) -> int:
    """What is booked as refunded once the steps are."""
    for step in steps:
        if isinstance(step, RefundFailed):
            booked_minor -= step.amount_minor
        else:
            booked_minor += step.amount_minor_delta
    return booked_minor
