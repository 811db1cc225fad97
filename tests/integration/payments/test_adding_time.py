"""Time added to a pass beside the call."""

import pytest

from signaling.notices import OrderPaid
from signaling.stores import meter
from signaling.stores.schema import passes as passes_table
from signaling.stores.schema import runs
from tests.contract.rows import add_segment, add_session

from .world import Customer, World


async def _extend(world: World, who: Customer, pass_id: str, **body) -> tuple[Customer, int, dict]:
    more = world.customer()
    said = {"extends": pass_id, "extends_secret": who.secret, "ui": "embedded"} | body
    status, order = await world.order(more, **said)
    return more, status, order


async def _extended(world: World, who: Customer, pass_id: str, **body) -> Customer:
    more, status, order = await _extend(world, who, pass_id, **body)
    assert status == 201, order
    await world.pay(order)
    await world.settle_down()
    return more


async def test_added_time_lands_on_the_pass(world: World):
    await world.add_room(capacity=1)
    who, shown = await world.buy()
    more = await _extended(world, who, shown["pass"]["id"], seconds=1800)
    assert (await world.show(who))["pass"]["granted_ms"] == 2_700_000
    assert (await world.show(more))["pass"]["id"] == shown["pass"]["id"]
    paid = [notice for notice in world.notices if isinstance(notice, OrderPaid)]
    assert [notice.extends for notice in paid] == [False, True]
    assert len(await world.rows("passes")) == 1
    await world.assert_books_agree()


async def test_the_secret_of_added_time_adds_more(world: World):
    await world.add_room()
    who, shown = await world.buy()
    more = await _extended(world, who, shown["pass"]["id"])
    await _extended(world, more, shown["pass"]["id"])
    assert (await world.show(who))["pass"]["granted_ms"] == 2_700_000


async def test_time_can_be_added_while_the_host_is_away_or_the_room_locked(world: World):
    room = await world.add_room()
    who, shown = await world.buy()
    await world.host_leaves(room)
    await world.set_room(room, locked=True)
    await _extended(world, who, shown["pass"]["id"])
    assert (await world.show(who))["pass"]["granted_ms"] == 1_800_000


async def test_a_used_up_pass_goes_on(world: World):
    await world.add_room()
    who, shown = await world.buy()
    await world.db.write(
        lambda tx: tx.execute(passes_table.update().values(used_ms=900_000, state="used_up"))
    )
    await _extended(world, who, shown["pass"]["id"])
    found = (await world.show(who))["pass"]
    assert (found["state"], found["remaining_ms"]) == ("waiting", 900_000)


async def test_strangers_and_other_rooms_add_nothing(world: World):
    await world.add_room()
    await world.add_room("other")
    who, shown = await world.buy()
    stranger = world.customer()
    for customer, slug, pass_id in [
        (stranger, "talk", shown["pass"]["id"]),
        (who, "other", shown["pass"]["id"]),
        (who, "talk", "pass_none"),
    ]:
        _, status, said = (
            await _extend(world, customer, pass_id)
            if slug == "talk"
            else (
                None,
                *await world.order(world.customer(), slug, extends=pass_id, extends_secret=who.secret),
            )
        )
        assert (status, said["error"]["code"]) == (404, "unknown_pass")


@pytest.mark.parametrize("state", ["revoked", "refunded", "disputed"])
async def test_an_ended_pass_takes_no_time(world: World, state: str):
    await world.add_room()
    who, shown = await world.buy()
    await world.db.write(lambda tx: tx.execute(passes_table.update().values(state=state)))
    _, status, said = await _extend(world, who, shown["pass"]["id"])
    assert (status, said["error"]["code"]) == (409, "not_extendable")


async def test_time_paid_for_a_pass_that_ended_meanwhile_goes_back(world: World):
    await world.add_room()
    who, shown = await world.buy()
    more, _, order = await _extend(world, who, shown["pass"]["id"])
    await world.db.write(lambda tx: tx.execute(passes_table.update().values(state="revoked")))
    await world.pay(order)
    await world.settle_down()
    assert (await world.show(more))["state"] == "refunded"
    assert (await world.show(who))["pass"]["state"] == "revoked"
    await world.assert_books_agree()


async def test_a_refund_of_added_time_takes_that_time_alone(world: World):
    await world.add_room()
    who, shown = await world.buy()
    more = await _extended(world, who, shown["pass"]["id"], seconds=1800)
    session = {row["id"]: row["checkout_session_id"] for row in await world.rows("orders")}
    await world.control("refund", session=session[more.order_id])
    await world.settle_down()
    found = (await world.show(who))["pass"]
    assert (found["state"], found["granted_ms"]) == ("waiting", 900_000)


