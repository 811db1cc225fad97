"""Cards kept with a customer and charged again, holds that lapse, through `StripePayments` and the real SDK."""

import pytest

from signaling.payments.port import OutcomeUnknownError, RefusedByServiceError
from signaling.payments.stripe import StripePayments

from .world import SECRET_KEY, WEBHOOK_SECRET, World


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


async def kept(world: World, payments: StripePayments, card: str) -> dict:
    """What charges a card that was kept while paying on the page."""
    session = await world.session(
        customer_creation="always", payment_intent_data={"setup_future_usage": "off_session"}
    )
    answer = await world.pay(session, card)
    if answer["state"] == "challenge":
        await world.page(session, "/challenge", {"approved": True})
    found = await payments.fetch_checkout(session.id)
    assert found.customer_id
    (saved,) = await payments.list_cards(found.customer_id)
    assert found.intent.charge.card == saved
    return {
        "amount": 2000,
        "currency": "eur",
        "customer": found.customer_id,
        "payment_method": saved.payment_method_id,
        "confirm": True,
        "metadata": {"reference": "topup_1"},
    }


async def test_charged_again_without_the_payer(world: World, payments: StripePayments):
    intent = await payments.create_intent(
        await kept(world, payments, "succeeds") | {"off_session": True}, "k"
    )
    assert (intent.status, intent.received_minor, intent.reference) == ("succeeded", 2000, "topup_1")
    assert (intent.charge.captured_minor, intent.charge.fee_minor) == (2000, 55)
    assert await payments.fetch_charge(intent.charge.charge_id) == intent.charge
    assert await payments.find_intents("topup_1", 0) == [intent]
    assert len([entry async for entry in payments.balance_entries(0)]) == 2


@pytest.mark.parametrize(
    ("card", "code"),
    [
        ("declines_later", "generic_decline"),
        ("no_funds_later", "insufficient_funds"),
        ("three_d_secure", "authentication_required"),
    ],
)
async def test_refused_when_charged_again(world: World, payments: StripePayments, card, code):
    params = await kept(world, payments, card) | {"off_session": True}
    with pytest.raises(RefusedByServiceError) as refused:
        await payments.create_intent(params, "k")
    assert refused.value.decline_code == code
    intent = await payments.fetch_intent(refused.value.payment_intent_id)
    assert (intent.status, intent.failure, intent.received_minor) == ("requires_payment_method", code, 0)


async def test_a_card_past_its_month_is_refused(world: World, payments: StripePayments):
    params = await kept(world, payments, "expires_soon")
    assert (await payments.create_intent(params, "k")).status == "succeeded"
    world.clock.now_s += 32 * 86400
    with pytest.raises(RefusedByServiceError) as refused:
        await payments.create_intent(params, "k:2")
    assert refused.value.code == "expired_card"


async def test_the_bank_asks_only_once(world: World, payments: StripePayments):
    params = await kept(world, payments, "three_d_secure_once")
    assert (await payments.create_intent(params | {"off_session": True}, "k")).status == "succeeded"


async def test_asked_on_session_with_a_way_back(world: World, payments: StripePayments):
    params = await kept(world, payments, "three_d_secure")
    intent = await payments.create_intent(params | {"return_url": "https://rooms.test/back"}, "k")
    assert intent.status == "requires_action"
    assert intent.action_url == f"{world.url}/sandbox/authenticate/{intent.client_secret}"
    answered = await world.call(
        f"/sandbox/api/authenticate/{intent.client_secret}/challenge", {"approved": True}
    )
    assert answered["status"] == "succeeded"
    assert answered["return_url"].startswith("https://rooms.test/back?payment_intent=pi_")
    assert (await payments.fetch_intent(intent.payment_intent_id)).received_minor == 2000


