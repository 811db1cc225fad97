"""A PostgreSQL server of our own for the time of a test run: Debian's package, an unprivileged user, a free port."""

import os
import pwd
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

UNPRIVILEGED = ("postgres", "nobody")  # PostgreSQL refuses to run as root
START_S = 20.0


def programs() -> Path | None:
    """Where initdb and postgres are; None when PostgreSQL is not installed."""
    debian = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    found = shutil.which("initdb") or (debian[-1] if debian else None)
    return Path(found).resolve().parent if found else None


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _user() -> pwd.struct_passwd | None:
    """Whom to run as; None: as ourselves."""
    if os.getuid() != 0:
        return None
    names = {entry.pw_name for entry in pwd.getpwall()}
    return pwd.getpwnam(next(name for name in UNPRIVILEGED if name in names))


@contextmanager
def postgres_server(*, safe: bool = False) -> Iterator[str]:
    """The URL of the server's `postgres` database. Everything is thrown away afterwards; `safe`: what is committed is on
    the disk, as in an operator's hands."""
    where = programs()
    assert where is not None, "ask programs() first"
    directory = Path(tempfile.mkdtemp(prefix="tollroom-pg-"))
    user = _user()
    as_user = {} if user is None else {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}
    if user is not None:
        os.chown(directory, user.pw_uid, user.pw_gid)
    data, port = directory / "data", _free_port()
    initdb = [
        where / "initdb",
        "-D",
        data,
        "-U",
        "tollroom",
        "--auth=trust",
        "-N",
        "--locale=C",
        "-E",
        "UTF8",
    ]
    subprocess.run(initdb, check=True, cwd=directory, capture_output=True, **as_user)
    fast = [] if safe else ["-c", "fsync=off", "-c", "synchronous_commit=off", "-c", "full_page_writes=off"]
    places = ["-c", "listen_addresses=127.0.0.1", "-c", f"unix_socket_directories={directory}"]
    log = (directory / "log").open("wb")
    server = subprocess.Popen(
        [where / "postgres", "-D", data, "-p", str(port), *places, *fast],
        cwd=directory,
        stdout=log,
        stderr=log,
        **as_user,
    )
    try:
        _wait_until_it_answers(server, where / "pg_isready", port)
        yield f"postgresql://tollroom@127.0.0.1:{port}/postgres"
    finally:
        server.terminate()
        server.wait(10)
        log.close()
        shutil.rmtree(directory, ignore_errors=True)


def _wait_until_it_answers(server: subprocess.Popen[bytes], asking: Path, port: int) -> None:
    """It listens before it lets anybody in."""
    until = time.monotonic() + START_S
    while time.monotonic() < until and server.poll() is None:
        if subprocess.run([asking, "-q", "-h", "127.0.0.1", "-p", str(port)], check=False).returncode == 0:
            return
        time.sleep(0.05)
    raise RuntimeError("PostgreSQL did not start")
