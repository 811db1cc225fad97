"""Packages of credits, what goes back of them, and when a balance is topped up unasked."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from metering import wallet
from metering.currencies import CURRENCIES
from metering.errors import RefusedError
from metering.money import MAX_AMOUNT_MINOR, currency
from metering.wallet import AutoTopup, Package

PLAIN = Package(1000, 1000, "eur")
BONUS = Package(1000, 1200, "eur")
MARKUP = Package(1000, 900, "eur")


@st.composite
def packages(draw: st.DrawFn) -> Package:
    money = currency(draw(st.sampled_from(["eur", "jpy", "kwd", "huf"])))
    step = money.step_minor
    price = draw(st.integers(money.minimum_minor // step + 1, 50_000)) * step
    credit = draw(st.integers(-(-price // (2 * step)), 2 * price // step)) * step
    return wallet.parse_package({"price_minor": price, "credit_minor": credit, "currency": money.code})


def available_with(package: Package, share: float) -> int:
    return int(package.credit_minor * share)


# --- packages ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("code", sorted(CURRENCIES))
def test_every_currency_has_packages_that_can_be_charged(code):
    offered = wallet.default_packages(code)
    assert len(offered) >= (1 if code == "lbp" else 2)  # 50 dollars in pounds have more than eight digits
    assert wallet.parse_packages([one.to_json() for one in offered]) == offered
    assert all(one.credit_minor == one.price_minor <= MAX_AMOUNT_MINOR for one in offered)


def test_default_packages_are_round_sums():
    assert [one.price_minor for one in wallet.default_packages("eur")] == [1000, 2500, 5000]
    assert [one.price_minor for one in wallet.default_packages("gbp")] == [600, 1500, 3000]
    assert [one.price_minor for one in wallet.default_packages("huf")] == [350000, 900000, 2000000]


def test_what_the_operator_set_for_a_currency_replaces_its_defaults():
    own = [BONUS.to_json(), Package(500, 500, "usd").to_json()]
    assert wallet.packages_for("eur", own) == (BONUS,)
    assert wallet.packages_for("chf", own) == wallet.default_packages("chf")
    assert wallet.packages_for("eur", None) == wallet.default_packages("eur")


@pytest.mark.parametrize(
    "wrong",
    [
        [],
        "1000",
        [{"price_minor": 1000, "credit_minor": 1000}],
        [{"price_minor": 1000, "credit_minor": 1000, "currency": "eur", "free": True}],
        [{"price_minor": 49, "credit_minor": 49, "currency": "eur"}],
        [{"price_minor": 1000, "credit_minor": 2001, "currency": "eur"}],
        [{"price_minor": 1000, "credit_minor": 499, "currency": "eur"}],
        [{"price_minor": True, "credit_minor": 1000, "currency": "eur"}],
        [{"price_minor": 1005, "credit_minor": 1005, "currency": "kwd"}],
        [{"price_minor": 10.0, "credit_minor": 1000, "currency": "eur"}],
    ],
)
def test_a_package_that_makes_no_sense_is_refused(wrong):
    with pytest.raises(RefusedError) as refused:
        wallet.parse_packages(wrong)
    assert refused.value.code == "bad_packages"


def test_a_bonus_or_a_markup_is_the_platforms():
    assert (BONUS.bonus_minor, BONUS.markup_minor, BONUS.paid_credit_minor) == (200, 0, 1000)
    assert (MARKUP.bonus_minor, MARKUP.markup_minor, MARKUP.paid_credit_minor) == (0, 100, 900)


# --- what goes back ---------------------------------------------------------------------------------------


def test_a_refund_takes_its_part_of_the_bonus_along():
    assert wallet.back_for_refund(BONUS, 0, 500) == wallet.Back(500, 100, 0)
    assert wallet.back_for_refund(BONUS, 500, 500).credit_minor == 600
    assert wallet.back_for_refund(MARKUP, 0, 1000) == wallet.Back(900, 0, 100)


@given(packages(), st.lists(st.floats(0, 1), max_size=6))
def test_any_sequence_of_refunds_takes_back_the_whole_package(package, shares):
    refunded, money, bonus, fee = 0, 0, 0, 0
    for share in [*shares, 1.0]:
        amount = int((package.price_minor - refunded) * share)
        back = wallet.back_for_refund(package, refunded, amount)
        assert min(back.money_minor, back.bonus_minor, back.fee_minor) >= 0
        assert back.money_minor + back.fee_minor == amount
        refunded += amount
        money, bonus, fee = money + back.money_minor, bonus + back.bonus_minor, fee + back.fee_minor
    assert (refunded, money, bonus, fee) == (
        package.price_minor,
        package.paid_credit_minor,
        package.bonus_minor,
        package.markup_minor,
    )


def test_at_most_the_unspent_part_goes_back():
    assert wallet.refundable_minor(PLAIN, 0, 400) == 400
    assert wallet.refundable_minor(PLAIN, 0, 5000) == 1000
    assert wallet.refundable_minor(BONUS, 0, 600) == 500
    assert wallet.refundable_minor(BONUS, 0, 1200) == 1000
    assert wallet.refundable_minor(MARKUP, 0, 450) == 500
    assert wallet.refundable_minor(PLAIN, 700, 400) == 300
    assert wallet.refundable_minor(PLAIN, 1000, 400) == 0
    assert wallet.refundable_minor(PLAIN, 0, 0) == 0


@given(packages(), st.floats(0, 1), st.floats(0, 1.5))
def test_what_can_go_back_is_there_and_nearly_all_of_it(package, refunded_share, available_share):
    step = currency(package.currency).step_minor
    refunded = int(package.price_minor * refunded_share) // step * step
    available = available_with(package, available_share)
    most = wallet.refundable_minor(package, refunded, available)
    assert 0 <= most <= package.price_minor - refunded
    assert most % step == 0 or most == package.price_minor - refunded
    assert wallet.back_for_refund(package, refunded, most).credit_minor <= available
    more = most + 3 * step
    if more <= package.price_minor - refunded:
        assert wallet.back_for_refund(package, refunded, more).credit_minor > available


def test_a_refund_of_more_than_was_paid_is_refused():
    with pytest.raises(RefusedError):
        wallet.back_for_refund(PLAIN, 600, 500)


@given(st.integers(0, 10_000), st.integers(-5, 10_000))
def test_a_wallet_gives_what_it_has_and_the_rest_is_owed(wanted, available):
    taken = wallet.take(wanted, available)
    assert taken.wallet_minor + taken.short_minor == wanted
    assert 0 <= taken.wallet_minor <= max(0, available)
    assert taken.short_minor == 0 or taken.wallet_minor == max(0, available)


# --- running low ------------------------------------------------------------------------------------------


def test_a_balance_is_low_at_two_minutes_worth_unless_configured():
    assert wallet.low_minor(150, None) == 300
    assert wallet.low_minor(1, None) == 2
    assert wallet.low_minor(150, 1000) == 1000
    assert wallet.low_minor(150, 0) == 0


def test_nobody_is_told_of_time_that_is_not_there():
    assert wallet.seconds_left(150, 100) == 90
    assert wallet.seconds_left(1, 100) == 0
    assert wallet.seconds_left(-3, 100) == 0


# --- while a bank looks into it ---------------------------------------------------------------------------


@given(packages(), st.integers(0, 10**6), st.integers(0, 10**6), st.integers(0, 10**6))
def test_no_more_is_frozen_than_the_part_bought_and_than_is_unspent(package, gone, disputed, unspent):
    gone, disputed = gone % (package.price_minor + 1), disputed % (package.price_minor + 1)
    frozen = wallet.frozen_by_disputes(package, gone, disputed, unspent)
    about = min(disputed, package.price_minor - gone)
    lost = wallet.back_for_refund(package, gone, about)
    assert 0 <= frozen.money_minor <= lost.money_minor <= disputed
    assert 0 <= frozen.bonus_minor <= lost.bonus_minor
    # What would be taken were it lost now, as far as it is there.
    assert frozen.credit_minor == min(lost.credit_minor, unspent)


def test_credits_that_came_first_are_spent_first():
    assert wallet.unspent_minor(1500, 1000, 0) == 500
    assert wallet.unspent_minor(900, 1000, 0) == 0
    assert wallet.unspent_minor(900, 1000, 300) == 300  # nobody spends what is frozen
    assert wallet.unspent_minor(0, -200, 0) == 0


# --- topping up unasked -----------------------------------------------------------------------------------

LOW = AutoTopup(on=True, in_call=True, available_minor=100, low_minor=200)
NOW = 10_000


@pytest.mark.parametrize(
    ("changes", "verdict"),
    [
        ({}, "due"),
        ({"on": False}, "off"),
        ({"in_call": False}, "outside"),
        ({"owed_minor": 1}, "owes"),
        ({"disputed": True}, "disputed"),
        ({"available_minor": 201}, "enough"),
        ({"available_minor": 200}, "due"),
        ({"in_flight": True}, "in_flight"),
        ({"not_before_s": NOW + 1}, "backing_off"),
        ({"not_before_s": NOW}, "due"),
        ({"asked_s": (NOW - 1, NOW - 2, NOW - 3)}, "too_many"),
        ({"asked_s": (NOW - 1, NOW - 2, NOW - 3600)}, "due"),
    ],
)
def test_a_wallet_is_topped_up_unasked_only_when_everything_says_so(changes, verdict):
    fields = {name: getattr(LOW, name) for name in AutoTopup.__slots__}
    assert wallet.auto_topup(AutoTopup(**fields | changes), NOW) == verdict


@given(st.lists(st.integers(0, 7200), min_size=1, max_size=40))
def test_never_more_than_three_in_any_hour(steps):
    now, asked = NOW, []
    for step in steps:
        now += step
        state = AutoTopup(on=True, in_call=True, available_minor=0, low_minor=1, asked_s=tuple(asked))
        if wallet.auto_topup(state, now) == "due":
            asked.append(now)
    for first in asked:
        assert sum(1 for one in asked if first <= one < first + 3600) <= 3


@given(st.integers(0, 4000))
def test_after_a_decline_an_hour_passes(later):
    state = AutoTopup(
        on=True, in_call=True, available_minor=0, low_minor=1, not_before_s=wallet.after_decline_s(NOW)
    )
    assert (wallet.auto_topup(state, NOW + later) == "due") is (later >= 3600)
