"""Cards kept without a payment, subscriptions and their invoices, and the portal, through `StripePayments` and the real SDK."""

from datetime import UTC, datetime
from typing import Any

import pytest

from signaling.payments.port import OutcomeUnknownError, RefusedByServiceError, SubscriptionFact
from signaling.payments.stripe import StripePayments

from .world import SECRET_KEY, WEBHOOK_SECRET, World, checkout_params

MONTHLY = {
    "currency": "eur",
    "unit_amount": 900,
    "product_data": {"name": "Yoga, every week"},
    "recurring": {"interval": "month"},
}


@pytest.fixture
def payments(world: World) -> StripePayments:
    return StripePayments(
        SECRET_KEY,
        http=world.http,
        mode="sandbox",
        account="sandbox",
        webhook_secret=WEBHOOK_SECRET,
        api_base=world.url,
    )


def monthly(**changes: Any) -> dict[str, Any]:
    return checkout_params(
        mode="subscription",
        line_items=[{"price_data": MONTHLY, "quantity": 1}],
        subscription_data={"metadata": {"order_id": "ord_1"}, **changes.pop("data", {})},
        **changes,
    )


async def subscribed(
    world: World, payments: StripePayments, card: str = "succeeds", **changes: Any
) -> SubscriptionFact:
    session = await payments.create_checkout(monthly(**changes), "cs")
    answer = await world.call(
        f"/sandbox/api/checkout/{session.fact.checkout_session_id}/pay",
        {"card": card, "email": "pat@example.org"},
    )
    if answer["state"] == "challenge":
        answer = await world.call(
            f"/sandbox/api/checkout/{session.fact.checkout_session_id}/challenge", {"approved": True}
        )
    assert answer["state"] == "complete"
    found = await payments.fetch_checkout(session.fact.checkout_session_id)
    assert found.subscription_id
    return await payments.fetch_subscription(found.subscription_id)


async def advance(world: World, subscription: SubscriptionFact, **more: Any) -> dict[str, Any]:
    return await world.control("advance_subscription", {"subscription": subscription.subscription_id, **more})


def day_of(at_s: int) -> tuple[int, int]:
    at = datetime.fromtimestamp(at_s, UTC)
    return at.month, at.day


# --- a card alone -----------------------------------------------------------------------------------------


async def test_a_card_is_kept_and_nothing_charged(world: World, payments: StripePayments):
    customer_id = await payments.create_customer({"email": "pat@example.org"}, "cus")
    params = {
        "mode": "setup",
        "currency": "eur",
        "customer": customer_id,
        "client_reference_id": "usr_1",
        "setup_intent_data": {"metadata": {"reference": "usr_1"}},
        "success_url": "https://rooms.test/back",
    }
    session = await payments.create_checkout(params, "cs")
    assert (session.setup.status, session.setup.card) == ("open", None)
    shown = await world.call(f"/sandbox/api/checkout/{session.fact.checkout_session_id}")
    assert (shown["mode"], shown["amount_minor"], shown["lines"]) == ("setup", None, [])
    place = f"/sandbox/api/checkout/{session.fact.checkout_session_id}"
    declined = await world.call(f"{place}/pay", {"card": "declined"})
    assert (declined["state"], declined["code"]) == ("declined", "generic_decline")
    assert (await world.call(f"{place}/pay", {"card": "three_d_secure_once"}))["state"] == "challenge"
    assert (await world.call(f"{place}/challenge", {"approved": True}))["state"] == "complete"
    found = await payments.fetch_checkout(session.fact.checkout_session_id)
    assert (found.fact.session_status, found.fact.payment_status) == ("complete", "no_payment_required")
    assert found.setup.status == "succeeded"
    assert await payments.list_cards(customer_id) == (found.setup.card,)
    assert [entry async for entry in payments.balance_entries(0)] == []
    await world.work()
    assert {"setup_intent.succeeded", "checkout.session.completed"} <= set(world.merchant.types)


async def test_a_setup_that_expires_keeps_nothing(world: World, payments: StripePayments):
    params = {"mode": "setup", "currency": "eur", "success_url": "https://rooms.test/back"}
    session = await payments.create_checkout(params | {"customer_creation": "always"}, "cs")
    await payments.expire_checkout(session.fact.checkout_session_id)
    found = await payments.fetch_checkout(session.fact.checkout_session_id)
    assert found.setup.status == "canceled"


