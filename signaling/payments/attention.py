"""What a person should look at: what failed for good, what was put aside, and where our books and the service's differ."""

from typing import Any

import structlog
from sqlalchemy import Table, select

from signaling.errors import ApiError
from signaling.notices import OutboxFilled
from signaling.payments.context import Context
from signaling.payments.refunding import RETRIES_MAX, attempt_of
from signaling.stores import outbox as outbox_store
from signaling.stores.database import Transaction
from signaling.stores.refunds import is_of_topup
from signaling.stores.schema import differences, outbox, payouts, quarantine, refunds
from signaling.stores.shelf import Shelf

log = structlog.get_logger()

Json = dict[str, Any]
ROWS_MAX = 200


async def attention(ctx: Context) -> Json:
    """Each list up to 200 rows, the newest first; empty lists: all is well."""
    shelf = ctx.settings.shelf
    async with ctx.db.read() as tx:
        return {
            "refunds": await _failed_refunds(tx, shelf),
            "outbox": await _rows(
                tx,
                outbox,
                ("id", "kind", "subject_id", "note", "created_at"),
                outbox.c.state == "failed",
                shelf.about(outbox.c.subject_id),
            ),
            "quarantine": await _rows(
                tx,
                quarantine,
                ("id", "reason", "subject_id", "created_at"),
                shelf.put_aside(quarantine.c.id, quarantine.c.subject_id),
            ),
            "differences": await _differences(tx, shelf),
            "payouts": await _rows(
                tx,
                payouts,
                ("id", "payee", "earning_id", "amount_minor", "currency", "state", "failure", "created_at"),
                payouts.c.failure.is_not(None) & (payouts.c.state == "asked"),
                shelf.rows(payouts),
            ),
        }


async def retry(ctx: Context, outbox_id: str, *, by: str) -> None:
    """What was given up is tried again from the start. Raises ApiError 404 `not_found`."""
    now_s = ctx.now_s()
    if not await ctx.db.write(lambda tx: outbox_store.revive(tx, outbox_id, now_s)):
        raise ApiError(404, "not_found", "nothing that was given up has this id")
    log.info("outbox_retried", outbox_id=outbox_id, by=by)
    ctx.notices.publish(OutboxFilled())


def _is_final(refund: Json) -> bool:
    """One that a bank sent back and that is still asked for again needs nobody yet."""
    return (
        refund["stripe_refund_id"] is None
        or attempt_of(refund["id"]) >= RETRIES_MAX
        or (refund["reason"] == "dashboard")
    )


async def _failed_refunds(tx: Transaction, shelf: Shelf) -> list[Json]:
    columns = ("id", "order_id", "amount_minor", "currency", "reason", "stripe_refund_id", "created_at")
    failed = (refunds.c.state == "failed") & shelf.about(refunds.c.order_id)
    of_topups = await _rows(tx, refunds, columns, failed, is_of_topup())
    others = [one for one in await _rows(tx, refunds, columns, failed, ~is_of_topup()) if _is_final(one)]
    found = sorted([*of_topups, *others], key=lambda one: str(one["created_at"]), reverse=True)
    return found[:ROWS_MAX]


async def _differences(tx: Transaction, shelf: Shelf) -> list[Json]:
    columns = (
        "id",
        "kind",
        "subject_id",
        "ours_minor",
        "theirs_minor",
        "currency",
        "note",
        "first_seen_at",
        "last_seen_at",
    )
    query = select(*(differences.c[name] for name in columns)).where(
        differences.c.state == "open", shelf.rows(differences)
    )
    rows = await tx.execute(query.order_by(differences.c.last_seen_at.desc()).limit(ROWS_MAX))
    return [dict(row) for row in rows.mappings()]


async def _rows(tx: Transaction, table: Table, columns: tuple[str, ...], *where: Any) -> list[Json]:
    query = select(*(table.c[name] for name in columns)).where(*where)
    rows = await tx.execute(query.order_by(table.c.created_at.desc()).limit(ROWS_MAX))
    return [dict(row) for row in rows.mappings()]
