"""What a payer can do on the page: pay, be declined, prove who one is, walk away."""

import pytest

from .world import World, embedded


async def intent_of(world: World, session):
    session = await world.client.v1.checkout.sessions.retrieve_async(
        session.id, {"expand": ["payment_intent.latest_charge"]}
    )
    return session.payment_intent


async def test_success_leads_back_with_the_session_named(world: World):
    session = await world.session(
        payment_intent_data={"metadata": {"order": "ord_1"}, "description": "Algebra"}
    )
    outcome = await world.pay(session, email="pay@example.org", name="Pat")
    assert outcome["state"] == "complete"
    assert outcome["return_url"] == f"https://rooms.test/back?session={session.id}"
    done = await world.client.v1.checkout.sessions.retrieve_async(session.id)
    assert (done.status, done.payment_status, done.url) == ("complete", "paid", None)
    assert (done.customer_details.email, done.customer_details.name) == ("pay@example.org", "Pat")
    intent = await intent_of(world, session)
    assert (intent.status, intent.amount_received) == ("succeeded", 1500)
    assert intent.metadata["order"] == "ord_1"
    assert intent.latest_charge.payment_method_details.card.last4 == "4242"
    await world.work()
    assert world.merchant.types == [
        "payment_intent.created",
        "charge.succeeded",
        "payment_intent.succeeded",
        "checkout.session.completed",
    ]
    assert world.merchant.received[-1]["data"]["object"]["payment_status"] == "paid"


@pytest.mark.parametrize(
    ("card", "code", "decline_code"),
    [
        ("declined", "card_declined", "generic_decline"),
        ("insufficient_funds", "card_declined", "insufficient_funds"),
        ("expired_card", "expired_card", None),
    ],
)
async def test_a_declined_payer_is_told_why_and_tries_again(world: World, card, code, decline_code):
    session = await world.session()
    outcome = await world.pay(session, card)
    assert (outcome["state"], outcome["code"]) == ("declined", decline_code or code)
    assert outcome["message"].startswith("Your card")
    intent = await intent_of(world, session)
    assert (intent.status, intent.last_payment_error.code) == ("requires_payment_method", code)
    assert intent.latest_charge.status == "failed"
    assert (await world.page(session))["status"] == "open"
    assert (await world.pay(session))["state"] == "complete"
    paid = await intent_of(world, session)
    assert (paid.id, paid.last_payment_error) == (intent.id, None)
    await world.work()
    assert world.merchant.types.count("payment_intent.payment_failed") == 1
    assert world.merchant.types[-1] == "checkout.session.completed"


async def test_3d_secure_approved(world: World):
    session = await world.session()
    assert (await world.pay(session, "three_d_secure")) == {"state": "challenge"}
    assert (await world.page(session))["challenge"] is True
    assert (await intent_of(world, session)).status == "requires_action"
    assert (await world.page(session, "/challenge", {"approved": True}))["state"] == "complete"
    charge = (await intent_of(world, session)).latest_charge
    assert charge.payment_method_details.card.three_d_secure.result == "authenticated"


async def test_3d_secure_failed_then_another_card(world: World):
    session = await world.session()
    await world.pay(session, "three_d_secure")
    outcome = await world.page(session, "/challenge", {"approved": False})
    assert (outcome["state"], outcome["code"]) == ("declined", "payment_intent_authentication_failure")
    assert (await world.pay(session))["state"] == "complete"


async def test_a_challenge_that_was_walked_away_from_does_not_block(world: World):
    session = await world.session()
    await world.pay(session, "three_d_secure")
    assert (await world.pay(session))["state"] == "complete"
    assert (await world.page(session, "/challenge", {"approved": True}))["error"][
        "code"
    ] == "session_complete"


async def test_no_challenge_can_be_answered_that_was_not_asked(world: World):
    session = await world.session()
    assert "error" in await world.page(session, "/challenge", {"approved": True})
    assert (await world.client.v1.checkout.sessions.retrieve_async(session.id)).payment_status == "unpaid"


async def test_walking_away_leaves_the_session_open(world: World):
    session = await world.session()
    view = await world.page(session)
    assert view["cancel_url"] == "https://rooms.test/r/algebra"
    assert (await world.client.v1.checkout.sessions.retrieve_async(session.id)).status == "open"


async def test_nobody_pays_twice(world: World):
    session = await world.session()
    await world.pay(session)
    again = await world.pay(session)
    assert (again["status"], again["error"]["code"]) == (409, "session_complete")
    charges = await world.client.v1.charges.list_async()
    assert len(charges.data) == 1


async def test_the_frame_stays_where_it_is_when_no_redirect_is_needed(world: World):
    session = await world.session(**embedded())
    assert (await world.pay(session))["return_url"] is None
    always = await world.session(**embedded(redirect_on_completion="always"))
    assert (await world.pay(always))["return_url"] == f"https://rooms.test/back?session={always.id}"
    never = await world.session(**embedded(redirect_on_completion="never", return_url=None))
    assert (await world.pay(never))["return_url"] is None


