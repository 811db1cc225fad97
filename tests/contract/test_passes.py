"""Passes as payments change them."""

import pytest
from sqlalchemy import update

from signaling.stores import meter, passes
from signaling.stores.database import Database
from signaling.stores.schema import passes as table
from signaling.stores.schema import runs

from .rows import NOW_TEXT, add_paid, add_room, add_segment, add_session, get_pass


async def _use(db: Database, used_ms: int, state: str = "active") -> None:
    await db.write(lambda tx: tx.execute(table.update().values(used_ms=used_ms, state=state)))


async def test_a_pass_is_granted_once_for_an_order(db: Database):
    await add_room(db)
    order = await add_paid(db)
    assert await db.write(lambda tx: passes.grant_pass(tx, order, "pass_2", NOW_TEXT)) is False
    granted = await get_pass(db)
    assert (granted.state, granted.granted_ms, granted.remaining_ms) == ("waiting", 900_000, 900_000)


async def test_an_unlimited_order_grants_without_limit(db: Database):
    await add_room(db)
    await add_paid(db, seconds=None)
    granted = await get_pass(db)
    assert (granted.granted_ms, granted.remaining_ms) == (None, None)


async def test_added_time_is_added(db: Database):
    await add_room(db)
    await add_paid(db)
    await db.write(lambda tx: passes.extend_pass(tx, "pass_1", 900))
    assert (await get_pass(db)).granted_ms == 1_800_000


async def test_added_time_opens_a_used_up_pass_again(db: Database):
    await add_room(db)
    await add_paid(db)
    await add_session(db, ended_at=NOW_TEXT)
    await _use(db, 900_000, "used_up")
    await db.write(lambda tx: passes.extend_pass(tx, "pass_1", 60))
    found = await get_pass(db)
    assert (found.state, found.remaining_ms) == ("active", 60_000)


async def test_time_taken_off_leaves_what_was_used(db: Database):
    await add_room(db)
    await add_paid(db)
    await _use(db, 600_000)
    await db.write(lambda tx: passes.shorten_pass(tx, "pass_1", 200_000, "refunded"))
    assert (await get_pass(db)).remaining_ms == 100_000
    await db.write(lambda tx: passes.shorten_pass(tx, "pass_1", 200_000, "refunded"))
    ended = await get_pass(db)
    assert (ended.granted_ms, ended.state) == (600_000, "refunded")


async def _count(db: Database, *, started_ms: int | None, beat_ms: int) -> None:
    """A stay in which the meter counts; its server was heard from at `beat_ms`."""
    await add_session(db)
    await add_segment(db, started_ms=started_ms)
    await db.write(lambda tx: tx.execute(update(runs).values(run_ms=beat_ms)))


async def _close(db: Database, used_ms: int) -> None:
    row = meter.CloseRow("seg_1", "pass_1", 0, used_ms, used_ms, 0)
    await db.write(lambda tx: meter.close_segments(tx, [row]))


async def test_time_that_is_being_used_counts_as_used(db: Database):
    await add_room(db)
    await add_paid(db)
    await _count(db, started_ms=5_000, beat_ms=305_000)
    async with db.read() as tx:
        found = await passes.get_pass(tx, "pass_1")
        assert found is not None
        assert await passes.used_so_far_ms(tx, found) == 301_000, "up to the heartbeat that is to come"
    assert await db.write(lambda tx: passes.shorten_pass(tx, "pass_1", 900_000, "refunded")) == 599_000
    ended = await get_pass(db)
    assert (ended.granted_ms, ended.taken_ms, ended.state) == (301_000, 599_000, "refunded")


async def test_before_the_first_packet_nothing_is_being_used(db: Database):
    await add_room(db)
    await add_paid(db)
    await _count(db, started_ms=None, beat_ms=305_000)
    assert await db.write(lambda tx: passes.shorten_pass(tx, "pass_1", 900_000, "refunded")) == 900_000


async def test_time_used_before_the_stay_heard_that_it_was_taken_off_is_put_back(db: Database):
    await add_room(db)
    await add_paid(db)
    await _count(db, started_ms=0, beat_ms=300_000)
    await db.write(lambda tx: passes.shorten_pass(tx, "pass_1", 900_000, "refunded"))
    await _close(db, 302_500)
    found = await get_pass(db)
    assert (found.granted_ms, found.used_ms, found.taken_ms) == (302_500, 302_500, 597_500)
    await db.write(lambda tx: passes.give_time_back(tx, "pass_1", 599_000))
    assert (await get_pass(db)).granted_ms == 900_000, "what was put back is not given back again"


async def test_more_use_than_was_ever_granted_stays_visible(db: Database):
    await add_room(db)
    await add_paid(db)
    await _count(db, started_ms=0, beat_ms=899_000)
    await db.write(lambda tx: passes.shorten_pass(tx, "pass_1", 900_000, "refunded"))
    await _close(db, 900_001)
    found = await get_pass(db)
    assert (found.granted_ms, found.used_ms) == (900_000, 900_001)


async def test_time_given_back_opens_a_used_up_pass_again(db: Database):
    await add_room(db)
    await add_paid(db)
    await _use(db, 300_000)
    await db.write(lambda tx: passes.shorten_pass(tx, "pass_1", 300_000, "refunded"))
    await _use(db, 600_000, "used_up")
    await db.write(lambda tx: passes.give_time_back(tx, "pass_1", 300_000))
    found = await get_pass(db)
    assert (found.state, found.remaining_ms) == ("waiting", 300_000)


@pytest.mark.parametrize("state", ["refunded", "disputed", "revoked", "used_up"])
async def test_a_pass_ends_once_with_the_same_reason(db: Database, state: passes.EndState):
    await add_room(db)
    await add_paid(db)
    assert await db.write(lambda tx: passes.end_pass(tx, "pass_1", state)) is True
    assert await db.write(lambda tx: passes.end_pass(tx, "pass_1", state)) is False
    assert (await get_pass(db)).state == state


async def test_a_revoked_pass_stays_revoked(db: Database):
    await add_room(db)
    await add_paid(db)
    await db.write(lambda tx: passes.end_pass(tx, "pass_1", "revoked"))
    assert await db.write(lambda tx: passes.end_pass(tx, "pass_1", "refunded")) is False
    assert await db.write(lambda tx: passes.restore_pass(tx, "pass_1")) is False
    assert (await get_pass(db)).state == "revoked"


async def test_a_won_dispute_gives_the_pass_back_as_it_was(db: Database):
    await add_room(db)
    await add_paid(db)
    await db.write(lambda tx: passes.end_pass(tx, "pass_1", "disputed"))
    assert await db.write(lambda tx: passes.restore_pass(tx, "pass_1")) is True
    assert (await get_pass(db)).state == "waiting"


async def test_a_used_up_pass_comes_back_used_up(db: Database):
    await add_room(db)
    await add_paid(db)
    await _use(db, 900_000, "disputed")
    await db.write(lambda tx: passes.restore_pass(tx, "pass_1"))
    assert (await get_pass(db)).state == "used_up"


async def test_an_open_segment_is_seen(db: Database):
    await add_room(db)
    await add_paid(db)
    await add_session(db)
    async with db.read() as tx:
        assert await passes.has_open_segment(tx, "pass_1") is False
    await add_segment(db)
    async with db.read() as tx:
        assert await passes.has_open_segment(tx, "pass_1") is True


async def test_an_unknown_pass_is_an_error_of_ours(db: Database):
    with pytest.raises(LookupError):
        await db.write(lambda tx: passes.extend_pass(tx, "pass_none", 60))
