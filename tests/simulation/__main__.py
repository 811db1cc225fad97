"""python -m tests.simulation --first N --seeds M: runs those seeds, ends non-zero with the first that fails.

The same seed gives the same run on every machine. Seeds are spread over `--jobs` processes.
"""

import argparse
import sys
import traceback
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from itertools import count, islice

from tests.simulation.metering import books, world

CHUNK = 50


def run_one(seed: int) -> str | None:
    """What went wrong, or None."""
    for simulation in (books, world):
        try:
            simulation.run_seed(seed)
        except Exception:  # noqa: BLE001 - whatever it is, it belongs to this seed
            return f"seed {seed} ({simulation.__name__})\n{traceback.format_exc()}"
    return None


def run_chunk(seeds: range) -> str | None:
    return next(filter(None, map(run_one, seeds)), None)


def chunks(first: int, seeds: int) -> Iterator[range]:
    ends = islice(count(first, CHUNK), (seeds + CHUNK - 1) // CHUNK)
    return (range(start, min(start + CHUNK, first + seeds)) for start in ends)


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.simulation", description=__doc__)
    parser.add_argument("--first", type=int, default=1)
    parser.add_argument("--seeds", type=int, default=5_000)
    parser.add_argument("--jobs", type=int, default=2)
    options = parser.parse_args(arguments)
    with ProcessPoolExecutor(options.jobs) as pool:
        for fault in pool.map(run_chunk, chunks(options.first, options.seeds)):
            if fault is not None:
                pool.shutdown(cancel_futures=True)
                sys.stderr.write(f"{fault}\nFAILED {fault.splitlines()[0]}\n")
                return 1
    sys.stdout.write(f"seeds {options.first} to {options.first + options.seeds - 1}: all rules held\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
