"""The native data plane, built with AddressSanitizer and with sockets that fail, against random calls and hostile packets."""

import os
import shutil
import subprocess
import sys
import sysconfig
from importlib.util import find_spec
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
SOURCE = ROOT / "mediaserver" / "dataplane.pyx"
HERE = Path(__file__).parent
SEEDS, STEPS = 24, 400


def c_source(folder: Path) -> Path:
    """What Cython made of the module: anew where it is installed, else what the last build left."""
    if find_spec("Cython") is not None:
        target = folder / "dataplane.c"
        subprocess.run([sys.executable, "-m", "cython", "-3", "-o", target, SOURCE], check=True, cwd=ROOT)
        return target
    left = SOURCE.with_suffix(".c")
    if not left.exists() or left.stat().st_mtime < SOURCE.stat().st_mtime:
        pytest.skip("Cython is not installed, and no build has left its C source")
    return left


@pytest.fixture(scope="module")
def sanitized(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A folder with the package and the sanitized module, and the sanitizer's library."""
    compiler = shutil.which("gcc")
    if compiler is None:
        pytest.skip("there is no gcc")
    library = subprocess.run(
        [compiler, "-print-file-name=libasan.so"], check=True, capture_output=True, text=True
    ).stdout.strip()
    if not Path(library).is_absolute():
        pytest.skip("this gcc has no AddressSanitizer")
    folder = tmp_path_factory.mktemp("sanitized")
    package = folder / "mediaserver"
    package.mkdir()
    for module in (ROOT / "mediaserver").glob("*.py"):
        (package / module.name).symlink_to(module)
    include = sysconfig.get_path("include")
    if not Path(include, "Python.h").exists():
        pytest.skip("Python's headers are not installed")
    target = package / f"dataplane{sysconfig.get_config_var('EXT_SUFFIX')}"
    flags = ["-O1", "-g", "-fno-omit-frame-pointer", "-fsanitize=address", "-shared", "-fPIC"]
    faulty = ["-include", str(HERE / "faulty_sockets.h")]
    includes = [f"-I{include}", f"-I{SOURCE.parent}"]
    sources = [c_source(folder), SOURCE.with_name("seal.c"), SOURCE.with_name("gcm.c")]
    subprocess.run([compiler, *flags, *faulty, *includes, *sources, "-o", target], check=True)
    return folder, library


def test_hostile_packets_and_failing_sockets_touch_no_foreign_memory(sanitized):
    folder, library = sanitized
    environment = os.environ | {
        "LD_PRELOAD": library,
        # What Python itself never frees is no leak of ours.
        "ASAN_OPTIONS": "detect_leaks=0:abort_on_error=0:exitcode=99",
        "PYTHONPATH": str(folder),
        # Every object in memory of its own, so that the sanitizer sees its ends.
        "PYTHONMALLOC": "malloc",
    }
    done = subprocess.run(
        [sys.executable, HERE / "hostile.py", "0", str(STEPS), str(SEEDS)],
        env=environment, cwd=folder, capture_output=True, text=True, check=False, timeout=110,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-500:] + done.stderr[:6000]
    assert len(done.stdout.splitlines()) == SEEDS
