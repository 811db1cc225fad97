"""Credits whose payment a bank looks into: frozen as far as they are unspent, free again when it is won, taken when it is lost."""

from contextlib import suppress
from typing import Any

import pytest
from sqlalchemy import update

from signaling.stores.rates import BooksOf, RatesRow, set_rates
from signaling.stores.schema import disputes

from .test_asked_refunds import ask
from .test_wallet_calls import balances, session_of, told
from .wallets_world import WALLET, add_person, enter, runs_low, top_up, wallet
from .world import ACCOUNT, Crash, Customer, World

# 10 euros buy 10, and 20 euros buy 25.
PACKAGES = [
    {"price_minor": 1000, "credit_minor": 1000, "currency": "eur"},
    {"price_minor": 2000, "credit_minor": 2500, "currency": "eur"},
]


@pytest.fixture
async def talk(either_world: World) -> World:
    world = either_world
    await world.add_room(tariff=WALLET)
    row = RatesRow("default", "", {"packages": PACKAGES}, world.now_text())
    await world.db.write(lambda tx: set_rates(tx, BooksOf("sandbox", ACCOUNT), row))
    await add_person(world)
    return world


async def money(world: World) -> tuple[int, int, int, int]:
    """Available, held, frozen and owed of the wallet."""
    shown = await wallet(world, "user_ana")
    parts = (shown["available_minor"], shown["held_minor"], shown["frozen_minor"])
    assert shown["balance_minor"] == sum(parts)
    return (*parts, shown["owed_minor"])


async def bank(world: World, who: Customer, **said: Any) -> dict[str, Any]:
    """What a bank does about that top-up, and what comes of it."""
    done = await world.control("dispute", session=await session_of(world, who), **said)
    await world.settle_down()
    return done


async def hear_all(world: World) -> None:
    """As the composition root tells it."""
    for notice in tuple(world.notices):
        world.payments.hear(notice)
    world.notices.clear()
    await world.settle_down()


async def test_what_is_unspent_is_frozen_and_free_again_once_it_is_won(talk: World):
    who = await top_up(talk, "user_ana", 1)
    ana = await enter(talk, "user_ana")
    await ana.calls(120)
    await bank(talk, who)
    assert await money(talk) == (0, 0, 2300, 0)
    status, refused = await talk.order(talk.customer("user_ana"), seconds=None)
    assert (status, refused["error"]["code"]) == (402, "balance_low")
    assert await talk.problems() == []
    await bank(talk, who, action="won")
    assert await money(talk) == (2300, 0, 0, 0)
    await talk.assert_books_agree()


async def test_what_is_frozen_is_taken_when_it_is_lost_and_what_was_spent_is_owed(talk: World):
    who = await top_up(talk, "user_ana")
    ana = await enter(talk, "user_ana")
    await ana.calls(120)
    await bank(talk, who)
    assert await money(talk) == (0, 0, 800, 0)
    await bank(talk, who, action="lost")
    assert await money(talk) == (0, 0, 0, 200)
    assert (await balances(talk))["receivable:user_ana"] == -200
    kinds = [(line["kind"], line["amount_minor"]) for line in (await wallet(talk, "user_ana"))["history"]]
    assert sorted(kinds) == [("dispute", -800), ("topup", 1000), ("use", -200)]
    await talk.assert_books_agree()


async def test_a_dispute_about_a_part_freezes_that_part_with_its_gift(talk: World):
    who = await top_up(talk, "user_ana", 1)
    await bank(talk, who, amount_minor=800)
    assert await money(talk) == (1500, 0, 1000, 0)
    ana = await enter(talk, "user_ana")
    await ana.calls(60)
    assert await money(talk) == (1400, 0, 1000, 0)
    await bank(talk, who, action="lost", amount_minor=300)  # it gives a part back
    assert await money(talk) == (1400 + 375, 0, 0, 0)
    await talk.assert_books_agree()


async def test_two_disputes_of_one_top_up_freeze_what_both_are_about(talk: World):
    who = await top_up(talk, "user_ana")
    first = await bank(talk, who, amount_minor=300)
    second = await bank(talk, who, amount_minor=400)
    assert await money(talk) == (300, 0, 700, 0)
    await bank(talk, who, dispute=first["id"], action="lost")
    assert await money(talk) == (300, 0, 400, 0)
    await bank(talk, who, dispute=second["id"], action="won")
    assert await money(talk) == (700, 0, 0, 0)
    await talk.assert_books_agree()


async def test_what_another_payment_bought_can_be_spent(talk: World):
    first = await top_up(talk, "user_ana")
    ana = await enter(talk, "user_ana")
    await ana.calls(120)
    talk.later(1)
    await top_up(talk, "user_ana", 1)
    await bank(talk, first)
    assert await money(talk) == (2500, 0, 800, 0)
    ben = await enter(talk, "user_ana")
    await ben.calls(60)
    await bank(talk, first, action="won")
    assert await money(talk) == (3200, 0, 0, 0)
    await talk.assert_books_agree()


async def test_what_is_bought_while_a_bank_looks_is_not_frozen(talk: World):
    who = await top_up(talk, "user_ana")
    ana = await enter(talk, "user_ana")
    await ana.calls(120)
    await bank(talk, who)
    talk.later(1)
    await top_up(talk, "user_ana")
    assert await money(talk) == (1000, 0, 800, 0)
    await bank(talk, who, action="lost")  # what is owed is paid of it then
    assert await money(talk) == (800, 0, 0, 0)
    await talk.assert_books_agree()


