"""When earnings are due and what is sent: tables, then any sequence of sales, refunds, disputes and transfers."""

from dataclasses import dataclass, field, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from metering.errors import MeterError, RefusedError
from metering.payouts import (
    DAY_S,
    Earning,
    Part,
    Sent,
    available_at_s,
    is_due,
    payable_minor,
    settle_debt,
    take,
    to_reverse,
    withhold,
)

SOLD = Earning("ord_1", 1000, available_at_s=15 * DAY_S)
DUE = replace(SOLD, state="available")


def test_an_earning_is_due_after_fifteen_days_unless_told_otherwise() -> None:
    assert available_at_s(100) == 100 + 15 * DAY_S
    assert available_at_s(100, 0) == 100
    assert available_at_s(100, 90) == 100 + 90 * DAY_S


@pytest.mark.parametrize("days", [-1, 91])
def test_no_other_holding_time_is_taken(days: int) -> None:
    with pytest.raises(RefusedError):
        available_at_s(100, days)


@pytest.mark.parametrize(
    ("earning", "now_s", "expected"),
    [
        (SOLD, 15 * DAY_S - 1, False),
        (SOLD, 15 * DAY_S, True),
        (DUE, 16 * DAY_S, False),
        (replace(SOLD, disputed_minor=1000), 15 * DAY_S, True),  # what is frozen stays so
    ],
)
def test_only_a_pending_earning_becomes_due(earning: Earning, now_s: int, expected: bool) -> None:
    assert is_due(earning, now_s) is expected


@pytest.mark.parametrize(
    ("earning", "payable"),
    [
        (SOLD, 0),
        (DUE, 1000),
        (replace(DUE, reversed_minor=300), 700),
        (replace(DUE, paid_minor=1000), 0),
        (replace(DUE, reversed_minor=300, paid_minor=700), 0),
        (replace(DUE, reversed_minor=300, paid_minor=1000), 0),
        (replace(DUE, withheld_minor=400), 600),
        (replace(DUE, disputed_minor=1000), 0),
        (replace(DUE, disputed_minor=300), 700),
        (replace(DUE, disputed_minor=300, paid_minor=800), 0),
        (replace(DUE, disputed_minor=300, paid_minor=600), 100),
        (replace(DUE, disputed_minor=300, reversed_minor=100, withheld_minor=100), 500),
    ],
)
def test_what_may_be_sent_is_net_less_what_went_back_was_sent_and_is_withheld(
    earning: Earning, payable: int
) -> None:
    assert payable_minor(earning) == payable


def test_a_refund_after_the_transfer_asks_back_what_was_sent_the_newest_first() -> None:
    earning = replace(DUE, reversed_minor=900, paid_minor=1000)
    sent = [Sent("po_1", 400), Sent("po_2", 600, reversed_minor=100)]
    assert take(replace(DUE, paid_minor=1000), 900) == (0, 900)
    assert to_reverse(earning, sent) == (Part("po_2", 500), Part("po_1", 400))
    assert to_reverse(earning, sent, asked_minor=600) == (Part("po_2", 300),)
    assert to_reverse(earning, [Sent("po_1", 100)]) == (Part("po_1", 100),)  # the rest stays a debt


def test_a_refund_takes_first_what_is_not_sent_yet() -> None:
    assert take(replace(DUE, paid_minor=300), 900) == (700, 200)


def test_debts_are_withheld_from_the_next_earning_in_order_and_as_far_as_it_goes() -> None:
    old = replace(DUE, earning_id="ord_a", reversed_minor=700, paid_minor=1000)
    older = replace(DUE, earning_id="ord_b", reversed_minor=600, paid_minor=1000)
    assert withhold(DUE, [old, older]) == (Part("ord_a", 700), Part("ord_b", 300))
    assert withhold(SOLD, [old]) == ()
    paying, settled = settle_debt(DUE, old, 700)
    assert (paying.owed_minor, settled.debt_minor, settled.owed_minor) == (300, 0, 0)
    with pytest.raises(MeterError):
        settle_debt(DUE, old, 701)


# --- any sequence -----------------------------------------------------------------------------------------


