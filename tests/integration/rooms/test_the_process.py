"""A server in a process of its own: stopped, killed, started again."""

import asyncio
import os
import signal
import socket
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from tests.integration.harness import Server, people_of

REPOSITORY = Path(__file__).parents[3]


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    server = Server(tmp_path)
    server.start()
    yield server
    server.kill9()


def rows(server: Server, query: str) -> list[Any]:
    with closing(sqlite3.connect(server.folder / "tollroom.db", timeout=10)) as db:
        return db.execute(query).fetchall()


async def test_sigterm_closes_segments_tells_everybody_and_leaves_within_ten_seconds(server: Server) -> None:
    async with people_of(server.url) as api:
        room = await api.create_room()
        host = await api.host(room)
        payer = await api.payer(await api.buy(room))
        await payer.wait("meter", state="counting")
        await payer.watching()
        started = time.monotonic()
        stopping = asyncio.create_task(asyncio.to_thread(server.stop))
        assert await payer.ended() == ("shutdown", 1012)
        assert await host.ended() == ("shutdown", 1012)
        await stopping
        assert time.monotonic() - started < 10
    assert rows(server, "SELECT count(*) FROM segments WHERE closed_ms IS NULL") == [(0,)]
    ((used_ms,),) = rows(server, "SELECT used_ms FROM passes")
    assert 0 < used_ms < 20_000
    assert rows(server, "SELECT state FROM runs") == [("closed",)]
    assert rows(server, "SELECT end_code FROM sessions") == [("shutdown",)]
    assert rows(server, "SELECT live FROM rooms") == [(0,)]


async def test_after_kill_9_the_remaining_time_is_there_and_everybody_goes_on(server: Server) -> None:
    async with people_of(server.url) as api:
        room = await api.create_room()
        await api.host(room)
        order = await api.buy(room)
        payer = await api.payer(order)
        await payer.wait("meter", state="counting")
        counting_s = time.monotonic()
        await payer.watching()
        await asyncio.sleep(2.5)  # some heartbeats
        server.kill9()
        counted_ms = int((time.monotonic() - counting_s) * 1000)
        assert rows(server, "SELECT count(*) FROM segments WHERE closed_ms IS NULL") == [(1,)]
        await asyncio.to_thread(server.start)
        assert rows(server, "SELECT count(*) FROM segments WHERE closed_ms IS NULL") == [(0,)]
        assert sorted(rows(server, "SELECT state FROM runs")) == [("dead",), ("live",)]
        used_ms = (await api.state(order))["pass"]["used_ms"]
        # Never more than was counted; the host loses at most the last second and what a heartbeat takes.
        assert counted_ms - 2_500 <= used_ms <= counted_ms
        assert (await api.card(room))["state"] == "away"

        # The old resume key is worth nothing; with new tokens both go on, on the same pass.
        stranger = api.client(media=False)
        await stranger.resume(payer.messages["joined"][0]["resume_key"])
        assert await stranger.ended() == ("resume_unknown", 4404)
        await api.host(room)
        again = await api.payer(order)
        meter = await again.wait("meter", state="counting")
        assert meter["remaining_ms"] <= 1_800_000 - used_ms
        await again.watching()
    assert len(rows(server, "SELECT id FROM orders")) == 1


def test_a_second_server_on_the_same_database_is_refused(server: Server) -> None:
    second = Server(server.folder)
    with pytest.raises(RuntimeError, match="another Tollroom uses this database"):
        second.start()


@pytest.mark.parametrize("name", ["MEDIA_PORT", "HTTP_PORT", "SANDBOX_PORT"])
def test_a_port_in_use_is_refused_with_its_name(tmp_path: Path, name: str) -> None:
    kind = socket.SOCK_DGRAM if name == "MEDIA_PORT" else socket.SOCK_STREAM
    with socket.socket(socket.AF_INET, kind) as taken:
        taken.bind(("127.0.0.1", 0))
        if kind == socket.SOCK_STREAM:
            taken.listen()
        port = taken.getsockname()[1]
        server = Server(tmp_path, **{name: str(port)})
        with pytest.raises(RuntimeError, match=f"tollroom: .*{port}"):
            server.start()


def test_the_command_line_invites_and_checks(tmp_path: Path) -> None:
    environment = {"PATH": os.environ["PATH"], "DATABASE_URL": f"sqlite:///{tmp_path}/tollroom.db"}

    def tollroom(*arguments: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "signaling", *arguments]
        return subprocess.run(
            command, cwd=REPOSITORY, env=environment, capture_output=True, text=True, check=False
        )

    invited = tollroom("invite", "--uses", "2", "--days", "1", "--note", "Ana")
    assert invited.stdout.startswith("http://localhost:8080/#invite=inv_")
    checked = tollroom("check")
    assert (checked.returncode, checked.stdout.splitlines()[1:]) == (0, ["the books hold"])
    environment["PUBLIC_URL"] = "https://rooms.example.org"
    refused = tollroom("serve")
    assert refused.returncode == 2
    assert refused.stderr.startswith("tollroom: PUBLIC_URL is not localhost")


def test_sigint_stops_it_as_well(server: Server) -> None:
    process = server._process
    assert process is not None
    process.send_signal(signal.SIGINT)
    assert process.wait(10) == 0
