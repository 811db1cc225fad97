"""Invoices of a subscription, given back on request: one of them or a part of it, with or without the access."""

from contextlib import suppress
from typing import Any

import pytest

from signaling.ids import new_secret, secret_hash
from signaling.mail import plain_text
from signaling.notices import PassChanged

from .test_asked_refunds import OPERATOR, ask, refund_id
from .test_mailed_receipts import letters
from .test_subscriptions import (
    add_room,
    advance,
    assert_books_hold,
    booked,
    order,
    pass_state,
    says,
    subscribe,
)
from .world import Crash, Customer, World

HOST_SECRET = new_secret(lambda size: b"h" * size)


@pytest.fixture
async def talk(world: World) -> World:
    await add_room(world, host_key_hash=secret_hash(HOST_SECRET))
    return world


@pytest.fixture
async def either(either_world: World) -> World:
    """The same, on each database."""
    await add_room(either_world, host_key_hash=secret_hash(HOST_SECRET))
    return either_world


async def gone(world: World) -> list[int]:
    """Of each invoice, the oldest first."""
    rows = sorted(await world.rows("invoices"), key=lambda row: str(row["created_at"]))
    return [row["refunded_minor"] for row in rows]


async def code(world: World, who: Customer, **body: Any) -> tuple[int, str]:
    status, refused = await ask(world, who, **body)
    return status, refused["error"]["code"]


async def months(world: World, number: int) -> Customer:
    """Somebody who has paid for so many; their invoices are a month apart."""
    who = await subscribe(world)
    for _ in range(number - 1):
        world.later(31 * 86_400)
        await advance(world)
    return who


async def test_a_part_and_then_the_rest_of_the_newest_invoice_goes_back_with_its_part_of_the_fee(
    either: World,
):
    await says(either, currency="eur", fee_percent_bp=1000)
    who = await months(either, 2)
    status, asked = await ask(either, who, amount_minor=300)
    assert (status, asked["state"]) == (202, "asked")
    await either.settle_down()
    assert await gone(either) == [0, 300]
    assert (await either.show(who))["refund"]["state"] == "succeeded"
    assert (await either.show(who))["state"] == "partly_refunded"
    assert await pass_state(either) == "waiting"
    await ask(either, who, part="all", reason="requested")
    await either.settle_down()
    assert await gone(either) == [0, 900]
    assert sorted(row["reversed_minor"] for row in await either.rows("earnings")) == [0, 810]
    assert await code(either, who, part="all") == (409, "nothing_left")
    assert (await either.one("subscriptions"))["cancel_at_period_end"] is False
    await assert_books_hold(either)


async def test_an_invoice_of_long_ago_is_named(either: World):
    who = await months(either, 8)
    first = min(await either.rows("invoices"), key=lambda row: str(row["created_at"]))
    assert await code(either, who, part="all", invoice_id="in_unknown") == (404, "unknown_invoice")
    one = refund_id()
    for _ in range(2):
        status, _ = await ask(either, who, refund_id=one, part="all", invoice_id=first["id"])
        assert status == 202
        await either.settle_down()
    assert await gone(either) == [900, *[0] * 7]
    assert await code(either, who, refund_id=one, part="all") == (409, "exists_different")
    await either.control("fail_refund", refund=(await either.one("refunds"))["stripe_refund_id"])
    await either.settle_down()
    assert await gone(either) == [0] * 8
    either.later(3601)
    await either.settle_down()
    await either.settle_down()
    assert await gone(either) == [900, *[0] * 7], "the same invoice, asked for again"
    assert await either.problems() == []


async def test_what_is_asked_at_once_shares_what_is_left(either: World):
    who = await subscribe(either)
    assert await code(either, who, amount_minor=901) == (409, "too_much")
    for _ in range(2):
        assert (await ask(either, who, amount_minor=600))[0] == 202
    await either.settle_down()
    assert sorted(row["amount_minor"] for row in await either.rows("refunds")) == [300, 600]
    assert (await either.show(who))["state"] == "refunded"
    assert await pass_state(either) == "waiting"
    await assert_books_hold(either)


