"""Connected accounts and payouts as rows: what may be sent, what may be asked back."""

from typing import Any

from sqlalchemy import update

from signaling.stores import hostbooks
from signaling.stores import payouts as store
from signaling.stores.database import Database
from signaling.stores.earnings import get_earning
from signaling.stores.payouts import Connected, Payout
from signaling.stores.schema import earnings, outbox, users

from .rows import NOW_TEXT

BOOKS = ("sandbox", "sandbox")


async def add_host(db: Database, user_id: str = "user_ana", **values: Any) -> Connected:
    user = {
        "id": user_id,
        "email": f"{user_id}@example.org",
        "name": "Ana",
        "role": "host",
        "created_at": NOW_TEXT,
    }
    row = Connected(user_id, *BOOKS, f"acct_{user_id}", "active", [], NOW_TEXT)

    async def work(tx: Any) -> None:
        await tx.execute(users.insert().values(user))
        await store.insert_connected(tx, row)
        if values:
            await store.set_connected(tx, row, **values)

    await db.write(work)
    return row


async def add_earning(db: Database, earning_id: str = "ord_1", **values: Any) -> None:
    row = {
        "id": earning_id, "mode": "sandbox", "account": "sandbox", "payee": "user_ana", "order_id": earning_id,
        "room_id": "room_1", "currency": "eur", "gross_minor": 1100, "fee_minor": 100, "tax_minor": 0,
        "net_minor": 1000, "reversed_minor": 0, "paid_minor": 0, "state": "available", "available_at_s": 0,
        "created_at": NOW_TEXT, "created_at_s": 0,
    } | values  # fmt: skip
    await db.write(lambda tx: tx.execute(earnings.insert().values(row)))


def a_payout(payout_id: str = "po_1", **values: Any) -> Payout:
    return Payout(
        **{
            "id": payout_id,
            "mode": "sandbox",
            "account": "sandbox",
            "payee": "user_ana",
            "earning_id": "ord_1",
            "connected_id": "acct_user_ana",
            "amount_minor": 1000,
            "reversed_minor": 0,
            "currency": "eur",
            "state": "asked",
            "transfer_id": None,
            "failure": None,
            "created_at": NOW_TEXT,
        }
        | values
    )


async def payable(db: Database) -> list[str]:
    async with db.read() as tx:
        return await store.payable_earnings(tx, *BOOKS)


async def owing(db: Database) -> list[str]:
    async with db.read() as tx:
        return await store.owing_earnings(tx, *BOOKS)


async def test_one_account_for_each_person_and_books(db: Database) -> None:
    row = await add_host(db)
    assert not await db.write(lambda tx: store.insert_connected(tx, row))
    async with db.read() as tx:
        assert await store.connected_of(tx, "user_ana", *BOOKS) == row
        assert await store.connected_of(tx, "user_ana", "live", "acct_1") is None
        assert await store.find_connected(tx, "acct_user_ana") == row
        assert await store.unready(tx, *BOOKS) == []
    await db.write(lambda tx: store.set_connected(tx, row, transfers_status="restricted"))
    async with db.read() as tx:
        assert [one.user_id for one in await store.unready(tx, *BOOKS)] == ["user_ana"]


async def test_what_is_owed_is_payable_once_it_is_due_and_the_account_ready(db: Database) -> None:
    host = await add_host(db, transfers_status="pending")
    await add_earning(db)
    await add_earning(db, "ord_pending", state="pending")
    await add_earning(db, "ord_disputed", disputed_minor=1000)
    await add_earning(db, "ord_asked", disputed_minor=400)
    await add_earning(db, "ord_paid", paid_minor=1000)
    await add_earning(db, "ord_withheld", withheld_minor=1000)
    await add_earning(db, "ord_live", mode="live")
    await add_earning(db, "ord_room", payee="room_1")
    assert await payable(db) == []
    await db.write(lambda tx: store.set_connected(tx, host, transfers_status="active"))
    assert sorted(await payable(db)) == ["ord_1", "ord_asked"]


