"""The real application with a live and a test set of keys, each behind the real SDK and a stand-in of its own.

The stand-in never takes a live key, so before the live one stands a `_Front` that does: it says `livemode: true` in every
answer and every event, and signs the events anew.
"""

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
from aiohttp import web
from pydantic import SecretStr
from sqlalchemy import update

from signaling.app import PARTS, Parts, build_app
from signaling.clock import SystemClock
from signaling.identity import IDENTITY, Identity
from signaling.payments.sandbox import Sandbox
from signaling.payments.sandbox.webhooks import signature_header
from signaling.stores import people
from signaling.stores.people import User
from signaling.stores.schema import rooms, users
from tests.integration.harness import Api, RefusedError, Room, free_ports, settings_for

LIVE_KEY, TEST_KEY = "sk_live_51LiveLiveLiveLiveX", "sk_test_51LiveLiveLiveLiveX"
BEHIND_KEY = "sk_test_behind"
LIVE_HOOK, TEST_HOOK = "whsec_live", "whsec_test"
ADMIN = "operator-" + "x" * 40
MACHINE = {"Authorization": f"Bearer {ADMIN}"}
KEYS = {
    "stripe_secret_key": LIVE_KEY,
    "stripe_publishable_key": "pk_live_5x",
    "stripe_webhook_secret": LIVE_HOOK,
    "stripe_test_secret_key": TEST_KEY,
    "stripe_test_publishable_key": "pk_test_5x",
    "stripe_test_webhook_secret": TEST_HOOK,
    "public_url": "https://rooms.example.org",
    "room_creation": "open",
    "admin_token": ADMIN,
    # Rooms that need payers to sign in are opened only where mail is sent; nobody listens there.
    "smtp_url": "smtp://127.0.0.1:9",
    "mail_from": "rooms@example.org",
}


def livened(body: bytes) -> bytes:
    for said in (b'"livemode": false', b'"livemode":false'):
        body = body.replace(said, said.replace(b"false", b"true"))
    return body


class _Front:
    """Before the live stand-in. `is_down`: it answers nothing but 503, and no event comes through."""

    def __init__(self, http: aiohttp.ClientSession, *, behind: str, hook: str) -> None:
        self.http = http
        self.behind = behind
        self.hook = hook
        self.is_down = False

    def app(self) -> web.Application:
        app = web.Application()
        app.router.add_post("/hook", self.event)
        app.router.add_route("*", "/{rest:.*}", self.call)
        return app

    async def call(self, request: web.Request) -> web.Response:
        if self.is_down:
            return web.Response(status=503)
        assert request.headers["Authorization"] == f"Bearer {LIVE_KEY}"
        keep = {
            name: request.headers[name]
            for name in ("Content-Type", "Idempotency-Key", "Stripe-Version")
            if name in request.headers
        }
        headers = keep | {"Authorization": f"Bearer {BEHIND_KEY}"}
        async with self.http.request(
            request.method, self.behind + str(request.rel_url), data=await request.read(), headers=headers
        ) as answer:
            body = livened(await answer.read())
            kind = answer.headers.get("Content-Type", "application/json")
        return web.Response(status=answer.status, body=body, headers={"Content-Type": kind})

    async def event(self, request: web.Request) -> web.Response:
        if self.is_down:
            return web.Response(status=503)
        body = livened(await request.read()).decode()
        signed = signature_header(body, LIVE_HOOK, int(SystemClock().wall_s()))
        async with self.http.post(self.hook, data=body, headers={"Stripe-Signature": signed}) as answer:
            return web.Response(status=answer.status)


class Both(Api):
    """The server, its parts, and what people do on it. Who a call is made as is said by its `person`."""

    def __init__(self, url: str, http: aiohttp.ClientSession, stack: AsyncExitStack, parts: Parts) -> None:
        super().__init__(url, http, stack)
        self.parts = parts
        self.live_front: _Front
        self.tills: dict[str, str] = {}

    async def as_person(
        self, method: str, path: str, body: Any = None, *, person: str = "", **headers: str
    ) -> tuple[int, Any]:
        """The status and the answer; of a refusal its code."""
        given = {"X-Person": person} if person else {}
        async with self.http.request(method, self.url + path, json=body, headers=given | headers) as answer:
            text = await answer.json()
        return answer.status, text if answer.status < 400 else text["error"]["code"]

    async def operate(self, method: str, path: str, body: Any = None) -> Any:
        status, answer = await self.as_person(method, path, body, **MACHINE)
        assert status < 400, answer
        return answer

    async def add_person(self, name: str = "ana") -> str:
        values = {
            "id": f"user_{name}",
            "email": f"{name}@example.org",
            "name": name.title(),
            "role": "user",
            "created_at": "2026-01-01T00:00:00.000Z",
        }
        await self.parts.db.write(lambda tx: tx.execute(users.insert().values(values)))
        return f"user_{name}"

    async def open_room(self, mode: str, **changes: Any) -> Room:
        """Whose host is there."""
        room = await self.create_room(mode=mode, **changes)
        here = update(rooms).where(rooms.c.id == room.id).values(live=True, away_since_s=None)
        await self.parts.db.write(lambda tx: tx.execute(here))
        return room

    async def pay_in(self, mode: str, answer: Any, card: str = "succeeds") -> None:
        """At the till of that mode's stand-in."""
        key = answer["checkout"]["url"].rstrip("/").rsplit("/", 1)[-1]
        said = {"card": card, "email": None, "name": None}
        async with self.http.post(f"{self.tills[mode]}/sandbox/api/checkout/{key}/pay", json=said) as paid:
            assert paid.status == 200, await paid.text()

    async def until(self, path: str, wanted: Any, **headers: str) -> Any:
        """Until what `path` answers is as wanted."""
        async with asyncio.timeout(30):
            while True:
                status, answer = await self.as_person("GET", path, **headers)
                if status == 200 and wanted(answer):
                    return answer
                await asyncio.sleep(0.05)


