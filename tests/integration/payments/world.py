"""A whole payment world in one process: our routes, the real SDK, the sandbox, a file on disk, invented time.

Nothing happens by itself: `deliver` lets the sandbox send its webhooks, `work` lets our worker apply.
"""

import asyncio
import os
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
from aiohttp import web
from aiohttp.test_utils import TestServer
from pydantic import SecretStr

from signaling.clock import rfc3339
from signaling.http import errors_middleware
from signaling.identity import IDENTITY, Identity
from signaling.ids import new_id, new_secret
from signaling.notices import Notice, Notices, OrderPaid
from signaling.payments import sweeper
from signaling.payments.hostroutes import HostRoutes
from signaling.payments.refundroutes import RefundRoutes
from signaling.payments.routes import PaymentRoutes
from signaling.payments.sandbox import Sandbox
from signaling.payments.service import Payments
from signaling.payments.settings import PaymentsSettings
from signaling.payments.stripe import StripePayments
from signaling.payments.walletroutes import WalletRoutes
from signaling.ratelimit import LocalRateLimiter
from signaling.stores import people, rooms
from signaling.stores.checks import run_checks
from signaling.stores.database import Database
from signaling.stores.people import User
from signaling.stores.schema import metadata
from signaling.stores.schema import rooms as rooms_table

SECRET_KEY = "sk_sandbox_test"
WEBHOOK_SECRET = "whsec_test"
ACCOUNT = "sandbox"
PER_MINUTE = {
    "kind": "per_minute",
    "rate_minor_per_min": 100,
    "currency": "eur",
    "presets_s": [900, 1800, 3600],
}


class Crash(BaseException):
    """The process died here. No `except Exception` may outlive it."""


class InventedClock:
    def __init__(self) -> None:
        self.at_s = 1_790_000_000.0

    def now_ns(self) -> int:
        return int(self.at_s * 1e9)

    def wall_s(self) -> float:
        return self.at_s


OPERATOR_SECRET = "the-operator-of-this-world-0123456789"


# Stands for the session's cookie, which another part looks after.
PERSON = "X-Person"
# What undoes another, by its code, and what counts as another.
CAME_BACK = {
    "unrefund": ("refund", -1),
    "reinstated": ("dispute_lost", -1),
    "reversal": ("payout", -1),
    "topup": ("payment_captured", 1),
}


class Customer:
    """Keeps the secret of one order, as a browser does."""

    def __init__(self, order_id: str, secret: str, user_id: str | None = None) -> None:
        self.order_id = order_id
        self.secret = secret
        self.user_id = user_id

    @property
    def headers(self) -> dict[str, str]:
        signed_in = {PERSON: self.user_id} if self.user_id else {}
        return {"Authorization": f"Bearer {self.secret}"} | signed_in


