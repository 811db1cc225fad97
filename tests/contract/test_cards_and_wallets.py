"""Cards on file, and what a wallet's row says: once, for one person, in one set of books."""

import asyncio
from typing import Any

from signaling.stores import cards, wallets
from signaling.stores.database import Database
from signaling.stores.schema import passes, users

from .rows import NOW_TEXT, add_order, add_paid, add_room, add_session

BOOKS = ("sandbox", "sandbox")
KEY = wallets.Key("user_1", *BOOKS, "eur")


async def add_user(db: Database, user_id: str = "user_1") -> None:
    values = {"id": user_id, "email": f"{user_id}@example.org", "name": "Bo", "role": "user"}
    await db.write(lambda tx: tx.execute(users.insert().values(**values, created_at=NOW_TEXT)))


def a_card(payment_method_id: str = "pm_1", **values: Any) -> cards.Card:
    fields = {
        "payment_method_id": payment_method_id,
        "user_id": "user_1",
        "mode": "sandbox",
        "account": "sandbox",
        "fingerprint": "f1",
        "brand": "visa",
        "last4": "4242",
        "exp_month": 12,
        "exp_year": 2030,
        "created_at": NOW_TEXT,
    }
    return cards.Card(**fields | values)


async def test_a_person_is_one_customer_in_each_set_of_books(db: Database):
    await add_user(db)
    assert await db.write(lambda tx: cards.put_customer(tx, "user_1", *BOOKS, "cus_1")) == "cus_1"
    assert await db.write(lambda tx: cards.put_customer(tx, "user_1", *BOOKS, "cus_2")) == "cus_1"
    assert await db.write(lambda tx: cards.put_customer(tx, "user_1", "live", "acct", "cus_3")) == "cus_3"
    async with db.read() as tx:
        assert await cards.customer_of(tx, "user_1", *BOOKS) == "cus_1"
        assert await cards.customer_of(tx, "user_1", "test", "acct") is None


async def test_a_card_is_kept_once_and_a_forgotten_one_can_come_back(db: Database):
    await add_user(db)
    await add_user(db, "user_2")
    assert await db.write(lambda tx: cards.keep_card(tx, a_card())) is True
    assert await db.write(lambda tx: cards.keep_card(tx, a_card())) is False
    async with db.read() as tx:
        assert await cards.cards_of(tx, "user_1", *BOOKS) == [a_card()]
        assert await cards.card_of(tx, "user_2", *BOOKS, "pm_1") is None
    await db.write(lambda tx: cards.forget_card(tx, "pm_1"))
    async with db.read() as tx:
        assert await cards.card_of(tx, "user_1", *BOOKS, "pm_1") is None
    await db.write(lambda tx: cards.keep_card(tx, a_card()))
    async with db.read() as tx:
        assert await cards.card_of(tx, "user_1", *BOOKS, "pm_1") == a_card()


async def test_a_wallet_without_a_row_is_as_it_begins(db: Database):
    await add_user(db)
    async with db.read() as tx:
        assert await wallets.get_wallet(tx, KEY) == wallets.Wallet("user_1", *BOOKS, "eur")
        assert await wallets.wallets_of(tx, "user_1", *BOOKS) == []
    await db.write(lambda tx: wallets.set_wallet(tx, KEY, managed_by="platform"))
    async with db.read() as tx:
        (found,) = await wallets.wallets_of(tx, "user_1", *BOOKS)
    assert (found.managed_by, found.currency) == ("platform", "eur")


async def test_only_one_top_up_is_on_its_way(db: Database):
    await add_user(db)
    await db.write(lambda tx: wallets.set_wallet(tx, KEY, auto_topup=True))
    claims = [db.write(lambda tx, i=i: wallets.claim_auto(tx, KEY, f"ord_{i}")) for i in range(5)]
    assert sorted(await asyncio.gather(*claims)) == [False, False, False, False, True]
    async with db.read() as tx:
        claimed = (await wallets.get_wallet(tx, KEY)).auto_order_id
    assert claimed is not None
    await db.write(lambda tx: wallets.release_auto(tx, KEY, "ord_other", not_before_s=9))
    assert await db.write(lambda tx: wallets.claim_auto(tx, KEY, "ord_9")) is False
    await db.write(lambda tx: wallets.release_auto(tx, KEY, claimed, not_before_s=7))
    async with db.read() as tx:
        assert (await wallets.get_wallet(tx, KEY)).auto_not_before_s == 7
    assert await db.write(lambda tx: wallets.claim_auto(tx, KEY, "ord_9")) is True


async def test_a_wallet_that_is_switched_off_is_not_claimed(db: Database):
    await add_user(db)
    await db.write(lambda tx: wallets.set_wallet(tx, KEY))
    assert await db.write(lambda tx: wallets.claim_auto(tx, KEY, "ord_1")) is False


async def test_what_was_asked_unasked_is_counted_apart(db: Database):
    await add_user(db)
    mine = {"room_id": None, "purpose": "topup", "user_id": "user_1"}
    await add_order(db, order_id="ord_a", ui="auto", created_at_s=100, **mine)
    await add_order(db, order_id="ord_b", ui="auto", created_at_s=200, **mine)
    await add_order(db, order_id="ord_c", ui="card", created_at_s=300, **mine)
    await add_order(db, order_id="ord_d", ui="auto", created_at_s=300, currency="usd", **mine)
    async with db.read() as tx:
        assert sorted(await wallets.auto_asked_s(tx, KEY, 0)) == [100, 200]
        assert await wallets.auto_asked_s(tx, KEY, 100) == (200,)


async def test_the_stays_on_a_wallet_are_those_in_a_room_now(db: Database):
    await add_user(db)
    await add_room(db)
    for number, funding in (("1", "wallet"), ("2", "wallet"), ("3", "payment")):
        await add_paid(db, f"ord_{number}", f"pass_{number}")
        owned = {"funding": funding, "user_id": "user_1"}
        change = passes.update().where(passes.c.id == f"pass_{number}").values(**owned)
        await db.write(lambda tx, change=change: tx.execute(change))
    stays = [("1", None), ("2", NOW_TEXT), ("3", None)]
    for number, ended_at in stays:
        await add_session(db, f"ses_{number}", f"pass_{number}", ended_at=ended_at)
    async with db.read() as tx:
        assert [one.pass_id for one in await wallets.inside(tx, KEY)] == ["pass_1"]
