"""Amounts, currencies and the named roundings."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from metering.currencies import CURRENCIES, LISTED_MINIMUM_MINOR
from metering.errors import MeterError, RefusedError, UnknownCurrencyError
from metering.money import (
    MAX_AMOUNT_MINOR,
    Money,
    currency,
    round_duration_up,
    round_price_down,
    round_refund_up,
)


def test_the_table_holds_what_stripe_writes():
    assert len(CURRENCIES) == 139
    assert (currency("usd").exponent, currency("usd").minimum_minor) == (2, 50)
    assert (currency("jpy").exponent, currency("krw").exponent) == (0, 0)
    assert (currency("kwd").exponent, currency("kwd").step_minor) == (3, 10)
    for code in ("isk", "ugx"):
        assert (currency(code).exponent, currency(code).step_minor) == (2, 100)
    zero = "bif clp djf gnf jpy kmf krw mga pyg rwf vnd vuv xaf xof xpf"
    assert {code for code, row in CURRENCIES.items() if row.exponent == 0} == set(zero.split())
    assert {code for code, row in CURRENCIES.items() if row.exponent == 3} == {
        "bhd", "jod", "kwd", "omr", "tnd"
    }  # fmt: skip


def test_no_charge_is_smaller_than_stripe_lists():
    assert len(LISTED_MINIMUM_MINOR) == 31
    for code, least_minor in LISTED_MINIMUM_MINOR.items():
        assert currency(code).minimum_minor >= least_minor
    above = {code for code, least in LISTED_MINIMUM_MINOR.items() if currency(code).minimum_minor > least}
    assert above == {"ars", "cop", "idr", "ils", "krw", "php", "rub", "zar"}


@pytest.mark.parametrize("code", sorted(CURRENCIES))
def test_every_minimum_can_be_charged(code):
    row = CURRENCIES[code]
    assert code == code.lower()
    assert len(code) == 3
    assert row.minimum_minor > 0
    assert row.minimum_minor % row.step_minor == 0


@pytest.mark.parametrize("code", ["EUR", "xyz", "", None, 5, "bgn"])
def test_other_codes_are_refused(code):
    with pytest.raises(UnknownCurrencyError):
        currency(code)


def test_amounts_are_written_with_their_currencys_point():
    written = [Money(1250, "eur").decimal(), Money(500, "jpy").decimal(), Money(5120, "kwd").decimal()]
    assert written == ["12.50", "500", "5.120"]
    assert Money(5, "eur").decimal() == "0.05"


@given(st.sampled_from(sorted(CURRENCIES)), st.integers(0, MAX_AMOUNT_MINOR))
def test_an_amount_that_was_written_is_read_as_the_same(code, minor):
    written = Money(minor, code).decimal()
    exponent = CURRENCIES[code].exponent
    assert Decimal(written).scaleb(exponent) == minor
    assert len(written.partition(".")[2]) == exponent


def test_roundings_favour_the_payer():
    assert round_price_down(107, 60, "eur") == Money(1, "eur")
    assert round_price_down(5129, 1, "kwd") == Money(5120, "kwd")
    assert round_refund_up(61, 60, "eur") == Money(2, "eur")
    assert round_refund_up(5121, 1, "kwd") == Money(5130, "kwd")
    assert round_duration_up(61, 60) == 2


def test_amounts_add_in_one_currency_and_never_fall_below_zero():
    assert Money(5, "eur") + Money(7, "eur") - Money(2, "eur") == Money(10, "eur")
    with pytest.raises(MeterError):
        Money(5, "eur") + Money(5, "usd")
    with pytest.raises(RefusedError):
        Money(5, "eur") - Money(6, "eur")
