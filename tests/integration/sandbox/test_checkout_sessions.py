"""Creating, reading, listing and expiring Checkout Sessions with the real SDK."""

import pytest
import stripe

from .world import START_S, World, checkout_params, embedded


async def test_hosted_session_has_a_page_and_the_order_s_facts(world: World):
    session = await world.session(metadata={"room": "room_1"}, customer_email="ana@example.org")
    assert session.url == f"{world.url}/sandbox/checkout/{session.id}"
    assert (session.status, session.payment_status, session.livemode) == ("open", "unpaid", False)
    assert (session.amount_total, session.currency) == (1500, "eur")
    assert session.client_reference_id == "ord_1"
    assert session.metadata["room"] == "room_1"
    assert session.payment_intent is None
    assert session.client_secret is None


async def test_embedded_session_has_a_secret_and_no_url(world: World):
    session = await world.session(**embedded())
    assert session.url is None
    assert session.client_secret.startswith(f"{session.id}_secret_")
    assert session.redirect_on_completion == "if_required"


async def test_two_lines_and_quantities_add_up(world: World):
    line = {
        "price_data": {"currency": "jpy", "unit_amount": 70, "product_data": {"name": "Minute"}},
        "quantity": 3,
    }
    session = await world.session(line_items=[line, line | {"quantity": 1}])
    assert session.amount_total == 280
    lines = await world.client.v1.checkout.sessions.line_items.list_async(session.id)
    assert [(one.description, one.quantity, one.amount_total) for one in lines.data] == [
        ("Minute", 3, 210),
        ("Minute", 1, 70),
    ]


async def test_expanding_reaches_the_charge(world: World):
    paid = await world.paid()
    session = await world.client.v1.checkout.sessions.retrieve_async(
        paid.id,
        {"expand": ["payment_intent.latest_charge.balance_transaction", "line_items.data.price.product"]},
    )
    assert session.payment_intent.latest_charge.amount_captured == 1500
    assert session.payment_intent.latest_charge.balance_transaction.amount == 1500
    assert session.line_items.data[0].price.product.name == "Algebra"


async def test_unexpandable_and_unknown_are_refused(world: World):
    session = await world.session()
    with pytest.raises(stripe.InvalidRequestError, match="cannot be expanded"):
        await world.client.v1.checkout.sessions.retrieve_async(session.id, {"expand": ["nonsense"]})
    with pytest.raises(stripe.InvalidRequestError) as raised:
        await world.client.v1.checkout.sessions.retrieve_async("cs_sandbox_none")
    assert (raised.value.http_status, raised.value.code) == (404, "resource_missing")


def priced(unit_amount: int, currency: str = "eur") -> list:
    data = {"currency": currency, "unit_amount": unit_amount, "product_data": {"name": "x"}}
    return [{"price_data": data, "quantity": 1}]


REFUSED = {
    "no lines": ({"line_items": None}, "line_items"),
    "below the minimum": ({"line_items": priced(49)}, "line_items"),
    "nine digits": ({"line_items": priced(100_000_000)}, "line_items"),
    "no such currency": ({"line_items": priced(500, "xxx")}, "line_items[0][price_data][currency]"),
    "dinars with a last digit": ({"line_items": priced(5125, "kwd")}, "line_items"),
    "negative": ({"line_items": priced(-1)}, "line_items[0][price_data][unit_amount]"),
    "mixed currencies": ({"line_items": priced(500) + priced(500, "usd")}, "line_items"),
    "no success_url": ({"success_url": None}, "success_url"),
    "no URL": ({"success_url": "rooms.test/back"}, "success_url"),
    "a script as URL": ({"cancel_url": "javascript:alert(1)"}, "cancel_url"),
    "return_url when hosted": ({"return_url": "https://rooms.test"}, "return_url"),
    "success_url when embedded": (embedded(success_url="https://rooms.test"), "success_url"),
    "embedded without return_url": (embedded(return_url=None), "return_url"),
    "never redirected yet returned": (embedded(redirect_on_completion="never"), "return_url"),
    "expires too soon": ({"expires_at": int(START_S) + 1799}, "expires_at"),
    "expires too late": ({"expires_at": int(START_S) + 86401}, "expires_at"),
    "not a time": ({"expires_at": "soon"}, "expires_at"),
    "unknown parameter": ({"sucess_url": "https://rooms.test"}, "sucess_url"),
    "unknown nested parameter": ({"payment_intent_data": {"colour": "red"}}, "payment_intent_data[colour]"),
    "adaptive pricing": ({"adaptive_pricing": {"enabled": True}}, "adaptive_pricing[enabled]"),
    "no e-mail address": ({"customer_email": "ana"}, "customer_email"),
    "customer unknown": ({"customer": "cus_none"}, "customer"),
    "customer and e-mail": ({"customer": "cus_none", "customer_email": "a@b.c"}, "customer"),
    "a subscription that is paid once": ({"mode": "subscription"}, "line_items"),
    "a card kept, with lines": ({"mode": "setup"}, "line_items"),
    "long reference": ({"client_reference_id": "x" * 201}, "client_reference_id"),
    "long metadata": ({"metadata": {"k": "x" * 501}}, "metadata[k]"),
}


