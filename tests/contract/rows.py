"""Rows that most tests need."""

from typing import Any

from metering.orders import OrderState
from signaling.stores import passes, rooms
from signaling.stores.database import Database
from signaling.stores.orders import Order, get_order, insert_order
from signaling.stores.schema import runs, segments, sessions

NOW_TEXT = "2026-01-01T00:00:00.000Z"
TARIFF = {"kind": "per_minute", "rate_minor_per_min": 100, "currency": "eur", "presets_s": [900]}


async def add_room(db: Database, room_id: str = "room_1", **values: Any) -> str:
    room = {
        "id": room_id,
        "slug": room_id.replace("_", ""),
        "mode": "sandbox",
        "account": "sandbox",
        "title": "A talk",
        "description": "With somebody who knows.",
        "host_name": "Ada",
        "host_key_hash": "0" * 64,
        "tariff": TARIFF,
        "currency": "eur",
        "privacy": "confidential",
        "capacity": 3,
        "state": "open",
        "locked": False,
        "epoch": 0,
        "live": True,
        "created_at": NOW_TEXT,
    } | values
    await db.write(lambda tx: rooms.insert_room(tx, room))
    return room_id


def an_order(order_id: str = "ord_1", room_id: str = "room_1", **values: Any) -> Order:
    return Order(
        **{
            "id": order_id,
            "room_id": room_id,
            "mode": "sandbox",
            "account": "sandbox",
            "state": OrderState.NEW,
            "request_hash": "r",
            "secret_hash": "s",
            "name": "Bo",
            "tariff": TARIFF,
            "title": "A talk",
            "description": "With somebody who knows.",
            "seconds": 900,
            "amount_minor": 1500,
            "currency": "eur",
            "ui": "hosted",
            "created_at": NOW_TEXT,
            "created_at_s": 1000,
        }
        | values
    )


async def add_order(db: Database, **values: Any) -> Order:
    order = an_order(**values)
    await db.write(lambda tx: insert_order(tx, order))
    return order


async def reload(db: Database, order: Order) -> Order:
    async with db.read() as tx:
        found = await get_order(tx, order.id)
    assert found is not None
    return found


async def add_paid(db: Database, order_id: str = "ord_1", pass_id: str = "pass_1", **values: Any) -> Order:
    """A paid order and its pass."""
    paid = {"state": OrderState.PAID, "granted": True, "paid_at_s": 1000, "paid_at": NOW_TEXT}
    order = await add_order(db, **{"order_id": order_id} | paid | values)
    await db.write(lambda tx: passes.grant_pass(tx, order, pass_id, NOW_TEXT))
    return order


async def get_pass(db: Database, pass_id: str = "pass_1") -> passes.Pass:
    async with db.read() as tx:
        found = await passes.get_pass(tx, pass_id)
    assert found is not None
    return found


async def add_session(
    db: Database, session_id: str = "ses_1", pass_id: str = "pass_1", **values: Any
) -> None:
    """One stay in the room, open unless `ended_at` says otherwise."""
    run = {
        "id": f"run_{session_id}",
        "host": "here",
        "state": "live",
        "beat_seq": 0,
        "run_ms": 0,
        "silent": {},
        "started_at": NOW_TEXT,
    }
    session = {
        "id": session_id,
        "pass_id": pass_id,
        "room_id": "room_1",
        "run_id": run["id"],
        "epoch": 1,
        "started_at": NOW_TEXT,
        "ended_at": None,
        "end_code": None,
    } | values

    async def work(tx: Any) -> None:
        await tx.execute(runs.insert().values(run))
        await tx.execute(sessions.insert().values(session))

    await db.write(work)


async def add_segment(
    db: Database, segment_id: str = "seg_1", session_id: str = "ses_1", **values: Any
) -> None:
    segment = {
        "id": segment_id,
        "pass_id": "pass_1",
        "session_id": session_id,
        "run_id": f"run_{session_id}",
        "opened_ms": 0,
        "closed_ms": None,
        "used_ms": None,
        "opened_at": NOW_TEXT,
    } | values
    await db.write(lambda tx: tx.execute(segments.insert().values(segment)))
