"""Disputes of one payment: facts in any order, again, and long after the outcome."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from metering.disputes import KnownDispute, SeenDispute, lost_by, moved, to_give_back, to_move

PAID = 1000
OPEN = SeenDispute("dp_1", "open", PAID)
WON = SeenDispute("dp_1", "won", PAID, returned_minor=PAID)
LOST = SeenDispute("dp_1", "lost", PAID, PAID)
PART = SeenDispute("dp_1", "lost", PAID, 600, 400)  # 4 euros of it were given back
ALL = SeenDispute("dp_1", "lost", PAID, 0, PAID)  # all of it, and it is called lost still


def hear(
    known: tuple[KnownDispute, ...], *facts: SeenDispute, gone_by_refunds: int = 0
) -> tuple[KnownDispute, ...]:
    """One fact after the other; nothing is ever lost beyond what was paid, and each fact again changes nothing."""
    for fact in facts:
        for again in (False, True):
            left = PAID - gone_by_refunds - sum(one.lost_minor for one in known)
            moves = to_move(known, [fact], left)
            assert not (again and moves)
            after = moved(known, moves)
            lost = [sum(one.lost_minor for one in rows) for rows in (known, after)]
            assert lost[1] - lost[0] == lost_by(moves)
            assert 0 <= lost[1] <= PAID - gone_by_refunds
            known = after
    return known


@pytest.mark.parametrize(
    ("facts", "state", "lost", "returned"),
    [
        ((OPEN, LOST), "lost", 1000, 0),
        ((OPEN, LOST, PART), "lost", 600, 400),
        ((OPEN, LOST, PART, ALL), "won", 0, 1000),
        ((LOST, ALL), "won", 0, 1000),
        ((LOST, WON), "won", 0, 1000),
        ((LOST, PART, WON), "won", 0, 1000),
        ((PART, LOST), "lost", 600, 400),  # an older fact comes late
        ((PART, OPEN), "lost", 600, 400),
        ((ALL, LOST, OPEN), "won", 0, 1000),
        ((ALL, PART), "won", 0, 1000),
        ((WON, LOST), "won", 0, 1000),
        ((ALL,), "won", 0, 1000),
    ],
)
def test_what_was_given_back_last_holds(facts, state, lost, returned):
    (known,) = hear((), *facts)
    assert (known.state, known.lost_minor, known.returned_minor) == (state, lost, returned)


def test_what_comes_back_has_an_id_of_its_own_each_time():
    known = hear((), LOST)
    (first,) = to_move(known, [PART], 0)
    (second,) = to_move(moved(known, [first]), [ALL], 400)
    assert (first.back_minor, second.back_minor) == (400, 600)
    assert first.back_id != second.back_id


def test_a_loss_that_refunds_cut_short_gives_back_only_what_it_had_taken():
    known = hear((), LOST, gone_by_refunds=400)
    assert known[0].lost_minor == 600
    known = hear(known, PART, gone_by_refunds=400)
    assert known[0].lost_minor == 600  # the bank kept no more than that
    known = hear(known, SeenDispute("dp_1", "lost", PAID, 250, 750), gone_by_refunds=400)
    assert known[0].lost_minor == 250


def test_what_one_gives_back_is_there_for_another_that_was_cut_short():
    first = SeenDispute("dp_2", "lost", 600, 600)
    known = hear((), first)
    known = hear(known, SeenDispute("dp_1", "lost", 600, 600))
    assert [one.lost_minor for one in sorted(known, key=lambda one: one.dispute_id)] == [400, 600]
    seen = [SeenDispute("dp_1", "lost", 600, 600), SeenDispute("dp_2", "lost", 600, 100, 500)]
    moves = to_move(known, seen, 0)
    assert [(one.known.dispute_id, one.back_minor, one.taken_minor) for one in moves] == [
        ("dp_2", 500, 0),
        ("dp_1", 0, 200),
    ]
    after = moved(known, moves)
    assert to_move(after, seen, PAID - sum(one.lost_minor for one in after)) == ()
    assert to_give_back(known, seen) == moves[:1]


@st.composite
def lives(draw: st.DrawFn) -> list[SeenDispute]:
    """What a bank says of one dispute, one thing after another."""
    amount = draw(st.integers(1, PAID))
    told = [SeenDispute("dp_1", "open", amount)]
    if draw(st.booleans()):
        return [*told, SeenDispute("dp_1", "won", amount, returned_minor=amount)]
    returned = 0
    for more in draw(st.lists(st.integers(0, amount), min_size=1, max_size=4)):
        returned = min(amount, returned + more)
        told.append(SeenDispute("dp_1", "lost", amount, amount - returned, returned))
    if draw(st.booleans()):
        told.append(SeenDispute("dp_1", "won", amount, returned_minor=amount))
    return told


@given(lives(), st.data())
def test_in_any_order_with_repeats_the_newest_fact_is_what_is_booked(told, data):
    order = data.draw(st.permutations([*told, *told]))
    heard = order if order[-1] == told[-1] else [*order, told[-1]]
    (known,) = hear((), *heard)
    (straight,) = hear((), *told)
    assert known == straight
    assert known.lost_minor == (told[-1].lost_minor if told[-1].state == "lost" else 0)
