"""Whatever is wrong with the stored books is found, and nothing is found in sound ones."""

from typing import Any

import pytest
from sqlalchemy import delete, insert, update

from metering.chart import Sale, WalletWindow, sold, topped_up, window_held, window_settled
from signaling.stores import ledger
from signaling.stores.bookchecks import ledger_faults
from signaling.stores.database import Database
from signaling.stores.schema import balances, transfers

from .rows import NOW_TEXT

WINDOW = WalletWindow("w1", "pass_1", "ana", 30, "eur", expires_at_s=60)
OTHER = WalletWindow("w2", "pass_1", "ana", 10, "eur", expires_at_s=60)


@pytest.fixture
async def books(db: Database) -> Database:
    """A top-up, a stay that used most of a window, and a window that is still held."""
    for booking in (
        topped_up("ord_1", "ana", 100, 10, "eur"),
        window_held(WINDOW),
        (*window_settled(WINDOW, 20), *sold(Sale("pass_1", "bo", 20, "eur", fee_minor=2), "hold:pass_1")),
        window_held(OTHER),
    ):
        entries = [ledger.Entry(one, "sandbox", "sandbox", "ord_1") for one in booking]
        await db.write(lambda tx, entries=entries: ledger.require_posted(tx, entries, NOW_TEXT))
    return db


async def _faults(db: Database) -> str:
    async with db.read() as tx:
        return "; ".join(sentence for _, sentence in await ledger_faults(tx))


async def test_sound_books_have_no_fault(books: Database):
    assert await _faults(books) == ""


def _one(name: str) -> Any:
    return update(transfers).where(transfers.c.id == name)


def _kept(name: str) -> Any:
    return update(balances).where(balances.c.name == name)


_ROW = {
    "mode": "sandbox",
    "account": "sandbox",
    "currency": "eur",
    "code": "t",
    "subject_id": "ord_1",
    "created_at": NOW_TEXT,
}


@pytest.mark.parametrize(
    ("damage", "fault"),
    [
        (_one("topup:ord_1").values(currency="xyz"), "transfer topup:ord_1: no such currency"),
        (_one("topup:ord_1").values(credit="stripe_clearing"), "an account against itself"),
        (_one("topup:ord_1").values(amount_minor=0), "transfer topup:ord_1: its amount"),
        (_one("topup:ord_1").values(amount_minor=-5), "transfer topup:ord_1: its amount"),
        (_one("topup:ord_1").values(amount_minor=10**16), "transfer topup:ord_1: its amount"),
        (_one("topup:ord_1").values(expires_at_s=5), "only a hold expires"),
        (_one("topup:ord_1").values(kind="gift"), "no such kind"),
        (_one("post:w1").values(kind="single"), "only post, void and expire resolve a hold"),
        (_one("post:w1").values(pending_id=None), "only post, void and expire resolve a hold"),
        (_one("post:w1").values(pending_id="topup:ord_1"), "not like the hold that it resolves"),
        (_one("post:w1").values(amount_minor=31), "not like the hold that it resolves"),
        (_one("post:w1").values(debit="wallet:bo"), "not like the hold that it resolves"),
        (_one("hold:w1").values(account="acct_2"), "not like the hold that it resolves"),
        (delete(transfers).where(transfers.c.id == "hold:w1"), "not like the hold that it resolves"),
        (delete(transfers).where(transfers.c.id == "topup:ord_1"), "wallet:ana in eur is off its transfers"),
        (delete(transfers).where(transfers.c.id == "hold:w2"), "wallet:ana in eur is off its transfers"),
        (delete(balances), "wallet:ana in eur is off its transfers"),
        (_kept("wallet:ana").values(credits_minor=9), "wallet:ana in eur has -21"),
        (_kept("wallet:ana").values(debits_held_minor=200), "wallet:ana in eur has -110"),
        (_kept("promo").values(debits_minor=11), "entries in eur sum to 1"),
        (
            insert(balances).values(
                mode="sandbox",
                account="sandbox",
                name="wallet:nobody",
                currency="eur",
                debits_minor=0,
                credits_minor=1,
                debits_held_minor=0,
                credits_held_minor=0,
            ),
            "wallet:nobody in eur is off its transfers",
        ),
        (
            insert(transfers).values(
                _ROW
                | {"id": "void:w2", "debit": "wallet:ana", "credit": "hold:pass_1", "amount_minor": 1}
                | {"kind": "void", "pending_id": "hold:w2"}
            ),
            "transfer void:w2: its amount",
        ),
    ],
)
async def test_each_fault_is_found(books: Database, damage: Any, fault: str):
    await books.write(lambda tx: tx.execute(damage))
    assert fault in await _faults(books)
