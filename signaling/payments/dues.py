"""What falls due by itself: what a payee has earned is theirs to be paid out once its holding time is over, and what is
held on a wallet is free again when nobody settled its stay in time.
"""

import structlog

from signaling.payments.context import Context
from signaling.stores import earnings, ledger
from signaling.stores.database import Transaction

log = structlog.get_logger()

AT_ONCE = 100


async def make_due_available(ctx: Context) -> int:
    """One round; how many became available."""
    now = earnings.Now(ctx.now_s(), ctx.now_text())
    mode, account = ctx.settings.mode, ctx.settings.account

    async def work(tx: Transaction) -> int:
        due = await earnings.due(tx, mode, account, now.s, AT_ONCE)
        for earning in due:
            await earnings.make_available(tx, earning, now)
        return len(due)

    async with ctx.db.read() as tx:  # the writer is not disturbed every second for nothing
        if not await earnings.due(tx, mode, account, now.s, 1):
            return 0
    made = await ctx.db.write(work)
    ctx.step("made_available")
    return made


async def expire_holds(ctx: Context) -> int:
    """One round; how many holds of the ledger ran out and were released. To be called when every stay that could be
    settled is: what was used is lost with its hold (`hold_lapsed`)."""
    now_s, now_text, shelf = ctx.now_s(), ctx.now_text(), ctx.settings.shelf
    async with ctx.db.read() as tx:
        if not await ledger.lapsed_holds(tx, now_s, limit=1, shelf=shelf):
            return 0
    released = await ctx.db.write(lambda tx: ledger.expire_holds(tx, now_s, now_text, AT_ONCE, shelf))
    log.warning("holds_expired", holds=released)
    ctx.step("holds_expired")
    return len(released)
