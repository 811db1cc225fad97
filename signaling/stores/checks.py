"""The invariants of the books and the meter over everything stored: what `tollroom check` runs."""

from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from sqlalchemy import Select, and_, case, exists, func, literal, or_, select

from signaling.stores.bookchecks import SENTENCES_MAX, ledger_faults
from signaling.stores.database import Database, Transaction
from signaling.stores.earningchecks import earning_faults
from signaling.stores.ledger import is_open_hold
from signaling.stores.orders import BY_USE, UNPAID
from signaling.stores.schema import (
    balances,
    differences,
    disputes,
    invoices,
    orders,
    outbox,
    passes,
    quarantine,
    refunds,
    rooms,
    segments,
    subscriptions,
    transfers,
    windows,
)


@dataclass(frozen=True, slots=True)
class Problem:
    """`broken`: an invariant does not hold, which is a fault of ours. `attention`: a person should look."""

    kind: Literal["broken", "attention"]
    code: str
    subject_id: str
    message: str


Check = Callable[[Transaction], Awaitable[Iterable[Problem]]]


async def run_checks(db: Database) -> list[Problem]:
    """Reads one snapshot; changes nothing."""
    found: list[Problem] = []
    async with db.read() as tx:
        for check in _CHECKS:
            found += await check(tx)
    return found


async def _subjects(tx: Transaction, query: Select[Any]) -> list[str]:
    return [str(row[0]) for row in await tx.execute(query.limit(SENTENCES_MAX))]


async def _broken(tx: Transaction, code: str, message: str, query: Select[Any]) -> list[Problem]:
    return [Problem("broken", code, subject, message) for subject in await _subjects(tx, query)]


async def _ledger_holds(tx: Transaction) -> list[Problem]:
    return [Problem("broken", "ledger", books, sentence) for books, sentence in await ledger_faults(tx)]


async def _earnings_hold(tx: Transaction) -> list[Problem]:
    return [
        Problem("broken", "earnings", subject, sentence) for subject, sentence in await earning_faults(tx)
    ]


def _booked(code: str) -> Any:
    """Sum of an order's transfers with that code."""
    total = select(func.coalesce(func.sum(transfers.c.amount_minor), 0))
    return total.where(transfers.c.subject_id == orders.c.id, transfers.c.code == code).scalar_subquery()


def _paid() -> Any:
    """What an order was paid: its amount, what the holds of its call were charged, or its subscription's invoices."""
    of_order = or_(passes.c.order_id == orders.c.id, passes.c.id == orders.c.extends_pass_id)
    charged = (
        select(func.coalesce(func.sum(windows.c.charged_minor), 0))
        .join(passes, passes.c.id == windows.c.pass_id)
        .where(of_order, windows.c.state == "settled")
        .scalar_subquery()
    )
    billed = (
        select(func.coalesce(func.sum(invoices.c.amount_minor), 0))
        .join(subscriptions, subscriptions.c.id == invoices.c.subscription_id)
        .where(subscriptions.c.order_id == orders.c.id)
        .scalar_subquery()
    )
    return case(
        (orders.c.funding.in_(BY_USE), charged),
        (orders.c.funding == "subscription", billed),
        else_=orders.c.amount_minor,
    )


_MOVED = balances.c.debits_minor - balances.c.credits_minor