# --- subscribing ------------------------------------------------------------------------------------------


async def test_the_first_month_is_paid_at_once(world: World, payments: StripePayments):
    subscription = await subscribed(world, payments)
    assert (subscription.status, subscription.reference) == ("active", "ord_1")
    assert (subscription.amount_minor, subscription.currency) == (900, "eur")
    now = day_of(int(world.clock.now_s))
    assert day_of(subscription.current_period_end_s) == (now[0] % 12 + 1, now[1])
    (invoice,) = await payments.list_invoices(subscription.subscription_id)
    assert (invoice.status, invoice.amount_paid_minor) == ("paid", 900)
    assert invoice.period_end_s == subscription.current_period_end_s
    intent = await payments.fetch_intent(invoice.payment_intent_id)
    assert (intent.status, intent.received_minor) == ("succeeded", 900)
    (card,) = await payments.list_cards(subscription.customer_id)
    assert intent.charge.card == card
    await world.work()
    assert {
        "checkout.session.completed",
        "customer.subscription.created",
        "invoice.paid",
    } <= set(world.merchant.types)


async def test_a_declined_card_makes_no_subscription(world: World, payments: StripePayments):
    session = await payments.create_checkout(monthly(), "cs")
    place = f"/sandbox/api/checkout/{session.fact.checkout_session_id}"
    assert (await world.call(f"{place}/pay", {"card": "declined"}))["state"] == "declined"
    found = await payments.fetch_checkout(session.fact.checkout_session_id)
    assert (found.fact.session_status, found.subscription_id) == ("open", None)
    assert (await world.call("/_control/books"))["totals"]["eur"]["captured_minor"] == 0


async def test_a_trial_is_paid_when_it_is_over(world: World, payments: StripePayments):
    subscription = await subscribed(world, payments, data={"trial_period_days": 7})
    assert subscription.status == "trialing"
    assert subscription.current_period_end_s == world.clock.now_s + 7 * 86400
    (invoice,) = await payments.list_invoices(subscription.subscription_id)
    assert (invoice.status, invoice.amount_paid_minor, invoice.payment_intent_id) == ("paid", 0, None)
    await world.work(7 * 86400)
    assert (await payments.fetch_subscription(subscription.subscription_id)).status == "active"
    newest = (await payments.list_invoices(subscription.subscription_id))[0]
    assert (newest.amount_paid_minor, newest.period_start_s) == (900, subscription.current_period_end_s)


async def test_a_month_later_it_renews_by_itself(world: World, payments: StripePayments):
    subscription = await subscribed(world, payments)
    await world.work(32 * 86400)
    later = await payments.fetch_subscription(subscription.subscription_id)
    assert (later.status, len(await payments.list_invoices(later.subscription_id))) == ("active", 2)
    assert later.current_period_end_s > subscription.current_period_end_s
    assert [entry.amount_minor async for entry in payments.balance_entries(0)] == [900, 900]


async def test_control_renews_before_the_time(world: World, payments: StripePayments):
    subscription = await subscribed(world, payments)
    answer = await advance(world, subscription)
    assert answer["status"] == "active"
    newest = (await payments.list_invoices(subscription.subscription_id))[0]
    assert newest.period_start_s == subscription.current_period_end_s


@pytest.mark.parametrize("card", ["declines_later", "no_funds_later", "three_d_secure"])
async def test_a_card_that_fails_later_lapses_and_is_given_up(
    world: World, payments: StripePayments, card: str
):
    subscription = await subscribed(world, payments, card)
    assert (await advance(world, subscription))["status"] == "past_due"
    newest = (await payments.list_invoices(subscription.subscription_id))[0]
    assert (newest.status, newest.amount_paid_minor) == ("open", 0)
    statuses = [(await advance(world, subscription))["status"] for _ in range(3)]
    assert statuses == ["past_due", "past_due", "canceled"]
    assert (await advance(world, subscription))["status"] == 400
    await world.work()
    assert {"invoice.payment_failed", "customer.subscription.deleted"} <= set(world.merchant.types)
    assert ("invoice.payment_action_required" in world.merchant.types) == (card == "three_d_secure")