class World:
    def __init__(self, tmp_path: Path, http: aiohttp.ClientSession, database_url: str | None = None) -> None:
        self.database_url = database_url or f"sqlite:///{tmp_path}/tollroom.db"
        self.clock = InventedClock()
        self.http = http
        self.tmp_path = tmp_path
        self.notices: list[Notice] = []
        self.paid = asyncio.Event()
        self.crash_at: int | None = None
        self.steps: list[str] = []
        self.crashed = False
        self.deaths = 0
        self.webhooks_reach_us = True
        self.signed_in: User | None = None
        self.wrap: Callable[[Any], Any] = lambda service: service
        self.db: Database
        self.payments: Payments
        self.sandbox: Sandbox
        self.ours: TestServer
        self.api: TestServer

    # --- the process --------------------------------------------------------------------------------------

    async def open(self) -> None:
        self.ours = TestServer(self._app())
        await self.ours.start_server()
        self.sandbox = Sandbox(
            self.tmp_path / "sandbox.db",
            secret_key=SECRET_KEY,
            webhook_secret=WEBHOOK_SECRET,
            webhook_url=str(self.ours.make_url("/stripe/webhook")),
            public_url=str(self.ours.make_url("")).rstrip("/"),
            now=self.clock.wall_s,
            random_bytes=os.urandom,
            http=self.http,
        )
        await self.sandbox.start(deliver=False)
        standalone = self.sandbox.standalone_app()
        self.api = TestServer(standalone)
        await self.api.start_server()
        self.boot()
        await self.db.create_schema()

    def boot(self, **settings: Any) -> None:
        """Our server starts (again) on the same files."""
        self.db = Database(self.database_url)
        service = StripePayments(
            SECRET_KEY,
            http=self.http,
            mode="sandbox",
            account=ACCOUNT,
            webhook_secret=WEBHOOK_SECRET,
            api_base=str(self.api.make_url("")).rstrip("/"),
            timeout_s=settings.pop("timeout_s", 5.0),
        )
        notices = self.notice_board = Notices()
        notices.subscribe(self._hear)
        self.payments = Payments(
            db=self.db,
            clock=self.clock,
            random_bytes=os.urandom,
            notices=notices,
            service=self.wrap(service),
            settings=PaymentsSettings(
                mode="sandbox", account=ACCOUNT, public_url="http://localhost:8080", **settings
            ),
            step=self._step,
        )
        self.routes._payments = self.payments
        self.refund_routes._payments = self.payments
        self.wallet_routes._payments = self.payments
        self.host_routes._payments = self.payments

    async def reboot(self, **settings: Any) -> None:
        """After a crash: other connections, the same files; what a restarting server does first is done."""
        self.crash_at = None
        self.crashed = False
        await self.db.close()
        self.boot(**settings)
        await sweeper.forget_waiting(self.payments.ctx)

    async def close(self) -> None:
        await self.payments.close()
        await self.api.close()
        await self.sandbox.close()
        await self.ours.close()
        await self.db.close()

    def _hear(self, notice: Notice) -> None:
        self.notices.append(notice)
        if isinstance(notice, OrderPaid):
            self.paid.set()

    def _app(self) -> web.Application:
        limiter = LocalRateLimiter(self.clock)
        self.routes = PaymentRoutes(None, limiter)  # type: ignore[arg-type]
        app = web.Application(middlewares=[self._dying, errors_middleware])
        app[IDENTITY] = Identity(self._find_person, SecretStr(OPERATOR_SECRET))
        self.host_routes = HostRoutes(None, limiter)  # type: ignore[arg-type]
        app.router.add_routes(self.host_routes.routes())
        app.router.add_routes(self.routes.routes())
        self.refund_routes = RefundRoutes(None, limiter)  # type: ignore[arg-type]
        app.router.add_routes(self.refund_routes.routes())
        self.wallet_routes = WalletRoutes(None, limiter)  # type: ignore[arg-type]
        app.router.add_routes(self.wallet_routes.routes())
        return app

    async def _find_person(self, request: web.Request) -> User | None:
        if PERSON not in request.headers:
            return self.signed_in
        async with self.db.read() as tx:
            return await people.by_id(tx, request.headers[PERSON])

    @web.middleware
    async def _dying(self, request: web.Request, handler: Any) -> web.StreamResponse:
        if request.path == "/stripe/webhook" and not self.webhooks_reach_us:
            return web.Response(status=503)
        try:
            return await handler(request)
        except Crash:
            return web.json_response({}, status=500)

    def _step(self, name: str) -> None:
        self.steps.append(name)
        if self.crashed:
            raise Crash(name)
        if self.crash_at is not None:
            if self.crash_at == 0:
                self.crashed = True
                self.deaths += 1
                raise Crash(name)
            self.crash_at -= 1

    # --- what people do -----------------------------------------------------------------------------------

    async def add_room(self, slug: str = "talk", **values: Any) -> str:
        room: dict[str, Any] = {
            "id": f"room_{slug}",
            "slug": slug,
            "mode": "sandbox",
            "account": ACCOUNT,
            "title": "A talk",
            "description": "An hour with somebody who knows.",
            "host_name": "Ada",
            "host_key_hash": "0" * 64,
            "tariff": PER_MINUTE,
            "currency": "eur",
            "privacy": "confidential",
            "capacity": 3,
            "state": "open",
            "locked": False,
            "epoch": 0,
            "live": True,
            "away_since_s": None,
            "created_at": "2026-01-01T00:00:00.000Z",
        } | values
        await self.db.write(lambda tx: rooms.insert_room(tx, room))
        return str(room["id"])

    async def set_room(self, room_id: str, **values: Any) -> None:
        update = rooms_table.update().where(rooms_table.c.id == room_id).values(**values)
        await self.db.write(lambda tx: tx.execute(update))

    async def host_leaves(self, room_id: str) -> None:
        await self.set_room(room_id, live=False, away_since_s=int(self.clock.at_s))

    def customer(self, user_id: str | None = None) -> Customer:
        """`user_id`: of who is signed in."""
        return Customer(new_id("ord", os.urandom), new_secret(os.urandom), user_id)

    async def order(self, who: Customer, slug: str = "talk", **body: Any) -> tuple[int, dict[str, Any]]:
        said = {"order_id": who.order_id, "name": "Bo", "seconds": 900, "accept_terms": True} | body
        return await self.call("POST", f"/api/rooms/{slug}/orders", who, said)

    async def call(
        self, method: str, path: str, who: Customer | None = None, body: Any = None
    ) -> tuple[int, dict[str, Any]]:
        headers = who.headers if who else {}
        async with self.http.request(method, self.ours.make_url(path), json=body, headers=headers) as answer:
            return answer.status, await answer.json()

    async def show(self, who: Customer) -> dict[str, Any]:
        status, shown = await self.call("GET", f"/api/orders/{who.order_id}", who)
        assert status == 200, shown
        return shown

    async def pay(self, order: dict[str, Any], card: str = "succeeds") -> tuple[int, dict[str, Any]]:
        """On the sandbox's page, as its script does."""
        checkout = order["checkout"]
        kind = "embedded" if checkout["ui"] == "frame" else "checkout"
        key = checkout["url"].rsplit("/", 1)[1]
        url = self.api.make_url(f"/sandbox/api/{kind}/{key}/pay")
        async with self.http.post(url, json={"card": card}) as answer:
            return answer.status, await answer.json()

    async def control(self, what: str, **body: Any) -> dict[str, Any]:
        url = self.api.make_url(f"/_control/{what}")
        async with self.http.post(url, json=body) as answer:
            assert answer.status == 200, await answer.text()
            return await answer.json()

    async def buy(self, slug: str = "talk", **body: Any) -> tuple[Customer, dict[str, Any]]:
        """Ordered, paid, webhook delivered and applied."""
        who = self.customer()
        status, order = await self.order(who, slug, **body)
        assert status == 201, order
        status, paid = await self.pay(order)
        assert status == 200, paid
        await self.settle_down()
        return who, await self.show(who)

    # --- what happens by itself ---------------------------------------------------------------------------

    def now_text(self) -> str:
        return rfc3339(self.clock.at_s)

    def later(self, seconds: float) -> None:
        self.clock.at_s += seconds

    async def deliver(self) -> None:
        await self.sandbox.work()

    async def work(self) -> None:
        await self.payments.work_once()

    async def settle_down(self) -> None:
        for _ in range(4):
            await self.deliver()
            await self.work()

    # --- what must hold -----------------------------------------------------------------------------------

    async def rows(self, table: str) -> list[dict[str, Any]]:
        async with self.db.read() as tx:
            return [dict(row) for row in (await tx.execute(metadata.tables[table].select())).mappings()]

    async def one(self, table: str) -> dict[str, Any]:
        (row,) = await self.rows(table)
        return row

    async def problems(self) -> list[str]:
        """What is broken; what waits for a person is no fault of the books."""
        found = await run_checks(self.db)
        return [f"{one.code} {one.subject_id} {one.message}" for one in found if one.kind == "broken"]

    async def books(self) -> list[dict[str, Any]]:
        async with self.http.get(self.api.make_url("/_control/books")) as answer:
            return (await answer.json())["sessions"]

    async def assert_books_agree(self) -> None:
        """Our ledger against what the sandbox knows of each payment, and our own invariants."""
        ours: dict[tuple[str, str], int] = {}
        for row in await self.rows("transfers"):
            if row["kind"] == "hold" or "stripe_clearing" not in {row["debit"], row["credit"]}:
                continue  # only held, or from one hand of ours into another
            if row["code"] == "stripe_fee":
                continue  # booked when the service's own account is looked through
            code, sign = CAME_BACK.get(row["code"], (row["code"], 1))
            key = (row["subject_id"], code)
            ours[key] = ours.get(key, 0) + sign * row["amount_minor"]
        for theirs in await self.books():
            order_id = theirs["client_reference_id"]
            assert ours.pop((order_id, "payment_captured"), 0) == theirs["captured_minor"]
            assert ours.pop((order_id, "refund"), 0) == theirs["refunded_minor"]
            assert ours.pop((order_id, "dispute_lost"), 0) == theirs["dispute_lost_minor"]
        service = self.payments.ctx.service
        orders = {row["id"]: row["order_id"] for row in await self.rows("earnings")}
        for row in await self.rows("payouts"):
            for sent in await service.find_transfers(row["id"], 0):
                ours[orders[row["earning_id"]], "payout"] -= sent.amount_minor - sent.reversed_minor
        ours = {key: minor for key, minor in ours.items() if minor}
        assert ours == {}, "booked, and the sandbox knows nothing of it"
        assert await self.problems() == []


@asynccontextmanager
async def build_world(tmp_path: Path, database_url: str | None = None) -> AsyncIterator[World]:
    """`database_url`: SQLite in that folder unless said otherwise."""
    async with aiohttp.ClientSession() as http:
        world = World(tmp_path, http, database_url)
        await world.open()
        try:
            yield world
        finally:
            await world.close()
