"""What is given back by itself, and how much a refund that somebody asks for comes to.

Three policies, each with a switch (rates of the room, its host, the role, the platform):

- **the host never came**: nothing was used, and the host is away for the patience after the payment (or the room is
  closed): everything;
- **the host left early**: something was used, and the room is closed or the host stays away for the patience: the
  unused time, in proportion;
- **a technical failure**: the stay was ended by a fault of the server, little of the time had been used, and the
  payer did not come back within ten minutes: the unused time.

Whoever chose to wait is waited for; a closed room serves nobody and gives back at once. A sale that is not paid
beforehand (metered, from a wallet, by subscription, free) has nothing unused to give back: it is priced by what was used.
"""

from dataclasses import dataclass
from typing import Literal

from metering.errors import RefusedError
from metering.money import round_refund_up
from metering.orders import OrderSnapshot, PassSnapshot, refund_due, unused_of

AutomaticReason = Literal["host_absent", "host_left", "technical"]
SERVER_FAULTS = frozenset({"run_lost", "media_failed"})
TECHNICAL_AFTER_MS = 600_000
# Little was used: less than five minutes, or less than a quarter of what was bought.
LITTLE_MS = 300_000
LITTLE_PART = 4


@dataclass(frozen=True, slots=True)
class Policies:
    """Which refunds are made by themselves: the figures `refund_*` of the rates."""

    host_absent: bool = True
    host_left: bool = True
    technical: bool = True


@dataclass(frozen=True, slots=True)
class Attendance:
    """How host and payer came and went. Times are wall-clock milliseconds; `away_since_ms` None: the host is live.
    `ended_ms` and `end_code` are of the payer's last stay, None while it lasts or when there was none."""

    away_since_ms: int | None
    room_closed: bool
    waits: bool
    end_code: str | None = None
    ended_ms: int | None = None


@dataclass(frozen=True, slots=True)
class AutomaticRefund:
    amount_minor: int
    currency: str
    reason: AutomaticReason


def automatic_refund(
    order: OrderSnapshot, pass_: PassSnapshot | None, seen: Attendance, now_ms: int, policies: Policies
) -> AutomaticRefund | None:
    """What to give back of this order by ourselves, None for nothing."""
    due = refund_due(order, pass_, seen.away_since_ms, now_ms, waits=seen.waits, room_closed=seen.room_closed)
    used_ms = 0 if pass_ is None else pass_.used_ms
    if due is not None:
        reason: AutomaticReason = "host_left" if used_ms > 0 else "host_absent"
        is_on = policies.host_left if used_ms > 0 else policies.host_absent
        return AutomaticRefund(due.amount_minor, due.currency, reason) if is_on else None
    if policies.technical and pass_ is not None and _failed_technically(order, pass_, seen, now_ms):
        amount_minor = unused_of(order, pass_)
        return AutomaticRefund(amount_minor, order.currency, "technical") if amount_minor else None
    return None


def _failed_technically(order: OrderSnapshot, pass_: PassSnapshot, seen: Attendance, now_ms: int) -> bool:
    if order.state not in {"paid", "partly_refunded"} or seen.waits or seen.ended_ms is None:
        return False
    return (
        seen.end_code in SERVER_FAULTS
        and now_ms >= seen.ended_ms + TECHNICAL_AFTER_MS
        and is_little(pass_.used_ms, pass_.granted_ms)
    )


def is_little(used_ms: int, granted_ms: int | None) -> bool:
    """Whether so little was used that a failure spoiled the whole."""
    return used_ms < LITTLE_MS or (granted_ms is not None and used_ms * LITTLE_PART < granted_ms)


# --- refunds that somebody asks for -----------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Amount:
    amount_minor: int


@dataclass(frozen=True, slots=True)
class Seconds:
    """The price of so much time."""

    seconds: int


Wanted = Amount | Seconds | Literal["unused", "all"]


@dataclass(frozen=True, slots=True)
class Sale:
    """What can be given back of a sale. `seconds`: what was sold, None: without a limit. `gone_minor`: given back, being
    given back, or taken by a bank. `used_ms`: of this sale's own time."""

    amount_minor: int
    currency: str
    seconds: int | None
    gone_minor: int = 0
    used_ms: int = 0

    @property
    def left_minor(self) -> int:
        return max(0, self.amount_minor - self.gone_minor)


def refund_minor(sale: Sale, wanted: Wanted) -> int:
    """Minor units to give back: never more than is left. Time is priced in proportion to what was paid for all of it,
    rounded up (for the payer). Raises RefusedError `no_length` for seconds of an unlimited sale."""
    if isinstance(wanted, Amount):
        return min(wanted.amount_minor, sale.left_minor)
    if isinstance(wanted, Seconds):
        return min(_price_of_seconds(sale, wanted.seconds * 1000), sale.left_minor)
    if wanted == "all":
        return sale.left_minor
    return _unused_minor(sale)


def _price_of_seconds(sale: Sale, length_ms: int) -> int:
    if sale.seconds is None:
        raise RefusedError("no_length", "this purchase has no length: name an amount")
    if sale.seconds == 0:
        return 0  # paid for by use, and nothing was used
    return round_refund_up(sale.amount_minor * length_ms, sale.seconds * 1000, sale.currency).amount_minor


def _unused_minor(sale: Sale) -> int:
    """Beyond what is gone already. Of an unlimited sale: all of it when nothing was used, else nothing."""
    if sale.used_ms <= 0:
        return sale.left_minor
    if sale.seconds is None or sale.used_ms >= sale.seconds * 1000:
        return 0
    unused_minor = _price_of_seconds(sale, sale.seconds * 1000 - sale.used_ms)
    return max(0, min(unused_minor, sale.amount_minor) - sale.gone_minor)
