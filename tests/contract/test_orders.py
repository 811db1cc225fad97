"""Orders: once by id, seats, and who is found by what."""

import asyncio

from metering.orders import OrderState
from signaling.ids import secret_hash
from signaling.stores import orders
from signaling.stores.database import Database, Transaction
from signaling.stores.schema import passes

from .rows import add_order, add_paid, add_room, add_session, an_order, reload


async def _taken(db: Database) -> int:
    async with db.read() as tx:
        return await orders.seats_taken(tx, "room_1")


async def test_an_order_comes_back_as_it_was_stored(db: Database):
    await add_room(db)
    stored = await add_order(db, email="bo@example.org", reserved_until_s=1600, terms_version="3")
    assert await reload(db, stored) == stored


async def test_the_same_id_is_stored_once(db: Database):
    await add_room(db)
    first = await add_order(db)
    other = an_order(name="Somebody else")
    assert await db.write(lambda tx: orders.insert_order(tx, other)) is False
    assert await reload(db, first) == first


async def test_an_order_opens_for_its_secret_and_its_links_secret_alone(db: Database):
    await add_room(db)
    order = await add_order(db, secret_hash=secret_hash("its own"), link_hash=secret_hash("its link's"))

    async def opened(order_id: str, secret: str) -> bool:
        async with db.read() as tx:
            return await orders.get_opened(tx, order_id, secret) is not None

    assert await opened(order.id, "its own")
    assert await opened(order.id, "its link's")
    assert not await opened(order.id, "another")
    assert not await opened(order.id, order.secret_hash)
    assert not await opened("ord_unknown", "its own")


async def test_an_order_without_a_link_opens_for_no_second_secret():
    order = an_order(secret_hash=secret_hash("its own"), link_hash=None)
    assert order.opened_by("its own")
    assert not order.opened_by("")


async def test_an_update_changes_what_it_names_alone(db: Database):
    await add_room(db)
    order = await add_order(db)
    await db.write(lambda tx: orders.update_order(tx, order.id, state=OrderState.OPEN, failure="declined"))
    changed = await reload(db, order)
    assert (changed.state, changed.failure, changed.name) == (OrderState.OPEN, "declined", "Bo")


async def test_a_reservation_takes_a_seat_until_it_is_released(db: Database):
    await add_room(db)
    order = await add_order(db, reserved_until_s=10)
    assert await _taken(db) == 1
    await db.write(lambda tx: orders.update_order(tx, order.id, reserved_until_s=None))
    assert await _taken(db) == 0


async def test_one_of_two_gets_the_last_seat(db: Database):
    await add_room(db, capacity=1)

    async def reserve(order_id: str) -> bool:
        async def work(tx: Transaction) -> bool:
            if await orders.seats_taken(tx, "room_1") >= 1:
                return False
            return await orders.insert_order(tx, an_order(order_id, reserved_until_s=10))

        return await db.write(work)

    got = await asyncio.gather(*(reserve(f"ord_{number}") for number in range(4)))
    assert sorted(got) == [False, False, False, True]


async def test_added_time_takes_no_seat_of_its_own(db: Database):
    await add_room(db)
    await add_paid(db)
    await add_order(db, order_id="ord_2", extends_pass_id="pass_1", reserved_until_s=10)
    assert await _taken(db) == 1


async def test_a_pass_takes_a_seat_before_its_first_use_and_while_inside(db: Database):
    await add_room(db)
    await add_paid(db)
    assert await _taken(db) == 1
    await add_session(db)
    assert await _taken(db) == 1


async def test_a_pass_that_left_takes_no_seat(db: Database):
    await add_room(db)
    await add_paid(db)
    await add_session(db, ended_at="2026-01-01T00:01:00.000Z")
    assert await _taken(db) == 0


async def test_orders_are_found_by_what_stripe_calls_them(db: Database):
    await add_room(db)
    order = await add_order(db, checkout_session_id="cs_1", payment_intent_id="pi_1")
    async with db.read() as tx:
        assert await orders.find_by_checkout(tx, "cs_1") == order
        assert await orders.find_by_payment_intent(tx, "pi_1") == order
        assert await orders.find_by_checkout(tx, "cs_2") is None


