"""Calls that are paid for by use: what was held, charged and booked is checked."""

from typing import Any

import pytest
from sqlalchemy import insert, update

from metering.chart import Sale
from metering.funding import Ask
from signaling.stores import earnings, passes, windows
from signaling.stores.checks import run_checks
from signaling.stores.database import Database
from signaling.stores.earnings import About, Now
from signaling.stores.schema import balances, orders
from signaling.stores.schema import passes as passes_table
from signaling.stores.schema import segments as segments_table
from signaling.stores.schema import windows as windows_table

from .rows import NOW_TEXT, add_paid, add_room, add_segment, add_session

WINDOW = windows.window_id("pass_1", 1)
NOW = Now(1000, NOW_TEXT)


@pytest.fixture
async def call(db: Database) -> Database:
    """Settled: 15 of 20 euros were charged."""
    await add_room(db)
    await add_paid(db, funding="metered", amount_minor=2000, charged_minor=1500, payee="ana")
    await add_session(db, ended_at=NOW_TEXT, end_code="left")
    await add_segment(db, closed_ms=5, used_ms=5)

    async def work(tx: Any) -> None:
        await passes.set_funding(tx, "pass_1", "metered")
        asked = windows.asked(
            Ask(1, 0, 900_000, 2000),
            pass_id="pass_1",
            mode="sandbox",
            account="sandbox",
            kind="card",
            currency="eur",
            created_at=NOW_TEXT,
        )
        await windows.insert_window(tx, asked)
        await tx.execute(update(windows_table).values(state="settled", charged_minor=1500))
        await tx.execute(update(passes_table).values(settled=True, used_ms=5))
        about = About("sandbox", "sandbox", "ord_1", "room_1")
        await earnings.book_sale(tx, Sale(WINDOW, "ana", 1500, "eur"), about, NOW)

    await db.write(work)
    return db


async def _codes(db: Database) -> set[str]:
    return {problem.code for problem in await run_checks(db)}


async def test_a_sound_call(call: Database):
    assert await _codes(call) == set()


_LEFT = {"debits_minor": 0, "credits_minor": 0, "debits_held_minor": 0, "credits_held_minor": 1}
_HOLD = {"mode": "sandbox", "account": "sandbox", "name": "hold:pass_1", "currency": "eur"}


@pytest.mark.parametrize(
    ("damage", "code"),
    [
        (update(windows_table).values(held_minor=1499), "charged_above_hold"),
        (update(windows_table).values(charged_minor=None), "settled_without_charge"),
        (update(windows_table).values(state="held"), "hold_forgotten"),
        (update(windows_table).values(charged_minor=1400), "charged_otherwise"),
        (update(windows_table).values(charged_minor=1400), "payment_not_booked"),
        (update(orders).values(charged_minor=1400), "charged_otherwise"),
        (insert(balances).values(_HOLD | _LEFT), "hold_not_empty"),
        (update(segments_table).values(used_ms=-1), "negative_time"),
    ],
)
async def test_each_fault_is_found(call: Database, damage: Any, code: str):
    await call.write(lambda tx: tx.execute(damage))
    assert code in await _codes(call)
