"""Subscriptions with their invoices and free minutes as rows, on both databases."""

import asyncio
from dataclasses import replace

from sqlalchemy import update

from signaling.stores import admin as lookups
from signaling.stores import freeminutes, passes, subscriptions
from signaling.stores.database import Database
from signaling.stores.rates import BooksOf
from signaling.stores.rooms import is_being_paid
from signaling.stores.schema import orders, rooms, users
from signaling.stores.subscriptions import Invoice, Subscription

from .rows import NOW_TEXT, add_order, add_room

BOOKS = ("sandbox", "sandbox")


async def add_people(db: Database, *names: str) -> None:
    for name in names:
        row = {
            "id": name,
            "email": f"{name}@example.org",
            "name": name,
            "role": "user",
            "created_at": NOW_TEXT,
        }
        await db.write(lambda tx, row=row: tx.execute(users.insert().values(row)))


async def add_subscription(db: Database, **values: object) -> Subscription:
    await add_room(db)
    await add_people(db, "ben")
    order = await add_order(db, funding="subscription", user_id="ben", seconds=None)
    await db.write(lambda tx: passes.grant_pass(tx, order, "pass_1", NOW_TEXT))
    row = replace(
        Subscription(
            id="sub_1",
            order_id=order.id,
            pass_id="pass_1",
            room_id="room_1",
            user_id="ben",
            mode="sandbox",
            account="sandbox",
            customer_id="cus_1",
            status="active",
            current_period_end_s=1000,
            cancel_at_period_end=False,
            lapsed_at_s=None,
            updated_at=NOW_TEXT,
        ),
        **values,  # type: ignore[arg-type]
    )
    await db.write(lambda tx: subscriptions.put_subscription(tx, row))
    return row


async def test_a_subscription_is_found_by_all_that_name_it(db: Database):
    row = await add_subscription(db)
    invoice = Invoice("in_1", "sub_1", 900, "eur", "pi_1", NOW_TEXT)
    assert await db.write(lambda tx: subscriptions.insert_invoice(tx, invoice))
    assert not await db.write(lambda tx: subscriptions.insert_invoice(tx, invoice))
    await db.write(lambda tx: subscriptions.add_refunded(tx, "in_1", 300))
    async with db.read() as tx:
        assert await subscriptions.get(tx, "sub_1") == row
        assert await subscriptions.of_order(tx, row.order_id) == row
        assert await subscriptions.of_user(tx, "ben", *BOOKS) == [row]
        assert await subscriptions.of_user(tx, "ben", "live", "acct_1") == []
        assert await subscriptions.standing(tx, "room_1", "ben") == row
        assert await subscriptions.order_of_intent(tx, "pi_1") == row.order_id
        assert await subscriptions.invoices_of(tx, "sub_1") == [replace(invoice, refunded_minor=300)]


async def test_what_is_to_be_asked_after_is_what_is_past_its_period_or_unpaid_and_not_over(db: Database):
    row = await add_subscription(db)
    for changes, before_s, found in (
        ({}, 999, False),
        ({}, 1000, True),
        ({"lapsed_at_s": 10, "status": "past_due"}, 999, True),
        ({"lapsed_at_s": 10, "status": "canceled"}, 1000, False),
    ):
        changed = replace(row, **changes)
        await db.write(lambda tx, changed=changed: subscriptions.put_subscription(tx, changed))
        async with db.read() as tx:
            assert bool(await subscriptions.unheard(tx, *BOOKS, before_s)) == found
            lapsed = await subscriptions.lapsed_with_access(tx, *BOOKS)
            assert bool(lapsed) == (changed.lapsed_at_s is not None)


async def test_one_that_opens_nothing_any_more_is_to_be_ended(db: Database):
    row = await add_subscription(db)
    async with db.read() as tx:
        assert await subscriptions.without_use(tx, *BOOKS) == []
    await db.write(lambda tx: tx.execute(update(rooms).values(state="closed")))
    async with db.read() as tx:
        assert await subscriptions.without_use(tx, *BOOKS) == [row]


async def test_free_minutes_are_had_once_by_a_person_and_once_with_a_card(db: Database):
    await add_room(db)
    await add_room(db, "room_2")
    await add_people(db, "ben", "cid")

    def take(user_id: str, fingerprint: str, order_id: str, room_id: str = "room_1"):
        return db.write(
            lambda tx: freeminutes.take(
                tx, room_id=room_id, user_id=user_id, fingerprint=fingerprint, order_id=order_id, seconds=300
            )
        )

    assert sorted(await asyncio.gather(take("ben", "f1", "ord_1"), take("cid", "f1", "ord_2"))) == [
        False,
        True,
    ]
    async with db.read() as tx:
        first = "ben" if await freeminutes.had(tx, "room_1", "ben") else "cid"
        other = "cid" if first == "ben" else "ben"
        assert not await freeminutes.had(tx, "room_1", other)
    own = "ord_1" if first == "ben" else "ord_2"
    assert await take(first, "f1", own)
    assert not await take(first, "f2", "ord_3")
    assert not await take(other, "f1", "ord_4")
    assert await take(other, "f2", "ord_5")
    assert await take(first, "f1", "ord_6", "room_2")


async def test_people_and_rooms_are_found_by_the_names_they_are_known_by(db: Database):
    await add_room(db, title="50% of Talks_")
    await add_people(db, "ben")
    books = BooksOf(*BOOKS)
    for text, people, found in (
        ("ben@", 1, 0),
        ("b%", 0, 0),
        ("talks_", 0, 1),
        ("50%", 0, 1),
        ("5_%", 0, 0),
        ("https://rooms.example.org/r/room1/", 0, 1),
        ("room_1", 0, 1),
        ("", 0, 0),
    ):
        async with db.read() as tx:
            answer = await lookups.find(tx, books, text)
        assert (len(answer["people"]), len(answer["rooms"])) == (people, found), text
        async with db.read() as tx:
            assert (await lookups.find(tx, BooksOf("live", "acct_1"), text))["rooms"] == []


async def test_unpaid_orders_are_seen_before_a_currency_changes(db: Database):
    await add_room(db)
    await add_order(db)
    async with db.read() as tx:
        assert await is_being_paid(tx, "room_1")
    await db.write(lambda tx: tx.execute(update(orders).values(state="expired")))
    async with db.read() as tx:
        assert not await is_being_paid(tx, "room_1")
