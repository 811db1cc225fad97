"""Promotion codes: where, when, how often and by whom."""

from dataclasses import replace

import pytest

from metering.price import Discount
from metering.promotions import Promotion, is_discount, read_code, refusal

HALF = Promotion("promo_1", "HALF", Discount(percent=50))


def why(promotion: Promotion, **changes: object) -> str | None:
    asked = {
        "now_s": 100,
        "room_id": "room_1",
        "currency": "eur",
        "is_known_person": True,
        "used_before": False,
    }
    return refusal(promotion, **(asked | changes))


def test_a_plain_code_holds_for_everybody_everywhere():
    assert why(HALF, is_known_person=False, used_before=True) is None


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"active": False}, "unknown_code"),  # who took it back need not explain it
        ({"room_id": "room_2"}, "code_not_here"),
        ({"discount": Discount(amount_minor=100, currency="usd")}, "code_not_here"),
        ({"expires_at_s": 100}, "code_expired"),
        ({"uses_left": 0}, "code_used_up"),
    ],
)
def test_a_code_that_does_not_hold_says_why(changes, code):
    assert why(replace(HALF, **changes)) == code


@pytest.mark.parametrize("changes", [{"room_id": "room_1"}, {"expires_at_s": 101}, {"uses_left": 1}])
def test_a_code_that_still_holds(changes):
    assert why(replace(HALF, **changes)) is None


def test_once_for_each_person_needs_to_know_the_person():
    once = replace(HALF, once_per_person=True)
    assert why(once) is None
    assert why(once, used_before=True) == "code_used"
    assert why(once, is_known_person=False) == "code_needs_email"


@pytest.mark.parametrize(
    ("text", "code"),
    [
        (" half-off ", "HALF-OFF"),
        ("ab", None),
        ("A B C", None),
        ("-ABC", None),
        ("X" * 33, None),
        ("ÄÖÜ", None),
    ],
)
def test_codes_are_read_as_people_type_them(text, code):
    assert read_code(text) == code


@pytest.mark.parametrize(
    ("discount", "good"),
    [
        (Discount(percent=1), True),
        (Discount(percent=100), True),
        (Discount(percent=101), False),
        (Discount(percent=0), False),
        (Discount(amount_minor=1, currency="eur"), True),
        (Discount(amount_minor=1), False),
        (Discount(percent=5, amount_minor=1, currency="eur"), False),
        (Discount(), False),
    ],
)
def test_a_discount_is_one_thing(discount, good):
    assert is_discount(discount) is good
