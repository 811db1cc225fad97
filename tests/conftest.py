"""Shared by all tests. What a test starts it must end: a task that outlives its test fails it.

(Sockets and files that are left open fail a test by themselves: their ResourceWarning is an error.)
"""

import asyncio
import inspect
import logging
from collections.abc import AsyncIterator, Iterator

import pytest
import structlog

ENDING_S = 2.0

# Other browsers, other networks, encoders and worker processes: `make slow` and CI, so that `make test` stays short.
SLOW = {
    "browser/test_firefox.py",
    "browser/test_media_workers.py",
    "browser/test_networks_change.py",
    "browser/test_streaming.py",
    "browser/test_through_a_relay.py",
    "media/test_getting_through.py",
    "media/test_workers.py",
    "money/test_bench_money.py",
    "rooms/test_media_workers.py",
    "rooms/test_streaming_from_ffmpeg.py",
    "rooms/test_streaming_in_chromium.py",
    "rooms/test_turn.py",
}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if f"{item.path.parent.name}/{item.path.name}" in SLOW:
            item.add_marker("slow")


@pytest.fixture
async def no_leaked_tasks() -> AsyncIterator[None]:
    before = asyncio.all_tasks()
    yield
    for _ in range(5):  # callbacks of what was just closed may still run
        await asyncio.sleep(0)
    leaked = {
        task
        for task in asyncio.all_tasks() - before
        if task is not asyncio.current_task() and not task.done()
    }
    if (
        leaked
    ):  # what is ending already (aioice closes its transports in tasks of its own) is given the time to end
        _, leaked = await asyncio.wait(leaked, timeout=ENDING_S)
    assert not leaked, f"tasks outlive the test: {leaked}"


@pytest.fixture(autouse=True)
def _clean_end(request: pytest.FixtureRequest) -> None:
    """Only tests that have a loop are watched."""
    if inspect.iscoroutinefunction(getattr(request.node, "obj", None)):
        request.getfixturevalue("no_leaked_tasks")


@pytest.fixture(autouse=True)
def _logs_go_where_they_went() -> Iterator[None]:
    """The command line sends logs to its standard error, which in a test is closed with it."""
    yield
    structlog.reset_defaults()
    for handler in logging.root.handlers[:]:
        if type(handler) is logging.StreamHandler:
            logging.root.removeHandler(handler)
