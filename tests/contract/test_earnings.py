"""Earnings and the ledger say the same, whatever happens to a sale."""

from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from sqlalchemy import update

from metering.chart import Sale
from metering.disputes import DisputeState, SeenDispute, lost_by, to_move
from signaling.stores import disputes, earnings, ledger
from signaling.stores.database import Database, Transaction
from signaling.stores.earningchecks import earning_faults
from signaling.stores.earnings import About, Now
from signaling.stores.schema import earnings as rows

DAY_S = 86_400
NOW = Now(1000, "2026-01-01T00:00:00.000Z")
DUE = Now(1000 + 15 * DAY_S, "2026-01-16T00:00:00.000Z")
SALE = Sale("ord_1", "ana", 1000, "eur", fee_minor=100)
ABOUT = About("sandbox", "sandbox", "ord_1", "room_1", charge_id="ch_1")

Booking = Callable[..., Awaitable[Any]]


async def _do(db: Database, booking: Booking, *given: Any, **named: Any) -> Any:
    return await db.write(lambda tx: booking(tx, *given, **named))


async def _sent(sold: Database, minor: int) -> None:
    """It is due, and so much of it was paid out."""
    async with sold.read() as tx:
        (row,) = await earnings.due(tx, "sandbox", "sandbox", DUE.s)
    await _do(sold, earnings.make_available, row, DUE)
    sent = ledger.Transfer("payout:p", "earned_available:ana", "stripe_clearing", minor, "eur", "payout")
    await _do(sold, ledger.require_posted, [ledger.Entry(sent, "sandbox", "sandbox", "ord_1")], DUE.text)
    await _do(sold, earnings.set_earning, "ord_1", paid_minor=minor)


async def _stands(db: Database) -> tuple[str, int, int, int, int, int]:
    """State; pending, available, frozen, owed back, and left of the sale's platform fee."""
    async with db.read() as tx:
        row = await earnings.get_earning(tx, "ord_1")
        assert row is not None
        kinds = ("earned_pending", "earned_available", "dispute_reserve", "host_debt")
        kept = [await ledger.balance(tx, "sandbox", "sandbox", f"{kind}:ana", "eur") for kind in kinds]
        fee = await ledger.balance(tx, "sandbox", "sandbox", "platform_fee", "eur")
        assert await earning_faults(tx) == []
    pending, available, frozen, debt = (one.minor for one in kept)
    return row.state, -pending, -available, -frozen, debt, -fee.minor


@pytest.fixture
async def sold(db: Database) -> Database:
    await _do(db, earnings.book_sale, SALE, ABOUT, NOW)
    return db


async def test_a_sale_is_earned_once_and_due_later(sold: Database):
    await _do(sold, earnings.book_sale, SALE, ABOUT, NOW)
    assert await _stands(sold) == ("pending", 900, 0, 0, 0, 100)
    async with sold.read() as tx:
        assert await earnings.due(tx, "sandbox", "sandbox", DUE.s - 1) == []
        (row,) = await earnings.due(tx, "sandbox", "sandbox", DUE.s)
    assert (row.gross_minor, row.net_minor, row.charge_id) == (1000, 900, "ch_1")
    await _do(sold, earnings.make_available, row, DUE)
    assert await _stands(sold) == ("available", 0, 900, 0, 0, 100)


async def test_a_sale_of_nothing_is_no_sale(db: Database):
    await _do(db, earnings.book_sale, Sale("ord_1", "ana", 0, "eur"), ABOUT, NOW)
    async with db.read() as tx:
        assert await earnings.get_earning(tx, "ord_1") is None


async def test_what_is_not_booked_cannot_go_back(db: Database):
    with pytest.raises(ledger.BooksError):
        await _do(db, earnings.book_refund, "ord_1", 0, 100, NOW)


async def test_refunds_take_each_part_in_proportion(sold: Database):
    await _do(sold, earnings.book_refund, "ord_1", 0, 333, NOW)
    assert await _stands(sold) == ("pending", 600, 0, 0, 0, 67)
    await _do(sold, earnings.book_refund, "ord_1", 333, 667, NOW)
    assert await _stands(sold) == ("pending", 0, 0, 0, 0, 0)


async def test_what_was_sent_already_is_owed_back(sold: Database):
    async with sold.read() as tx:
        (row,) = await earnings.due(tx, "sandbox", "sandbox", DUE.s)
    await _do(sold, earnings.make_available, row, DUE)
    entry = ledger.Entry(
        ledger.Transfer("payout:p", "earned_available:ana", "stripe_clearing", 800, "eur", "payout"),
        "sandbox",
        "sandbox",
        "ord_1",
    )
    await _do(sold, ledger.require_posted, [entry], DUE.text)
    await _do(sold, earnings.set_earning, "ord_1", paid_minor=800)
    await _do(sold, earnings.book_refund, "ord_1", 0, 1000, DUE)
    assert await _stands(sold) == ("available", 0, 0, 0, 800, 0)
    await _do(sold, earnings.book_failed_refund, "re_1", "ord_1", 1000, 1000, DUE)
    assert await _stands(sold) == ("available", 0, 100, 0, 0, 100)


