"""Free minutes of a room: for who is signed in and keeps a card, once per person and card; then paid on the same pass."""

from typing import Any

import pytest

from signaling.errors import ApiError
from signaling.payments.checkout import NewOrder
from signaling.stores.schema import users

from .world import PER_MINUTE, Customer, World

FREE = PER_MINUTE | {"free_seconds": 300}


async def add_room(world: World, slug: str = "talk", **values: Any) -> None:
    await world.add_room(slug, **{"tariff": FREE} | values)


async def add_people(world: World) -> None:
    made = "2026-01-01T00:00:00.000Z"
    for name in ("ben", "cid"):
        row = {
            "id": f"user_{name}",
            "email": f"{name}@example.org",
            "name": name,
            "role": "user",
            "created_at": made,
        }
        await world.db.write(lambda tx, row=row: tx.execute(users.insert().values(row)))


async def order(
    world: World, user_id: str | None = "user_ben", slug: str = "talk", **body: Any
) -> tuple[Customer, Any]:
    who = world.customer()
    said = {"order_id": who.order_id, "name": "Ben", "accept_terms": True, "free": True} | body
    made = await world.payments.make_order(slug, NewOrder(**said), who.secret, user_id)
    return who, made.order


async def keep_card(
    world: World, user_id: str = "user_ben", slug: str = "talk", card: str = "succeeds"
) -> Customer:
    who, made = await order(world, user_id, slug)
    status, _ = await world.pay({"checkout": {"ui": "hosted", "url": made.checkout_url}}, card)
    assert status == 200
    await world.settle_down()
    return who


async def test_a_card_that_is_kept_opens_the_room_for_nothing(world: World):
    await add_room(world)
    await add_people(world)
    shown = await world.show(await keep_card(world))
    assert (shown["state"], shown["amount_minor"], shown["funding"]) == ("paid", 0, "free")
    assert (shown["pass"]["state"], shown["pass"]["remaining_ms"]) == ("waiting", 300_000)
    row = await world.one("free_minutes")
    assert (row["user_id"], row["seconds"]) == ("user_ben", 300)
    assert (await world.one("cards"))["fingerprint"] == row["fingerprint"]
    assert await world.rows("transfers") == await world.rows("earnings") == []
    assert await world.problems() == []


async def test_once_per_person_and_once_per_card_in_each_room(world: World):
    await add_room(world)
    await add_room(world, "other")
    await add_people(world)
    await keep_card(world)
    with pytest.raises(ApiError) as refused:
        await order(world)
    assert (refused.value.status, refused.value.code) == (409, "free_minutes_had")
    again = await world.show(await keep_card(world, "user_cid"))
    assert (again["state"], again["failure"], again.get("pass")) == ("failed", "free_minutes_had", None)
    assert len(await world.rows("passes")) == 1
    # The seat is free again, and another room is another matter.
    assert [row["reserved_until_s"] for row in await world.rows("orders")] == [None, None]
    assert (await world.show(await keep_card(world, slug="other")))["state"] == "paid"
    assert await world.problems() == []


async def test_two_orders_of_one_person_at_once_open_one_pass(world: World):
    await add_room(world)
    await add_people(world)
    first, one = await order(world)
    second, other = await order(world)
    for made in (one, other):
        await world.pay({"checkout": {"ui": "hosted", "url": made.checkout_url}})
    await world.settle_down()
    states = sorted([(await world.show(first))["state"], (await world.show(second))["state"]])
    assert states == ["failed", "paid"]
    assert len(await world.rows("passes")) == 1


async def test_it_takes_somebody_signed_in_and_a_room_that_gives_some(world: World):
    await add_room(world)
    await add_room(world, "paid", tariff=PER_MINUTE)
    await add_people(world)
    for user_id, slug, body, code in (
        (None, "talk", {}, "sign_in_required"),
        ("user_ben", "paid", {}, "no_free_minutes"),
        ("user_ben", "talk", {"code": "HALF"}, "invalid"),
    ):
        with pytest.raises(ApiError) as refused:
            await order(world, user_id, slug, **body)
        assert refused.value.code == code


async def test_a_declined_card_opens_nothing_and_may_be_tried_again(world: World):
    await add_room(world)
    await add_people(world)
    who, made = await order(world)
    checkout = {"checkout": {"ui": "hosted", "url": made.checkout_url}}
    await world.pay(checkout, "declined")
    await world.settle_down()
    assert (await world.show(who))["state"] == "open"
    assert await world.rows("free_minutes") == []
    await world.pay(checkout)
    await world.settle_down()
    assert (await world.show(who))["state"] == "paid"


async def test_what_is_bought_afterwards_extends_the_same_pass_and_is_used_last(world: World):
    await add_room(world)
    await add_people(world)
    free = await keep_card(world)
    pass_id = (await world.show(free))["pass"]["id"]
    paid, shown = await world.buy(extends=pass_id, extends_secret=free.secret)
    assert (shown["state"], shown["pass"]["id"], shown["pass"]["granted_ms"]) == ("paid", pass_id, 1_200_000)
    row = await world.one("passes")
    assert row["funding"] == "payment"
    bought = next(one for one in await world.rows("orders") if one["id"] == paid.order_id)
    assert bought["granted_before_ms"] == 300_000
    assert await world.problems() == []


async def test_told_again_it_grants_once(world: World):
    await add_room(world)
    await add_people(world)
    await world.control("faults", events="duplicate", count=10)
    who = await keep_card(world)
    for _ in range(2):
        status, shown = await world.call("POST", f"/api/orders/{who.order_id}/refresh", who)
        assert (status, shown["state"]) == (200, "paid")
    assert len(await world.rows("passes")) == len(await world.rows("free_minutes")) == 1
