"""Orders: what each payment fact implies, in any order of arrival, any number of times.

A fact is the state of one Checkout Session and its payment as just fetched; it may be older than what we know already.
Rules:

- Forward, never back: an order that was granted is never ungranted by an older fact; refunds and disputes only grow.
  The one exception has a name each time: a refund that failed is booked back, once (`metering.refunds`). The access that
  it ended stays ended: it is asked for again, and is the payer's money or nobody's.
- A dispute takes what it is about, each by its own id (`metering.disputes`); while one is open, and once one is lost, the
  access is ended, also where it is about a part.
- The same fact again decides `Nothing`.
- Money that arrives after the order expired, was canceled or failed still grants: it did arrive. When it cannot be
  served, `refund_due` gives it back.
- A payment refunded or disputed before we first saw it is granted and taken back in the same breath, so that the
  books read the same in whatever order the facts come.
- A partial refund made outside (in Stripe's dashboard) is recorded and leaves the access as it is: it is a gesture, and
  how many minutes it stands for is nobody's guess. A full one ends the access.
- An order that is paid for by use (`metered`) is granted when its amount is held; what is captured in the end is at
  most that, and booked by who settles the stay. Until then nothing of it can be refunded. Its refunds and disputes are
  seen payment by payment, of which it may have several: the order's Checkout knows only the first.
- A fact that does not match reference, Checkout Session, amount, currency, mode and account grants nothing and is
  quarantined. An order that was granted before keeps its state and gets the reason; one that was not is held until the
  operator has looked at it.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any, Literal

from metering.disputes import (
    Dispute,
    KnownDispute,
    MoveDispute,
    SeenDispute,
    lost_by,
    moved,
    to_give_back,
    to_move,
    worst_dispute,
)
from metering.money import round_refund_up
from metering.refunds import RecordRefund, RefundFailed, SeenRefund, to_book

Mode = Literal["sandbox", "test", "live"]


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
    which it was bought). `paid_ms`: when we first saw it paid (wall clock). `by_use`: `amount_minor` is only held;
    `charged_minor` is what was taken of it in the end (None: not settled). `refunds_booked_back`: ids of those that
    failed after they were booked. `dispute`: the worst of `disputes`; `lost_minor`: what all of them took."""

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
    by_use: bool = False
    charged_minor: int | None = None
    refunds_booked_back: frozenset[str] = frozenset()
    disputes: tuple[KnownDispute, ...] = ()
    lost_minor: int = 0

    @property
    def paid_minor(self) -> int:
        """What the payer has paid and can get back: of what is paid for by use, what was charged in the end."""
        return (self.charged_minor or 0) if self.by_use else self.amount_minor


@dataclass(frozen=True, slots=True)
class PaymentFact:
    """What Stripe says now about one Checkout Session and its payment. `refunds`, `disputes`: each of them, where any are
    listed."""

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
    payment_intent_id: str | None = None
    refunds: tuple[SeenRefund, ...] = ()
    disputes: tuple[SeenDispute, ...] = ()


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
class RecordDispute:
    """Disputes moved on: what the payment is by that, and how much of it more is lost (below zero: less)."""

    dispute: Dispute
    lost_minor: int = 0
    moves: tuple[MoveDispute, ...] = ()


@dataclass(frozen=True, slots=True)
class EndAccess:
    """Take back what the order granted: a pass of its own ends; an extension is taken off its pass."""

    reason: Literal["refunded", "disputed"]


@dataclass(frozen=True, slots=True)
class RestoreAccess:
    """The last open dispute was won: give back what EndAccess took."""


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
    | RefundFailed
    | RecordDispute
    | EndAccess
    | RestoreAccess
    | Quarantine
    | Nothing
)


_NOT_PAID_YET = (OrderState.NEW, OrderState.OPEN)


def decide(order: OrderSnapshot, fact: PaymentFact) -> tuple[Decision, ...]:
    """What the fact asks for. Apply all of it in one transaction, then `after` is what to store."""
    misfit = mismatch(order, fact)
    if misfit is not None:
        return (Nothing(),) if order.quarantine_reason is not None else (Quarantine(misfit),)
    if order.state is OrderState.QUARANTINED:
        return (Nothing(),)
    if order.granted or _is_paid(fact):
        moved = _taken_back(order, fact)
        decided = (*_grant(order), *moved, *_access(order, after(order, moved)))
    else:
        decided = _unpaid(order, fact)
    return decided or (Nothing(),)


