"""Idempotency keys: the saved answer again, whatever it was; never a second effect."""

import asyncio

import pytest
import stripe

from .world import World, checkout_params


async def test_the_same_request_gets_the_saved_answer(world: World):
    first = await world.session(key="checkout:ord_1")
    again = await world.session(key="checkout:ord_1")
    assert again.id == first.id
    assert again.to_dict() == first.to_dict()
    assert again.last_response.headers["Idempotent-Replayed"] == "true"
    assert again.last_response.headers["Original-Request"] == first.last_response.headers["Request-Id"]
    assert "Idempotent-Replayed" not in first.last_response.headers
    assert len((await world.client.v1.checkout.sessions.list_async()).data) == 1


async def test_the_saved_answer_does_not_follow_the_object(world: World):
    first = await world.session(key="checkout:ord_1")
    await world.pay(first)
    assert (await world.session(key="checkout:ord_1")).status == "open"


async def test_other_parameters_under_the_same_key_are_refused(world: World):
    await world.session(key="checkout:ord_1")
    with pytest.raises(stripe.IdempotencyError) as raised:
        await world.session(key="checkout:ord_1", client_reference_id="ord_2")
    assert raised.value.http_status == 400
    with pytest.raises(stripe.IdempotencyError):
        await world.client.v1.customers.create_async({}, {"idempotency_key": "checkout:ord_1"})


async def test_the_order_of_parameters_does_not_matter(world: World):
    first = await world.session(key="k")
    turned = dict(reversed(checkout_params().items()))
    again = await world.client.v1.checkout.sessions.create_async(turned, {"idempotency_key": "k"})
    assert again.id == first.id


async def test_requests_that_never_began_are_not_saved(world: World):
    with pytest.raises(stripe.InvalidRequestError):
        await world.session(key="k", success_url="nonsense")
    assert (await world.session(key="k")).status == "open"


async def test_a_refusal_by_state_is_saved(world: World):
    session = await world.paid()
    params, options = (
        {"payment_intent": session.payment_intent, "amount": 9999},
        {"idempotency_key": "refund:1"},
    )
    for _ in range(2):
        with pytest.raises(stripe.InvalidRequestError, match="greater than"):
            await world.client.v1.refunds.create_async(params, options)
    assert world.answers[-1] == world.answers[-2]


async def test_a_declined_card_stays_declined_and_charges_once(world: World):
    params = {"amount": 500, "currency": "eur", "payment_method": "pm_card_chargeDeclined", "confirm": True}
    for _ in range(2):
        with pytest.raises(stripe.CardError):
            await world.client.v1.payment_intents.create_async(params, {"idempotency_key": "pay:1"})
    assert len((await world.client.v1.charges.list_async()).data) == 1


async def test_a_refund_is_made_once_however_often_asked_at_once(world: World):
    session = await world.paid()

    async def refund():
        return await world.client.v1.refunds.create_async(
            {"payment_intent": session.payment_intent, "amount": 100}, {"idempotency_key": "refund:1"}
        )

    made = await asyncio.gather(*(refund() for _ in range(10)))
    assert len({one.id for one in made}) == 1
    assert (await world.control("books"))["totals"]["eur"]["refunded_minor"] == 100


async def test_keys_are_forgotten_after_a_day(world: World):
    first = await world.session(key="k")
    world.clock.now_s += 86400 + 1
    assert (await world.session(key="k")).id != first.id


async def test_a_key_is_of_bounded_length(world: World):
    with pytest.raises(stripe.IdempotencyError):
        await world.session(key="k" * 256)
