"""Credits: bought, held while a call runs, taken for what was used, and never spent twice."""

import pytest

from signaling.notices import Funding
from signaling.stores.rates import BooksOf, RatesRow, set_rates

from .wallets_world import WALLET, add_person, ask_topup, enter, runs_low, top_up, wallet
from .world import ACCOUNT, Crash, Customer, World

PACKAGES = [
    {"price_minor": 1000, "credit_minor": 1000, "currency": "eur"},
    {"price_minor": 2000, "credit_minor": 2500, "currency": "eur"},
    {"price_minor": 1000, "credit_minor": 900, "currency": "eur"},
]


@pytest.fixture
async def talk(world: World) -> World:
    """A room at 1 euro a minute from credits, and what credits cost."""
    await world.add_room(tariff=WALLET)
    row = RatesRow("default", "", {"packages": PACKAGES}, world.now_text())
    await world.db.write(lambda tx: set_rates(tx, BooksOf("sandbox", ACCOUNT), row))
    await add_person(world)
    return world


async def balances(world: World) -> dict[str, int]:
    """What each account of the ledger owes or has: credits minus debits."""
    return {
        row["name"]: row["credits_minor"] - row["debits_minor"]
        for row in await world.rows("balances")
        if row["credits_minor"] != row["debits_minor"]
    }


def told(world: World, kind: str) -> list[Funding]:
    return [one for one in world.notices if isinstance(one, Funding) and one.kind == kind]


async def session_of(world: World, who: Customer) -> str:
    """The Checkout Session of a top-up."""
    found = [row["checkout_session_id"] for row in await world.rows("orders") if row["id"] == who.order_id]
    return str(found[0])


# --- buying credits ---------------------------------------------------------------------------------------


async def test_a_topup_puts_its_credits_into_the_wallet_once(talk: World):
    who = await top_up(talk, "user_ana")
    await talk.call("POST", f"/api/orders/{who.order_id}/refresh", who, {})
    await talk.settle_down()
    shown = await wallet(talk, "user_ana")
    assert (shown["balance_minor"], shown["available_minor"], shown["owed_minor"]) == (1000, 1000, 0)
    assert await balances(talk) == {"stripe_clearing": -1000, "wallet:user_ana": 1000}
    assert await talk.rows("passes") == []
    await talk.assert_books_agree()


async def test_a_bonus_is_the_platforms_gift_and_a_markup_its_fee(talk: World):
    await top_up(talk, "user_ana", 1)
    assert await balances(talk) == {"stripe_clearing": -2000, "promo": -500, "wallet:user_ana": 2500}
    await top_up(talk, "user_ana", 2)
    assert await balances(talk) == {
        "stripe_clearing": -3000,
        "promo": -500,
        "platform_fee": 100,
        "wallet:user_ana": 3400,
    }
    await talk.assert_books_agree()


async def test_a_topup_is_refused_without_a_person_without_terms_and_at_another_price(talk: World):
    who = talk.customer()
    status, answer = await talk.call("POST", "/api/wallets/eur/topups", who, {})
    assert (status, answer["error"]["code"]) == (401, "sign_in_required")
    for body, status, code in (
        ({"accept_terms": False}, 422, "terms_not_accepted"),
        ({"price_minor": 999}, 409, "package_changed"),
        ({"package": 3, "price_minor": 1000}, 409, "package_changed"),
        ({"package": -1, "price_minor": 1000}, 422, "invalid"),
    ):
        _, found, answer = await ask_topup(talk, "user_ana", **body)
        assert (found, answer["error"]["code"]) == (status, code)
    assert await talk.rows("orders") == []


async def test_the_same_topup_again_is_the_same_order_and_another_is_refused(talk: World):
    who, status, order = await ask_topup(talk, "user_ana")
    body = {"order_id": who.order_id, "package": 0, "price_minor": 1000, "accept_terms": True}
    status, again = await talk.call("POST", "/api/wallets/eur/topups", who, body)
    assert (status, again) == (200, order)
    status, other = await talk.call(
        "POST", "/api/wallets/eur/topups", who, body | {"package": 1, "price_minor": 2000}
    )
    assert (status, other["error"]["code"]) == (409, "exists_different")


