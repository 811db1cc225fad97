"""What a payee has of their sales: when it is due, what is sent, what is asked back, and what stays a debt.

Of one earning `position = net - reversed - paid - withheld`. Above zero it is owed to the payee, below zero the payee
owes it: it was sent before the payer got it back. `withheld` is signed: what a debt of one earning is short of is kept
from another, so that over all earnings of a payee it adds up to zero, and

    net - reversed = paid + owed - debt

holds for each earning and for all of them together. Earnings of different currencies never meet.

What an open dispute is about is frozen, as far as it is still there; the rest goes on. Nothing is sent before the
holding time is over, of what is frozen, or while an earlier sending of the same earning is on its way; `paid` counts a sending from the moment it is asked for.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from metering.errors import MeterError, RefusedError

DAY_S = 86_400
HOLDING_DAYS = 15
HOLDING_DAYS_MAX = 90

EarningState = Literal["pending", "available"]


@dataclass(frozen=True, slots=True)
class Earning:
    """The payee's part of one sale, in minor units of its currency. `available_at_s`: wall clock. `disputed_minor`: the
    payee's part of what open disputes are about."""

    earning_id: str
    net_minor: int
    available_at_s: int
    reversed_minor: int = 0
    paid_minor: int = 0
    withheld_minor: int = 0
    state: EarningState = "pending"
    disputed_minor: int = 0

    @property
    def position_minor(self) -> int:
        return self.net_minor - self.reversed_minor - self.paid_minor - self.withheld_minor

    @property
    def owed_minor(self) -> int:
        """What the payee has still to get of it."""
        return max(0, self.position_minor)

    @property
    def frozen_minor(self) -> int:
        """What of it waits for the outcome of disputes."""
        return min(self.owed_minor, self.disputed_minor)

    @property
    def free_minor(self) -> int:
        """What of it does not."""
        return self.owed_minor - self.frozen_minor

    @property
    def debt_minor(self) -> int:
        """What the payee has had of it and must give back."""
        return max(0, -self.position_minor)


@dataclass(frozen=True, slots=True)
class Sent:
    """One transfer to a payee, and how much of it came back."""

    payout_id: str
    amount_minor: int
    reversed_minor: int = 0

    @property
    def left_minor(self) -> int:
        return self.amount_minor - self.reversed_minor


@dataclass(frozen=True, slots=True)
class Part:
    """So much of one payout or earning."""

    of: str
    amount_minor: int


# --- when -------------------------------------------------------------------------------------------------


def available_at_s(created_s: int, holding_days: int = HOLDING_DAYS) -> int:
    """Raises RefusedError for a holding time that is not 0 to 90 days."""
    if not 0 <= holding_days <= HOLDING_DAYS_MAX:
        raise RefusedError("bad_holding_days", f"earnings are held for 0 to {HOLDING_DAYS_MAX} days")
    return created_s + holding_days * DAY_S


def is_due(earning: Earning, now_s: int) -> bool:
    """Whether it goes from pending to available now."""
    return earning.state == "pending" and now_s >= earning.available_at_s


# --- debts and what may be sent ---------------------------------------------------------------------------


def payable_minor(earning: Earning) -> int:
    """What may be sent of it now, once its payee's debts were withheld."""
    return earning.free_minor if earning.state == "available" else 0


def withhold(earning: Earning, debtors: Iterable[Earning]) -> tuple[Part, ...]:
    """Which debts are kept from what is payable of `earning`: in the given order, as far as it goes."""
    left_minor, parts = payable_minor(earning), []
    for debtor in debtors:
        amount_minor = min(left_minor, debtor.debt_minor)
        if amount_minor > 0:
            parts.append(Part(debtor.earning_id, amount_minor))
            left_minor -= amount_minor
    return tuple(parts)


def settle_debt(earning: Earning, debtor: Earning, amount_minor: int) -> tuple[Earning, Earning]:
    """Both once `amount_minor` of the debt is kept from `earning`. Raises MeterError for more than there is."""
    if not 0 < amount_minor <= min(payable_minor(earning), debtor.debt_minor):
        raise MeterError(f"{amount_minor} cannot be kept from {earning.earning_id}")
    return (
        replace(earning, withheld_minor=earning.withheld_minor + amount_minor),
        replace(debtor, withheld_minor=debtor.withheld_minor - amount_minor),
    )


# --- what comes back --------------------------------------------------------------------------------------


def take(earning: Earning, amount_minor: int) -> tuple[int, int]:
    """Where the payee's part of a refund is taken from: what they have still to get, and what becomes their debt."""
    own_minor = min(earning.owed_minor, amount_minor)
    return own_minor, amount_minor - own_minor


def to_reverse(earning: Earning, sent: Sequence[Sent], asked_minor: int = 0) -> tuple[Part, ...]:
    """Which transfers to ask back for the debt of `earning`, the newest first, up to what was sent.

    `asked_minor` is being asked back already. What no transfer covers stays a debt and is withheld later.
    """
    left_minor, parts = max(0, earning.debt_minor - asked_minor), []
    for one in reversed(sent):
        amount_minor = min(left_minor, one.left_minor)
        if amount_minor > 0:
            parts.append(Part(one.payout_id, amount_minor))
            left_minor -= amount_minor
    return tuple(parts)
