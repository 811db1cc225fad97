"""Our books against the payment service's own account of our money, entry by entry.

Its fees are booked (`stripe_fee:{entry}`). What does not match is a row of `differences`, shown by `tollroom check` and to
the operator, never mended; it is looked at again each round and goes when it no longer differs. An entry is judged
when it is ten minutes old: what it is about is on its way to us until then.

Charges and refunds that the service books in another currency are compared by their own amount. Not compared: payouts
to the operator's bank (not in our books), and transfers and disputes in another currency than the balance's.
"""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace

import structlog
from sqlalchemy import select

from metering import chart
from signaling.payments.context import Context
from signaling.payments.port import BalanceEntry
from signaling.stores import differences as store
from signaling.stores import ledger
from signaling.stores.database import Transaction
from signaling.stores.schema import settings as settings_table
from signaling.stores.statements import put

log = structlog.get_logger()

GRACE_S = 600
FIRST_S = 86_400  # the first round looks so far back
BATCH = 100
REVERSED = "transfer_refund"
REINSTATED = "reinstated"  # an adjustment that gives back what a dispute withdrew
IN_ALL = (REVERSED, REINSTATED)


async def compare(ctx: Context) -> int:
    """One round; how many entries were judged. Raises OutcomeUnknownError, RefusedByServiceError."""
    now_s, name = ctx.now_s(), f"balance:{ctx.settings.mode}:{ctx.settings.account}"[:64]
    until_s = now_s - GRACE_S
    async with ctx.db.read() as tx:
        known = (
            await tx.execute(select(settings_table.c.value).where(settings_table.c.name == name))
        ).scalar()
    since_s = until_s - FIRST_S if known is None else int(known)
    batch: list[BalanceEntry] = []
    count = 0
    async for entry in ctx.service.balance_entries(since_s):
        if entry.created_s <= until_s:
            batch.append(entry)
        if len(batch) == BATCH:
            count += await _judge_all(ctx, batch)
            batch = []
    count += await _judge_all(ctx, batch)
    await _judge_again(ctx)

    async def keep(tx: Transaction) -> None:
        await put(tx, settings_table, "name", {"name": name, "value": until_s})

    await ctx.db.write(keep)
    return count


async def _judge_all(ctx: Context, entries: list[BalanceEntry]) -> int:
    now_text, batch = ctx.now_text(), list(entries)

    async def work(tx: Transaction) -> int:
        for entry in batch:
            await _book_fee(ctx, tx, entry, now_text)
            found = await _differs(tx, _about(ctx, entry))
            if found is not None:
                await store.show(tx, found, now_text)
        return len(batch)

    if not batch:
        return 0
    judged = await ctx.db.write(work)
    ctx.step("balance_compared")
    return judged


async def _judge_again(ctx: Context) -> None:
    """What differed before and does no longer."""
    now_text = ctx.now_text()
    async with ctx.db.read() as tx:
        known = await store.open_ones(tx, ctx.settings.mode, ctx.settings.account)
        gone = [one.id for one in known if one.kind in _OURS and await _differs(tx, one) is None]

    async def work(tx: Transaction) -> None:
        for difference_id in gone:
            await store.drop(tx, difference_id, now_text)

    if gone:
        await ctx.db.write(work)
        log.info("differences_gone", count=len(gone))


async def _book_fee(ctx: Context, tx: Transaction, entry: BalanceEntry, now_text: str) -> None:
    """Of an entry, or all of it where the entry is nothing but a fee."""
    fee_minor = -entry.amount_minor if entry.type == "stripe_fee" else entry.fee_minor
    mode, account = ctx.settings.mode, ctx.settings.account
    transfers = chart.stripe_fee(entry.id, fee_minor, entry.currency)
    rows = [ledger.Entry(one, mode, account, entry.id) for one in transfers]
    await ledger.require_posted(tx, rows, now_text)


def _about(ctx: Context, entry: BalanceEntry) -> store.Difference:
    """The row that it would be, were it to differ."""
    subject, behind = entry.source_id or entry.id, entry.payment_intent_id or entry.transfer_id
    minor = abs(entry.amount_minor) if entry.source_minor is None else entry.source_minor
    is_back = entry.type == "adjustment" and entry.amount_minor > 0
    return store.Difference(
        id=f"balance:{entry.id}"[:64],
        mode=ctx.settings.mode,
        account=ctx.settings.account,
        kind=REINSTATED if is_back else entry.type[:32],
        subject_id=f"{subject}/{behind}" if behind else subject,
        ours_minor=None,
        theirs_minor=minor,
        currency=entry.source_currency or entry.currency,
        note=f"entry {entry.id} of the service's balance",
    )


async def _differs(tx: Transaction, row: store.Difference) -> store.Difference | None:
    """With what we hold of it now; None when both say the same, or it is not ours to compare."""
    ours = _OURS.get(row.kind)
    if ours is None:
        return None
    source, _, behind = row.subject_id.partition("/")
    held = await ours(tx, source, behind)
    if row.kind in IN_ALL and held is not None and (held.amount_minor or 0) >= (row.theirs_minor or 0):
        return None  # ours is the sum of all reversals of that transfer, or of all that a dispute gave back
    if held is not None and (held.currency != row.currency or held.amount_minor in {None, row.theirs_minor}):
        return None
    return replace(row, ours_minor=None if held is None else held.amount_minor)


async def _charge(tx: Transaction, _source: str, intent: str) -> store.Held | None:
    return await store.charged(tx, intent)


async def _refund(tx: Transaction, source: str, _intent: str) -> store.Held | None:
    return await store.refunded(tx, source)


async def _refund_failure(tx: Transaction, source: str, _intent: str) -> store.Held | None:
    return await store.booked_back(tx, source)


async def _adjustment(tx: Transaction, source: str, intent: str) -> store.Held | None:
    """A bank withdrew what a dispute is about."""
    return await store.withdrawn(tx, source) or (await store.disputed(tx, intent) if intent else None)


async def _reinstated(tx: Transaction, source: str, intent: str) -> store.Held | None:
    return await store.reinstated(tx, source) or (await store.disputed(tx, intent) if intent else None)


async def _reversal(tx: Transaction, _source: str, transfer: str) -> store.Held | None:
    return await store.taken_back(tx, transfer)


async def _transfer(tx: Transaction, source: str, _intent: str) -> store.Held | None:
    return await store.sent(tx, source)


_OURS: Mapping[str, Callable[[Transaction, str, str], Awaitable[store.Held | None]]] = {
    "charge": _charge,
    "payment": _charge,
    "refund": _refund,
    "payment_refund": _refund,
    "refund_failure": _refund_failure,
    "payment_failure_refund": _refund_failure,
    "adjustment": _adjustment,
    REINSTATED: _reinstated,
    "transfer": _transfer,
    REVERSED: _reversal,
}
