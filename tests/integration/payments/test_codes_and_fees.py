"""Promotion codes and the platform's fee at the moment of the order: taken with it, given back when it is not paid."""

from typing import Any

import pytest

from metering.price import Discount
from metering.promotions import Promotion
from signaling.rooms.cards import read_card
from signaling.stores import promotions, rates, rooms
from signaling.stores.rates import BooksOf

from .world import World

BOOKS = BooksOf("sandbox", "sandbox")


async def add_code(world: World, code: str = "HALF", percent: int = 50, **values: Any) -> None:
    made = Promotion(f"promo_{code}", code, Discount(percent=percent), **values)
    await world.db.write(lambda tx: promotions.insert_promotion(tx, BOOKS, made, "2026-01-01T00:00:00.000Z"))


async def left(world: World) -> int | None:
    async with world.db.read() as tx:
        found = await promotions.find_code(tx, BOOKS, "HALF")
    assert found is not None
    return found.uses_left


async def set_fee(world: World, **figures: Any) -> None:
    row = rates.RatesRow("default", "", figures, "2026-01-01T00:00:00.000Z")
    await world.db.write(lambda tx: rates.set_rates(tx, BOOKS, row))


async def test_a_code_lowers_the_price_that_is_paid_and_booked(world: World):
    await world.add_room()
    await add_code(world, uses_left=1)
    _, bought = await world.buy(code=" half ")
    assert (bought["state"], bought["amount_minor"]) == ("paid", 750)
    order = await world.one("orders")
    assert (order["list_minor"], order["discount_minor"], order["promotion_id"]) == (1500, 750, "promo_HALF")
    assert await left(world) == 0
    await world.assert_books_agree()


async def test_the_last_use_is_gone_while_it_is_being_paid_and_comes_back_when_it_is_not(world: World):
    await world.add_room()
    await add_code(world, uses_left=1)
    first, second = world.customer(), world.customer()
    status, _ = await world.order(first, code="HALF")
    assert status == 201
    status, refused = await world.order(second, code="HALF")
    assert (status, refused["error"]["code"], refused["error"]["field"]) == (422, "code_used_up", "code")
    status, canceled = await world.call("POST", f"/api/orders/{first.order_id}/cancel", first)
    assert (status, canceled["state"]) == (200, "canceled")
    assert await left(world) == 1
    assert (await world.order(second, code="HALF"))[0] == 201


async def test_all_of_it_is_granted_without_the_payment_service(world: World):
    await world.add_room()
    await add_code(world, "GIFT", 100)
    who = world.customer()
    status, made = await world.order(who, code="GIFT")
    assert (status, made["state"], made["amount_minor"], made["checkout"]) == (201, "paid", 0, None)
    assert (await world.show(who))["pass"]["granted_ms"] == 900_000
    assert await world.rows("stripe_calls") == []
    assert await world.rows("transfers") == []
    assert await world.problems() == []


@pytest.mark.parametrize("code", ["NONE", "!!", ""])
async def test_a_code_that_is_none_is_refused_and_a_blank_field_is_no_code(world: World, code):
    await world.add_room()
    status, answer = await world.order(world.customer(), code=code)
    assert status == (422 if code else 201)
    if code:
        assert answer["error"]["code"] == "unknown_code"
        assert await world.rows("orders") == []


async def test_once_for_each_person_by_the_address_they_give(world: World):
    await world.add_room()
    await add_code(world, once_per_person=True)
    assert (await world.order(world.customer(), code="HALF"))[1]["error"]["code"] == "code_needs_email"
    assert (await world.order(world.customer(), code="HALF", email="ana@example.org"))[0] == 201
    _, again = await world.order(world.customer(), code="HALF", email="Ana@example.org")
    assert again["error"]["code"] == "code_used"


async def test_a_fee_on_top_is_paid_by_the_guest_and_stored_with_the_order(world: World):
    await world.add_room()
    await set_fee(world, currency="eur", fee_percent_bp=1000, fee_fixed_minor=25, fee_on_top=True)
    _, bought = await world.buy()
    assert bought["amount_minor"] == 1675
    order = await world.one("orders")
    assert (order["list_minor"], order["fee_minor"], order["fee_on_top_minor"]) == (1500, 175, 175)
    await world.assert_books_agree()


async def test_a_fee_inside_changes_nothing_for_the_guest(world: World):
    await world.add_room()
    await set_fee(world, fee_percent_bp=1000)
    _, bought = await world.buy()
    assert bought["amount_minor"] == 1500
    assert (await world.one("orders"))["fee_minor"] == 150


@pytest.mark.parametrize("on_top", [True, False])
async def test_the_card_shows_what_is_then_paid(world: World, on_top):
    await world.add_room()
    await set_fee(world, fee_percent_bp=1000, fee_on_top=on_top)
    async with world.db.read() as tx:
        room = await rooms.by_slug(tx, "talk")
        assert room is not None
        shown = (await read_card(tx, room, "http://localhost"))["choices"][0]
    _, bought = await world.buy()
    assert shown["price"]["amount_minor"] == bought["amount_minor"]
    assert shown.get("fee_on_top", {}).get("amount_minor") == (150 if on_top else None)


async def test_an_order_that_expires_leaves_the_code_to_others(world: World):
    await world.add_room()
    await add_code(world, uses_left=1)
    who = world.customer()
    await world.order(who, code="HALF")
    world.later(3600)
    await world.settle_down()
    assert (await world.show(who))["state"] == "expired"
    assert await left(world) == 1


async def test_a_quote_is_what_the_order_then_costs_and_takes_no_code(world: World):
    await world.add_room()
    await set_fee(world, currency="eur", fee_percent_bp=1000, fee_on_top=True)
    await add_code(world, uses_left=1)
    ask = {"seconds": 900, "code": "half"}
    for _ in range(2):
        status, quoted = await world.call("POST", "/api/rooms/talk/quote", body=ask)
        assert (status, quoted["list_minor"], quoted["discount_minor"], quoted["fee_on_top_minor"]) == (
            200, 1500, 750, 75,
        )  # fmt: skip
    assert await left(world) == 1
    _, bought = await world.buy(code="half")
    assert bought["amount_minor"] == quoted["amount_minor"] == 825
    status, refused = await world.call("POST", "/api/rooms/talk/quote", body=ask)
    assert (status, refused["error"]["code"], refused["error"]["field"]) == (422, "code_used_up", "code")


async def test_a_quote_says_when_a_price_was_raised_to_the_smallest_charge(world: World):
    await world.add_room(tariff={"kind": "entrance", "price_minor": 60, "currency": "eur", "seconds": 600})
    await add_code(world)
    status, quoted = await world.call("POST", "/api/rooms/talk/quote", body={"code": "half"})
    assert (status, quoted["amount_minor"], quoted["raised_minor"]) == (200, 50, 20)
    await world.add_room(
        "use", tariff={"kind": "metered", "rate_minor_per_min": 100, "currency": "eur", "window_s": 900}
    )
    status, refused = await world.call("POST", "/api/rooms/use/quote", body={"code": "half"})
    assert (status, refused["error"]["code"]) == (422, "code_not_here")
