"""What went back of one sale among several of its order: of a window of a call, or of an invoice of a subscription.

The books of an order that is one sale move in `apply.py`, by what `metering.orders` decides, in the same sequence.
"""

from dataclasses import dataclass

from metering.disputes import KnownDispute, MoveDispute, SeenDispute, lost_by, moved, to_give_back, to_move
from metering.refunds import RecordRefund, Step, booked_after, to_book
from signaling.payments import seenrefunds
from signaling.payments.port import RefundFact
from signaling.stores import disputes, earnings
from signaling.stores.database import Transaction


@dataclass(frozen=True, slots=True)
class Sold:
    """One sale as it is booked, minor units."""

    sale_id: str
    order_id: str
    paid_minor: int
    refunded_minor: int


@dataclass(frozen=True, slots=True)
class Seen:
    """Its payment as the service has it. `refunded_minor`: as the charge says it."""

    refunded_minor: int
    refunds: tuple[RefundFact, ...]
    disputes: tuple[SeenDispute, ...]


@dataclass(frozen=True, slots=True)
class GoneBack:
    """What was booked, and how the sale stands by it."""

    refunds: tuple[Step, ...]
    moves: tuple[MoveDispute, ...]
    refunded_minor: int
    disputes: tuple[KnownDispute, ...]

    @property
    def more_lost_minor(self) -> int:
        """Below zero: less."""
        return lost_by(self.moves)


async def book(tx: Transaction, sold: Sold, seen: Seen, now: earnings.Now) -> GoneBack:
    """What banks give back of earlier losses, then refunds: a lost dispute takes at most what they have left. Raises
    BooksError."""
    await seenrefunds.note_refunds(tx, sold.order_id, seen.refunds, now.text)
    known = await disputes.disputes_of(tx, sold.sale_id)
    lost_minor = sum(one.lost_minor for one in known)
    returned = to_give_back(known, seen.disputes)
    await earnings.move_disputes(tx, sold.sale_id, returned, sold.refunded_minor + lost_minor, now)
    known, lost_minor = moved(known, returned), lost_minor + lost_by(returned)
    steps = to_book(
        sold.refunded_minor,
        sold.paid_minor - lost_minor,
        seen.refunded_minor,
        seenrefunds.plain(seen.refunds),
        await earnings.refunds_booked_back(tx, sold.order_id),
    )
    refunded_minor = sold.refunded_minor
    for step in steps:
        await _book_refund(tx, sold.sale_id, step, refunded_minor + lost_minor, now)
        refunded_minor = booked_after(refunded_minor, (step,))
    gone_minor = refunded_minor + lost_minor
    moves = to_move(known, seen.disputes, sold.paid_minor - gone_minor)
    await earnings.move_disputes(tx, sold.sale_id, moves, gone_minor, now)
    return GoneBack(tuple(steps), (*returned, *moves), refunded_minor, moved(known, moves))


async def _book_refund(tx: Transaction, sale_id: str, step: Step, gone_minor: int, now: earnings.Now) -> None:
    if isinstance(step, RecordRefund):
        await earnings.book_refund(tx, sale_id, gone_minor, step.amount_minor_delta, now)
        return
    await earnings.book_failed_refund(tx, step.refund_id, sale_id, gone_minor, step.amount_minor, now)