async def test_what_was_past_due_comes_back(world: World, payments: StripePayments):
    subscription = await subscribed(world, payments)
    assert (await advance(world, subscription, fails=True))["status"] == "past_due"
    await world.work(3 * 86400)
    found = await payments.fetch_subscription(subscription.subscription_id)
    assert found.status == "active"
    invoices = await payments.list_invoices(subscription.subscription_id)
    assert [one.status for one in invoices] == ["paid", "paid"]


# --- ending it --------------------------------------------------------------------------------------------


async def test_canceled_at_the_end_of_the_period_or_not_after_all(world: World, payments: StripePayments):
    subscription = await subscribed(world, payments)
    own = subscription.subscription_id
    changed = await payments.update_subscription(own, {"cancel_at_period_end": True}, "u:1")
    assert (changed.cancel_at_period_end, changed.status) == (True, "active")
    await payments.update_subscription(own, {"cancel_at_period_end": False}, "u:2")
    assert (await advance(world, subscription))["status"] == "active"
    await payments.update_subscription(own, {"cancel_at_period_end": True}, "u:3")
    assert (await advance(world, subscription))["status"] == "canceled"
    assert len(await payments.list_invoices(own)) == 2


async def test_canceled_at_once(world: World, payments: StripePayments):
    subscription = await subscribed(world, payments)
    ended = await payments.cancel_subscription(subscription.subscription_id, "c")
    assert ended.status == "canceled"
    with pytest.raises(RefusedByServiceError):
        await payments.cancel_subscription(subscription.subscription_id, "c:2")
    await world.work(90 * 86400)
    assert len(await payments.list_invoices(subscription.subscription_id)) == 1


async def test_a_lost_answer_to_an_update_is_found_again(world: World, payments: StripePayments):
    subscription = await subscribed(world, payments)
    await world.control("faults", {"operation": "subscriptions.update", "fault": "truncate_after_commit"})
    params = {"cancel_at_period_end": True}
    with pytest.raises(OutcomeUnknownError):
        await payments.update_subscription(subscription.subscription_id, params, "u")
    again = await payments.update_subscription(subscription.subscription_id, params, "u")
    assert again.cancel_at_period_end
    await world.work()
    assert world.merchant.types.count("customer.subscription.updated") == 1


# --- the portal -------------------------------------------------------------------------------------------


async def portal(world: World, payments: StripePayments, subscription: SubscriptionFact) -> str:
    params = {"customer": subscription.customer_id, "return_url": "https://rooms.test/me"}
    url = await payments.create_portal(params, "p")
    assert url.startswith(f"{world.url}/sandbox/portal/bps_")
    return url.replace("/sandbox/", "/sandbox/api/").removeprefix(world.url)


async def test_the_portal_ends_and_resumes(world: World, payments: StripePayments):
    subscription = await subscribed(world, payments)
    place = await portal(world, payments, subscription)
    (shown,) = (await world.call(place))["subscriptions"]
    assert (shown["name"], shown["last4"], shown["interval"]) == ("Yoga, every week", "4242", "month")
    body = {"subscription": subscription.subscription_id}
    assert (await world.call(f"{place}/cancel", body))["subscriptions"][0]["cancel_at_period_end"]
    assert (await payments.fetch_subscription(subscription.subscription_id)).cancel_at_period_end
    assert not (await world.call(f"{place}/resume", body))["subscriptions"][0]["cancel_at_period_end"]


async def test_another_card_pays_what_is_open(world: World, payments: StripePayments):
    subscription = await subscribed(world, payments, "declines_later")
    await advance(world, subscription)
    place = await portal(world, payments, subscription)
    body = {"subscription": subscription.subscription_id}
    assert (await world.call(f"{place}/card", body | {"card": "declined"}))["status"] == 402
    shown = await world.call(f"{place}/card", body | {"card": "succeeds"})
    assert (shown["subscriptions"][0]["status"], shown["subscriptions"][0]["last4"]) == ("active", "4242")


async def test_the_portal_of_another_customer_touches_nothing(world: World, payments: StripePayments):
    subscription = await subscribed(world, payments)
    other = await payments.create_customer({"email": "other@example.org"}, "cus")
    url = await payments.create_portal({"customer": other}, "p")
    place = url.replace("/sandbox/", "/sandbox/api/").removeprefix(world.url)
    refused = await world.call(f"{place}/cancel", {"subscription": subscription.subscription_id})
    assert refused["status"] == 404
    await world.work(3601)
    assert (await world.call(place))["status"] == 404
