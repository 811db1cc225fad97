"""The parts of a price: discounts fall to the payer, fees to whom they are said to, nothing is lost between them."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from metering.currencies import CURRENCIES
from metering.errors import MeterError
from metering.money import Money
from metering.price import Discount, Parts, fee_in_proportion, price_parts
from metering.rates import Fee


def parts(
    list_minor: int, fee: Fee | None = None, discount: Discount | None = None, code: str = "eur"
) -> Parts:
    return price_parts(Money(list_minor, code), fee or Fee(), discount)


def test_a_price_alone_is_all_the_hosts():
    made = parts(1000)
    assert (made.amount_minor, made.net_minor, made.fee_minor) == (1000, 1000, 0)


def test_a_fee_inside_comes_out_of_the_hosts_share():
    made = parts(1000, Fee(1500, 30))
    assert (made.amount_minor, made.fee_minor, made.fee_on_top_minor, made.net_minor) == (1000, 180, 0, 820)


def test_a_fee_on_top_is_the_guests():
    made = parts(1000, Fee(1500, 30, on_top=True))
    assert (made.amount_minor, made.fee_minor, made.fee_on_top_minor, made.net_minor) == (
        1180,
        180,
        180,
        1000,
    )


def test_a_fee_is_of_what_is_left_after_the_discount():
    made = parts(1000, Fee(1000, on_top=True), Discount(percent=50))
    assert (made.discount_minor, made.fee_minor, made.amount_minor, made.net_minor) == (500, 50, 550, 500)


def test_fees_are_rounded_down_and_discounts_up():
    assert parts(999, Fee(1)).fee_minor == 0
    assert parts(999, None, Discount(percent=50)).discount_minor == 500


@pytest.mark.parametrize("discount", [Discount(percent=100), Discount(amount_minor=2000, currency="eur")])
@pytest.mark.parametrize("on_top", [False, True])
def test_nothing_left_is_free_and_costs_no_fee(discount, on_top):
    made = parts(1000, Fee(1000, 25, on_top=on_top), discount)
    assert (made.amount_minor, made.fee_minor, made.discount_minor, made.raised_minor) == (0, 0, 1000, 0)


def test_what_a_card_would_not_be_charged_is_raised_to_the_least():
    made = parts(100, None, Discount(percent=99))
    assert (made.amount_minor, made.discount_minor, made.raised_minor) == (50, 50, 49)
    assert parts(100, None, Discount(percent=50)).raised_minor == 0


def test_a_fee_on_top_counts_toward_the_least():
    made = parts(100, Fee(0, 40, on_top=True), Discount(percent=90))
    assert (made.amount_minor, made.raised_minor, made.net_minor) == (50, 0, 10)


def test_a_fee_inside_never_takes_more_than_there_is():
    assert parts(50, Fee(5000, 40)).net_minor == 0


def test_a_currency_with_steps_is_charged_in_steps():
    made = parts(1000, Fee(333, on_top=True), Discount(percent=33), code="kwd")
    assert made.amount_minor % 10 == 0
    assert made.discount_minor % 10 == 0
    assert parts(1000, None, Discount(amount_minor=55, currency="kwd"), code="kwd").discount_minor == 60


def test_an_amount_off_in_another_currency_is_the_callers_mistake():
    with pytest.raises(MeterError):
        parts(1000, None, Discount(amount_minor=100, currency="usd"))


def test_a_fee_in_proportion_is_rounded_down_and_whole_at_the_end():
    assert fee_in_proportion(100, 999, 1000) == 99
    assert fee_in_proportion(100, 1000, 1000) == 100
    assert fee_in_proportion(100, 0, 0) == 0


_DISCOUNTS = st.one_of(
    st.none(),
    st.integers(1, 100).map(lambda percent: Discount(percent=percent)),
    st.integers(1, 10**6).map(lambda off_minor: Discount(amount_minor=off_minor)),
)


@given(
    st.sampled_from(sorted(CURRENCIES)),
    st.integers(0, 90_000),
    st.builds(Fee, st.integers(0, 10_000), st.integers(0, 5000), st.booleans()),
    _DISCOUNTS,
)
def test_the_parts_of_any_price_add_up(code, steps, fee, discount):
    money = CURRENCIES[code]
    listed = Money(money.minimum_minor + steps * money.step_minor, code)
    if discount is not None and discount.amount_minor is not None:
        discount = replace(discount, currency=code)
    made = price_parts(listed, fee, discount)
    assert made.amount_minor == listed.amount_minor - made.discount_minor + made.fee_on_top_minor
    assert made.amount_minor == made.fee_minor + made.net_minor
    assert made.amount_minor == 0 or made.amount_minor >= money.minimum_minor
    assert made.amount_minor % money.step_minor == 0
    assert min(made.discount_minor, made.fee_minor, made.net_minor, made.raised_minor) >= 0
    assert made.fee_on_top_minor == (made.fee_minor if fee.on_top else 0)
    assert made.discount_minor <= listed.amount_minor
