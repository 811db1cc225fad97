"""What a payment fact implies: a table, then the same in every order of arrival."""

from dataclasses import replace
from itertools import pairwise, permutations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from metering.orders import (
    Decision,
    EndAccess,
    ExtendPass,
    GrantPass,
    MarkExpired,
    MarkFailed,
    MarkOpen,
    Nothing,
    OrderSnapshot,
    OrderState,
    PaymentFact,
    Quarantine,
    RecordDispute,
    RecordRefund,
    RestoreAccess,
    after,
    decide,
)

ORDER = OrderSnapshot(
    "ord_1", OrderState.OPEN, 1500, "eur", "test", "acct_1", 900, checkout_session_id="cs_1"
)
FACT = PaymentFact("ord_1", "cs_1", 1500, "eur", "test", "acct_1", "open", "unpaid")

FACTS = {
    "open": FACT,
    "declined, session open": replace(FACT, intent_status="requires_payment_method"),
    "expired": replace(FACT, session_status="expired"),
    "processing": replace(FACT, session_status="complete", intent_status="processing"),
    "failed": replace(FACT, session_status="complete", intent_status="requires_payment_method"),
    "canceled intent": replace(FACT, intent_status="canceled"),
    "held": replace(FACT, session_status="complete", intent_status="requires_capture"),
}
PAID = replace(FACT, session_status="complete", payment_status="paid", intent_status="succeeded")
FACTS |= {
    "paid": PAID,
    "refunded 500": replace(PAID, refunded_minor=500),
    "refunded all": replace(PAID, refunded_minor=1500),
    "disputed": replace(PAID, dispute="open"),
    "dispute won": replace(PAID, dispute="won"),
    "dispute lost": replace(PAID, dispute="lost"),
    "dispute lost after refund 500": replace(PAID, refunded_minor=500, dispute="lost"),
}

# facts in order of arrival                      -> what is decided at the last one     -> the order then
TABLE = """
open                                             | nothing                              | open
declined, session open                           | nothing                              | open
expired                                          | expired                              | expired
expired; expired                                 | nothing                              | expired
processing                                       | nothing                              | open
failed                                           | failed                               | failed
canceled intent                                  | failed                               | failed
held                                             | grant                                | paid
paid                                             | grant                                | paid
paid; paid                                       | nothing                              | paid
paid; open                                       | nothing                              | paid
paid; expired                                    | nothing                              | paid
expired; paid                                    | grant                                | paid
failed; paid                                     | grant                                | paid
paid; refunded 500                               | refund 500                           | partly_refunded
paid; refunded 500; refunded 500                 | nothing                              | partly_refunded
paid; refunded 500; paid                         | nothing                              | partly_refunded
paid; refunded 500; refunded all                 | refund 1000, end refunded            | refunded
paid; refunded all; refunded 500                 | nothing                              | refunded
refunded all                                     | grant, refund 1500, end refunded     | refunded
paid; disputed                                   | dispute open, end disputed           | disputed
paid; disputed; disputed                         | nothing                              | disputed
paid; disputed; paid                             | nothing                              | disputed
paid; disputed; dispute won                      | dispute won, restore                 | paid
paid; disputed; dispute won; disputed            | nothing                              | paid
paid; dispute won                                | dispute won                          | paid
paid; disputed; dispute lost                     | dispute lost 1500                    | disputed
paid; dispute lost                               | dispute lost 1500, end disputed      | disputed
paid; refunded 500; dispute lost after refund 500 | dispute lost 1000, end disputed     | disputed
disputed                                         | grant, dispute open, end disputed    | disputed
"""


WORDS: dict[type, str] = {
    GrantPass: "grant",
    ExtendPass: "extend",
    MarkExpired: "expired",
    MarkFailed: "failed",
    RestoreAccess: "restore",
    Nothing: "nothing",
}


def words(decision: Decision) -> str:
    match decision:
        case RecordRefund(delta):
            return f"refund {delta}"
        case RecordDispute(state, lost):
            return f"dispute {state} {lost or ''}".strip()
        case EndAccess(reason):
            return f"end {reason}"
    return WORDS.get(type(decision), repr(decision))