def mismatch(order: OrderSnapshot, fact: PaymentFact) -> str | None:
    """The first thing in which the fact does not fit the order, as a stable code; None when it fits."""
    pairs = {
        "reference": (order.order_id, fact.reference),
        "checkout_session": (order.checkout_session_id or fact.checkout_session_id, fact.checkout_session_id),
        "amount": (order.amount_minor, _expected_minor(order, fact)),
        "currency": (order.currency, fact.currency),
        "mode": (order.mode, fact.mode),
        "account": (order.account, fact.account),
    }
    return next((name for name, (ours, theirs) in pairs.items() if ours != theirs), None)


def _expected_minor(order: OrderSnapshot, fact: PaymentFact) -> int:
    """What the fact says was asked for. Once a hold is captured it says what was captured, which may be less."""
    is_captured = order.by_use and fact.intent_status == "succeeded"
    return max(order.amount_minor, fact.amount_minor) if is_captured else fact.amount_minor


def _is_paid(fact: PaymentFact) -> bool:
    """Paid, held for a later capture, or nothing was due (the amount was compared before)."""
    if fact.session_status != "complete":
        return False
    if fact.payment_status == "no_payment_required":
        return fact.amount_minor == 0
    return fact.payment_status == "paid" or fact.intent_status == "requires_capture"


def _unpaid(order: OrderSnapshot, fact: PaymentFact) -> tuple[Decision, ...]:
    if order.state not in _NOT_PAID_YET:
        return ()
    if fact.session_status == "expired":
        return (MarkExpired(),)
    # A declined card leaves the session open, to be tried again; only these end the payment.
    is_declined = fact.session_status == "complete" and fact.intent_status == "requires_payment_method"
    if is_declined or fact.intent_status == "canceled":
        return (MarkFailed(),)
    if order.state is OrderState.NEW and fact.session_status == "open":
        return (MarkOpen(fact.checkout_session_id),)
    return ()


def _grant(order: OrderSnapshot) -> tuple[Decision, ...]:
    if order.granted:
        return ()
    if order.extends_pass_id is not None:
        return (ExtendPass(order.extends_pass_id, order.seconds),)
    return (GrantPass(order.seconds),)


def _taken_back(order: OrderSnapshot, fact: PaymentFact) -> tuple[Decision, ...]:
    """What banks give back of earlier losses, then refunds: a lost dispute takes at most what they have left."""
    returned = () if order.by_use else _recorded(order, to_give_back(order.disputes, fact.disputes))
    order = after(order, returned)
    refunds = _refund(order, fact)
    return (*returned, *refunds, *_dispute(after(order, refunds), fact))


def _refund(order: OrderSnapshot, fact: PaymentFact) -> tuple[Decision, ...]:
    if order.by_use:
        return ()
    known, booked_back = order.refunded_minor, order.refunds_booked_back
    return to_book(
        known, order.amount_minor - order.lost_minor, fact.refunded_minor, fact.refunds, booked_back
    )


def _dispute(order: OrderSnapshot, fact: PaymentFact) -> tuple[Decision, ...]:
    if order.by_use:
        return ()
    left_minor = order.paid_minor - order.refunded_minor - order.lost_minor
    return _recorded(order, to_move(order.disputes, fact.disputes, left_minor))


def _recorded(order: OrderSnapshot, moves: tuple[MoveDispute, ...]) -> tuple[Decision, ...]:
    """The order's disputes after those steps, if there are any."""
    state = worst_dispute(one.state for one in moved(order.disputes, moves))
    return (RecordDispute(state, lost_by(moves), moves),) if moves else ()


def _access(order: OrderSnapshot, moved: OrderSnapshot) -> tuple[Decision, ...]:
    """Compare what the order may give before and after this fact."""
    before, now = _access_ended(order), _access_ended(moved)
    if now is not None and before is None:
        return (EndAccess(now),)
    if before == "disputed" and now is None:
        return (RestoreAccess(),)
    return ()


def _access_ended(order: OrderSnapshot) -> Literal["refunded", "disputed"] | None:
    if order.refunded_minor >= order.paid_minor > 0:
        return "refunded"
    return "disputed" if order.dispute in ("open", "lost") else None


def after(order: OrderSnapshot, decisions: tuple[Decision, ...]) -> OrderSnapshot:
    """The order once the decisions are applied; deciding the same fact again then gives (Nothing(),). Set `paid_ms`
    and `granted_before_ms` yourself when it was granted.
    """
    for decision in decisions:
        order = _AFTER[type(decision)](order, decision)
    return order


def _after_open(order: OrderSnapshot, decision: MarkOpen) -> OrderSnapshot:
    return replace(order, state=OrderState.OPEN, checkout_session_id=decision.checkout_session_id)


