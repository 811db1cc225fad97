"""One Chromium and one Firefox for all browser tests; they end before other tests go on, as their event loop would be
in the way."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Playwright, expect, sync_playwright

from tests.browser.look import Look
from tests.browser.people import Person, launch, launch_firefox
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
def playwright() -> Iterator[Playwright]:
    expect.set_options(timeout=EXPECT_MS)
    with sync_playwright() as started:
        yield started


@pytest.fixture(scope="package")
def browser(playwright: Playwright) -> Iterator[Browser]:
    started = launch(playwright)
    yield started
    started.close()


@pytest.fixture(scope="package")
def firefox(playwright: Playwright) -> Iterator[Browser]:
    started = launch_firefox(playwright)
    yield started
    started.close()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """One server for the tests of a file, each in a room of its own: all of them together sign in more often from one
    address than a server allows."""
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
    """`person("Ana")`: a new browser profile (of Chromium if not `in_browser`), closed after the test, failing on its uncaught errors."""
    with ExitStack() as stack:

        def new(name: str, in_browser: Browser | None = None, **size: int) -> Person:
            someone = Person(in_browser or browser, name, **size)
            stack.callback(someone.close)
            return someone

        yield new


@pytest.fixture
def look() -> Iterator[Look]:
    """Pictures and axe; what axe finds grave fails the test at its end, all of it at once."""
    looking = Look()
    yield looking
    assert looking.problems == []
