"""Which receipts are due, on both databases."""

from typing import Any

import pytest

from signaling.stores import outbox, people, receipts
from signaling.stores.database import Database
from signaling.stores.people import User
from signaling.stores.schema import passes
from tests.contract.rows import NOW_TEXT, add_paid, add_room, add_session

SINCE = receipts.Since(500, "2025-01-01T00:00:00.000Z", quiet_at="2026-01-01T00:05:00.000Z")
ENDED = {"ended_at": "2026-01-01T00:04:00.000Z"}


async def due(db: Database) -> list[str]:
    async with db.read() as tx:
        return [one.outbox_id for one in await receipts.due_receipts(tx, "sandbox", "sandbox", SINCE)]


@pytest.mark.parametrize(
    ("order", "session", "expected"),
    [
        ({}, ENDED, True),
        ({}, None, False),
        ({}, {"ended_at": None}, False),
        ({}, {"ended_at": "2026-01-01T00:06:00.000Z"}, False),
        ({"email": None}, ENDED, False),
        ({"email": "not an address"}, ENDED, False),
        ({"amount_minor": 0}, ENDED, False),
        ({"paid_at_s": 499}, ENDED, False),
        ({"mode": "live"}, ENDED, False),
        ({"refunded_minor": 1}, None, True),
        ({"lost_minor": 1}, None, True),
        ({"funding": "metered"}, ENDED, False),
        ({"funding": "metered", "charged_minor": 0}, ENDED, True),
        ({"funding": "wallet", "amount_minor": 0, "charged_minor": 70}, ENDED, True),
        ({"purpose": "topup"}, None, True),
    ],
)
async def test_a_receipt_is_due(
    db: Database, order: dict[str, Any], session: dict[str, Any] | None, expected: bool
) -> None:
    await add_room(db)
    await add_paid(db, **{"email": "bo@example.org"} | order)
    if session is not None:
        await add_session(db, **session)
    assert await due(db) == (
        [f"receipt:ord_1:{order.get('refunded_minor', 0) + order.get('lost_minor', 0)}"] if expected else []
    )


async def test_a_receipt_is_due_once_for_each_amount_that_went_back(db: Database) -> None:
    await add_room(db)
    await add_paid(db, email="bo@example.org", refunded_minor=300)
    await db.write(
        lambda tx: outbox.add(
            tx,
            outbox_id="receipt:ord_1:300",
            kind="mail",
            subject_id="ord_1",
            payload={},
            now_s=0,
            created_at="",
        )
    )
    assert await due(db) == []


async def test_who_was_signed_in_gets_it_at_their_own_address_unless_another_was_given(db: Database) -> None:
    await add_room(db)
    user = User("usr_1", "ana@example.org", "Ana", "user", NOW_TEXT)
    await db.write(lambda tx: people.known_or_new(tx, user))
    await add_paid(db, "ord_1", "pass_1", user_id="usr_1", refunded_minor=1)
    await add_paid(db, "ord_2", "pass_2", user_id="usr_1", email="work@example.org", refunded_minor=1)
    assert await due(db) == ["receipt:ord_1:1", "receipt:ord_2:1"]
    async with db.read() as tx:
        found = [await receipts.address_of(tx, order_id) for order_id in ("ord_1", "ord_2", "ord_3")]
    assert found == ["ana@example.org", "work@example.org", None]


async def test_what_another_order_went_through_makes_no_receipt_due(db: Database) -> None:
    await add_room(db)
    await add_paid(db, "ord_0", "pass_0", email="a@example.org")
    await add_paid(db, "ord_1", "pass_1", email="b@example.org")
    await add_paid(db, "ord_2", "pass_2", email="c@example.org")
    await add_session(db, **ENDED)  # of pass_1
    await db.write(
        lambda tx: tx.execute(passes.update().where(passes.c.id == "pass_2").values(state="used_up"))
    )
    assert await due(db) == ["receipt:ord_1:0", "receipt:ord_2:0"]
