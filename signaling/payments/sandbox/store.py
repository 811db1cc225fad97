"""The sandbox's own SQLite file: every object as the JSON it answers with, and the queue of webhooks.

One thread owns the connection and runs whole transactions, so an answer is never sent before its commit and
the event loop (which forwards media in the same process) never waits for the disk.
"""

import asyncio
import json
import sqlite3
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal, TypeVar

from .errors import StripeError, missing
from .params import Json

T = TypeVar("T")

API_VERSION = "2026-10-28.endive"
WAITING_MAX = 256
EVENT_KINDS = ("event", "v2.core.event")
SCHEMA = """
CREATE TABLE IF NOT EXISTS objects (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    id TEXT NOT NULL UNIQUE,
    object TEXT NOT NULL,
    created_s INTEGER NOT NULL,
    due_s INTEGER,
    body TEXT NOT NULL,
    hidden TEXT NOT NULL
);
CREATE INDEX IF NOT EXISTS objects_by_kind ON objects (object, seq);
CREATE INDEX IF NOT EXISTS objects_by_due ON objects (due_s) WHERE due_s IS NOT NULL;
CREATE INDEX IF NOT EXISTS objects_by_intent ON objects (object, json_extract(body, '$.payment_intent'));
CREATE INDEX IF NOT EXISTS objects_by_charge ON objects (object, json_extract(body, '$.charge'));
CREATE INDEX IF NOT EXISTS objects_by_customer ON objects (object, json_extract(body, '$.customer'));
CREATE INDEX IF NOT EXISTS objects_by_destination ON objects (object, json_extract(body, '$.destination'));
CREATE INDEX IF NOT EXISTS objects_by_source ON objects (object, json_extract(body, '$.source_transaction'));
CREATE INDEX IF NOT EXISTS objects_by_secret ON objects (object, json_extract(body, '$.client_secret'));
CREATE TABLE IF NOT EXISTS deliveries (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    event_id TEXT NOT NULL UNIQUE,
    state TEXT NOT NULL CHECK (state IN ('pending', 'delivered', 'failed', 'none')),
    attempts INTEGER NOT NULL DEFAULT 0,
    next_s REAL NOT NULL,
    last_outcome TEXT
);
CREATE INDEX IF NOT EXISTS deliveries_pending ON deliveries (next_s) WHERE state = 'pending';
CREATE TABLE IF NOT EXISTS idempotency (
    key TEXT PRIMARY KEY,
    fingerprint TEXT NOT NULL,
    status INTEGER NOT NULL,
    body TEXT NOT NULL,
    request_id TEXT NOT NULL,
    created_s INTEGER NOT NULL
);
"""


@dataclass(frozen=True, slots=True)
class Page:
    """What one list call asks for. `created` holds comparisons such as `{"gte": 1700000000}`."""

    limit: int = 10
    starting_after: str | None = None
    ending_before: str | None = None
    created: tuple[tuple[str, int], ...] = ()


@dataclass(frozen=True, slots=True)
class Origin:
    """The API request that caused an event; both None when the payer's page or the clock did."""

    request_id: str | None = None
    idempotency_key: str | None = None


IndexedField = Literal[
    "payment_intent", "charge", "client_secret", "customer", "destination", "source_transaction"
]
_COMPARISONS = {"gt": ">", "gte": ">=", "lt": "<", "lte": "<="}


