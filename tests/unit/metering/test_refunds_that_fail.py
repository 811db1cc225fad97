"""Refunds as they are seen, some of which come back: what is booked is what the service holds in the end."""

from dataclasses import replace
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from metering.orders import EndAccess, Nothing, OrderSnapshot, OrderState, PaymentFact, after, decide
from metering.refunds import RecordRefund, RefundFailed, SeenRefund, booked_after, to_book

GONE, FAILED = SeenRefund("re_1", 500), SeenRefund("re_1", 500, failed=True)


# booked | refunds in the fact | booked back before -> steps
@pytest.mark.parametrize(
    ("booked", "refunds", "booked_back", "steps"),
    [
        (0, (GONE,), (), (RecordRefund(500),)),
        (500, (GONE,), (), ()),
        (500, (FAILED,), (), (RefundFailed("re_1", 500),)),
        (0, (FAILED,), (), (RecordRefund(500), RefundFailed("re_1", 500))),
        (0, (FAILED,), ("re_1",), ()),
        (0, (GONE,), ("re_1",), ()),  # a fact of before it failed
        (500, (FAILED, SeenRefund("re_2", 500)), (), (RefundFailed("re_1", 500), RecordRefund(500))),
        (500, (FAILED, SeenRefund("re_2", 500)), ("re_1",), ()),
    ],
)
def test_steps(booked, refunds, booked_back, steps):
    assert to_book(booked, 1500, 0, refunds, frozenset(booked_back)) == steps


def test_without_a_list_the_charge_counts():
    assert to_book(300, 1500, 800) == (RecordRefund(500),)
    assert to_book(800, 1500, 300) == ()
    assert to_book(0, 1500, 9999) == (RecordRefund(1500),)


@given(st.integers(0, 10**9))
def test_in_whatever_order_facts_come(seed):
    rng, paid = Random(seed), 100
    refunds: list[SeenRefund] = []
    facts: list[tuple[SeenRefund, ...]] = [()]
    for number in range(rng.randrange(1, 8)):
        alive = [one for one in refunds if not one.failed]
        left = paid - sum(one.amount_minor for one in alive)
        if left and rng.random() < 0.6:
            refunds.append(SeenRefund(f"re_{number}", rng.randrange(1, left + 1)))
        elif alive:
            one = rng.choice(alive)
            refunds[refunds.index(one)] = replace(one, failed=True)
        facts.append(tuple(refunds))
    booked, booked_back = 0, frozenset[str]()
    heard = [rng.choice(facts) for _ in range(6)] + [facts[-1]] * 2
    for fact in heard:
        steps = to_book(booked, paid, 0, fact, booked_back)
        for step in steps:
            booked = booked_after(booked, (step,))
            assert 0 <= booked <= paid
        booked_back |= {step.refund_id for step in steps if isinstance(step, RefundFailed)}
    assert steps == ()
    assert booked == sum(one.amount_minor for one in refunds if not one.failed)


ORDER = OrderSnapshot(
    "ord_1",
    OrderState.REFUNDED,
    500,
    "eur",
    "test",
    "acct_1",
    900,
    checkout_session_id="cs_1",
    refunded_minor=500,
    granted=True,
)
FACT = PaymentFact("ord_1", "cs_1", 500, "eur", "test", "acct_1", "complete", "paid", refunds=(FAILED,))


def test_access_that_a_failed_refund_ended_stays_ended():
    decided = decide(ORDER, FACT)
    assert decided == (RefundFailed("re_1", 500),)
    now = after(ORDER, decided)
    assert (now.state, now.refunded_minor) == (OrderState.PAID, 0)
    assert decide(now, FACT) == (Nothing(),)
    again = replace(FACT, refunds=(FAILED, SeenRefund("re_2", 500)))
    assert decide(now, again) == (RecordRefund(500), EndAccess("refunded"))
