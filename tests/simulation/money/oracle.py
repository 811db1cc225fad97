"""What must hold when everything has come to rest, and at every moment of the way."""

import json
from collections import Counter
from typing import Any

from sqlalchemy import func, select

from metering.funding import price_of_use
from metering.money import currency
from metering.tariff import Metered, parse_tariff
from signaling.stores.checks import run_checks
from signaling.stores.database import Database
from signaling.stores.schema import (
    inbox,
    orders,
    outbox,
    passes,
    quarantine,
    stripe_calls,
    transfers,
    windows,
)

from .bank import Bank

FINAL = {"paid", "expired", "canceled", "failed", "refunded", "partly_refunded", "disputed"}
Json = dict[str, Any]


class BrokenError(AssertionError):
    """A rule of the money does not hold."""


async def broken(db: Database) -> list[str]:
    """What `tollroom check` calls broken; what waits for a person is no fault of the books."""
    found = await run_checks(db)
    return [f"{one.code} {one.subject_id} {one.message}" for one in found if one.kind == "broken"]


async def unfinished(db: Database, bank: Bank) -> list[str]:
    """What is still to be done, by us or between us and the bank."""
    queries = {
        "inbox": select(func.count()).select_from(inbox).where(inbox.c.state == "received"),
        "outbox": select(func.count()).select_from(outbox).where(outbox.c.state == "waiting"),
        "calls": select(func.count()).select_from(stripe_calls)
        .where(stripe_calls.c.state.in_(["pending", "unknown"])),
        "orders": select(func.count()).select_from(orders).where(orders.c.state.not_in(FINAL)),
        "stays": select(func.count()).select_from(passes)
        .where(passes.c.funding == "metered", ~passes.c.settled),
        "windows": select(func.count()).select_from(windows)
        .where(windows.c.state.in_(["asked", "action", "held", "settling"])),
    }  # fmt: skip
    async with db.read() as tx:
        left = {name: (await tx.execute(query)).scalar_one() for name, query in queries.items()}
    waiting = [f"{count} in {name}" for name, count in left.items() if count]
    return waiting + await differences(db, bank)


async def summary(db: Database) -> list[str]:
    """Each order as it ended: what a run was, in a form that two runs can be compared by."""
    columns = [orders.c[name] for name in ("id", "state", "funding", "amount_minor", "charged_minor",
                                           "refunded_minor", "lost_minor", "dispute")]  # fmt: skip
    async with db.read() as tx:
        rows = (await tx.execute(select(*columns).order_by(orders.c.id))).all()
    return [" ".join(str(value) for value in row) for row in rows]


async def differences(db: Database, bank: Bank) -> list[str]:
    """Our ledger against what the bank knows of each order."""
    ours: Counter[tuple[str, str]] = Counter()
    fees: Counter[str] = Counter()  # by the bank's own entry; booked when its account is looked through
    async with db.read() as tx:
        for row in (await tx.execute(select(transfers))).mappings():
            if "stripe_clearing" not in {row["debit"], row["credit"]}:
                continue  # from one hand of ours into another
            if row["code"] == "stripe_fee":
                is_kept = row["credit"] == "stripe_clearing"
                fees[row["subject_id"]] += row["amount_minor"] if is_kept else -row["amount_minor"]
                continue
            if row["code"] == "unrefund":
                ours[row["subject_id"], "refund"] -= row["amount_minor"]
            else:
                ours[row["subject_id"], row["code"]] += row["amount_minor"]
    theirs = await _books_of(bank)
    taken = await bank.ask(lambda tx: {one["id"]: one["fee"] for one in _all(tx, "balance_transaction")})
    return [
        *(
            f"{name} fee: ours {fees[name]}, theirs {taken.get(name)}"
            for name in fees
            if fees[name] != taken.get(name)
        ),
        *_unlike(ours, theirs),
    ]


def _unlike(ours: Counter[tuple[str, str]], theirs: Counter[tuple[str, str]]) -> list[str]:
    return [
        f"{order_id} {code}: ours {ours[order_id, code]}, theirs {theirs[order_id, code]}"
        for order_id, code in sorted({*ours, *theirs})
        if ours[order_id, code] != theirs[order_id, code]
    ]


