"""A call that was paid for in several payments: refunds and disputes of each of them."""

import os
from typing import Any

import pytest

from signaling.ids import new_id
from signaling.payments.port import RefundFact
from signaling.payments.settle import bring_up_to_date

from .usage import Caller, charged_twice
from .world import OPERATOR_SECRET, Customer, World

OPERATOR = Customer("", OPERATOR_SECRET)


@pytest.fixture
async def ana(world: World) -> Caller:
    return await charged_twice(world)


async def ask(world: World, ana: Caller, **body: Any) -> tuple[int, dict[str, Any]]:
    said = {"refund_id": new_id("rfd", os.urandom), "reason": "goodwill"} | body
    answer = await world.call("POST", f"/api/admin/orders/{ana.who.order_id}/refunds", OPERATOR, said)
    await world.settle_down()
    return answer


async def at_the_bank(world: World, ana: Caller, number: int, what: str, **body: Any) -> None:
    window = (await ana.windows())[number - 1]
    await world.control(what, payment_intent=window["payment_intent_id"], **body)
    await world.settle_down()


async def gone(ana: Caller) -> list[tuple[int, str, int]]:
    return [(row["refunded_minor"], row["dispute"], row["lost_minor"]) for row in await ana.windows()]


async def booked(world: World, code: str) -> int:
    return sum(row["amount_minor"] for row in await world.rows("transfers") if row["code"] == code)


async def test_a_refund_takes_the_latest_payment_first_and_then_the_one_before(
    world: World, ana: Caller
) -> None:
    assert (await ask(world, ana, amount_minor=700))[0] == 202
    assert await gone(ana) == [(180, "none", 0), (520, "none", 0)]
    assert sorted((row["amount_minor"], row["state"]) for row in await world.rows("refunds")) == [
        (180, "succeeded"),
        (520, "succeeded"),
    ]
    assert (await world.show(ana.who))["state"] == "partly_refunded"
    await ask(world, ana, part="all")
    assert (await world.show(ana.who))["state"] == "refunded"
    assert (await booked(world, "refund"), await world.problems()) == (2020, [])


async def test_the_same_refund_again_asks_nothing_more(world: World, ana: Caller) -> None:
    one = new_id("rfd", os.urandom)
    await ask(world, ana, refund_id=one, amount_minor=700)
    status, again = await ask(world, ana, refund_id=one, amount_minor=700)
    assert (status, again["state"], again["amount_minor"]) == (202, "succeeded", 700)
    assert await booked(world, "refund") == 700


async def test_a_refund_of_a_later_payment_in_the_dashboard_is_on_the_receipt(
    world: World, ana: Caller
) -> None:
    await at_the_bank(world, ana, 2, "refund", amount_minor=120)
    _, receipt = await world.call("GET", f"/api/orders/{ana.who.order_id}/receipt", ana.who)
    assert [(one["amount_minor"], one["reason"]) for one in receipt["refunds"]] == [(120, "dashboard")]
    assert receipt["total"]["amount_minor"] == 1900
    assert await gone(ana) == [(0, "none", 0), (120, "none", 0)]
    assert await world.problems() == []


@pytest.mark.parametrize("number", [1, 2])
async def test_a_dispute_of_any_payment_is_seen_and_can_be_won(
    world: World, ana: Caller, number: int
) -> None:
    await at_the_bank(world, ana, number, "dispute")
    assert (await world.show(ana.who))["state"] == "disputed"
    await at_the_bank(world, ana, number, "dispute", action="won")
    assert (await world.show(ana.who))["state"] == "paid"
    assert (await booked(world, "dispute_lost"), await world.problems()) == (0, [])


@pytest.mark.parametrize(("number", "lost_minor"), [(1, 1500), (2, 520)])
async def test_a_dispute_of_any_payment_that_is_lost_takes_that_one(
    world: World, ana: Caller, number: int, lost_minor: int
) -> None:
    await at_the_bank(world, ana, number, "dispute")
    await at_the_bank(world, ana, number, "dispute", action="lost")
    (order,) = await world.rows("orders")
    assert (order["state"], order["lost_minor"]) == ("disputed", lost_minor)
    assert (await booked(world, "dispute_lost"), await world.problems()) == (lost_minor, [])


