"""Balances that the platform itself manages: credits given and taken, once for each transfer."""

from typing import Any

import pytest

from .wallets_world import WALLET, add_person, ask_topup, enter, runs_low, wallet
from .world import OPERATOR_SECRET, Customer, World


@pytest.fixture
async def talk(world: World) -> World:
    await world.add_room(tariff=WALLET)
    await add_person(world)
    return world


async def move(
    world: World, direction: str, transfer_id: str, amount_minor: int, secret: str = OPERATOR_SECRET
) -> tuple[int, dict[str, Any]]:
    body = {"transfer_id": transfer_id, "amount_minor": amount_minor, "note": "for March"}
    path = f"/api/admin/wallets/user_ana/eur/{direction}"
    return await world.call("POST", path, Customer("ord_none", secret), body)


async def test_credits_are_given_once_and_spent_like_others(talk: World):
    for _ in range(2):
        status, shown = await move(talk, "credit", "transfer-1", 500)
        assert (status, shown["balance_minor"], shown["managed_by"]) == (200, 500, "platform")
    status, answer = await move(talk, "credit", "transfer-1", 600)
    assert (status, answer["error"]["code"]) == (409, "exists_different")
    ana = await enter(talk, "user_ana")
    await ana.calls(60)
    assert (await wallet(talk, "user_ana"))["balance_minor"] == 400
    assert await talk.problems() == []


async def test_no_more_is_taken_than_there_is(talk: World):
    await move(talk, "credit", "transfer-1", 500)
    status, shown = await move(talk, "debit", "transfer-2", 200)
    assert (status, shown["balance_minor"]) == (200, 300)
    status, answer = await move(talk, "debit", "transfer-3", 301)
    assert (status, answer["error"]["code"]) == (409, "balance_low")
    kinds = [(line["kind"], line["amount_minor"]) for line in (await wallet(talk, "user_ana"))["history"]]
    assert sorted(kinds) == [("credit", 500), ("debit", -200)]


async def test_nothing_is_bought_for_a_wallet_that_the_platform_manages(talk: World):
    await move(talk, "credit", "transfer-1", 500)
    assert (await wallet(talk, "user_ana"))["packages"] == []
    _, status, answer = await ask_topup(talk, "user_ana", price_minor=1000)
    assert (status, answer["error"]["code"]) == (409, "managed_by_platform")


async def test_only_the_operator_gives_and_only_to_people(talk: World):
    status, answer = await move(talk, "credit", "transfer-1", 500, secret="x" * 40)
    assert (status, answer["error"]["code"]) == (401, "sign_in_required")
    body = {"transfer_id": "transfer-1", "amount_minor": 500}
    operator = Customer("ord_none", OPERATOR_SECRET)
    for path, code in (("user_nobody/eur", "unknown_user"), ("user_ana/zzz", "unknown_currency")):
        status, answer = await talk.call("POST", f"/api/admin/wallets/{path}/credit", operator, body)
        assert (status, answer["error"]["code"]) == (404, code)
    assert await talk.rows("transfers") == []


async def test_a_call_goes_on_with_credits_that_are_given_meanwhile(talk: World):
    await move(talk, "credit", "transfer-1", 200)
    ana = await enter(talk, "user_ana")
    await ana.uses(60)
    await runs_low(talk, ana)
    assert (await ana.pass_row())["granted_ms"] == 120_000
    await move(talk, "credit", "transfer-2", 500)
    for notice in tuple(talk.notices):
        talk.payments.hear(notice)
    await talk.settle_down()
    assert (await ana.pass_row())["granted_ms"] == 240_000
