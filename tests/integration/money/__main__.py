"""`python -m tests.integration.money --runs 100 --database sqlite|postgresql [--seed N]`: lives with kill -9, one after
the other. Prints each seed; ends with 1 at the first that breaks.
"""

import argparse
import asyncio
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import asyncpg

from tests.contract.postgres import postgres_server
from tests.integration.money.town import fresh_seed, live_through


def say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


@contextmanager
def _databases(kind: str) -> Iterator[str | None]:
    """The URL of a PostgreSQL server's own database; None for SQLite."""
    if kind == "sqlite":
        yield None
        return
    with postgres_server() as url:
        yield url


async def _fresh(server: str | None, seed: int, folder: Path) -> str:
    if server is None:
        return f"sqlite:///{folder}/tollroom.db"
    connection = await asyncpg.connect(server)
    try:
        await connection.execute(f'CREATE DATABASE "kill_{seed}"')
    finally:
        await connection.close()
    return f"{server.rpartition('/')[0]}/kill_{seed}"


async def _one(server: str | None, seed: int) -> str:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        town = await live_through(seed, folder, await _fresh(server, seed, folder))
    return f"killed {dict(town.kills)}, did {dict(town.done)}"


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.integration.money", description=__doc__)
    parser.add_argument("--runs", type=int, default=100)
    parser.add_argument("--database", choices=["sqlite", "postgresql"], default="sqlite")
    parser.add_argument("--seed", type=int, default=None, help="one life with this seed")
    given = parser.parse_args()
    seeds = [given.seed] if given.seed is not None else [fresh_seed() for _ in range(given.runs)]
    with _databases(given.database) as server:
        for number, seed in enumerate(seeds, 1):
            say(f"{number}/{len(seeds)} seed {seed}")
            try:
                say("  " + asyncio.run(_one(server, seed)))
            except AssertionError as error:
                say(f"  broken: {error}")
                return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
