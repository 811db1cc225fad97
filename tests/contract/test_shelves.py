"""Of two sets of keys each looks after the rows of its own books, and the main one after those of nobody's."""

from typing import Any

import pytest

from metering.ledger import Transfer
from metering.orders import OrderState
from signaling.stores import inbox, ledger, orders, outbox, people, refunds, rooms, windows
from signaling.stores.database import Database
from signaling.stores.refunds import Refund
from signaling.stores.schema import differences, quarantine
from signaling.stores.schema import orders as orders_table
from signaling.stores.shelf import EVERYTHING, Shelf, books_of, passes_held
from signaling.stores.windows import Window

from .rows import NOW_TEXT, add_order, add_paid, add_room

LIVE, TEST, GONE = ("live", "acct_1"), ("test", "acct_1"), ("live", "acct_of_before")
MAIN = Shelf(LIVE, (TEST,))
BESIDE = Shelf(TEST, (LIVE,), main=False)
ALONE = Shelf(LIVE)
# What each of them sees of three rows, one in the books of each, and of one that is in nobody's.
SEEN = [
    (MAIN, ["gone", "live", "nobody"]),
    (BESIDE, ["test"]),
    (EVERYTHING, ["gone", "live", "nobody", "test"]),
]
OF_ROWS = [(shelf, [name for name in names if name != "nobody"]) for shelf, names in SEEN]
BOOKS = {"live": LIVE, "test": TEST, "gone": GONE}


@pytest.fixture
async def three(db: Database) -> Database:
    """A room, an unpaid and a paid order, a pass, a window in each of three sets of books."""
    for name, (mode, account) in BOOKS.items():
        own = {"mode": mode, "account": account}
        await add_room(db, f"room_{name}", away_since_s=1, live=False, **own)
        await add_order(
            db,
            order_id=f"ord_{name}",
            room_id=f"room_{name}",
            reserved_until_s=10,
            state=OrderState.OPEN,
            **own,
        )
        await add_paid(db, f"ord_p{name}", f"pass_{name}", room_id=f"room_{name}", **own)
        window = Window(
            id=f"win_{name}",
            pass_id=f"pass_{name}",
            number=1,
            kind="card",
            begins_ms=0,
            length_ms=1,
            held_minor=1,
            charged_minor=None,
            currency="eur",
            state="asked",
            payment_intent_id=None,
            capture_before_s=None,
            failure=None,
            created_at=NOW_TEXT,
            **own,  # type: ignore[arg-type]
        )
        await db.write(lambda tx, window=window: windows.insert_window(tx, window))
    return db


def names(found: Any) -> list[str]:
    """Of ids such as `ord_plive` and `win_test`."""
    return sorted(str(one).rpartition("_")[2].removeprefix("p") for one in found)


@pytest.mark.parametrize(("shelf", "seen"), SEEN)
@pytest.mark.parametrize("subject", ["ord", "win", "pass"])
async def test_what_is_asked_of_the_outside(three: Database, shelf: Shelf, seen: list[str], subject: str):
    for name in (*BOOKS, "nobody"):
        await three.write(
            lambda tx, name=name: outbox.add(
                tx,
                outbox_id=f"ask_{name}",
                kind="refund",
                subject_id=f"{subject}_{name}",
                payload={},
                now_s=1,
                created_at=NOW_TEXT,
            )
        )
        await three.write(
            lambda tx, name=name: refunds.begin_call(
                tx,
                key=f"key_{name}",
                operation="op",
                subject_id=f"{subject}_{name}",
                params={},
                now_s=1,
                retry_at_s=1,
            )
        )
    async with three.read() as tx:
        assert names(row.id for row in await outbox.due(tx, 9, ["refund"], shelf=shelf)) == seen
        calls = await refunds.open_calls(tx, 9, "op", shelf=shelf)
        assert names(call.idempotency_key for call in calls) == seen


@pytest.mark.parametrize(("shelf", "seen"), OF_ROWS)
async def test_what_time_brings_about(three: Database, shelf: Shelf, seen: list[str]):
    async with three.read() as tx:
        assert names(one.id for one in await orders.overdue_reservations(tx, 99, shelf=shelf)) == seen
        assert names(one.id for one in await orders.unservable(tx, 99, shelf=shelf)) == seen
        assert names(one.id for one in await orders.unserved(tx, 99, shelf=shelf)) == seen


