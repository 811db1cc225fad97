"""Rates: the nearest place wins, each figure on its own, and nothing becomes free because it was left blank."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from metering.errors import RefusedError
from metering.rates import (
    FIGURES,
    HOST_FIGURES,
    SCOPES,
    Fee,
    Place,
    complete_tariff,
    parse_figures,
    resolve,
)
from metering.tariff import Metered, parse_tariff


def refused(said: object) -> str:
    with pytest.raises(RefusedError) as caught:
        parse_figures(said)
    return caught.value.code


def places(**said: dict) -> list[Place]:
    return [Place(scope, "someone", figures) for scope, figures in said.items()]


EUR = {"currency": "eur"}


def test_room_comes_before_host_before_role_before_default():
    everything = {scope: {"window_s": 100 + index} for index, scope in enumerate(SCOPES)}
    for index, scope in enumerate(SCOPES):
        assert resolve(places(**everything)).get("window_s") == 100 + index
        assert resolve(places(**everything)).origins == {"window_s": scope}
        del everything[scope]
    assert resolve([]).get("window_s") == 900


def test_each_figure_falls_through_on_its_own():
    found = resolve(
        places(
            default=EUR | {"rate_minor_per_min": 100, "price_minor": 900},
            user=EUR | {"rate_minor_per_min": 250},
            room={"free_seconds": 300},
        )
    )
    assert (found.get("rate_minor_per_min"), found.get("price_minor"), found.get("free_seconds")) == (
        250,
        900,
        300,
    )
    assert found.origins == {"rate_minor_per_min": "user", "price_minor": "default", "free_seconds": "room"}


@pytest.mark.parametrize("blank", [None, "", []])
@pytest.mark.parametrize("name", ["rate_minor_per_min", "presets_s", "fee_percent_bp", "terms_url"])
def test_a_blank_figure_falls_through(name, blank):
    set_here = {
        "rate_minor_per_min": 100,
        "presets_s": [900],
        "fee_percent_bp": 700,
        "terms_url": "https://e.org",
    }
    default = parse_figures(EUR | set_here)
    room = parse_figures({name: blank})
    assert room == {}
    assert resolve(places(room=room, default=default)).get(name) == set_here[name]
    # A row that was written by hand says no more with a blank than by saying nothing.
    assert resolve(places(room={name: blank}, default=default)).get(name) == set_here[name]


def test_nought_is_said_and_does_not_fall_through():
    found = resolve(
        places(
            room={"fee_percent_bp": 0, "free_seconds": 0}, default={"fee_percent_bp": 900, "free_seconds": 60}
        )
    )
    assert (found.fee.percent_bp, found.get("free_seconds")) == (0, 0)


def test_a_price_that_nobody_says_is_refused_and_not_free():
    with pytest.raises(RefusedError) as caught:
        resolve(places(default=EUR)).require("rate_minor_per_min")
    assert caught.value.code == "no_rate"
    assert "rate_minor_per_min" in str(caught.value)


@pytest.mark.parametrize("said", [{}, {"kind": "barter"}, {"kind": ["free"]}])
def test_a_tariff_of_no_known_kind_takes_nothing_from_the_rates(said):
    """Whose fault it is, the kind's and not a missing rate's, says the parser that reads it next."""
    assert complete_tariff(said, resolve([])) == said


def test_amounts_count_only_in_their_own_currency():
    said = places(
        room={"currency": "usd"},
        default=EUR | {"rate_minor_per_min": 100, "fee_fixed_minor": 25, "fee_percent_bp": 500},
    )
    found = resolve(said)
    assert found.get("currency") == "usd"
    assert found.get("rate_minor_per_min") is None
    assert found.fee == Fee(500, 0, on_top=False)  # the percentage is of any currency
    assert resolve(said, "eur").fee == Fee(500, 25, on_top=False)


@pytest.mark.parametrize(
    "said",
    [
        [],
        {"rate": 100},
        {"rate_minor_per_min": 100},  # of which currency?
        EUR | {"rate_minor_per_min": 0},
        EUR | {"rate_minor_per_min": True},
        EUR | {"rate_minor_per_min": 1.5},
        EUR | {"rate_minor_per_min": "100"},
        EUR | {"price_minor": 100_000_000},
        {"currency": "kwd", "price_minor": 1001},
        {"presets_s": [900, 900]},
        {"presets_s": [30]},
        {"fee_percent_bp": 10_001},
        {"fee_on_top": "yes"},
        {"earnings_days": 91},
        {"terms_url": "javascript:alert(1)"},
        {"terms_url": 'https://e.org/"><script>'},
        {"terms_version": "x" * 65},
        {"minimum": "free"},
        {"dispute_access": ""} | {"minimum": "never"},
        {"free_seconds": 30},
        {"free_seconds": False},
    ],
)
def test_what_is_no_rate_is_refused(said):
    assert refused(said) == "bad_rates"


def test_packages_are_refused_as_wallets_refuse_them():
    assert refused({"packages": [{"price_minor": 1000}]}) == "bad_packages"
    below_a_card = {"price_minor": 10, "credit_minor": 10, "currency": "eur"}
    assert refused({"packages": [below_a_card]}) == "bad_packages"


def test_an_unknown_currency_is_refused_by_its_own_name():
    assert refused({"currency": "EUR"}) == "unknown_currency"


def test_what_a_host_may_say_is_no_matter_of_the_platforms_money():
    assert set(FIGURES) >= HOST_FIGURES
    assert not {
        name
        for name in HOST_FIGURES
        if name.startswith(("fee_", "earnings", "packages", "refund_", "dispute"))
    }


def test_an_open_figure_of_a_tariff_comes_from_the_rates():
    figures = resolve(places(default=EUR | {"rate_minor_per_min": 120, "presets_s": [900, 1800]}))
    made = complete_tariff({"kind": "per_minute", "rate_minor_per_min": None}, figures)
    assert made == {
        "kind": "per_minute",
        "currency": "eur",
        "rate_minor_per_min": 120,
        "presets_s": [900, 1800],
    }


def test_a_tariff_that_says_everything_keeps_its_own_figures():
    said = {"kind": "entrance", "price_minor": 500, "currency": "eur", "seconds": None}
    assert complete_tariff(said, resolve(places(default=EUR | {"price_minor": 900}))) == said


def test_a_tariff_in_another_currency_than_the_rates_is_refused():
    figures = resolve(places(default=EUR | {"rate_minor_per_min": 120}), "usd")
    with pytest.raises(RefusedError, match="rate_minor_per_min"):
        complete_tariff({"kind": "per_minute", "currency": "usd", "presets_s": [900]}, figures)


def test_free_minutes_of_the_rates_are_offered_where_time_is_sold():
    figures = resolve(places(default={"free_seconds": 300}))
    sold = {"kind": "per_minute", "currency": "eur", "rate_minor_per_min": 100, "presets_s": [900]}
    assert complete_tariff(sold, figures)["free_seconds"] == 300
    assert complete_tariff(sold | {"free_seconds": 60}, figures)["free_seconds"] == 60
    assert "free_seconds" not in complete_tariff(
        {"kind": "free", "currency": "eur", "seconds": None}, figures
    )


def test_the_rule_of_short_calls_is_taken_into_the_tariff_where_it_is_not_the_usual_one():
    sold = {"kind": "metered", "currency": "eur", "rate_minor_per_min": 100, "window_s": 900}
    figures = resolve(places(default={"minimum": "charge"}))
    assert parse_tariff(complete_tariff(sold, figures)) == Metered(100, "eur", minimum="charge")
    assert complete_tariff(sold | {"minimum": "waive_first"}, figures)["minimum"] == "waive_first"
    assert complete_tariff(sold, resolve(places(default={"minimum": "waive_first"}))) == sold
    entrance = {"kind": "entrance", "price_minor": 500, "currency": "eur", "seconds": None}
    assert complete_tariff(entrance, figures) == entrance


_FIGURE = st.dictionaries(
    st.sampled_from(["window_s", "grace_s", "fee_percent_bp"]), st.one_of(st.none(), st.integers(60, 900))
)


@given(st.fixed_dictionaries(dict.fromkeys(SCOPES, _FIGURE)), st.permutations(SCOPES))
def test_what_holds_is_the_nearest_that_is_not_blank_whatever_the_order_of_the_rows(said, order):
    found = resolve([Place(scope, "s", said[scope]) for scope in order])
    for name in ("window_s", "grace_s", "fee_percent_bp"):
        nearest = next((said[scope][name] for scope in SCOPES if said[scope].get(name) is not None), None)
        assert found.said.get(name) == nearest
