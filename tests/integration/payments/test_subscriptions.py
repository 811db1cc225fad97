"""Subscriptions of a room: subscribed, renewed, lapsed with a grace, paid again, ended; booked invoice by invoice."""

from typing import Any

import pytest

from signaling.errors import ApiError
from signaling.notices import Funding, PassChanged
from signaling.payments import subscribing
from signaling.payments.checkout import NewOrder
from signaling.stores import rates
from signaling.stores.rates import BooksOf
from signaling.stores.schema import users

from .world import ACCOUNT, Customer, World

MONTHLY = {"kind": "subscription", "price_minor": 900, "currency": "eur", "interval": "month"}
BEN = {
    "id": "user_ben",
    "email": "ben@example.org",
    "name": "Ben",
    "role": "user",
    "created_at": "2026-01-01T00:00:00.000Z",
}
DAY_S = 86_400
MONTH_S = 32 * DAY_S


async def add_room(world: World, **values: Any) -> None:
    await world.add_room(**{"tariff": MONTHLY} | values)
    await world.db.write(lambda tx: tx.execute(users.insert().values(BEN)))


async def order(world: World, user_id: str | None = "user_ben", **body: Any) -> tuple[Customer, Any]:
    who = world.customer()
    said = {"order_id": who.order_id, "name": "Ben", "accept_terms": True} | body
    made = await world.payments.make_order("talk", NewOrder(**said), who.secret, user_id)
    return who, made.order


async def subscribe(world: World, card: str = "succeeds") -> Customer:
    who, made = await order(world)
    status, _ = await world.pay({"checkout": {"ui": "hosted", "url": made.checkout_url}}, card)
    assert status == 200
    await world.settle_down()
    return who


async def advance(world: World, **more: Any) -> None:
    """Its next period, or the next try to be paid."""
    row = await world.one("subscriptions")
    await world.control("advance_subscription", subscription=row["id"], **more)
    await world.settle_down()


async def pass_state(world: World) -> str:
    return str((await world.one("passes"))["state"])


async def says(world: World, **figures: Any) -> None:
    row = rates.RatesRow("room", "room_talk", figures, "2026-01-01T00:00:00.000Z")
    await world.db.write(lambda tx: rates.set_rates(tx, BooksOf("sandbox", ACCOUNT), row))


async def booked(world: World, code: str = "payment_captured") -> int:
    return sum(row["amount_minor"] for row in await world.rows("transfers") if row["code"] == code)


async def assert_books_hold(world: World) -> None:
    """Every charge of the sandbox is booked, and nothing else."""
    entries = [entry async for entry in world.payments.ctx.service.balance_entries(0)]
    charged = sum(entry.amount_minor for entry in entries if entry.type == "charge")
    refunded = -sum(entry.amount_minor for entry in entries if entry.type == "refund")
    assert (await booked(world), await booked(world, "refund")) == (charged, refunded)
    assert await world.problems() == []


# --- subscribing ------------------------------------------------------------------------------------------


async def test_the_first_period_is_paid_and_opens_the_room_without_limit(world: World):
    await add_room(world)
    who = await subscribe(world)
    shown = await world.show(who)
    assert (shown["state"], shown["amount_minor"], shown["funding"]) == ("paid", 900, "subscription")
    assert (shown["pass"]["state"], shown["pass"]["remaining_ms"]) == ("waiting", None)
    row = await world.one("subscriptions")
    assert (row["status"], row["user_id"], row["lapsed_at_s"]) == ("active", "user_ben", None)
    assert (await world.one("invoices"))["amount_minor"] == 900
    assert (await world.one("earnings"))["net_minor"] == 900
    await assert_books_hold(world)


async def test_it_takes_somebody_who_is_signed_in_and_is_not_subscribed_here(world: World):
    await add_room(world)
    with pytest.raises(ApiError, match="sign in first"):
        await order(world, None)
    await subscribe(world)
    with pytest.raises(ApiError) as refused:
        await order(world)
    assert (refused.value.status, refused.value.code) == (409, "already_subscribed")
    with pytest.raises(ApiError) as refused:
        await order(world, code="HALF")
    assert refused.value.code in {"already_subscribed", "code_not_here"}


async def test_the_platforms_fee_is_kept_of_every_invoice(world: World):
    await add_room(world)
    await says(world, currency="eur", fee_percent_bp=1000, fee_on_top=True)
    await subscribe(world)
    await advance(world)
    assert [row["amount_minor"] for row in await world.rows("invoices")] == [990, 990]
    assert [(row["gross_minor"], row["fee_minor"]) for row in await world.rows("earnings")] == [(990, 90)] * 2
    await assert_books_hold(world)


