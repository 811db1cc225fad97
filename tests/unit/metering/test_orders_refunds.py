"""What goes back by itself when a payment cannot be served."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from metering.orders import OrderSnapshot, OrderState, PassSnapshot, refund_due, unused_part

MIN_MS = 60_000
PAID_ORDER = OrderSnapshot(
    "ord_1", OrderState.PAID, 1500, "eur", "test", "acct_1", 900, granted=True, paid_ms=100 * MIN_MS
)

# paid at | host away since | now | used of 15 min | waits | room    -> back of 15.00
TABLE = """
100       | -               | 200 | 0              | no    | open    | nothing
100       | 100             | 104 | 0              | no    | open    | nothing
100       | 100             | 105 | 0              | no    | open    | 1500
100       | 90              | 104 | 0              | no    | open    | nothing
100       | 90              | 105 | 0              | no    | open    | 1500
100       | 103             | 107 | 0              | no    | open    | nothing
100       | 103             | 108 | 5              | no    | open    | 1000
100       | 103             | 108 | 15             | no    | open    | nothing
100       | 103             | 300 | 5              | yes   | open    | nothing
100       | 103             | 103 | 5              | yes   | closed  | 1000
100       | -               | 100 | 0              | no    | closed  | 1500
"""


@pytest.mark.parametrize("row", [row for row in TABLE.splitlines() if row.strip()])
def test_refund_due(row):
    paid, away, now, used, waits, room, back = (cell.strip() for cell in row.split("|"))
    due = refund_due(
        replace(PAID_ORDER, paid_ms=int(paid) * MIN_MS),
        PassSnapshot("pass_1", 900_000, int(used) * MIN_MS),
        None if away == "-" else int(away) * MIN_MS,
        int(now) * MIN_MS,
        waits=waits == "yes",
        room_closed=room == "closed",
    )
    assert ("nothing" if due is None else str(due.amount_minor)) == back


def test_an_unlimited_pass_is_given_back_whole_or_not_at_all():
    unlimited = replace(PAID_ORDER, seconds=None)
    fresh, used = PassSnapshot("pass_1", None, 0), PassSnapshot("pass_1", None, 1)
    due = refund_due(unlimited, fresh, 0, 200 * MIN_MS, waits=False, room_closed=False)
    assert due is not None
    assert due.amount_minor == 1500
    assert refund_due(unlimited, used, 0, 200 * MIN_MS, waits=False, room_closed=True) is None


def test_an_extension_is_used_after_what_was_bought_before_it():
    extension = replace(PAID_ORDER, granted_before_ms=900_000)
    half_through = PassSnapshot("pass_1", 1_800_000, 1_200_000)
    first = refund_due(PAID_ORDER, half_through, None, 0, waits=False, room_closed=True)
    second = refund_due(extension, half_through, None, 0, waits=False, room_closed=True)
    assert first is None
    assert second is not None
    assert second.amount_minor == 1000


@pytest.mark.parametrize(
    "state", [OrderState.OPEN, OrderState.REFUNDED, OrderState.DISPUTED, OrderState.QUARANTINED]
)
def test_only_an_order_that_is_paid_and_served_can_be_given_back(state):
    order = replace(PAID_ORDER, state=state, granted=state is not OrderState.OPEN)
    assert refund_due(order, None, None, 0, waits=False, room_closed=True) is None


def test_what_was_refunded_before_is_not_given_twice():
    assert unused_part(1500, 900_000, 300_000, 400, "eur") == 600
    assert unused_part(1500, 900_000, 300_000, 1200, "eur") == 0
    assert unused_part(1500, 900_000, 0, 400, "eur") == 1100


def test_a_refund_is_rounded_up_to_what_the_currency_can_pay():
    assert unused_part(1000, 900_000, 1, 0, "eur") == 1000
    assert unused_part(1000, 3_000, 2_000, 0, "eur") == 334
    assert unused_part(1000, 3_000, 2_000, 0, "kwd") == 340


@given(st.integers(1, 10**8 - 1), st.integers(1, 10**8), st.integers(0, 10**9), st.integers(0, 10**8))
def test_a_refund_is_between_nothing_and_what_was_paid(amount, granted, used, before):
    back = unused_part(amount, granted, used, before, "eur")
    assert 0 <= back <= amount
    if used < granted and before == 0:
        assert back * granted >= amount * (granted - used), "in the payer's favour"
