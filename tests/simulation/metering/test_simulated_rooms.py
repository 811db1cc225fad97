"""A slice of the seeds that `make simulate` runs by the thousand, and a check that the oracle can see."""

from random import Random

import pytest

from tests.simulation import __main__ as simulate
from tests.simulation.metering import books, world
from tests.simulation.metering.legs import Packets


@pytest.mark.parametrize("first", range(1, 2001, 250))
def test_rooms_under_a_hostile_clock(first):
    assert simulate.run_chunk(range(first, first + 250)) is None


@pytest.mark.parametrize("behaviour", ["thirteen", "eleven"])
@pytest.mark.parametrize("seed", range(10))
def test_a_client_that_shows_few_packets_gains_at_most_its_budget(seed, behaviour):
    """An hour bought, a host who never stops, no crash: what was watched unpaid is at most 60 s."""
    room = world.World(seed)
    room.plan = lambda: None
    room.host = Packets(Random(seed), world.RUN_MS, "steady")
    payer = room.payers[0]
    room.payers = [payer]
    payer.row.limit_ms = payer.row.purchased_ms = 3_600_000
    payer.row.forgiven_ms = 30_000  # half of it was used before: the run is short
    payer.packets = Packets(Random(seed), world.RUN_MS, behaviour)
    room.go()
    watched_ms = sum(payer.forwarded_ms(segment) for segment in payer.row.segments)
    assert watched_ms > 60_000, "it did watch"
    assert watched_ms - payer.row.used_ms <= 30_000 + payer.row.host_gift_ms


BREAKAGES = {
    "the budget is forgotten": ("_Pass.budget_ms", lambda *_: None),
    "silence is never noticed": ("Session._is_alive", lambda session, leg, _now_ms: leg in session._heard),
    "the count goes on while the gate is closed": (
        "_Segment.forwarded_ms",
        lambda segment, now_ms: now_ms - (segment.since_ms or now_ms),
    ),
    "repeats of old gates are believed": ("Session._is_about_an_earlier_gate", lambda *_: False),
}


@pytest.mark.parametrize("breakage", BREAKAGES)
def test_the_oracle_sees_a_broken_rule(monkeypatch, breakage):
    from metering import session

    where, what = BREAKAGES[breakage]
    owner, name = where.split(".")
    monkeypatch.setattr(getattr(session, owner), name, what)
    assert simulate.run_chunk(range(1, 401)) is not None


def test_the_books_oracle_sees_a_grant_that_is_lost(monkeypatch):
    monkeypatch.setattr(books, "decide", lambda *_: (books.Nothing(),))
    assert simulate.run_chunk(range(1, 51)) is not None


def test_the_same_seed_is_the_same_run():
    first, second = world.run_seed(7), world.run_seed(7)
    assert [payer.row for payer in first.payers] == [payer.row for payer in second.payers]


def test_a_failing_seed_is_named_and_ends_non_zero(monkeypatch, capsys):
    monkeypatch.setattr(simulate, "run_chunk", fail_at_seven)
    assert simulate.main(["--first", "1", "--seeds", "10", "--jobs", "1"]) == 1
    assert "FAILED seed 7" in capsys.readouterr().err


def fail_at_seven(seeds: range) -> str | None:
    return "seed 7 (here)" if 7 in seeds else None