async def _books_of(bank: Bank) -> Counter[tuple[str, str]]:
    def read(tx: Any) -> Counter[tuple[str, str]]:
        intents = {one["id"]: one for one in _all(tx, "payment_intent")}
        books: Counter[tuple[str, str]] = Counter()
        for charge in _all(tx, "charge"):
            if charge["captured"]:
                order_id = intents[charge["payment_intent"]]["metadata"]["order_id"]
                books[order_id, "payment_captured"] += charge["amount_captured"]
                books[order_id, "refund"] += charge["amount_refunded"]
        for dispute in _all(tx, "dispute"):
            if dispute["status"] == "lost":
                order_id = intents[dispute["payment_intent"]]["metadata"]["order_id"]
                books[order_id, "dispute_lost"] += dispute["amount"]
        return books

    return await bank.ask(read)


def _all(tx: Any, kind: str) -> list[Json]:
    rows = tx.db.execute("SELECT body FROM objects WHERE object = ? ORDER BY seq", (kind,))
    return [json.loads(row[0]) for row in rows]


async def at_rest(db: Database, bank: Bank) -> list[str]:
    """Everything that is wrong once nothing is on its way any more."""
    found = await broken(db) + await unfinished(db, bank)
    found += await _paid_twice(bank) + await _given_back_twice(bank) + await _still_held(bank)
    found += await _mispriced(db)
    async with db.read() as tx:
        aside = (await tx.execute(select(quarantine.c.reason, quarantine.c.subject_id))).all()
        unread = (await tx.execute(select(inbox.c.type).where(inbox.c.state == "quarantined"))).all()
        given_up = (
            await tx.execute(select(outbox.c.id, outbox.c.note).where(outbox.c.state == "failed"))
        ).all()
    found += [f"in quarantine: {row.reason} {row.subject_id}" for row in aside]
    found += [f"event in quarantine: {row.type}" for row in unread]
    found += [f"given up: {row.id} {row.note}" for row in given_up if not _for_a_person(row.note)]
    return found


def _for_a_person(note: str) -> bool:
    """What the bank is disputing it does not let us give back; and somebody at the bank may have been quicker."""
    return any(
        said in note for said in ("charge_disputed", "charge_already_refunded", "greater than unrefunded")
    )


async def _paid_twice(bank: Bank) -> list[str]:
    def read(tx: Any) -> list[str]:
        sessions = Counter(
            one["client_reference_id"]
            for one in _all(tx, "checkout.session")
            if one["status"] == "complete" and one["payment_status"] in {"paid", "unpaid"}
        )
        return [f"paid twice: {order_id}" for order_id, count in sessions.items() if count > 1]

    return await bank.ask(read)


async def _given_back_twice(bank: Bank) -> list[str]:
    """Each refund that we asked for was made at most once."""

    def read(tx: Any) -> list[str]:
        refunds = Counter(
            one["metadata"]["refund_id"]
            for one in _all(tx, "refund")
            if one["status"] != "failed" and "refund_id" in one["metadata"]
        )
        return [f"given back twice: {refund_id}" for refund_id, count in refunds.items() if count > 1]

    return await bank.ask(read)


async def _still_held(bank: Bank) -> list[str]:
    def read(tx: Any) -> list[str]:
        open_ones = {"requires_capture", "requires_action", "processing"}
        return [f"{one['status']} at the bank: {one['id']}" for one in _all(tx, "payment_intent")
                if one["status"] in open_ones]  # fmt: skip

    return await bank.ask(read)


async def _mispriced(db: Database) -> list[str]:
    """Each settled call costs what was used of it, once; below the smallest charge that, or nothing."""
    query = (
        select(orders.c.id, orders.c.tariff, orders.c.currency, orders.c.charged_minor, passes.c.used_ms)
        .join(passes, passes.c.order_id == orders.c.id)
        .where(orders.c.funding == "metered", passes.c.settled)
    )
    found = []
    async with db.read() as tx:
        rows = (await tx.execute(query)).all()
    for row in rows:
        tariff = parse_tariff(row.tariff)
        assert isinstance(tariff, Metered)
        price_minor, least = price_of_use(tariff, row.used_ms), currency(row.currency).minimum_minor
        # The last of several holds may be let go where it would be charged less than the smallest charge.
        right = {price_minor} if price_minor >= least or price_minor == 0 else {0, least}
        if row.charged_minor not in right and not 0 < price_minor - (row.charged_minor or 0) < least:
            found.append(f"{row.id}: {row.used_ms} ms cost {row.charged_minor}, not {right}")
    return found
