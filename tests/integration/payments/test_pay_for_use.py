"""Paying for what was used: a hold first, one price at the end, the rest released."""

import pytest

from signaling.notices import OrderPaid, PassChanged
from signaling.stores import outbox
from signaling.stores.rates import BooksOf, RatesRow, clear_rates, set_rates

from .usage import METERED, caller
from .world import World


@pytest.fixture
async def talk(world: World) -> World:
    await world.add_room(tariff=METERED)
    return world


async def test_a_hold_opens_the_room_and_nothing_is_booked(talk: World):
    ana = await caller(talk)
    shown = await talk.show(ana.who)
    assert (shown["state"], shown["funding"], shown["amount_minor"]) == ("paid", "metered", 1500)
    assert shown["pass"]["granted_ms"] == 900_000
    (window,) = shown["use"]["windows"]
    assert (window["state"], window["held_minor"]) == ("held", 1500)
    assert await talk.rows("transfers") == []
    (paid,) = [notice for notice in talk.notices if isinstance(notice, OrderPaid)]
    assert paid.by_use is True
    await talk.assert_books_agree()


async def test_what_was_used_is_charged_and_the_rest_released(talk: World):
    ana = await caller(talk)
    await ana.calls(432)
    use = await ana.use()
    assert (use["charged_minor"], use["released_minor"], use["settled"]) == (720, 780, True)
    assert (await ana.pass_row())["state"] == "used_up"
    (session,) = await talk.books()
    assert session["captured_minor"] == 720
    await talk.assert_books_agree()
    assert await talk.rows("quarantine") == []


async def test_a_whole_window_is_charged_whole(talk: World):
    ana = await caller(talk)
    await ana.calls(900, "used_up")
    assert (await ana.use())["charged_minor"] == 1500
    await talk.assert_books_agree()


async def test_who_never_came_in_pays_nothing(talk: World):
    ana = await caller(talk)
    talk.later(299)
    await talk.settle_down()
    assert (await ana.use())["settled"] is False
    talk.later(2)
    await talk.settle_down()
    use = await ana.use()
    assert (use["charged_minor"], use["released_minor"]) == (0, 1500)
    assert await talk.rows("transfers") == []
    await talk.assert_books_agree()


async def test_a_lost_line_waits_five_minutes_for_its_payer(talk: World):
    ana = await caller(talk)
    await ana.enters()
    await ana.uses(120)
    await ana.goes("connection_lost")
    talk.later(200)
    await talk.settle_down()
    assert (await ana.use())["settled"] is False
    await ana.enters()  # back again: the same call
    talk.later(400)
    await talk.settle_down()
    assert (await ana.use())["settled"] is False
    await ana.uses(300)
    await ana.goes("connection_lost")
    talk.later(301)
    await talk.settle_down()
    assert (await ana.use())["charged_minor"] == 500


async def test_a_lost_notice_is_made_up_for(talk: World):
    ana = await caller(talk)
    await ana.enters()
    await ana.uses(60)
    await ana.goes("left", told=False)
    await talk.settle_down()
    assert (await ana.use())["settled"] is False
    talk.later(301)
    await talk.settle_down()
    assert (await ana.use())["charged_minor"] == 100


async def test_the_host_closing_the_room_settles_who_is_outside_at_once(talk: World):
    ana = await caller(talk)
    await ana.enters()
    await ana.uses(60)
    await ana.goes("host_ended", told=False)
    await talk.set_room("room_talk", state="closed", live=False)
    await talk.settle_down()
    assert (await ana.use())["charged_minor"] == 100
    assert await talk.rows("refunds") == []
    await talk.assert_books_agree()


async def test_nothing_is_settled_while_somebody_is_inside(talk: World):
    ana = await caller(talk)
    await ana.enters()
    await ana.uses(60)
    talk.later(3600)
    await talk.settle_down()
    await talk.set_room("room_talk", state="closed", live=False)
    await talk.settle_down()
    assert (await ana.use())["settled"] is False


async def test_a_settled_pass_opens_nothing(talk: World):
    ana = await caller(talk)
    await ana.calls(60)
    await ana.runs_low()
    row = await ana.pass_row()
    assert (row["settled"], row["state"], row["granted_ms"]) == (True, "used_up", 900_000)
    assert len(await ana.windows()) == 1


async def test_hearing_it_ten_times_settles_once(talk: World):
    ana = await caller(talk)
    await ana.enters()
    await ana.uses(432)
    await ana.goes()
    for _ in range(3):
        await ana.goes()
        await talk.settle_down()
    assert (await ana.use())["charged_minor"] == 720
    assert len([row for row in await talk.rows("transfers") if row["code"] == "payment_captured"]) == 1
    await talk.assert_books_agree()


