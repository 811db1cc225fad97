"""What a room may cost, and what a duration costs in it."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from metering.currencies import CURRENCIES
from metering.errors import MeterError, RefusedError
from metering.money import Money
from metering.tariff import Choice, PerMinute, choices, parse_tariff, price_of, seconds_for

ENTRANCE = {"kind": "entrance", "price_minor": 500, "currency": "eur", "seconds": 1800}
PER_MINUTE = {
    "kind": "per_minute",
    "rate_minor_per_min": 100,
    "currency": "eur",
    "presets_s": [900, 1800, 3600],
}
METERED = {"kind": "metered", "rate_minor_per_min": 100, "currency": "eur", "window_s": 900}
WALLET = {"kind": "wallet", "rate_minor_per_min": 100, "currency": "eur"}
SUBSCRIPTION = {
    "kind": "subscription",
    "price_minor": 900,
    "currency": "eur",
    "interval": "month",
    "trial_days": 0,
}
FREE = {"kind": "free", "currency": "eur", "seconds": 1800}
BASES = {
    "entrance": ENTRANCE,
    "per_minute": PER_MINUTE,
    "metered": METERED,
    "wallet": WALLET,
    "subscription": SUBSCRIPTION,
    "free": FREE,
}

# tariff     | change                                  | refused as
REFUSED = """
entrance     | {"price_minor": 49}                     | below_minimum
entrance     | {"price_minor": 0}                      | bad_tariff
entrance     | {"price_minor": -500}                   | bad_tariff
entrance     | {"price_minor": 500.0}                  | bad_tariff
entrance     | {"price_minor": "500"}                  | bad_tariff
entrance     | {"price_minor": true}                   | bad_tariff
entrance     | {"price_minor": 100000000}              | bad_tariff
entrance     | {"currency": "EUR"}                     | unknown_currency
entrance     | {"currency": "bgn"}                     | unknown_currency
entrance     | {"currency": null}                      | unknown_currency
entrance     | {"currency": ["eur"]}                   | unknown_currency
entrance     | {"currency": "kwd", "price_minor": 505} | bad_tariff
entrance     | {"currency": "jpy", "price_minor": 49}  | below_minimum
entrance     | {"seconds": 59}                         | bad_tariff
entrance     | {"seconds": 700000}                     | bad_tariff
entrance     | {"seconds": false}                      | bad_tariff
entrance     | {"discount": 5}                         | bad_tariff
entrance     | {"kind": "raffle"}                      | unknown_kind
entrance     | {"free_seconds": 30}                    | bad_tariff
entrance     | {"free_seconds": 60, "seconds": null}   | bad_tariff
entrance     | {"kind": ["entrance"]}                  | unknown_kind
per_minute   | {"presets_s": []}                       | bad_tariff
per_minute   | {"presets_s": [900, 900]}               | bad_tariff
per_minute   | {"presets_s": [900.5]}                  | bad_tariff
per_minute   | {"presets_s": 900}                      | bad_tariff
per_minute   | {"presets_s": [900, 3600], "max_seconds": 1800} | bad_tariff
per_minute   | {"rate_minor_per_min": 3}               | below_minimum
per_minute   | {"rate_minor_per_min": 99999999}        | bad_tariff
per_minute   | {"rate_minor_per_min": null}            | bad_tariff
per_minute   | {"free_seconds": 3601}                  | bad_tariff
metered      | {"rate_minor_per_min": 3}               | below_minimum
metered      | {"rate_minor_per_min": 0}               | bad_tariff
metered      | {"window_s": 59}                        | bad_tariff
metered      | {"window_s": 900, "max_seconds": 600}   | bad_tariff
metered      | {"rate_minor_per_min": 5, "max_seconds": 1200} | below_minimum
metered      | {"presets_s": [900]}                    | bad_tariff
metered      | {"minimum": "free"}                     | bad_tariff
metered      | {"minimum": ["charge"]}                 | bad_tariff
entrance     | {"minimum": "charge"}                   | bad_tariff
wallet       | {"window_s": 120}                       | bad_tariff
wallet       | {"currency": "kwd", "rate_minor_per_min": 9} | below_minimum
subscription | {"interval": "week"}                    | bad_tariff
subscription | {"interval": ["month"]}                 | bad_tariff
subscription | {"trial_days": 91}                      | bad_tariff
subscription | {"trial_days": true}                    | bad_tariff
subscription | {"price_minor": 49}                     | below_minimum
subscription | {"seconds": null}                       | bad_tariff
free         | {"seconds": 0}                          | bad_tariff
free         | {"price_minor": 0}                      | bad_tariff
"""


@pytest.mark.parametrize("row", [row for row in REFUSED.splitlines() if row.strip()])
def test_refused_with_a_stable_code(row):
    kind, change, code = (cell.strip() for cell in row.split("|"))
    base = BASES[kind]
    with pytest.raises(RefusedError) as refusal:
        parse_tariff(base | json.loads(change))
    assert refusal.value.code == code


@pytest.mark.parametrize("junk", [None, [], "entrance", 5, {}, {"kind": None}])
def test_junk_is_refused(junk):
    with pytest.raises(RefusedError):
        parse_tariff(junk)


def test_a_missing_length_is_not_unlimited():
    with pytest.raises(RefusedError):
        parse_tariff({name: value for name, value in ENTRANCE.items() if name != "seconds"})


@pytest.mark.parametrize(
    "obj",
    [
        *BASES.values(),
        ENTRANCE | {"seconds": None},
        ENTRANCE | {"free_seconds": 300},
        PER_MINUTE | {"max_seconds": 3600, "free_seconds": 60},
        METERED | {"max_seconds": 3600, "free_seconds": 300},
        WALLET | {"max_seconds": 3600},
        SUBSCRIPTION | {"interval": "year", "trial_days": 14},
        FREE | {"seconds": None},
    ],
)
def test_json_round_trip(obj):
    assert parse_tariff(obj).to_json() == obj


def test_presets_are_offered_shortest_first():
    offered = choices(parse_tariff(PER_MINUTE | {"presets_s": [3600, 900]}))
    assert [(choice.seconds, choice.price.amount_minor) for choice in offered] == [(900, 1500), (3600, 6000)]
    assert choices(parse_tariff(ENTRANCE | {"seconds": None}))[0].seconds is None


def test_a_metered_tariff_offers_its_first_hold():
    (offer,) = choices(parse_tariff(METERED))
    assert (offer.seconds, offer.price) == (900, Money(1500, "eur"))
    without = {name: value for name, value in METERED.items() if name != "window_s"}
    assert parse_tariff(without).window_s == 900
    assert parse_tariff(without | {"max_seconds": 600}).window_s == 600


def test_what_costs_nothing_in_advance():
    assert choices(parse_tariff(WALLET)) == ()
    assert price_of(parse_tariff(WALLET), 120) == Money(0, "eur")
    assert choices(parse_tariff(FREE)) == (Choice(1800, Money(0, "eur")),)
    assert choices(parse_tariff(SUBSCRIPTION)) == (Choice(None, Money(900, "eur")),)


# rate per minute | currency | seconds | price
PRICES = """
100               | eur      | 900     | 1500
99                | eur      | 65      | 107
7                 | usd      | 3599    | 419
33                | jpy      | 100     | 55
100               | kwd      | 307     | 510
"""


@pytest.mark.parametrize("row", [row for row in PRICES.splitlines() if row.strip()])
def test_a_price_is_rounded_down(row):
    rate, code, seconds, price = (cell.strip() for cell in row.split("|"))
    tariff = PerMinute(int(rate), code, (900,))
    assert price_of(tariff, int(seconds)) == Money(int(price), code)


def test_only_what_the_tariff_sells_has_a_price():
    entrance, bounded = parse_tariff(ENTRANCE), parse_tariff(PER_MINUTE | {"max_seconds": 3600})
    for tariff, seconds in [
        (entrance, 900),
        (entrance, None),
        (bounded, 3601),
        (bounded, None),
        (bounded, 0),
        (parse_tariff(METERED), 901),
        (parse_tariff(WALLET), 121),
        (parse_tariff(SUBSCRIPTION), 900),
        (parse_tariff(FREE), None),
    ]:
        with pytest.raises(RefusedError) as refusal:
            price_of(tariff, seconds)
        assert refusal.value.code == "bad_seconds"
    assert price_of(entrance, 1800) == Money(500, "eur")


def test_what_an_amount_buys():
    assert seconds_for(parse_tariff(PER_MINUTE), Money(1500, "eur")) == 900
    assert seconds_for(parse_tariff(PER_MINUTE | {"max_seconds": 3600}), Money(10_000, "eur")) == 3600
    assert seconds_for(parse_tariff(ENTRANCE), Money(499, "eur")) == 0
    assert seconds_for(parse_tariff(ENTRANCE | {"seconds": None}), Money(500, "eur")) is None
    with pytest.raises(MeterError):
        seconds_for(parse_tariff(ENTRANCE), Money(500, "usd"))


@given(st.sampled_from(sorted(CURRENCIES)), st.integers(1, 10**6), st.integers(60, 7 * 24 * 3600))
def test_paying_the_price_buys_the_time_or_the_payer_gains(code, rate, seconds):
    tariff = PerMinute(rate, code, (seconds,))
    try:
        price = price_of(tariff, seconds)
    except RefusedError:
        return
    assert price.amount_minor * 60 <= rate * seconds
    assert price.amount_minor % CURRENCIES[code].step_minor == 0
