"""What is done with one seed. Not in `__main__`, which other processes cannot import."""

import traceback
from collections.abc import Callable

from tests.simulation.metering import books, world
from tests.simulation.money import town


def run_one(seed: int) -> str | None:
    """What went wrong, or None."""
    return _first_fault(seed, [(books.__name__, books.run_seed), (world.__name__, world.run_seed)])


def run_money(seed: int) -> str | None:
    return _first_fault(seed, [(town.__name__, town.run_seed)])


def _first_fault(seed: int, simulations: list[tuple[str, Callable[[int], object]]]) -> str | None:
    for name, run in simulations:
        try:
            run(seed)
        except Exception:  # noqa: BLE001 - whatever it is, it belongs to this seed
            return f"seed {seed} ({name})\n{traceback.format_exc()}"
    return None


def run_chunk(seeds: range) -> str | None:
    return next(filter(None, map(run_one, seeds)), None)


def run_money_chunk(seeds: range) -> str | None:
    return next(filter(None, map(run_money, seeds)), None)