async def test_a_refund_of_the_dashboard_beside_ours_is_not_given_twice(talk: World):
    who = await subscribe(talk)
    invoice = await talk.one("invoices")
    params = {"payment_intent": invoice["payment_intent_id"], "amount": 500}
    await talk.payments.ctx.service.refund(params, "dashboard")
    await talk.settle_down()
    assert await code(talk, who, amount_minor=401) == (409, "too_much")
    await ask(talk, who, part="all")
    await talk.settle_down()
    assert sorted(row["amount_minor"] for row in await talk.rows("refunds")) == [400, 500]
    await assert_books_hold(talk)


async def test_time_has_no_price_in_a_subscription_and_other_orders_have_no_invoices(talk: World):
    who = await subscribe(talk)
    assert await code(talk, who, seconds=60) == (422, "no_length")
    assert await code(talk, who, part="unused") == (422, "no_length")
    await talk.add_room("hour")
    other, _ = await talk.buy("hour")
    assert await code(talk, other, part="all", invoice_id="in_1") == (422, "no_subscription")
    assert await code(talk, other, part="all", cancel=True) == (422, "no_subscription")


async def test_a_trial_has_nothing_to_give_back_yet(world: World):
    tariff = {
        "kind": "subscription",
        "price_minor": 900,
        "currency": "eur",
        "interval": "month",
        "trial_days": 7,
    }
    await add_room(world, tariff=tariff)
    who = await subscribe(world)
    assert await code(world, who, part="all") == (409, "not_paid")


async def test_access_ends_now_and_the_subscription_at_the_service_with_it(either: World):
    who = await subscribe(either)
    pass_id = (await either.one("passes"))["id"]
    either.notices.clear()
    await ask(either, who, part="all", end_access=True)
    await either.settle_down()
    assert await pass_state(either) == "refunded"
    assert PassChanged(pass_id, "room_talk") in either.notices
    row = await either.one("subscriptions")
    assert (
        (await either.payments.ctx.service.fetch_subscription(row["id"])).status
        == row["status"]
        == "canceled"
    )
    await order(either)  # the same person may subscribe anew
    await assert_books_hold(either)


async def test_access_that_is_kept_lasts_until_the_end_of_the_period_when_it_is_cancelled_with_it(
    talk: World,
):
    who = await subscribe(talk)
    one = refund_id()
    await talk.control("faults", operation="subscriptions.update", fault="error_500_saved")
    for _ in range(2):
        assert (await ask(talk, who, refund_id=one, part="all", cancel=True))[0] == 202
        talk.later(5)
        await talk.settle_down()
    row = await talk.one("subscriptions")
    assert (row["status"], row["cancel_at_period_end"], await pass_state(talk)) == ("active", True, "waiting")
    await advance(talk)
    assert (await talk.one("subscriptions"))["status"] == "canceled"
    talk.later(3601)
    await talk.work()
    assert await pass_state(talk) == "used_up"
    assert await gone(talk) == [900]
    await assert_books_hold(talk)


async def test_one_that_is_kept_goes_on_and_is_renewed(talk: World):
    who = await subscribe(talk)
    await ask(talk, who, part="all")
    await talk.settle_down()
    assert (await talk.show(who))["state"] == "refunded"
    talk.later(31 * 86_400)
    await advance(talk)
    assert await gone(talk) == [900, 0]
    assert (await talk.show(who))["state"] == "partly_refunded"
    assert await pass_state(talk) == "waiting"
    await assert_books_hold(talk)


