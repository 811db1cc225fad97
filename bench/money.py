"""How fast money is dealt with: webhooks applied, the way from a payment to its token, the ledger, wallets of many calls at
once, and all invariants over many orders; on SQLite and PostgreSQL, both writing safely to the disk.

- **webhooks**: signed events are stored and applied by the real payments; the payment service alone is of paper and
  answers at once, so this is our share.
- **token**: the real server; the payment sandbox has a process of its own. From the arrival of the webhook of a payment
  to the answer that carries the payer's join token, and what of that the sandbox took to answer us.
- **ledger**: transfers, one in a transaction and a hundred in one.
- **wallets**: so many calls, each with a wallet of its own: the hold of a window, and its settlement, each in a
  transaction of its own, all asked for at once.
- **history**: so many sales of every kind that are over (refunded, settled, paid out, subscriptions that ended), in every
  table that grows: one idle round of the background work, what is asked once a minute included.
- **orders**: so many paid orders on file: all invariants (what `tollroom check` runs), one idle round of the background
  work, and what a starting server looks at.

One line of JSON for each. `python -m bench.money --only ledger --transfers 2000 --database sqlite`.
"""

import argparse
import asyncio
import gc
import json
import os
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, replace
from http import HTTPStatus
from pathlib import Path
from typing import Any

import aiohttp
import asyncpg
import structlog
import uvloop
from sqlalchemy import text, update

from bench.media import percentile
from mediaserver.worker import collect_garbage_rarely
from metering import accounts, chart
from metering.ledger import Transfer
from metering.orders import OrderState, PaymentFact
from signaling.clock import SystemClock
from signaling.notices import Notice, Notices, OrderPaid
from signaling.payments import sweeper
from signaling.payments.context import side_by_side
from signaling.payments.port import Checkout, ServiceEvent
from signaling.payments.sandbox.webhooks import signature_header
from signaling.payments.service import Payments
from signaling.payments.settings import PaymentsSettings
from signaling.payments.stripe import API_VERSION, StripePayments
from signaling.stores import ledger, schema
from signaling.stores.checks import run_checks
from signaling.stores.database import Database, Transaction
from signaling.stores.ledger import Entry

MODE, ACCOUNT, SECRET = "sandbox", "bench", "whsec_bench"
NOW = "2026-01-01T00:00:00.000Z"
AT_ONCE = 32  # requests that a busy server has before it at the same time
ROWS_MAX = 2000
PER_ROOM = 100
AMOUNT_MINOR = 500
HISTORY_ROUNDS = 20
WARM_UP = 3  # payments before the first that counts: statements are compiled once
Line = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Options:
    databases: tuple[str, ...]
    only: tuple[str, ...]
    webhooks: int
    payments: int
    transfers: int
    wallets: int
    history: int
    orders: int


# --- rows -------------------------------------------------------------------------------------------------


def _room(n: int) -> Line:
    tariff = {"kind": "entrance", "price_minor": AMOUNT_MINOR, "currency": "eur", "seconds": 1800}
    return {
        "id": f"room_{n}", "slug": f"slug_{n}", "mode": MODE, "account": ACCOUNT, "title": "Bench", "description": "Bench",
        "host_name": "Bench", "host_key_hash": "", "tariff": tariff, "currency": "eur", "privacy": "conference",
        "capacity": 1000, "state": "open", "locked": False, "epoch": 0, "live": True, "created_at": NOW,
    }  # fmt: skip


def _order(n: int, state: OrderState, now_s: int) -> Line:
    is_open = state is OrderState.OPEN
    return {
        "id": f"ord_{n}", "room_id": f"room_{n // PER_ROOM}", "mode": MODE, "account": ACCOUNT, "state": state.value,
        "request_hash": "", "secret_hash": "", "name": "Bo", "tariff": _room(0)["tariff"], "title": "Bench",
        "description": "Bench", "seconds": 1800, "amount_minor": AMOUNT_MINOR, "currency": "eur", "ui": "hosted",
        "checkout_session_id": f"cs_{n}", "payment_intent_id": None if is_open else f"pi_{n}", "refunded_minor": 0,
        "dispute": "none", "lost_minor": 0, "granted": not is_open, "granted_before_ms": 0, "access_ended": False,
        "taken_ms": 0, "reserved_until_s": now_s + 86_400 if is_open else None, "waits": False, "walked_away": False,
        "created_at": NOW, "created_at_s": now_s, "paid_at": None if is_open else NOW,
        "paid_at_s": None if is_open else now_s, "payee": f"room_{n // PER_ROOM}", "list_minor": AMOUNT_MINOR,
    }  # fmt: skip


