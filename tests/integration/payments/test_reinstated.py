"""Money that a bank gives back after a dispute was lost and booked: once, however late, in any order, wherever it came from."""

from contextlib import suppress
from typing import Any

import pytest

from .test_disputed_credits import money, talk
from .test_subscriptions import add_room as add_subscription_room
from .test_subscriptions import subscribe
from .test_wallet_calls import session_of
from .usage import charged_twice
from .wallets_world import enter, top_up
from .world import Crash, Customer, World

DAY_S = 86_400
__all__ = ["talk"]


async def sold(world: World) -> Customer:
    await world.add_room()
    who, _ = await world.buy()
    return who


async def bank(world: World, action: str, **said: Any) -> None:
    """What a bank does about the first order, and what comes of it."""
    if not {"payment_intent", "session"} & set(said):
        said["session"] = (await world.rows("orders"))[0]["checkout_session_id"]
    done = await world.control("dispute", action=action, **said)
    assert "error" not in done, done
    await world.settle_down()


async def accounts(world: World) -> dict[str, int]:
    """What each account of the ledger owes or has: credits minus debits."""
    rows = await world.rows("balances")
    found = {row["name"].partition(":")[0]: row["credits_minor"] - row["debits_minor"] for row in rows}
    return {name: minor for name, minor in found.items() if minor and name != "stripe_fees"}


async def codes(world: World) -> list[str]:
    return sorted(row["code"] for row in await world.rows("transfers") if row["code"] != "stripe_fee")


@pytest.mark.parametrize("won", [False, True])
async def test_it_is_the_hosts_again_and_the_pass_opens_the_room_again(either_world: World, won: bool):
    world = either_world
    who = await sold(world)
    await bank(world, "open")
    await bank(world, "lost")
    assert await accounts(world) == {}
    world.later(40 * DAY_S)
    await world.settle_down()
    await bank(world, "reinstated", won=won)
    shown = await world.show(who)
    assert (shown["state"], shown["pass"]["state"]) == ("paid", "waiting")
    assert await accounts(world) == {"stripe_clearing": -1500, "earned_available": 1500}  # it has become due
    (order,) = await world.rows("orders")
    assert (order["dispute"], order["lost_minor"]) == ("won", 0)
    await world.assert_books_agree()


async def test_it_is_compared_with_the_services_balance(world: World):
    await sold(world)
    await bank(world, "open")
    await bank(world, "lost", amount_minor=100)
    await bank(world, "reinstated", amount_minor=600)
    world.later(601)
    await world.payments.compare_balances()
    assert await world.rows("differences") == []
    assert (await accounts(world))["earned_pending"] == 700
    await bank(world, "reinstated")
    world.later(601)
    await world.payments.compare_balances()
    assert await world.rows("differences") == []
    assert (await accounts(world))["earned_pending"] == 1500
    await world.assert_books_agree()


async def test_a_part_leaves_the_payment_disputed_and_the_rest_ends_that(world: World):
    who = await sold(world)
    await bank(world, "open", amount_minor=900)
    await bank(world, "lost")
    await bank(world, "reinstated", amount_minor=400)
    assert ((await world.show(who))["state"], (await accounts(world))["earned_pending"]) == ("disputed", 1000)
    await bank(world, "reinstated")
    assert ((await world.show(who))["state"], (await accounts(world))["earned_pending"]) == ("paid", 1500)
    assert (await codes(world)).count("reinstated") == 2
    await world.assert_books_agree()


async def test_each_event_again_and_in_any_order_books_it_once(world: World):
    who = await sold(world)
    await world.control("faults", events="duplicate", times=40)
    await bank(world, "open")
    await world.control("faults", events="reorder", times=40)
    await bank(world, "lost")
    await bank(world, "reinstated")
    for _ in range(2):
        await world.call("POST", f"/api/orders/{who.order_id}/refresh", who, {})
    assert (await codes(world)).count("reinstated") == 1
    assert (await accounts(world))["earned_pending"] == 1500
    await world.assert_books_agree()