async def test_a_refund_that_failed_can_be_booked_again(sold: Database):
    for attempt in range(3):
        await _do(sold, earnings.book_refund, "ord_1", 0, 500, NOW)
        await _do(sold, earnings.book_failed_refund, f"re_{attempt}", "ord_1", 500, 500, NOW)
        assert await _stands(sold) == ("pending", 900, 0, 0, 0, 100)
    async with sold.read() as tx:
        assert await earnings.refunds_booked_back(tx, "ord_1") == {"re_0", "re_1", "re_2"}


def _is(state: DisputeState, amount_minor: int, dispute_id: str = "dp_1") -> SeenDispute:
    return SeenDispute(dispute_id, state, amount_minor, amount_minor if state == "lost" else 0)


async def _hears(db: Database, *seen: SeenDispute, gone_minor: int = 0, now: Now = NOW) -> int:
    """The sale's disputes as they are at the bank; how much of it they have taken by now."""

    async def work(tx: Transaction) -> int:
        known = await disputes.disputes_of(tx, "ord_1")
        lost_minor = sum(one.lost_minor for one in known)
        moves = to_move(known, seen, 1000 - gone_minor - lost_minor)
        await earnings.move_disputes(tx, "ord_1", moves, gone_minor + lost_minor, now)
        return lost_minor + lost_by(moves)

    return await db.write(work)


async def test_a_dispute_freezes_and_a_won_one_gives_back(sold: Database):
    await _do(sold, earnings.book_refund, "ord_1", 0, 100, NOW)
    for _ in range(2):
        await _hears(sold, _is("open", 900), gone_minor=100)
        assert await _stands(sold) == ("pending", 0, 0, 810, 0, 90)
    for _ in range(2):
        await _hears(sold, _is("won", 900), gone_minor=100)
        assert await _stands(sold) == ("pending", 810, 0, 0, 0, 90)
    await _hears(sold, _is("open", 900), gone_minor=100)
    assert await _stands(sold) == ("pending", 810, 0, 0, 0, 90), "an older fact"


async def test_what_is_not_frozen_is_due_and_a_late_win_gives_back_what_is_due(sold: Database):
    await _hears(sold, _is("open", 333))
    assert await _stands(sold) == ("pending", 600, 0, 300, 0, 100)
    async with sold.read() as tx:
        (row,) = await earnings.due(tx, "sandbox", "sandbox", DUE.s)
    await _do(sold, earnings.make_available, row, DUE)
    assert await _stands(sold) == ("available", 0, 600, 300, 0, 100)
    await _hears(sold, _is("won", 333), now=DUE)
    assert await _stands(sold) == ("available", 0, 900, 0, 0, 100)


async def test_a_lost_dispute_takes_the_rest(sold: Database):
    await _do(sold, earnings.book_refund, "ord_1", 0, 100, NOW)
    await _hears(sold, _is("open", 900), gone_minor=100)
    assert await _hears(sold, _is("lost", 900), gone_minor=100) == 900
    assert await _stands(sold) == ("pending", 0, 0, 0, 0, 0)


@pytest.mark.parametrize("is_frozen", [True, False])
async def test_a_lost_dispute_about_a_part_takes_that_part_of_everything(sold: Database, is_frozen: bool):
    if is_frozen:
        await _hears(sold, _is("open", 333))
    for _ in range(2):
        assert await _hears(sold, _is("lost", 333)) == 333
        assert await _stands(sold) == ("pending", 600, 0, 0, 0, 67)
    await _do(sold, earnings.book_refund, "ord_1", 333, 667, NOW)
    assert await _stands(sold) == ("pending", 0, 0, 0, 0, 0)


async def test_a_refund_that_comes_back_during_a_dispute_stays_with_the_payee(sold: Database):
    await _do(sold, earnings.book_refund, "ord_1", 0, 300, NOW)
    await _hears(sold, _is("open", 700), gone_minor=300)
    assert await _stands(sold) == ("pending", 0, 0, 630, 0, 70)
    await _do(sold, earnings.book_failed_refund, "re_1", "ord_1", 300, 300, NOW)
    assert await _stands(sold) == ("pending", 270, 0, 630, 0, 100)
    assert await _hears(sold, _is("lost", 700)) == 700
    assert await _stands(sold) == ("pending", 270, 0, 0, 0, 30)


async def test_each_of_several_disputes_has_its_part_and_its_end(sold: Database):
    first, second = _is("open", 400), _is("open", 600, "dp_2")
    await _hears(sold, first)
    assert await _stands(sold) == ("pending", 540, 0, 360, 0, 100)
    await _hears(sold, second, first)
    assert await _stands(sold) == ("pending", 0, 0, 900, 0, 100)
    assert await _hears(sold, _is("lost", 600, "dp_2"), first) == 600
    assert await _stands(sold) == ("pending", 0, 0, 360, 0, 40)
    assert await _hears(sold, _is("won", 400), _is("lost", 600, "dp_2")) == 600
    assert await _stands(sold) == ("pending", 360, 0, 0, 0, 40)
    assert await _hears(sold, _is("lost", 900, "dp_3")) == 1000, "never more than the sale"
    assert await _stands(sold) == ("pending", 0, 0, 0, 0, 0)


