"""A top-up that goes back out of what was held for it: whatever the holds, the books add up and nobody pays twice."""

from hypothesis import given
from hypothesis import strategies as st

from metering import accounts, chart
from metering.ledger import Ledger, check_invariants, post_all

WALLET = accounts.wallet("ana")
MINOR = st.integers(0, 60)


@given(
    holds=st.lists(st.tuples(MINOR, MINOR), max_size=3),
    money_minor=MINOR,
    bonus_minor=MINOR,
    fee_minor=MINOR,
)
def test_holds_are_used_first_and_what_is_over_is_free_again(
    holds: list[tuple[int, int]], money_minor: int, bonus_minor: int, fee_minor: int
) -> None:
    books, held = Ledger(), []
    assert post_all(books, chart.topped_up("ord_1", "ana", 200, 100, "eur")) == "created"
    for number, (money, bonus) in enumerate(holds):
        one = chart.topup_refund_held(f"rfd_{number}", "ana", money, bonus, "eur")
        if one and post_all(books, one) == "created":
            held += one
    before = books.balance(WALLET, "eur")
    gone = chart.Gone("ord_1:0", "refund", money_minor, bonus_minor, fee_minor)
    moved = chart.topup_gone(gone, "ana", before.available_minor, "eur", held)
    assert not moved or post_all(books, moved) == "created"
    assert not moved or post_all(books, moved) == "exists"

    after = books.balance(WALLET, "eur")
    owed_minor = books.balance_minor(accounts.receivable("ana"), "eur")
    left_minor = 300 - money_minor - bonus_minor
    assert after.debits_held_minor == 0
    assert after.available_minor == max(0, left_minor)
    assert owed_minor == max(0, money_minor - 300)
    booked = [one for one in moved if one.code == "refund"]
    assert sum(one.amount_minor for one in booked) == money_minor + fee_minor
    assert check_invariants(books) == []


@given(money_minor=MINOR, bonus_minor=MINOR)
def test_what_is_released_is_as_if_it_had_never_been_held(money_minor: int, bonus_minor: int) -> None:
    books = Ledger()
    post_all(books, chart.topped_up("ord_1", "ana", 100, 50, "eur"))
    held = chart.topup_refund_held("rfd_1", "ana", money_minor, bonus_minor, "eur")
    if held:
        assert post_all(books, held) == "created"
        assert books.held_minor(WALLET, "eur") == money_minor + bonus_minor
        assert post_all(books, chart.topup_released(held)) == "created"
    assert books.balance(WALLET, "eur").available_minor == 150
    assert check_invariants(books) == []