async def test_what_was_over_before_anybody_heard_books_nothing(world: World):
    who = await sold(world)
    await world.control("faults", events="drop", times=40)
    for action in ("open", "lost", "reinstated"):
        await world.control(
            "dispute", session=(await world.one("orders"))["checkout_session_id"], action=action
        )
    await world.call("POST", f"/api/orders/{who.order_id}/refresh", who, {})
    await world.settle_down()
    assert await codes(world) == ["payment_captured"]
    assert (await world.show(who))["state"] == "paid"
    await world.assert_books_agree()


async def test_each_of_several_disputes_gives_back_its_own(world: World):
    await sold(world)
    for minor in (400, 400, 1100):
        await bank(world, "open", amount_minor=minor)
        await bank(world, "lost")
        await bank(world, "reinstated")
    assert (await accounts(world))["earned_pending"] == 1500
    assert (await codes(world)).count("reinstated") == 3
    await world.assert_books_agree()


async def test_one_payment_of_several_of_a_call(world: World):
    ana = await charged_twice(world)
    intent = (await ana.windows())[1]["payment_intent_id"]
    for action in ("open", "lost"):
        await bank(world, action, payment_intent=intent)
    assert ((await ana.windows())[1]["lost_minor"], await world.problems()) == (520, [])
    await bank(world, "reinstated", payment_intent=intent)
    second = (await ana.windows())[1]
    assert (second["lost_minor"], second["dispute"]) == (0, "won")
    (order,) = await world.rows("orders")
    assert (order["lost_minor"], order["dispute"]) == (0, "won")
    assert (await accounts(world))["earned_pending"] == 2020
    assert await world.problems() == []


async def test_an_invoice_of_a_subscription(world: World):
    await add_subscription_room(world)
    await subscribe(world)
    intent = (await world.one("invoices"))["payment_intent_id"]
    for action in ("open", "lost"):
        await bank(world, action, payment_intent=intent)
    assert (await world.one("orders"))["lost_minor"] == 900
    await bank(world, "reinstated", payment_intent=intent)
    assert (await world.one("orders"))["lost_minor"] == 0
    assert (await accounts(world))["earned_pending"] == 900
    assert await world.problems() == []


async def test_of_a_top_up_credits_come_back_and_pay_first_what_is_owed(talk: World):
    who = await top_up(talk, "user_ana", 1)
    ana = await enter(talk, "user_ana")
    await ana.calls(120)
    session = await session_of(talk, who)
    await bank(talk, "open", session=session)
    await bank(talk, "lost", session=session)
    assert await money(talk) == (0, 0, 0, 0)  # 20 of the 23 were the price, the rest of the gift is let go
    await bank(talk, "reinstated", session=session, amount_minor=800)
    assert await money(talk) == (800 + 200, 0, 0, 0)
    await bank(talk, "reinstated", session=session)
    assert await money(talk) == (2300, 0, 0, 0)
    await talk.assert_books_agree()


async def test_of_a_top_up_that_was_spent_what_is_owed_is_settled(talk: World):
    who = await top_up(talk, "user_ana")
    ana = await enter(talk, "user_ana")
    await ana.calls(120)
    session = await session_of(talk, who)
    await bank(talk, "open", session=session)
    await bank(talk, "lost", session=session)
    assert await money(talk) == (0, 0, 0, 200)
    await bank(talk, "reinstated", session=session)
    assert await money(talk) == (800, 0, 0, 0)
    await talk.assert_books_agree()


async def test_a_crash_at_any_step_books_it_once(world: World):
    await world.add_room(capacity=10)
    for at in range(8):
        await world.buy()
        session = (await world.rows("orders"))[-1]["checkout_session_id"]
        for action in ("open", "lost"):
            await bank(world, action, session=session)
        before = (await accounts(world)).get("earned_pending", 0)
        world.crash_at = at
        with suppress(Crash):
            await bank(world, "reinstated", session=session)
        died, world.crash_at = world.crashed, None
        await world.reboot()
        world.later(60)
        await world.settle_down()
        assert (await accounts(world))["earned_pending"] == before + 1500
        if not died:
            break
    assert world.deaths > 0
    await world.assert_books_agree()
