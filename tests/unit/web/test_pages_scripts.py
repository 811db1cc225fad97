"""Runs the JavaScript tests of this folder. They need Node 20 or later (modules without a build)."""

import shutil
import subprocess
from pathlib import Path

import pytest

NODE_MIN = 20


def _node_major() -> int:
    node = shutil.which("node")
    if node is None:
        return 0
    version = subprocess.run([node, "--version"], capture_output=True, text=True, check=True).stdout
    return int(version.removeprefix("v").split(".")[0])


@pytest.mark.skipif(_node_major() < NODE_MIN, reason="needs Node 20 or later")
def test_javascript_tests_of_the_pages_pass() -> None:
    files = sorted(str(path) for path in Path(__file__).parent.glob("*.test.js"))
    result = subprocess.run(
        ["node", "--test", *files], capture_output=True, text=True, timeout=60, check=False
    )
    assert result.returncode == 0, result.stdout[-4000:]
