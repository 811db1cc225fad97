"""Rows of what is over: sales of all kinds, refunded, paid out, and come to their end, of which no round has anything to do."""

from collections.abc import Callable, Mapping
from typing import Any

from signaling.stores import schema
from signaling.stores.database import Database

from .world import ACCOUNT, PER_MINUTE

LONG_AGO_S = 1_700_000_000
LONG_AGO = "2023-11-14T22:13:20.000Z"
BOOKS = {"mode": "sandbox", "account": ACCOUNT}
FUNDINGS = ("payment", "metered", "wallet", "subscription", "free")

Row = dict[str, Any]


def _order(n: int, room: str) -> Row:
    funding = FUNDINGS[n % 5]
    return BOOKS | {
        "id": f"ord_{n}", "room_id": room, "state": "paid" if n % 2 else "refunded", "request_hash": "", "secret_hash": "",
        "name": "Bo", "email": "bo@example.org", "tariff": PER_MINUTE, "title": "", "description": "", "seconds": 900,
        "amount_minor": 500, "currency": "eur", "ui": "hosted", "checkout_session_id": f"cs_{n}",
        "payment_intent_id": f"pi_{n}", "refunded_minor": 0, "dispute": "none", "lost_minor": 0, "granted": True,
        "granted_before_ms": 0, "access_ended": False, "taken_ms": 0, "waits": False, "walked_away": False,
        "created_at": LONG_AGO, "created_at_s": LONG_AGO_S, "paid_at": LONG_AGO, "paid_at_s": LONG_AGO_S,
        "funding": funding, "charged_minor": 500, "capture_before_s": LONG_AGO_S, "payee": room,
    }  # fmt: skip


def _pass(n: int, room: str) -> Row:
    return BOOKS | {
        "id": f"pass_{n}", "room_id": room, "order_id": f"ord_{n}", "state": "used_up" if n % 2 else "refunded",
        "name": "Bo", "granted_ms": 900_000, "used_ms": 900_000, "forgiven_ms": 0, "may_publish": False, "epoch": 1,
        "created_at": LONG_AGO, "funding": FUNDINGS[n % 5], "settled": True,
    }  # fmt: skip


def _session(n: int, room: str) -> Row:
    return {
        "id": f"ses_{n}", "pass_id": f"pass_{n}", "room_id": room, "run_id": "run_over", "epoch": 1,
        "started_at": LONG_AGO, "ended_at": LONG_AGO, "end_code": ("left", "run_lost", "media_failed")[n % 3],
    }  # fmt: skip


def _segment(n: int, _room: str) -> Row:
    return {
        "id": f"seg_{n}", "pass_id": f"pass_{n}", "session_id": f"ses_{n}", "run_id": "run_over", "opened_ms": 0,
        "started_ms": 0, "closed_ms": 1, "used_ms": 1, "opened_at": LONG_AGO,
    }  # fmt: skip


def _subscription(n: int, room: str) -> Row:
    return BOOKS | {
        "id": f"sub_{n}", "order_id": f"ord_{n}", "pass_id": f"pass_{n}", "room_id": room, "user_id": "usr_history",
        "customer_id": "cus", "status": "canceled", "current_period_end_s": LONG_AGO_S, "cancel_at_period_end": False,
        "lapsed_at_s": LONG_AGO_S, "updated_at": LONG_AGO,
    }  # fmt: skip


def _window(n: int, _room: str) -> Row:
    return BOOKS | {
        "id": f"win_{n}", "pass_id": f"pass_{n}", "number": 1, "kind": "card", "begins_ms": 0, "length_ms": 60_000,
        "held_minor": 100, "charged_minor": 100, "currency": "eur", "state": "settled",
        "capture_before_s": LONG_AGO_S, "created_at": LONG_AGO,
    }  # fmt: skip


def _earning(n: int, room: str) -> Row:
    return BOOKS | {
        "id": f"ord_{n}", "payee": room, "order_id": f"ord_{n}", "room_id": room, "currency": "eur", "gross_minor": 500,
        "fee_minor": 0, "tax_minor": 0, "net_minor": 500, "reversed_minor": 0, "paid_minor": 500, "state": "available",
        "available_at_s": LONG_AGO_S, "created_at": LONG_AGO, "created_at_s": LONG_AGO_S,
    }  # fmt: skip


