"""What a room may cost, and what a duration costs in it."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from metering.errors import MeterError, RefusedError
from metering.money import CURRENCIES, Money
from metering.tariff import PerMinute, choices, parse_tariff, price_of, seconds_for

ENTRANCE = {"kind": "entrance", "price_minor": 500, "currency": "eur", "seconds": 1800}
PER_MINUTE = {
    "kind": "per_minute",
    "rate_minor_per_min": 100,
    "currency": "eur",
    "presets_s": [900, 1800, 3600],
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
entrance     | {"currency": "ugx"}                     | unknown_currency
entrance     | {"currency": null}                      | unknown_currency
entrance     | {"currency": ["eur"]}                   | unknown_currency
entrance     | {"currency": "kwd", "price_minor": 505} | bad_tariff
entrance     | {"currency": "jpy", "price_minor": 49}  | below_minimum
entrance     | {"seconds": 59}                         | bad_tariff
entrance     | {"seconds": 700000}                     | bad_tariff
entrance     | {"seconds": false}                      | bad_tariff
entrance     | {"discount": 5}                         | bad_tariff
entrance     | {"kind": "wallet"}                      | unknown_kind
entrance     | {"kind": ["entrance"]}                  | unknown_kind
per_minute   | {"presets_s": []}                       | bad_tariff
per_minute   | {"presets_s": [900, 900]}               | bad_tariff
per_minute   | {"presets_s": [900.5]}                  | bad_tariff
per_minute   | {"presets_s": 900}                      | bad_tariff
per_minute   | {"presets_s": [900, 3600], "max_seconds": 1800} | bad_tariff
per_minute   | {"rate_minor_per_min": 3}               | below_minimum
per_minute   | {"rate_minor_per_min": 99999999}        | bad_tariff
per_minute   | {"rate_minor_per_min": null}            | bad_tariff
"""


@pytest.mark.parametrize("row", [row for row in REFUSED.splitlines() if row.strip()])
def test_refused_with_a_stable_code(row):
    kind, change, code = (cell.strip() for cell in row.split("|"))
    base = ENTRANCE if kind == "entrance" else PER_MINUTE
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
    "obj", [ENTRANCE, ENTRANCE | {"seconds": None}, PER_MINUTE, PER_MINUTE | {"max_seconds": 3600}]
)
def test_json_round_trip(obj):
    assert parse_tariff(obj).to_json() == obj


def test_presets_are_offered_shortest_first():
    offered = choices(parse_tariff(PER_MINUTE | {"presets_s": [3600, 900]}))
    assert [(choice.seconds, choice.price.amount_minor) for choice in offered] == [(900, 1500), (3600, 6000)]
    assert choices(parse_tariff(ENTRANCE | {"seconds": None}))[0].seconds is None


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