async def test_an_embedded_session_opens_by_its_secret_only(world: World):
    session = await world.session(**embedded())
    assert (await world.call(f"/sandbox/api/checkout/{session.id}"))["error"]["code"] == "resource_missing"
    assert (await world.call(f"/sandbox/api/embedded/{session.id}"))["error"]["code"] == "resource_missing"
    assert (await world.call(f"/sandbox/api/embedded/{session.id}_secret_"))["error"][
        "code"
    ] == "resource_missing"


async def test_the_page_shows_lines_and_cards_and_no_secrets(world: World):
    session = await world.session(customer_email="ana@example.org", metadata={"inner": "thing"})
    view = await world.page(session)
    line = {"name": "Algebra", "description": "30 minutes", "quantity": 1, "amount_minor": 1500}
    assert view["lines"] == [line | {"interval": None, "interval_count": None}]
    names = [card["name"] for card in view["cards"]]
    assert names[:4] == ["succeeds", "three_d_secure", "declined", "insufficient_funds"]
    assert view["email"] == "ana@example.org"
    assert "thing" not in str(view)


@pytest.mark.parametrize(
    "body", [{}, {"card": "gold"}, {"card": ["succeeds"]}, {"card": "succeeds", "email": 5}]
)
async def test_nonsense_from_the_page_pays_nothing(world: World, body):
    session = await world.session()
    assert (await world.page(session, "/pay", body))["status"] == 400
    assert (await world.client.v1.payment_intents.list_async()).data == []


async def test_a_hold_is_unpaid_until_captured(world: World):
    session = await world.session(payment_intent_data={"capture_method": "manual"})
    await world.pay(session)
    held = await world.client.v1.checkout.sessions.retrieve_async(session.id)
    assert (held.status, held.payment_status) == ("complete", "unpaid")
    intent = await world.client.v1.payment_intents.capture_async(
        held.payment_intent, {"amount_to_capture": 900}
    )
    assert (intent.status, intent.amount_received, intent.amount_capturable) == ("succeeded", 900, 0)
    paid = await world.client.v1.checkout.sessions.retrieve_async(session.id)
    assert paid.payment_status == "paid"
    # Since 2025-03-31 a partial capture releases the rest without a Refund.
    assert (await world.client.v1.refunds.list_async()).data == []


async def test_the_hold_of_a_session_can_be_released(world: World):
    session = await world.session(payment_intent_data={"capture_method": "manual"})
    await world.pay(session)
    held = await world.client.v1.checkout.sessions.retrieve_async(session.id)
    canceled = await world.client.v1.payment_intents.cancel_async(held.payment_intent)
    assert canceled.status == "canceled"


@pytest.mark.parametrize(
    ("outcome", "status", "event"),
    [("succeeded", "paid", "async_payment_succeeded"), ("failed", "unpaid", "async_payment_failed")],
)
async def test_a_debit_settles_later(world: World, outcome, status, event):
    session = await world.session(payment_method_types=["card", "sepa_debit"])
    assert (await world.pay(session, "sepa_debit"))["state"] == "complete"
    assert (await world.client.v1.checkout.sessions.retrieve_async(session.id)).payment_status == "unpaid"
    await world.control("settle", {"session": session.id, "outcome": outcome})
    assert (await world.client.v1.checkout.sessions.retrieve_async(session.id)).payment_status == status
    await world.work()
    assert world.merchant.types[-1] == f"checkout.session.{event}"


async def test_a_card_session_offers_no_debit(world: World):
    session = await world.session()
    assert (await world.pay(session, "sepa_debit"))["status"] == 400


async def test_a_customer_is_created_when_asked(world: World):
    paid = await world.paid(customer_creation="always", customer_email="ana@example.org")
    customer = await world.client.v1.customers.retrieve_async(paid.customer)
    assert customer.email == "ana@example.org"
    own = await world.client.v1.customers.create_async({"email": "own@example.org", "metadata": {"a": "b"}})
    session = await world.paid(customer=own.id)
    assert session.customer == own.id


async def test_pages_are_private_and_locked_down(world: World):
    hosted = await world.session()
    framed = await world.session(**embedded())
    for path, ancestors in (
        (f"/sandbox/checkout/{hosted.id}", "frame-ancestors 'none'"),
        (f"/sandbox/embedded/{framed.client_secret}", "frame-ancestors 'self'"),
    ):
        async with world.http.get(world.url + path) as response:
            assert response.status == 200
            assert ancestors in response.headers["Content-Security-Policy"]
            assert response.headers["X-Frame-Options"] == ("SAMEORIGIN" if "self" in ancestors else "DENY")
            assert "unsafe" not in response.headers["Content-Security-Policy"]
            assert response.headers["Cache-Control"] == "no-store"
            assert response.headers["Referrer-Policy"] == "no-referrer"
            text = await response.text()
    assert "no real money" in text
    assert "<script>" not in text


async def test_a_foreign_page_s_form_cannot_pay(world: World):
    session = await world.session()
    url = f"{world.url}/sandbox/api/checkout/{session.id}/pay"
    async with world.http.post(
        url, data='{"card": "succeeds"}', headers={"Content-Type": "text/plain"}
    ) as response:
        assert response.status == 415
    assert (await world.client.v1.checkout.sessions.retrieve_async(session.id)).status == "open"
