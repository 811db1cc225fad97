"""The books: a transfer happens once, holds resolve once, and nothing is lost between accounts."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from metering.chart import Sale, Share, dispute_lost, frozen, refund, sold
from metering.errors import MeterError, UnknownCurrencyError
from metering.ledger import Ledger, Transfer, check_invariants, due_to_expire, expiry, post, post_all

# id  | kind   | of | from -> to         | amount | answer
TABLE = """
t1    | single |    | till   -> room     | 100    | created
t1    | single |    | till   -> room     | 100    | exists
t1    | single |    | till   -> room     | 101    | exists_different
h1    | hold   |    | till   -> room     | 500    | created
p1    | post   | h1 | till   -> room     | 300    | created
p1    | post   | h1 | till   -> room     | 300    | exists
p2    | post   | h1 | till   -> room     | 200    | resolved
v1    | void   | h1 | till   -> room     | 0      | resolved
h2    | hold   |    | till   -> room     | 500    | created
v2    | void   | h2 | till   -> room     | 0      | created
p3    | post   | h2 | till   -> room     | 1      | resolved
h3    | hold   |    | till   -> room     | 500    | created
p4    | post   | h3 | till   -> room     | 501    | refused
p5    | post   | h3 | till   -> other    | 500    | refused
p6    | post   | t1 | till   -> room     | 100    | refused
p7    | post   | h9 | till   -> room     | 100    | refused
t2    | single |    | room -> room       | 100    | refused
t3    | single |    | till   -> room     | 0      | refused
t4    | single |    | till   -> room     | -5     | refused
t5    | single | h3 | till   -> room     | 5      | refused
"""


def test_transfers_as_a_table():
    ledger = Ledger()
    for row in filter(str.strip, TABLE.splitlines()):
        name, kind, of, way, amount, answer = (cell.strip() for cell in row.split("|"))
        credit, debit = (word.strip() for word in way.split("->"))
        transfer = Transfer(name, debit, credit, int(amount), "eur", "test", kind, of or None)
        try:
            given_answer = post(ledger, transfer)
        except MeterError:
            given_answer = "refused"
        assert given_answer == answer, row
    assert ledger.balance_minor("room", "eur") == 400
    assert ledger.balance_minor("till", "eur") == -400
    assert ledger.balance("till", "eur").credits_held_minor == 500
    assert ledger.held_minor("room", "eur") == 500
    assert check_invariants(ledger) == []


SALE = Sale("ord_1", "ana", 1500, "eur", fee_minor=150)


def test_spending_more_than_there_is_is_refused_with_a_word():
    ledger = Ledger()
    assert post(ledger, Transfer("in", "stripe_clearing", "wallet:ana", 100, "eur", "t")) == "created"
    assert post(ledger, Transfer("h", "wallet:ana", "hold:p", 80, "eur", "t", "hold", None, 60)) == "created"
    assert post(ledger, Transfer("x", "wallet:ana", "hold:p", 21, "eur", "t")) == "exceeds"
    assert post(ledger, Transfer("y", "wallet:ana", "hold:p", 20, "eur", "t")) == "created"
    assert due_to_expire(ledger, 59) == ()
    (hold,) = due_to_expire(ledger, 60)
    assert post(ledger, expiry(hold)) == "created"
    assert due_to_expire(ledger, 60) == ()
    assert ledger.balance("wallet:ana", "eur").available_minor == 80
    assert check_invariants(ledger) == []


def test_linked_transfers_are_booked_together_or_not_at_all():
    ledger = Ledger()
    good = Transfer("in", "stripe_clearing", "wallet:ana", 100, "eur", "t")
    bad = Transfer("out", "wallet:ana", "stripe_clearing", 101, "eur", "t")
    assert post_all(ledger, (good, bad)) == "exceeds"
    assert ledger == Ledger()
    assert post_all(ledger, (good,)) == "created"
    assert post_all(ledger, (good, bad)) == "exists_different"


def test_a_payee_keeps_what_was_neither_refunded_nor_lost():
    ledger = Ledger()
    assert post_all(ledger, sold(SALE)) == "created"
    back = refund(SALE, 0, 500, Share("pending", 1350))
    assert post_all(ledger, back) == "created"
    assert post_all(ledger, back) == "exists"
    assert ledger.balance("earned_pending:ana", "eur").available_minor == 900
    assert post_all(ledger, frozen("ord_1:1", "ana", "pending", 400, "eur")) == "created"
    assert post_all(ledger, dispute_lost("dp_1", SALE, 500, 1000, Share("pending", 500, 400))) == "created"
    assert all(balance.minor == 0 for balance in ledger.accounts.values())
    assert check_invariants(ledger) == []


def test_what_the_payee_no_longer_has_is_their_debt():
    ledger = Ledger()
    post_all(ledger, sold(SALE))
    assert post_all(ledger, refund(SALE, 0, 1500, Share("pending", 1000))) == "created"
    assert ledger.balance_minor("host_debt:ana", "eur") == 350


@given(st.integers(0, 60), st.integers(0, 60), st.integers(0, 60), st.lists(st.integers(1, 60), max_size=20))
def test_any_partial_refunds_give_back_each_part_exactly(net, fee, tax, amounts):
    sale = Sale("s", "ana", net + fee + tax, "eur", fee, tax)
    ledger, gone, given_back = Ledger(), 0, 0
    post_all(ledger, sold(sale))
    for wanted in [*amounts, sale.amount_minor]:
        amount = min(wanted, sale.amount_minor - gone)
        left = ledger.balance("earned_pending:ana", "eur").available_minor
        back = refund(sale, gone, amount, Share("pending", left))
        given_back += sum(transfer.amount_minor for transfer in back)
        assert post_all(ledger, back) in ("created", "exists")
        gone += amount
        assert given_back == gone
        assert ledger.balance_minor("host_debt:ana", "eur") == 0
        assert ledger.balance_minor("platform_fee", "eur") <= 0
    assert all(balance.minor == 0 for balance in ledger.accounts.values())


def test_stored_books_with_a_fault_are_found():
    ledger = Ledger()
    (good,) = sold(Sale("ord_1", "ana", 500, "eur"))
    post(ledger, good)
    ledger.transfers["other"] = replace(good, id="x", amount_minor=-3)
    ledger.transfers["y"] = replace(good, id="y", currency="xyz")
    wrong = check_invariants(ledger)
    assert "other holds the transfer x" in wrong
    assert "transfer x: the amount -3" in wrong
    assert "transfer y: no such currency: 'xyz'" in wrong


def test_an_unknown_currency_is_not_booked():
    with pytest.raises(UnknownCurrencyError):
        post(Ledger(), Transfer("t", "a", "b", 500, "xyz", "test"))


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
        assert post(ledger, transfer) != "created"
    assert sum(balance.minor for balance in ledger.accounts.values()) == 0
    assert check_invariants(ledger) == []
    for hold_id, by in ledger.resolved.items():
        assert ledger.transfers[by].amount_minor <= ledger.transfers[hold_id].amount_minor
