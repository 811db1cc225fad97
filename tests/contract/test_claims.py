"""What belongs to nobody is taken once, and whose the money of a room is from then on."""

import asyncio

import pytest
from sqlalchemy import select

from metering.orders import OrderState
from signaling.stores import orders, rooms
from signaling.stores.database import Database
from signaling.stores.schema import orders as orders_table
from signaling.stores.schema import users
from tests.contract.rows import NOW_TEXT, add_order, add_paid, add_room, get_pass, reload


@pytest.fixture(autouse=True)
async def two_people(db: Database) -> None:
    for user_id in ("usr_1", "usr_2"):
        row = {"id": user_id, "email": f"{user_id}@example.org", "name": user_id, "role": "user"}
        values = users.insert().values(row | {"created_at": NOW_TEXT})
        await db.write(lambda tx, values=values: tx.execute(values))


async def test_an_order_is_taken_once_and_its_pass_with_it(db: Database) -> None:
    await add_room(db)
    order = await add_paid(db)
    assert await db.write(lambda tx: orders.claim_order(tx, "ord_1", "usr_1"))
    assert not await db.write(lambda tx: orders.claim_order(tx, "ord_1", "usr_2"))
    assert ((await reload(db, order)).user_id, (await get_pass(db)).user_id) == ("usr_1", "usr_1")


async def test_of_two_who_take_a_room_at_once_one_gets_it(db: Database) -> None:
    await add_room(db)

    async def take(user_id: str) -> bool:
        return await db.write(lambda tx: rooms.claim_room(tx, "room_1", user_id))

    assert sorted(await asyncio.gather(take("usr_1"), take("usr_2"))) == [False, True]


async def test_what_is_booked_later_is_the_new_owners_and_what_was_booked_stays(db: Database) -> None:
    await add_room(db)
    await add_room(db, "room_2")
    await add_paid(db, payee="room_1")
    await add_order(db, order_id="ord_open", state=OrderState.OPEN, payee="room_1")
    await add_paid(db, "ord_used", "pass_2", funding="metered", payee="room_1")
    await add_paid(db, "ord_charged", "pass_3", funding="metered", payee="room_1", charged_minor=900)
    await add_paid(db, "ord_month", "pass_4", funding="subscription", payee="room_1")
    await add_paid(db, "ord_before_payees", "pass_5", funding="subscription")
    await add_order(db, order_id="ord_elsewhere", room_id="room_2", payee="room_2")
    await db.write(lambda tx: orders.give_payee(tx, "room_1", "usr_1"))
    async with db.read() as tx:
        query = select(orders_table.c.id, orders_table.c.payee)
        found = {row.id: row.payee for row in await tx.execute(query)}
    mine = {name for name, payee in found.items() if payee == "usr_1"}
    assert mine == {"ord_open", "ord_used", "ord_month", "ord_before_payees"}
    assert (found["ord_1"], found["ord_charged"], found["ord_elsewhere"]) == ("room_1", "room_1", "room_2")