@pytest.mark.parametrize(("shelf", "seen"), OF_ROWS)
async def test_holds_that_ran_out(three: Database, shelf: Shelf, seen: list[str]):
    for name, (mode, account) in BOOKS.items():
        topped = ledger.Entry(_single(f"top_{name}"), mode, account, "ord")
        held = ledger.Entry(_held(f"hold_{name}"), mode, account, "ord")
        await three.write(lambda tx, both=[topped, held]: ledger.require_posted(tx, both, NOW_TEXT))
    async with three.read() as tx:
        assert names(one.transfer.id for one in await ledger.lapsed_holds(tx, 9, shelf=shelf)) == seen
    expired = await three.write(lambda tx: ledger.expire_holds(tx, 9, NOW_TEXT, shelf=shelf))
    assert names(expired) == seen


def _single(transfer_id: str) -> Transfer:
    return Transfer(transfer_id, "stripe_clearing", "wallet:bo", 100, "eur", "topped_up")


def _held(transfer_id: str) -> Transfer:
    return Transfer(transfer_id, "wallet:bo", "hold:pass", 10, "eur", "held", "hold", expires_at_s=5)


@pytest.mark.parametrize(("shelf", "seen"), OF_ROWS)
async def test_refunds_that_a_bank_sent_back(three: Database, shelf: Shelf, seen: list[str]):
    for name in BOOKS:
        refund = Refund(f"rfd_{name}", f"ord_p{name}", 1, "eur", "kicked", "failed", f"re_{name}", NOW_TEXT)
        await three.write(lambda tx, refund=refund: refunds.insert_refund(tx, refund))
    async with three.read() as tx:
        assert names(one.id for one in await refunds.sent_back(tx, shelf=shelf)) == seen


@pytest.mark.parametrize(
    ("shelf", "seen"), [(MAIN, ["live"]), (BESIDE, ["test"]), (EVERYTHING, ["live", "test"])]
)
async def test_events_are_each_modes_also_of_connected_accounts(db: Database, shelf: Shelf, seen: list[str]):
    for mode in ("live", "test"):
        event = inbox.InboxEvent(f"evt_{mode}", mode, "acct_of_a_host", "account.updated", "x", {})
        await db.write(lambda tx, event=event: inbox.receive(tx, event, now_s=1, received_at=NOW_TEXT))
        await db.write(
            lambda tx, mode=mode: inbox.put_in_quarantine(
                tx,
                quarantine_id=f"evt_{mode}",
                reason="r",
                subject_id="x",
                payload={},
                created_at=NOW_TEXT,
            )
        )
    async with db.read() as tx:
        assert names(one.event_id for one in await inbox.due_events(tx, 9, shelf=shelf)) == seen
        aside = quarantine.select().where(shelf.put_aside(quarantine.c.id, quarantine.c.subject_id))
        assert names(row.id for row in await tx.execute(aside)) == seen
        assert (await tx.execute(differences.select().where(shelf.rows(differences)))).all() == []


async def test_what_is_touched_by_its_books(three: Database):
    assert [shelf.holds(*books) for shelf in (MAIN, BESIDE, ALONE) for books in (LIVE, TEST, GONE)] == [
        *(True, False, True),
        *(False, True, False),
        *(True, True, True),
    ]
    async with three.read() as tx:
        every = [f"pass_{name}" for name in BOOKS]
        assert await passes_held(tx, MAIN, every) == {"pass_live", "pass_gone"}
        assert await passes_held(tx, BESIDE, every) == {"pass_test"}
        assert await passes_held(tx, BESIDE, []) == set()
        assert await books_of(tx, orders_table, "id", "ord_test") == TEST
        assert await books_of(tx, orders_table, "id", "ord_nobody") is None


async def test_rooms_of_one_owner_are_apart(db: Database):
    ana = people.User("user_ana", "ana@example.org", "Ana", "host", NOW_TEXT)
    await db.write(lambda tx: people.known_or_new(tx, ana))
    for name, (mode, account) in BOOKS.items():
        await add_room(db, f"room_{name}", owner_id="user_ana", mode=mode, account=account)
    for shelf, seen in OF_ROWS:
        async with db.read() as tx:
            found = await rooms.rooms_of_owner(tx, "user_ana", shelf=shelf)
        assert names(one.id for one, _ in found) == seen