async def test_nothing_more_is_payable_while_a_payout_is_on_its_way(db: Database) -> None:
    await add_host(db)
    await add_earning(db)
    assert await db.write(lambda tx: store.insert_payout(tx, a_payout(amount_minor=400)))
    assert not await db.write(lambda tx: store.insert_payout(tx, a_payout()))
    assert await payable(db) == []
    sent = {"state": "sent", "transfer_id": "tr_1"}
    await db.write(lambda tx: store.set_payout(tx, "po_1", **sent))
    assert await payable(db) == ["ord_1"]
    async with db.read() as tx:
        found = await store.get_payout(tx, "po_1")
        assert found is not None
        assert (found.transfer_id, found.sent.left_minor) == ("tr_1", 400)
        assert [one.id for one in await store.payouts_of_earning(tx, "ord_1")] == ["po_1"]


async def test_what_was_sent_and_given_back_since_may_be_asked_back(db: Database) -> None:
    await add_host(db)
    await add_earning(db, paid_minor=1000)
    await db.write(lambda tx: store.insert_payout(tx, a_payout(state="sent")))
    assert await owing(db) == []
    await db.write(lambda tx: tx.execute(update(earnings).values(reversed_minor=300)))
    assert await owing(db) == ["ord_1"]
    await db.write(lambda tx: tx.execute(update(earnings).values(withheld_minor=-300)))
    assert await owing(db) == []


async def ask_back(db: Database, reversed_minor: int, state: str = "waiting") -> None:
    row = {
        "id": f"reverse:po_1:{reversed_minor}",
        "kind": store.REVERSE,
        "subject_id": "po_1",
        "payload": {"amount_minor": 100},
        "state": state,
        "attempts": 0,
        "next_at_s": 0,
        "created_at": NOW_TEXT,
    }
    await db.write(lambda tx: tx.execute(outbox.insert().values(row)))


async def test_it_is_asked_back_once_for_each_time_that_more_went_back(db: Database) -> None:
    await add_host(db)
    await add_earning(db, paid_minor=1000, reversed_minor=100)
    await db.write(lambda tx: store.insert_payout(tx, a_payout(state="sent")))
    await ask_back(db, 100)
    assert await owing(db) == []
    async with db.read() as tx:
        assert await store.asked_back(tx, "ord_1") == {"po_1": 100}
    await db.write(lambda tx: tx.execute(update(outbox).values(state="done")))
    async with db.read() as tx:
        assert await store.asked_back(tx, "ord_1") == {}
    await db.write(lambda tx: tx.execute(update(earnings).values(reversed_minor=250)))
    assert await owing(db) == ["ord_1"]


async def test_debts_are_of_the_same_payee_currency_and_books(db: Database) -> None:
    await add_earning(db)
    debt = {"paid_minor": 1000, "reversed_minor": 1000}
    await add_earning(db, "ord_debt", **debt)
    await add_earning(db, "ord_usd", currency="usd", **debt)
    await add_earning(db, "ord_other", payee="user_bo", **debt)
    await add_earning(db, "ord_live", mode="live", **debt)
    async with db.read() as tx:
        row = await get_earning(tx, "ord_1")
        assert row is not None
        assert [one.id for one in await store.debtors(tx, row)] == ["ord_debt"]
    books = (("sandbox", "sandbox"), ("live", "sandbox"))
    async with db.read() as tx:
        found = [await hostbooks.sums(tx, "user_ana", *one) for one in books]
    assert [(one.currency, one.available_minor, one.debt_minor) for one in found[0]] == [
        ("eur", 1000, 1000),
        ("usd", 0, 1000),
    ]


async def test_what_somebody_took_back_by_hand_is_not_payable(db: Database) -> None:
    await add_host(db)
    await add_earning(db, paid_minor=400)
    taken = a_payout(state="sent", reversed_minor=600, failure=store.BY_HAND)
    await db.write(lambda tx: store.insert_payout(tx, taken))
    assert await payable(db) == []