async def test_a_refund_of_the_first_order_leaves_the_added_time(world: World):
    await world.add_room()
    who, shown = await world.buy()
    await _extended(world, who, shown["pass"]["id"], seconds=1800)
    await world.db.write(lambda tx: tx.execute(passes_table.update().values(used_ms=300_000)))
    session = {row["id"]: row["checkout_session_id"] for row in await world.rows("orders")}
    await world.control("refund", session=session[who.order_id])
    await world.settle_down()
    found = (await world.show(who))["pass"]
    assert found["remaining_ms"] == 1_800_000


async def _counts(world: World, pass_id: str, used_ms: int) -> None:
    """A stay in which so much was used already, and the meter goes on; its server was heard from just now."""
    await add_session(world.db, pass_id=pass_id, room_id="room_talk")
    await add_segment(world.db, pass_id=pass_id, started_ms=0)
    await world.db.write(lambda tx: tx.execute(runs.update().values(run_ms=used_ms)))


async def _leaves(world: World, pass_id: str, used_ms: int) -> None:
    row = meter.CloseRow("seg_1", pass_id, 0, used_ms, used_ms, 0)
    await world.db.write(lambda tx: meter.close_segments(tx, [row]))


async def test_time_given_back_in_a_call_leaves_what_was_bought_after_it_whole(world: World):
    await world.add_room()
    who, shown = await world.buy()
    pass_id = shown["pass"]["id"]
    second = await _extended(world, who, pass_id, seconds=1800)
    third = await _extended(world, who, pass_id, seconds=900)
    session = {row["id"]: row["checkout_session_id"] for row in await world.rows("orders")}
    await _counts(world, pass_id, 1_500_000)
    await world.control("refund", session=session[second.order_id])
    await world.settle_down()
    assert (await world.show(who))["pass"]["granted_ms"] == 2_401_000, (
        "600 s of the second were used, and up to one more"
    )
    await _leaves(world, pass_id, 1_500_700)
    begins = {row["id"]: row["granted_before_ms"] for row in await world.rows("orders")}
    assert begins[third.order_id] == 1_501_000
    assert (await world.show(who))["pass"]["remaining_ms"] == 900_300
    await world.assert_books_agree()


async def test_a_refund_of_all_that_is_left_in_a_call_leaves_no_more_used_than_granted(world: World):
    await world.add_room()
    who, shown = await world.buy()
    pass_id = shown["pass"]["id"]
    second = await _extended(world, who, pass_id, seconds=1800)
    session = {row["id"]: row["checkout_session_id"] for row in await world.rows("orders")}
    await _counts(world, pass_id, 300_000)
    for one in (second, who):
        await world.control("refund", session=session[one.order_id])
        await world.settle_down()
    assert (await world.show(who))["pass"]["state"] == "refunded"
    await _leaves(world, pass_id, 304_000)
    assert await world.problems() == []


async def test_a_dispute_about_added_time_that_is_won_gives_it_back(world: World):
    await world.add_room()
    who, shown = await world.buy()
    more = await _extended(world, who, shown["pass"]["id"], seconds=1800)
    session = {row["id"]: row["checkout_session_id"] for row in await world.rows("orders")}[more.order_id]
    await world.control("dispute", session=session)
    await world.settle_down()
    assert (await world.show(who))["pass"]["granted_ms"] == 900_000
    await world.control("dispute", session=session, action="won")
    await world.settle_down()
    assert (await world.show(who))["pass"]["granted_ms"] == 2_700_000
    await world.assert_books_agree()


async def test_a_dispute_that_is_won_puts_what_was_bought_after_it_back_in_its_place(world: World):
    await world.add_room()
    who, shown = await world.buy()
    second = await _extended(world, who, shown["pass"]["id"], seconds=1800)
    world.later(1)
    third = await _extended(world, who, shown["pass"]["id"], seconds=900)

    async def begins() -> int:
        return {row["id"]: row["granted_before_ms"] for row in await world.rows("orders")}[third.order_id]

    assert await begins() == 2_700_000
    session = {row["id"]: row["checkout_session_id"] for row in await world.rows("orders")}[second.order_id]
    await world.control("dispute", session=session)
    await world.settle_down()
    assert await begins() == 900_000
    await world.control("dispute", session=session, action="won")
    await world.settle_down()
    assert await begins() == 2_700_000
    assert (await world.show(who))["pass"]["granted_ms"] == 3_600_000
