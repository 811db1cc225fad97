"""A server that was down for longer than the service keeps its events: every order that may have moved is asked for."""

import structlog

from signaling.payments.context import Context
from signaling.payments.port import OutcomeUnknownError
from signaling.payments.settle import settle
from signaling.stores import differences, orders
from signaling.stores.database import Transaction

log = structlog.get_logger()

DAY_S = 86_400
EVENTS_LAST_S = 29 * DAY_S  # the service keeps them for thirty days
# Banks let payers dispute for about four months; refunds are made sooner.
MOVES_FOR_S = 180 * DAY_S
PAGE = 100


async def bridge(ctx: Context, heard_s: int) -> int:
    """Settles, one by one, orders that are open or were paid in the half year before `heard_s`, when the last event was
    heard; how many. Raises OutcomeUnknownError: then none of it counts, and it is done again."""
    log.warning("events_gap", days=(ctx.now_s() - heard_s) // DAY_S)
    row = _row(ctx, heard_s)
    now_text, count, after = ctx.now_text(), 0, ""

    async def show(tx: Transaction) -> None:
        await differences.show(tx, row, now_text)

    async def drop(tx: Transaction) -> None:
        await differences.drop(tx, row.id, now_text)

    await ctx.db.write(show)
    while found := await _page(ctx, heard_s - MOVES_FOR_S, after):
        for order_id in found:
            await _settle(ctx, order_id)
        count, after = count + len(found), found[-1]
    await ctx.db.write(drop)
    log.warning("events_gap_bridged", orders=count)
    return count


async def _page(ctx: Context, since_s: int, after: str) -> list[str]:
    mode, account = ctx.settings.mode, ctx.settings.account
    async with ctx.db.read() as tx:
        return await orders.may_have_moved(tx, mode, account, since_s, after=after, limit=PAGE)


async def _settle(ctx: Context, order_id: str) -> None:
    try:
        await settle(ctx, order_id)
    except OutcomeUnknownError:
        raise
    except Exception:
        # One order that cannot be applied must not hold up the others.
        log.exception("settling_failed", order_id=order_id)


def _row(ctx: Context, heard_s: int) -> differences.Difference:
    return differences.Difference(
        id=f"gap:{heard_s}:{ctx.settings.mode}:{ctx.settings.account}"[:64],
        mode=ctx.settings.mode,
        account=ctx.settings.account,
        kind="events_gap",
        subject_id=str(heard_s),
        ours_minor=None,
        theirs_minor=None,
        currency=None,
        note="events of more than 29 days were missed: every order that may have moved is asked for",
    )
