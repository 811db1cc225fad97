"""python -m tests.simulation --first N --seeds M: runs those seeds, ends non-zero with the first that fails.

The same seed gives the same run on every machine. Seeds are spread over `--jobs` processes. `--of meter` or `--of money`
runs one of the two alone: rooms and their books as rules (milliseconds a seed), or a town of servers, payers and a bank
(about a second a seed).
"""

import argparse
import multiprocessing
import os
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor

from tests.simulation.seeds import run_chunk, run_money_chunk

CHUNK = 50
MONEY_CHUNK = 4


def chunks(first: int, seeds: int, size: int = CHUNK) -> Iterator[range]:
    return (range(start, min(start + size, first + seeds)) for start in range(first, first + seeds, size))


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.simulation", description=__doc__)
    parser.add_argument("--first", type=int, default=1)
    parser.add_argument("--seeds", type=int, default=5_000)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--of", choices=["meter", "money", "all"], default="all")
    options = parser.parse_args(arguments)
    work: list[tuple[Callable[[range], str | None], int]] = []
    if options.of != "money":
        work.append((run_chunk, CHUNK))
    if options.of != "meter":
        work.append((run_money_chunk, MONEY_CHUNK))
    os.environ["PYTHONHASHSEED"] = "0"  # else the order of a set of ids is another in every process
    for run, size in work:
        with ProcessPoolExecutor(options.jobs, multiprocessing.get_context("spawn")) as pool:
            for fault in pool.map(run, chunks(options.first, options.seeds, size)):
                if fault is not None:
                    pool.shutdown(cancel_futures=True)
                    sys.stderr.write(f"{fault}\nFAILED {fault.splitlines()[0]}\n")
                    return 1
    sys.stdout.write(f"seeds {options.first} to {options.first + options.seeds - 1}: all rules held\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
