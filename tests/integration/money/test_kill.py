"""kill -9 of the server or the sandbox at any moment: afterwards the books hold and both say the same.

`make kill RUNS=100 DATABASE=sqlite` (or postgresql) runs as many lives as it is told.
"""

import sys
from pathlib import Path

import pytest

from .town import fresh_seed, live_through


@pytest.mark.timeout(300)
@pytest.mark.parametrize("run", [1, 2, 3])
async def test_whatever_dies_the_books_agree_in_the_end(tmp_path: Path, run: int) -> None:
    seed = fresh_seed()
    sys.stdout.write(f"run {run}, seed {seed}\n")
    town = await live_through(seed, tmp_path, f"sqlite:///{tmp_path}/tollroom.db")
    assert town.kills["TwoPartServer"] > 0
