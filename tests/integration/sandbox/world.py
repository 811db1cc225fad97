"""The sandbox on a real port, the real SDK before it, and a merchant's webhook endpoint behind it."""

import asyncio
import json
import random
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import stripe
from aiohttp import web

from signaling.payments.sandbox import Sandbox

from .schema import problems

SECRET_KEY = "sk_sandbox_tests"
WEBHOOK_SECRET = "whsec_tests"
START_S = 1_800_000_000.0


@dataclass
class Clock:
    """A clock that only tests move."""

    now_s: float = START_S

    def __call__(self) -> float:
        return self.now_s


@dataclass
class Merchant:
    """A webhook endpoint. Keeps what arrives; answers `statuses` in turn, then 200."""

    received: list[dict[str, Any]] = field(default_factory=list)
    headers: list[str] = field(default_factory=list)
    statuses: list[int] = field(default_factory=list)
    clock: Clock | None = None
    arrived: asyncio.Condition = field(default_factory=asyncio.Condition)

    async def receive(self, request: web.Request) -> web.Response:
        body = await request.read()
        header = request.headers["Stripe-Signature"]
        self.headers.append(header)
        try:
            stripe.WebhookSignature.verify_header(body, header, WEBHOOK_SECRET)
        except stripe.SignatureVerificationError:
            return web.Response(status=400)
        signed_s = int(header.split(",")[0].removeprefix("t="))
        if self.clock is not None and signed_s < self.clock() - 300:
            return web.Response(status=400)
        status = self.statuses.pop(0) if self.statuses else 200
        if status < 300:
            await self._keep(json.loads(body))
        return web.Response(status=status)

    async def _keep(self, event: dict[str, Any]) -> None:
        async with self.arrived:
            self.received.append(event)
            self.arrived.notify_all()

    async def wait_for(self, kind: str) -> None:
        """Until an event of that type has arrived (at most 10 s)."""
        async with asyncio.timeout(10), self.arrived:
            await self.arrived.wait_for(lambda: kind in self.types)

    @property
    def types(self) -> list[str]:
        return [event["type"] for event in self.received]


@dataclass
class World:
    url: str
    clock: Clock
    sandbox: Sandbox
    client: stripe.StripeClient
    http: aiohttp.ClientSession
    merchant: Merchant
    answers: list[dict[str, Any]]

    async def session(self, *, key: str | None = None, **changes: Any) -> Any:
        options = {"idempotency_key": key} if key else {}
        return await self.client.v1.checkout.sessions.create_async(checkout_params(**changes), options)

    async def pay(self, session: Any, card: str = "succeeds", **more: Any) -> dict[str, Any]:
        return await self.page(session, "/pay", {"card": card, **more})

    async def page(self, session: Any, path: str = "", body: dict[str, Any] | None = None) -> dict[str, Any]:
        """What the page calls. Refusals come back as `{"error": …, "status": …}`."""
        embedded = session.ui_mode == "embedded_page"
        place = f"embedded/{session.client_secret}" if embedded else f"checkout/{session.id}"
        return await self.call(f"/sandbox/api/{place}{path}", body)

    async def control(self, path: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
        return await self.call(f"/_control/{path}", body)

    async def call(self, path: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
        method = "GET" if body is None else "POST"
        async with self.http.request(method, self.url + path, json=body) as response:
            answer = json.loads(await response.text())
            return answer | ({"status": response.status} if "error" in answer else {})

    async def paid(self, **changes: Any) -> Any:
        """A session that was paid, with its PaymentIntent's id."""
        session = await self.session(**changes)
        assert (await self.pay(session))["state"] == "complete"
        return await self.client.v1.checkout.sessions.retrieve_async(session.id)

    async def work(self, after_s: float = 0.0) -> float:
        """Let the clock go on and the sandbox do what is due."""
        self.clock.now_s += after_s
        return await self.sandbox.work()


def checkout_params(**changes: Any) -> dict[str, Any]:
    """What a checkout asks for: one line of 15.00 €, hosted. A change to None leaves the parameter out."""
    price = {
        "currency": "eur",
        "unit_amount": 1500,
        "product_data": {"name": "Algebra", "description": "30 minutes"},
    }
    params = {
        "mode": "payment",
        "line_items": [{"price_data": price, "quantity": 1}],
        "client_reference_id": "ord_1",
        "success_url": "https://rooms.test/back?session={CHECKOUT_SESSION_ID}",
        "cancel_url": "https://rooms.test/r/algebra",
        **changes,
    }
    return {name: value for name, value in params.items() if value is not None}


def embedded(**changes: Any) -> dict[str, Any]:
    return {
        "ui_mode": "embedded_page",
        "success_url": None,
        "cancel_url": None,
        "return_url": "https://rooms.test/back?session={CHECKOUT_SESSION_ID}",
        "redirect_on_completion": "if_required",
        **changes,
    }


@asynccontextmanager
async def build_world(
    folder: Path, *, webhooks: bool = True, max_network_retries: int = 0
) -> AsyncIterator[World]:
    """A world with a sandbox that works only when told to. On the way out, every answer is held to the schema."""
    clock = Clock()
    merchant = Merchant(clock=clock)
    hooks = web.Application()
    hooks.router.add_post("/stripe/webhook", merchant.receive)
    answers: list[dict[str, Any]] = []
    async with aiohttp.ClientSession() as http, served(hooks) as hooks_url, reserved() as (listener, url):
        sandbox = Sandbox(
            folder / "sandbox.db",
            secret_key=SECRET_KEY,
            webhook_secret=WEBHOOK_SECRET,
            webhook_url=f"{hooks_url}/stripe/webhook" if webhooks else None,
            public_url=url,
            now=clock,
            random_bytes=random.Random(1).randbytes,
            http=http,
        )
        await sandbox.start(deliver=False)
        app = sandbox.standalone_app()
        app.middlewares.append(recorder(answers))
        async with serving(app, listener):
            client = stripe.StripeClient(
                SECRET_KEY,
                base_addresses={"api": url},
                http_client=stripe.AIOHTTPClient(session=http),
                max_network_retries=max_network_retries,
            )
            yield World(url, clock, sandbox, client, http, merchant, answers)
        await sandbox.close()
    wrong = sorted({found for answer in answers for found in problems(answer)})
    assert not wrong, wrong


def recorder(answers: list[dict[str, Any]]) -> Any:
    @web.middleware
    async def record(request: web.Request, handler: Any) -> web.StreamResponse:
        response = await handler(request)
        shaped = request.path.startswith(("/v1/", "/v2/core/account"))
        if shaped and isinstance(response, web.Response) and response.text:
            answers.append(json.loads(response.text))
        return response

    return record


@asynccontextmanager
async def reserved() -> AsyncIterator[tuple[Any, str]]:
    listener = socket.create_server(("127.0.0.1", 0))
    try:
        yield listener, f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        listener.close()


@asynccontextmanager
async def serving(app: web.Application, listener: Any) -> AsyncIterator[None]:
    runner = web.AppRunner(app)
    await runner.setup()
    await web.SockSite(runner, listener).start()
    try:
        yield
    finally:
        await runner.cleanup()


@asynccontextmanager
async def served(app: web.Application) -> AsyncIterator[str]:
    async with reserved() as (listener, url), serving(app, listener):
        yield url
