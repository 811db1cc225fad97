"""Refunds that the operator or a host asks for: once for each id, to the second, never more than is left."""

import os
from typing import Any

import pytest

from signaling.ids import new_id, new_secret, secret_hash
from signaling.stores.schema import passes

from .usage import METERED, caller
from .world import OPERATOR_SECRET, Customer, World

OPERATOR = Customer("", OPERATOR_SECRET)


def refund_id() -> str:
    return new_id("rfd", os.urandom)


async def ask(world: World, who: Customer, **body: Any) -> tuple[int, dict[str, Any]]:
    said = {"refund_id": refund_id(), "reason": "goodwill"} | body
    return await world.call("POST", f"/api/admin/orders/{who.order_id}/refunds", OPERATOR, said)


async def use(world: World, used_ms: int) -> None:
    await world.db.write(lambda tx: tx.execute(passes.update().values(used_ms=used_ms)))


@pytest.mark.parametrize(
    ("body", "amount_minor", "access"),
    [
        ({"amount_minor": 200}, 200, "waiting"),
        ({"seconds": 61}, 102, "waiting"),  # 101.67, rounded up
        ({"part": "unused"}, 1000, "refunded"),
        ({"part": "unused", "end_access": False}, 1000, "waiting"),
        ({"part": "all"}, 1500, "refunded"),
        ({"amount_minor": 200, "end_access": True}, 200, "refunded"),
    ],
)
async def test_an_amount_a_length_or_a_part_goes_back(
    world: World, body: dict[str, Any], amount_minor: int, access: str
) -> None:
    await world.add_room()
    who, _ = await world.buy()
    await use(world, 300_000)
    status, asked = await ask(world, who, **body)
    assert (status, asked["state"]) == (202, "asked")
    await world.settle_down()
    shown = await world.show(who)
    assert shown["pass"]["state"] == access
    assert (shown["refund"]["amount_minor"], shown["refund"]["reason"]) == (amount_minor, "goodwill")
    assert shown["refund"]["state"] == "succeeded"
    await world.assert_books_agree()


async def test_the_same_id_asks_once_and_answers_what_became_of_it(world: World) -> None:
    await world.add_room()
    who, _ = await world.buy()
    one = refund_id()
    await ask(world, who, refund_id=one, amount_minor=200)
    await world.settle_down()
    status, again = await ask(world, who, refund_id=one, amount_minor=200)
    assert (status, again["state"], again["amount_minor"]) == (202, "succeeded", 200)
    status, other = await ask(world, who, refund_id=one, amount_minor=201)
    assert (status, other["error"]["code"]) == (409, "exists_different")
    await world.settle_down()
    assert [row["amount_minor"] for row in await world.rows("refunds")] == [200]


async def test_never_more_than_is_left(world: World) -> None:
    await world.add_room()
    who, _ = await world.buy()
    await ask(world, who, amount_minor=1400)
    await world.settle_down()
    assert (await ask(world, who, amount_minor=101))[1]["error"]["code"] == "too_much"
    await ask(world, who, part="all")
    await world.settle_down()
    assert (await ask(world, who, part="all"))[1]["error"]["code"] == "nothing_left"
    assert sorted(row["amount_minor"] for row in await world.rows("refunds")) == [100, 1400]
    await world.assert_books_agree()


async def test_two_refunds_asked_at_once_share_what_is_left(world: World) -> None:
    await world.add_room()
    who, _ = await world.buy()
    for _ in range(2):
        assert (await ask(world, who, amount_minor=1000))[0] == 202
    await world.settle_down()
    assert sorted(row["amount_minor"] for row in await world.rows("refunds")) == [500, 1000]
    await world.assert_books_agree()


async def test_what_cannot_be_given_back_is_refused_at_once(world: World) -> None:
    await world.add_room()
    unpaid = world.customer()
    await world.order(unpaid)
    assert (await ask(world, unpaid, part="all"))[1]["error"]["code"] == "not_paid"
    assert (await ask(world, world.customer(), part="all"))[0] == 404
    await world.add_room(
        "open", tariff={"kind": "entrance", "price_minor": 500, "currency": "eur", "seconds": None}
    )
    unlimited, _ = await world.buy("open", seconds=None)
    assert (await ask(world, unlimited, seconds=60))[1]["error"]["code"] == "no_length"
    who, _ = await world.buy()
    row = next(row for row in await world.rows("orders") if row["id"] == who.order_id)
    await world.control("dispute", session=row["checkout_session_id"])
    await world.settle_down()
    assert (await ask(world, who, part="all"))[1]["error"]["code"] == "disputed"


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"amount_minor": 1, "part": "all"},
        {"amount_minor": 0},
        {"seconds": "60"},
        {"part": "most"},
        {"part": "all", "reason": "dashboard"},
        {"part": "all", "refund_id": "ref_short"},
    ],
)
async def test_what_does_not_say_one_thing_is_refused(world: World, body: dict[str, Any]) -> None:
    await world.add_room()
    who, _ = await world.buy()
    assert (await ask(world, who, **body))[0] == 422


