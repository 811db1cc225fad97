"""Subscriptions of rooms: what the payment service says of them becomes rows, a pass, and sales.

The order's Checkout Session makes the subscription; from then on the Subscription and its invoices are fetched, whatever
woke us, and applied in one transaction. A pass is unlimited while it is active or trialing. When it lapses, the payer is
told and has the grace period of the room; then the pass ends, also in the middle of a call, and comes back when it is
paid again.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import structlog

from metering.chart import Sale
from metering.orders import OrderState
from metering.price import fee_in_proportion
from signaling.clock import rfc3339
from signaling.errors import ApiError
from signaling.notices import Funding, Notice, OutboxFilled, PassChanged
from signaling.payments import goneback, seenrefunds
from signaling.payments.apply import Stamp
from signaling.payments.context import Context
from signaling.payments.port import (
    Checkout,
    InvoiceFact,
    OutcomeUnknownError,
    RefusedByServiceError,
    SubscriptionFact,
)
from signaling.payments.recurring import period_minor
from signaling.payments.sales import about
from signaling.stores import earnings, inbox, outbox, passes, rates, refunds, rooms
from signaling.stores import subscriptions as store
from signaling.stores.database import Transaction
from signaling.stores.orders import Order, get_order, update_order
from signaling.stores.outbox import OutboxRow
from signaling.stores.subscriptions import GOOD, Invoice, Subscription

log = structlog.get_logger()

CANCEL = "cancel_subscription"
CANCEL_AT_END = "cancel_at_period_end"
# Payments that are looked at for refunds and disputes: those of the newest invoices, and of every one that was given back.
INVOICES_LOOKED_AT = 6
UNHEARD_S = 120
ALIVE = ("waiting", "active")
_BY_REFUNDS = frozenset({OrderState.PAID, OrderState.PARTLY_REFUNDED, OrderState.REFUNDED})


@dataclass(frozen=True, slots=True)
class Seen:
    """A subscription as the service holds it now, its paid invoices (newest first), and their payments by id."""

    fact: SubscriptionFact
    invoices: tuple[InvoiceFact, ...]
    payments: Mapping[str, Checkout]


# --- looking ----------------------------------------------------------------------------------------------


async def look(ctx: Context, subscription_id: str) -> Seen:
    """Raises OutcomeUnknownError."""
    try:
        fact = await ctx.service.fetch_subscription(subscription_id)
        listed = await ctx.service.list_invoices(subscription_id)
        paid = tuple(one for one in listed if one.status == "paid" and one.amount_paid_minor > 0)
        async with ctx.db.read() as tx:
            is_refunded = bool(await seenrefunds.expected(tx, fact.reference or ""))
            asked = await refunds.payments_of(tx, fact.reference or "")
        newest = {one.payment_intent_id for one in paid[:INVOICES_LOOKED_AT]}
        payments = {
            one.payment_intent_id: await _payment(ctx, one.payment_intent_id, also_sent_back=is_refunded)
            for one in paid
            if one.payment_intent_id is not None and one.payment_intent_id in newest | asked
        }
    except RefusedByServiceError as error:
        raise OutcomeUnknownError(str(error)) from error
    return Seen(fact, paid, payments)


async def _payment(ctx: Context, payment_intent_id: str, *, also_sent_back: bool) -> Checkout:
    """`also_sent_back`: with refunds of which its charge shows nothing."""
    payment = await ctx.service.fetch_payment(payment_intent_id)
    if not also_sent_back or payment.refunds:
        return payment
    return replace(payment, refunds=await ctx.service.list_refunds(payment_intent_id))


async def look_of_order(ctx: Context, order: Order, checkout: Checkout) -> Seen | None:
    """None for other orders, and while it is not paid."""
    if order.funding != "subscription" or checkout.subscription_id is None:
        return None
    return await look(ctx, checkout.subscription_id)


# --- applying ---------------------------------------------------------------------------------------------


async def apply(tx: Transaction, order_id: str, seen: Seen, stamp: Stamp) -> list[Notice]:
    """In the transaction that applied the order's Checkout Session."""
    order = await get_order(tx, order_id)
    assert order is not None, "orders are never deleted"
    found = await passes.pass_of_order(tx, order)
    if not order.granted or found is None or order.user_id is None:
        return []
    if (seen.fact.reference, seen.fact.currency) != (order.id, order.currency):
        await _put_aside(tx, order, seen, stamp)
        return []
    return await _Applying(tx, order, found, seen, stamp).run()


