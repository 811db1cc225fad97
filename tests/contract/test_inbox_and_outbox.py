"""Facts on their way in and out: stored once, done at least once."""

from signaling.stores import inbox, outbox
from signaling.stores.database import Database
from signaling.stores.schema import inbox as inbox_table
from signaling.stores.schema import outbox as outbox_table

from .rows import NOW_TEXT, add_order, add_paid, add_room

EVENT = inbox.InboxEvent("evt_1", "sandbox", "sandbox", "charge.refunded", "ch_1", {"id": "ch_1"})


async def _receive(db: Database, event: inbox.InboxEvent = EVENT, now_s: int = 100) -> bool:
    return await db.write(lambda tx: inbox.receive(tx, event, now_s=now_s, received_at=NOW_TEXT))


async def _due(db: Database, now_s: int) -> list[str]:
    async with db.read() as tx:
        return [event.event_id for event in await inbox.due_events(tx, now_s)]


async def test_an_event_is_received_once(db: Database):
    assert await _receive(db) is True
    assert await _receive(db) is False
    assert await _due(db, 100) == ["evt_1"]


async def test_an_event_that_failed_waits_for_its_next_time(db: Database):
    await _receive(db)
    await db.write(lambda tx: inbox.retry_event(tx, "evt_1", 1, 160, "no answer"))
    assert await _due(db, 159) == []
    assert await _due(db, 160) == ["evt_1"]


async def test_an_applied_event_is_not_due_again(db: Database):
    await _receive(db)
    await db.write(lambda tx: inbox.close_event(tx, "evt_1", "applied"))
    assert await _due(db, 10_000) == []
    assert await _receive(db) is False
    async with db.read() as tx:
        assert (await tx.execute(inbox_table.select())).one().state == "applied"


async def test_the_quarantine_shows_a_thing_once(db: Database):
    async def put() -> bool:
        return await db.write(
            lambda tx: inbox.put_in_quarantine(
                tx,
                quarantine_id="ord_1:amount",
                reason="amount",
                subject_id="ord_1",
                payload={},
                created_at="t",
            )
        )

    assert await put() is True
    assert await put() is False


async def _outbox(db: Database, now_s: int) -> list[str]:
    async with db.read() as tx:
        return [row.id for row in await outbox.due(tx, now_s, ["refund", "expire_checkout"])]


async def test_the_same_wish_is_sent_once(db: Database):
    for _ in range(2):
        await db.write(lambda tx: outbox.ask_expiry(tx, "ord_1", "unpaid", now_s=100, created_at=NOW_TEXT))
    assert await _outbox(db, 99) == []
    assert await _outbox(db, 100) == ["expire:ord_1"]


async def test_a_failed_sending_waits_and_a_finished_one_is_gone(db: Database):
    await db.write(lambda tx: outbox.ask_refund(tx, "ord_1", "kicked", now_s=100, created_at=NOW_TEXT))
    await db.write(lambda tx: outbox.retry(tx, "refund:ord_1:kicked", 1, 130, "no answer"))
    assert await _outbox(db, 129) == []
    assert await _outbox(db, 130) == ["refund:ord_1:kicked"]
    await db.write(lambda tx: outbox.finish(tx, "refund:ord_1:kicked", "done"))
    assert await _outbox(db, 1000) == []


async def test_kinds_that_others_send_are_left_alone(db: Database):
    await db.write(
        lambda tx: outbox.add(
            tx, outbox_id="m", kind="mail", subject_id="x", payload={}, now_s=1, created_at=NOW_TEXT
        )
    )
    assert await _outbox(db, 100) == []


async def test_a_pass_is_refunded_with_all_the_time_that_was_added_to_it(db: Database):
    await add_room(db)
    await add_paid(db)
    await add_order(db, order_id="ord_2", extends_pass_id="pass_1", granted=True, granted_before_ms=900_000)
    asked = await db.write(
        lambda tx: outbox.ask_refund_of_pass(tx, "pass_1", "kicked", now_s=1, created_at=NOW_TEXT)
    )
    assert asked == 2
    async with db.read() as tx:
        rows = (await tx.execute(outbox_table.select().order_by(outbox_table.c.id))).all()
    assert [row.subject_id for row in rows] == ["ord_1", "ord_2"]
    assert all(row.payload["amount_minor"] == "unused" for row in rows)