class Transaction:
    """What operations see: objects by id, lists, events. Lives for one transaction on the owning thread."""

    def __init__(
        self, db: sqlite3.Connection, now_s: float, new_id: Callable[[str], str], *, webhooks: bool
    ) -> None:
        self.db = db
        self.now_s = int(now_s)
        self.now_exact_s = now_s
        self.new_id = new_id
        self.origin = Origin()
        self.events_emitted = 0
        self._webhooks = webhooks

    def insert(self, body: Json, *, hidden: Json | None = None, due_s: int | None = None) -> Json:
        self.db.execute(
            "INSERT INTO objects (id, object, created_s, due_s, body, hidden) VALUES (?, ?, ?, ?, ?, ?)",
            # Objects of the newer half of the interface write their time as text.
            (body["id"], body["object"], self.now_s, due_s, json.dumps(body), json.dumps(hidden or {})),
        )
        return body

    def update(self, body: Json) -> Json:
        self.db.execute("UPDATE objects SET body = ? WHERE id = ?", (json.dumps(body), body["id"]))
        return body

    def set_due(self, object_id: str, due_s: int | None) -> None:
        self.db.execute("UPDATE objects SET due_s = ? WHERE id = ?", (due_s, object_id))

    def hidden(self, object_id: str) -> Json:
        row = self.db.execute("SELECT hidden FROM objects WHERE id = ?", (object_id,)).fetchone()
        hidden: Json = json.loads(row[0])
        return hidden

    def set_hidden(self, object_id: str, hidden: Json) -> None:
        self.db.execute("UPDATE objects SET hidden = ? WHERE id = ?", (json.dumps(hidden), object_id))

    def find(self, object_id: str, kind: str | None = None) -> Json | None:
        row = self.db.execute("SELECT object, body FROM objects WHERE id = ?", (object_id,)).fetchone()
        if row is None or kind not in (None, row[0]):
            return None
        body: Json = json.loads(row[1])
        return self._with_pending(body) if row[0] == "event" else body

    def get(self, kind: str, object_id: str, *, param: str = "id", status: int = 404) -> Json:
        """Raises Stripe's `resource_missing` (404 for the object asked for, 400 for one named in a parameter)."""
        body = self.find(object_id, kind)
        if body is None:
            raise missing(kind, object_id, param=param, status=status)
        return body

    def all_of(self, kind: str) -> list[Json]:
        """Every object of a kind, oldest first."""
        rows = self.db.execute("SELECT body FROM objects WHERE object = ? ORDER BY seq", (kind,))
        return [json.loads(row[0]) for row in rows]

    def created_s(self, object_id: str) -> int:
        row = self.db.execute("SELECT created_s FROM objects WHERE id = ?", (object_id,)).fetchone()
        return int(row[0])

    def find_by(self, kind: str, field: IndexedField, value: str) -> list[Json]:
        """By one of the indexed fields, newest first."""
        # The path is written out: an index on an expression serves only that very expression.
        sql = f"SELECT body FROM objects WHERE object = ? AND json_extract(body, '$.{field}') = ? ORDER BY seq DESC"  # noqa: S608
        return [json.loads(row[0]) for row in self.db.execute(sql, (kind, value))]

    def due(self, kind: str) -> list[Json]:
        rows = self.db.execute(
            "SELECT body FROM objects WHERE object = ? AND due_s <= ? ORDER BY due_s LIMIT 100",
            (kind, self.now_s),
        )
        return [json.loads(row[0]) for row in rows]

    def page(
        self, kind: str, page: Page, url: str, *, where: str = "1", values: tuple[Any, ...] = ()
    ) -> Json:
        """Stripe's list envelope, newest first. `where` and `values` narrow it (SQL of our own, never input)."""
        clauses, bound = [f"object = ? AND ({where})"], [kind, *values]
        for comparison, limit_s in page.created:
            clauses.append(f"created_s {_COMPARISONS[comparison]} ?")
            bound.append(limit_s)
        cursor_clause, newest_first = self._cursor(kind, page, bound)
        order = "DESC" if newest_first else "ASC"
        sql = f"SELECT id FROM objects WHERE {' AND '.join(clauses)} {cursor_clause} ORDER BY seq {order} LIMIT ?"  # noqa: S608
        ids = [row[0] for row in self.db.execute(sql, (*bound, page.limit + 1))]
        chosen = ids[: page.limit] if newest_first else ids[: page.limit][::-1]
        data = [self.find(object_id) for object_id in chosen]
        return {"object": "list", "data": data, "has_more": len(ids) > page.limit, "url": url}

    def _cursor(self, kind: str, page: Page, bound: list[Any]) -> tuple[str, bool]:
        if page.starting_after and page.ending_before:
            raise StripeError("Pass starting_after or ending_before, not both", param="starting_after")
        if page.starting_after:
            bound.append(self._seq(kind, page.starting_after, "starting_after"))
            return "AND seq < ?", True
        if page.ending_before:
            bound.append(self._seq(kind, page.ending_before, "ending_before"))
            return "AND seq > ?", False
        return "", True

    def _seq(self, kind: str, object_id: str, param: str) -> int:
        row = self.db.execute(
            "SELECT seq FROM objects WHERE id = ? AND object = ?", (object_id, kind)
        ).fetchone()
        if row is None:
            raise missing(kind, object_id, param=param, status=400)
        return int(row[0])

    def emit(self, kind: str, subject: Json) -> None:
        """Record an event with a snapshot of `subject` and queue its webhook, in this same transaction."""
        event = {
            "id": self.new_id("evt"),
            "object": "event",
            "account": None,
            "api_version": API_VERSION,
            "context": None,
            "created": self.now_s,
            "data": {"object": subject},
            "livemode": False,
            "pending_webhooks": 0,
            "request": {"id": self.origin.request_id, "idempotency_key": self.origin.idempotency_key},
            "type": kind,
        }
        self._queue(self.insert(event))

    def emit_thin(self, kind: str, subject: Json | None, data: Json | None = None) -> None:
        """An event of the newer kind: it says whom it is about, and no more. `data`: what fetching it adds."""
        related = subject and {
            "id": subject["id"],
            "type": subject["object"],
            "url": f"/v2/core/accounts/{subject['id']}",
        }
        event = {
            "id": self.new_id("evt"),
            "object": "v2.core.event",
            "changes": None,
            "context": None,
            "created": rfc3339(self.now_s),
            "data": data or {},
            "livemode": False,
            "reason": None,
            "related_object": related,
            "type": kind,
        }
        self._queue(self.insert(event))

    def event(self, event_id: str) -> Json:
        """Of either kind. Raises `resource_missing`."""
        found = self.find(event_id)
        if found is None or found["object"] not in EVENT_KINDS:
            raise missing("event", event_id)
        return found

    def _queue(self, event: Json) -> None:
        self.db.execute(
            "INSERT INTO deliveries (event_id, state, next_s) VALUES (?, ?, ?)",
            (event["id"], "pending" if self._webhooks else "none", self.now_exact_s),
        )
        self.events_emitted += 1

    def _with_pending(self, event: Json) -> Json:
        row = self.db.execute("SELECT state FROM deliveries WHERE event_id = ?", (event["id"],)).fetchone()
        event["pending_webhooks"] = 1 if row is not None and row[0] in ("pending", "failed") else 0
        return event