@dataclass
class Books:
    """One payee. Money really sent is counted apart from what the earnings say."""

    earnings: list[Earning] = field(default_factory=list)
    sent: dict[str, list[Sent]] = field(default_factory=dict)
    in_hand_minor: int = 0

    def sell(self, net_minor: int) -> None:
        self.earnings.append(Earning(f"ord_{len(self.earnings)}", net_minor, available_at_s=0))

    def set(self, changed: Earning) -> None:
        self.earnings = [changed if one.earning_id == changed.earning_id else one for one in self.earnings]

    def due(self, one: Earning) -> None:
        if is_due(one, 0):
            self.set(replace(one, state="available"))

    def dispute(self, one: Earning, part_minor: int) -> None:
        left_minor = one.net_minor - one.reversed_minor
        self.set(replace(one, disputed_minor=0 if one.disputed_minor else min(part_minor, left_minor)))

    def refund(self, one: Earning, part_minor: int) -> None:
        amount_minor = min(part_minor, one.net_minor - one.reversed_minor)
        own_minor, debt_minor = take(one, amount_minor)
        left_minor = one.net_minor - one.reversed_minor - amount_minor
        disputed_minor = min(one.disputed_minor, left_minor)
        changed = replace(
            one, reversed_minor=one.reversed_minor + amount_minor, disputed_minor=disputed_minor
        )
        assert changed.owed_minor == one.owed_minor - own_minor
        assert changed.debt_minor == one.debt_minor + debt_minor
        self.set(changed)

    def unrefund(self, one: Earning, part_minor: int) -> None:
        self.set(replace(one, reversed_minor=one.reversed_minor - min(part_minor, one.reversed_minor)))

    def pay(self, one: Earning) -> None:
        for part in withhold(one, [other for other in self.earnings if other.earning_id != one.earning_id]):
            debtor = next(other for other in self.earnings if other.earning_id == part.of)
            one, debtor = settle_debt(one, debtor, part.amount_minor)
            self.set(debtor)
        amount_minor = payable_minor(one)
        if amount_minor > 0:
            assert one.frozen_minor <= one.owed_minor - amount_minor
            assert one.paid_minor + amount_minor <= one.net_minor - one.reversed_minor - one.withheld_minor
            sent = self.sent.setdefault(one.earning_id, [])
            sent.append(Sent(f"po_{one.earning_id}_{len(sent)}", amount_minor))
            self.in_hand_minor += amount_minor
            one = replace(one, paid_minor=one.paid_minor + amount_minor)
        self.set(one)

    def reverse(self, one: Earning) -> None:
        sent = self.sent.get(one.earning_id, [])
        for part in to_reverse(one, sent):
            one = replace(one, paid_minor=one.paid_minor - part.amount_minor)
            self.in_hand_minor -= part.amount_minor
            sent[:] = [
                replace(each, reversed_minor=each.reversed_minor + part.amount_minor)
                if each.payout_id == part.of
                else each
                for each in sent
            ]
        self.set(one)

    def check(self) -> None:
        for one in self.earnings:
            assert one.net_minor - one.reversed_minor == (
                one.paid_minor + one.withheld_minor + one.owed_minor - one.debt_minor
            )
            assert one.paid_minor == sum(each.left_minor for each in self.sent.get(one.earning_id, []))
            assert all(each.left_minor >= 0 for each in self.sent.get(one.earning_id, []))
        assert sum(one.withheld_minor for one in self.earnings) == 0
        earned_minor = sum(one.net_minor - one.reversed_minor for one in self.earnings)
        owed_minor = sum(one.owed_minor for one in self.earnings)
        debt_minor = sum(one.debt_minor for one in self.earnings)
        assert earned_minor == self.in_hand_minor + owed_minor - debt_minor


STEPS = st.lists(
    st.tuples(
        st.sampled_from(["sell", "due", "dispute", "refund", "unrefund", "pay", "reverse"]),
        st.integers(0, 5),
        st.integers(1, 1500),
    ),
    max_size=60,
)


@given(STEPS)
def test_nothing_is_paid_twice_or_beyond_net_and_everything_adds_up(
    steps: list[tuple[str, int, int]],
) -> None:
    books = Books()
    books.sell(1000)
    for what, which, amount_minor in steps:
        one = books.earnings[which % len(books.earnings)]
        if what == "sell":
            books.sell(amount_minor)
        elif what in {"refund", "unrefund", "dispute"}:
            getattr(books, what)(one, amount_minor)
        else:
            getattr(books, what)(one)
        books.check()


@given(STEPS)
def test_once_all_is_due_debts_are_collected_as_far_as_there_are_earnings(
    steps: list[tuple[str, int, int]],
) -> None:
    books = Books()
    books.sell(1000)
    for what, which, amount_minor in steps:
        one = books.earnings[which % len(books.earnings)]
        if what == "sell":
            books.sell(amount_minor)
        elif what in {"due", "pay"}:
            getattr(books, what)(one)
        elif what == "refund":
            books.refund(one, amount_minor)
    for one in books.earnings:
        books.due(one)
    for index in range(len(books.earnings)):
        books.pay(books.earnings[index])
    books.check()
    assert sum(one.owed_minor for one in books.earnings) == 0
    earned_minor = sum(one.net_minor - one.reversed_minor for one in books.earnings)
    debt_minor = sum(one.debt_minor for one in books.earnings)
    assert debt_minor == max(0, books.in_hand_minor - earned_minor)