def _payout(n: int, room: str) -> Row:
    return BOOKS | {
        "id": f"po_{n}", "payee": room, "earning_id": f"ord_{n}", "connected_id": "acct", "amount_minor": 500,
        "reversed_minor": 0, "currency": "eur", "state": "sent", "created_at": LONG_AGO,
    }  # fmt: skip


def _inbox(n: int, _room: str) -> Row:
    return BOOKS | {
        "event_id": f"evt_{n}", "type": "", "object_id": f"cs_{n}", "payload": {}, "state": "applied", "attempts": 0,
        "next_at_s": LONG_AGO_S, "received_at": LONG_AGO,
    }  # fmt: skip


def _outbox(n: int, _room: str) -> Row:
    return {
        "id": f"out_{n}", "kind": ("mail", "refund", "transfer", "cancel_subscription")[n % 4], "subject_id": f"ord_{n}",
        "payload": {}, "state": "done", "attempts": 0, "next_at_s": LONG_AGO_S, "created_at": LONG_AGO,
    }  # fmt: skip


def _call(n: int, _room: str) -> Row:
    return {
        "idempotency_key": f"key_{n}", "operation": "checkout.sessions.create", "subject_id": f"ord_{n}", "params": {},
        "state": "done", "attempts": 0, "next_at_s": LONG_AGO_S, "created_at_s": LONG_AGO_S,
    }  # fmt: skip


def _refund(n: int, _room: str) -> Row:
    return {
        "id": f"re_{n}", "order_id": f"ord_{n}", "amount_minor": 1, "currency": "eur", "reason": "goodwill",
        "state": "succeeded", "stripe_refund_id": f"re_{n}", "created_at": LONG_AGO,
    }  # fmt: skip


def _transfer(n: int, _room: str) -> Row:
    return BOOKS | {
        "debit": "wallet:usr_history", "credit": "hold:pass", "amount_minor": 1, "currency": "eur", "code": "hold",
        "subject_id": f"pass_{n}", "created_at": LONG_AGO,
    }  # fmt: skip


def _hold(n: int, room: str) -> Row:
    hold = {"id": f"hold_{n}", "kind": "hold", "expires_at_s": LONG_AGO_S, "resolved": True}
    return _transfer(n, room) | hold


def _post(n: int, room: str) -> Row:
    return _transfer(n, room) | {"id": f"post_{n}", "kind": "post", "pending_id": f"hold_{n}"}


_TABLES: Mapping[Any, tuple[Callable[[int, str], Row], ...]] = {
    schema.orders: (_order,),
    schema.passes: (_pass,),
    schema.sessions: (_session,),
    schema.segments: (_segment,),
    schema.subscriptions: (_subscription,),
    schema.windows: (_window,),
    schema.earnings: (_earning,),
    schema.payouts: (_payout,),
    schema.inbox: (_inbox,),
    schema.outbox: (_outbox,),
    schema.stripe_calls: (_call,),
    schema.refunds: (_refund,),
    schema.transfers: (_hold, _post),
}
GROWS = tuple(table.name for table in _TABLES)


async def add_history(db: Database, room: str, first: int, count: int) -> None:
    """So many rows in each table of `GROWS`, numbered from `first`."""
    for table, makers in _TABLES.items():
        for make in makers:
            rows = [make(n, room) for n in range(first, first + count)]
            await db.write(lambda tx, table=table, rows=rows: tx.execute(table.insert(), rows))


async def add_who_they_are_of(db: Database) -> None:
    user = {
        "id": "usr_history",
        "email": "bo@example.org",
        "name": "Bo",
        "role": "user",
        "created_at": LONG_AGO,
    }
    run = {
        "id": "run_over", "host": "", "state": "closed", "beat_seq": 1, "run_ms": 1, "silent": {}, "started_at": LONG_AGO,
    }  # fmt: skip
    await db.write(lambda tx: tx.execute(schema.users.insert(), user))
    await db.write(lambda tx: tx.execute(schema.runs.insert(), run))
