from collections.abc import AsyncIterator

import pytest

from .client import Hall


@pytest.fixture
async def hall() -> AsyncIterator[Hall]:
    async with Hall() as hall:
        yield hall
