"""What a payee has earned becomes theirs to be paid out once its holding time is over."""

from signaling.payments.context import Context
from signaling.stores import earnings
from signaling.stores.database import Transaction

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
