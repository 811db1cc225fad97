"""What is given back by itself, and how much an asked refund comes to."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from metering.errors import RefusedError
from metering.orders import OrderSnapshot, OrderState, PassSnapshot
from metering.policies import (
    Amount,
    Attendance,
    Policies,
    Sale,
    Seconds,
    Wanted,
    automatic_refund,
    is_little,
    refund_minor,
)

ORDER = OrderSnapshot(
    "ord_1", OrderState.PAID, 1500, "eur", "test", "acct_1", 900, granted=True, paid_ms=1_000_000
)
HERE = Attendance(away_since_ms=None, room_closed=False, waits=False)
AWAY = replace(HERE, away_since_ms=900_000)
CLOSED = replace(HERE, room_closed=True)
FAILED = replace(HERE, end_code="run_lost", ended_ms=2_000_000)
PATIENCE_MS = 300_000
LATE_MS = 9_000_000
ON = Policies()


def used(used_ms: int, granted_ms: int | None = 900_000) -> PassSnapshot:
    return PassSnapshot("pass_1", granted_ms, used_ms)


@pytest.mark.parametrize(
    ("seen", "used_ms", "now_ms", "expected"),
    [
        (AWAY, 0, 1_000_000 + PATIENCE_MS - 1, None),
        (AWAY, 0, 1_000_000 + PATIENCE_MS, ("host_absent", 1500)),
        (AWAY, 300_000, 1_000_000 + PATIENCE_MS, ("host_left", 1000)),
        (replace(AWAY, waits=True), 0, LATE_MS, None),
        (CLOSED, 0, 1_000_001, ("host_absent", 1500)),
        (CLOSED, 450_000, 1_000_001, ("host_left", 750)),
        (HERE, 0, LATE_MS, None),
        (FAILED, 60_000, 2_000_000 + 599_999, None),
        (FAILED, 60_000, 2_600_000, ("technical", 1400)),
        (FAILED, 300_000, 2_600_000, None),
        (replace(FAILED, waits=True), 60_000, LATE_MS, None),
        (replace(FAILED, end_code="left"), 60_000, LATE_MS, None),
        (replace(FAILED, end_code="media_failed"), 60_000, LATE_MS, ("technical", 1400)),
        (replace(FAILED, ended_ms=None), 60_000, LATE_MS, None),
    ],
)
def test_a_table_of_what_goes_back_by_itself(
    seen: Attendance, used_ms: int, now_ms: int, expected: tuple[str, int] | None
) -> None:
    found = automatic_refund(ORDER, used(used_ms), seen, now_ms, ON)
    assert (None if found is None else (found.reason, found.amount_minor)) == expected


@pytest.mark.parametrize(
    ("policies", "seen", "used_ms"),
    [
        (Policies(host_absent=False), CLOSED, 0),
        (Policies(host_left=False), CLOSED, 300_000),
        (Policies(technical=False), FAILED, 60_000),
    ],
)
def test_each_policy_can_be_switched_off(policies: Policies, seen: Attendance, used_ms: int) -> None:
    assert automatic_refund(ORDER, used(used_ms), seen, LATE_MS, ON) is not None
    assert automatic_refund(ORDER, used(used_ms), seen, LATE_MS, policies) is None


def test_little_is_under_five_minutes_or_under_a_quarter() -> None:
    assert is_little(299_999, 900_000)
    assert is_little(899_999, 3_600_000)
    assert not is_little(900_000, 3_600_000)
    assert not is_little(300_000, None)


@pytest.mark.parametrize(
    ("sale", "wanted", "expected"),
    [
        (Sale(1500, "eur", 900), "all", 1500),
        (Sale(1500, "eur", 900, gone_minor=400), "all", 1100),
        (Sale(1500, "eur", 900), Amount(200), 200),
        (Sale(1500, "eur", 900, gone_minor=1400), Amount(200), 100),
        (Sale(1500, "eur", 900), Seconds(60), 100),
        (Sale(1000, "eur", 900), Seconds(1), 2),  # 1.11, rounded up for the payer
        (Sale(1000, "jpy", 900), Seconds(1), 2),
        (Sale(1000, "kwd", 900), Seconds(1), 10),  # its last digit is always 0
        (Sale(1500, "eur", 900), Seconds(100_000), 1500),
        (Sale(1500, "eur", 900, used_ms=300_000), "unused", 1000),
        (Sale(1500, "eur", 900, gone_minor=600, used_ms=300_000), "unused", 400),
        (Sale(1500, "eur", 900, used_ms=900_000), "unused", 0),
        (Sale(0, "eur", 0), Seconds(60), 0),  # paid for by use, and nothing was used
        (Sale(1500, "eur", None), "unused", 1500),
        (Sale(1500, "eur", None, used_ms=1), "unused", 0),
    ],
)
def test_a_table_of_refunds_that_are_asked_for(sale: Sale, wanted: Wanted, expected: int) -> None:
    assert refund_minor(sale, wanted) == expected


def test_seconds_of_an_unlimited_purchase_have_no_price() -> None:
    with pytest.raises(RefusedError, match="no length"):
        refund_minor(Sale(1500, "eur", None), Seconds(60))


@given(
    st.integers(50, 100_000),
    st.integers(60, 7200),
    st.lists(st.integers(1, 4000), max_size=8),
)
def test_refunds_by_the_second_never_add_up_to_more_than_was_paid(
    amount_minor: int, seconds: int, asked: list[int]
) -> None:
    sale = Sale(amount_minor, "eur", seconds)
    for one in asked:
        sale = replace(sale, gone_minor=sale.gone_minor + refund_minor(sale, Seconds(one)))
        assert sale.gone_minor <= amount_minor
    assert sale.gone_minor >= min(amount_minor, amount_minor * sum(asked) // seconds)