async def test_an_unknown_currency_has_no_wallet(talk: World):
    status, answer = await talk.call("GET", "/api/me/wallets/zzz", talk.customer("user_ana"))
    assert (status, answer["error"]["code"]) == (404, "unknown_currency")


async def test_the_history_tells_what_moved_newest_first(talk: World):
    await top_up(talk, "user_ana", 1)
    talk.later(10)
    ana = await enter(talk, "user_ana")
    await ana.uses(60)
    await runs_low(talk, ana)
    await ana.uses(150)
    await ana.goes()
    await talk.settle_down()
    shown = await wallet(talk, "user_ana")
    assert [(line["kind"], line["amount_minor"]) for line in shown["history"]] == [
        ("use", -250),
        ("topup", 2000),
        ("bonus", 500),
    ]
    assert shown["history"][0]["title"] == "A talk"
    _, every = await talk.call("GET", "/api/me/wallets", talk.customer("user_ana"))
    assert [(one["currency"], one["balance_minor"]) for one in every["wallets"]] == [("eur", 2250)]


# --- a call -----------------------------------------------------------------------------------------------


async def test_a_call_holds_two_minutes_and_takes_what_was_used(talk: World):
    await top_up(talk, "user_ana")
    ana = await enter(talk, "user_ana")
    shown = await wallet(talk, "user_ana")
    assert (shown["balance_minor"], shown["available_minor"], shown["held_minor"]) == (1000, 800, 200)
    assert (await ana.pass_row())["granted_ms"] == 120_000
    await ana.uses(60)
    await runs_low(talk, ana)
    assert (await ana.pass_row())["granted_ms"] == 240_000
    await ana.uses(90)
    await ana.goes()
    await talk.settle_down()
    use = await ana.use()
    assert (use["charged_minor"], use["held_minor"], use["settled"]) == (150, 400, True)
    assert await balances(talk) == {
        "stripe_clearing": -1000,
        "wallet:user_ana": 850,
        "earned_pending:room_talk": 150,
    }
    assert (await wallet(talk, "user_ana"))["held_minor"] == 0
    await talk.assert_books_agree()


async def test_nobody_enters_without_a_minute(talk: World):
    status, answer = await talk.order(talk.customer("user_ana"), seconds=None)
    assert (status, answer["error"]["code"]) == (402, "balance_low")
    status, answer = await talk.order(talk.customer(), seconds=None)
    assert (status, answer["error"]["code"]) == (401, "sign_in_required")
    assert await talk.rows("orders") == []
    assert await talk.rows("transfers") == []


async def test_the_platforms_fee_comes_out_of_what_the_host_earns(talk: World):
    row = RatesRow("room", "room_talk", {"fee_percent_bp": 1000}, talk.now_text())
    await talk.db.write(lambda tx: set_rates(tx, BooksOf("sandbox", ACCOUNT), row))
    await top_up(talk, "user_ana")
    ana = await enter(talk, "user_ana")
    await ana.calls(60)
    found = await balances(talk)
    assert (found["earned_pending:room_talk"], found["platform_fee"], found["wallet:user_ana"]) == (
        90,
        10,
        900,
    )
    await talk.assert_books_agree()


async def test_low_credits_are_told_in_time_and_the_call_ends_where_they_do(talk: World):
    await top_up(talk, "user_ana")
    ana = await enter(talk, "user_ana")
    for minutes in range(1, 8, 2):
        await ana.uses(minutes * 60)
        await runs_low(talk, ana)
    assert (await ana.pass_row())["granted_ms"] == 600_000  # all ten minutes are held
    assert [one.balance_minor for one in told(talk, "balance_low")] == [200, 0]
    await ana.uses(540)
    await runs_low(talk, ana)
    assert (await ana.pass_row())["granted_ms"] == 600_000
    assert told(talk, "balance_low")[-1].balance_minor == 0
    await ana.uses(600)
    await ana.goes("used_up")
    await talk.settle_down()
    assert (await ana.use())["charged_minor"] == 1000
    assert (await wallet(talk, "user_ana"))["balance_minor"] == 0
    await talk.assert_books_agree()