async def _put_aside(tx: Transaction, order: Order, seen: Seen, stamp: Stamp) -> None:
    await inbox.put_in_quarantine(
        tx,
        quarantine_id=f"{order.id}:subscription",
        reason="subscription",
        subject_id=order.id,
        payload={"subscription": seen.fact.subscription_id, "reference": seen.fact.reference},
        created_at=stamp.now_text,
    )


@dataclass(frozen=True, slots=True)
class _Applying:
    """One transaction."""

    tx: Transaction
    order: Order
    pass_: passes.Pass
    seen: Seen
    stamp: Stamp

    async def run(self) -> list[Notice]:
        fact, order = self.seen.fact, self.order
        before = await store.get(self.tx, fact.subscription_id)
        is_good = fact.status in GOOD
        since = None if before is None else before.lapsed_at_s
        row = Subscription(
            id=fact.subscription_id,
            order_id=order.id,
            pass_id=self.pass_.id,
            room_id=order.room,
            user_id=order.user_id or "",
            mode=order.mode,
            account=order.account,
            customer_id=fact.customer_id,
            status=fact.status,
            current_period_end_s=fact.current_period_end_s,
            cancel_at_period_end=fact.cancel_at_period_end,
            lapsed_at_s=None if is_good else since if since is not None else self.stamp.now_s,
            updated_at=self.stamp.now_text,
        )
        await store.put_subscription(self.tx, row)
        for invoice in reversed(self.seen.invoices):
            await self._sync_invoice(invoice)
        await self._move_order()
        return await self._access(row, was_good=before is None or before.lapsed_at_s is None)

    async def _access(self, row: Subscription, *, was_good: bool) -> list[Notice]:
        if row.lapsed_at_s is None:
            return await self._let_in()
        if not was_good or self.pass_.state not in ALIVE:
            return []
        room = await rooms.by_id(self.tx, row.room_id)
        assert room is not None, "subscriptions refer to their room"
        left_s = max(0, row.lapsed_at_s + await grace_s(self.tx, room) - self.stamp.now_s)
        told = Funding(self.pass_.id, row.room_id, "lapsing", seconds=left_s)
        return [told, PassChanged(self.pass_.id, row.room_id)]

    async def _let_in(self) -> list[Notice]:
        """Paid again: the same pass opens the room again."""
        if self.pass_.state != "used_up":
            return []
        await passes.extend_pass(self.tx, self.pass_.id, None)
        return [PassChanged(self.pass_.id, self.pass_.room_id)]

    # --- money --------------------------------------------------------------------------------------------

    async def _sync_invoice(self, fact: InvoiceFact) -> None:
        order = self.order
        payment = self.seen.payments.get(fact.payment_intent_id or "")
        row = Invoice(
            id=fact.invoice_id,
            subscription_id=self.seen.fact.subscription_id,
            amount_minor=fact.amount_paid_minor,
            currency=fact.currency,
            payment_intent_id=fact.payment_intent_id,
            created_at=rfc3339(fact.created_s),
        )
        if await store.insert_invoice(self.tx, row):
            charge = None if payment is None or payment.intent is None else payment.intent.charge
            kept = await about(
                self.tx, order, self.stamp.holding_days, None if charge is None else charge.charge_id
            )
            await earnings.book_sale(self.tx, sale_of_invoice(order, row), kept, self.stamp.now)
        if payment is not None:
            await self._sync_payment(fact.invoice_id, payment)

    async def _sync_payment(self, invoice_id: str, payment: Checkout) -> None:
        """What went back of an invoice or was sent back by a bank, and whether a bank looks into it."""
        row = await store.get_invoice(self.tx, invoice_id)
        assert row is not None, "inserted before"
        sold = goneback.Sold(row.id, self.order.id, row.amount_minor, row.refunded_minor)
        fact = payment.fact
        seen = goneback.Seen(fact.refunded_minor, payment.refunds, fact.disputes)
        gone = await goneback.book(self.tx, sold, seen, self.stamp.now)
        if more_minor := gone.refunded_minor - row.refunded_minor:
            await store.add_refunded(self.tx, row.id, more_minor)
            await self._add(refunded_minor=more_minor)
        if gone.more_lost_minor:
            await self._add(lost_minor=gone.more_lost_minor)

    async def _move_order(self) -> None:
        """By what has gone back of all that was billed. While a bank looks, or somebody has put it aside, it stays."""
        order = await get_order(self.tx, self.order.id)
        assert order is not None, "orders are never deleted"
        billed = await store.invoices_of(self.tx, self.seen.fact.subscription_id)
        if order.state not in _BY_REFUNDS or not billed:
            return
        is_all = order.refunded_minor >= sum(one.amount_minor for one in billed)
        state = OrderState.REFUNDED if is_all else OrderState.PARTLY_REFUNDED
        await update_order(self.tx, order.id, state=state if order.refunded_minor else OrderState.PAID)

    async def _add(self, **more_minor: int) -> None:
        """The order's sums over its invoices."""
        order = await get_order(self.tx, self.order.id)
        assert order is not None, "orders are never deleted"
        sums = {name: getattr(order, name) + minor for name, minor in more_minor.items()}
        await update_order(self.tx, order.id, **sums)


