"""A slice of the towns that `make simulate OF=money` runs by the thousand, and a check that the oracle can see."""

import gc
from dataclasses import replace
from typing import Any

import pytest

from metering.funding import price_of_use
from metering.orders import RecordRefund
from signaling.payments import apply, worker
from signaling.payments.sales import sale_of_order
from tests.simulation import __main__ as simulate
from tests.simulation.money import oracle, town

SEEDS = 8


@pytest.mark.timeout(1800)
def test_towns_where_anything_may_fail_end_with_sound_books():
    """In processes of their own: what is broken is printed there with its seed."""
    assert simulate.main(["--of", "money", "--first", "1", "--seeds", str(SEEDS)]) == 0


@pytest.mark.timeout(900)
def test_the_same_seed_is_the_same_town():
    first, second = town.run_seed(2), town.run_seed(2)
    assert first.story == second.story
    assert len(first.deaths) > 1
    assert len(first.orders) > 1


async def _book_nothing(self: Any, decision: Any) -> None:
    self._values["refunded_minor"] = self._order.refunded_minor + decision.amount_minor_delta


async def _as_if_known(*_: Any, **__: Any) -> list[Any]:
    return []


# How each is done, and what the oracle says of it.
BREAKAGES: dict[str, Any] = {
    "a refund is not booked": (
        lambda patch: patch.setitem(apply._HANDLERS, RecordRefund, _book_nothing),
        " refund: ours ",
    ),
    "what use costs is a cent more": (
        lambda patch: patch.setattr(
            oracle, "price_of_use", lambda tariff, used_ms: price_of_use(tariff, used_ms) - 60
        ),
        " ms cost ",
    ),
    "events are thrown away": (
        lambda patch: patch.setattr(worker.inbox, "due_events", _as_if_known),
        "unfinished event",
    ),
    "tax is booked as the host's": (
        lambda patch: patch.setattr(apply, "sale_of_order", lambda order: sale_of_order(_untaxed(order))),
        " tax: ours 0",
    ),
}


def _untaxed(order: Any) -> Any:
    return replace(order, tax_minor=0)


@pytest.mark.timeout(1800)
@pytest.mark.filterwarnings("ignore:Unclosed:ResourceWarning")
@pytest.mark.parametrize("breakage", BREAKAGES)
def test_the_oracle_sees_a_broken_rule(monkeypatch, breakage):
    breaks, said = BREAKAGES[breakage]
    breaks(monkeypatch)
    assert any(said in _fault(seed) for seed in range(1, 20))


def _fault(seed: int) -> str:
    """What the oracle said."""
    said = ""
    try:
        town.run_seed(seed)
    except oracle.BrokenError as error:
        said = str(error)
    gc.collect()  # here, where nobody minds what the dead left open
    return said
