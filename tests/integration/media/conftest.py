from collections.abc import AsyncIterator

import pytest

from mediaserver import planes

from .client import Hall


@pytest.fixture(params=["python", "native"])
async def hall(request: pytest.FixtureRequest) -> AsyncIterator[Hall]:
    """A media server over each data plane."""
    if request.param == "native" and planes.dataplane is None:
        pytest.skip("the native data plane is not compiled")
    async with Hall(plane=request.param) as hall:
        yield hall