async def test_the_bank_is_not_convinced(world: World, payments: StripePayments):
    params = await kept(world, payments, "three_d_secure")
    intent = await payments.create_intent(params | {"return_url": "https://rooms.test/back"}, "k")
    place = f"/sandbox/api/authenticate/{intent.client_secret}/challenge"
    answered = await world.call(place, {"approved": False})
    assert answered["return_url"].endswith("redirect_status=failed")
    assert (await world.call(place, {"approved": True}))["status"] == 400
    assert (await payments.cancel_intent(intent.payment_intent_id, "c")).status == "canceled"


async def test_another_customers_card_is_refused(world: World, payments: StripePayments):
    params = await kept(world, payments, "succeeds")
    other = await payments.create_customer({"email": "other@example.org"}, "cus")
    with pytest.raises(RefusedByServiceError):
        await payments.create_intent(params | {"customer": other}, "k")


async def test_a_forgotten_card_is_gone(world: World, payments: StripePayments):
    params = await kept(world, payments, "succeeds")
    await payments.detach_card(params["payment_method"])
    assert await payments.list_cards(params["customer"]) == ()
    with pytest.raises(RefusedByServiceError):
        await payments.create_intent(params, "k")
    with pytest.raises(RefusedByServiceError):
        await payments.detach_card(params["payment_method"])


async def test_a_lost_answer_is_one_charge(world: World, payments: StripePayments):
    params = await kept(world, payments, "succeeds")
    await world.control("faults", {"operation": "payment_intents.create", "fault": "truncate_after_commit"})
    with pytest.raises(OutcomeUnknownError):
        await payments.create_intent(params, "k")
    again = await payments.create_intent(params, "k")
    assert await payments.find_intents("topup_1", 0) == [again]


async def test_part_of_a_hold_is_taken_and_the_rest_released(world: World, payments: StripePayments):
    params = await kept(world, payments, "succeeds") | {"capture_method": "manual"}
    held = await payments.create_intent(params, "k")
    assert (held.status, held.capturable_minor, held.charge.captured_minor) == ("requires_capture", 2000, 0)
    assert held.charge.capture_before_s == world.clock.now_s + 7 * 86400
    with pytest.raises(RefusedByServiceError):
        await payments.capture_intent(held.payment_intent_id, {"amount_to_capture": 2001}, "c")
    done = await payments.capture_intent(held.payment_intent_id, {"amount_to_capture": 700}, "c:2")
    assert (done.status, done.received_minor, done.charge.refunded_minor) == ("succeeded", 700, 0)
    entries = [entry async for entry in payments.balance_entries(0)]
    mine = [entry for entry in entries if entry.payment_intent_id == held.payment_intent_id]
    assert [(entry.type, entry.amount_minor) for entry in mine] == [("charge", 700)]
    await world.work(8 * 86400)
    assert (await payments.fetch_intent(held.payment_intent_id)).status == "succeeded"


async def test_a_hold_lapses_after_seven_days(world: World, payments: StripePayments):
    params = await kept(world, payments, "succeeds") | {"capture_method": "manual"}
    held = await payments.create_intent(params, "k")
    await world.work(7 * 86400)
    lapsed = await payments.fetch_intent(held.payment_intent_id)
    assert (lapsed.status, lapsed.capturable_minor, lapsed.charge.refunded_minor) == ("canceled", 0, 0)
    with pytest.raises(RefusedByServiceError):
        await payments.capture_intent(held.payment_intent_id, {}, "c")
    assert world.merchant.types[-2:] == ["charge.expired", "payment_intent.canceled"]


async def test_kept_without_a_payment(world: World, payments: StripePayments):
    customer = await payments.create_customer({"name": "Ana"}, "cus")
    setup = await world.client.v1.setup_intents.create_async(
        {"customer": customer, "payment_method": "pm_card_visa", "confirm": True}
    )
    found = await payments.fetch_setup(setup.id)
    assert (found.status, found.customer_id, found.card.last4) == ("succeeded", customer, "4242")
    assert await payments.list_cards(customer) == (found.card,)
