"""Money that is written once, whatever repeats it."""

import asyncio
from dataclasses import replace

import pytest
from sqlalchemy import select

from metering.chart import Sale, WalletWindow, sold, topped_up, window_held, window_settled
from metering.errors import MeterError
from signaling.stores import ledger, refunds, schema
from signaling.stores.database import Database

from .rows import NOW_TEXT, add_paid, add_room


def _entry(**values: object) -> ledger.Entry:
    (transfer,) = sold(Sale("ord_1", "ana", 1500, "eur"))
    return ledger.Entry(replace(transfer, **values), "sandbox", "sandbox", "ord_1")  # type: ignore[arg-type]


async def _post(db: Database, entry: ledger.Entry) -> str:
    return await db.write(lambda tx: ledger.post_transfer(tx, entry, NOW_TEXT))


async def test_a_transfer_is_booked_once(db: Database):
    assert await _post(db, _entry()) == "created"
    assert await _post(db, _entry()) == "exists"
    assert await _post(db, _entry(amount_minor=1)) == "exists_different"
    async with db.read() as tx:
        assert await ledger.entries(tx) == [_entry()]


@pytest.mark.parametrize("wrong", [{"amount_minor": 0}, {"debit": "earned_pending:ana"}, {"kind": "post"}])
async def test_what_is_no_transfer_is_not_booked(db: Database, wrong: dict[str, object]):
    with pytest.raises(MeterError):
        await _post(db, _entry(**wrong))


async def _post_all(db: Database, transfers: object) -> str:
    rows = [ledger.Entry(one, "sandbox", "sandbox", "ana") for one in transfers]  # type: ignore[attr-defined]
    return await db.write(lambda tx: ledger.post_all(tx, rows, NOW_TEXT))


async def _balance(db: Database, name: str) -> ledger.Balance:
    async with db.read() as tx:
        return await ledger.balance(tx, "sandbox", "sandbox", name, "eur")


def _window(number: int, held_minor: int = 30) -> WalletWindow:
    return WalletWindow(f"w{number}", "pass_1", "ana", held_minor, "eur", expires_at_s=60)


async def test_spends_at_the_same_time_never_overdraw_a_wallet(db: Database):
    await _post_all(db, topped_up("ord_1", "ana", 100, 0, "eur"))
    answers = await asyncio.gather(*(_post_all(db, window_held(_window(number))) for number in range(8)))
    assert sorted(answers) == ["created"] * 3 + ["exceeds"] * 5
    assert (await _balance(db, "wallet:ana")).available_minor == 10


async def test_a_settled_stay_pays_its_sale_from_its_windows(db: Database):
    await _post_all(db, topped_up("ord_1", "ana", 100, 0, "eur"))
    await _post_all(db, window_held(_window(1)))
    sale = Sale("pass_1", "bo", 20, "eur", fee_minor=2, paid_by="wallet:ana")
    linked = (*window_settled(_window(1), 20), *sold(sale, "hold:pass_1"))
    assert await _post_all(db, linked) == "created"
    assert await _post_all(db, linked) == "exists"
    assert await _post_all(db, window_settled(_window(1), 0)) == "resolved"
    assert (await _balance(db, "wallet:ana")).available_minor == 80
    assert (await _balance(db, "hold:pass_1")).available_minor == 0
    assert (await _balance(db, "earned_pending:bo")).available_minor == 18


async def test_a_booking_is_refused_whole(db: Database):
    await _post_all(db, topped_up("ord_1", "ana", 100, 0, "eur"))
    linked = (*window_held(_window(1, 60)), *window_held(_window(2, 60)))
    assert await _post_all(db, linked) == "exceeds"
    assert (await _balance(db, "wallet:ana")).available_minor == 100


async def test_a_hold_that_nobody_settles_expires(db: Database):
    await _post_all(db, topped_up("ord_1", "ana", 100, 0, "eur"))
    await _post_all(db, window_held(_window(1)))
    assert await db.write(lambda tx: ledger.expire_holds(tx, 59, NOW_TEXT)) == []
    assert await db.write(lambda tx: ledger.expire_holds(tx, 60, NOW_TEXT)) == ["hold:w1"]
    assert await db.write(lambda tx: ledger.expire_holds(tx, 60, NOW_TEXT)) == []
    assert (await _balance(db, "wallet:ana")).available_minor == 100