async def test_a_call_keeps_what_it_holds_is_told_and_goes_on_once_it_is_won(talk: World):
    who = await top_up(talk, "user_ana")
    ana = await enter(talk, "user_ana")
    await ana.uses(60)
    await bank(talk, who)
    assert await money(talk) == (0, 200, 800, 0)
    assert told(talk, "balance_low")[-1].balance_minor == 0
    await runs_low(talk, ana)
    assert (await ana.pass_row())["granted_ms"] == 120_000
    await hear_all(talk)
    await bank(talk, who, action="won")
    assert told(talk, "topped_up")[-1].balance_minor == 800
    await hear_all(talk)
    assert (await ana.pass_row())["granted_ms"] == 240_000
    await ana.uses(200)
    await ana.goes()
    await talk.settle_down()
    assert (await ana.use())["charged_minor"] > 0
    await talk.assert_books_agree()


async def test_what_is_owed_is_paid_of_what_is_free_again(talk: World):
    first = await top_up(talk, "user_ana")
    ana = await enter(talk, "user_ana")
    await ana.calls(120)
    talk.later(1)
    second = await top_up(talk, "user_ana")
    await bank(talk, second)
    assert await money(talk) == (800, 0, 1000, 0)
    await bank(talk, first)
    await bank(talk, first, action="lost")
    assert await money(talk) == (0, 0, 1000, 200)
    await bank(talk, second, action="won")
    assert await money(talk) == (800, 0, 0, 0)
    await talk.assert_books_agree()


async def test_credits_of_a_refund_that_is_refused_wait_with_the_dispute(talk: World):
    who = await top_up(talk, "user_ana")
    await ask(talk, who, amount_minor=600)
    await talk.control("dispute", session=await session_of(talk, who))
    await talk.settle_down()
    assert {row["state"] for row in await talk.rows("refunds")} == {"failed"}
    assert await money(talk) == (0, 0, 1000, 0)
    await bank(talk, who, action="won")
    assert await money(talk) == (1000, 0, 0, 0)
    await talk.assert_books_agree()


async def test_credits_of_a_refund_that_comes_back_wait_with_the_dispute(talk: World):
    who = await top_up(talk, "user_ana")
    await ask(talk, who, amount_minor=600)
    await talk.settle_down()
    await bank(talk, who)
    assert await money(talk) == (0, 0, 400, 0)
    await talk.control("fail_refund", refund=(await talk.one("refunds"))["stripe_refund_id"])
    await talk.settle_down()
    assert await money(talk) == (600, 0, 400, 0)  # the bank looks into 4 euros
    await bank(talk, who, action="lost")
    assert await money(talk) == (600, 0, 0, 0)
    await talk.assert_books_agree()


async def test_facts_in_any_order_and_again_freeze_once(talk: World):
    who = await top_up(talk, "user_ana")
    await talk.control("faults", events="duplicate", times=20)
    await bank(talk, who)
    for _ in range(2):
        await talk.call("POST", f"/api/orders/{who.order_id}/refresh", who, {})
    await talk.settle_down()
    holds = [row for row in await talk.rows("transfers") if row["code"] == "dispute_hold"]
    assert [row["kind"] for row in holds] == ["hold"]
    assert await money(talk) == (0, 0, 1000, 0)
    await bank(talk, who, action="lost")
    await talk.call("POST", f"/api/orders/{who.order_id}/refresh", who, {})
    assert await money(talk) == (0, 0, 0, 0)
    await talk.assert_books_agree()


async def test_opened_and_decided_before_anybody_heard(talk: World):
    who = await top_up(talk, "user_ana")
    await talk.control("faults", events="drop", times=20)
    session = await session_of(talk, who)
    await talk.control("dispute", session=session)
    await talk.control("dispute", session=session, action="won")
    await talk.call("POST", f"/api/orders/{who.order_id}/refresh", who, {})
    await talk.settle_down()
    assert await money(talk) == (1000, 0, 0, 0)
    assert [row["code"] for row in await talk.rows("transfers")] == ["topup"]
    await talk.assert_books_agree()


@pytest.mark.parametrize("outcome", ["won", "lost"])
async def test_a_crash_at_any_step_freezes_and_frees_once(talk: World, outcome: str):
    for at in range(8):
        who = await top_up(talk, "user_ana")
        free = (await money(talk))[0] - 1000
        for action in ("open", outcome):
            talk.crash_at = at
            with suppress(Crash):
                await bank(talk, who, action=action)
            died, talk.crash_at = talk.crashed, None
            await talk.reboot()
            talk.later(60)
            await talk.settle_down()
            frozen = 1000 if action == "open" else 0
            kept = 1000 if action == "won" else 0
            assert await money(talk) == (free + kept, 0, frozen, 0)
        if not died:
            break
    assert talk.deaths > 0
    await talk.assert_books_agree()


async def test_the_checks_find_credits_frozen_for_nothing_and_for_more(talk: World):
    who = await top_up(talk, "user_ana")
    await bank(talk, who, amount_minor=300)
    assert await talk.problems() == []

    async def change(values: dict[str, Any]) -> list[str]:
        await talk.db.write(lambda tx: tx.execute(update(disputes).values(values)))
        return [one for one in await talk.problems() if "froze" in one]

    assert "frozen_above_dispute" in str(await change({"amount_minor": 299}))
    assert "dispute_hold_left" in str(await change({"amount_minor": 300, "state": "won"}))
    assert await change({"state": "open"}) == []