async def test_an_invoice_is_booked_by_its_own_event_when_none_of_the_subscription_comes(world: World):
    await add_room(world)
    await subscribe(world)
    # Stripe makes the next invoice when a period ends and takes its payment about an hour later: then only the invoice tells.
    await world.control("faults", events="drop", type="customer.subscription.updated", times=50)
    await advance(world)
    assert [row["amount_minor"] for row in await world.rows("invoices")] == [900, 900]
    await assert_books_hold(world)


async def test_a_trial_costs_nothing_at_first_and_the_price_afterwards(world: World):
    await add_room(world, tariff=MONTHLY | {"trial_days": 7})
    who = await subscribe(world)
    shown = await world.show(who)
    assert (shown["state"], shown["amount_minor"], shown["pass"]["remaining_ms"]) == ("paid", 0, None)
    assert (await world.one("subscriptions"))["status"] == "trialing"
    assert await world.rows("invoices") == []
    await advance(world)
    assert (await world.one("subscriptions"))["status"] == "active"
    assert (await world.one("invoices"))["amount_minor"] == 900
    await assert_books_hold(world)


async def test_a_declined_card_makes_no_subscription(world: World):
    await add_room(world)
    _, made = await order(world)
    await world.pay({"checkout": {"ui": "hosted", "url": made.checkout_url}}, "declined")
    await world.settle_down()
    assert await world.rows("subscriptions") == await world.rows("passes") == []


# --- renewing and lapsing ---------------------------------------------------------------------------------


async def test_each_period_is_booked_once_however_often_it_is_told(world: World):
    await add_room(world)
    await subscribe(world)
    before = (await world.one("subscriptions"))["current_period_end_s"]
    await world.control("faults", events="duplicate", count=20)
    await advance(world)
    row = await world.one("subscriptions")
    assert row["current_period_end_s"] > before
    await subscribing.refresh(world.payments.ctx, row["id"])
    assert len(await world.rows("invoices")) == len(await world.rows("earnings")) == 2
    assert await booked(world) == 1800
    await assert_books_hold(world)


async def test_an_unpaid_one_is_told_then_ends_after_the_grace_and_comes_back_to_the_same_pass(world: World):
    await add_room(world)
    await says(world, grace_s=600)
    who = await subscribe(world)
    pass_id = (await world.one("passes"))["id"]
    world.notices.clear()
    await advance(world, fails=True)
    assert (await world.one("subscriptions"))["status"] == "past_due"
    told = [notice for notice in world.notices if isinstance(notice, Funding)]
    assert [(one.kind, one.pass_id, one.seconds) for one in told] == [("lapsing", pass_id, 600)]
    world.later(599)
    await world.work()
    assert await pass_state(world) == "waiting"
    world.later(2)
    world.notices.clear()
    await world.work()
    assert await pass_state(world) == "used_up"
    assert PassChanged(pass_id, "room_talk") in world.notices
    status, refused = await world.call("GET", f"/api/orders/{who.order_id}", who)
    assert (status, refused["pass"]["state"]) == (200, "used_up")
    await advance(world)
    assert (await world.one("subscriptions"))["lapsed_at_s"] is None
    assert (await world.one("passes"))["id"] == pass_id
    assert await pass_state(world) == "waiting"
    await assert_books_hold(world)


async def test_a_pass_that_is_paid_again_within_the_grace_never_ends(world: World):
    await add_room(world)
    await subscribe(world)
    await advance(world, fails=True)
    await advance(world)
    world.later(2 * 3600)
    await world.work()
    assert await pass_state(world) == "waiting"


async def test_a_cancelled_one_lets_in_until_the_end_of_its_period_and_its_grace(world: World):
    await add_room(world)
    await subscribe(world)
    row = await world.one("subscriptions")
    service = world.payments.ctx.service
    await service.update_subscription(row["id"], {"cancel_at_period_end": True}, "update")
    await world.settle_down()
    row = await world.one("subscriptions")
    assert (row["cancel_at_period_end"], row["status"], await pass_state(world)) == (
        True,
        "active",
        "waiting",
    )
    await advance(world)
    assert (await world.one("subscriptions"))["status"] == "canceled"
    world.later(3601)
    await world.work()
    assert await pass_state(world) == "used_up"
    # Over is over: the same person may subscribe anew.
    await order(world)


async def test_what_was_not_heard_of_is_asked_for_once_the_period_is_over(world: World):
    await add_room(world)
    await subscribe(world)
    await world.control("faults", events="drop", count=50)
    world.later(MONTH_S)
    await world.deliver()
    assert len(await world.rows("invoices")) == 1
    assert await subscribing.refresh_unheard(world.payments.ctx) == 1
    assert len(await world.rows("invoices")) == 2
    assert (await world.one("subscriptions"))["current_period_end_s"] > world.clock.at_s
    assert await subscribing.refresh_unheard(world.payments.ctx) == 0
    await assert_books_hold(world)


