"""A host's own money over HTTP: sums, sales with their parts and state, payouts, and the file for a spreadsheet."""

import csv
import io
from typing import Any

import pytest

from signaling.payments.port import RefusedByServiceError
from signaling.stores.people import User

from .hosts import ANA, DAYS_15, Bank, account_becomes, add_host
from .world import World


def a_person(user_id: str) -> User:
    return User(user_id, f"{user_id}@example.org", "Ana", "host", "2026-01-01")


@pytest.fixture
async def bank(world: World) -> Bank:
    world.signed_in = a_person(ANA)
    return await add_host(world)


async def show(world: World, query: str = "") -> dict[str, Any]:
    status, shown = await world.call("GET", f"/api/me/earnings{query}")
    assert status == 200, shown
    return shown


async def sums(world: World) -> dict[str, int]:
    (one,) = (await show(world))["balances"]
    assert one.pop("currency") == "eur"
    return {name.removesuffix("_minor"): value for name, value in one.items() if value}


async def give_back(world: World, order_id: str, amount_minor: int) -> None:
    order = next(row for row in await world.rows("orders") if row["id"] == order_id)
    await world.control("refund", session=order["checkout_session_id"], amount_minor=amount_minor)
    await world.settle_down()


@pytest.mark.parametrize("path", ["/api/me/earnings", "/api/me/earnings.csv", "/api/me/payouts"])
async def test_nobody_sees_anything_without_signing_in(world: World, path: str) -> None:
    assert (await world.call("GET", path))[0] == 401
    for way in ("", "/refresh"):
        assert (await world.call("POST", f"/api/me/onboarding{way}", None, {}))[0] == 401


async def test_money_is_pending_then_available_then_paid(world: World, bank: Bank) -> None:
    await account_becomes(world, bank, "restricted")
    await world.buy()
    assert await sums(world) == {"pending": 1500}
    (sale,) = (await show(world))["sales"]
    assert (sale["gross_minor"], sale["fee_minor"], sale["net_minor"], sale["state"]) == (
        1500,
        0,
        1500,
        "pending",
    )
    assert sale["room"] == {"title": "A talk", "slug": "talk"}
    world.later(DAYS_15)
    await world.settle_down()
    assert await sums(world) == {"available": 1500}
    bank.fails = [RefusedByServiceError("balance_insufficient", "not yet")]
    await account_becomes(world, bank, "active")
    await world.settle_down()
    assert await sums(world) == {"on_its_way": 1500}
    _, found = await world.call("GET", "/api/me/payouts")
    assert [(one["state"], one["failure"]) for one in found["payouts"]] == [("asked", "balance_insufficient")]
    world.later(3600)
    await world.settle_down()
    assert await sums(world) == {"paid": 1500}
    assert [one["state"] for one in (await show(world))["sales"]] == ["paid"]
    _, found = await world.call("GET", "/api/me/payouts")
    assert [(one["state"], one["amount_minor"]) for one in found["payouts"]] == [("sent", 1500)]


async def test_what_went_back_and_what_is_owed_is_said(world: World, bank: Bank) -> None:
    who, _ = await world.buy()
    other, _ = await world.buy()
    await give_back(world, other.order_id, 1500)
    world.later(DAYS_15)
    await world.settle_down()
    bank.fails = [RefusedByServiceError("balance_insufficient", "spent")]
    await give_back(world, who.order_id, 300)
    assert await sums(world) == {"paid": 1500, "debt": 300}
    states = {one["order_id"]: one["state"] for one in (await show(world))["sales"]}
    assert states == {who.order_id: "debt", other.order_id: "given_back"}


async def test_a_disputed_sale_is_held(world: World, bank: Bank) -> None:
    await world.buy()
    await world.control("dispute", session=(await world.one("orders"))["checkout_session_id"])
    await world.settle_down()
    assert await sums(world) == {"disputed": 1500}
    assert [one["state"] for one in (await show(world))["sales"]] == ["disputed"]


async def test_others_see_nothing_of_it(world: World, bank: Bank) -> None:
    await world.buy()
    world.signed_in = a_person("user_bo")
    shown = await show(world)
    assert (shown["balances"], shown["sales"], shown["next"]) == ([], [], None)


async def test_the_operator_pays_out_where_hosts_have_no_accounts(world: World) -> None:
    world.signed_in = a_person(ANA)
    await add_host(world, is_on=False)
    await world.buy()
    world.later(DAYS_15)
    await world.settle_down()
    shown = await show(world)
    assert (shown["connect"], shown["onboarding"]["state"]) == (False, "off")
    assert await sums(world) == {"available": 1500}
    status, refused = await world.call("POST", "/api/me/onboarding", None, {"country": "IT"})
    assert (status, refused["error"]["code"]) == (409, "connect_off")


async def test_sales_come_page_by_page_and_all_of_them_in_the_file(world: World, bank: Bank) -> None:
    await world.set_room("room_talk", title="=HYPERLINK(1)", capacity=100)
    bought = []
    for number in range(52):
        if number % 5 == 0:
            world.later(1)
        bought.append((await world.buy())[0].order_id)
    first = await show(world)
    second = await show(world, f"?before={first['next']}")
    seen = [sale["order_id"] for sale in (*first["sales"], *second["sales"])]
    assert (len(first["sales"]), second["next"], sorted(seen)) == (50, None, sorted(bought))
    async with world.http.get(world.ours.make_url("/api/me/earnings.csv")) as response:
        assert response.headers["Content-Disposition"] == 'attachment; filename="earnings.csv"'
        lines = list(csv.DictReader(io.StringIO(await response.text())))
    assert [line["order"] for line in lines] == seen
    assert {(line["room"], line["paid_by_guest"], line["net"], line["state"]) for line in lines} == {
        ("'=HYPERLINK(1)", "15.00", "15.00", "pending")
    }


async def test_a_way_into_the_forms_needs_a_country_the_first_time(world: World, bank: Bank) -> None:
    world.signed_in = a_person(ANA)
    status, refused = await world.call("POST", "/api/me/onboarding", None, {"country": "Italy"})
    assert (status, refused["error"]["field"]) == (422, "country")
    assert (await world.call("POST", "/api/me/onboarding/refresh", None, {}))[1] == {
        "state": "active",
        "requirements": [],
    }
