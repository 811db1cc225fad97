"""One Chromium for all browser tests; it ends before other tests go on (its event loop would be in their way)."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from playwright.sync_api import Browser, expect, sync_playwright

from tests.browser.look import Look
from tests.browser.people import Person, launch
from tests.browser.server import Server

# A whole story on a machine that does other things too.
TIMEOUT_S = 300
EXPECT_MS = 15_000

NewPerson = Callable[..., Person]
NewServer = Callable[..., Server]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if "tests/browser" in str(item.path):
            item.add_marker(pytest.mark.browser)
            item.add_marker(pytest.mark.timeout(TIMEOUT_S))


@pytest.fixture(scope="package")
def browser() -> Iterator[Browser]:
    expect.set_options(timeout=EXPECT_MS)
    with sync_playwright() as playwright:
        started = launch(playwright)
        yield started
        started.close()


@pytest.fixture(scope="package")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """One server for all tests, each in a room of its own."""
    started = Server(tmp_path_factory.mktemp("server"))
    started.start()
    yield started
    started.stop()


@pytest.fixture
def own_server(tmp_path: Path) -> Iterator[NewServer]:
    """`own_server(ROOM_CREATION="invitation")`: a started server with settings of its own."""
    with ExitStack() as stack:

        def new(**settings: str) -> Server:
            started = Server(tmp_path, **settings)
            stack.callback(started.stop)
            started.start()
            return started

        yield new


@pytest.fixture
def person(browser: Browser) -> Iterator[NewPerson]:
    """`person("Ana")`: a new browser profile, closed after the test, failing on its uncaught errors."""
    with ExitStack() as stack:

        def new(name: str, **size: int) -> Person:
            someone = Person(browser, name, **size)
            stack.callback(someone.close)
            return someone

        yield new


@pytest.fixture
def look() -> Iterator[Look]:
    """Pictures and axe; what axe finds grave fails the test at its end, all of it at once."""
    looking = Look()
    yield looking
    assert looking.problems == []
