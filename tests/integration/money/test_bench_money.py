"""The money bench runs as a whole at small sizes: what it measures is there, whatever the figures."""

import json
import subprocess
import sys

import pytest

from bench import money
from tests.browser.server import ROOT
from tests.contract.postgres import programs

SIZES = [
    *("--webhooks", "12", "--payments", "3", "--transfers", "110"),
    *("--wallets", "20", "--history", "50", "--orders", "150"),
]


@pytest.mark.timeout(300)
@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
def test_every_part_is_measured(kind: str) -> None:
    """In a process of its own: it leads this server's payments to a sandbox elsewhere, and they would stay led there."""
    if kind == "postgresql" and programs() is None:
        pytest.skip("PostgreSQL is not installed")
    command = [sys.executable, "-m", "bench.money", "--database", kind, "--only", *money.NAMES, *SIZES]
    said = subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True).stdout
    lines = [json.loads(line) for line in said.splitlines()]
    assert [line["money"] for line in lines] == list(money.NAMES)
    for line in lines:
        figures = [value for name, value in line.items() if name.endswith(("_s", "_ms"))]
        assert figures, line
        assert min(figures) >= 0
