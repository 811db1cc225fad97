"""Erasure and retention on both databases: who it was goes, what was paid stays."""

from typing import Any

import pytest

from signaling.errors import ApiError
from signaling.people.erasing import DAY_S, Retention, erase
from signaling.people.signin import LETTER
from signaling.post import KIND, mail_payload
from signaling.stores import inbox, outbox, people
from signaling.stores.database import Database
from signaling.stores.people import Link, User, UserSession
from signaling.stores.schema import balances, metadata, passes, rooms, stripe_calls, subscriptions
from tests.contract.rows import NOW_TEXT, add_order, add_paid, add_room
from tests.unit.rooms.fakes import InventedClock

EMAIL = "bo@example.org"
NAMES = ("Bo Person", EMAIL, "Bo@Example.org")


def a_clock() -> InventedClock:
    return InventedClock(90_000_000_000)  # 21 September 2026


async def everything(db: Database) -> str:
    """All that is stored, as text."""
    async with db.read() as tx:
        return str(
            [[tuple(row) for row in await tx.execute(table.select())] for table in metadata.sorted_tables]
        )


async def write(db: Database, statement: Any) -> None:
    await db.write(lambda tx: tx.execute(statement))


async def a_person(db: Database) -> None:
    """Bo with an account, who bought signed in and before, and opened a room."""
    user = User("usr_1", EMAIL, "Bo Person", "host", NOW_TEXT)
    await db.write(lambda tx: people.known_or_new(tx, user))
    await db.write(
        lambda tx: people.add_session(tx, UserSession("s", "usr_1", "c", NOW_TEXT, 9_999_999_999), 0)
    )
    await db.write(lambda tx: people.add_link(tx, Link("l", EMAIL, "/me", 9_999_999_999), 0))
    await add_room(db)
    await add_room(db, "room_mine", owner_id="usr_1", host_name="Bo Person", live=False)
    event = inbox.InboxEvent(
        "evt_1", "sandbox", "sandbox", "checkout.session.completed", "cs_1", {"email": EMAIL}
    )
    await db.write(lambda tx: inbox.receive(tx, event, now_s=0, received_at=NOW_TEXT))
    await db.write(lambda tx: inbox.close_event(tx, "evt_1", "applied"))
    call = {
        "idempotency_key": "k",
        "operation": "checkout",
        "subject_id": "ord_1",
        "state": "done",
        "attempts": 1,
    }
    params = {"customer_email": EMAIL, "amount": 1500}
    await write(db, stripe_calls.insert().values(**call, params=params, next_at_s=0, created_at_s=0))
    bought = {"name": "Bo Person", "checkout_session_id": "cs_1", "user_id": "usr_1"}
    await add_paid(db, "ord_1", "pass_1", **bought)
    await add_order(db, order_id="ord_2", name="Bo Person", email="Bo@Example.org")
    letter = mail_payload(LETTER, email=EMAIL)
    await db.write(
        lambda tx: outbox.add(
            tx, outbox_id="mail_1", kind=KIND, subject_id="x", payload=letter, now_s=0, created_at=NOW_TEXT
        )
    )


async def test_after_an_erasure_nothing_says_who_it_was_and_the_amounts_stand(db: Database) -> None:
    await a_person(db)
    await add_paid(db, "ord_3", "pass_3", name="Cy", email="cy@example.org")
    before = await everything(db)
    assert all(name in before for name in NAMES)
    done = await erase(db, a_clock(), EMAIL)
    assert (done.known, done.orders, done.room_ids) == (True, 2, ("room_mine",))
    after = await everything(db)
    assert not any(name in after for name in NAMES)
    assert "cy@example.org" in after
    async with db.read() as tx:
        assert await people.by_email(tx, EMAIL) is None
        assert await people.session_of(tx, "s", 0) is None
        assert [row.state for row in await tx.execute(rooms.select().where(rooms.c.id == "room_mine"))] == [
            "closed"
        ]
        assert [row.state for row in await tx.execute(passes.select().where(passes.c.id == "pass_1"))] == [
            "waiting"
        ]
        (call,) = await tx.execute(stripe_calls.select())
    assert call.params == {"amount": 1500}


async def test_an_address_without_an_account_is_erased_from_its_orders(db: Database) -> None:
    await add_room(db)
    await add_order(db, name="Bo Person", email="Bo@Example.org")
    done = await erase(db, a_clock(), EMAIL)
    assert (done.known, done.orders) == (False, 1)
    after = await everything(db)
    assert not any(name in after for name in NAMES)


