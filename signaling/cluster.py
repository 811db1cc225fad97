"""Hints between nodes: where a room is, and that something of it changed. Everything here may be lost and is rebuilt.

Who owns a room or a pass is decided in SQL. A hint only saves a look, so a lost or late one delays and never falsifies.
One node needs no Redis: the in-process implementation of the same small interface serves it.
"""

import asyncio
import contextlib
from collections.abc import Callable
from typing import Protocol

import structlog
from redis.asyncio import Redis
from redis.exceptions import RedisError

log = structlog.get_logger()

CHANNEL = "tollroom:room-changed"
RETRY_S = 2.0

Changed = Callable[[str], None]


class Cluster(Protocol):
    """`announce` tells the other nodes that a room's card changed; they hear it by `changed`."""

    async def start(self, changed: Changed) -> None: ...

    def announce(self, room_id: str) -> None: ...

    async def close(self) -> None: ...


class OneNode:
    """There is nobody to tell."""

    async def start(self, changed: Changed) -> None: ...

    def announce(self, room_id: str) -> None: ...

    async def close(self) -> None: ...


class RedisCluster:
    """Redis publish/subscribe. Out of reach, hints are dropped and the connection is tried again; waiting hints are
    kept once per room, which bounds them by the rooms."""

    def __init__(self, redis: "Redis", node_id: str) -> None:
        self._redis = redis
        self._node_id = node_id
        self._waiting: dict[str, None] = {}
        self._wake = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []

    async def start(self, changed: Changed) -> None:
        self._tasks = [
            asyncio.create_task(self._send(), name="cluster-send"),
            asyncio.create_task(self._listen(changed), name="cluster-listen"),
        ]

    def announce(self, room_id: str) -> None:
        self._waiting[room_id] = None
        self._wake.set()

    async def close(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._tasks = []
        with contextlib.suppress(RedisError, OSError):
            await self._redis.aclose()

    async def _send(self) -> None:
        while True:
            await self._wake.wait()
            self._wake.clear()
            waiting, self._waiting = self._waiting, {}
            for room_id in waiting:
                try:
                    await self._redis.publish(CHANNEL, f"{self._node_id} {room_id}")
                except (RedisError, OSError) as error:
                    log.warning("hint_lost", error=str(error))

    async def _listen(self, changed: Changed) -> None:
        while True:
            try:
                async with self._redis.pubsub(ignore_subscribe_messages=True) as listener:
                    await listener.subscribe(CHANNEL)
                    async for message in listener.listen():
                        self._hear(message["data"], changed)
            except (RedisError, OSError) as error:
                log.warning("redis_out_of_reach", error=str(error))
                await asyncio.sleep(RETRY_S)

    def _hear(self, data: object, changed: Changed) -> None:
        text = data.decode(errors="replace") if isinstance(data, bytes) else str(data)
        node_id, _, room_id = text.partition(" ")
        if room_id and node_id != self._node_id:
            changed(room_id)


def make_cluster(redis_url: str | None, node_id: str) -> Cluster:
    """Connects later, by itself; a Redis that is down keeps no server from starting."""
    return OneNode() if redis_url is None else RedisCluster(Redis.from_url(redis_url), node_id)
