"""A slice of the towns that `make simulate OF=money` runs by the thousand, and a check that the oracle can see."""

from typing import Any

import pytest

from signaling.payments import holds
from signaling.payments.apply import Application
from signaling.payments.stripe import StripePayments
from tests.simulation import __main__ as simulate
from tests.simulation.money import oracle, town

SEEDS = 30


@pytest.mark.timeout(600)
def test_towns_where_anything_may_fail_end_with_sound_books():
    """In processes of their own: what is broken is printed there with its seed."""
    assert simulate.main(["--of", "money", "--first", "1", "--seeds", str(SEEDS)]) == 0


@pytest.mark.timeout(300)
def test_the_same_seed_is_the_same_town():
    first, second = town.run_seed(2), town.run_seed(2)
    assert first.story == second.story
    assert len(first.deaths) > 1
    assert len(first.orders) > 1


async def _nothing(*_: Any, **__: Any) -> None: ...


async def _book_nothing(self: Any, decision: Any) -> None:
    self._values["refunded_minor"] = self._order.refunded_minor + decision.amount_minor_delta


async def _find_nothing(*_: Any) -> None:
    return None


BREAKAGES = {
    "a hold is forgotten": (holds, "ask_release", _nothing),
    "a refund is not booked": (Application, "record_refund", _book_nothing),
}


@pytest.mark.timeout(300)
@pytest.mark.parametrize("breakage", BREAKAGES)
def test_the_oracle_sees_a_broken_rule(monkeypatch, breakage):
    monkeypatch.setattr(*BREAKAGES[breakage])
    assert any(_is_broken(seed) for seed in range(1, 30))


@pytest.mark.timeout(300)
def test_the_oracle_sees_money_given_back_twice(monkeypatch):
    """Who neither looks nor keeps to one key gives back again after an answer that was lost."""
    asked = StripePayments.refund
    count = 0

    async def always_new(self: Any, params: Any, _key: str) -> Any:
        nonlocal count
        count += 1
        return await asked(self, params, f"another key {count}")

    monkeypatch.setattr(StripePayments, "refund", always_new)
    monkeypatch.setattr(StripePayments, "find_refund", _find_nothing)
    assert any("given back twice" in _fault(seed) for seed in range(1, 60))


def _fault(seed: int) -> str:
    try:
        town.run_seed(seed)
    except oracle.BrokenError as error:
        return str(error)
    return ""


def _is_broken(seed: int) -> bool:
    return bool(_fault(seed))
