"""Credits that nobody has spent, given back to the card on request: held while it is on its way, never more than there are."""

import asyncio
from contextlib import suppress
from typing import Any

import pytest

from signaling.mail import plain_text
from signaling.payments import funding
from signaling.stores.rates import BooksOf, RatesRow, set_rates

from .test_asked_refunds import OPERATOR, ask, refund_id
from .test_mailed_receipts import letters
from .test_wallet_calls import balances, session_of, told
from .usage import Caller
from .wallets_world import WALLET, add_person, enter, runs_low, top_up, wallet
from .world import ACCOUNT, Crash, Customer, World

# 20 euros buy 25, and 20 euros buy 17.
PACKAGES = [
    {"price_minor": 1000, "credit_minor": 1000, "currency": "eur"},
    {"price_minor": 2000, "credit_minor": 2500, "currency": "eur"},
    {"price_minor": 2000, "credit_minor": 1700, "currency": "eur"},
]


async def furnish(world: World) -> World:
    await world.add_room(tariff=WALLET)
    row = RatesRow("default", "", {"packages": PACKAGES}, world.now_text())
    await world.db.write(lambda tx: set_rates(tx, BooksOf("sandbox", ACCOUNT), row))
    await add_person(world)
    return world


@pytest.fixture
async def talk(world: World) -> World:
    return await furnish(world)


@pytest.fixture
async def either(either_world: World) -> World:
    """The same, on each database."""
    return await furnish(either_world)


async def money(world: World) -> tuple[int, int, int]:
    """Available, held and owed of the wallet."""
    shown = await wallet(world, "user_ana")
    return shown["available_minor"], shown["held_minor"], shown["owed_minor"]


async def code(world: World, who: Customer, **body: Any) -> tuple[int, str]:
    status, refused = await ask(world, who, **body)
    return status, refused["error"]["code"]


async def test_a_part_is_held_at_once_and_then_the_rest_goes_back(either: World):
    who = await top_up(either, "user_ana")
    status, asked = await ask(either, who, amount_minor=300)
    assert (status, asked["state"], asked["amount_minor"]) == (202, "asked", 300)
    assert await money(either) == (700, 300, 0)
    await either.settle_down()
    assert await money(either) == (700, 0, 0)
    shown = await either.show(who)
    assert (shown["state"], shown["refund"]["state"]) == ("partly_refunded", "succeeded")
    await either.assert_books_agree()
    await ask(either, who, part="all", reason="requested")
    await either.settle_down()
    assert await money(either) == (0, 0, 0)
    assert await balances(either) == {}
    assert (await either.show(who))["state"] == "refunded"
    assert await code(either, who, part="all") == (409, "nothing_left")
    await either.assert_books_agree()


async def test_the_same_id_asks_once(talk: World):
    who = await top_up(talk, "user_ana")
    one = refund_id()
    for _ in range(2):
        status, asked = await ask(talk, who, refund_id=one, amount_minor=400)
        assert (status, asked["state"], asked["amount_minor"]) == (202, "asked", 400)
        assert await money(talk) == (600, 400, 0)
    await talk.settle_down()
    status, asked = await ask(talk, who, refund_id=one, amount_minor=400)
    assert (status, asked["state"]) == (202, "succeeded")
    await talk.settle_down()
    assert await money(talk) == (600, 0, 0)
    assert await code(talk, who, refund_id=one, amount_minor=401) == (409, "exists_different")


async def test_only_what_is_unspent_and_left_of_that_top_up_goes_back(talk: World):
    first = await top_up(talk, "user_ana")
    ana = await enter(talk, "user_ana")
    await ana.calls(120)
    assert await money(talk) == (800, 0, 0)
    assert await code(talk, first, amount_minor=801) == (409, "too_much")
    assert await code(talk, first, seconds=60) == (422, "no_length")
    second = await top_up(talk, "user_ana")
    assert await code(talk, second, amount_minor=1001) == (409, "too_much")
    assert (await ask(talk, second, part="unused"))[0] == 202
    await talk.settle_down()
    assert await money(talk) == (800, 0, 0)
    assert (await ask(talk, first, part="unused"))[0] == 202
    await talk.settle_down()
    assert await money(talk) == (0, 0, 0)
    assert sorted(row["amount_minor"] for row in await talk.rows("refunds")) == [800, 1000]
    await talk.assert_books_agree()


