"""Books that were kept before there were payees, holds and kept balances are carried over."""

from typing import Any

from sqlalchemy import MetaData, Table, insert, select

from signaling.stores import ledger
from signaling.stores.checks import run_checks
from signaling.stores.database import Database
from signaling.stores.migrations import upgrade
from signaling.stores.schema import earnings, orders

from .rows import NOW_TEXT, TARIFF

BOOKS = {"mode": "live", "account": "acct_1"}


async def _insert(db: Database, name: str, *rows: dict[str, Any]) -> None:
    """Into the table as it is in the database."""

    async def work(tx: Any) -> None:
        table = await tx.run_sync(lambda connection: Table(name, MetaData(), autoload_with=connection))
        for row in rows:
            await tx.execute(insert(table).values(row))

    await db.write(work)


def _room() -> dict[str, Any]:
    return BOOKS | {
        "id": "room_1",
        "slug": "talk",
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
    }


def _order(order_id: str, state: str, **values: Any) -> dict[str, Any]:
    fixed = {
        "id": order_id,
        "room_id": "room_1",
        "state": state,
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
        "refunded_minor": 0,
        "dispute": "none",
        "lost_minor": 0,
        "granted": True,
        "granted_before_ms": 0,
        "access_ended": False,
        "taken_ms": 0,
        "waits": False,
        "walked_away": False,
        "created_at": NOW_TEXT,
        "created_at_s": 1000,
        "paid_at": NOW_TEXT,
        "paid_at_s": 2000,
    }
    return BOOKS | fixed | values


def _pass(pass_id: str, order_id: str) -> dict[str, Any]:
    return BOOKS | {
        "id": pass_id,
        "room_id": "room_1",
        "order_id": order_id,
        "state": "active",
        "name": "Bo",
        "granted_ms": 900_000,
        "used_ms": 0,
        "forgiven_ms": 0,
        "may_publish": True,
        "epoch": 0,
        "created_at": NOW_TEXT,
    }


def _transfer(transfer_id: str, debit: str, credit: str, amount_minor: int, code: str) -> dict[str, Any]:
    return BOOKS | {
        "id": transfer_id,
        "debit": debit,
        "credit": credit,
        "amount_minor": amount_minor,
        "currency": "eur",
        "code": code,
        "subject_id": transfer_id.split(":")[1],
        "created_at": NOW_TEXT,
    }


async def test_old_books_are_carried_over(database_url: str) -> None:
    await upgrade(database_url, to="0002")
    db = Database(database_url)
    stripe, room = "stripe_clearing", "room_earnings:room_1"
    await _insert(db, "rooms", _room())
    await _insert(
        db,
        "orders",
        _order("ord_kept", "partly_refunded", refunded_minor=300),
        _order("ord_lost", "disputed", dispute="lost", lost_minor=1500),
        _order("ord_asked", "disputed", dispute="open"),
        _order("ord_left", "expired", granted=False, paid_at=None, paid_at_s=None),
    )
    await _insert(db, "passes", *(_pass(f"pass_{one}", f"ord_{one}") for one in ("kept", "lost", "asked")))
    await _insert(
        db,
        "transfers",
        _transfer("payment:ord_kept", stripe, room, 1500, "payment_captured"),
        _transfer("refund:ord_kept:0", room, stripe, 300, "refund"),
        _transfer("payment:ord_lost", stripe, room, 1500, "payment_captured"),
        _transfer("dispute_lost:ord_lost", room, stripe, 1500, "dispute_lost"),
        _transfer("payment:ord_asked", stripe, room, 1500, "payment_captured"),
    )
    await upgrade(database_url)
    async with db.read() as tx:
        rows = (await tx.execute(select(earnings).order_by(earnings.c.id))).mappings().all()
        payees = set((await tx.execute(select(orders.c.payee))).scalars())
        kept = await ledger.balance(tx, "live", "acct_1", "earned_pending:room_1", "eur")
        frozen = await ledger.balance(tx, "live", "acct_1", "dispute_reserve:room_1", "eur")
        at_stripe = await ledger.balance(tx, "live", "acct_1", stripe, "eur")
    problems = await run_checks(db)
    await db.close()
    assert payees == {"room_1"}
    left = [(row["id"], row["net_minor"] - row["reversed_minor"], row["disputed_minor"]) for row in rows]
    assert left == [("ord_asked", 1500, 1500), ("ord_kept", 1200, 0), ("ord_lost", 0, 0)]
    assert {row["state"] for row in rows} == {"pending"}
    assert {row["available_at_s"] for row in rows} == {2000 + 15 * 86_400}
    assert (kept.available_minor, frozen.available_minor, at_stripe.minor) == (1200, 1500, 2700)
    assert [problem for problem in problems if problem.kind == "broken"] == []