async def test_what_a_bank_gives_back_after_the_loss_is_the_payees_again(sold: Database):
    kept = [_is("lost", 400)]
    assert await _hears(sold, *kept) == 400
    assert await _stands(sold) == ("pending", 540, 0, 0, 0, 60)
    for _ in range(2):
        assert await _hears(sold, SeenDispute("dp_1", "lost", 400, 100, 300)) == 100
        assert await _stands(sold) == ("pending", 810, 0, 0, 0, 90)
    assert await _hears(sold, *kept) == 100, "an older fact"
    assert await _hears(sold, SeenDispute("dp_1", "won", 400, returned_minor=400)) == 0
    assert await _stands(sold) == ("pending", 900, 0, 0, 0, 100)


async def test_sums_that_had_gone_and_came_back_can_go_again(sold: Database):
    for number in range(3):
        dispute = f"dp_{number}"
        assert await _hears(sold, _is("lost", 400, dispute)) == 400
        await _do(sold, earnings.book_refund, "ord_1", 400, 100, NOW)
        assert await _hears(sold, SeenDispute(dispute, "lost", 400, 0, 400), gone_minor=100) == 0
        await _do(sold, earnings.book_refund, "ord_1", 100, 300, NOW)
        await _do(sold, earnings.book_refund, "ord_1", 400, 100, NOW)
        assert await _stands(sold) == ("pending", 450, 0, 0, 0, 50)
        await _do(sold, earnings.book_failed_refund, f"re_{number}", "ord_1", 500, 500, NOW)
        assert await _stands(sold) == ("pending", 900, 0, 0, 0, 100)


async def test_what_comes_back_pays_what_the_payee_owes_and_waits_with_an_open_dispute(sold: Database):
    await _sent(sold, 700)
    await _hears(sold, _is("lost", 600))
    assert await _stands(sold) == ("available", 0, 0, 0, 340, 40)
    await _hears(sold, SeenDispute("dp_1", "lost", 600, 0, 600), _is("open", 100, "dp_2"))
    assert await _stands(sold) == ("available", 0, 110, 90, 0, 100)


async def test_a_refund_during_a_dispute_takes_first_what_is_not_frozen(sold: Database):
    await _hears(sold, _is("open", 400))
    await _do(sold, earnings.book_refund, "ord_1", 0, 700, NOW)
    assert await _stands(sold) == ("pending", 0, 0, 270, 0, 30)
    assert await _hears(sold, _is("lost", 400), gone_minor=700) == 300
    assert await _stands(sold) == ("pending", 0, 0, 0, 0, 0)


async def test_of_what_was_sent_a_lost_part_is_owed_and_what_comes_back_meanwhile_is_frozen(sold: Database):
    await _sent(sold, 900)
    await _hears(sold, _is("open", 400))
    assert await _stands(sold) == ("available", 0, 0, 0, 0, 100)
    async with sold.read() as tx:
        row = await earnings.get_earning(tx, "ord_1")
    assert row is not None
    back = ledger.Transfer("reversal:p:0", "stripe_clearing", "earned_available:ana", 500, "eur", "reversal")
    await _do(sold, ledger.require_posted, [ledger.Entry(back, "sandbox", "sandbox", "ord_1")], DUE.text)
    await _do(sold, earnings.came_back, row, 500, DUE)
    assert await _stands(sold) == ("available", 0, 140, 360, 0, 100)
    await _hears(sold, _is("lost", 400))
    assert await _stands(sold) == ("available", 0, 140, 0, 0, 60)
    await _do(sold, earnings.set_earning, "ord_1", paid_minor=540)
    sent = ledger.Transfer("payout:q", "earned_available:ana", "stripe_clearing", 140, "eur", "payout")
    await _do(sold, ledger.require_posted, [ledger.Entry(sent, "sandbox", "sandbox", "ord_1")], DUE.text)
    await _hears(sold, _is("lost", 100, "dp_2"))
    assert await _stands(sold) == ("available", 0, 0, 0, 90, 50)


@pytest.mark.parametrize(
    "damage",
    [
        {"reversed_minor": 1},
        {"net_minor": 899},
        {"fee_minor": 101},
        {"state": "available"},
        {"payee": "bo"},
        {"paid_minor": 901},
        {"withheld_minor": 5},
        {"disputed_minor": 1},
    ],
)
async def test_rows_that_say_something_else_than_the_books_are_found(sold: Database, damage: dict[str, Any]):
    await sold.write(lambda tx: tx.execute(update(rows).values(damage)))
    async with sold.read() as tx:
        assert await earning_faults(tx)
