"""Webhook delivery: over real HTTP, signed as Stripe signs, tried again with growing pauses, at most so often."""

import asyncio
import hashlib
import hmac
import json
import logging
from collections.abc import Callable
from dataclasses import dataclass

import aiohttp

from .errors import StripeError
from .faults import Faults, Switch
from .params import Json
from .store import Store, Transaction

log = logging.getLogger(__name__)

ATTEMPTS_MAX = 12
BACKOFF_FIRST_S = 1.0
BACKOFF_MAX_S = 300.0
TIMEOUT = aiohttp.ClientTimeout(total=10.0)
BATCH = 20
STALE_S = 600
WRONG_SECRET = "whsec_" + "0" * 32


def signature_header(payload: str, secret: str, timestamp_s: int) -> str:
    """Stripe's `Stripe-Signature`: HMAC-SHA256 over `timestamp.payload`, scheme v1."""
    digest = hmac.new(secret.encode(), f"{timestamp_s}.{payload}".encode(), hashlib.sha256).hexdigest()
    return f"t={timestamp_s},v1={digest}"


def backoff_s(attempts: int) -> float:
    """The pause after that many failed attempts: 1 s, 2 s, 4 s … up to 5 minutes."""
    return float(min(BACKOFF_FIRST_S * 2 ** (attempts - 1), BACKOFF_MAX_S))


@dataclass(frozen=True, slots=True)
class Delivery:
    event: Json
    attempts: int

    @property
    def event_id(self) -> str:
        return str(self.event["id"])


class Deliverer:
    """Sends due webhooks one after another. Call `deliver_due` from one task at a time."""

    def __init__(
        self,
        store: Store,
        faults: Faults,
        http: aiohttp.ClientSession,
        *,
        url: str | None,
        secret: str,
        now: Callable[[], float],
    ) -> None:
        self._store = store
        self._faults = faults
        self._http = http
        self._url = url
        self._secret = secret
        self._now = now
        self._held: list[Delivery] = []

    async def deliver_due(self) -> int:
        """Try every webhook whose time has come, once; how many were tried."""
        tried = 0
        while self._url is not None and (batch := await self._store.write(_due)):
            for delivery in batch:
                await self._try(delivery)
            tried += len(batch)
        return tried

    async def next_s(self) -> float | None:
        """When the next webhook is due, None when none waits (or there is nowhere to send it)."""
        return await self._store.write(_next_delivery_s) if self._url is not None else None

    async def resend(self, event_id: str) -> None:
        """Deliver once more, whatever was delivered before. Raises when there is no such event or no address."""
        if self._url is None:
            raise StripeError("There is no webhook address to send to")

        def again(tx: Transaction) -> None:
            tx.event(event_id)
            tx.db.execute(
                "UPDATE deliveries SET state = 'pending', attempts = 1, next_s = ? WHERE event_id = ?",
                (tx.now_exact_s, event_id),
            )
            tx.events_emitted += 1  # wakes the delivering task

        await self._store.write(again)

    async def _try(self, delivery: Delivery) -> None:
        fault = self._faults.take_event(delivery.event["type"]) if delivery.attempts == 0 else None
        kind = fault.kind if fault is not None else None
        if kind == "drop":
            await self._record(delivery, "failed", "dropped by a fault switch")
        elif fault is not None and kind in ("delay", "reorder"):
            await self._hold(delivery, fault)
        else:
            await self._deliver(delivery, kind)

    async def _hold(self, delivery: Delivery, fault: Switch) -> None:
        """Put off. A reordered event goes out right behind the next one, or after its delay at the latest."""
        held = Delivery(delivery.event, delivery.attempts + 1)
        await self._record(held, "pending", fault.kind, next_s=self._now() + fault.delay_s)
        if fault.kind == "reorder":
            self._held.append(held)

    async def _deliver(self, delivery: Delivery, kind: str | None) -> None:
        outcome, accepted = await self._post(delivery, kind)
        if accepted and kind == "duplicate":
            await self._post(delivery, None)
        attempts = delivery.attempts + 1
        if accepted:
            await self._record(delivery, "delivered", outcome)
        elif attempts >= ATTEMPTS_MAX:
            await self._record(delivery, "failed", outcome)
        else:
            await self._record(delivery, "pending", outcome, next_s=self._now() + backoff_s(attempts))
        await self._release(delivery)

    async def _release(self, after: Delivery) -> None:
        held, self._held = [late for late in self._held if late.event_id != after.event_id], []
        for late in held:
            await self._deliver(late, None)

    async def _post(self, delivery: Delivery, kind: str | None) -> tuple[str, bool]:
        assert self._url is not None
        payload = json.dumps(_as_sent(delivery.event), indent=2)
        timestamp_s = int(self._now()) - (STALE_S if kind == "stale_signature" else 0)
        secret = WRONG_SECRET if kind == "bad_signature" else self._secret
        headers = {
            "Content-Type": "application/json; charset=utf-8",
            "Stripe-Signature": signature_header(payload, secret, timestamp_s),
            "User-Agent": "Tollroom-Payment-Sandbox/1",
        }
        try:
            async with self._http.post(
                self._url, data=payload.encode(), headers=headers, timeout=TIMEOUT, allow_redirects=False
            ) as response:
                return f"HTTP {response.status}", response.ok
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            return type(error).__name__, False

    async def _record(self, delivery: Delivery, state: str, outcome: str, *, next_s: float = 0.0) -> None:
        def record(tx: Transaction) -> None:
            tx.db.execute(
                "UPDATE deliveries SET state = ?, attempts = attempts + 1, next_s = ?, last_outcome = ?"
                " WHERE event_id = ?",
                (state, next_s, outcome, delivery.event_id),
            )

        await self._store.write(record)
        if state == "failed":
            log.warning("webhook given up: %s %s (%s)", delivery.event["type"], delivery.event_id, outcome)


def _as_sent(event: Json) -> Json:
    if event["object"] == "event":
        return event | {"pending_webhooks": 1}
    return {name: value for name, value in event.items() if name not in ("changes", "data")}


def _due(tx: Transaction) -> list[Delivery]:
    rows = tx.db.execute(
        "SELECT event_id, attempts FROM deliveries WHERE state = 'pending' AND next_s <= ? ORDER BY seq LIMIT ?",
        (tx.now_exact_s, BATCH),
    ).fetchall()
    return [Delivery(tx.event(event_id), attempts) for event_id, attempts in rows]


def next_expiry_s(tx: Transaction) -> float | None:
    """When the next open session expires, None when none is open."""
    row = tx.db.execute("SELECT MIN(due_s) FROM objects WHERE due_s IS NOT NULL").fetchone()
    return None if row[0] is None else float(row[0])


def _next_delivery_s(tx: Transaction) -> float | None:
    row = tx.db.execute("SELECT MIN(next_s) FROM deliveries WHERE state = 'pending'").fetchone()
    return None if row[0] is None else float(row[0])


async def pause(wake: asyncio.Event, seconds: float) -> None:
    """Until woken, at most `seconds`."""
    try:
        async with asyncio.timeout(seconds):
            await wake.wait()
    except TimeoutError:
        pass
    wake.clear()