def _after_grant(order: OrderSnapshot, _decision: GrantPass | ExtendPass) -> OrderSnapshot:
    return _with_state(replace(order, granted=True))


def _after_refund(order: OrderSnapshot, decision: RecordRefund) -> OrderSnapshot:
    return _with_state(replace(order, refunded_minor=order.refunded_minor + decision.amount_minor_delta))


def _after_failed(order: OrderSnapshot, decision: RefundFailed) -> OrderSnapshot:
    left_minor = order.refunded_minor - decision.amount_minor
    known = order.refunds_booked_back | {decision.refund_id}
    return _with_state(replace(order, refunded_minor=left_minor, refunds_booked_back=known))


def _after_dispute(order: OrderSnapshot, decision: RecordDispute) -> OrderSnapshot:
    return _with_state(
        replace(
            order,
            dispute=decision.dispute,
            disputes=moved(order.disputes, decision.moves),
            lost_minor=order.lost_minor + decision.lost_minor,
        )
    )


def _after_quarantine(order: OrderSnapshot, decision: Quarantine) -> OrderSnapshot:
    state = order.state if order.granted else OrderState.QUARANTINED
    return replace(order, state=state, quarantine_reason=decision.reason)


def _with_state(order: OrderSnapshot) -> OrderSnapshot:
    """A granted order's state follows from what was refunded and disputed."""
    ended = _access_ended(order)
    if ended is not None:
        return replace(order, state=OrderState(ended))
    return replace(order, state=OrderState.PARTLY_REFUNDED if order.refunded_minor else OrderState.PAID)


_AFTER: Mapping[type, Callable[[OrderSnapshot, Any], OrderSnapshot]] = {
    MarkOpen: _after_open,
    GrantPass: _after_grant,
    ExtendPass: _after_grant,
    MarkExpired: lambda order, _: replace(order, state=OrderState.EXPIRED),
    MarkFailed: lambda order, _: replace(order, state=OrderState.FAILED),
    RecordRefund: _after_refund,
    RefundFailed: _after_failed,
    RecordDispute: _after_dispute,
    EndAccess: lambda order, _: order,
    RestoreAccess: lambda order, _: order,
    Quarantine: _after_quarantine,
    Nothing: lambda order, _: order,
}


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


# How long a payment that cannot be served waits for the host.
PATIENCE_MS = 300_000


def refund_due(
    order: OrderSnapshot,
    pass_: PassSnapshot | None,
    host_away_since_ms: int | None,
    now_ms: int,
    *,
    waits: bool,
    room_closed: bool,
) -> RefundDue | None:
    """What to give back by ourselves because it cannot be served: everything when nothing was used, else the unused
    part; of an unlimited pass that was used, nothing.

    Due at once in a closed room, else 5 minutes after the later of the payment and the host's going away, unless the
    payer chose to wait. Times are wall-clock milliseconds. `pass_` None: paid, not granted yet.
    """
    if (
        not order.granted
        or order.paid_ms is None
        or order.state not in (OrderState.PAID, OrderState.PARTLY_REFUNDED)
    ):
        return None
    if not room_closed:
        if waits or host_away_since_ms is None:
            return None
        if now_ms < max(order.paid_ms, host_away_since_ms) + PATIENCE_MS:
            return None
    amount_minor = unused_of(order, pass_)
    if amount_minor == 0:
        return None
    return RefundDue(amount_minor, order.currency, "room_closed" if room_closed else "host_away")


def unused_of(order: OrderSnapshot, pass_: PassSnapshot | None) -> int:
    """Minor units to give back for what is unused of this order. Time that was bought first is used first. Of what is
    paid for by use nothing is unused: it was never charged."""
    if order.by_use:
        return 0
    own_ms = None if order.seconds is None else order.seconds * 1000
    used_ms = 0 if pass_ is None else max(0, pass_.used_ms - order.granted_before_ms)
    return unused_part(order.amount_minor, own_ms, used_ms, order.refunded_minor, order.currency)


def unused_part(
    amount_minor: int, granted_ms: int | None, used_ms: int, already_refunded_minor: int, currency: str
) -> int:
    """Minor units to give back for the unused part of one order (rounded up), beyond what was refunded before.
    `granted_ms` None (unlimited): all of it when nothing was used, else nothing.
    """
    if used_ms <= 0:
        return max(0, amount_minor - already_refunded_minor)
    if granted_ms is None or used_ms >= granted_ms:
        return 0
    due = round_refund_up(amount_minor * (granted_ms - used_ms), granted_ms, currency)
    return max(0, min(due.amount_minor, amount_minor) - already_refunded_minor)
