"""Runs the tests of the pages' scripts (those without a DOM) by Node's own test runner; Debian's Node 18 suffices."""

import shutil
import subprocess
from pathlib import Path

import pytest

HERE = Path(__file__).parent
NODE_MIN = 18
# What Node 18 has behind flags and later ones by themselves.
NODE_18_FLAGS = ("--experimental-global-customevent", "--experimental-global-webcrypto")


def _node() -> list[str]:
    """The command; empty where there is no Node that is new enough."""
    path = shutil.which("node")
    if path is None:
        return []
    version = subprocess.run([path, "--version"], capture_output=True, text=True, check=True).stdout
    major = int(version.removeprefix("v").split(".")[0])
    if major < NODE_MIN:
        return []
    return [path, *(NODE_18_FLAGS if major == NODE_MIN else ())]


@pytest.mark.skipif(not _node(), reason="Node 18 or later is not installed")
@pytest.mark.parametrize("folder", ["web", "web_call"])
def test_the_pages_scripts_pass_their_own_tests(folder: str) -> None:
    files = sorted(str(path) for path in (HERE / folder).glob("*.test.js"))
    assert files
    result = subprocess.run(
        [*_node(), "--test", *files], capture_output=True, text=True, timeout=60, check=False
    )
    assert result.returncode == 0, result.stdout[-4000:]
