"""Cards that a person keeps: buying credits with one, and topping up unasked while a call goes on."""

from typing import Any

import pytest

from metering.wallet import AUTO_PER_HOUR, HOUR_S
from signaling.notices import Funding
from signaling.stores.rates import BooksOf, RatesRow, set_rates

from .usage import Caller
from .wallets_world import WALLET, add_person, ask_topup, enter, runs_low, wallet
from .world import ACCOUNT, Crash, World

PACKAGES = [{"price_minor": 300, "credit_minor": 300, "currency": "eur"}]


@pytest.fixture
async def talk(world: World) -> World:
    """A room at 1 euro a minute from credits, in packages of three euros."""
    await world.add_room(tariff=WALLET, capacity=10)
    row = RatesRow("default", "", {"packages": PACKAGES}, world.now_text())
    await world.db.write(lambda tx: set_rates(tx, BooksOf("sandbox", ACCOUNT), row))
    await add_person(world)
    return world


async def keeps(world: World, card: str = "succeeds") -> str:
    """Ana has three euros, and that card on file."""
    who, status, order = await ask_topup(world, "user_ana", save_card=True)
    assert status == 201, order
    status, answer = await world.pay(order, card)
    assert status == 200, answer
    await world.settle_down()
    assert (await world.show(who))["state"] == "paid"
    (kept,) = (await wallet(world, "user_ana"))["cards"]
    return str(kept["id"])


async def put_auto(world: World, **choice: Any) -> tuple[int, dict[str, Any]]:
    return await world.call("PUT", "/api/wallets/eur/auto", world.customer("user_ana"), choice)


async def tops_up(world: World, card_id: str) -> None:
    status, shown = await put_auto(world, on=True, package=0, payment_method_id=card_id)
    assert (status, shown["auto"]["on"]) == (200, True)


async def in_a_call(world: World, card: str) -> Caller:
    """With three euros, and topping up by that card."""
    await tops_up(world, await keeps(world, card))
    return await enter(world, "user_ana")


async def topups(world: World) -> list[dict[str, Any]]:
    return [row for row in await world.rows("orders") if row["ui"] == "auto"]


def told(world: World, kind: str) -> list[Funding]:
    return [one for one in world.notices if isinstance(one, Funding) and one.kind == kind]


# --- with a card on file ----------------------------------------------------------------------------------


async def test_credits_are_bought_with_a_card_that_was_kept(talk: World):
    card_id = await keeps(talk)
    shown = (await wallet(talk, "user_ana"))["cards"][0]
    assert (shown["brand"], shown["last4"]) == ("visa", "4242")
    who, status, order = await ask_topup(talk, "user_ana", payment_method_id=card_id)
    assert (status, order["state"], order["checkout"]) == (201, "paid", None)
    assert (await wallet(talk, "user_ana"))["balance_minor"] == 600
    await talk.settle_down()
    assert (await talk.show(who))["state"] == "paid"
    assert (await wallet(talk, "user_ana"))["balance_minor"] == 600
    assert await talk.problems() == []


async def test_a_card_that_was_not_to_be_kept_is_not(talk: World):
    who, _, order = await ask_topup(talk, "user_ana")
    await talk.pay(order)
    await talk.settle_down()
    assert (await talk.show(who))["state"] == "paid"
    assert (await wallet(talk, "user_ana"))["cards"] == []


async def test_a_declined_card_on_file_buys_nothing_and_says_why(talk: World):
    card_id = await keeps(talk, "no_funds_later")
    who, status, order = await ask_topup(talk, "user_ana", payment_method_id=card_id)
    assert (status, order["state"]) == (201, "failed")
    assert (await talk.show(who))["failure"] == "insufficient_funds"
    assert (await wallet(talk, "user_ana"))["balance_minor"] == 300


async def test_nobody_pays_with_the_card_of_another(talk: World):
    card_id = await keeps(talk)
    await add_person(talk, "ben")
    _, status, answer = await ask_topup(talk, "user_ben", payment_method_id=card_id)
    assert (status, answer["error"]["code"]) == (404, "unknown_card")


async def test_a_forgotten_card_is_gone_and_tops_nothing_up(talk: World):
    card_id = await keeps(talk)
    await tops_up(talk, card_id)
    await add_person(talk, "ben")
    path = f"/api/me/cards/{card_id}"
    status, answer = await talk.call("DELETE", path, talk.customer("user_ben"))
    assert (status, answer["error"]["code"]) == (404, "unknown_card")
    status, answer = await talk.call("DELETE", path, talk.customer("user_ana"))
    assert (status, answer["wallets"][0]["cards"]) == (200, [])
    assert answer["wallets"][0]["auto"]["on"] is False
    _, status, answer = await ask_topup(talk, "user_ana", payment_method_id=card_id)
    assert (status, answer["error"]["code"]) == (404, "unknown_card")


# --- unasked ----------------------------------------------------------------------------------------------


async def test_a_call_that_runs_low_is_topped_up_and_goes_on(talk: World):
    ana = await in_a_call(talk, "succeeds")
    await runs_low(talk, ana)  # the third minute is held, nothing is left
    (topup,) = await topups(talk)
    assert (topup["state"], topup["amount_minor"]) == ("paid", 300)
    shown = await wallet(talk, "user_ana")
    assert (shown["balance_minor"], shown["available_minor"]) == (600, 300)
    assert told(talk, "topped_up")[-1].balance_minor == 300
    await ana.uses(120)
    await runs_low(talk, ana)
    assert (await ana.pass_row())["granted_ms"] == 300_000
    assert await talk.problems() == []


