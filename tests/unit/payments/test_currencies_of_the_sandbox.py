"""The sandbox's own table of Stripe's limits against ours: what we offer, it takes, and nothing less."""

import pytest

from metering.currencies import CURRENCIES, LISTED_MINIMUM_MINOR
from metering.money import MAX_AMOUNT_MINOR
from signaling.payments.sandbox import currencies as sandbox
from signaling.payments.sandbox.errors import StripeError


def test_both_know_the_same_currencies_and_listed_minimums():
    assert frozenset(CURRENCIES) == sandbox.SUPPORTED
    assert dict(LISTED_MINIMUM_MINOR) == sandbox.MINIMUM_MINOR
    assert MAX_AMOUNT_MINOR == sandbox.AMOUNT_MAX


@pytest.mark.parametrize("code", sorted(CURRENCIES))
def test_the_sandbox_takes_what_we_charge_and_refuses_what_lies_between(code: str):
    row = CURRENCIES[code]
    for minor in (row.minimum_minor, row.minimum_minor + row.step_minor):
        sandbox.check_amount(minor, code, param="amount")
    with pytest.raises(StripeError):
        sandbox.check_amount(MAX_AMOUNT_MINOR + 1, code, param="amount")
    if row.step_minor > 1:
        with pytest.raises(StripeError):
            sandbox.check_amount(row.minimum_minor + 1, code, param="amount")
    if code in LISTED_MINIMUM_MINOR:
        with pytest.raises(StripeError):
            sandbox.check_amount(LISTED_MINIMUM_MINOR[code] - row.step_minor, code, param="amount")
