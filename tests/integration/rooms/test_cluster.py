"""Hints between nodes over a real Redis: heard by the others, and never needed."""

import asyncio
import shutil
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from redis.asyncio import Redis

from signaling.cluster import RedisCluster
from tests.browser.server import free_ports


class RedisServer:
    def __init__(self, folder: Path) -> None:
        (self.port,) = free_ports(1)
        self._folder = folder
        self._process: subprocess.Popen[bytes] | None = None

    async def start(self) -> None:
        command = [
            "redis-server",
            "--port",
            str(self.port),
            "--bind",
            "127.0.0.1",
            "--save",
            "",
            "--dir",
            str(self._folder),
        ]
        self._process = subprocess.Popen(command, stdout=subprocess.DEVNULL)  # noqa: ASYNC220 - starts at once
        async with asyncio.timeout(10), Redis(port=self.port) as redis:
            while True:
                try:
                    await redis.ping()
                except OSError:
                    await asyncio.sleep(0.05)
                except Exception as error:
                    if "onnect" not in str(error):
                        raise
                    await asyncio.sleep(0.05)
                else:
                    return

    def stop(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[RedisServer]:
    if shutil.which("redis-server") is None:
        pytest.skip("redis-server is not installed")
    server = RedisServer(tmp_path)
    await server.start()
    yield server
    server.stop()


async def test_a_change_on_one_node_is_heard_on_the_others_only_and_survives_a_restart_of_redis(
    server: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("signaling.cluster.RETRY_S", 0.05)
    heard: dict[str, list[str]] = {"a": [], "b": []}
    nodes = {name: RedisCluster(Redis(port=server.port), name) for name in heard}
    for name, node in nodes.items():
        await node.start(heard[name].append)

    async def until_heard(room_id: str) -> None:
        async with asyncio.timeout(15):
            while room_id not in heard["b"]:
                nodes["a"].announce(room_id)
                await asyncio.sleep(0.05)

    await until_heard("room_1")
    assert heard["a"] == []
    server.stop()
    for _ in range(5):
        nodes["a"].announce("room_lost")
        await asyncio.sleep(0.05)
    await server.start()
    await until_heard("room_2")
    assert heard["a"] == []
    for node in nodes.values():
        await node.close()