@pytest.mark.parametrize("case", REFUSED)
async def test_bad_requests_are_refused_and_named(world: World, case: str):
    changes, param = REFUSED[case]
    with pytest.raises(stripe.InvalidRequestError) as raised:
        await world.session(**changes)
    assert raised.value.param == param
    assert raised.value.http_status == 400
    assert (await world.client.v1.checkout.sessions.list_async()).data == []


async def test_listing_pages_through_newest_first(world: World):
    sessions = []
    for _ in range(5):
        sessions.append((await world.session()).id)
        world.clock.now_s += 10
    newest_first = sessions[::-1]
    listed = world.client.v1.checkout.sessions.list_async
    page = await listed({"limit": 2})
    assert ([one.id for one in page.data], page.has_more) == (newest_first[:2], True)
    page = await listed({"limit": 3, "starting_after": newest_first[1]})
    assert ([one.id for one in page.data], page.has_more) == (newest_first[2:], False)
    page = await listed({"limit": 2, "ending_before": newest_first[3]})
    assert ([one.id for one in page.data], page.has_more) == (newest_first[1:3], True)
    page = await listed({"created": {"gte": int(START_S) + 10, "lt": int(START_S) + 30}})
    assert [one.id for one in page.data] == newest_first[2:4]
    walked = [one.id async for one in (await listed({"limit": 2})).auto_paging_iter()]
    assert walked == newest_first


async def test_listing_by_payment_intent(world: World):
    paid = await world.paid()
    await world.session()
    page = await world.client.v1.checkout.sessions.list_async({"payment_intent": paid.payment_intent})
    assert [one.id for one in page.data] == [paid.id]


async def test_unknown_cursor_is_refused(world: World):
    with pytest.raises(stripe.InvalidRequestError) as raised:
        await world.client.v1.checkout.sessions.list_async({"starting_after": "cs_sandbox_none"})
    assert raised.value.param == "starting_after"


async def test_expiring_closes_the_page_and_tells_the_merchant(world: World):
    session = await world.session()
    expired = await world.client.v1.checkout.sessions.expire_async(session.id)
    assert (expired.status, expired.url) == ("expired", None)
    assert (await world.pay(session))["error"]["code"] == "session_expired"
    await world.work()
    assert world.merchant.types == ["checkout.session.expired"]


async def test_a_paid_session_cannot_be_expired(world: World):
    paid = await world.paid()
    with pytest.raises(stripe.InvalidRequestError, match="Only Checkout Sessions"):
        await world.client.v1.checkout.sessions.expire_async(paid.id)


async def test_expiry_comes_by_itself(world: World):
    session = await world.session(expires_at=int(START_S) + 1800)
    await world.pay(session, "declined")
    wait_s = await world.work(1799)
    assert 0 < wait_s <= 1
    assert (await world.client.v1.checkout.sessions.retrieve_async(session.id)).status == "open"
    await world.work(1)
    assert (await world.client.v1.checkout.sessions.retrieve_async(session.id)).status == "expired"
    assert world.merchant.types[-2:] == ["payment_intent.canceled", "checkout.session.expired"]


async def test_expiry_is_seen_even_before_the_sandbox_worked(world: World):
    session = await world.session(expires_at=int(START_S) + 1800)
    world.clock.now_s += 1800
    assert (await world.pay(session))["error"]["code"] == "session_expired"


async def test_defaults_to_24_hours(world: World):
    session = await world.session()
    assert session.expires_at == int(START_S) + 86400


async def test_request_parameters_are_the_sdk_s_own_names(world: World):
    """Everything the checkout sends is a parameter that Stripe's own request types know."""
    from stripe.params.checkout import SessionCreateParams

    known = SessionCreateParams.__annotations__
    assert checkout_params().keys() | embedded().keys() <= known.keys()


@pytest.mark.parametrize(("percent", "tax_minor"), [(None, 0), (10, 136), (19, 239)])
async def test_tax_is_within_the_price(world: World, percent: int | None, tax_minor: int):
    if percent is not None:
        await world.control("tax", {"percent": 7})
        await world.control("tax", {"percent": percent})
    session = await world.session(automatic_tax={"enabled": True})
    assert (session.amount_total, session.total_details.amount_tax) == (1500, tax_minor)
    assert session.automatic_tax.status == "complete"
    lines = await world.client.v1.checkout.sessions.line_items.list_async(session.id)
    assert [line.amount_tax for line in lines.data] == [tax_minor]
    untaxed = await world.session()
    assert untaxed.total_details.amount_tax == 0
    assert (await world.control("tax", {"percent": True}))["status"] == 400
