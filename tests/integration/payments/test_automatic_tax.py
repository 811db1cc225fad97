"""Tax within the price, computed by the payment service where the rates say so: on both databases, through its SDK."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from signaling.stores import rates, rooms
from signaling.stores.rates import BooksOf
from tests.contract.conftest import database_url, postgres_url  # noqa: F401 - fixtures

from .test_asked_refunds import OPERATOR
from .world import PER_MINUTE, World, build_world

BOOKS = BooksOf("sandbox", "sandbox")
METERED = {"kind": "metered", "rate_minor_per_min": 100, "currency": "eur", "window_s": 900}


@pytest.fixture
async def world(tmp_path: Path, database_url: str) -> AsyncIterator[World]:  # noqa: F811
    async with build_world(tmp_path, database_url) as built:
        await built.control("tax", percent=19)
        yield built


async def say(world: World, **figures: Any) -> None:
    row = rates.RatesRow("default", "", figures, world.now_text())
    await world.db.write(lambda tx: rates.set_rates(tx, BOOKS, row))


async def balances(world: World) -> dict[str, int]:
    """What each account has in credit, by name."""
    return {
        row["name"]: row["credits_minor"] - row["debits_minor"]
        for row in await world.rows("balances")
        if row["credits_minor"] != row["debits_minor"]
    }


async def test_tax_is_within_the_price_booked_apart_and_on_the_receipt(world: World):
    await say(world, automatic_tax=True, fee_percent_bp=1000)
    await world.add_room()
    who, bought = await world.buy()
    # 19 % within 15.00 are 2.39, the fee is a tenth of the whole price.
    assert (bought["state"], bought["amount_minor"]) == ("paid", 1500)
    (call,) = await world.rows("stripe_calls")
    assert call["params"]["automatic_tax"] == {"enabled": True}
    assert call["params"]["line_items"][0]["price_data"]["tax_behavior"] == "inclusive"
    sale = await world.one("earnings")
    assert (sale["tax_minor"], sale["fee_minor"], sale["net_minor"]) == (239, 150, 1111)
    assert await balances(world) == {
        "stripe_clearing": -1500,
        "tax_payable": 239,
        "platform_fee": 150,
        "earned_pending:room_talk": 1111,
    }
    status, receipt = await world.call("GET", f"/api/orders/{who.order_id}/receipt", who)
    assert status == 200
    assert receipt["tax"] == {"amount_minor": 239, "currency": "eur"}
    assert receipt["total"] == {"amount_minor": 1500, "currency": "eur"}
    await world.assert_books_agree()


async def test_tax_goes_back_in_proportion_and_to_the_last_cent(world: World):
    await say(world, automatic_tax=True, fee_percent_bp=1000)
    await world.add_room()
    who, _ = await world.buy()
    session = (await world.one("orders"))["checkout_session_id"]
    await world.control("refund", session=session, amount_minor=500)
    await world.settle_down()
    held = await balances(world)
    assert (held["tax_payable"], held["platform_fee"]) == (239 - 80, 150 - 49)
    await world.assert_books_agree()
    path = f"/api/admin/orders/{who.order_id}/refunds"
    body = {"refund_id": "rfd_" + "a" * 22, "order_id": who.order_id, "reason": "goodwill", "part": "all"}
    assert (await world.call("POST", path, OPERATOR, body))[0] == 202
    await world.settle_down()
    assert (await world.show(who))["state"] == "refunded"
    assert await balances(world) == {}
    await world.assert_books_agree()


async def test_what_a_room_earned_is_told_after_fee_and_tax_and_what_went_back(world: World):
    await say(world, automatic_tax=True, fee_percent_bp=1000)
    await world.add_room()
    await world.buy()
    session = (await world.one("orders"))["checkout_session_id"]
    async with world.db.read() as tx:
        earned = await rooms.earnings(tx, "room_talk")
    assert (earned.gross_minor, earned.refunded_minor, earned.net_minor) == (1500, 0, 1111)
    await world.control("refund", session=session, amount_minor=500)
    await world.settle_down()
    sale = await world.one("earnings")
    async with world.db.read() as tx:
        earned = await rooms.earnings(tx, "room_talk")
    assert (earned.gross_minor, earned.refunded_minor) == (1500, 500)
    assert earned.net_minor == sale["net_minor"] - sale["reversed_minor"]


async def test_the_fee_leaves_room_for_the_tax(world: World):
    await say(world, automatic_tax=True, fee_percent_bp=9500)
    await world.add_room()
    await world.buy()
    sale = await world.one("earnings")
    assert (sale["tax_minor"], sale["fee_minor"], sale["net_minor"]) == (239, 1261, 0)
    await world.assert_books_agree()


async def test_time_that_is_added_is_taxed_too(world: World):
    await say(world, automatic_tax=True)
    await world.add_room()
    first, bought = await world.buy()
    more = world.customer()
    _, order = await world.order(more, extends=bought["pass"]["id"], extends_secret=first.secret)
    await world.pay(order)
    await world.settle_down()
    assert sorted(row["tax_minor"] for row in await world.rows("earnings")) == [239, 239]
    await world.assert_books_agree()


@pytest.mark.parametrize(
    ("figures", "tariff"),
    [({}, PER_MINUTE), ({"automatic_tax": False}, PER_MINUTE), ({"automatic_tax": True}, METERED)],
    ids=["nothing-said", "switched-off", "paid-for-by-use"],
)
async def test_no_tax_is_asked_for(world: World, figures: dict[str, Any], tariff: dict[str, Any]):
    await say(world, **figures)
    await world.add_room(tariff=tariff)
    seconds = {"seconds": None} if tariff is METERED else {}
    _, bought = await world.buy(**seconds)
    assert bought["state"] == "paid"
    (call,) = await world.rows("stripe_calls")
    assert "automatic_tax" not in call["params"]
    assert (await world.one("orders"))["tax_minor"] == 0
