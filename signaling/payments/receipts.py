"""Receipts by mail: asked for once a stay is over or an order is settled, and once more after each refund."""

from collections.abc import Callable, Sequence

import structlog

from signaling.clock import rfc3339
from signaling.ids import secret_hash
from signaling.mail import Letter
from signaling.notices import Notice, OutboxFilled
from signaling.payments import receipttext, views
from signaling.payments.context import Context
from signaling.post import KIND, mail_payload
from signaling.stores import outbox, receipts
from signaling.stores.database import Transaction
from signaling.stores.orders import Order, get_order, update_order
from signaling.stores.outbox import OutboxRow

log = structlog.get_logger()

LETTER = "receipt"
LOOK_EVERY_S = 60
QUIET_S = 300  # who comes back within five minutes goes on with the same stay
LOOK_BACK_S = 7 * 86_400


async def ask_receipts(ctx: Context) -> int:
    """Puts the receipts that are due into the outbox, each once; how many."""
    now_s, now_text, settings = ctx.now_s(), ctx.now_text(), ctx.settings
    since = receipts.Since(
        now_s - LOOK_BACK_S, rfc3339(now_s - LOOK_BACK_S), quiet_at=rfc3339(now_s - QUIET_S)
    )
    async with ctx.db.read() as tx:
        due = await receipts.due_receipts(tx, settings.mode, settings.account, since)
    if not due:
        return 0

    async def work(tx: Transaction) -> Sequence[Notice]:
        for one in due:
            await outbox.add(
                tx,
                outbox_id=one.outbox_id,
                kind=KIND,
                subject_id=one.order_id,
                payload=mail_payload(LETTER, order_id=one.order_id),
                now_s=now_s,
                created_at=now_text,
            )
        return (OutboxFilled(),)

    await ctx.write(work)
    return len(due)


class ReceiptLetters:
    """Writes the letters. `sign`: a secret that this server alone can make of an order's id: the letter's link carries
    it, so that a payer without an account comes back by it, and a repeat of the letter is the same letter."""

    def __init__(self, ctx: Context, sign: Callable[[str], str]) -> None:
        self._ctx = ctx
        self._sign = sign

    async def letter(self, row: OutboxRow) -> Letter | None:
        """A `post.Writer`: what holds when it is sent. None: there is no order, or nobody to write to any more."""
        order_id = str(row.payload["order_id"])
        async with self._ctx.db.read() as tx:
            order = await get_order(tx, order_id)
            to = await receipts.address_of(tx, order_id)
            if order is None or to is None or "@" not in to:
                return None
            receipt = await views.receipt_view(tx, order)
        link = await self._link(order)
        said: list[str | tuple[str, str]] = [*receipttext.lines(receipt), ("See the receipt", link)]
        return Letter(to, receipttext.subject(receipt), tuple(said))

    async def _link(self, order: Order) -> str:
        """With a secret, unless the payer has made a link for another device: that one goes on to work instead."""
        page = f"{self._ctx.settings.public_url}/orders/{order.id}"
        secret = self._sign(order.id)
        hashed = secret_hash(secret)

        async def work(tx: Transaction) -> bool:
            now = await get_order(tx, order.id)
            assert now is not None, "orders are never deleted"
            if now.link_hash is None:
                await update_order(tx, order.id, link_hash=hashed)
            return now.link_hash in {None, hashed}

        is_open = await self._ctx.db.write(work)
        return f"{page}#secret={secret}" if is_open else page