async def test_of_a_part_refunded_payment_the_bank_takes_the_rest(world: World, ana: Caller) -> None:
    await ask(world, ana, amount_minor=100)
    await at_the_bank(world, ana, 2, "dispute")
    await at_the_bank(world, ana, 2, "dispute", action="lost")
    assert await gone(ana) == [(0, "none", 0), (100, "lost", 420)]
    assert (await booked(world, "dispute_lost"), await world.problems()) == (420, [])


async def test_while_one_is_disputed_the_other_can_be_given_back(world: World, ana: Caller) -> None:
    await at_the_bank(world, ana, 2, "dispute")
    status, refused = await ask(world, ana, amount_minor=1501)
    assert (status, refused["error"]["code"]) == (409, "too_much")
    assert (await ask(world, ana, part="all"))[0] == 202
    assert await gone(ana) == [(1500, "none", 0), (0, "open", 0)]
    status, refused = await ask(world, ana, part="all")
    assert (status, refused["error"]["code"]) == (409, "disputed")
    assert (await booked(world, "refund"), await world.problems()) == (1500, [])


async def test_a_part_of_one_payment_is_disputed_and_another_part_later(world: World, ana: Caller) -> None:
    await at_the_bank(world, ana, 1, "refund", amount_minor=200)
    await at_the_bank(world, ana, 1, "dispute", amount_minor=600)
    assert (await world.show(ana.who))["state"] == "disputed"
    failed = (await world.one("refunds"))["stripe_refund_id"]
    await world.control("fail_refund", refund=failed)
    await at_the_bank(world, ana, 1, "dispute", action="lost")
    assert await gone(ana) == [(0, "lost", 600), (0, "none", 0)]
    await at_the_bank(world, ana, 1, "dispute", amount_minor=300)
    await at_the_bank(world, ana, 1, "dispute", action="won")
    await at_the_bank(world, ana, 1, "dispute")
    await at_the_bank(world, ana, 1, "dispute", action="lost")
    order = await world.one("orders")
    assert (order["dispute"], order["lost_minor"], order["refunded_minor"]) == ("lost", 1500, 0)
    lost = [one["lost_minor"] for one in await world.rows("disputes")]
    assert sorted(lost) == [0, 600, 900]
    assert (await booked(world, "dispute_lost"), await world.problems()) == (1500, [])


async def test_each_dispute_has_its_own_end(world: World, ana: Caller) -> None:
    for number in (1, 2):
        await at_the_bank(world, ana, number, "dispute")
    await at_the_bank(world, ana, 1, "dispute", action="lost")
    await at_the_bank(world, ana, 2, "dispute", action="won")
    (order,) = await world.rows("orders")
    assert (order["dispute"], order["lost_minor"]) == ("lost", 1500)
    assert await gone(ana) == [(0, "lost", 1500), (0, "won", 0)]
    assert await world.problems() == []


async def test_a_refund_of_a_later_payment_that_the_bank_sends_back_is_asked_for_again(
    world: World, ana: Caller
) -> None:
    await ask(world, ana, amount_minor=520)
    (refund,) = await world.rows("refunds")
    await world.control("fail_refund", refund=refund["stripe_refund_id"])
    await world.settle_down()
    assert (await world.one("refunds"))["state"] == "failed"
    assert (await world.one("orders"))["refunded_minor"] == 0
    assert await world.problems() == []
    world.later(3601)
    await world.settle_down()
    assert sorted(row["state"] for row in await world.rows("refunds")) == ["failed", "succeeded"]
    assert (await world.one("orders"))["refunded_minor"] == 520
    assert await world.problems() == []


async def test_a_refund_that_is_sent_back_while_its_order_is_looked_at_is_booked_back(
    world: World, ana: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    await at_the_bank(world, ana, 1, "refund", amount_minor=1500)
    (first,) = await world.rows("refunds")
    service, asked = world.payments.ctx.service, []
    listed = service.list_refunds

    async def sent_back_meanwhile(payment_intent_id: str) -> tuple[RefundFact, ...]:
        asked.append(payment_intent_id)
        if len(asked) == 3:  # of each payment, and then of the order's own
            await world.control("fail_refund", refund=first["stripe_refund_id"])
        return await listed(payment_intent_id)

    monkeypatch.setattr(service, "list_refunds", sent_back_meanwhile)
    await bring_up_to_date(world.payments.ctx, ana.who.order_id)
    assert len(asked) == 3
    await world.settle_down()
    assert [row["refunded_minor"] for row in await ana.windows()] == [0, 0]
    assert (await world.one("orders"))["refunded_minor"] == 0
    assert await world.problems() == []