@pytest.mark.parametrize("row", [row for row in TABLE.splitlines() if row.strip()])
def test_facts_as_they_arrive(row):
    arrive, decided, state = (cell.strip() for cell in row.split("|"))
    order, last = ORDER, ()
    for name in arrive.split("; "):
        last = decide(order, FACTS[name])
        order = after(order, last)
    assert (", ".join(words(decision) for decision in last), order.state) == (decided, state)


MISFITS = {
    "reference": {"reference": "ord_2"},
    "checkout_session": {"checkout_session_id": "cs_2"},
    "amount": {"amount_minor": 1499},
    "currency": {"currency": "usd"},
    "mode": {"mode": "live"},
    "account": {"account": "acct_2"},
}


@pytest.mark.parametrize("reason", MISFITS)
def test_a_payment_that_does_not_fit_grants_nothing(reason):
    fact = replace(PAID, **MISFITS[reason])
    assert decide(ORDER, fact) == (Quarantine(reason),)
    held = after(ORDER, decide(ORDER, fact))
    assert held.state is OrderState.QUARANTINED
    assert not held.granted
    assert decide(held, fact) == (Nothing(),)
    assert decide(held, PAID) == (Nothing(),), "held until the operator has looked"


def test_a_misfit_after_the_grant_is_noted_and_takes_nothing_away():
    paid = after(ORDER, decide(ORDER, PAID))
    noted = after(paid, decide(paid, replace(PAID, amount_minor=1)))
    assert (noted.state, noted.quarantine_reason) == (OrderState.PAID, "amount")
    assert decide(noted, replace(PAID, refunded_minor=1500))[-1] == EndAccess("refunded")


def test_nothing_due_is_paid_only_for_an_order_of_nothing():
    free = replace(PAID, payment_status="no_payment_required", amount_minor=0)
    assert decide(ORDER, free) == (Quarantine("amount"),)
    assert decide(replace(ORDER, amount_minor=0), free) == (GrantPass(900),)
    assert decide(ORDER, replace(free, amount_minor=1500)) == (Nothing(),)


def test_an_extension_extends_and_an_unknown_session_is_learnt():
    assert decide(replace(ORDER, extends_pass_id="pass_1"), PAID) == (ExtendPass("pass_1", 900),)
    unknown = replace(ORDER, state=OrderState.NEW, checkout_session_id=None)
    assert decide(unknown, FACT) == (MarkOpen("cs_1"),)
    assert after(unknown, (MarkOpen("cs_1"),)).checkout_session_id == "cs_1"


def walk(names: tuple[str, ...]) -> tuple[OrderSnapshot, list[Decision]]:
    order, made = ORDER, []
    for name in names:
        decided = decide(order, FACTS[name])
        made += decided
        order = after(order, decided)
        assert decide(order, FACTS[name]) == (Nothing(),), "the same fact again decides nothing"
    return order, made


@given(st.lists(st.sampled_from([*FACTS]), max_size=6))
def test_any_order_of_arrival_grants_once_and_never_goes_back(names):
    order, made = walk(tuple(names))
    grants = [decision for decision in made if isinstance(decision, GrantPass)]
    assert len(grants) == int(order.granted) <= 1
    assert sum(decision.amount_minor_delta for decision in made if isinstance(decision, RecordRefund)) == (
        order.refunded_minor
    )
    if any(FACTS[name].payment_status == "paid" for name in names):
        assert order.granted
    access = [decision for decision in made if isinstance(decision, (EndAccess, RestoreAccess))]
    assert all(type(one) is not type(next_) for one, next_ in pairwise(access))


@pytest.mark.parametrize(
    "names", [("open", "paid", "refunded 500", "refunded all"), ("expired", "paid", "disputed")]
)
def test_the_outcome_does_not_depend_on_the_order(names):
    outcomes = {(walk(order)[0].state, walk(order)[0].refunded_minor) for order in permutations(names)}
    assert len(outcomes) == 1
