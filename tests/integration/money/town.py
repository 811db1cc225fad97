"""A server and a sandbox, each a process of its own, people who buy, refund and dispute at random, and kill -9.

`live_through(seed, …)` runs one life: everything random comes from the seed. At its end both stand, everything has come
to rest, our invariants hold, and our books say what the sandbox's say.
"""

import asyncio
import os
import random
import subprocess
import sys
from collections import Counter
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import aiohttp
from sqlalchemy import and_, func, or_, select, update

from signaling.ids import new_id, new_secret
from signaling.payments import connect
from signaling.payments.stripe import StripePayments
from signaling.stores.checks import run_checks
from signaling.stores.database import Database, Transaction
from signaling.stores.payouts import Connected, insert_connected
from signaling.stores.schema import (
    earnings,
    inbox,
    orders,
    outbox,
    payouts,
    rooms,
    stripe_calls,
    transfers,
    users,
)
from tests.browser.server import ROOT, Server, free_media_port, free_ports

STEPS = 16
ANA = "user_ana"
REST_S = 120
KEY, WEBHOOK_SECRET = "sk_sandbox_kill", "whsec_kill"
ROOM = {
    "title": "Italian conversation",
    "description": "We talk about whatever you like.",
    "host_name": "Ana",
    "tariff": {"kind": "entrance", "price_minor": 500, "currency": "eur", "seconds": 1800},
    "privacy": "conference",
}
LOST = (aiohttp.ClientError, TimeoutError, ConnectionError)


_OF_A_CALL = [
    stripe_calls.c[name] for name in ("operation", "subject_id", "state", "attempts", "next_at_s", "note")
]


class TwoPartServer(Server):
    """The server of the tests, started so that its payments are elsewhere."""

    module = "tests.integration.money.server"


class SandboxProcess:
    """The sandbox on a fixed port and file."""

    def __init__(self, folder: Path, webhook_url: str) -> None:
        (self.port,) = free_ports(1)
        self.url = f"http://127.0.0.1:{self.port}"
        self._command = [
            sys.executable, "-m", "signaling.payments.sandbox", "--port", str(self.port),
            "--db", str(folder / "sandbox.db"), "--webhook-url", webhook_url,
            "--secret-key", KEY, "--webhook-secret", WEBHOOK_SECRET,
        ]  # fmt: skip
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        self._process = subprocess.Popen(self._command, cwd=ROOT, stdout=subprocess.PIPE)
        assert self._process.stdout is not None
        assert self._process.stdout.readline().startswith(b"listening"), "the sandbox did not start"

    def kill9(self) -> None:
        assert self._process is not None
        self._process.kill()
        self._process.wait()
        assert self._process.stdout is not None
        self._process.stdout.close()


