"""What Stripe's SDK hands back, read into plain facts; what it raises, into unknown or refused."""

import json
import re
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import stripe
from stripe import StripeObject, WebhookSignature

from signaling.payments import eventtypes, stripeparse
from signaling.payments import stripe as adapter
from signaling.payments.port import BadWebhookError, OutcomeUnknownError, RefusedByServiceError
from signaling.payments.stripe import StripePayments

SECRET = "whsec_unit"
CARD = {"brand": "visa", "last4": "4242", "exp_month": 12, "exp_year": 2034, "fingerprint": "fp_1"}
CHARGE = {
    "id": "ch_1",
    "object": "charge",
    "amount": 1500,
    "amount_captured": 1500,
    "amount_refunded": 0,
    "balance_transaction": {"id": "txn_1", "fee": 48},
    "captured": True,
    "currency": "eur",
    "customer": "cus_1",
    "disputed": False,
    "payment_intent": "pi_1",
    "payment_method": "pm_1",
    "payment_method_details": {"type": "card", "card": CARD},
    "refunded": False,
}
INTENT = {
    "id": "pi_1",
    "object": "payment_intent",
    "status": "succeeded",
    "amount": 1500,
    "amount_capturable": 0,
    "amount_received": 1500,
    "client_secret": "pi_1_secret",
    "currency": "eur",
    "livemode": False,
    "metadata": {"reference": "ord_1"},
    "next_action": None,
    "last_payment_error": None,
    "latest_charge": CHARGE,
}
SESSION = {
    "id": "cs_1",
    "object": "checkout.session",
    "client_reference_id": "ord_1",
    "amount_total": 1500,
    "currency": "eur",
    "livemode": False,
    "status": "complete",
    "payment_status": "paid",
    "payment_intent": INTENT,
    "url": None,
    "client_secret": None,
}


class _Answers:
    """Stands where the SDK's services are: each call answers what was put there."""

    def __init__(self, **answers: Any) -> None:
        self.checkout = self
        self.sessions = _Service(answers.get("session"))
        self.payment_intents = _Service(answers.get("intent"))
        self.disputes = _Service({"object": "list", "data": answers.get("disputes", []), "has_more": False})
        self.refunds = _Service({"object": "list", "data": answers.get("refunds", []), "has_more": False})


class _Service:
    def __init__(self, answer: Any) -> None:
        self._answer = answer

    async def retrieve_async(self, *_arguments: Any) -> StripeObject:
        return StripeObject.construct_from(self._answer, "sk_test")

    list_async = retrieve_async


@pytest.fixture
async def payments():
    async with aiohttp.ClientSession() as http:
        yield StripePayments("sk_test_x", http=http, mode="test", account="acct_1", webhook_secret=SECRET)


async def _fetch(payments: StripePayments, session: dict[str, Any], **others: Any):
    payments._client.v1 = _Answers(session=session, **others)
    return await payments.fetch_checkout("cs_1")


async def test_a_paid_session(payments: StripePayments):
    found = await _fetch(payments, SESSION)
    fact = found.fact
    assert (fact.reference, fact.amount_minor, fact.currency) == ("ord_1", 1500, "eur")
    assert (fact.mode, fact.account) == ("test", "acct_1")
    assert (fact.session_status, fact.payment_status, fact.intent_status) == ("complete", "paid", "succeeded")
    assert (fact.payment_intent_id, fact.disputes, fact.refunded_minor) == ("pi_1", (), 0)
    assert (found.failure, found.refunds) == (None, ())


@pytest.mark.parametrize(
    ("status", "session_status", "payment_status"),
    [
        ("succeeded", "complete", "paid"),
        ("requires_action", "open", "unpaid"),
        ("processing", "open", "unpaid"),
        ("requires_payment_method", "complete", "unpaid"),
        ("canceled", "expired", "unpaid"),
    ],
)
async def test_a_payment_without_a_session_reads_as_one(
    payments: StripePayments, status: str, session_status: str, payment_status: str
):
    payments._client.v1 = _Answers(intent=INTENT | {"status": status})
    found = await payments.fetch_payment("pi_1")
    fact = found.fact
    assert (fact.reference, fact.checkout_session_id, fact.payment_intent_id) == ("ord_1", "pi_1", "pi_1")
    assert (fact.session_status, fact.payment_status) == (session_status, payment_status)
    assert (fact.amount_minor, fact.currency, fact.mode, fact.account) == (1500, "eur", "test", "acct_1")


def _dispute(status: str) -> dict[str, Any]:
    return {
        "id": f"dp_{status}",
        "status": status,
        "amount": 700,
        "currency": "eur",
        "balance_transactions": [],
    }


async def test_a_payment_without_a_session_brings_its_dispute_along(payments: StripePayments):
    intent = INTENT | {"latest_charge": CHARGE | {"disputed": True}}
    payments._client.v1 = _Answers(intent=intent, disputes=[_dispute("needs_response")])
    (seen,) = (await payments.fetch_payment("pi_1")).fact.disputes
    assert (seen.state, seen.amount_minor, seen.lost_minor) == ("open", 700, 0)


