"""PaymentIntents without a page: created, confirmed, captured, canceled through the API."""

import pytest
import stripe

from .world import World


async def create(world: World, **changes):
    return await world.client.v1.payment_intents.create_async({"amount": 2000, "currency": "usd", **changes})


async def test_created_and_confirmed_at_once(world: World):
    intent = await create(world, payment_method="pm_card_visa", confirm=True, metadata={"call": "c1"})
    assert (intent.status, intent.amount_received) == ("succeeded", 2000)
    found = await world.client.v1.payment_intents.retrieve_async(intent.id, {"expand": ["payment_method"]})
    assert found.payment_method.card.last4 == "4242"


async def test_confirmed_later_with_the_method_it_was_created_with(world: World):
    intent = await create(world, payment_method="pm_card_visa")
    assert intent.status == "requires_confirmation"
    assert (await world.client.v1.payment_intents.confirm_async(intent.id)).status == "succeeded"


async def test_a_declined_card_raises_and_leaves_its_failed_charge(world: World):
    with pytest.raises(stripe.CardError) as raised:
        await create(world, payment_method="pm_card_visa_chargeDeclinedInsufficientFunds", confirm=True)
    assert (raised.value.code, raised.value.http_status) == ("card_declined", 402)
    assert raised.value.error.decline_code == "insufficient_funds"
    intents = await world.client.v1.payment_intents.list_async()
    assert [one.status for one in intents.data] == ["requires_payment_method"]
    charges = await world.client.v1.charges.list_async({"payment_intent": intents.data[0].id})
    assert [one.status for one in charges.data] == ["failed"]


async def test_hold_then_capture_in_full(world: World):
    intent = await create(world, payment_method="pm_card_visa", confirm=True, capture_method="manual")
    assert (intent.status, intent.amount_capturable) == ("requires_capture", 2000)
    charge = await world.client.v1.charges.retrieve_async(intent.latest_charge)
    assert charge.payment_method_details.card.capture_before == charge.created + 7 * 86400
    with pytest.raises(stripe.InvalidRequestError):
        await world.client.v1.payment_intents.capture_async(intent.id, {"amount_to_capture": 2001})
    done = await world.client.v1.payment_intents.capture_async(intent.id)
    assert (done.status, done.amount_received) == ("succeeded", 2000)
    with pytest.raises(stripe.InvalidRequestError) as raised:
        await world.client.v1.payment_intents.capture_async(intent.id)
    assert raised.value.code == "payment_intent_unexpected_state"


async def test_canceled_is_final(world: World):
    intent = await create(world)
    canceled = await world.client.v1.payment_intents.cancel_async(
        intent.id, {"cancellation_reason": "abandoned"}
    )
    assert (canceled.status, canceled.cancellation_reason) == ("canceled", "abandoned")
    with pytest.raises(stripe.InvalidRequestError):
        await world.client.v1.payment_intents.confirm_async(intent.id, {"payment_method": "pm_card_visa"})


async def test_the_intent_of_an_open_session_is_the_session_s(world: World):
    session = await world.session()
    await world.pay(session, "declined")
    intent_id = (await world.client.v1.checkout.sessions.retrieve_async(session.id)).payment_intent
    with pytest.raises(stripe.InvalidRequestError, match="expire the Checkout Session"):
        await world.client.v1.payment_intents.cancel_async(intent_id)


async def test_unknown_method_customer_and_currency_are_refused(world: World):
    for changes in (
        {"payment_method": "pm_none"},
        {"customer": "cus_none"},
        {"currency": "zzz"},
        {"amount": 1},
    ):
        with pytest.raises(stripe.InvalidRequestError):
            await create(world, **changes)
    assert (await world.client.v1.payment_intents.list_async()).data == []
