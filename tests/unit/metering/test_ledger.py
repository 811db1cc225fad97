"""The books: a transfer happens once, holds resolve once, and nothing is lost between accounts."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from metering.errors import MeterError, UnknownCurrencyError
from metering.ledger import (
    STRIPE_CLEARING,
    Ledger,
    Transfer,
    balances,
    check_invariants,
    dispute_lost,
    payment_captured,
    post,
    refund,
    room_earnings,
)

# id  | kind   | of | from -> to         | amount | answer
TABLE = """
t1    | single |    | wallet -> room     | 100    | created
t1    | single |    | wallet -> room     | 100    | exists
t1    | single |    | wallet -> room     | 101    | exists_different
h1    | hold   |    | wallet -> room     | 500    | created
p1    | post   | h1 | wallet -> room     | 300    | created
p1    | post   | h1 | wallet -> room     | 300    | exists
p2    | post   | h1 | wallet -> room     | 200    | refused
v1    | void   | h1 | wallet -> room     | 0      | refused
h2    | hold   |    | wallet -> room     | 500    | created
v2    | void   | h2 | wallet -> room     | 0      | created
p3    | post   | h2 | wallet -> room     | 1      | refused
h3    | hold   |    | wallet -> room     | 500    | created
p4    | post   | h3 | wallet -> room     | 501    | refused
p5    | post   | h3 | wallet -> other    | 500    | refused
p6    | post   | t1 | wallet -> room     | 100    | refused
p7    | post   | h9 | wallet -> room     | 100    | refused
t2    | single |    | room -> room       | 100    | refused
t3    | single |    | wallet -> room     | 0      | refused
t4    | single |    | wallet -> room     | -5     | refused
t5    | single | h3 | wallet -> room     | 5      | refused
"""


def test_transfers_as_a_table():
    ledger = Ledger()
    for row in filter(str.strip, TABLE.splitlines()):
        name, kind, of, way, amount, answer = (cell.strip() for cell in row.split("|"))
        credit, debit = way.split(" -> ")
        transfer = Transfer(name, debit, credit, int(amount), "eur", "test", kind, of or None)
        try:
            given_answer = post(ledger, transfer)
        except MeterError:
            given_answer = "refused"
        assert given_answer == answer, row
    assert ledger.balance_minor("room", "eur") == 400
    assert ledger.balance_minor("wallet", "eur") == -400
    assert ledger.held_minor("wallet", "eur") == 500
    assert check_invariants(ledger) == []


def test_a_room_keeps_what_was_neither_refunded_nor_lost():
    ledger = Ledger()
    for transfer in (
        payment_captured("ord_1", "room_1", 1500, "eur"),
        refund("ord_1", "room_1", 0, 500, "eur"),
        refund("ord_1", "room_1", 0, 500, "eur"),
        refund("ord_1", "room_1", 500, 200, "eur"),
        payment_captured("ord_2", "room_1", 700, "eur"),
        dispute_lost("ord_2", "room_1", 700, "eur"),
    ):
        post(ledger, transfer)
    assert ledger.balance_minor(room_earnings("room_1"), "eur") == -800
    assert ledger.balance_minor(STRIPE_CLEARING, "eur") == 800
    assert check_invariants(ledger) == []


def test_an_order_that_gives_back_more_than_it_brought_is_found():
    ledger = Ledger()
    post(ledger, payment_captured("ord_1", "room_1", 500, "eur"))
    post(ledger, refund("ord_1", "room_1", 0, 500, "eur"))
    post(ledger, dispute_lost("ord_1", "room_1", 500, "eur"))
    assert check_invariants(ledger) == ["order ord_1 gave back 500 more than it brought"]


def test_stored_books_with_a_fault_are_found():
    ledger = Ledger()
    good = payment_captured("ord_1", "room_1", 500, "eur")
    post(ledger, good)
    ledger.transfers["other"] = replace(good, id="x", amount_minor=-3)
    ledger.transfers["y"] = replace(good, id="y", currency="xyz")
    wrong = check_invariants(ledger)
    assert "other holds the transfer x" in wrong
    assert "transfer x: the amount -3" in wrong
    assert "transfer y: no such currency: 'xyz'" in wrong


def test_an_unknown_currency_is_not_booked():
    with pytest.raises(UnknownCurrencyError):
        post(Ledger(), payment_captured("ord_1", "room_1", 500, "xyz"))


ACCOUNTS = st.sampled_from(["a", "b", "c"])
TRANSFERS = st.builds(
    Transfer,
    id=st.sampled_from([f"t{number}" for number in range(12)]),
    debit=ACCOUNTS,
    credit=ACCOUNTS,
    amount_minor=st.integers(-1, 50),
    currency=st.sampled_from(["eur", "jpy"]),
    code=st.just("test"),
    kind=st.sampled_from(["single", "hold", "post", "void"]),
    pending_id=st.none() | st.sampled_from([f"t{number}" for number in range(12)]),
)


@given(st.lists(TRANSFERS, max_size=30))
def test_entries_sum_to_zero_whatever_is_tried(transfers):
    ledger = Ledger()
    for transfer in transfers:
        try:
            post(ledger, transfer)
        except MeterError:
            continue
        assert post(ledger, transfer) in ("exists", "exists_different")
    assert sum(balances(ledger.transfers.values()).values()) == 0
    assert check_invariants(ledger) == []
    for hold_id, by in ledger.resolved.items():
        assert ledger.transfers[by].amount_minor <= ledger.transfers[hold_id].amount_minor