@pytest.mark.parametrize("code", ["room_live", "subscribed", "credits_left"])
async def test_what_still_goes_on_hinders_an_erasure(db: Database, code: str) -> None:
    await a_person(db)
    if code == "room_live":
        await write(db, rooms.update().where(rooms.c.id == "room_mine").values(live=True))
    elif code == "subscribed":
        row = {
            "id": "sub_1",
            "order_id": "ord_1",
            "pass_id": "pass_1",
            "room_id": "room_1",
            "user_id": "usr_1",
        }
        rest = {"mode": "sandbox", "account": "sandbox", "customer_id": "cus_1", "status": "past_due"}
        end = {"current_period_end_s": 1, "cancel_at_period_end": False, "updated_at": NOW_TEXT}
        await write(db, subscriptions.insert().values(**row, **rest, **end))
    else:
        sums = {"debits_minor": 300, "credits_minor": 500, "debits_held_minor": 0, "credits_held_minor": 0}
        books = {"mode": "sandbox", "account": "sandbox", "name": "wallet:usr_1", "currency": "eur"}
        await write(db, balances.insert().values(**books, **sums))
    before = await everything(db)
    with pytest.raises(ApiError) as refused:
        await erase(db, a_clock(), EMAIL)
    assert refused.value.code == code
    assert await everything(db) == before


async def test_old_orders_lose_their_names_once_nobody_can_come_in_by_them(db: Database) -> None:
    clock = a_clock()
    now_s = int(clock.wall_s())
    await add_room(db)
    old, young = now_s - 31 * DAY_S, now_s - 29 * DAY_S
    for n, (created_at_s, state) in enumerate(
        [(old, "used_up"), (old, "waiting"), (young, "used_up"), (old, "refunded")]
    ):
        await add_paid(
            db, f"ord_{n}", f"pass_{n}", name=f"Payer {n}", email=f"{n}@x.org", created_at_s=created_at_s
        )
        await write(db, passes.update().where(passes.c.id == f"pass_{n}").values(state=state))
    assert await Retention(db, clock, 0).work_once() == 0
    assert await Retention(db, clock, 30).work_once() == 2
    assert await Retention(db, clock, 30).work_once() == 0
    after = await everything(db)
    assert [f"Payer {n}" in after for n in range(4)] == [False, True, True, False]
    assert [f"{n}@x.org" in after for n in range(4)] == [False, True, True, False]


async def test_old_events_are_emptied_and_those_to_be_applied_are_not(db: Database) -> None:
    for event_id, received_at in (
        ("evt_old", "2026-01-01T00:00:00.000Z"),
        ("evt_new", "2026-09-21T00:00:00.000Z"),
    ):
        event = inbox.InboxEvent(event_id, "sandbox", "sandbox", "x", "cs_1", {"email": f"{event_id}@x.org"})
        await db.write(
            lambda tx, event=event, at=received_at: inbox.receive(tx, event, now_s=0, received_at=at)
        )
    clock = a_clock()
    assert await Retention(db, clock, 30).work_once() == 0, "neither is applied yet"
    for event_id in ("evt_old", "evt_new"):
        await db.write(lambda tx, event_id=event_id: inbox.close_event(tx, event_id, "applied"))
    assert await Retention(db, clock, 30).work_once() == 1
    after = await everything(db)
    assert "evt_old@x.org" not in after
    assert "evt_new@x.org" in after


async def test_letters_with_links_go_after_a_day(db: Database) -> None:
    clock = a_clock()
    now_s = int(clock.wall_s())
    for outbox_id, at_s in (("mail_old", now_s - DAY_S - 1), ("mail_new", now_s - DAY_S + 60)):
        payload = mail_payload(LETTER, email=f"{outbox_id}@x.org")
        await db.write(
            lambda tx, outbox_id=outbox_id, at_s=at_s, payload=payload: outbox.add(
                tx, outbox_id=outbox_id, kind=KIND, subject_id="x", payload=payload, now_s=at_s, created_at=""
            )
        )
    await Retention(db, clock, 0).work_once()
    assert "mail_old@x.org" in await everything(db), "it still waits to be sent"
    for outbox_id in ("mail_old", "mail_new"):
        await db.write(lambda tx, outbox_id=outbox_id: outbox.finish(tx, outbox_id, "done"))
    await Retention(db, clock, 0).work_once()
    after = await everything(db)
    assert "mail_old@x.org" not in after
    assert "mail_new@x.org" in after