async def test_it_must_be_switched_on_with_a_package_and_an_own_card(talk: World):
    card_id = await keeps(talk)
    for choice, status, code in (
        ({"on": True}, 422, "invalid"),
        ({"on": True, "package": 0, "payment_method_id": "pm_other"}, 404, "unknown_card"),
        ({"on": True, "package": 1, "payment_method_id": card_id}, 409, "package_changed"),
    ):
        found, answer = await put_auto(talk, **choice)
        assert (found, answer["error"]["code"]) == (status, code)
    ana = await enter(talk, "user_ana")
    await runs_low(talk, ana)
    assert await topups(talk) == []
    await tops_up(talk, card_id)
    status, shown = await put_auto(talk, on=False)
    assert (status, shown["auto"]["on"]) == (200, False)
    await runs_low(talk, ana)
    assert await topups(talk) == []


async def test_outside_a_call_nothing_is_asked(talk: World):
    ana = await in_a_call(talk, "succeeds")
    await ana.goes("connection_lost")
    await runs_low(talk, ana)
    assert await topups(talk) == []


@pytest.mark.parametrize("card", ["declines_later", "no_funds_later"])
async def test_a_decline_is_told_and_the_card_left_alone_for_an_hour(talk: World, card: str):
    ana = await in_a_call(talk, card)
    await runs_low(talk, ana)
    (topup,) = await topups(talk)
    assert topup["state"] == "failed"
    assert told(talk, "funding_failed")[-1].failure == topup["failure"]
    await runs_low(talk, ana)
    talk.later(HOUR_S - 10)
    await runs_low(talk, ana)
    assert len(await topups(talk)) == 1
    talk.later(11)
    await runs_low(talk, ana)
    assert len(await topups(talk)) == 2
    assert (await wallet(talk, "user_ana"))["balance_minor"] == 300


async def test_at_most_three_in_an_hour(talk: World):
    ana = await in_a_call(talk, "succeeds")
    for minutes in range(60):
        await ana.uses(minutes * 60)
        await runs_low(talk, ana)
    assert len(await topups(talk)) == AUTO_PER_HOUR
    assert (await ana.pass_row())["granted_ms"] == (1 + AUTO_PER_HOUR) * 180_000


async def test_while_a_bank_looks_into_a_top_up_none_is_asked_for_unasked(talk: World):
    ana = await in_a_call(talk, "succeeds")
    session = (await talk.rows("orders"))[0]["checkout_session_id"]
    await talk.control("dispute", session=session)
    await talk.settle_down()
    await runs_low(talk, ana)
    assert await topups(talk) == []
    await talk.control("dispute", session=session, action="won")
    await talk.settle_down()
    await runs_low(talk, ana)
    assert [one["state"] for one in await topups(talk)] == ["paid"]


async def test_two_calls_on_one_wallet_ask_once(talk: World):
    await keeps(talk)
    card_id = await keeps_more(talk)
    await tops_up(talk, card_id)
    first, second = await enter(talk, "user_ana"), await enter(talk, "user_ana")
    await talk.control("faults", operation="payment_intents.create", fault="conflict_409", times=1)
    await runs_low(talk, first)
    await runs_low(talk, second)
    (topup,) = await topups(talk)
    assert topup["state"] == "new"
    talk.later(5)
    await talk.settle_down()
    (topup,) = await topups(talk)
    assert topup["state"] == "paid"


async def keeps_more(world: World) -> str:
    (kept, *_) = (await wallet(world, "user_ana"))["cards"]
    await ask_topup(world, "user_ana", payment_method_id=kept["id"])
    return str(kept["id"])


@pytest.mark.parametrize("at", range(0, 12, 2))
async def test_a_crash_at_any_step_tops_up_once(talk: World, at: int):
    ana = await in_a_call(talk, "succeeds")
    talk.crash_at = at
    try:
        await runs_low(talk, ana)
    except Crash:
        assert talk.deaths == 1
    await talk.reboot()
    if not await topups(talk):  # the notice died with the server; the room tells it again
        await runs_low(talk, ana)
    talk.later(30)
    await talk.settle_down()
    (made,) = await topups(talk)
    assert made["state"] == "paid"
    assert (await wallet(talk, "user_ana"))["balance_minor"] == 600
    assert await talk.problems() == []


async def test_a_package_that_is_held_at_once_is_bought_once_for_each_time_that_the_stay_runs_low(
    talk: World,
):
    small = [{"price_minor": 200, "credit_minor": 200, "currency": "eur"}]
    row = RatesRow("default", "", {"packages": small}, talk.now_text())
    await talk.db.write(lambda tx: set_rates(tx, BooksOf("sandbox", ACCOUNT), row))
    ana = await in_a_call(talk, "succeeds")
    talk.notice_board.subscribe(talk.payments.hear)
    for times in (1, 2):
        await ana.runs_low()
        await talk.settle_down()
        assert len(await topups(talk)) == times
    assert await talk.problems() == []
