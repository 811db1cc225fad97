"""Amounts, currencies and the named roundings."""

import pytest

from metering.errors import MeterError, RefusedError, UnknownCurrencyError
from metering.money import CURRENCIES, Money, currency, round_duration_up, round_price_down, round_refund_up


def test_the_table_holds_what_stripe_writes():
    assert len(CURRENCIES) >= 40
    assert (currency("usd").exponent, currency("usd").minimum_minor) == (2, 50)
    assert (currency("jpy").exponent, currency("krw").exponent) == (0, 0)
    assert (currency("kwd").exponent, currency("kwd").step_minor) == (3, 10)
    assert currency("isk").step_minor == 100


@pytest.mark.parametrize("code", sorted(CURRENCIES))
def test_every_minimum_can_be_charged(code):
    row = CURRENCIES[code]
    assert code == code.lower()
    assert len(code) == 3
    assert row.minimum_minor > 0
    assert row.minimum_minor % row.step_minor == 0


@pytest.mark.parametrize("code", ["EUR", "xyz", "", None, 5, "ugx"])
def test_other_codes_are_refused(code):
    with pytest.raises(UnknownCurrencyError):
        currency(code)


def test_amounts_are_written_with_their_currencys_point():
    written = [Money(1250, "eur").decimal(), Money(500, "jpy").decimal(), Money(5120, "kwd").decimal()]
    assert written == ["12.50", "500", "5.120"]
    assert Money(5, "eur").decimal() == "0.05"


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
