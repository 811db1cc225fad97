"""A room is payable only while its host is live; what cannot be served goes back by itself."""

import pytest

from signaling.stores.schema import passes as passes_table

from .world import World


async def test_checkouts_are_expired_when_the_host_stays_away(world: World):
    room = await world.add_room()
    who = world.customer()
    await world.order(who)
    await world.host_leaves(room)
    world.later(59)
    await world.work()
    assert (await world.show(who))["state"] == "open"
    world.later(1)
    await world.work()
    assert (await world.show(who))["state"] == "expired"


async def test_checkouts_are_expired_when_the_room_closes(world: World):
    room = await world.add_room()
    who = world.customer()
    await world.order(who)
    await world.set_room(room, state="closed", live=False)
    await world.work()
    assert (await world.show(who))["state"] == "expired"


@pytest.mark.parametrize("used_ms", [0, 300_000])
async def test_what_is_unused_goes_back_after_five_minutes(world: World, used_ms: int):
    room = await world.add_room()
    who, _ = await world.buy()
    await world.db.write(lambda tx: tx.execute(passes_table.update().values(used_ms=used_ms)))
    await world.host_leaves(room)
    world.later(299)
    await world.settle_down()
    assert (await world.show(who))["state"] == "paid"
    world.later(1)
    await world.settle_down()
    shown = await world.show(who)
    assert shown["pass"]["state"] == "refunded"
    expected_minor = 1500 if used_ms == 0 else 1000
    assert shown["refund"]["amount_minor"] == expected_minor
    assert shown["refund"]["state"] == "succeeded"
    assert shown["refund"]["reason"] == ("host_absent" if used_ms == 0 else "host_left")
    world.later(1000)
    await world.settle_down()
    assert len(await world.rows("refunds")) == 1
    await world.assert_books_agree()


async def test_a_payment_that_arrives_while_the_host_is_away_waits_for_them(world: World):
    room = await world.add_room()
    who = world.customer()
    _, order = await world.order(who)
    await world.host_leaves(room)
    world.later(50)
    await world.pay(order)
    await world.settle_down()
    assert (await world.show(who))["state"] == "paid"
    world.later(299)  # 349 s after the host left, 299 s after the payment
    await world.settle_down()
    assert (await world.show(who))["state"] == "paid"
    world.later(1)
    await world.settle_down()
    assert (await world.show(who))["state"] == "refunded"


async def test_a_host_who_comes_back_keeps_the_payment(world: World):
    room = await world.add_room()
    who, _ = await world.buy()
    await world.host_leaves(room)
    world.later(299)
    await world.settle_down()
    await world.set_room(room, live=True, away_since_s=None)
    world.later(100)
    await world.settle_down()
    assert (await world.show(who))["pass"]["state"] == "waiting"


async def test_whoever_chose_to_wait_is_not_refunded(world: World):
    room = await world.add_room()
    who, _ = await world.buy()
    await world.host_leaves(room)
    status, shown = await world.call("POST", f"/api/orders/{who.order_id}/wait", who, {"wait": True})
    assert (status, shown["waits"]) == (200, True)
    world.later(10_000)
    await world.settle_down()
    assert (await world.show(who))["state"] == "paid"
    await world.call("POST", f"/api/orders/{who.order_id}/wait", who, {"wait": False})
    await world.settle_down()
    assert (await world.show(who))["state"] == "refunded"


async def test_a_closed_room_refunds_even_those_who_wait(world: World):
    room = await world.add_room()
    who, _ = await world.buy()
    await world.call("POST", f"/api/orders/{who.order_id}/wait", who, {"wait": True})
    await world.set_room(room, state="closed", live=False)
    await world.settle_down()
    assert (await world.show(who))["state"] == "refunded"


@pytest.mark.parametrize("fault", ["truncate_after_commit", "error_500_saved", "conflict_409"])
async def test_a_refund_whose_answer_is_lost_is_made_once(world: World, fault: str):
    room = await world.add_room()
    who, _ = await world.buy()
    await world.set_room(room, state="closed", live=False)
    await world.control("faults", operation="refunds.create", fault=fault)
    for _ in range(6):
        await world.settle_down()
        world.later(5)
    assert (await world.show(who))["state"] == "refunded"
    assert [one["refunded_minor"] for one in await world.books()] == [1500]
    await world.assert_books_agree()