# --- calls below the smallest charge ----------------------------------------------------------------------


async def test_a_call_below_the_smallest_charge_is_free_once_a_day(talk: World):
    first = await caller(talk)
    await first.calls(20)
    assert (await first.use())["charged_minor"] == 0
    second = await caller(talk)
    await second.calls(20)
    assert (await second.use())["charged_minor"] == 50
    talk.later(24 * 3600)
    third = await caller(talk)
    await third.calls(20)
    assert (await third.use())["charged_minor"] == 0
    await talk.assert_books_agree()


async def test_a_call_of_no_time_uses_up_no_free_one(talk: World):
    nobody = await caller(talk)
    await nobody.calls(0)
    ana = await caller(talk)
    await ana.calls(20)
    assert [(await one.use())["charged_minor"] for one in (nobody, ana)] == [0, 0]


async def test_a_series_of_short_calls_is_not_free(talk: World):
    charged = []
    for _ in range(4):
        ana = await caller(talk)
        await ana.calls(29)
        charged.append((await ana.use())["charged_minor"])
    assert charged == [0, 50, 50, 50]
    await talk.assert_books_agree()


async def test_where_the_rates_say_so_no_call_is_free_and_that_is_said_before(talk: World):
    row = RatesRow("default", "", {"minimum": "charge"}, talk.now_text())
    await talk.db.write(lambda tx: set_rates(tx, BooksOf("sandbox", "sandbox"), row))
    ana = await caller(talk)
    (call,) = await talk.rows("stripe_calls")
    said = call["params"]["line_items"][0]["price_data"]["product_data"]["description"]
    assert "below 0.50 EUR costs 0.50 EUR." in said
    # What was said holds, whatever the rates say when the call is over.
    await talk.db.write(lambda tx: clear_rates(tx, BooksOf("sandbox", "sandbox"), "default", ""))
    await ana.calls(20)
    assert (await ana.use())["charged_minor"] == 50
    nobody = await caller(talk)
    await nobody.calls(0)
    assert (await nobody.use())["charged_minor"] == 0
    await talk.assert_books_agree()


async def test_the_rule_is_said_before_the_card_is_asked(talk: World):
    who = talk.customer()
    _, made = await talk.order(who, seconds=None)
    (call,) = await talk.rows("stripe_calls")
    said = call["params"]["line_items"][0]["price_data"]["product_data"]["description"]
    assert "1.00 EUR per minute" in said
    assert "hold 15.00 EUR for up to 15 min" in said
    assert "below 0.50 EUR is free, once a day" in said
    assert call["params"]["payment_intent_data"]["capture_method"] == "manual"
    assert "setup_future_usage" not in call["params"]["payment_intent_data"]
    assert made["amount_minor"] == 1500


# --- what goes back ---------------------------------------------------------------------------------------


async def test_a_refund_made_in_the_dashboard_is_booked(talk: World):
    ana = await caller(talk)
    await ana.calls(432)
    (window,) = await ana.windows()
    await talk.control("refund", payment_intent=window["payment_intent_id"], amount_minor=200)
    await talk.settle_down()
    shown = await talk.show(ana.who)
    assert shown["state"] == "partly_refunded"
    await talk.control("refund", payment_intent=window["payment_intent_id"], amount_minor=520)
    await talk.settle_down()
    assert (await talk.show(ana.who))["state"] == "refunded"
    await talk.assert_books_agree()


async def test_a_dispute_that_is_lost_takes_what_was_charged(talk: World):
    ana = await caller(talk)
    await ana.calls(432)
    (window,) = await ana.windows()
    await talk.control("dispute", payment_intent=window["payment_intent_id"])
    await talk.settle_down()
    assert (await talk.show(ana.who))["state"] == "disputed"
    await talk.control("dispute", payment_intent=window["payment_intent_id"], action="lost")
    await talk.settle_down()
    (order,) = await talk.rows("orders")
    assert order["lost_minor"] == 720
    await talk.assert_books_agree()


async def test_nothing_is_refunded_before_anything_is_charged(talk: World):
    ana = await caller(talk)
    asked = {"now_s": int(talk.clock.at_s), "created_at": talk.now_text()}
    await talk.db.write(lambda tx: outbox.ask_refund_of_pass(tx, ana.pass_id, "kicked", **asked))
    for _ in range(3):
        await talk.settle_down()
        talk.later(2)
    use = await ana.use()
    assert (use["charged_minor"], use["released_minor"]) == (0, 1500)
    assert await talk.rows("refunds") == []
    await talk.assert_books_agree()


async def test_the_room_hears_when_it_is_settled(talk: World):
    ana = await caller(talk)
    talk.notices.clear()
    await ana.calls(432)
    assert any(isinstance(notice, PassChanged) for notice in talk.notices)
