"""Windows of holds as rows, and which passes wait to be settled."""

import asyncio

import pytest
from sqlalchemy import update

from metering.errors import MeterError
from metering.funding import Ask
from signaling.stores import windows
from signaling.stores.database import Database
from signaling.stores.schema import passes

from .rows import NOW_TEXT, add_paid, add_room, add_segment, add_session, get_pass

ENDED = "2026-01-01T00:10:00.000Z"


def a_window(number: int = 1, pass_id: str = "pass_1") -> windows.Window:
    ask = Ask(number, (number - 1) * 900_000, 900_000, 1500)
    return windows.asked(
        ask,
        pass_id=pass_id,
        mode="sandbox",
        account="sandbox",
        kind="card",
        currency="eur",
        created_at=NOW_TEXT,
    )


async def _metered(db: Database) -> None:
    await add_room(db)
    await add_paid(db, funding="metered")


async def _window(db: Database, number: int = 1) -> windows.Window:
    async with db.read() as tx:
        found = await windows.get_window(tx, windows.window_id("pass_1", number))
    assert found is not None
    return found


async def _unsettled(db: Database) -> list[windows.Unsettled]:
    async with db.read() as tx:
        return await windows.unsettled(tx, "sandbox", "sandbox")


async def test_a_window_is_asked_for_once(db: Database):
    await _metered(db)
    assert await db.write(lambda tx: windows.insert_window(tx, a_window())) is True
    assert await db.write(lambda tx: windows.insert_window(tx, a_window())) is False
    await db.write(lambda tx: windows.insert_window(tx, a_window(2)))
    async with db.read() as tx:
        assert [one.number for one in await windows.windows_of(tx, "pass_1")] == [1, 2]


async def test_a_window_moves_only_from_where_it_was_seen(db: Database):
    await _metered(db)
    await db.write(lambda tx: windows.insert_window(tx, a_window()))
    seen = await _window(db)
    moved = await db.write(
        lambda tx: windows.move_window(tx, seen, "held", payment_intent_id="pi_1", capture_before_s=99)
    )
    assert moved is True
    assert await db.write(lambda tx: windows.move_window(tx, seen, "released")) is False
    held = await _window(db)
    assert (held.state, held.payment_intent_id, held.capture_before_s) == ("held", "pi_1", 99)
    async with db.read() as tx:
        assert await windows.find_by_intent(tx, "pi_1") == held
    with pytest.raises(MeterError):
        await db.write(lambda tx: windows.move_window(tx, held, "settled"))


async def test_of_many_that_settle_a_pass_one_does(db: Database):
    await _metered(db)
    done = await asyncio.gather(*(db.write(lambda tx: windows.mark_settled(tx, "pass_1")) for _ in range(4)))
    assert sorted(done) == [False, False, False, True]
    found = await get_pass(db)
    assert (found.settled, found.state) == (True, "used_up")


async def test_a_short_call_is_let_go_once_for_a_card_a_room_and_a_day(db: Database):
    await _metered(db)

    def waive(day: str, fingerprint: str = "card") -> object:
        about = {"room_id": "room_1", "fingerprint": fingerprint, "day": day, "order_id": "ord_1"}
        return db.write(lambda tx: windows.waive(tx, **about))

    assert await waive("2026-01-01") is True
    assert await waive("2026-01-01") is False
    assert await waive("2026-01-02") is True
    assert await waive("2026-01-01", "other") is True
    async with db.read() as tx:
        about = {"room_id": "room_1", "fingerprint": "card"}
        assert await windows.was_waived(tx, **about, day="2026-01-02") is True
        assert await windows.was_waived(tx, **about, day="2026-01-03") is False


async def test_who_is_inside_and_who_is_out(db: Database):
    await _metered(db)
    await db.write(lambda tx: windows.insert_window(tx, a_window()))
    await db.write(lambda tx: windows.move_window(tx, a_window(), "held", capture_before_s=77))
    (fresh,) = await _unsettled(db)
    assert (fresh.outside_since, fresh.is_over, fresh.capture_before_s) == (NOW_TEXT, False, 77)
    await add_session(db, ended_at=ENDED)
    (outside,) = await _unsettled(db)
    assert outside.outside_since == ENDED
    await add_segment(db)  # its rows are not all written yet
    assert await _unsettled(db) == []


async def test_a_hold_that_lapses_while_somebody_is_inside(db: Database):
    await _metered(db)
    await db.write(lambda tx: windows.insert_window(tx, a_window()))
    await db.write(lambda tx: windows.move_window(tx, a_window(), "held", capture_before_s=77))

    async def lapsing(before_s: int) -> list[str]:
        async with db.read() as tx:
            return await windows.lapsing_inside(tx, "sandbox", "sandbox", before_s)

    assert await lapsing(77) == []
    await add_session(db)
    assert await lapsing(76) == []
    assert await lapsing(77) == ["pass_1"]


async def test_a_pass_that_nobody_can_enter_any_more_is_over(db: Database):
    await _metered(db)
    await db.write(lambda tx: tx.execute(update(passes).values(state="revoked")))
    (over,) = await _unsettled(db)
    assert over.is_over is True
    await db.write(lambda tx: windows.mark_settled(tx, "pass_1"))
    assert await _unsettled(db) == []
    assert (await get_pass(db)).state == "revoked"


async def test_what_was_paid_in_advance_needs_no_settling(db: Database):
    await add_room(db)
    await add_paid(db)
    assert await _unsettled(db) == []
