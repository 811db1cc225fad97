"""Rates by place and promotion codes, on both databases; the last use of a code goes to one of two."""

import asyncio
from dataclasses import replace

from metering.price import Discount
from metering.promotions import Promotion
from metering.tariff import PerMinute
from signaling.stores import promotions, rates, rooms
from signaling.stores.database import Database, Transaction
from signaling.stores.orders import insert_order
from signaling.stores.rates import BooksOf
from signaling.stores.schema import users

from .rows import NOW_TEXT, add_order, add_room, an_order

BOOKS = BooksOf("sandbox", "sandbox")
OTHER = BooksOf("test", "acct_1")
HALF = Promotion("promo_1", "HALF", Discount(percent=50), uses_left=1)


async def add_user(
    db: Database, user_id: str = "usr_ana", role: str = "host", email: str = "ana@example.org"
) -> None:
    row = {"id": user_id, "email": email, "name": "Ana", "role": role, "created_at": NOW_TEXT}
    await db.write(lambda tx: tx.execute(users.insert().values(row)))


async def set_rates(
    db: Database, scope: rates.Scope, subject: str, books: BooksOf = BOOKS, **figures: object
) -> None:
    row = rates.RatesRow(scope, subject, figures, NOW_TEXT)
    await db.write(lambda tx: rates.set_rates(tx, books, row))


async def figures(db: Database, **of: str) -> dict:
    async with db.read() as tx:
        return dict((await rates.figures_of(tx, BOOKS, **of)).said)


async def uses_left(db: Database, code: str = "HALF") -> int | None:
    async with db.read() as tx:
        found = await promotions.find_code(tx, BOOKS, code)
    assert found is not None
    return found.uses_left


async def add_promotion(db: Database, promotion: Promotion = HALF) -> bool:
    return await db.write(lambda tx: promotions.insert_promotion(tx, BOOKS, promotion, NOW_TEXT))


# --- rates ------------------------------------------------------------------------------------------------


async def test_a_place_says_what_it_was_told_last_and_nothing_once_cleared(db: Database):
    await set_rates(db, "default", "", window_s=300)
    await set_rates(db, "default", "", grace_s=60)
    assert await figures(db) == {"grace_s": 60}
    assert await db.write(lambda tx: rates.clear_rates(tx, BOOKS, "default", "")) is True
    assert await db.write(lambda tx: rates.clear_rates(tx, BOOKS, "default", "")) is False
    assert await figures(db) == {}


async def test_what_holds_for_a_room_is_read_from_its_four_places_alone(db: Database):
    await add_user(db)
    for scope, subject, window_s in [
        ("default", "", 60),
        ("role", "host", 70),
        ("user", "usr_ana", 80),
        ("room", "room_1", 90),
    ]:
        await set_rates(db, scope, subject, window_s=window_s)
    await set_rates(db, "room", "room_2", window_s=1)
    await set_rates(db, "user", "usr_ben", window_s=2)
    await set_rates(db, "role", "operator", window_s=3)
    assert (await figures(db))["window_s"] == 60
    assert (await figures(db, owner_id="usr_ana"))["window_s"] == 80
    assert (await figures(db, owner_id="usr_ana", room_id="room_1"))["window_s"] == 90
    assert (await figures(db, room_id="room_3"))["window_s"] == 60


async def test_two_books_say_nothing_to_each_other(db: Database):
    await set_rates(db, "default", "", books=OTHER, window_s=300)
    assert await figures(db) == {}
    async with db.read() as tx:
        assert await rates.all_rates(tx, BOOKS) == []
        assert [row.figures for row in await rates.all_rates(tx, OTHER)] == [{"window_s": 300}]


async def test_a_rooms_open_tariff_is_filled_in_its_own_currency(db: Database):
    await add_room(db, tariff={"kind": "per_minute", "currency": "eur", "presets_s": [900]})
    await set_rates(db, "default", "", currency="eur", rate_minor_per_min=70)
    async with db.read() as tx:
        room = await rooms.by_id(tx, "room_1")
        assert room is not None
        assert await rates.tariff_of_room(tx, room) == PerMinute(70, "eur", (900,))


# --- codes ------------------------------------------------------------------------------------------------


