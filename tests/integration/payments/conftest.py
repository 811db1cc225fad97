import itertools
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import asyncpg
import pytest

from tests.contract.postgres import postgres_server, programs

from .world import World, build_world

_numbers = itertools.count(1)


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    async with build_world(tmp_path) as built:
        yield built


@pytest.fixture(scope="session")
def postgres_url() -> Iterator[str]:
    if programs() is None:
        pytest.skip("PostgreSQL is not installed")
    with postgres_server() as url:
        yield url


@pytest.fixture(params=["sqlite", "postgresql"])
async def either_world(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[World]:
    """A world on each of the databases."""
    url = (
        None
        if request.param == "sqlite"
        else await _an_empty_database(request.getfixturevalue("postgres_url"))
    )
    async with build_world(tmp_path, url) as built:
        yield built


async def _an_empty_database(server_url: str) -> str:
    name = f"world_{next(_numbers)}"
    connection = await asyncpg.connect(server_url)
    await connection.execute(f"CREATE DATABASE {name}")
    await connection.close()
    return server_url.rsplit("/", 1)[0] + f"/{name}"
