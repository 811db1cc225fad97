"""The schema checker itself: real answers pass, and every damaged one is caught."""

import copy
from typing import Any

import pytest

from .schema import class_of, fields_of, is_required, problems
from .world import World

KINDS = [
    "checkout.session", "payment_intent", "charge", "refund", "customer", "event", "balance_transaction", "dispute",
    "payment_method", "item", "price", "product",
]  # fmt: skip


@pytest.fixture
async def samples(world: World) -> dict[str, dict[str, Any]]:
    """One real answer of each kind, as raw JSON."""
    paid = await world.paid(customer_creation="always", payment_method_types=["card", "sepa_debit"])
    declined = await world.session()
    await world.pay(declined, "insufficient_funds")
    disputed = await world.paid()
    await world.client.v1.refunds.create_async({"payment_intent": paid.payment_intent, "amount": 500})
    await world.control("dispute", {"session": disputed.id})
    for path in ("customers", "payment_methods"):
        intent = await world.client.v1.payment_intents.retrieve_async(paid.payment_intent)
        owner = intent.customer if path == "customers" else intent.payment_method
        await getattr(world.client.v1, path).retrieve_async(owner)
    await world.client.v1.checkout.sessions.retrieve_async(
        paid.id,
        {"expand": ["payment_intent.latest_charge.refunds", "line_items.data.price.product", "customer"]},
    )
    for service in ("payment_intents", "charges", "refunds", "events", "balance_transactions", "disputes"):
        await getattr(world.client.v1, service).list_async({"limit": 100})
    found: dict[str, dict[str, Any]] = {}
    for answer in world.answers:
        collect(answer, found)
    return found


def collect(value: Any, found: dict[str, dict[str, Any]]) -> None:
    if isinstance(value, dict):
        kind = value.get("object")
        if isinstance(kind, str) and kind in KINDS:
            found.setdefault(kind, value)
        for child in value.values():
            collect(child, found)
    elif isinstance(value, list):
        for child in value:
            collect(child, found)


async def test_real_answers_of_every_kind_pass(samples):
    assert sorted(samples) == sorted(KINDS)
    assert {kind: problems(sample) for kind, sample in samples.items()} == {kind: [] for kind in KINDS}


async def test_every_missing_required_field_is_caught(samples):
    checked = 0
    for kind, sample in samples.items():
        for name, annotation in fields_of(class_of(kind)).items():
            if is_required(annotation) and name != "object":
                damaged = {key: value for key, value in sample.items() if key != name}
                assert problems(damaged) == [f"{kind}.{name}: missing"]
                checked += 1
    assert checked > 80


async def test_every_value_of_a_wrong_type_is_caught(samples):
    checked = 0
    for kind, sample in samples.items():
        for name, annotation in fields_of(class_of(kind)).items():
            if name == "object" or "Any" in str(annotation):
                continue
            damaged = copy.deepcopy(sample) | {name: [3.5]}
            assert problems(damaged), f"{kind}.{name} = [3.5] passed"
            checked += 1
    assert checked > 250


async def test_every_unknown_field_is_caught_at_any_depth(samples):
    for kind, sample in samples.items():
        assert problems(sample | {"nonsense": 1}) == [f"{kind}.nonsense: unknown field"]
    charge = copy.deepcopy(samples["charge"])
    charge["payment_method_details"]["card"]["nonsense"] = 1
    assert problems(charge) == ["charge.payment_method_details.card.nonsense: unknown field"]


@pytest.mark.parametrize(
    ("kind", "name", "value"),
    [
        ("checkout.session", "status", "succeeded"),
        ("checkout.session", "payment_status", "complete"),
        ("checkout.session", "ui_mode", "hosted"),
        ("payment_intent", "status", "paid"),
        ("payment_intent", "capture_method", "later"),
        ("charge", "status", "paid"),
        ("refund", "reason", "whim"),
        ("dispute", "status", "open"),
        ("balance_transaction", "type", "refunded"),
        ("event", "type", "checkout.session.done"),
    ],
)
async def test_a_word_of_another_object_is_caught(samples, kind, name, value):
    found = problems(samples[kind] | {name: value})
    assert len(found) == 1
    assert found[0].startswith(f"{kind}.{name}: '{value}' is not one of")


async def test_an_expanded_object_of_the_wrong_kind_is_caught(samples):
    damaged = samples["checkout.session"] | {"payment_intent": samples["charge"]}
    assert problems(damaged) == ["checkout.session.payment_intent: no PaymentIntent"]


async def test_a_boolean_is_no_number_and_null_no_value(samples):
    assert problems(samples["charge"] | {"amount": True}) != []
    assert problems(samples["charge"] | {"amount": None}) != []
    assert problems(samples["charge"] | {"paid": 1}) != []


async def test_list_envelopes_are_checked(samples):
    page = {"object": "list", "data": [samples["charge"]], "has_more": False, "url": "/v1/charges"}
    assert problems(page) == []
    assert problems(page | {"has_more": None}) != []
    assert problems(page | {"total": 1}) != []
    assert problems(page | {"data": [samples["charge"] | {"amount": "5"}]}) != []