def sale_of_invoice(order: Order, invoice: Invoice) -> Sale:
    """The platform's part in proportion, where the service billed another amount than one period's."""
    fee_minor = fee_in_proportion(order.fee_minor, invoice.amount_minor, period_minor(order))
    return Sale(
        sale_id=invoice.id,
        payee=order.payee or order.room,
        amount_minor=invoice.amount_minor,
        currency=invoice.currency,
        fee_minor=min(fee_minor, invoice.amount_minor),
    )


async def grace_s(tx: Transaction, room: rooms.Room) -> int:
    return int((await rates.figures_of_room(tx, room)).get("grace_s"))


# --- what time brings about -------------------------------------------------------------------------------


async def sweep(ctx: Context) -> int:
    """Ends the passes whose grace is over, and the subscriptions that nobody can use any more; how many."""
    now_s, now_text = ctx.now_s(), ctx.now_text()
    books = (ctx.settings.mode, ctx.settings.account)
    async with ctx.db.read() as tx:
        if not await store.lapsed_with_access(tx, *books, limit=1) and not await store.without_use(
            tx, *books, limit=1
        ):
            return 0

    async def work(tx: Transaction) -> Sequence[Notice]:
        notices: list[Notice] = []
        for row in await store.lapsed_with_access(tx, *books):
            room = await rooms.by_id(tx, row.room_id)
            assert room is not None, "subscriptions refer to their room"
            assert row.pass_id is not None, "as selected"
            assert row.lapsed_at_s is not None, "as selected"
            if now_s >= row.lapsed_at_s + await grace_s(tx, room):
                await passes.end_pass(tx, row.pass_id, "used_up")
                notices.append(PassChanged(row.pass_id, row.room_id))
        for row in await store.without_use(tx, *books):
            await ask_cancel(tx, row, now_s=now_s, created_at=now_text)
            notices.append(OutboxFilled())
        return notices

    notices = await ctx.db.write(work)
    for notice in notices:
        ctx.notices.publish(notice)
    return len(notices)


async def ask_cancel(
    tx: Transaction, row: Subscription, *, now_s: int, created_at: str, at_end_by: str | None = None
) -> None:
    """At once, or (`at_end_by`: who asks) at the end of its period. Publish `OutboxFilled` after the commit."""
    await outbox.add(
        tx,
        outbox_id=f"cancel:{row.order_id}" if at_end_by is None else f"cancel_at_end:{at_end_by}",
        kind=CANCEL if at_end_by is None else CANCEL_AT_END,
        subject_id=row.order_id,
        payload={"subscription_id": row.id},
        now_s=now_s,
        created_at=created_at,
    )


async def cancel_at_end(ctx: Context, row: OutboxRow) -> None:
    """It is not renewed, and lets in until its period is over. Raises OutcomeUnknownError."""
    subscription_id = str(row.payload["subscription_id"])
    # A repeat changes nothing, so that each attempt may have a key of its own: an answer that failed is not repeated to us.
    key = f"{row.id}:{row.attempts}"
    try:
        await ctx.service.update_subscription(subscription_id, {"cancel_at_period_end": True}, key)
    except RefusedByServiceError as error:
        log.info("cancelling_refused", subscription_id=subscription_id, error=str(error))
    await refresh(ctx, subscription_id)


async def cancel(ctx: Context, row: OutboxRow) -> None:
    """At once: there is nothing to come back to. One that is over already is refused, which is as well. Raises
    OutcomeUnknownError."""
    subscription_id = str(row.payload["subscription_id"])
    try:
        await ctx.service.cancel_subscription(subscription_id, row.id)
    except RefusedByServiceError as error:
        log.info("cancelling_refused", subscription_id=subscription_id, error=str(error))
    await refresh(ctx, subscription_id)