async def test_a_gift_goes_back_in_proportion(talk: World):
    who = await top_up(talk, "user_ana", package=1)
    await ask(talk, who, amount_minor=1000)
    assert await money(talk) == (1250, 1250, 0)
    await talk.settle_down()
    assert await balances(talk) == {"stripe_clearing": -1000, "promo": -250, "wallet:user_ana": 1250}
    await talk.assert_books_agree()
    ana = await enter(talk, "user_ana")
    await ana.calls(60)
    await ask(talk, who, part="all")
    await talk.settle_down()
    # 11.50 are 9.20 of the price with their part of the gift.
    assert sorted(row["amount_minor"] for row in await talk.rows("refunds")) == [920, 1000]
    assert await money(talk) == (0, 0, 0)
    await talk.assert_books_agree()


async def test_a_markup_goes_back_with_its_credits(talk: World):
    who = await top_up(talk, "user_ana", package=2)
    for minor in (333, 667, 1000):
        assert (await ask(talk, who, amount_minor=minor))[0] == 202
    assert (await money(talk))[0] == 0
    await talk.settle_down()
    assert await balances(talk) == {}
    assert await money(talk) == (0, 0, 0)
    await talk.assert_books_agree()


async def test_what_is_on_its_way_cannot_be_spent_and_what_a_call_holds_cannot_go_back(talk: World):
    who = await top_up(talk, "user_ana")
    ana = await enter(talk, "user_ana")  # two euros are held for the call
    assert await code(talk, who, amount_minor=801) == (409, "too_much")
    await ask(talk, who, part="unused")
    assert await money(talk) == (0, 1000, 0)
    other = talk.customer("user_ana")
    status, refused = await talk.order(other, seconds=None)
    assert (status, refused["error"]["code"]) == (402, "balance_low")
    await ana.uses(60)
    await ana.goes()
    talk.later(400)
    await talk.settle_down()
    assert await money(talk) == (100, 0, 0)
    await talk.assert_books_agree()


async def test_refunds_asked_at_the_same_moment_share_what_is_there(either: World):
    who = await top_up(either, "user_ana")
    asked = await asyncio.gather(*(ask(either, who, amount_minor=300) for _ in range(5)))
    assert sorted(status for status, _ in asked) == [202, 202, 202, 409, 409]
    assert await money(either) == (100, 900, 0)
    await either.settle_down()
    assert await money(either) == (100, 0, 0)
    await either.assert_books_agree()


async def test_one_that_the_service_refuses_lets_the_credits_go(either: World):
    who = await top_up(either, "user_ana")
    await ask(either, who, amount_minor=600)
    # In the dashboard somebody was quicker, and nobody told us.
    await either.control("faults", events="drop", count=20)
    await either.control("refund", session=await session_of(either, who), amount_minor=700)
    await either.settle_down()
    assert {row["state"] for row in await either.rows("refunds")} == {"failed", "succeeded"}
    # Of the seven euros, four were there: while it was held, the rest was not. What came free has paid it.
    assert await money(either) == (300, 0, 0)
    _, waits = await either.call("GET", "/api/admin/attention", OPERATOR)
    assert [one["amount_minor"] for one in waits["refunds"]] == [600]
    await either.assert_books_agree()


async def test_one_that_the_bank_sends_back_is_credits_again_and_not_asked_for_unasked(talk: World):
    who = await top_up(talk, "user_ana", package=1)
    await ask(talk, who, part="all")
    await talk.settle_down()
    assert await money(talk) == (0, 0, 0)
    await talk.control("fail_refund", refund=(await talk.one("refunds"))["stripe_refund_id"])
    await talk.settle_down()
    assert await money(talk) == (2500, 0, 0)
    talk.later(7200)
    await talk.settle_down()
    assert [row["state"] for row in await talk.rows("refunds")] == ["failed"]
    _, waits = await talk.call("GET", "/api/admin/attention", OPERATOR)
    assert len(waits["refunds"]) == 1
    await ask(talk, who, part="all")
    await talk.settle_down()
    assert await money(talk) == (0, 0, 0)
    await talk.assert_books_agree()


