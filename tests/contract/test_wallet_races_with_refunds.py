"""Credits asked back while calls begin on them: together they never take more than there is."""

import asyncio
import os

from metering import accounts, chart
from signaling.clock import Clock, SystemClock
from signaling.errors import ApiError
from signaling.notices import Notices
from signaling.payments import refunds, topuprefunds
from signaling.payments.context import Context
from signaling.payments.settings import PaymentsSettings
from signaling.payments.wallets import credits_of
from signaling.stores.checks import run_checks
from signaling.stores.database import Database
from signaling.stores.ledger import balance, require_posted
from signaling.stores.orders import get_order
from signaling.stores.refunds import refunds_of, set_refund

from .rows import NOW_TEXT
from .test_wallet_races import KEY, a_wallet, end, enter


def context(db: Database) -> Context:
    """Nobody is asked for anything here: refunds are only held."""
    clock: Clock = SystemClock()
    settings = PaymentsSettings(mode="sandbox", account="sandbox", public_url="http://localhost:8080")
    service: object = None
    return Context(db, clock, os.urandom, Notices(), service, settings)  # type: ignore[arg-type]


async def asks(db: Database, number: int, minor: int) -> str | None:
    """Its id, or None when that much is not there."""
    refund_id = f"rfd_{number:016}"
    body = refunds.NewRefund(refund_id=refund_id, amount_minor=minor, reason="requested")
    try:
        await refunds.ask(context(db), "ord_topup", body, by="a test")
    except ApiError as error:
        if error.code in {"too_much", "nothing_left"}:
            return None
        raise
    return refund_id


async def fails(db: Database, refund_id: str) -> None:
    async def work(tx):
        await set_refund(tx, refund_id, "failed", None)
        await topuprefunds.release(tx, refund_id, NOW_TEXT)

    await db.write(work)


async def is_booked(db: Database, refund_id: str) -> None:
    """As the fact that names it does."""

    async def work(tx):
        order = await get_order(tx, "ord_topup")
        assert order is not None
        held = await topuprefunds.holds_of(tx, order, [refund_id])
        minor = sum(one.amount_minor for one in held)
        gone = chart.Gone(refund_id, "refund", minor, 0, 0)
        available_minor = (await credits_of(tx, KEY)).available_minor
        moved = chart.topup_gone(gone, "user_1", available_minor, "eur", held)
        await require_posted(tx, topuprefunds.entries_of(order, moved), NOW_TEXT)

    await db.write(work)


async def test_calls_and_refunds_at_once_share_what_is_there(db: Database):
    await a_wallet(db, 1090)
    both = await asyncio.gather(
        *(asks(db, number, 150) for number in range(6)), *(enter(db, number) for number in range(6))
    )
    asked = [one for one in both if one is not None and one.startswith("rfd_")]
    inside = [one for one in both if one is not None and one.startswith("pass_")]
    async with db.read() as tx:
        found = await credits_of(tx, KEY)
        known = await refunds_of(tx, "ord_topup")
    assert sorted(asked) == sorted(one.id for one in known)
    assert found.held_minor + found.available_minor == 1090
    assert found.available_minor < 150, "as long as something fits, somebody gets it"

    for refund_id in asked[1:]:
        await is_booked(db, refund_id)
    for refund_id in [*asked[:1], *asked[:1]]:
        await fails(db, refund_id)
    await asyncio.gather(*(end(db, pass_id) for pass_id in inside))
    async with db.read() as tx:
        found = await credits_of(tx, KEY)
        earned = await balance(tx, "sandbox", "sandbox", accounts.earned_pending("room_1"), "eur")
    assert (found.held_minor, found.owed_minor) == (0, 0)
    assert found.available_minor + earned.available_minor + 150 * len(asked[1:]) == 1090
    broken = [one.code for one in await run_checks(db) if one.kind == "broken"]
    assert set(broken) <= {"refund_not_booked"}, "the order's own sum is the payment's to move"


async def test_the_same_refund_asked_many_times_at_once_is_held_once(db: Database):
    await a_wallet(db, 1000)
    asked = await asyncio.gather(*(asks(db, 1, 600) for _ in range(5)))
    assert set(asked) == {"rfd_0000000000000001"}
    async with db.read() as tx:
        found = await credits_of(tx, KEY)
    assert (found.available_minor, found.held_minor) == (400, 600)
    assert [one for one in await run_checks(db) if one.kind == "broken"] == []


async def test_a_hold_that_was_forgotten_is_found(db: Database):
    await a_wallet(db, 1000)
    refund_id = await asks(db, 1, 600)
    assert refund_id is not None
    await db.write(lambda tx: set_refund(tx, refund_id, "failed", None))
    assert "refund_hold_left" in [one.code for one in await run_checks(db)]
