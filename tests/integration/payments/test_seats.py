"""Seats are taken with the order, all at once, and given back when it is sure that nobody pays for them."""

import asyncio

from signaling.notices import RoomChanged

from .world import World


async def test_the_last_seat_is_sold_once(world: World):
    await world.add_room(capacity=1)
    answers = await asyncio.gather(*(world.order(world.customer()) for _ in range(5)))
    statuses = sorted(status for status, _ in answers)
    assert statuses == [201, 409, 409, 409, 409]
    assert {said["error"]["code"] for status, said in answers if status == 409} == {"room_full"}


async def test_a_paid_seat_stays_taken(world: World):
    await world.add_room(capacity=1)
    await world.buy()
    assert (await world.order(world.customer()))[0] == 409


async def test_a_reservation_that_ran_out_expires_the_checkout_first(world: World):
    await world.add_room(capacity=1)
    who = world.customer()
    _, order = await world.order(who)
    world.later(599)
    await world.work()
    assert (await world.order(world.customer()))[0] == 409
    world.later(1)
    world.notices.clear()
    await world.work()
    assert (await world.show(who))["state"] == "expired"
    assert any(isinstance(notice, RoomChanged) for notice in world.notices)
    assert (await world.order(world.customer()))[0] == 201
    status, _ = await world.pay(order)
    assert status == 409  # the page says that it is expired


async def test_the_seat_is_kept_until_the_expiry_is_confirmed(world: World):
    await world.add_room(capacity=1)
    who = world.customer()
    await world.order(who)
    world.later(600)
    await world.control("faults", operation="checkout.sessions.expire", fault="conflict_409", times=1)
    await world.work()
    assert (await world.show(who))["state"] == "open"
    assert (await world.order(world.customer()))[0] == 409
    world.later(5)
    await world.work()
    assert (await world.order(world.customer()))[0] == 201


async def test_paid_at_the_last_moment_beats_the_expiry(world: World):
    await world.add_room(capacity=1)
    who = world.customer()
    _, order = await world.order(who)
    world.webhooks_reach_us = False
    await world.pay(order)
    world.later(600)
    await world.work()
    assert (await world.show(who))["state"] == "paid"
    await world.assert_books_agree()


async def test_walking_away_gives_the_seat_back(world: World):
    await world.add_room(capacity=1)
    who = world.customer()
    await world.order(who)
    status, shown = await world.call("POST", f"/api/orders/{who.order_id}/cancel", who)
    assert (status, shown["state"]) == (200, "canceled")
    assert (await world.order(world.customer()))[0] == 201


async def test_walking_away_after_paying_is_refused(world: World):
    await world.add_room()
    who = world.customer()
    _, order = await world.order(who)
    world.webhooks_reach_us = False
    await world.pay(order)
    status, said = await world.call("POST", f"/api/orders/{who.order_id}/cancel", who)
    assert (status, said["error"]["code"]) == (409, "already_paid")
    assert (await world.show(who))["state"] == "paid"


async def test_two_walks_away_are_one(world: World):
    await world.add_room()
    who = world.customer()
    await world.order(who)
    for _ in range(2):
        status, shown = await world.call("POST", f"/api/orders/{who.order_id}/cancel", who)
        assert (status, shown["state"]) == (200, "canceled")