async def test_a_call_goes_on_with_credits_that_a_refused_refund_lets_go(either: World):
    who = await top_up(either, "user_ana")
    ana = await enter(either, "user_ana")
    await ask(either, who, part="unused")
    await ana.uses(60)
    await runs_low_unsettled(either, ana)
    assert [one.balance_minor for one in told(either, "balance_low")] == [0]
    assert (await ana.pass_row())["granted_ms"] == 120_000
    await either.control("faults", events="drop", count=20)
    await either.control("refund", session=await session_of(either, who), amount_minor=300)
    await either.settle_down()  # eight euros are more than is left: refused
    assert [one.balance_minor for one in told(either, "topped_up")] == [500]  # after what was missing by then
    await hear_all(either)
    assert (await ana.pass_row())["granted_ms"] == 240_000
    assert await money(either) == (300, 400, 0)
    await either.assert_books_agree()


async def test_a_call_goes_on_with_credits_that_the_bank_sent_back(either: World):
    who = await top_up(either, "user_ana", package=1)
    ana = await enter(either, "user_ana")
    await ask(either, who, part="unused")
    await either.settle_down()
    await ana.uses(60)
    await runs_low(either, ana)
    assert told(either, "balance_low")[-1].balance_minor == 0
    assert (await ana.pass_row())["granted_ms"] == 120_000
    await either.control("fail_refund", refund=(await either.one("refunds"))["stripe_refund_id"])
    await either.settle_down()
    assert [one.balance_minor for one in told(either, "topped_up")] == [2300]
    await hear_all(either)
    assert (await ana.pass_row())["granted_ms"] == 240_000
    await either.assert_books_agree()


async def hear_all(world: World) -> None:
    """As the composition root tells it."""
    for notice in tuple(world.notices):
        world.payments.hear(notice)
    await world.settle_down()


async def runs_low_unsettled(world: World, caller: Caller) -> None:
    """While the refund that was asked for is on its way still."""
    await funding.place(world.payments.ctx, caller.pass_id)


async def test_one_that_failed_before_it_was_heard_of_reads_the_same(talk: World):
    who = await top_up(talk, "user_ana")
    await talk.control("faults", operation="refunds.create", fault="truncate_after_commit")
    await talk.control("faults", events="drop", count=20)
    await ask(talk, who, amount_minor=400)
    await talk.work()
    made = await talk.payments.ctx.service.list_refunds((await talk.one("orders"))["payment_intent_id"])
    await talk.control("fail_refund", refund=made[0].refund_id)
    for _ in range(3):
        talk.later(40)
        await talk.settle_down()
    assert await money(talk) == (1000, 0, 0)
    await talk.assert_books_agree()


async def test_a_refund_of_the_dashboard_leaves_alone_what_is_held_for_ours(talk: World):
    who = await top_up(talk, "user_ana")
    await ask(talk, who, amount_minor=300)
    await talk.control("refund", session=await session_of(talk, who), amount_minor=200)
    await talk.settle_down()
    assert await money(talk) == (500, 0, 0)
    await talk.assert_books_agree()


async def test_what_a_bank_looks_into_is_not_given_back(talk: World):
    who = await top_up(talk, "user_ana")
    await talk.control("dispute", session=await session_of(talk, who), action="open")
    await talk.settle_down()
    assert await code(talk, who, part="all") == (409, "disputed")


async def test_receipt_letter_and_history_show_it(talk: World):
    who = await top_up(talk, "user_ana")
    await letters(talk)
    talk.later(1)
    await ask(talk, who, amount_minor=250, reason="requested")
    await talk.settle_down()
    _, receipt = await talk.call("GET", f"/api/orders/{who.order_id}/receipt", who)
    assert [(one["amount_minor"], one["state"]) for one in receipt["refunds"]] == [(250, "succeeded")]
    assert receipt["total"]["amount_minor"] == 750
    (letter,) = await letters(talk)
    assert "Refunded: 2.50 EUR (asked for, sent)" in plain_text(letter)
    history = (await wallet(talk, "user_ana"))["history"]
    assert [(line["kind"], line["amount_minor"]) for line in history] == [("refund", -250), ("topup", 1000)]


async def test_a_crash_at_any_step_gives_back_once(talk: World):
    who = await top_up(talk, "user_ana", package=1)
    left = 2000
    for at in range(12):
        left -= 20
        await ask(talk, who, amount_minor=20)
        talk.crash_at = at
        with suppress(Crash):
            await talk.settle_down()
        died, talk.crash_at = talk.crashed, None
        await talk.reboot()
        talk.later(60)
        await talk.settle_down()
        assert await money(talk) == (left * 5 // 4, 0, 0)
        if not died:
            break
    assert talk.deaths > 0
    await talk.assert_books_agree()
