"""A room where there is nothing to pay: the order grants at once, and nothing is asked of the payment service."""

import pytest

from signaling.notices import OrderPaid

from .world import World

FREE = {"kind": "free", "currency": "eur", "seconds": 1800}


@pytest.fixture
async def talk(world: World) -> World:
    await world.add_room(tariff=FREE, capacity=2)
    return world


async def test_the_order_opens_the_room_at_once(talk: World):
    who = talk.customer()
    status, made = await talk.order(who, seconds=None)
    assert (status, made["state"], made["amount_minor"], made["checkout"]) == (201, "paid", 0, None)
    shown = await talk.show(who)
    assert (shown["funding"], shown["pass"]["state"], shown["pass"]["granted_ms"]) == (
        "free",
        "waiting",
        1_800_000,
    )
    assert await talk.rows("stripe_calls") == []
    assert await talk.rows("transfers") == []
    (told,) = [notice for notice in talk.notices if isinstance(notice, OrderPaid)]
    assert told.amount_minor == 0
    await talk.assert_books_agree()


async def test_the_same_request_again_is_the_same_pass(talk: World):
    who = talk.customer()
    await talk.order(who, seconds=None)
    status, again = await talk.order(who, seconds=None)
    assert (status, again["state"]) == (200, "paid")
    assert len(await talk.rows("passes")) == 1


async def test_seats_are_limited_all_the_same(talk: World):
    for _ in range(2):
        assert (await talk.order(talk.customer(), seconds=None))[0] == 201
    status, refused = await talk.order(talk.customer(), seconds=None)
    assert (status, refused["error"]["code"]) == (409, "room_full")


async def test_a_host_who_stays_away_owes_nothing(talk: World):
    who = talk.customer()
    await talk.order(who, seconds=None)
    await talk.host_leaves("room_talk")
    talk.later(900)
    await talk.settle_down()
    await talk.set_room("room_talk", state="closed")
    await talk.settle_down()
    assert await talk.rows("refunds") == []
    assert await talk.problems() == []
