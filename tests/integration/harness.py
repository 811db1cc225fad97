"""The real application, in this process or in one of its own, and people who buy and come in.

async with running_app(tmp_path) as app:          the real app on free ports, payments in the sandbox
    room = await app.create_room()
    host = await app.host(room)                   an aiortc host, live
    order = await app.buy(room, "Ben")
    payer = await app.payer(order)

Server(tmp_path).start() / kill9() / stop()       the same as a process of its own (blocking calls)
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
from aiohttp import web
from sqlalchemy import update

from signaling.app import PARTS, Parts, build_app
from signaling.config import Settings, load
from signaling.stores.schema import passes
from tests.browser.server import (
    Order,
    RefusedError,
    Room,
    Server,
    _random,
    free_media_port,
    free_ports,
    tested_plane,
    tested_workers,
)
from tests.integration.rooms.client import Client

ROOM = {
    "title": "Italian conversation",
    "description": "We talk about whatever you like.",
    "host_name": "Ana",
    "tariff": {"kind": "entrance", "price_minor": 500, "currency": "eur", "seconds": 1800},
    "privacy": "confidential",
}


def settings_for(folder: Path, **changes: Any) -> Settings:
    """A sandbox on free ports, its data in `folder`."""
    (http_port,) = free_ports(1)
    workers = int(changes.get("media_workers", tested_workers()))
    values: dict[str, Any] = {
        "public_url": f"http://localhost:{http_port}",
        "http_port": http_port,
        "https_port": 0,
        "media_port": free_media_port(max(1, workers)),
        "media_plane": tested_plane(),
        "media_workers": workers,
        "media_address": ("127.0.0.1",),
        "sandbox_port": 0,
        "database_url": f"sqlite:///{folder}/tollroom.db",
        "_env_file": None,
    }
    return load(**values | changes)


class Api:
    """Calls a server over HTTP, as browsers do; people it lets in are put out when `stack` closes."""

    def __init__(self, url: str, http: aiohttp.ClientSession, stack: AsyncExitStack) -> None:
        self.url = url
        self.http = http
        self._stack = stack

    async def call(self, method: str, path: str, body: Any = None, bearer: str | None = None) -> Any:
        """The JSON answer. Raises RefusedError."""
        headers = {} if bearer is None else {"Authorization": f"Bearer {bearer}"}
        async with self.http.request(method, self.url + path, json=body, headers=headers) as response:
            answer = await response.json()
        if response.status >= 400:
            raise RefusedError(response.status, answer["error"]["code"])
        return answer

    async def create_room(self, **changes: Any) -> Room:
        answer = await self.call("POST", "/api/rooms", ROOM | changes)
        return Room(*(answer[name] for name in ("id", "slug", "share_url", "host_url", "host_key")))

    async def card(self, room: Room) -> Any:
        return await self.call("GET", f"/api/rooms/{room.slug}")

    async def order(self, room: Room, name: str, **changes: Any) -> tuple[Order, Any]:
        order = Order("ord_" + _random(16), _random(32), room.slug)
        seconds = (await self.card(room))["choices"][0]["seconds"]
        body = {"order_id": order.id, "name": name, "seconds": seconds, "accept_terms": True}
        return order, await self.call("POST", f"/api/rooms/{room.slug}/orders", body | changes, order.secret)

    async def pay(self, answer: Any, card: str = "succeeds") -> None:
        """At the sandbox's till, hosted or framed."""
        place = "embedded" if answer["checkout"]["ui"] == "frame" else "checkout"
        key = answer["checkout"]["url"].rstrip("/").rsplit("/", 1)[-1]
        await self.call(
            "POST", f"/sandbox/api/{place}/{key}/pay", {"card": card, "email": None, "name": None}
        )

    async def buy(self, room: Room, name: str = "Ben", **changes: Any) -> Order:
        """A paid order; the host must be live."""
        order, answer = await self.order(room, name, **changes)
        await self.pay(answer)
        async with asyncio.timeout(10):
            while (await self.state(order))["state"] != "paid":
                await asyncio.sleep(0.05)
        return order

    async def state(self, order: Order) -> Any:
        return await self.call("POST", f"/api/orders/{order.id}/refresh", bearer=order.secret)

    async def token(self, order: Order) -> str:
        return (await self.call("POST", f"/api/orders/{order.id}/token", bearer=order.secret))["token"]

    async def host_token(self, room: Room) -> str:
        return (await self.call("POST", "/api/host/token", {"room_id": room.id, "host_key": room.host_key}))[
            "token"
        ]

    def client(self, *, media: bool = True) -> Client:
        client = Client(self.http, f"{self.url}/ws", media=media)
        self._stack.push_async_callback(client.close)
        return client

    async def host(self, room: Room, *, live: bool = True) -> Client:
        client = self.client()
        await client.join(await self.host_token(room))
        if live:
            await client.publish()
            await self.until_state(room, "live")
        return client

    async def payer(self, order: Order, *, media: bool = True) -> Client:
        client = self.client(media=media)
        await client.join(await self.token(order))
        return client

    async def until_state(self, room: Room, state: str, timeout_s: float = 20) -> None:
        """Until the public card says so."""
        async with asyncio.timeout(timeout_s):
            while (await self.card(room))["state"] != state:
                await asyncio.sleep(0.05)


class App(Api):
    """The app of this process, with its parts at hand."""

    def __init__(
        self, settings: Settings, parts: Parts, http: aiohttp.ClientSession, stack: AsyncExitStack
    ) -> None:
        super().__init__(f"http://127.0.0.1:{settings.http_port}", http, stack)
        self.settings = settings
        self.parts = parts

    @property
    def sandbox_url(self) -> str:
        """The stand-in for Stripe's own API, with its fault switches."""
        assert self.parts.sandbox is not None
        return f"http://127.0.0.1:{self.parts.sandbox.listener.getsockname()[1]}"

    async def leave_ms(self, order: Order, left_ms: int) -> None:
        """As if all but `left_ms` of the pass had been used: the shortest time for sale is a minute."""
        statement = update(passes).where(passes.c.order_id == order.id)
        await self.parts.db.write(
            lambda tx: tx.execute(statement.values(used_ms=passes.c.granted_ms - left_ms))
        )

    async def settled(self) -> None:
        """Until every row of the meters that waits is committed."""
        await self.parts.rooms.writer.flushed()

    async def rows(self, table: Any) -> list[Any]:
        async with self.parts.db.read() as tx:
            return list((await tx.execute(table.select())).all())


@asynccontextmanager
async def people_of(url: str) -> AsyncIterator[Api]:
    """For a server in a process of its own."""
    async with AsyncExitStack() as stack:
        http = await stack.enter_async_context(aiohttp.ClientSession())
        yield Api(url, http, await stack.enter_async_context(AsyncExitStack()))


@asynccontextmanager
async def running_app(folder: Path, **changes: Any) -> AsyncIterator[App]:
    """The real application, started and stopped as a server does it."""
    settings = settings_for(folder, **changes)
    async with AsyncExitStack() as stack:
        runner = web.AppRunner(build_app(settings), access_log=None, shutdown_timeout=2.0)
        await runner.setup()
        stack.push_async_callback(runner.cleanup)
        await web.TCPSite(runner, "127.0.0.1", settings.http_port).start()
        http = await stack.enter_async_context(aiohttp.ClientSession())
        clients = await stack.enter_async_context(AsyncExitStack())
        yield App(settings, runner.app[PARTS], http, clients)


__all__ = [
    "Api",
    "App",
    "Client",
    "Order",
    "RefusedError",
    "Room",
    "Server",
    "people_of",
    "running_app",
    "settings_for",
]
