"""Money that is written once, whatever repeats it."""

import pytest

from metering.ledger import Transfer, payment_captured
from signaling.stores import ledger, refunds
from signaling.stores.database import Database

from .rows import NOW_TEXT, add_paid, add_room


def _entry(**values: object) -> ledger.Entry:
    transfer = payment_captured("ord_1", "room_1", 1500, "eur")
    fields = {
        name: getattr(transfer, name)
        for name in ("id", "debit", "credit", "amount_minor", "currency", "code")
    }
    return ledger.Entry(Transfer(**fields | values), "sandbox", "sandbox", "ord_1")  # type: ignore[arg-type]


async def _post(db: Database, entry: ledger.Entry) -> str:
    return await db.write(lambda tx: ledger.post_transfer(tx, entry, NOW_TEXT))


async def test_a_transfer_is_booked_once(db: Database):
    assert await _post(db, _entry()) == "created"
    assert await _post(db, _entry()) == "exists"
    assert await _post(db, _entry(amount_minor=1)) == "exists_different"
    async with db.read() as tx:
        assert await ledger.entries(tx) == [_entry()]


@pytest.mark.parametrize("wrong", [{"amount_minor": 0}, {"debit": "room_earnings:room_1"}, {"kind": "hold"}])
async def test_what_is_no_transfer_is_not_booked(db: Database, wrong: dict[str, object]):
    with pytest.raises(ValueError, match="two accounts"):
        await _post(db, _entry(**wrong))


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
