"""signaling may import metering and mediaserver; those two import neither each other nor signaling, and metering is pure."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

# What each package must not reach, by the first part of a module's name.
FORBIDDEN = {
    "metering": {
        "mediaserver",
        "signaling",
        "asyncio",
        "time",
        "datetime",
        "random",
        "secrets",
        "uuid",
        "os",
        "io",
    }
    | {"socket", "sqlite3", "threading", "subprocess", "logging", "pathlib", "structlog"}
    | {"sqlalchemy", "aiohttp", "redis", "stripe", "jwt", "pydantic", "aiortc", "av"},
    "mediaserver": {"metering", "signaling", "aiohttp", "stripe", "redis", "jwt", "sqlalchemy", "sqlite3"},
}
# Inside signaling: who alone may know a library.
SOLE_IMPORTERS = {"stripe": "signaling/payments/", "jwt": "signaling/rooms/"}


def imports(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name.split(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            # A relative import stays inside its package; only absolute names can cross.
            yield from [] if node.level else [(node.module or "").split(".")[0]]


def reached(package: str) -> Iterator[tuple[str, str]]:
    for path in sorted((ROOT / package).rglob("*.py")):
        yield from ((str(path.relative_to(ROOT)), name) for name in imports(path))


@pytest.mark.parametrize("package", FORBIDDEN)
def test_a_package_reaches_only_what_it_may(package):
    found = list(reached(package))
    assert found, f"nothing read in {package}"
    assert [pair for pair in found if pair[1] in FORBIDDEN[package]] == []


@pytest.mark.parametrize("library", SOLE_IMPORTERS)
def test_a_library_is_known_in_one_place(library):
    importers = [path for path, name in reached("signaling") if name == library]
    assert [path for path in importers if not path.startswith(SOLE_IMPORTERS[library])] == []


def test_every_module_of_metering_has_its_line_in_the_readme():
    modules = {path.name for path in (ROOT / "metering").glob("*.py")} - {"__init__.py"}
    table = (ROOT / "metering/README.md").read_text(encoding="utf-8").split("\n## ")[0]
    assert modules == set(re.findall(r"^\| `(\w+\.py)` \|", table, re.MULTILINE))