async def test_nobody_but_the_operator(world: World) -> None:
    await world.add_room()
    who, _ = await world.buy()
    body = {"refund_id": refund_id(), "reason": "goodwill", "part": "all"}
    assert (await world.call("POST", f"/api/admin/orders/{who.order_id}/refunds", who, body))[0] == 401
    assert (await world.call("GET", "/api/admin/attention", who))[0] == 401
    assert (await world.call("POST", "/api/admin/attention/outbox/x/retry", who, {}))[0] == 401


async def test_a_host_gives_back_in_their_own_room_only(world: World) -> None:
    key = new_secret(os.urandom)
    await world.add_room(host_key_hash=secret_hash(key))
    await world.add_room("other", host_key_hash=secret_hash(new_secret(os.urandom)))
    who, _ = await world.buy()
    other, _ = await world.buy("other")
    host = Customer("", key)
    path = "/api/host/rooms/room_talk/refunds"
    body = {"refund_id": refund_id(), "order_id": who.order_id, "reason": "requested", "amount_minor": 300}
    assert (await world.call("POST", path, who, body))[0] == 403
    assert (await world.call("POST", path, host, body | {"order_id": other.order_id}))[0] == 404
    assert (await world.call("POST", path, host, body))[0] == 202
    await world.settle_down()
    assert (await world.show(who))["refund"]["amount_minor"] == 300
    await world.assert_books_agree()


async def test_a_host_sees_what_was_sold_page_by_page(world: World) -> None:
    key = new_secret(os.urandom)
    await world.add_room(host_key_hash=secret_hash(key), capacity=100)
    await world.add_room("other")
    await world.buy("other")
    await world.order(world.customer())  # not paid
    bought = []
    for number in range(52):
        if number % 5 == 0:
            world.later(1)
        bought.append((await world.buy())[0].order_id)
    host, path = Customer("", key), "/api/host/rooms/room_talk/sales"
    assert (await world.call("GET", path, world.customer()))[0] == 403
    _, first = await world.call("GET", path, host)
    _, second = await world.call("GET", f"{path}?before={first['next']}", host)
    seen = [sale["order_id"] for sale in (*first["sales"], *second["sales"])]
    assert (len(first["sales"]), second["next"]) == (50, None)
    assert sorted(seen) == sorted(bought)
    assert first["sales"][0]["paid_minor"] == 1500


async def test_of_a_call_paid_by_use_nothing_goes_back_before_it_is_charged(world: World) -> None:
    await world.add_room(tariff=METERED)
    ana = await caller(world)
    await ana.enters()
    await ana.uses(420)
    status, _ = await ask(world, ana.who, amount_minor=100)
    assert status == 202
    await world.settle_down()
    assert await world.rows("refunds") == []
    await ana.goes()
    world.later(2)
    await world.settle_down()
    world.later(2)
    await world.settle_down()
    assert [row["state"] for row in await world.rows("refunds")] == ["succeeded"]
    assert (await world.show(ana.who))["refund"]["amount_minor"] == 100
    assert await world.problems() == []


async def test_a_refund_that_the_bank_sends_back_is_asked_for_again_and_then_shown(world: World) -> None:
    await world.add_room()
    who, _ = await world.buy()
    await ask(world, who, amount_minor=500)
    await world.settle_down()
    for tries in range(1, 4):
        rows = await world.rows("refunds")
        assert len(rows) == tries
        newest = max(rows, key=lambda row: (row["id"].count("~"), row["id"]))
        await world.control("fail_refund", refund=newest["stripe_refund_id"])
        await world.settle_down()
        world.later(3601)
        await world.settle_down()
    rows = await world.rows("refunds")
    assert [row["state"] for row in rows] == ["failed"] * 3
    _, shown = await world.call("GET", "/api/admin/attention", OPERATOR)
    assert [one["order_id"] for one in shown["refunds"]] == [who.order_id]
    world.later(10_000)
    await world.settle_down()
    assert len(await world.rows("refunds")) == 3
    assert (await world.one("orders"))["refunded_minor"] == 0
    assert (await world.one("earnings"))["reversed_minor"] == 0
    await world.assert_books_agree()


async def test_what_was_given_up_is_shown_and_can_be_tried_again(world: World) -> None:
    await world.add_room()
    who, _ = await world.buy()
    one = refund_id()
    row = await world.one("orders")
    await world.control(
        "refund", session=row["checkout_session_id"]
    )  # quicker than ours, and not heard of yet
    await ask(world, who, refund_id=one, part="all")
    await world.work()
    _, shown = await world.call("GET", "/api/admin/attention", OPERATOR)
    assert [given_up["id"] for given_up in shown["outbox"]] == [one]
    assert (shown["quarantine"], shown["differences"], shown["payouts"]) == ([], [], [])
    path = f"/api/admin/attention/outbox/{one}/retry"
    assert (await world.call("POST", path, OPERATOR, {}))[0] == 200
    assert (await world.call("POST", path, OPERATOR, {}))[0] == 404
    await world.assert_books_agree()
