"""What both must do alike: the sandbox always, and Stripe's test mode where STRIPE_TEST_KEY holds a key of it (`sk_test_…`).

What is asserted here of Stripe was read in its documents; a run with a key says whether it is so.
"""

import os
import uuid
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import stripe

from signaling.payments.stripe import API_VERSION

from .world import build_world, checkout_params

KEY = os.environ.get("STRIPE_TEST_KEY", "")
HOLD = {
    "amount": 2000,
    "currency": "eur",
    "capture_method": "manual",
    "confirm": True,
    "payment_method": "pm_card_visa",
    "payment_method_types": ["card"],
}


@pytest.fixture(
    params=[
        "sandbox",
        pytest.param(
            "stripe", marks=pytest.mark.skipif(not KEY.startswith("sk_test_"), reason="no STRIPE_TEST_KEY")
        ),
    ]
)
async def client(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[stripe.StripeClient]:
    if request.param == "sandbox":
        async with build_world(tmp_path) as world:
            yield world.client
        return
    async with aiohttp.ClientSession() as http:
        yield stripe.StripeClient(
            KEY,
            stripe_version=API_VERSION,
            http_client=stripe.AIOHTTPClient(session=http),
            max_network_retries=2,
        )


def fresh_key() -> Any:
    return {"idempotency_key": f"contract-{uuid.uuid4()}"}


async def test_part_of_a_hold_is_taken_without_a_refund(client: stripe.StripeClient):
    held = await client.v1.payment_intents.create_async(HOLD)
    assert (held.status, held.amount_capturable, held.amount_received) == ("requires_capture", 2000, 0)
    done = await client.v1.payment_intents.capture_async(
        held.id, {"amount_to_capture": 700, "expand": ["latest_charge.balance_transaction"]}
    )
    assert (done.status, done.amount_received) == ("succeeded", 700)
    charge: Any = done.latest_charge
    assert (charge.captured, charge.amount_captured, charge.refunded) == (True, 700, False)
    assert charge.balance_transaction.amount == 700
    assert (await client.v1.refunds.list_async({"payment_intent": held.id})).data == []


async def test_no_more_than_the_hold_can_be_taken(client: stripe.StripeClient):
    held = await client.v1.payment_intents.create_async(HOLD)
    with pytest.raises(stripe.InvalidRequestError) as refused:
        await client.v1.payment_intents.capture_async(held.id, {"amount_to_capture": 2001})
    assert refused.value.code == "amount_too_large"


async def test_a_released_hold_is_canceled_and_has_a_last_day_before(client: stripe.StripeClient):
    held = await client.v1.payment_intents.create_async(HOLD | {"expand": ["latest_charge"]})
    charge: Any = held.latest_charge
    assert charge.payment_method_details.card.capture_before > charge.created
    released = await client.v1.payment_intents.cancel_async(held.id)
    assert (released.status, released.amount_capturable, released.amount_received) == ("canceled", 0, 0)
    with pytest.raises(stripe.InvalidRequestError) as refused:
        await client.v1.payment_intents.capture_async(held.id)
    assert refused.value.code == "payment_intent_unexpected_state"


@pytest.mark.parametrize(
    ("method", "code", "decline_code"),
    [
        ("pm_card_visa_chargeDeclined", "card_declined", "generic_decline"),
        ("pm_card_visa_chargeDeclinedInsufficientFunds", "card_declined", "insufficient_funds"),
    ],
)
async def test_a_decline_leaves_a_payment_behind(
    client: stripe.StripeClient, method: str, code: str, decline_code: str
):
    with pytest.raises(stripe.CardError) as declined:
        await client.v1.payment_intents.create_async(HOLD | {"payment_method": method})
    assert declined.value.code == code
    said: Any = declined.value.json_body
    assert said["error"]["decline_code"] == decline_code
    left = await client.v1.payment_intents.retrieve_async(said["error"]["payment_intent"]["id"])
    assert left.status == "requires_payment_method"


async def test_a_kept_card_is_charged_without_its_holder(client: stripe.StripeClient):
    customer = await client.v1.customers.create_async({"email": "pat@example.org"})
    kept = await client.v1.payment_methods.attach_async("pm_card_visa", {"customer": customer.id})
    charged = await client.v1.payment_intents.create_async(
        HOLD
        | {
            "capture_method": "automatic",
            "customer": customer.id,
            "payment_method": kept.id,
            "off_session": True,
        }
    )
    assert (charged.status, charged.amount_received) == ("succeeded", 2000)
    listed = await client.v1.customers.payment_methods.list_async(customer.id, {"type": "card"})
    assert [one.id for one in listed.data] == [kept.id]
    await client.v1.payment_methods.detach_async(kept.id)
    assert (await client.v1.customers.payment_methods.list_async(customer.id, {"type": "card"})).data == []


async def test_no_more_is_refunded_than_was_paid(client: stripe.StripeClient):
    paid = await client.v1.payment_intents.create_async(HOLD | {"capture_method": "automatic"})
    first = await client.v1.refunds.create_async({"payment_intent": paid.id, "amount": 1500})
    assert first.status in {"succeeded", "pending"}
    with pytest.raises(stripe.InvalidRequestError):
        await client.v1.refunds.create_async({"payment_intent": paid.id, "amount": 501})


async def test_one_key_makes_one_object_and_takes_one_set_of_parameters(client: stripe.StripeClient):
    key = fresh_key()
    first = await client.v1.payment_intents.create_async(HOLD, key)
    again = await client.v1.payment_intents.create_async(HOLD, key)
    assert again.id == first.id
    with pytest.raises(stripe.IdempotencyError):
        await client.v1.payment_intents.create_async(HOLD | {"amount": 2100}, key)


async def test_a_checkout_is_made_expired_and_not_expired_twice(client: stripe.StripeClient):
    session = await client.v1.checkout.sessions.create_async(checkout_params())
    assert (session.status, session.payment_status, session.amount_total) == ("open", "unpaid", 1500)
    assert session.payment_intent is None
    assert (await client.v1.checkout.sessions.expire_async(session.id)).status == "expired"
    with pytest.raises(stripe.InvalidRequestError):
        await client.v1.checkout.sessions.expire_async(session.id)


async def test_keeping_a_card_has_its_setup_from_the_start(client: stripe.StripeClient):
    session = await client.v1.checkout.sessions.create_async(
        {"mode": "setup", "currency": "eur", "success_url": "https://rooms.test/back"}
    )
    assert (session.amount_total, session.payment_status) == (None, "no_payment_required")
    assert session.setup_intent is not None


async def test_a_subscription_needs_a_recurring_price(client: stripe.StripeClient):
    with pytest.raises(stripe.InvalidRequestError):
        await client.v1.checkout.sessions.create_async(checkout_params(mode="subscription"))
    price: Any = checkout_params()["line_items"][0]["price_data"] | {"recurring": {"interval": "month"}}
    params = checkout_params(mode="subscription", line_items=[{"price_data": price, "quantity": 1}])
    session = await client.v1.checkout.sessions.create_async(params)
    assert (session.mode, session.amount_total, session.subscription) == ("subscription", 1500, None)
