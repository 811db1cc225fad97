import pytest

from mediaserver import planes

from .fanning import Stage


@pytest.fixture(params=["python", "native", "libsrtp"])
def stage(request):
    """The same publication and subscribers over each data plane."""
    if request.param != "python" and planes.dataplane is None:
        pytest.skip("the native data plane is not compiled")
    stage = Stage(request.param)
    yield stage
    stage.close()
