"""Calls that credits paid for, given back on request: into the payer's wallet, by our own books alone."""

from contextlib import suppress
from typing import Any

import pytest

from signaling.ids import new_secret, secret_hash
from signaling.stores import people
from signaling.stores.rates import BooksOf, RatesRow, set_rates

from .test_asked_refunds import ask, refund_id
from .test_wallet_calls import balances, session_of, told
from .usage import Caller
from .wallets_world import WALLET, add_person, enter, top_up, wallet
from .world import ACCOUNT, Crash, Customer, World

HOST_SECRET = new_secret(lambda size: b"h" * size)


@pytest.fixture
async def talk(world: World) -> World:
    """A room at 1 euro a minute from credits, of which the platform keeps a tenth."""
    await world.add_room(tariff=WALLET, host_key_hash=secret_hash(HOST_SECRET))
    row = RatesRow("room", "room_talk", {"fee_percent_bp": 1000}, world.now_text())
    await world.db.write(lambda tx: set_rates(tx, BooksOf("sandbox", ACCOUNT), row))
    await add_person(world)
    return world


async def called(world: World, seconds: float = 101) -> Caller:
    """Somebody with ten euros, of which so many seconds were used."""
    await top_up(world, "user_ana")
    ana = await enter(world, "user_ana")
    await ana.calls(seconds)
    return ana


async def balance(world: World) -> int:
    return int((await wallet(world, "user_ana"))["balance_minor"])