async def test_less_money_than_asked_for_is_seen(payments: StripePayments):
    found = await _fetch(payments, SESSION | {"payment_intent": INTENT | {"amount_received": 1}})
    assert found.fact.amount_minor == 1


async def test_a_live_session_is_never_taken_for_a_test(payments: StripePayments):
    assert (await _fetch(payments, SESSION | {"livemode": True})).fact.mode == "live"


async def test_why_a_card_was_declined(payments: StripePayments):
    error = {"code": "card_declined", "decline_code": "insufficient_funds"}
    intent = INTENT | {
        "status": "requires_payment_method",
        "last_payment_error": error,
        "latest_charge": None,
    }
    session = SESSION | {"status": "open", "payment_status": "unpaid", "payment_intent": intent}
    assert (await _fetch(payments, session)).failure == "insufficient_funds"


@pytest.mark.parametrize(
    ("statuses", "expected"),
    [
        (["warning_needs_response"], []),
        (["warning_closed"], []),
        (["needs_response"], ["open"]),
        (["under_review"], ["open"]),
        (["won"], ["won"]),
        (["lost"], ["lost"]),
        (["won", "needs_response"], ["won", "open"]),
        (["something_new"], []),
    ],
)
async def test_disputes(payments: StripePayments, statuses: list[str], expected: list[str]):
    session = SESSION | {"payment_intent": INTENT | {"latest_charge": CHARGE | {"disputed": True}}}
    disputes = [_dispute(status) for status in statuses]
    seen = (await _fetch(payments, session, disputes=disputes)).fact.disputes
    assert [one.state for one in seen] == expected


def _booked(amount_minor: int, currency: str = "eur") -> dict[str, Any]:
    return {"id": f"txn_{amount_minor}", "amount": amount_minor, "currency": currency}


@pytest.mark.parametrize(
    ("more", "amount_minor", "lost_minor"),
    [
        ({}, 700, 700),
        ({"balance_transactions": [_booked(-700)]}, 700, 700),
        ({"balance_transactions": [_booked(-700), _booked(200)]}, 700, 500),  # won in part
        ({"balance_transactions": [_booked(-760, "usd")]}, 700, 700),  # a balance in another currency
        ({"currency": "usd", "balance_transactions": [_booked(-760, "usd")]}, 1500, 1500),
        ({"currency": "usd", "balance_transactions": [_booked(-760)]}, 1500, 760),
        ({"currency": "usd"}, 1500, 1500),
    ],
)
async def test_what_a_lost_dispute_took(
    payments: StripePayments, more: dict[str, Any], amount_minor: int, lost_minor: int
):
    session = SESSION | {"payment_intent": INTENT | {"latest_charge": CHARGE | {"disputed": True}}}
    (seen,) = (await _fetch(payments, session, disputes=[_dispute("lost") | more])).fact.disputes
    assert (seen.state, seen.amount_minor, seen.lost_minor) == ("lost", amount_minor, lost_minor)


async def test_refunds_carry_our_reference_or_none(payments: StripePayments):
    charge = CHARGE | {"amount_refunded": 700}
    common = {"currency": "eur", "status": "succeeded", "created": 1}
    refunds = [
        common | {"id": "re_1", "amount": 500, "metadata": {"refund_id": "refund:ord_1:kicked"}},
        common | {"id": "re_2", "amount": 200, "metadata": None},
    ]
    session = SESSION | {"payment_intent": INTENT | {"latest_charge": charge}}
    found = await _fetch(payments, session, refunds=refunds)
    assert found.fact.refunded_minor == 700
    assert [refund.reference for refund in found.refunds] == ["refund:ord_1:kicked", None]


async def test_an_answer_that_cannot_be_read_is_unknown(payments: StripePayments):
    with pytest.raises(OutcomeUnknownError):
        await _fetch(payments, {"id": "cs_1", "object": "checkout.session"})


async def _raise(error: Exception) -> None:
    raise error


@pytest.mark.parametrize(
    ("error", "answered"),
    [
        (stripe.APIConnectionError("reset"), False),
        (stripe.APIError("oops", http_status=500), True),
        (stripe.APIError("in use", http_status=409), False),
        (stripe.RateLimitError("slow down", http_status=429), False),
        (stripe.AuthenticationError("key", http_status=401), False),
        (stripe.PermissionError("key", http_status=403), False),
        (stripe.IdempotencyError("params", http_status=400), False),
        (aiohttp.ClientPayloadError("cut off"), False),
        (TimeoutError(), False),
        (ValueError("not JSON"), False),
    ],
)
async def test_what_says_nothing_about_the_outcome(error: Exception, answered: bool):
    with pytest.raises(OutcomeUnknownError) as unknown:
        await adapter._answer(_raise(error))
    assert unknown.value.answered is answered


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (stripe.InvalidRequestError("bad", "amount", code="amount_too_small"), "amount_too_small"),
        (stripe.InvalidRequestError("bad", "amount"), "amount"),
        (stripe.CardError("declined", None, "card_declined"), "card_declined"),
    ],
)
async def test_clear_refusals(error: Exception, code: str):
    with pytest.raises(RefusedByServiceError) as refused:
        await adapter._answer(_raise(error))
    assert refused.value.code == code