async def _windows_hold(tx: Transaction) -> list[Problem]:
    """Nothing is charged above what was held, and a settled pass has no hold left to settle for long."""
    above = select(windows.c.id).where(windows.c.charged_minor > windows.c.held_minor)
    uncharged = select(windows.c.id).where(windows.c.state == "settled", windows.c.charged_minor.is_(None))
    forgotten = (
        select(windows.c.id)
        .join(passes, passes.c.id == windows.c.pass_id)
        .where(passes.c.settled, windows.c.state == "held")
    )
    charged = select(orders.c.id).where(
        orders.c.charged_minor.is_not(None), orders.c.charged_minor != _paid()
    )
    on_its_way = (
        select(passes.c.id)
        .join(balances, balances.c.name == literal("hold:").concat(passes.c.id))
        .where(passes.c.settled, or_(balances.c.credits_held_minor != 0, _MOVED != 0))
    )
    returned = select(windows.c.id).where(
        windows.c.refunded_minor + windows.c.lost_minor > func.coalesce(windows.c.charged_minor, 0)
    )
    return [
        *await _broken(tx, "returned_above_charge", "more went back of a hold than it was charged", returned),
        *await _broken(tx, "charged_above_hold", "more was charged than was held", above),
        *await _broken(tx, "charged_otherwise", "its windows were charged another sum", charged),
        *await _broken(
            tx, "hold_not_empty", "its call is settled, and a wallet's money is left there", on_its_way
        ),
        *await _broken(tx, "settled_without_charge", "settled, and nobody knows for how much", uncharged),
        *await _broken(
            tx, "hold_forgotten", "its call is settled, and it is neither charged nor let go", forgotten
        ),
    ]


async def _orders_are_booked(tx: Transaction) -> list[Problem]:
    """Captured minus refunded minus lost is the order's price with its adjustments."""
    came_in = _booked("payment_captured") + _booked("topup")
    charged = select(orders.c.id).where(orders.c.granted, came_in != _paid())
    kept_back = _booked("refund") - _booked("unrefund")
    given_back = select(orders.c.id).where(kept_back != orders.c.refunded_minor)
    kept_by_banks = _booked("dispute_lost") - _booked("reinstated")
    lost = select(orders.c.id).where(kept_by_banks != orders.c.lost_minor)
    too_much = select(orders.c.id).where(orders.c.refunded_minor + orders.c.lost_minor > _paid())
    uncharged = select(orders.c.id).where(~orders.c.granted, came_in != 0)
    return [
        *await _broken(tx, "payment_not_booked", "the ledger holds another payment than the order", charged),
        *await _broken(tx, "refund_not_booked", "the ledger holds other refunds than the order", given_back),
        *await _broken(tx, "loss_not_booked", "the ledger holds another loss than the order", lost),
        *await _broken(tx, "refunded_too_much", "more went back than came in", too_much),
        *await _broken(tx, "booked_not_granted", "booked as paid, and nothing was granted", uncharged),
    ]


async def _refund_holds_are_awaited(tx: Transaction) -> list[Problem]:
    """Credits are held for a refund of a top-up only while it is on its way, or was made and is about to be booked."""
    of_refund = or_(
        transfers.c.id == literal("refund_hold:").concat(refunds.c.id),
        transfers.c.id == literal("refund_hold_bonus:").concat(refunds.c.id),
    )
    awaited = exists().where(of_refund, refunds.c.state != "failed")
    left = select(transfers.c.id).where(transfers.c.code == "refund_hold", is_open_hold(), ~awaited)
    return await _broken(tx, "refund_hold_left", "credits are held for a refund that is not on its way", left)


async def _credits_wait_for_disputes(tx: Transaction) -> list[Problem]:
    """Credits of a top-up are frozen only while a bank looks into it, and of what was paid for no more than that is about."""
    of_money = and_(
        transfers.c.code == "dispute_hold", transfers.c.credit == "stripe_clearing", is_open_hold()
    )
    about = (
        select(func.coalesce(func.sum(disputes.c.amount_minor), 0))
        .where(disputes.c.subject_id == transfers.c.subject_id, disputes.c.state == "open")
        .scalar_subquery()
    )
    is_open = exists().where(disputes.c.subject_id == transfers.c.subject_id, disputes.c.state == "open")
    left = select(transfers.c.id).where(transfers.c.code == "dispute_hold", is_open_hold(), ~is_open)
    above = (
        select(transfers.c.subject_id)
        .where(of_money)
        .group_by(transfers.c.subject_id)
        .having(func.sum(transfers.c.amount_minor) > about)
    )
    return [
        *await _broken(
            tx, "dispute_hold_left", "credits are frozen, and no bank looks into their payment", left
        ),
        *await _broken(tx, "frozen_above_dispute", "more credits are frozen than the bank looks into", above),
    ]


