"""What a payment fact implies: a table, then the same in every order of arrival."""

from dataclasses import replace
from itertools import pairwise, permutations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from metering.disputes import SeenDispute
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
from metering.refunds import SeenRefund

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
ASKED = SeenDispute("dp_1", "open", 1500)
LOST = SeenDispute("dp_1", "lost", 1500, 1500)
PART = SeenDispute("dp_2", "open", 600)
PART_LOST = SeenDispute("dp_2", "lost", 600, 600)
OTHER = SeenDispute("dp_3", "open", 1100)
OTHER_LOST = SeenDispute("dp_3", "lost", 1100, 1100)
FACTS |= {
    "paid": PAID,
    "refunded 500": replace(PAID, refunded_minor=500),
    "refunded all": replace(PAID, refunded_minor=1500),
    "disputed": replace(PAID, disputes=(ASKED,)),
    "dispute won": replace(PAID, disputes=(replace(ASKED, state="won"),)),
    "dispute lost": replace(PAID, disputes=(LOST,)),
    "dispute lost after refund 500": replace(PAID, refunded_minor=500, disputes=(LOST,)),
    "part": replace(PAID, disputes=(PART,)),
    "part lost": replace(PAID, disputes=(PART_LOST,)),
    "part lost, other": replace(PAID, disputes=(OTHER, PART_LOST)),
    "part lost, other won": replace(PAID, disputes=(replace(OTHER, state="won"), PART_LOST)),
    "part, other won": replace(PAID, disputes=(replace(OTHER, state="won"), PART)),
    "both lost": replace(PAID, disputes=(OTHER_LOST, PART_LOST)),
    "part lost, refunded 500": replace(PAID, refunded_minor=500, disputes=(PART_LOST,)),
    "won in part": replace(PAID, refunded_minor=500, disputes=(replace(LOST, lost_minor=1000),)),
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
paid; part                                       | dispute open, end disputed           | disputed
paid; part; part lost                            | dispute lost 600                     | disputed
paid; part lost; part                            | nothing                              | disputed
paid; part lost                                  | dispute lost 600, end disputed       | disputed
paid; part lost; part lost, refunded 500         | refund 500                           | disputed
paid; refunded 500; part lost, refunded 500      | dispute lost 600, end disputed       | disputed
paid; part lost; part lost, other                | dispute lost                         | disputed
paid; part lost; part lost, other won            | dispute lost                         | disputed
paid; part; part, other won                      | dispute open                         | disputed
paid; part lost; both lost                       | dispute lost 900                     | disputed
paid; both lost                                  | dispute lost 1500, end disputed      | disputed
paid; both lost; part lost                       | nothing                              | disputed
paid; dispute won; part                          | dispute open, end disputed           | disputed
paid; refunded 500; won in part                  | dispute lost 1000, end disputed      | disputed
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
    lost = sum(decision.lost_minor for decision in made if isinstance(decision, RecordDispute))
    assert lost == order.lost_minor == sum(one.lost_minor for one in order.disputes)
    assert order.refunded_minor + order.lost_minor <= order.amount_minor


@pytest.mark.parametrize(
    "names",
    [
        ("open", "paid", "refunded 500", "refunded all"),
        ("expired", "paid", "disputed"),
        ("paid", "part", "part lost", "part lost, other", "both lost"),
        ("paid", "part", "part lost", "part lost, refunded 500"),
    ],
)
def test_the_outcome_does_not_depend_on_the_order(names):
    ends = [walk(order)[0] for order in permutations(names)]
    assert len({(one.state, one.refunded_minor, one.lost_minor, one.dispute) for one in ends}) == 1


def test_what_a_sent_back_refund_leaves_is_taken_by_the_dispute_of_the_whole():
    """The bank took all of it, which reads as too much while the refund stands."""
    names = ("paid", "refunded 500", "dispute lost after refund 500")
    order, _ = walk(names)
    assert order.lost_minor == 1000
    failed = replace(FACTS["dispute lost"], refunds=(SeenRefund("re_1", 500, failed=True),))
    order = after(order, decide(order, failed))
    assert (order.refunded_minor, order.lost_minor) == (0, 1500)
    assert decide(order, failed) == (Nothing(),)


def test_a_refund_that_failed_unseen_is_let_be_where_a_dispute_has_taken_its_place():
    order, _ = walk(("paid", "part lost"))
    unseen = SeenRefund("re_1", 1000, failed=True)
    fact = replace(FACTS["part lost"], refunds=(unseen, SeenRefund("re_2", 100)), refunded_minor=100)
    order = after(order, decide(order, fact))
    assert (order.refunded_minor, order.lost_minor) == (100, 600)
    assert decide(order, fact) == (Nothing(),)
