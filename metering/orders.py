"""Orders: what each payment fact implies, in any order of arrival, any number of times.

(Being written: the signatures stand.)
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import Literal

Mode = Literal["sandbox", "test", "live"]
Dispute = Literal["none", "open", "won", "lost"]


class OrderState(StrEnum):
    NEW = "new"  # stored; no Checkout Session known yet
    OPEN = "open"  # its Checkout Session can be paid
    PAID = "paid"
    EXPIRED = "expired"
    CANCELED = "canceled"
    FAILED = "failed"
    REFUNDED = "refunded"
    PARTLY_REFUNDED = "partly_refunded"
    DISPUTED = "disputed"
    QUARANTINED = "quarantined"


@dataclass(frozen=True, slots=True)
class OrderSnapshot:
    """What we hold about one purchase. `seconds` None: unlimited. `granted`: its pass was granted or extended, once.
    `granted_before_ms`: what the pass had been granted when this order extended it (time is used in the order in
    which it was bought). `paid_ms`: when we first saw it paid (wall clock)."""

    order_id: str
    state: OrderState
    amount_minor: int
    currency: str
    mode: Mode
    account: str
    seconds: int | None
    extends_pass_id: str | None = None
    checkout_session_id: str | None = None
    refunded_minor: int = 0
    dispute: Dispute = "none"
    granted: bool = False
    granted_before_ms: int = 0
    paid_ms: int | None = None
    quarantine_reason: str | None = None


@dataclass(frozen=True, slots=True)
class PaymentFact:
    """What Stripe says now about one Checkout Session and its payment."""

    reference: str | None
    checkout_session_id: str
    amount_minor: int
    currency: str
    mode: Mode
    account: str
    session_status: Literal["open", "complete", "expired"]
    payment_status: Literal["paid", "unpaid", "no_payment_required"]
    intent_status: str | None = None
    refunded_minor: int = 0
    dispute: Dispute = "none"
    payment_intent_id: str | None = None


# --- decisions --------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class MarkOpen:
    """The Checkout Session that creation left unknown exists."""

    checkout_session_id: str


@dataclass(frozen=True, slots=True)
class GrantPass:
    """Paid: book the payment, create the pass of `seconds` (None: unlimited)."""

    seconds: int | None


@dataclass(frozen=True, slots=True)
class ExtendPass:
    """Paid: book the payment, add `seconds` to that pass (None: it becomes unlimited)."""

    pass_id: str
    seconds: int | None


@dataclass(frozen=True, slots=True)
class MarkExpired:
    pass


@dataclass(frozen=True, slots=True)
class MarkFailed:
    pass


@dataclass(frozen=True, slots=True)
class RecordRefund:
    """Book a refund of so much more than was booked before."""

    amount_minor_delta: int


@dataclass(frozen=True, slots=True)
class RecordDispute:
    """The dispute moved on. When `lost`, book `lost_minor` as gone."""

    dispute: Dispute
    lost_minor: int = 0


@dataclass(frozen=True, slots=True)
class EndAccess:
    """Take back what the order granted: a pass of its own ends; an extension is taken off its pass."""

    reason: Literal["refunded", "disputed"]


@dataclass(frozen=True, slots=True)
class RestoreAccess:
    """The dispute was won: give back what EndAccess took."""


@dataclass(frozen=True, slots=True)
class Quarantine:
    """The fact does not fit the order: grant nothing, show it to the operator."""

    reason: str


@dataclass(frozen=True, slots=True)
class Nothing:
    pass


Decision = (
    MarkOpen
    | GrantPass
    | ExtendPass
    | MarkExpired
    | MarkFailed
    | RecordRefund
    | RecordDispute
    | EndAccess
    | RestoreAccess
    | Quarantine
    | Nothing
)


def decide(order: OrderSnapshot, fact: PaymentFact) -> tuple[Decision, ...]:
    """What the fact asks for. Apply all of it in one transaction, then `after` is what to store."""
    raise NotImplementedError


def after(order: OrderSnapshot, decisions: tuple[Decision, ...]) -> OrderSnapshot:
    """The order once the decisions are applied; deciding the same fact again then gives (Nothing(),)."""
    raise NotImplementedError


# --- refunds ----------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class PassSnapshot:
    """`granted_ms` in all (None: unlimited), `used_ms` of it."""

    pass_id: str
    granted_ms: int | None
    used_ms: int


@dataclass(frozen=True, slots=True)
class RefundDue:
    amount_minor: int
    currency: str
    reason: Literal["host_away", "room_closed"]


def refund_due(
    order: OrderSnapshot,
    pass_: PassSnapshot | None,
    host_away_since_ms: int | None,
    now_ms: int,
    *,
    waits: bool,
    room_closed: bool,
) -> RefundDue | None:
    """What to give back by ourselves because it cannot be served."""
    raise NotImplementedError


def unused_part(
    amount_minor: int, granted_ms: int | None, used_ms: int, already_refunded_minor: int, currency: str
) -> int:
    """Minor units to give back for the unused part of one order (rounded up), beyond what was refunded before."""
    raise NotImplementedError