async def _serve(stack: AsyncExitStack, app: web.Application, port: int) -> None:
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=1.0)
    await runner.setup()
    stack.push_async_callback(runner.cleanup)
    await web.TCPSite(runner, "127.0.0.1", port).start()


@dataclass(frozen=True, slots=True)
class StandIns:
    """By mode: where the server finds the service, and where people pay."""

    bases: dict[str, str]
    tills: dict[str, str]
    live_front: _Front


async def stand_ins(stack: AsyncExitStack, http: aiohttp.ClientSession, folder: Path, url: str) -> StandIns:
    """Of a server that answers at `url`; they run until the stack closes."""
    live_port, test_port, front_port = free_ports(3)
    bases = {"live": f"http://127.0.0.1:{front_port}", "test": f"http://127.0.0.1:{test_port}"}
    tills = {"live": f"http://127.0.0.1:{live_port}", "test": bases["test"]}
    front = _Front(http, behind=tills["live"], hook=f"{url}/stripe/webhook")
    await _serve(stack, front.app(), front_port)
    hooks = {"live": f"{bases['live']}/hook", "test": f"{url}/stripe/webhook/test"}
    for mode, key, secret, port in (
        ("live", BEHIND_KEY, "whsec_behind", live_port),
        ("test", TEST_KEY, TEST_HOOK, test_port),
    ):
        sandbox = Sandbox(
            folder / f"{mode}-service.db",
            secret_key=key,
            webhook_secret=secret,
            webhook_url=hooks[mode],
            public_url=tills[mode],
            now=SystemClock().wall_s,
            random_bytes=os.urandom,
            http=http,
        )
        await sandbox.start()
        stack.push_async_callback(sandbox.close)
        await _serve(stack, sandbox.standalone_app(), port)
    return StandIns(bases, tills, front)


def an_event(event_id: str, kind: str, thing: Any, *, live: bool) -> dict[str, Any]:
    """As Stripe sends it, about that object."""
    return {
        "id": event_id,
        "object": "event",
        "account": None,
        "api_version": "2026-10-28.endive",
        "created": int(SystemClock().wall_s()),
        "data": {"object": thing},
        "livemode": live,
        "pending_webhooks": 0,
        "request": {"id": None, "idempotency_key": None},
        "type": kind,
    }


@asynccontextmanager
async def both_sets(folder: Path, **changes: Any) -> AsyncIterator[Both]:
    settings = settings_for(folder, **(KEYS | {"media_workers": 0} | changes))
    url = f"http://127.0.0.1:{settings.http_port}"
    async with AsyncExitStack() as stack:
        http = await stack.enter_async_context(aiohttp.ClientSession())
        services = await stand_ins(stack, http, folder, url)
        app = build_app(settings, service_bases=services.bases)
        _let_tests_sign_in(app)
        await _serve(stack, app, settings.http_port)
        clients = await stack.enter_async_context(AsyncExitStack())
        both = Both(url, http, clients, app[PARTS])
        both.live_front, both.tills = services.live_front, services.tills
        yield both


def _let_tests_sign_in(app: web.Application) -> None:
    """As who the header says."""
    parts = app[PARTS]

    async def find(request: web.Request) -> User | None:
        if "X-Person" not in request.headers:
            return None
        async with parts.db.read() as tx:
            return await people.by_id(tx, request.headers["X-Person"])

    parts.people.sessions.find = find  # type: ignore[method-assign]
    app[IDENTITY] = Identity(find, SecretStr(ADMIN))


__all__ = ["Both", "RefusedError", "both_sets", "livened", "stand_ins"]