def rfc3339(at_s: float) -> str:
    return datetime.fromtimestamp(int(at_s), UTC).strftime("%Y-%m-%dT%H:%M:%S.000Z")


class Store:
    """Runs operations one after another on the thread that owns the connection.

    `write` commits before it returns. A `StripeError` rolls back what the operation did, except where the
    operation caught it itself. More than `WAITING_MAX` operations in waiting: refused with 429.
    """

    def __init__(
        self,
        path: Path,
        *,
        now: Callable[[], float],
        random_bytes: Callable[[int], bytes],
        webhooks: bool,
        on_events: Callable[[], None],
    ) -> None:
        self._path = path
        self._now = now
        self._random_bytes = random_bytes
        self._webhooks = webhooks
        self._on_events = on_events
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="payment-sandbox")
        self._db: sqlite3.Connection | None = None
        self._waiting = 0

    async def open(self) -> None:
        await asyncio.get_running_loop().run_in_executor(self._thread, self._connect)

    async def close(self) -> None:
        await asyncio.get_running_loop().run_in_executor(self._thread, self._disconnect)
        self._thread.shutdown(wait=True)

    async def write(self, operation: Callable[[Transaction], T]) -> T:
        """Run `operation` in one durable transaction. Raises what it raises, after rolling back."""
        if self._waiting >= WAITING_MAX:
            raise StripeError("The sandbox is busy. Retry later.", status=429, code="rate_limit")
        self._waiting += 1
        loop = asyncio.get_running_loop()
        try:
            return await loop.run_in_executor(self._thread, lambda: self._run(operation, loop))
        finally:
            self._waiting -= 1

    def new_id(self, prefix: str) -> str:
        return f"{prefix}_{self._random_bytes(16).hex()}"

    def _connect(self) -> None:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        db = sqlite3.connect(self._path, isolation_level=None)
        db.execute("PRAGMA journal_mode = WAL")
        db.execute("PRAGMA synchronous = FULL")
        db.executescript(SCHEMA)
        self._db = db

    def _disconnect(self) -> None:
        if self._db is not None:
            self._db.close()
            self._db = None

    def _run(self, operation: Callable[[Transaction], T], loop: asyncio.AbstractEventLoop) -> T:
        assert self._db is not None, "the store is not open"
        transaction = Transaction(self._db, self._now(), self.new_id, webhooks=self._webhooks)
        with _immediate(self._db):
            result = operation(transaction)
        if transaction.events_emitted:
            # From here and not after the await: whoever waits for the result may be cancelled meanwhile.
            loop.call_soon_threadsafe(self._on_events)
        return result


@contextmanager
def _immediate(db: sqlite3.Connection) -> Iterator[None]:
    db.execute("BEGIN IMMEDIATE")
    try:
        yield
    except BaseException:
        db.execute("ROLLBACK")
        raise
    db.execute("COMMIT")
