"""Invariant: whatever bytes arrive as parameters, they are read or refused with a StripeError; never anything else."""

from contextlib import suppress
from urllib.parse import parse_qsl

import pytest
from hypothesis import given
from hypothesis import strategies as st

from signaling.payments.sandbox import checkoutrequest
from signaling.payments.sandbox.errors import StripeError
from signaling.payments.sandbox.params import Params, parse_form

NAMES = st.sampled_from(
    ["mode", "ui_mode", "line_items", "line_items[0]", "line_items[0][price_data]", "line_items[0][price_data][currency]",
     "line_items[0][price_data][unit_amount]", "line_items[0][price_data][product_data][name]", "line_items[0][quantity]",
     "success_url", "cancel_url", "return_url", "metadata", "metadata[a]", "expires_at", "customer_email",
     "payment_intent_data[metadata][x]", "line_items[0][price_data][recurring][interval]", "subscription_data[trial_period_days]", "payment_method_types[0]", "payment_method_types", "adaptive_pricing[enabled]",
     "custom_text[submit][message]", "[]", "a[", "expand[]"]
)  # fmt: skip
VALUES = st.one_of(
    st.sampled_from(
        [
            "payment",
            "setup",
            "subscription",
            "month",
            "eur",
            "500",
            "https://rooms.test",
            "true",
            "card",
            "",
            "0",
            "-1",
            "9" * 16,
        ]
    ),
    st.text(max_size=20),
)


@given(st.lists(st.tuples(st.one_of(NAMES, st.text(max_size=30)), VALUES), max_size=12))
def test_any_pairs_are_read_or_refused(pairs):
    with suppress(StripeError):
        checkoutrequest.read_request(Params(parse_form(pairs)))


@given(st.binary(max_size=200))
def test_any_bytes_are_read_or_refused(body):
    with suppress(StripeError):
        parse_form(parse_qsl(body.decode("utf-8", "replace"), keep_blank_values=True))


@pytest.mark.parametrize(
    ("text", "nested"),
    [
        ("a=1&b[c]=2&b[d][e]=3", {"a": "1", "b": {"c": "2", "d": {"e": "3"}}}),
        ("l[0][x]=1&l[1][x]=2", {"l": {"0": {"x": "1"}, "1": {"x": "2"}}}),
        ("expand[]=a&expand[]=b", {"expand": {"0": "a", "1": "b"}}),
        ("metadata[my key]=v", {"metadata": {"my key": "v"}}),
    ],
)
def test_brackets_nest(text, nested):
    assert parse_form(parse_qsl(text)) == nested


def test_lists_come_in_the_order_of_their_index():
    params = Params(parse_form([("l[10]", "k"), ("l[2]", "c"), ("l[0]", "a")]))
    assert params.texts("l") == ["a", "c", "k"]