async def refresh(ctx: Context, subscription_id: str) -> None:
    """Fetches and applies it. Raises OutcomeUnknownError."""
    async with ctx.db.read() as tx:
        known = await store.get(tx, subscription_id)
    if known is None or not ctx.settings.shelf.holds(known.mode, known.account):
        return
    seen = await look(ctx, subscription_id)
    stamp = Stamp(ctx.new_id("pass"), ctx.now_s(), ctx.now_text(), holding_days=ctx.settings.earnings_days)
    await ctx.write(lambda tx: apply(tx, known.order_id, seen, stamp))


async def refresh_unheard(ctx: Context) -> int:
    """Those whose period is over, or that are unpaid, and of which nothing was heard: fetched. How many."""
    async with ctx.db.read() as tx:
        due = await store.unheard(tx, ctx.settings.mode, ctx.settings.account, ctx.now_s() - UNHEARD_S)
    for row in due:
        try:
            await refresh(ctx, row.id)
        except OutcomeUnknownError as error:
            log.warning("subscription_not_fetched", subscription_id=row.id, error=str(error))
    return len(due)


# --- the subscriber's own -----------------------------------------------------------------------------------


async def mine(ctx: Context, user_id: str) -> list[dict[str, Any]]:
    """Every subscription of that person, as `GET /api/me/subscriptions` shows it."""
    async with ctx.db.read() as tx:
        found = await store.of_user(tx, user_id, ctx.settings.mode, ctx.settings.account)
        return [await view(tx, row) for row in found]


async def of_order(tx: Transaction, order: Order) -> dict[str, Any] | None:
    row = await store.of_order(tx, order.id) if order.funding == "subscription" else None
    return None if row is None else await view(tx, row)


async def view(tx: Transaction, row: Subscription) -> dict[str, Any]:
    """`access_until`: when the pass ends, while it lapses."""
    room, order = await rooms.by_id(tx, row.room_id), await get_order(tx, row.order_id)
    assert room is not None, "subscriptions refer to their room"
    assert order is not None, "subscriptions refer to their order"
    lapsed = row.lapsed_at_s
    return {
        "id": row.id,
        "order_id": row.order_id,
        "room": {"slug": room.slug, "title": order.title},
        "status": row.status,
        "price": {"amount_minor": period_minor(order), "currency": order.currency},
        "interval": order.tariff["interval"],
        "current_period_end": rfc3339(row.current_period_end_s),
        "cancel_at_period_end": row.cancel_at_period_end,
        "access_until": None if lapsed is None else rfc3339(lapsed + await grace_s(tx, room)),
    }


async def portal(ctx: Context, user_id: str, subscription_id: str) -> str:
    """Where the subscriber changes card and subscription, for a short while. Raises ApiError 404
    `unknown_subscription`, 502 `payment_refused`, 503 `payment_pending`."""
    async with ctx.db.read() as tx:
        row = await store.get(tx, subscription_id)
    books = (ctx.settings.mode, ctx.settings.account)
    if row is None or row.user_id != user_id or (row.mode, row.account) != books:
        raise ApiError(404, "unknown_subscription", "there is no such subscription of yours")
    params = {
        "customer": row.customer_id,
        "return_url": ctx.settings.own_page(f"/me?subscription={row.id}"),
    }
    try:
        # Nothing lasts of it: each press is a new one.
        return await ctx.service.create_portal(params, ctx.new_id("portal"))
    except RefusedByServiceError as error:
        log.warning("portal_refused", subscription_id=row.id, error=str(error))
        raise ApiError(502, "payment_refused", "the payment service refused to open its page") from None
    except OutcomeUnknownError:
        raise ApiError(503, "payment_pending", "the payment service does not answer: try again") from None


async def refresh_own(ctx: Context, user_id: str, subscription_id: str) -> None:
    """After the way back from the service's page: what has changed there is shown. Raises ApiError 404."""
    async with ctx.db.read() as tx:
        row = await store.get(tx, subscription_id)
    if row is None or row.user_id != user_id or not ctx.settings.shelf.holds(row.mode, row.account):
        raise ApiError(404, "unknown_subscription", "there is no such subscription of yours")
    try:
        await refresh(ctx, subscription_id)
    except OutcomeUnknownError as error:
        log.warning("subscription_not_fetched", subscription_id=row.id, error=str(error))