async def test_a_code_is_one_promotion_in_each_set_of_books(db: Database):
    assert await add_promotion(db) is True
    assert await add_promotion(db, replace(HALF, promotion_id="promo_2")) is False
    other = replace(HALF, promotion_id="promo_3")
    assert await db.write(lambda tx: promotions.insert_promotion(tx, OTHER, other, NOW_TEXT)) is True
    async with db.read() as tx:
        assert await promotions.find_code(tx, BOOKS, "HALF") == HALF
        assert [one.promotion for one in await promotions.list_promotions(tx, OTHER)] == [other]


async def test_the_last_use_is_taken_by_one_of_two_at_once(db: Database):
    await add_room(db)
    await add_promotion(db)

    async def order(number: int) -> bool:
        async def work(tx: Transaction) -> bool:
            found = await promotions.find_code(tx, BOOKS, "HALF")
            assert found is not None
            await insert_order(tx, an_order(f"ord_{number}", promotion_id=found.promotion_id))
            return await promotions.take(tx, found, f"ord_{number}", f"person_{number}")

        return await db.write(work)

    assert sorted(await asyncio.gather(*(order(number) for number in range(4)))) == [
        False,
        False,
        False,
        True,
    ]
    assert await uses_left(db) == 0


async def test_a_use_comes_back_once_when_the_order_is_not_paid(db: Database):
    await add_room(db)
    await add_promotion(db)
    await add_order(db)
    assert await db.write(lambda tx: promotions.take(tx, HALF, "ord_1", "ana")) is True
    assert await db.write(lambda tx: promotions.give_back(tx, "ord_1")) is True
    assert await db.write(lambda tx: promotions.give_back(tx, "ord_1")) is False
    assert await uses_left(db) == 1
    assert await db.write(lambda tx: promotions.give_back(tx, "ord_unknown")) is False


async def test_money_that_comes_late_takes_the_use_again_and_never_below_nought(db: Database):
    await add_room(db)
    await add_promotion(db)
    for number in (1, 2):
        await add_order(db, order_id=f"ord_{number}")
    await db.write(lambda tx: promotions.take(tx, HALF, "ord_1", "ana"))
    await db.write(lambda tx: promotions.give_back(tx, "ord_1"))
    await db.write(lambda tx: promotions.take(tx, HALF, "ord_2", "ben"))
    assert await db.write(lambda tx: promotions.keep(tx, "ord_1")) is True
    assert await db.write(lambda tx: promotions.keep(tx, "ord_1")) is False
    assert await uses_left(db) == 0


async def test_a_code_without_end_stays_without_end(db: Database):
    await add_room(db)
    await add_order(db)
    endless = replace(HALF, uses_left=None)
    await add_promotion(db, endless)
    assert await db.write(lambda tx: promotions.take(tx, endless, "ord_1", "ana")) is True
    assert await uses_left(db) is None
    await db.write(lambda tx: promotions.give_back(tx, "ord_1"))
    assert await uses_left(db) is None


async def test_an_ended_code_gives_no_use(db: Database):
    await add_room(db)
    await add_promotion(db)
    await add_order(db)
    assert await db.write(lambda tx: promotions.end_promotion(tx, BOOKS, "promo_1", "room_1")) is False
    assert await db.write(lambda tx: promotions.end_promotion(tx, BOOKS, "promo_1")) is True
    assert await db.write(lambda tx: promotions.take(tx, HALF, "ord_1", "ana")) is False


async def test_a_person_is_the_same_with_and_without_an_account(db: Database):
    await add_user(db)
    await add_room(db)
    await add_promotion(db, replace(HALF, uses_left=5))
    await add_order(db)

    async def known(user_id: str | None, email: str | None) -> bool:
        async with db.read() as tx:
            return await promotions.used_before(tx, "promo_1", await promotions.persons(tx, user_id, email))

    await db.write(lambda tx: promotions.take(tx, HALF, "ord_1", "usr_ana"))
    assert await known("usr_ana", None)
    assert await known(None, "Ana@Example.org")
    assert not await known(None, "ben@example.org")
    assert not await known(None, None)
    await db.write(lambda tx: promotions.give_back(tx, "ord_1"))
    assert not await known("usr_ana", None)


async def test_who_used_a_code_by_address_is_known_when_signed_in_later(db: Database):
    await add_room(db)
    await add_promotion(db)
    await add_order(db)
    await db.write(lambda tx: promotions.take(tx, HALF, "ord_1", promotions.email_person("ana@example.org")))
    await add_user(db)
    async with db.read() as tx:
        assert await promotions.used_before(tx, "promo_1", await promotions.persons(tx, "usr_ana", None))