def _pass(n: int) -> Line:
    """All its time was used."""
    return {
        "id": f"pass_{n}", "room_id": f"room_{n // PER_ROOM}", "order_id": f"ord_{n}", "mode": MODE, "account": ACCOUNT,
        "state": "used_up", "name": "Bo", "granted_ms": 1_800_000, "used_ms": 1_800_000, "forgiven_ms": 0,
        "may_publish": False, "epoch": 1, "created_at": NOW,
    }  # fmt: skip


def _earning(n: int, now_s: int) -> Line:
    return {
        "id": f"ord_{n}", "mode": MODE, "account": ACCOUNT, "payee": f"room_{n // PER_ROOM}", "order_id": f"ord_{n}",
        "room_id": f"room_{n // PER_ROOM}", "currency": "eur", "gross_minor": AMOUNT_MINOR, "fee_minor": 0,
        "tax_minor": 0, "net_minor": AMOUNT_MINOR, "reversed_minor": 0, "paid_minor": 0, "state": "pending",
        "available_at_s": now_s + 86_400 * 15, "created_at": NOW, "created_at_s": now_s,
    }  # fmt: skip


async def _insert(db: Database, table: Any, rows: Sequence[Line]) -> None:
    for at in range(0, len(rows), ROWS_MAX):
        some = rows[at : at + ROWS_MAX]
        await db.write(lambda tx, some=some: tx.execute(table.insert(), some))