async def _money_and_access_agree(tx: Transaction) -> list[Problem]:
    has_pass = exists().where(passes.c.order_id == orders.c.id)
    granted = and_(orders.c.granted, orders.c.extends_pass_id.is_(None), orders.c.purpose != "topup")
    without_pass = select(orders.c.id).where(granted, ~has_pass)
    paid_for = exists().where(orders.c.id == passes.c.order_id, orders.c.granted)
    unpaid = select(passes.c.id).where(~paid_for)
    ungranted = select(orders.c.id).where(orders.c.state == "paid", ~orders.c.granted)
    return [
        *await _broken(tx, "paid_without_pass", "paid, and no pass was made", without_pass),
        *await _broken(tx, "pass_without_payment", "a pass that nobody paid for", unpaid),
        *await _broken(tx, "paid_not_granted", "paid, and nothing was granted", ungranted),
    ]


async def _passes_hold(tx: Transaction) -> list[Problem]:
    overused = select(passes.c.id).where(passes.c.used_ms > passes.c.granted_ms)
    open_segments = select(segments.c.pass_id).where(segments.c.closed_ms.is_(None))
    doubled = open_segments.group_by(segments.c.pass_id).having(func.count() > literal(1))
    negative = select(segments.c.id).where(segments.c.used_ms < 0)
    return [
        *await _broken(tx, "overused", "more time is used than was granted", overused),
        *await _broken(tx, "two_open_segments", "counted twice at the same time", doubled),
        *await _broken(tx, "negative_time", "a stretch of time below zero", negative),
    ]


async def _books_are_apart(tx: Transaction) -> list[Problem]:
    """Mode and account are those of the room, all the way down."""

    def differ(table: Any, parent: Any, on: Any) -> Select[Any]:
        other = or_(table.c.mode != parent.c.mode, table.c.account != parent.c.account)
        return select(table.c.id).join(parent, on).where(other)

    mixed = [
        differ(orders, rooms, orders.c.room_id == rooms.c.id),
        differ(passes, orders, passes.c.order_id == orders.c.id),
        differ(transfers, orders, transfers.c.subject_id == orders.c.id),
    ]
    found: list[Problem] = []
    for query in mixed:
        found += await _broken(tx, "books_mixed", "of another mode or account than what it belongs to", query)
    return found


async def _seats_are_released(tx: Transaction) -> list[Problem]:
    kept = select(orders.c.id).where(
        orders.c.reserved_until_s.is_not(None), orders.c.state.not_in([state.value for state in UNPAID])
    )
    return await _broken(tx, "seat_kept", "holds a seat, and is not waiting for a payment", kept)


_said = differences.c.kind + ": " + differences.c.note


async def _left_to_people(tx: Transaction) -> list[Problem]:
    queries: Sequence[tuple[str, Select[Any]]] = (
        ("outbox_failed", select(outbox.c.id, outbox.c.note).where(outbox.c.state == "failed")),
        ("refund_failed", select(refunds.c.id, refunds.c.order_id).where(refunds.c.state == "failed")),
        (
            "differs_from_service",
            select(differences.c.subject_id, _said).where(differences.c.state == "open"),
        ),
        ("quarantined", select(quarantine.c.subject_id, quarantine.c.reason)),
    )
    return [
        Problem("attention", code, str(row[0]), str(row[1] or ""))
        for code, query in queries
        for row in await tx.execute(query)
    ]


_CHECKS: tuple[Check, ...] = (
    _ledger_holds,
    _earnings_hold,
    _orders_are_booked,
    _refund_holds_are_awaited,
    _credits_wait_for_disputes,
    _money_and_access_agree,
    _passes_hold,
    _windows_hold,
    _books_are_apart,
    _seats_are_released,
    _left_to_people,
)
