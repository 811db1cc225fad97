"""A payment service that fails while it creates a Checkout Session: never guessed, never charged twice."""

import pytest

from .world import World

CREATE = "checkout.sessions.create"


async def _sessions_of(world: World, order_id: str) -> list[dict]:
    return [one for one in await world.books() if one["client_reference_id"] == order_id]


async def _until_open(world: World, who, rounds: int = 8) -> dict:
    for _ in range(rounds):
        shown = await world.show(who)
        if shown["state"] == "open":
            return shown
        world.later(3)
        await world.work()
    raise AssertionError(f"still {shown['state']}")


@pytest.mark.parametrize("fault", ["truncate_after_commit", "reset_after_commit"])
async def test_a_lost_answer_is_found_again(world: World, fault: str):
    await world.add_room()
    await world.control("faults", operation=CREATE, fault=fault)
    who = world.customer()
    status, said = await world.order(who)
    assert (status, said) == (202, {"order_id": who.order_id, "state": "payment_pending"})
    shown = await _until_open(world, who)
    assert len(await _sessions_of(world, who.order_id)) == 1
    await world.pay(shown)
    await world.settle_down()
    assert (await world.show(who))["state"] == "paid"
    await world.assert_books_agree()


async def test_a_failure_that_is_saved_is_got_past_with_a_new_key(world: World):
    await world.add_room()
    await world.control("faults", operation=CREATE, fault="error_500_saved")
    who = world.customer()
    assert (await world.order(who))[0] == 202
    await _until_open(world, who)
    assert len(await _sessions_of(world, who.order_id)) == 1
    calls = {row["idempotency_key"]: row["state"] for row in await world.rows("stripe_calls")}
    assert calls == {f"checkout:{who.order_id}": "refused", f"checkout:{who.order_id}:2": "done"}


async def test_a_failure_behind_which_it_worked_is_adopted(world: World):
    await world.add_room()
    await world.control("faults", operation=CREATE, fault="error_500_saved", effect=True)
    who = world.customer()
    assert (await world.order(who))[0] == 202
    await _until_open(world, who)
    assert len(await _sessions_of(world, who.order_id)) == 1
    assert len(await world.rows("stripe_calls")) == 1


@pytest.mark.parametrize("fault", ["conflict_409", "rate_limit_429"])
async def test_a_conflict_is_repeated_under_the_same_key(world: World, fault: str):
    await world.add_room()
    await world.control("faults", operation=CREATE, fault=fault, times=2)
    who = world.customer()
    assert (await world.order(who))[0] == 202
    await _until_open(world, who)
    assert len(await _sessions_of(world, who.order_id)) == 1
    assert len(await world.rows("stripe_calls")) == 1


async def test_a_slow_answer_is_not_waited_for(world: World):
    await world.reboot(timeout_s=0.3)
    await world.add_room()
    await world.control("faults", operation=CREATE, fault="slow", delay_s=1.0)
    who = world.customer()
    assert (await world.order(who))[0] == 202
    await world.reboot()
    await _until_open(world, who)
    assert len(await _sessions_of(world, who.order_id)) == 1


async def test_asking_again_gives_the_same_order(world: World):
    await world.add_room()
    await world.control("faults", operation=CREATE, fault="truncate_after_commit")
    who = world.customer()
    assert (await world.order(who))[0] == 202
    assert (await world.order(who))[0] == 202
    world.later(3)
    await world.work()
    status, order = await world.order(who)
    assert status == 200
    assert order["checkout"]["url"]
    assert len(await _sessions_of(world, who.order_id)) == 1


async def test_a_service_that_stays_away_gives_the_seat_back(world: World):
    await world.add_room(capacity=1)
    await world.control("faults", operation=CREATE, fault="conflict_409", times=1000)
    who = world.customer()
    assert (await world.order(who))[0] == 202
    assert (await world.order(world.customer()))[1]["error"]["code"] == "room_full"
    for _ in range(5):
        world.later(200)
        await world.work()
    assert (await world.show(who))["state"] == "expired"
    assert await _sessions_of(world, who.order_id) == []
    await world.control("reset")
    assert (await world.order(world.customer()))[0] == 201


async def test_settling_waits_while_the_service_does_not_answer(world: World):
    await world.add_room()
    who = world.customer()
    _, order = await world.order(who)
    await world.pay(order)
    await world.control("faults", operation="checkout.sessions.retrieve", fault="conflict_409", times=2)
    status, shown = await world.call("POST", f"/api/orders/{who.order_id}/refresh", who)
    assert (status, shown["state"]) == (200, "open")
    await world.settle_down()
    world.later(10)
    await world.work()
    assert (await world.show(who))["state"] == "paid"


async def test_a_refused_order_frees_its_seat(world: World):
    await world.add_room(title="x" * 260)  # longer than a product's name may be
    who = world.customer()
    status, said = await world.order(who)
    assert (status, said["error"]["code"]) == (502, "payment_refused")
    assert (await world.show(who))["state"] == "failed"
    assert (await world.one("orders"))["reserved_until_s"] is None