async def test_orders_of_a_pass_come_in_the_order_in_which_time_was_bought(db: Database):
    await add_room(db)
    await add_paid(db)
    common = {"extends_pass_id": "pass_1", "state": OrderState.PAID, "granted": True}
    await add_order(db, order_id="ord_3", granted_before_ms=1_800_000, **common)
    second = await add_order(db, order_id="ord_2", granted_before_ms=900_000, **common)
    await add_order(db, order_id="ord_4", extends_pass_id="pass_1")  # never paid
    async with db.read() as tx:
        found = await orders.orders_of_pass(tx, "pass_1")
        later = await orders.later_orders(tx, "pass_1", second, 900_000)
    assert [one.id for one in found] == ["ord_1", "ord_2", "ord_3"]
    assert [one.id for one in later] == ["ord_3"]


async def test_of_two_orders_that_begin_at_the_same_place_the_one_paid_later_comes_later(db: Database):
    await add_room(db)
    await add_paid(db)
    common = {
        "extends_pass_id": "pass_1",
        "state": OrderState.PAID,
        "granted": True,
        "granted_before_ms": 900_000,
    }
    taken_off = await add_order(db, order_id="ord_2", paid_at="2026-01-01T00:00:01.000Z", **common)
    after_it = await add_order(db, order_id="ord_3", paid_at="2026-01-01T00:00:02.000Z", **common)
    async with db.read() as tx:
        assert await orders.later_orders(tx, "pass_1", taken_off, 900_000) == [after_it]
        assert await orders.later_orders(tx, "pass_1", after_it, 900_000) == []


async def test_overdue_are_unpaid_orders_past_their_reservation(db: Database):
    await add_room(db)
    await add_order(db, order_id="ord_late", reserved_until_s=100, state=OrderState.OPEN)
    await add_order(db, order_id="ord_early", reserved_until_s=101)
    await add_order(db, order_id="ord_paid", reserved_until_s=50, state=OrderState.PAID)
    async with db.read() as tx:
        assert [one.id for one in await orders.overdue_reservations(tx, 100)] == ["ord_late"]


async def test_unservable_are_unpaid_orders_of_rooms_without_a_host(db: Database):
    await add_room(db)
    await add_room(db, "room_away", live=False, away_since_s=100)
    await add_room(db, "room_just", live=False, away_since_s=161)
    await add_room(db, "room_shut", state="closed")
    for room in ("room_1", "room_away", "room_just", "room_shut"):
        await add_order(db, order_id=f"ord_{room}", room_id=room, state=OrderState.OPEN)
    async with db.read() as tx:
        found = {one.id for one in await orders.unservable(tx, 160)}
    assert found == {"ord_room_away", "ord_room_shut"}


async def test_unserved_are_paid_orders_of_rooms_without_a_host(db: Database):
    await add_room(db, live=False, away_since_s=100)
    await add_room(db, "room_live")
    await add_paid(db)
    await add_paid(db, "ord_live", "pass_live", room_id="room_live")
    await add_order(db, order_id="ord_open", state=OrderState.OPEN)
    async with db.read() as tx:
        assert [one.id for one in await orders.unserved(tx, 100)] == ["ord_1"]
        assert await orders.unserved(tx, 99) == []


async def test_what_is_never_due_does_not_crowd_out_who_is_unserved(db: Database):
    """However much of it there is: only so many are looked at."""
    await add_room(db, live=False, away_since_s=100)
    await add_paid(db, "ord_unlimited", "pass_unlimited", seconds=None)
    await db.write(
        lambda tx: tx.execute(passes.update().where(passes.c.id == "pass_unlimited").values(used_ms=1))
    )
    await add_paid(db, "ord_waits", "pass_waits", waits=True)
    await add_paid(db, "ord_due", "pass_due")
    async with db.read() as tx:
        assert [one.id for one in await orders.unserved(tx, 100, limit=1)] == ["ord_due"]


async def test_who_waits_is_unserved_once_the_room_is_closed(db: Database):
    await add_room(db, live=False, away_since_s=100, state="closed")
    await add_paid(db, "ord_1", "pass_1", waits=True)
    extension = {"extends_pass_id": "pass_1", "granted": True, "paid_at_s": 2000}
    await add_order(db, order_id="ord_2", state=OrderState.PAID, **extension)
    async with db.read() as tx:
        assert [one.id for one in await orders.unserved(tx, 100)] == ["ord_1", "ord_2"]


async def test_a_used_up_pass_is_not_unserved_because_another_one_waits(db: Database):
    await add_room(db, live=False, away_since_s=100)
    await add_paid(db, "ord_1", "pass_1")
    await add_paid(db, "ord_2", "pass_2")
    await db.write(
        lambda tx: tx.execute(passes.update().where(passes.c.id == "pass_1").values(state="used_up"))
    )
    async with db.read() as tx:
        assert [one.id for one in await orders.unserved(tx, 100)] == ["ord_2"]