async def test_a_closed_room_ends_its_subscriptions_at_the_service(world: World):
    await add_room(world)
    await subscribe(world)
    await world.set_room("room_talk", state="closed", live=False, away_since_s=int(world.clock.at_s))
    await world.settle_down()
    row = await world.one("subscriptions")
    fact = await world.payments.ctx.service.fetch_subscription(row["id"])
    assert (fact.status, row["status"]) == ("canceled", "canceled")
    assert await booked(world, "refund") == 0
    await assert_books_hold(world)


async def test_a_host_who_is_away_gives_no_period_back(world: World):
    await add_room(world)
    await subscribe(world)
    await world.host_leaves("room_talk")
    world.later(3600)
    await world.settle_down()
    assert await world.rows("refunds") == []
    assert await pass_state(world) == "waiting"


# --- money that goes back ---------------------------------------------------------------------------------


async def test_an_invoice_refunded_in_the_dashboard_is_booked_once(world: World):
    await add_room(world)
    await subscribe(world)
    invoice = await world.one("invoices")
    params = {"payment_intent": invoice["payment_intent_id"], "amount": 400}
    await world.payments.ctx.service.refund(params, "dashboard")
    await world.settle_down()
    await subscribing.refresh(world.payments.ctx, invoice["subscription_id"])
    assert (await world.one("invoices"))["refunded_minor"] == 400
    assert (await world.one("orders"))["refunded_minor"] == 400
    assert (await world.one("earnings"))["reversed_minor"] == 400
    await assert_books_hold(world)


async def test_a_refund_of_an_invoice_that_the_bank_sends_back_is_booked_back_once(world: World):
    await add_room(world)
    await subscribe(world)
    await advance(world)
    _, invoice = await world.rows("invoices")
    for amount in (400, 300):
        params = {"payment_intent": invoice["payment_intent_id"], "amount": amount}
        made = await world.payments.ctx.service.refund(params, f"dashboard {amount}")
        await world.settle_down()
        assert (await world.one("orders"))["refunded_minor"] == amount
        await world.control("fail_refund", refund=made.refund_id)
        for _ in range(2):
            await world.settle_down()
            await subscribing.refresh(world.payments.ctx, invoice["subscription_id"])
        assert [row["refunded_minor"] for row in await world.rows("invoices")] == [0, 0]
        assert (await world.one("orders"))["refunded_minor"] == 0
        assert [row["reversed_minor"] for row in await world.rows("earnings")] == [0, 0]
        assert await world.problems() == []
    assert await booked(world, "refund") == await booked(world, "unrefund") == 700
    assert {row["state"] for row in await world.rows("refunds")} == {"failed"}


async def test_a_refund_of_an_invoice_that_failed_before_it_was_heard_of_reads_the_same(world: World):
    await add_room(world)
    await subscribe(world)
    invoice = await world.one("invoices")
    for amount in (400, 200):
        params = {"payment_intent": invoice["payment_intent_id"], "amount": amount}
        made = await world.payments.ctx.service.refund(params, f"dashboard {amount}")
        if amount == 400:
            await world.control("fail_refund", refund=made.refund_id)
    await world.settle_down()
    assert (await world.one("invoices"))["refunded_minor"] == 200
    assert (await booked(world, "refund"), await booked(world, "unrefund")) == (600, 400)
    assert await world.problems() == []


# --- one's own --------------------------------------------------------------------------------------------


async def test_a_subscriber_sees_theirs_and_opens_the_services_page(world: World):
    await add_room(world)
    await subscribe(world)
    ctx = world.payments.ctx
    (mine,) = await subscribing.mine(ctx, "user_ben")
    assert (mine["status"], mine["room"]["slug"], mine["price"]) == (
        "active",
        "talk",
        {"amount_minor": 900, "currency": "eur"},
    )
    assert "/sandbox/portal/" in await subscribing.portal(ctx, "user_ben", mine["id"])
    assert await subscribing.mine(ctx, "user_cid") == []
    with pytest.raises(ApiError, match="no such subscription"):
        await subscribing.portal(ctx, "user_cid", mine["id"])
    await advance(world, fails=True)
    (mine,) = await subscribing.mine(ctx, "user_ben")
    assert mine["access_until"] is not None


async def test_a_lost_answer_to_the_checkout_is_found_again(world: World):
    await add_room(world)
    await world.control("faults", operation="checkout.sessions.create", fault="truncate_after_commit")
    who, made = await order(world)
    assert made.checkout_session_id is None
    world.later(30)
    await world.work()
    shown = await world.show(who)
    assert shown["state"] == "open"
    await world.pay(shown)
    await world.settle_down()
    assert (await world.show(who))["state"] == "paid"
    await assert_books_hold(world)