async def test_a_configured_threshold_tells_earlier(talk: World):
    row = RatesRow("room", "room_talk", {"balance_low_minor": 700, "currency": "eur"}, talk.now_text())
    await talk.db.write(lambda tx: set_rates(tx, BooksOf("sandbox", ACCOUNT), row))
    await top_up(talk, "user_ana")
    ana = await enter(talk, "user_ana")
    await ana.uses(60)
    await runs_low(talk, ana)
    assert [one.balance_minor for one in told(talk, "balance_low")] == [600]


async def test_a_topup_during_the_call_goes_on_with_it(talk: World):
    await top_up(talk, "user_ana", 2)
    ana = await enter(talk, "user_ana")
    for minutes in range(1, 10, 2):
        await ana.uses(minutes * 60)
        await runs_low(talk, ana)
    assert (await ana.pass_row())["granted_ms"] == 540_000
    await top_up(talk, "user_ana")
    assert told(talk, "topped_up")[-1].balance_minor == 1000
    for notice in talk.notices:
        talk.payments.hear(notice)
    await talk.settle_down()
    assert (await ana.pass_row())["granted_ms"] == 660_000


async def test_a_settled_call_gets_nothing_more_and_is_charged_once(talk: World):
    await top_up(talk, "user_ana")
    ana = await enter(talk, "user_ana")
    await ana.calls(60)
    await runs_low(talk, ana)
    await ana.goes()
    await talk.settle_down()
    assert (await ana.pass_row())["granted_ms"] == 120_000
    assert (await wallet(talk, "user_ana"))["balance_minor"] == 900


async def test_several_calls_never_spend_more_than_there_is(talk: World):
    await add_person(talk, "ben")
    await talk.set_room("room_talk", capacity=10)
    await top_up(talk, "user_ana")
    callers = [await enter(talk, "user_ana") for _ in range(5)]
    status, answer = await talk.order(talk.customer("user_ana"), seconds=None)
    assert (status, answer["error"]["code"]) == (402, "balance_low")
    for caller in callers:
        await runs_low(talk, caller)
        assert (await caller.pass_row())["granted_ms"] == 120_000
    await callers[0].uses(30)
    await callers[0].goes()
    await talk.settle_down()
    await runs_low(talk, callers[1])  # what the first did not use is there for the others
    assert (await callers[1].pass_row())["granted_ms"] == 210_000
    for caller in callers[1:]:
        await caller.uses((await caller.pass_row())["granted_ms"] / 1000)
        await caller.goes()
    await talk.settle_down()
    shown = await wallet(talk, "user_ana")
    assert (shown["balance_minor"], shown["held_minor"]) == (0, 0)
    await talk.assert_books_agree()


async def test_a_lost_notice_is_made_up_for(talk: World):
    await top_up(talk, "user_ana")
    ana = await enter(talk, "user_ana")
    await ana.uses(60)
    await ana.goes("left", told=False)
    talk.later(301)
    await talk.settle_down()
    assert (await ana.use())["charged_minor"] == 100


async def test_a_crash_at_any_step_charges_once(talk: World):
    await top_up(talk, "user_ana")
    for at in range(12):
        ana = await enter(talk, "user_ana")
        before = (await wallet(talk, "user_ana"))["balance_minor"]
        await ana.uses(60)
        talk.crash_at = at
        try:
            await runs_low(talk, ana)
            await ana.uses(61)
            await ana.goes(told=False)
            talk.later(301)
            await talk.settle_down()
        except Crash:
            pass
        died, talk.crash_at = talk.crashed, None
        await talk.reboot()
        await ana.goes(told=False)
        talk.later(301)
        await talk.settle_down()
        use = await ana.use()
        assert use["settled"]
        assert (await wallet(talk, "user_ana"))["balance_minor"] == before - use["charged_minor"]
        assert use["charged_minor"] in {100, 101}
        if not died:
            break
    await talk.assert_books_agree()


