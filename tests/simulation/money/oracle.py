"""What must hold when everything has come to rest, and at every moment of the way."""

from collections import Counter
from typing import Any

from sqlalchemy import select

from metering.funding import price_of_use
from metering.money import currency
from metering.tariff import Metered, Wallet, parse_tariff
from signaling.payments.transfers import SHORT
from signaling.stores.checks import run_checks
from signaling.stores.database import Database
from signaling.stores.orders import BY_USE
from signaling.stores.schema import (
    inbox,
    orders,
    outbox,
    passes,
    payouts,
    quarantine,
    refunds,
    stripe_calls,
    subscriptions,
    wallets,
    windows,
)
from signaling.stores.subscriptions import GOOD

from .bank import Bank, all_of
from .bankbooks import differences

# Made when the person asks who wants them; after a death they are asked again, with the same key.
ASKED_AGAIN = ("v2.core.accounts.create", "customers.create")
OVER = ("canceled", "incomplete_expired")
FINAL = {"paid", "expired", "canceled", "failed", "refunded", "partly_refunded", "disputed"}


class BrokenError(AssertionError):
    """A rule of the money does not hold."""


async def broken(db: Database) -> list[str]:
    """What `tollroom check` calls broken; what waits for a person is no fault of the books."""
    found = await run_checks(db)
    return [f"{one.code} {one.subject_id} {one.message}" for one in found if one.kind == "broken"]


async def unfinished(db: Database, bank: Bank) -> list[str]:
    """What is still to be done, by us or between us and the bank. Where credits were given for nothing, what they paid for
    cannot be sent before the platform has put in money of its own."""
    short = select(payouts.c.id).where(payouts.c.state == "asked", payouts.c.failure.in_(SHORT))
    queries = {
        "event": select(inbox.c.event_id).where(inbox.c.state == "received"),
        "outbox": select(outbox.c.id).where(outbox.c.state == "waiting", outbox.c.subject_id.not_in(short)),
        "call": select(stripe_calls.c.idempotency_key).where(
            stripe_calls.c.state.in_(["pending", "unknown"]), stripe_calls.c.operation.not_in(ASKED_AGAIN)
        ),
        "order": select(orders.c.id).where(orders.c.state.not_in(FINAL)),
        "stay": select(passes.c.id).where(passes.c.funding.in_(BY_USE), ~passes.c.settled),
        "window": select(windows.c.id).where(windows.c.state.in_(["asked", "action", "held", "settling"])),
        "payout": select(payouts.c.id).where(payouts.c.state == "asked", payouts.c.id.not_in(short)),
        "refund": select(refunds.c.id).where(refunds.c.state.in_(["asked", "pending"])),
        "top-up unasked": select(wallets.c.user_id).where(wallets.c.auto_order_id.is_not(None)),
    }
    async with db.read() as tx:
        left = {name: (await tx.execute(query)).scalars().all() for name, query in queries.items()}
    waiting = [f"unfinished {name}: {one}" for name, found in left.items() for one in found]
    return waiting + await differences(db, bank)


async def summary(db: Database) -> list[str]:
    """Each order as it ended: what a run was, in a form that two runs can be compared by."""
    columns = [orders.c[name] for name in ("id", "state", "funding", "amount_minor", "charged_minor",
                                           "refunded_minor", "lost_minor", "dispute")]  # fmt: skip
    async with db.read() as tx:
        rows = (await tx.execute(select(*columns).order_by(orders.c.id))).all()
    return [" ".join(str(value) for value in row) for row in rows]


async def at_rest(db: Database, bank: Bank) -> list[str]:
    """Everything that is wrong once nothing is on its way any more."""
    found = await broken(db) + await unfinished(db, bank)
    found += await _paid_twice(bank) + await _given_back_twice(bank) + await _still_held(bank)
    found += await _mispriced(db) + await _subscribed_otherwise(db, bank)
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
            for one in all_of(tx, "checkout.session")
            if one["status"] == "complete" and one["payment_status"] in {"paid", "unpaid"}
        )
        return [f"paid twice: {order_id}" for order_id, count in sessions.items() if count > 1]

    return await bank.ask(read)


async def _given_back_twice(bank: Bank) -> list[str]:
    """Each refund that we asked for was made at most once."""

    def read(tx: Any) -> list[str]:
        refunds = Counter(
            one["metadata"]["refund_id"]
            for one in all_of(tx, "refund")
            if one["status"] != "failed" and "refund_id" in one["metadata"]
        )
        return [f"given back twice: {refund_id}" for refund_id, count in refunds.items() if count > 1]

    return await bank.ask(read)


async def _still_held(bank: Bank) -> list[str]:
    def read(tx: Any) -> list[str]:
        open_ones = {"requires_capture", "requires_action", "processing"}
        return [f"{one['status']} at the bank: {one['id']}" for one in all_of(tx, "payment_intent")
                if one["status"] in open_ones]  # fmt: skip

    return await bank.ask(read)


async def _mispriced(db: Database) -> list[str]:
    """Each settled call costs what was used of it, once; from a card nothing or the smallest charge below that."""
    query = (
        select(orders.c.id, orders.c.tariff, orders.c.currency, orders.c.charged_minor, passes.c.used_ms)
        .join(passes, passes.c.order_id == orders.c.id)
        .where(orders.c.funding.in_(BY_USE), passes.c.settled)
    )
    async with db.read() as tx:
        rows = (await tx.execute(query)).all()
    return [f"{row.id}: {row.used_ms} ms cost {row.charged_minor}" for row in rows if not _is_right(row)]


def _is_right(row: Any) -> bool:
    tariff = parse_tariff(row.tariff)
    assert isinstance(tariff, Metered | Wallet)
    price_minor, charged_minor = price_of_use(tariff, row.used_ms), row.charged_minor or 0
    if charged_minor == price_minor or isinstance(tariff, Wallet):
        return charged_minor == price_minor
    least = currency(row.currency).minimum_minor
    if price_minor < least:
        return charged_minor in {0, least}
    # The last of several holds may be let go where it would be charged less than the smallest charge.
    return 0 < price_minor - charged_minor < least


async def _subscribed_otherwise(db: Database, bank: Bank) -> list[str]:
    """A subscription is what the bank says it is; who has let one lapse is not inside any more."""
    theirs = {one["id"]: one["status"] for one in await bank.ask(lambda tx: all_of(tx, "subscription"))}
    query = select(subscriptions.c.id, subscriptions.c.status, passes.c.state).join(
        passes, passes.c.id == subscriptions.c.pass_id
    )
    async with db.read() as tx:
        rows = (await tx.execute(query)).all()
    found = [f"{name} is {status} at the bank, unknown here" for name, status in theirs.items()
             if status not in OVER and name not in {row.id for row in rows}]  # fmt: skip
    for row in rows:
        if row.status != theirs[row.id]:
            found.append(f"{row.id} is {row.status} here, {theirs[row.id]} at the bank")
        if row.status not in GOOD and row.state in {"waiting", "active"}:
            found.append(f"{row.id} is {row.status}, its pass {row.state}")
    return found


async def overcounted(db: Database, passed_ms: Counter[str]) -> list[str]:
    """Nobody's time is counted but while media was let through to them."""
    async with db.read() as tx:
        rows = (await tx.execute(select(passes.c.id, passes.c.used_ms))).all()
    return [f"{row.id}: counted {row.used_ms} ms, let through {passed_ms[row.id]}" for row in rows
            if row.used_ms > passed_ms[row.id]]  # fmt: skip