async def test_receipt_letter_and_lists_show_every_invoice_and_what_went_back(talk: World):
    who = await months(talk, 2)
    await ask(talk, who, amount_minor=250)
    await talk.settle_down()
    _, receipt = await talk.call("GET", f"/api/orders/{who.order_id}/receipt", who)
    assert [(one["amount_minor"], one["refunded_minor"]) for one in receipt["invoices"]] == [
        (900, 250),
        (900, 0),
    ]
    assert [(one["amount_minor"], one["state"]) for one in receipt["refunds"]] == [(250, "succeeded")]
    assert (receipt["state"], receipt["total"]["amount_minor"]) == ("partly_refunded", 1550)
    (letter,) = await letters(talk)
    assert letter.to == "ben@example.org"
    text = plain_text(letter)
    for words in (": 9.00 EUR", "Refunded: 2.50 EUR (a gesture of goodwill, sent)", "Total: 15.50 EUR"):
        assert words in text
    _, sold = await talk.call("GET", "/api/host/rooms/room_talk/sales", Customer("", HOST_SECRET))
    (sale,) = sold["sales"]
    assert (sale["paid_minor"], sale["refunded_minor"], len(sale["invoices"])) == (1800, 250, 2)
    _, shown = await talk.call("GET", f"/api/admin/orders/{who.order_id}", OPERATOR)
    assert (shown["funding"], shown["paid_minor"]) == ("subscription", 1800)
    assert [one["amount_minor"] for one in shown["refunds"]] == [250]
    assert (await talk.call("GET", "/api/admin/orders/ord_unknown", OPERATOR))[0] == 404
    assert (await talk.call("GET", f"/api/admin/orders/{who.order_id}", who))[0] in {401, 403}


async def test_a_host_gives_back_what_was_billed_in_their_room(talk: World):
    who = await months(talk, 2)
    host = Customer("", HOST_SECRET)
    body = {"refund_id": refund_id(), "order_id": who.order_id, "reason": "requested", "part": "all"}
    status, _ = await talk.call("POST", "/api/host/rooms/room_talk/refunds", host, body)
    assert status == 202
    await talk.settle_down()
    assert await gone(talk) == [0, 900]
    await assert_books_hold(talk)


async def test_what_a_bank_looks_into_is_not_given_back(talk: World):
    who = await subscribe(talk)
    invoice = await talk.one("invoices")
    await talk.control("dispute", payment_intent=invoice["payment_intent_id"], action="open")
    await talk.settle_down()
    assert await code(talk, who, part="all") == (409, "disputed")


async def test_a_lost_answer_and_a_webhook_that_never_comes_book_it_once(talk: World):
    who = await subscribe(talk)
    await talk.control("faults", operation="refunds.create", fault="truncate_after_commit")
    await talk.control("faults", events="drop", count=20)
    await ask(talk, who, part="all")
    for _ in range(3):
        talk.later(40)
        await talk.settle_down()
    assert await gone(talk) == [900]
    assert await booked(talk, "refund") == 900
    await assert_books_hold(talk)


async def test_a_refund_that_the_service_refuses_gives_nothing_and_waits_for_a_person(talk: World):
    who = await subscribe(talk)
    invoice = await talk.one("invoices")
    await ask(talk, who, part="all")
    params = {"payment_intent": invoice["payment_intent_id"], "amount": 900}
    talk.webhooks_reach_us = False
    await talk.payments.ctx.service.refund(params, "quicker")
    await talk.settle_down()
    assert await gone(talk) == [900]
    assert {row["state"] for row in await talk.rows("refunds")} == {"failed", "succeeded"}
    await assert_books_hold(talk)


async def test_a_crash_at_any_step_gives_back_once(world: World):
    await add_room(world)
    who = await subscribe(world)
    for at in range(12):
        await ask(world, who, amount_minor=10 + at)
        world.crash_at = at
        with suppress(Crash):
            await world.settle_down()
        died, world.crash_at = world.crashed, None
        await world.reboot()
        world.later(60)
        await world.settle_down()
        assert await gone(world) == [sum(10 + before for before in range(at + 1))]
        if not died:
            break
    assert world.deaths > 0
    await assert_books_hold(world)