async def test_a_part_goes_back_into_the_wallet_with_its_part_of_the_fee(talk: World):
    ana = await called(talk)
    before = await balances(talk)
    charged_minor = (await ana.use())["charged_minor"]
    fee_minor = before["platform_fee"]
    status, asked = await ask(talk, ana.who, amount_minor=charged_minor // 2)
    assert (status, asked["state"]) == (202, "asked")
    calls_before = await talk.rows("stripe_calls")
    await talk.settle_down()
    found = await balances(talk)
    assert found["wallet:user_ana"] == before["wallet:user_ana"] + charged_minor // 2
    assert found["platform_fee"] == fee_minor - fee_minor * (charged_minor // 2) // charged_minor
    assert found["stripe_clearing"] == before["stripe_clearing"]
    assert sum(found.values()) == 0
    assert await talk.rows("stripe_calls") == calls_before
    shown = await talk.show(ana.who)
    assert (shown["state"], shown["refund"]["state"]) == ("partly_refunded", "succeeded")
    await talk.assert_books_agree()
    await ask(talk, ana.who, part="all")
    await talk.settle_down()
    assert await balances(talk) == {"stripe_clearing": -1000, "wallet:user_ana": 1000}
    assert (await talk.show(ana.who))["state"] == "refunded"
    (earning,) = await talk.rows("earnings")
    assert earning["reversed_minor"] == earning["net_minor"]
    await talk.assert_books_agree()


async def test_the_same_id_is_booked_once_and_never_more_than_was_used(talk: World):
    ana = await called(talk, 120)
    one = refund_id()
    for _ in range(3):
        status, _ = await ask(talk, ana.who, refund_id=one, amount_minor=50)
        assert status == 202
        await talk.settle_down()
    assert await balance(talk) == 850
    assert (await ask(talk, ana.who, refund_id=one, amount_minor=51))[1]["error"][
        "code"
    ] == "exists_different"
    assert (await ask(talk, ana.who, amount_minor=151))[1]["error"]["code"] == "too_much"
    for _ in range(2):  # asked at once they share what is left
        assert (await ask(talk, ana.who, amount_minor=100))[0] == 202
    await talk.settle_down()
    assert await balance(talk) == 1000
    assert (await ask(talk, ana.who, part="all"))[1]["error"]["code"] == "nothing_left"
    await talk.assert_books_agree()


@pytest.mark.parametrize(
    ("body", "back_minor"),
    [({"seconds": 30}, 50), ({"part": "all"}, 200), ({"part": "unused", "end_access": True}, 0)],
)
async def test_a_length_all_of_it_or_what_was_not_used(talk: World, body: dict[str, Any], back_minor: int):
    ana = await called(talk, 120)
    status, _ = await ask(talk, ana.who, **body)
    assert status == 202
    await talk.settle_down()
    assert await balance(talk) == 800 + back_minor
    await talk.assert_books_agree()


async def test_what_is_asked_during_the_call_waits_for_its_end(talk: World):
    await top_up(talk, "user_ana")
    ana = await enter(talk, "user_ana")
    await ana.uses(60)
    status, asked = await ask(talk, ana.who, amount_minor=40)
    assert (status, asked["amount_minor"]) == (202, None)
    await talk.settle_down()
    assert await balance(talk) == 1000
    assert await talk.rows("refunds") == []
    await ana.goes()
    talk.later(2)
    await talk.settle_down()
    talk.later(2)
    await talk.settle_down()
    assert await balance(talk) == 940
    await talk.assert_books_agree()


async def test_a_host_gives_back_what_their_room_took(talk: World):
    ana = await called(talk, 60)
    body = {"refund_id": refund_id(), "order_id": ana.who.order_id, "reason": "requested", "part": "all"}
    host = Customer("", HOST_SECRET)
    status, _ = await talk.call("POST", "/api/host/rooms/room_talk/refunds", host, body)
    assert status == 202
    await talk.settle_down()
    assert await balance(talk) == 1000
    _, receipt = await talk.call("GET", f"/api/orders/{ana.who.order_id}/receipt", ana.who)
    assert [(one["amount_minor"], one["reason"]) for one in receipt["refunds"]] == [(100, "requested")]
    assert receipt["total"]["amount_minor"] == 0
    history = (await wallet(talk, "user_ana"))["history"]
    assert ("refund", 100) in [(line["kind"], line["amount_minor"]) for line in history]
    await talk.assert_books_agree()


async def test_it_comes_out_of_what_is_available_to_the_host_by_then(talk: World):
    ana = await called(talk, 60)
    talk.later(40 * 86_400)
    await talk.settle_down()
    assert (await talk.one("earnings"))["state"] == "available"
    await ask(talk, ana.who, part="all")
    await talk.settle_down()
    assert await balances(talk) == {"stripe_clearing": -1000, "wallet:user_ana": 1000}
    await talk.assert_books_agree()


async def test_a_call_that_goes_on_hears_of_the_credits(talk: World):
    ana = await called(talk, 60)
    await enter(talk, "user_ana")
    await ask(talk, ana.who, part="all")
    await talk.settle_down()
    assert told(talk, "topped_up")[-1].balance_minor == 800
    await talk.assert_books_agree()


async def test_what_the_payer_owes_is_paid_of_it_first(talk: World):
    who = await top_up(talk, "user_ana")
    ana = await enter(talk, "user_ana")
    await ana.calls(120)
    session = await session_of(talk, who)
    await talk.control("dispute", session=session, action="open")
    await talk.control("dispute", session=session, action="lost")
    await talk.settle_down()
    await ask(talk, ana.who, amount_minor=150)
    await talk.settle_down()
    shown = await wallet(talk, "user_ana")
    assert (shown["balance_minor"], shown["owed_minor"]) == (0, 50)
    await ask(talk, ana.who, amount_minor=50)
    await talk.settle_down()
    assert await balances(talk) == {}
    await talk.assert_books_agree()


async def test_a_lost_dispute_about_a_part_of_a_top_up_takes_that_part_of_the_credits(talk: World):
    who = await top_up(talk, "user_ana")
    session = await session_of(talk, who)
    before = (await wallet(talk, "user_ana"))["balance_minor"]
    await talk.control("dispute", session=session, amount_minor=400)
    await talk.settle_down()
    assert (await wallet(talk, "user_ana"))["balance_minor"] == before
    await talk.control("dispute", session=session, action="lost")
    await talk.settle_down()
    assert (await wallet(talk, "user_ana"))["balance_minor"] == before - 400
    await talk.control("dispute", session=session, amount_minor=100)
    await talk.control("dispute", session=session, action="lost")
    await talk.settle_down()
    assert (await wallet(talk, "user_ana"))["balance_minor"] == before - 500
    order = next(one for one in await talk.rows("orders") if one["purpose"] == "topup")
    assert (order["lost_minor"], order["dispute"]) == (500, "lost")
    await talk.assert_books_agree()


async def test_nothing_goes_back_to_somebody_who_was_erased(talk: World):
    ana = await called(talk, 60)
    await talk.db.write(lambda tx: people.replace_identity(tx, "user_ana", "erased:user_ana", "Erased"))
    status, refused = await ask(talk, ana.who, part="all")
    assert (status, refused["error"]["code"]) == (409, "not_refundable")


async def test_a_crash_at_any_step_gives_back_once(talk: World):
    await top_up(talk, "user_ana")
    for at in range(6):
        ana = await enter(talk, "user_ana")
        await ana.calls(60)
        assert await balance(talk) == 900
        await ask(talk, ana.who, part="all")
        talk.crash_at = at
        with suppress(Crash):
            await talk.settle_down()
        died, talk.crash_at = talk.crashed, None
        await talk.reboot()
        talk.later(60)
        await talk.settle_down()
        assert await balance(talk) == 1000
        if not died:
            break
    assert talk.deaths > 0
    await talk.assert_books_agree()