async def test_who_owes_cannot_spend_and_a_topup_pays_it_first(talk: World):
    who = await top_up(talk, "user_ana")
    ana = await enter(talk, "user_ana")
    await ana.calls(120)
    session = await session_of(talk, who)
    await talk.control("dispute", session=session, action="open")
    await talk.control("dispute", session=session, action="lost")
    await talk.settle_down()
    shown = await wallet(talk, "user_ana")
    assert (shown["balance_minor"], shown["owed_minor"]) == (0, 200)
    status, answer = await talk.order(talk.customer("user_ana"), seconds=None)
    assert (status, answer["error"]["code"]) == (409, "credits_owed")
    await talk.assert_books_agree()
    await top_up(talk, "user_ana")
    shown = await wallet(talk, "user_ana")
    assert (shown["balance_minor"], shown["owed_minor"]) == (800, 0)
    await talk.assert_books_agree()


async def test_a_refund_in_the_dashboard_takes_its_credits_out_of_the_wallet(talk: World):
    who = await top_up(talk, "user_ana", 1)
    session = await session_of(talk, who)
    await talk.control("refund", session=session, amount_minor=1000)
    await talk.settle_down()
    assert (await wallet(talk, "user_ana"))["balance_minor"] == 1250
    await talk.control("refund", session=session)
    await talk.settle_down()
    shown = await wallet(talk, "user_ana")
    assert (shown["balance_minor"], shown["owed_minor"]) == (0, 0)
    assert (await talk.show(who))["state"] == "refunded"
    assert await balances(talk) == {}
    await talk.assert_books_agree()


async def test_holds_of_calls_that_nobody_settles_lapse_by_themselves(talk: World):
    await top_up(talk, "user_ana")
    ana = await enter(talk, "user_ana")  # inside, the host is away, and nothing is counted for a day
    talk.later(86_400 - 3000)
    await talk.settle_down()
    assert (await ana.pass_row())["state"] == "used_up"
    await ana.goes("used_up")
    await talk.settle_down()
    assert (await wallet(talk, "user_ana"))["available_minor"] == 1000


async def test_a_hold_whose_stay_nobody_can_settle_expires_after_a_day(talk: World):
    await top_up(talk, "user_ana")
    ana = await enter(talk, "user_ana")  # and is never told to have gone
    await ana.uses(30)
    talk.later(86_400 - 1)
    await talk.settle_down()
    shown = await wallet(talk, "user_ana")
    assert (shown["available_minor"], shown["held_minor"]) == (800, 200)
    talk.later(1)
    await talk.settle_down()
    shown = await wallet(talk, "user_ana")
    assert (shown["available_minor"], shown["held_minor"]) == (1000, 0)
    await talk.assert_books_agree()
    await ana.goes()
    await talk.settle_down()
    assert (await ana.use())["charged_minor"] == 0
    assert [row["reason"] for row in await talk.rows("quarantine")] == ["hold_lapsed"]
    assert (await wallet(talk, "user_ana"))["balance_minor"] == 1000
    await talk.assert_books_agree()


async def test_after_two_days_down_what_was_used_is_charged_before_holds_expire(talk: World):
    await top_up(talk, "user_ana")
    ana = await enter(talk, "user_ana")
    await ana.uses(60)
    await ana.goes(told=False)
    talk.later(2 * 86_400)
    await talk.settle_down()
    assert (await ana.use())["charged_minor"] == 100
    shown = await wallet(talk, "user_ana")
    assert (shown["available_minor"], shown["held_minor"]) == (900, 0)
    await talk.assert_books_agree()


async def test_a_refund_that_the_bank_sends_back_puts_its_credits_back(talk: World):
    who = await top_up(talk, "user_ana", 1)
    ana = await enter(talk, "user_ana")
    await ana.calls(120)
    await talk.control("refund", session=await session_of(talk, who))
    await talk.settle_down()
    shown = await wallet(talk, "user_ana")
    assert (shown["balance_minor"], shown["owed_minor"]) == (
        0,
        0,
    )  # all of the money, and of the gift what was left
    (refund,) = await talk.rows("refunds")
    await talk.control("fail_refund", refund=refund["stripe_refund_id"])
    await talk.settle_down()
    shown = await wallet(talk, "user_ana")
    assert (shown["balance_minor"], shown["owed_minor"]) == (2300, 0)
    await talk.assert_books_agree()
    await talk.control("refund", session=await session_of(talk, who))
    await talk.settle_down()
    assert (await wallet(talk, "user_ana"))["balance_minor"] == 0
    await talk.assert_books_agree()