async def test_a_hold_says_of_itself_that_it_is_resolved(db: Database):
    """Open ones are found by it among all that ever were."""
    await _post_all(db, topped_up("ord_1", "ana", 100, 0, "eur"))
    for number in (1, 2, 3):
        await _post_all(db, window_held(_window(number)))
    await _post_all(db, window_settled(_window(1), 20))
    await _post_all(db, (*window_held(_window(4, 5)), *window_settled(_window(4, 5), 0)))
    resolved = (
        select(schema.transfers.c.id).where(schema.transfers.c.resolved).order_by(schema.transfers.c.id)
    )
    async with db.read() as tx:
        assert [one.transfer.id for one in await ledger.lapsed_holds(tx, 60)] == ["hold:w2", "hold:w3"]
        assert (await tx.execute(resolved)).scalars().all() == ["hold:w1", "hold:w4"]
    await db.write(lambda tx: ledger.expire_holds(tx, 60, NOW_TEXT))
    async with db.read() as tx:
        assert (await tx.execute(resolved)).scalars().all() == [f"hold:w{n}" for n in (1, 2, 3, 4)]


async def test_a_refund_is_recorded_once_and_counts_unless_it_failed(db: Database):
    await add_room(db)
    await add_paid(db)
    refund = refunds.Refund("r1", "ord_1", 700, "eur", "kicked", "asked", None, NOW_TEXT)
    assert await db.write(lambda tx: refunds.insert_refund(tx, refund)) is True
    assert await db.write(lambda tx: refunds.insert_refund(tx, refund)) is False
    async with db.read() as tx:
        assert await refunds.asked_minor(tx, "ord_1") == 700
    await db.write(lambda tx: refunds.set_refund(tx, "r1", "failed", "re_1"))
    async with db.read() as tx:
        assert await refunds.asked_minor(tx, "ord_1") == 0
        (found,) = await refunds.refunds_of(tx, "ord_1")
    assert (found.state, found.stripe_refund_id) == ("failed", "re_1")


async def _begin(db: Database, key: str = "k", **params: object) -> refunds.StripeCall:
    return await db.write(
        lambda tx: refunds.begin_call(
            tx, key=key, operation="op", subject_id="ord_1", params=params, now_s=100, retry_at_s=120
        )
    )


async def test_a_repeated_call_sends_the_parameters_that_were_stored(db: Database):
    first = await _begin(db, amount=1)
    assert await _begin(db, amount=2) == first


async def test_a_call_without_outcome_is_due_when_its_time_comes(db: Database):
    call = await _begin(db)
    async with db.read() as tx:
        assert await refunds.open_calls(tx, 119, "op") == []
        assert await refunds.open_calls(tx, 120, "op") == [call]
        assert await refunds.open_calls(tx, 120, "other") == []
    await db.write(lambda tx: refunds.postpone_call(tx, call, 200, "no answer"))
    async with db.read() as tx:
        (postponed,) = await refunds.open_calls(tx, 200, "op")
    assert (postponed.attempts, postponed.state) == (1, "unknown")
    await db.write(lambda tx: refunds.set_call(tx, "k", "done", result_id="cs_1"))
    async with db.read() as tx:
        assert await refunds.open_calls(tx, 10_000, "op") == []
        (done,) = await refunds.calls_of(tx, "ord_1", "op")
    assert (done.state, done.result_id) == ("done", "cs_1")


async def test_a_call_whose_outcome_is_known_is_not_opened_again_by_who_was_slower(db: Database):
    """Two looked at the same call; one found what came of it, the other lost the line."""
    call = await _begin(db)
    await db.write(lambda tx: refunds.close_open_calls(tx, "ord_1", "cs_1"))
    await db.write(lambda tx: refunds.postpone_call(tx, call, 200, "no answer"))
    async with db.read() as tx:
        assert await refunds.open_calls(tx, 10_000, "op") == []
        (done,) = await refunds.calls_of(tx, "ord_1", "op")
    assert (done.state, done.result_id, done.attempts) == ("done", "cs_1", 0)