class Town:
    """What one seed does. Every action may meet a dead process: then it is given up, as people do."""

    def __init__(self, seed: int, folder: Path, database_url: str, http: aiohttp.ClientSession) -> None:
        self.seed = seed
        self._random = random.Random(seed)
        self._http = http
        self.db = Database(database_url)
        settings = {
            "DATABASE_URL": database_url, "PAYMENTS": "sandbox", "ROOM_CREATION": "open", "MEDIA_WORKERS": "0",
            "CONNECT": "on", "EARNINGS_DAYS": "0", "SANDBOX_KEY": KEY, "SANDBOX_WEBHOOK_SECRET": WEBHOOK_SECRET, "LOG_LEVEL": "warning",
        }  # fmt: skip
        self.server = TwoPartServer(folder, **settings)
        self.sandbox = SandboxProcess(folder, f"{self.server.url}/stripe/webhook")
        self.server._settings["SANDBOX_URL"] = self.sandbox.url
        self.room: Any = None
        self.connected_id = ""
        self.secrets: dict[str, str] = {}
        self.kills: Counter[str] = Counter()
        self.done: Counter[str] = Counter()

    def _service(self) -> StripePayments:
        """The sandbox, as the server sees it."""
        return StripePayments(
            KEY,
            http=self._http,
            mode="sandbox",
            account="sandbox",
            webhook_secret=WEBHOOK_SECRET,
            api_base=self.sandbox.url,
        )

    async def _has_a_host(self) -> None:
        """The room is Ana's, who can be paid out."""
        params = connect.account_params(connect.Host(ANA, "ana@example.org", "Ana"), "IT")
        made = await self._service().create_account(params, "ana")
        self.connected_id = made.account_id
        await self._set_account("active")
        user = {"id": ANA, "email": "ana@example.org", "name": "Ana", "role": "host", "created_at": "2026"}
        row = Connected(ANA, "sandbox", "sandbox", made.account_id, "active", [], "2026")

        async def work(tx: Transaction) -> None:
            await tx.execute(users.insert().values(user))
            await insert_connected(tx, row)
            await tx.execute(update(rooms).values(owner_id=ANA))

        await self.db.write(work)

    async def _set_account(self, status: str) -> None:
        said = {"account": self.connected_id, "status": status}
        await self._call(f"{self.sandbox.url}/_control/account", said)

    # --- what people do -----------------------------------------------------------------------------------

    async def _call(self, url: str, body: Any = None, bearer: str | None = None) -> Any:
        """The answer's JSON, None when it is refused. Raises what a dying process makes of a request."""
        headers = {} if bearer is None else {"Authorization": f"Bearer {bearer}"}
        limit = aiohttp.ClientTimeout(total=15)
        async with self._http.post(url, json=body or {}, headers=headers, timeout=limit) as response:
            answer = await response.json(content_type=None)
        return answer if response.status < 400 else None

    def _some(self) -> str | None:
        return self._random.choice(sorted(self.secrets)) if self.secrets else None

    async def buy(self) -> None:
        order_id, secret = new_id("ord", self._random.randbytes), new_secret(self._random.randbytes)
        self.secrets[order_id] = secret
        body = {"order_id": order_id, "name": "Bo", "seconds": 1800, "accept_terms": True}
        card = self._random.choice(["succeeds", "succeeds", "succeeds", "declined"])
        await self._be_live()
        made = await self._call(f"{self.server.url}/api/rooms/{self.room.slug}/orders", body, secret)
        checkout = (made or {}).get("checkout")
        if checkout is not None:
            session = checkout["url"].rsplit("/", 1)[1]
            await self._call(f"{self.sandbox.url}/sandbox/api/checkout/{session}/pay", {"card": card})

    async def come_back(self) -> None:
        """Who did not see an answer asks again, and pays."""
        if (order_id := self._some()) is not None:
            secret = self.secrets[order_id]
            shown = await self._call(f"{self.server.url}/api/orders/{order_id}/refresh", bearer=secret)
            checkout = (shown or {}).get("checkout")
            if checkout is not None:
                session = checkout["url"].rsplit("/", 1)[1]
                await self._call(
                    f"{self.sandbox.url}/sandbox/api/checkout/{session}/pay", {"card": "succeeds"}
                )

    async def refund(self) -> None:
        """By the host; twice under one id, as an impatient one does."""
        if (order_id := self._some()) is not None:
            part = self._random.choice(
                [{"amount_minor": 120}, {"seconds": 61}, {"part": "unused"}, {"part": "all"}]
            )
            refund_id = new_id("rfd", self._random.randbytes)
            body = {"refund_id": refund_id, "order_id": order_id, "reason": "goodwill"} | part
            for _ in range(2):
                await self._call(
                    f"{self.server.url}/api/host/rooms/{self.room.id}/refunds", body, self.room.host_key
                )

    async def refund_outside(self) -> None:
        await self._control("refund", amount_minor=self._random.choice([50, 130, 500]))

    async def dispute(self) -> None:
        await self._control("dispute", action="open")

    async def decide_dispute(self) -> None:
        await self._control("dispute", action=self._random.choice(["won", "lost"]))

    async def take_to_the_bank(self) -> None:
        """The host has it, and it cannot be asked back."""
        await self._call(f"{self.sandbox.url}/_control/pay_out", {"account": self.connected_id})

    async def restrict(self) -> None:
        await self._set_account(self._random.choice(["restricted", "active"]))

    async def _control(self, what: str, **body: Any) -> None:
        if (order_id := self._some()) is not None:
            async with self.db.read() as tx:
                query = select(orders.c.checkout_session_id).where(orders.c.id == order_id)
                session = (await tx.execute(query)).scalar()
            if session is not None:
                await self._call(f"{self.sandbox.url}/_control/{what}", {"session": session, **body})

    async def _be_live(self) -> None:
        """As if the host were on the air: no media flows here."""
        statement = update(rooms).values(live=True, away_since_s=None)
        await self.db.write(lambda tx: tx.execute(statement))

    # --- one life -----------------------------------------------------------------------------------------

    async def live(self) -> None:
        await asyncio.to_thread(self.sandbox.start)
        await asyncio.to_thread(self.server.start)
        self.room = await asyncio.to_thread(lambda: self.server.create_room(**ROOM))
        await self._has_a_host()
        actions = [self.buy] * 4 + [self.come_back, self.refund, self.refund, self.refund_outside]
        actions += [self.dispute, self.decide_dispute, self.take_to_the_bank, self.restrict]
        for step in range(STEPS):
            action = self.buy if step < 2 else self._random.choice(actions)
            acting = asyncio.create_task(self._try(action))
            await asyncio.sleep(self._random.uniform(0.0, 0.25))
            await self._maybe_kill()
            await acting
        await self._set_account("active")
        await self._kill(self.server)  # a server that starts looks at every open call at once
        await self._come_to_rest()

    async def _try(self, action: Callable[[], Awaitable[None]]) -> None:
        try:
            await action()
            self.done[getattr(action, "__name__", "")] += 1
        except LOST:
            self.done["lost"] += 1

    async def _maybe_kill(self) -> None:
        victim = self._random.choice([self.server, self.sandbox, None])
        if victim is not None:
            await self._kill(victim)

    async def _kill(self, victim: TwoPartServer | SandboxProcess) -> None:
        self.kills[type(victim).__name__] += 1
        await asyncio.to_thread(victim.kill9)
        await self._start_again(victim)

    async def _start_again(self, victim: TwoPartServer | SandboxProcess) -> None:
        """Its media port may have gone to somebody else's connection while it was dead."""
        for _ in range(3):
            try:
                await asyncio.to_thread(victim.start)
            except RuntimeError as error:
                if "in use" not in str(error) or not isinstance(victim, TwoPartServer):
                    raise
                victim.media_port = free_media_port(1)
            else:
                return
        raise AssertionError(f"seed {self.seed}: no port is left free")

    async def _come_to_rest(self) -> None:
        """Until nothing waits, and our books say what the sandbox's say. Raises TimeoutError with what is left."""
        left: Any = None
        try:
            async with asyncio.timeout(REST_S):
                while left := (await self._waiting() or await self._differences()):
                    await asyncio.sleep(0.25)
        except TimeoutError:
            raise AssertionError(f"seed {self.seed}: it does not come to rest: {left}") from None
        broken = [one for one in await run_checks(self.db) if one.kind == "broken"]
        assert broken == [], f"seed {self.seed}: {broken}"

    async def _waiting(self) -> dict[str, Any]:
        open_rows = {
            "inbox": select(func.count()).where(inbox.c.state == "received"),
            "outbox": select(func.count()).where(outbox.c.state == "waiting"),
            "calls": select(func.count()).where(stripe_calls.c.state.in_(["pending", "unknown"])),
            "payouts": select(func.count()).where(payouts.c.state == "asked"),
            "earnings": select(func.count()).where(
                earnings.c.state == "available", earnings.c.disputed_minor < _OWED
            ),
        }
        async with self.db.read() as tx:
            found = {name: int((await tx.execute(query)).scalar_one()) for name, query in open_rows.items()}
            waiting: dict[str, Any] = {name: count for name, count in found.items() if count}
            if "calls" in waiting:
                rows = await tx.execute(
                    select(*_OF_A_CALL).where(stripe_calls.c.state.in_(["pending", "unknown"]))
                )
                waiting["calls"] = [tuple(row) for row in rows]
        return waiting

    async def _differences(self) -> dict[str, Any]:
        ours: Counter[tuple[str, str]] = Counter()
        async with self.db.read() as tx:
            for row in (await tx.execute(select(transfers).where(_is_at_stripe()))).mappings():
                code, sign = _CAME_BACK.get(row["code"], (row["code"], 1))
                ours[row["subject_id"], code] += sign * row["amount_minor"]
        theirs: Counter[tuple[str, str]] = Counter()
        async with self._http.get(f"{self.sandbox.url}/_control/books") as response:
            for one in (await response.json())["sessions"]:
                order_id = one["client_reference_id"]
                theirs[order_id, "payment_captured"] += one["captured_minor"]
                theirs[order_id, "refund"] += one["refunded_minor"]
                theirs[order_id, "dispute_lost"] += one["dispute_lost_minor"]
        async with self.db.read() as tx:
            sent = [row.id for row in await tx.execute(select(payouts.c.id))]
        service = self._service()
        for one in [one for payout_id in sent for one in await service.find_transfers(payout_id, 0)]:
            order_id = str(one.reference).removeprefix("po_").rpartition(":")[0]
            theirs[order_id, "payout"] += one.amount_minor - one.reversed_minor
        return {str(key): (ours[key], theirs[key]) for key in {*ours, *theirs} if ours[key] != theirs[key]}

    async def close(self) -> None:
        for process in (self.server, self.sandbox):
            if process._process is not None:
                process.kill9()
        await self.db.close()


# What undoes another, by its code.
_CAME_BACK = {"unrefund": ("refund", -1), "reinstated": ("dispute_lost", -1), "reversal": ("payout", -1)}
_OWED = earnings.c.net_minor - earnings.c.reversed_minor - earnings.c.paid_minor - earnings.c.withheld_minor


def _is_at_stripe() -> Any:
    """Not only held, nor from one hand of ours into another; nor what Stripe keeps, which is booked when its account is
    looked through."""
    is_there = or_(transfers.c.debit == "stripe_clearing", transfers.c.credit == "stripe_clearing")
    return and_(is_there, transfers.c.code != "stripe_fee", transfers.c.kind != "hold")


async def live_through(seed: int, folder: Path, database_url: str) -> Town:
    """One life; what it was, for whoever prints it. Raises AssertionError naming the seed."""
    async with aiohttp.ClientSession() as http:
        town = Town(seed, folder, database_url, http)
        try:
            await town.live()
        finally:
            await town.close()
    return town


def fresh_seed() -> int:
    return int.from_bytes(os.urandom(4))