def _rooms(orders: int) -> list[Line]:
    return [_room(n) for n in range(-(-orders // PER_ROOM))]


# --- webhooks ---------------------------------------------------------------------------------------------


class PaperStripe(StripePayments):
    """Every Checkout Session is paid; nothing is asked over a network. Signatures and events are read as always."""

    def __init__(self, *given: Any, **named: Any) -> None:
        super().__init__(*given, **named)
        self.asked_what_was_missed = asyncio.Event()  # a server that starts does so last

    async def fetch_checkout(self, checkout_session_id: str) -> Checkout:
        number = checkout_session_id.removeprefix("cs_")
        fact = PaymentFact(
            f"ord_{number}", checkout_session_id, AMOUNT_MINOR, "eur", "sandbox", ACCOUNT, "complete", "paid",
            "succeeded", payment_intent_id=f"pi_{number}",
        )  # fmt: skip
        return Checkout(fact, None, None)

    async def events_since(self, created_from_s: int) -> AsyncIterator[ServiceEvent]:
        self.asked_what_was_missed.set()
        return
        yield


def _event(n: int, now_s: int) -> tuple[bytes, str]:
    event = {
        "id": f"evt_{n}", "object": "event", "account": None, "api_version": API_VERSION, "context": None,
        "created": now_s, "livemode": False, "pending_webhooks": 1, "request": None,
        "type": "checkout.session.completed",
        "data": {"object": {"id": f"cs_{n}", "object": "checkout.session", "client_reference_id": f"ord_{n}",
                            "payment_intent": f"pi_{n}", "payment_status": "paid", "status": "complete"}},
    }  # fmt: skip
    body = json.dumps(event).encode()
    return body, signature_header(body.decode(), SECRET, now_s)


def _paper(http: aiohttp.ClientSession) -> PaperStripe:
    return PaperStripe("sk_sandbox_bench", http=http, mode="sandbox", account=ACCOUNT, webhook_secret=SECRET)


def _payments(
    db: Database, service: PaperStripe, notices: Notices, *, account: str = ACCOUNT, all_of_it: bool = False
) -> Payments:
    settings = PaymentsSettings(
        mode="sandbox",
        account=account,
        public_url="http://localhost:8080",
        connect=all_of_it,
        receipts=all_of_it,
    )
    return Payments(
        db=db,
        clock=SystemClock(),
        random_bytes=os.urandom,
        notices=notices,
        service=service,
        settings=settings,
    )


async def webhooks(db: Database, count: int) -> Line:
    notices, now_s = Notices(), int(time.time())
    applied, done = 0, asyncio.Event()

    def hear(notice: Notice) -> None:
        nonlocal applied
        if isinstance(notice, OrderPaid):
            applied += 1
            if applied == count:
                done.set()

    notices.subscribe(hear)
    async with aiohttp.ClientSession() as http:
        service = _paper(http)
        payments = _payments(db, service, notices)
        await _insert(db, schema.rooms, _rooms(count))
        await payments.catch_up()  # as a server that ran before
        await payments.start()
        try:
            # After the start, which would look at every open order by itself.
            await service.asked_what_was_missed.wait()
            await _insert(db, schema.orders, [_order(n, OrderState.OPEN, now_s) for n in range(count)])
            events = [_event(n, now_s) for n in range(count)]
            begun_s, begun_cpu_s = time.perf_counter(), time.process_time()
            await side_by_side((payments.take_webhook(*event) for event in events), AT_ONCE)
            stored_s = time.perf_counter() - begun_s
            async with asyncio.timeout(600):
                await done.wait()
            applied_s, cpu_s = time.perf_counter() - begun_s, time.process_time() - begun_cpu_s
        finally:
            await payments.close()
    return {
        "webhooks": count,
        "stored_per_s": round(count / stored_s),
        "stored_and_applied_per_s": round(count / applied_s),
        "cpu_ms_each": round(
            cpu_s * 1000 / count, 1
        ),  # of our process; says more than the clock on a busy machine
    }


# --- from the payment to the token ------------------------------------------------------------------------


@asynccontextmanager
async def _shop(folder: Path, database_url: str) -> AsyncIterator[tuple[Any, str]]:
    """The real server in this process, and the payment sandbox in one of its own: what is measured is ours. The app and
    where the sandbox is."""
    from tests.browser.server import free_ports  # noqa: PLC0415 - it brings the tests' clients with it
    from tests.integration.harness import running_app  # noqa: PLC0415
    from tests.integration.money import server, town  # noqa: PLC0415

    (port,) = free_ports(1)
    url = f"http://localhost:{port}"
    sandbox = town.SandboxProcess(folder, f"{url}/stripe/webhook")
    os.environ |= {
        "SANDBOX_URL": sandbox.url, "SANDBOX_KEY": town.KEY, "SANDBOX_WEBHOOK_SECRET": town.WEBHOOK_SECRET,
    }  # fmt: skip
    server.use_the_other_process()
    await asyncio.to_thread(sandbox.start)
    try:
        settings = {"http_port": port, "public_url": url, "database_url": database_url, "payments": "sandbox"}
        async with running_app(folder, media_workers=0, **settings) as app:
            yield app, sandbox.url
    finally:
        sandbox.kill9()


async def token(folder: Path, count: int, database_url: str) -> Line:
    """One payer after the other."""
    async with _shop(folder, database_url) as (app, sandbox_url):
        room = await app.create_room(privacy="conference", capacity=1000)
        live = update(schema.rooms).values(live=True, away_since_s=None)
        await app.parts.db.write(lambda tx: tx.execute(live))
        collect_garbage_rarely()  # as every server does once it stands; the tests' clients are with us here
        watch = _Watch(app.parts)
        for n in range(WARM_UP + count):
            order, answer = await app.order(room, f"Bo {n}")
            watch.next_one(order.id)
            session = answer["checkout"]["url"].rstrip("/").rsplit("/", 1)[-1]
            paying = f"{sandbox_url}/sandbox/api/checkout/{session}/pay"
            async with app.http.post(paying, json={"card": "succeeds", "email": None, "name": None}) as paid:
                assert paid.status == HTTPStatus.OK, await paid.text()
            async with asyncio.timeout(30):
                await watch.paid.wait()
            await app.token(order)
            watch.done()
        watch.close()
    return {"payments": count} | watch.figures()


class _Watch:
    """From the arrival of the first webhook that names an order to its token, and what of that the payment service took to
    answer. Of the slowest also when it was paid, and how long Python collected garbage in it."""

    def __init__(self, parts: Any) -> None:
        self.paid = asyncio.Event()
        self._order_id = ""
        self._arrived_ns = self._asked_ns = 0
        self._all_ns: list[int] = []
        self._service_ns: list[int] = []
        self._paid_ns: list[int] = []
        self._garbage_ns: list[int] = []
        self._paid_at_ns = self._collected_ns = self._collecting_since_ns = 0
        gc.callbacks.append(self._collecting)
        self._take, self._fetch = parts.payments.take_webhook, parts.payments.ctx.service.fetch_checkout
        parts.payments.take_webhook = self._taking
        parts.payments.ctx.service.fetch_checkout = self._fetching
        parts.notices.subscribe(self._hear)

    def close(self) -> None:
        gc.callbacks.remove(self._collecting)

    def _hear(self, notice: Notice) -> None:
        if isinstance(notice, OrderPaid):
            self._paid_at_ns = time.perf_counter_ns()
            self.paid.set()

    def _collecting(self, phase: str, _info: dict[str, int]) -> None:
        if phase == "start":
            self._collecting_since_ns = time.perf_counter_ns()
        else:
            self._collected_ns += time.perf_counter_ns() - self._collecting_since_ns

    def next_one(self, order_id: str) -> None:
        self.paid.clear()
        self._order_id = order_id
        self._arrived_ns = self._asked_ns = self._collected_ns = 0

    def done(self) -> None:
        assert self._arrived_ns, "paid before its webhook came"
        self._all_ns.append(time.perf_counter_ns() - self._arrived_ns)
        self._service_ns.append(self._asked_ns)
        self._paid_ns.append(self._paid_at_ns - self._arrived_ns)
        self._garbage_ns.append(self._collected_ns)

    async def _taking(self, body: bytes, signature: str | None) -> None:
        if not self._arrived_ns and self._order_id.encode() in body:
            self._arrived_ns = time.perf_counter_ns()
        await self._take(body, signature)

    async def _fetching(self, checkout_session_id: str) -> Checkout:
        begun_ns = time.perf_counter_ns()
        found: Checkout = await self._fetch(checkout_session_id)
        if not self.paid.is_set():
            self._asked_ns = time.perf_counter_ns() - begun_ns
        return found

    def figures(self) -> Line:
        """In milliseconds."""
        slowest = max(range(WARM_UP, len(self._all_ns)), key=self._all_ns.__getitem__)
        parts = {
            "paid": self._paid_ns,
            "of_it_asking": self._service_ns,
            "collecting_garbage": self._garbage_ns,
        }
        found = {"token": sorted(self._all_ns[WARM_UP:]), "of_it_asking": sorted(self._service_ns[WARM_UP:])}
        return {
            f"{name}_{what}_ms": round(percentile(taken, share) / 1e6, 1)
            for name, taken in found.items()
            for what, share in (("p50", 0.5), ("p99", 0.99), ("max", 1.0))
        } | {"of_the_slowest": {name: round(taken[slowest] / 1e6, 1) for name, taken in parts.items()}}


# --- the ledger -------------------------------------------------------------------------------------------


def _entry(transfer: Transfer, subject_id: str) -> Entry:
    return Entry(transfer, MODE, ACCOUNT, subject_id)


def _sale(n: int) -> list[Entry]:
    sale = chart.Sale(f"ord_{n}", f"payee_{n % PER_ROOM}", AMOUNT_MINOR, "eur")
    return [_entry(transfer, sale.sale_id) for transfer in chart.sold(sale)]


def _booking(entries: Sequence[Entry]) -> Callable[[Transaction], Awaitable[None]]:
    async def work(tx: Transaction) -> None:
        await ledger.require_posted(tx, entries, NOW)

    return work


async def transfers(db: Database, count: int) -> Line:
    one_by_one = [_sale(n) for n in range(count)]
    begun_s = time.perf_counter()
    await side_by_side((db.write(_booking(entries)) for entries in one_by_one), AT_ONCE)
    alone_s = time.perf_counter() - begun_s
    at_once = [
        [entry for n in range(first, min(first + 100, 2 * count)) for entry in _sale(n)]
        for first in range(count, 2 * count, 100)
    ]
    begun_s = time.perf_counter()
    for entries in at_once:
        await db.write(_booking(entries))
    together_s = time.perf_counter() - begun_s
    return {
        "transfers": count,
        "one_a_transaction_per_s": round(count / alone_s),
        "a_hundred_a_transaction_per_s": round(count / together_s),
    }


async def wallets(db: Database, count: int) -> Line:
    windows = [chart.WalletWindow(f"win_{n}", f"pass_{n}", f"usr_{n}", 200, "eur") for n in range(count)]
    for first in range(0, count, 500):
        topups = [
            _entry(transfer, f"ord_{n}")
            for n in range(first, min(first + 500, count))
            for transfer in chart.topped_up(f"ord_{n}", f"usr_{n}", 1000, 0, "eur")
        ]
        await db.write(_booking(topups))
    held_s = await _each(db, windows, chart.window_held)
    settled_s = await _each(db, windows, _settled)
    return {
        "wallets": count,
        "held_s": round(held_s, 2),
        "held_per_s": round(count / held_s),
        "settled_s": round(settled_s, 2),
        "settled_per_s": round(count / settled_s),
    }


def _settled(window: chart.WalletWindow) -> tuple[Transfer, ...]:
    """120 of 200 were used."""
    sale = chart.Sale(window.pass_id, "payee", 120, "eur", paid_by=accounts.wallet(window.user_id))
    through = accounts.stay_hold(window.pass_id)
    return (*chart.window_settled(window, 120), *chart.sold(sale, through))


async def _each(
    db: Database,
    windows: Sequence[chart.WalletWindow],
    books: Callable[[chart.WalletWindow], tuple[Transfer, ...]],
) -> float:
    work = [[_entry(one, window.pass_id) for one in books(window)] for window in windows]
    begun_s = time.perf_counter()
    await side_by_side((db.write(_booking(entries)) for entries in work), AT_ONCE)
    return time.perf_counter() - begun_s


# --- many orders on file ----------------------------------------------------------------------------------


async def orders(db: Database, count: int) -> Line:
    now_s = int(time.time())
    await _insert(db, schema.rooms, _rooms(count))
    await _insert(db, schema.orders, [_order(n, OrderState.PAID, now_s) for n in range(count)])
    await _insert(db, schema.passes, [_pass(n) for n in range(count)])
    await _insert(db, schema.earnings, [_earning(n, now_s) for n in range(count)])
    for first in range(0, count, 500):
        sales = [
            replace(entry, transfer=replace(entry.transfer, credit=f"earned_pending:room_{n // PER_ROOM}"))
            for n in range(first, min(first + 500, count))
            for entry in _sale(n)
        ]
        await db.write(_booking(sales))
    begun_s = time.perf_counter()
    problems = await run_checks(db)
    checked_s = time.perf_counter() - begun_s
    if problems:
        raise RuntimeError(f"the books of the bench are broken: {problems[:3]}")
    async with aiohttp.ClientSession() as http:
        payments = _payments(db, _paper(http), Notices())
        await payments.work_once()  # statements are compiled once
        begun_s = time.perf_counter()
        await payments.work_once()
        idle_s = time.perf_counter() - begun_s
        begun_s = time.perf_counter()
        await sweeper.settle_open(payments.ctx)
        open_s = time.perf_counter() - begun_s
    return {
        "orders": count,
        "all_invariants_s": round(checked_s, 2),
        "idle_round_ms": round(idle_s * 1000, 1),
        "looked_at_when_starting_s": round(open_s, 2),
    }


async def history(db: Database, count: int) -> Line:
    from tests.integration.payments import history as past  # noqa: PLC0415 - it brings the tests' clients with it

    room = _room(0) | {"account": past.BOOKS["account"], "live": False, "away_since_s": 1}
    await _insert(db, schema.rooms, [room])
    await past.add_who_they_are_of(db)
    for first in range(0, count, ROWS_MAX):
        await past.add_history(db, room["id"], first, min(ROWS_MAX, count - first))
    if not db.is_sqlite:
        await db.write(lambda tx: tx.execute(text("ANALYZE")))  # as autovacuum does within a minute
    rounds_s: list[float] = []
    for _ in range(HISTORY_ROUNDS):
        async with aiohttp.ClientSession() as http:
            payments = _payments(db, _paper(http), Notices(), account=past.BOOKS["account"], all_of_it=True)
            begun_s = time.perf_counter()
            await payments.work_once()
            rounds_s.append(time.perf_counter() - begun_s)
    best_s = sorted(rounds_s[1:])  # in the first, statements are compiled
    return {
        "history": count,
        "idle_round_p50_ms": round(percentile(best_s, 0.5) * 1000, 1),
        "idle_round_min_ms": round(best_s[0] * 1000, 1),
    }


# --- running ----------------------------------------------------------------------------------------------

ON_A_DATABASE: dict[str, tuple[Callable[[Database, int], Awaitable[Line]], str]] = {
    "webhooks": (webhooks, "webhooks"),
    "ledger": (transfers, "transfers"),
    "wallets": (wallets, "wallets"),
    "history": (history, "history"),
    "orders": (orders, "orders"),
}
NAMES = (*ON_A_DATABASE, "token")


@contextmanager
def _server(kind: str) -> Iterator[str | None]:
    """The URL of a PostgreSQL server that keeps what it commits; None for SQLite."""
    if kind == "sqlite":
        yield None
        return
    from tests.contract.postgres import postgres_server  # noqa: PLC0415

    with postgres_server(safe=True) as url:
        yield url


async def _empty(server: str | None, name: str, folder: Path) -> str:
    """The URL of a database without tables."""
    if server is None:
        return f"sqlite:///{folder}/{name}.db"
    connection = await asyncpg.connect(server)
    try:
        await connection.execute(f"CREATE DATABASE bench_{name}")
    finally:
        await connection.close()
    return f"{server.rpartition('/')[0]}/bench_{name}"


async def _fresh(server: str | None, name: str, folder: Path) -> Database:
    db = Database(await _empty(server, name, folder))
    await db.create_schema()
    return db


async def _measure(kind: str, server: str | None, options: Options, folder: Path) -> None:
    for name, (work, size) in ON_A_DATABASE.items():
        if name in options.only:
            db = await _fresh(server, name, folder)
            try:
                _say(kind, name, await work(db, getattr(options, size)))
            finally:
                await db.close()
    if "token" in options.only:
        _say(kind, "token", await token(folder, options.payments, await _empty(server, "token", folder)))


def _say(kind: str, name: str, line: Line) -> None:
    load = round(os.getloadavg()[0], 1)
    print(json.dumps({"money": name, "database": kind} | line | {"load_average": load}), flush=True)


def parse(arguments: Sequence[str] | None = None) -> Options:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--database", choices=["sqlite", "postgresql", "both"], default="both")
    parser.add_argument("--only", nargs="+", choices=NAMES, default=list(NAMES))
    parser.add_argument("--webhooks", type=int, default=2_000)
    parser.add_argument("--payments", type=int, default=60)
    parser.add_argument("--transfers", type=int, default=5_000)
    parser.add_argument("--wallets", type=int, default=10_000)
    parser.add_argument("--history", type=int, default=100_000)
    parser.add_argument("--orders", type=int, default=100_000)
    found = parser.parse_args(arguments)
    kinds = ("sqlite", "postgresql") if found.database == "both" else (found.database,)
    sizes = (
        found.webhooks,
        found.payments,
        found.transfers,
        found.wallets,
        found.history,
        found.orders,
    )
    return Options(kinds, tuple(found.only), *sizes)


def main(arguments: Sequence[str] | None = None) -> None:
    options = parse(arguments)
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(40))
    for kind in options.databases:
        with _server(kind) as server, tempfile.TemporaryDirectory(prefix="tollroom-bench-") as name:
            uvloop.run(_measure(kind, server, options, Path(name)))


if __name__ == "__main__":
    main()