BODY = json.dumps(
    {
        "id": "evt_1",
        "object": "event",
        "type": "charge.refunded",
        "created": 5,
        "livemode": False,
        "data": {"object": {"id": "ch_1"}},
    }
).encode()


def _signed(stamp_s: int) -> str:
    return WebhookSignature.generate_signature_header(BODY.decode(), SECRET, stamp_s)


@pytest.mark.parametrize("shift_s", [-300, 0, 300])
async def test_a_signed_event_of_now_is_taken(payments: StripePayments, shift_s: int):
    event = payments.verify_webhook(BODY, _signed(1000 + shift_s), 1000)
    assert (event.event_id, event.type, event.object["id"], event.account) == (
        "evt_1",
        "charge.refunded",
        "ch_1",
        None,
    )


@pytest.mark.parametrize("shift_s", [-301, 301])
async def test_other_times_are_not(payments: StripePayments, shift_s: int):
    with pytest.raises(BadWebhookError):
        payments.verify_webhook(BODY, _signed(1000 + shift_s), 1000)


@pytest.mark.parametrize(
    "signature", [None, "", "t=x,v1=y", "v1=abc", "t=1000", "t=1000,v0=abc", "t=1000,v1="]
)
async def test_signatures_that_are_none(payments: StripePayments, signature: str | None):
    with pytest.raises(BadWebhookError):
        payments.verify_webhook(BODY, signature, 1000)


async def test_a_changed_body_does_not_verify(payments: StripePayments):
    with pytest.raises(BadWebhookError):
        payments.verify_webhook(BODY + b" ", _signed(1000), 1000)


def test_no_more_event_types_than_a_listing_takes():
    listings = (*eventtypes.EVENT_LISTINGS, eventtypes.ACCOUNT_EVENTS)
    assert [len(listing) for listing in listings if len(listing) > 20] == []
    assert len(set(eventtypes.EVENT_TYPES)) == len(eventtypes.EVENT_TYPES)


def test_only_the_adapter_imports_stripe():
    from pathlib import Path

    root = Path(adapter.__file__).parents[2]
    importers = {
        str(path.relative_to(root))
        for package in ("signaling", "metering", "mediaserver")
        for path in (root / package).rglob("*.py")
        for line in path.read_text().splitlines()
        if line.startswith(("import stripe", "from stripe"))
    }
    assert importers == {"signaling/payments/stripe.py"}


@pytest.mark.parametrize("secrets", [SECRET, f"{SECRET},whsec_second", f"whsec_first, {SECRET}"])
async def test_each_destination_of_events_has_its_own_secret(secrets: str):
    body = json.dumps(
        {
            "id": "evt_1",
            "object": "event",
            "type": "x",
            "created": 1,
            "livemode": False,
            "data": {"object": {}},
        }
    )
    header = WebhookSignature.generate_signature_header(body, SECRET, timestamp=1000)
    async with aiohttp.ClientSession() as http:
        payments = StripePayments(
            "sk_test_1", http=http, mode="test", account="acct_1", webhook_secret=secrets
        )
        assert payments.verify_webhook(body.encode(), header, 1000.0).event_id == "evt_1"


def test_the_document_names_every_event_that_stripe_must_send():
    text = (Path(__file__).parents[3] / "docs/deploy.md").read_text(encoding="utf-8")
    told = text.split("add the endpoint")[1].split("Nothing is lost")[0]
    kinds = [word for word in re.findall(r"`([^`]+)`", told) if re.match(r"[a-z0-9_]+\.[a-z_]", word)]
    assert [kind for kind in kinds if "://" not in kind] == list(eventtypes.EVENT_TYPES)


@pytest.mark.parametrize(
    ("source", "currency", "expected"),
    [
        (CHARGE, "eur", (None, None)),
        (CHARGE, "usd", (1500, "eur")),
        ({"id": "re_1", "object": "refund", "amount": 400, "currency": "eur"}, "usd", (400, "eur")),
        ({"id": "dp_1", "object": "dispute", "amount": 400, "currency": "eur"}, "usd", (None, None)),
    ],
)
def test_what_is_booked_in_another_currency_says_its_own_amount(
    source: dict[str, Any], currency: str, expected: tuple[int | None, str | None]
):
    entry = {"id": "txn_1", "type": "charge", "amount": 1620, "fee": 50, "net": 1570, "currency": currency}
    found = stripeparse.balance_entry(entry | {"source": source, "created": 1, "available_on": 2})
    assert (found.source_minor, found.source_currency) == expected
    assert (found.amount_minor, found.currency) == (1620, currency)
