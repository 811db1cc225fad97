"""The one function that applies a payment, whichever door woke it: webhook, return page, reconciliation.

It fetches the Checkout Session that is stored on the order, outside any transaction, and applies what
`metering.orders` decides in one transaction. Any order of arrival, any number of times.
"""

from collections.abc import Sequence
from dataclasses import asdict, replace

from metering.orders import OrderState, Quarantine, decide
from signaling.notices import Notice
from signaling.payments import apply, freeminutes, holds, onfile, reconcile, seenrefunds, subscribing
from signaling.payments.context import Context
from signaling.payments.port import Checkout, OutcomeUnknownError, RefusedByServiceError
from signaling.stores import disputes, earnings, inbox
from signaling.stores.database import Transaction
from signaling.stores.orders import BY_USE, UNPAID, Order, get_order, update_order

UNKNOWN_OBJECT = "resource_missing"


async def settle(ctx: Context, order_id: str, event_ids: Sequence[str] = ()) -> Order:
    """The order after `bring_up_to_date`, which see."""
    await bring_up_to_date(ctx, order_id, event_ids)
    return await _read(ctx, order_id)


async def bring_up_to_date(ctx: Context, order_id: str, event_ids: Sequence[str] = ()) -> None:
    """Applies what the payment service knows now; `event_ids` of the inbox are then applied.

    Raises LookupError for an unknown order, OutcomeUnknownError when the service could not be asked.
    """
    order = await _read(ctx, order_id)
    if order.payment_ref is None:
        await (onfile if order.on_file else reconcile).reconcile(ctx, order_id)
        order = await _read(ctx, order_id)
    if order.payment_ref is None:
        await _close_events(ctx, event_ids)
        return
    if order.funding in BY_USE:
        await holds.look_at_charged(ctx, order)
    checkout = await _fetch(ctx, order, order.payment_ref)
    if checkout is not None and order.funding not in BY_USE:
        checkout = await _with_sent_back(ctx, order, checkout)
    seen = None if checkout is None else await subscribing.look_of_order(ctx, order, checkout)
    ctx.step("fetched")
    if checkout is not None:
        await _apply(ctx, order_id, checkout, event_ids, seen)
    else:
        await _close_events(ctx, event_ids)


async def _read(ctx: Context, order_id: str) -> Order:
    async with ctx.db.read() as tx:
        order = await get_order(tx, order_id)
    if order is None or not ctx.settings.shelf.holds(order.mode, order.account):
        raise LookupError(f"no order {order_id}")
    return order


async def _fetch(ctx: Context, order: Order, payment_ref: str) -> Checkout | None:
    """None when the service does not know it: the keys are of another account, which a person must see to."""
    try:
        if order.on_file:
            return await ctx.service.fetch_payment(payment_ref)
        return await ctx.service.fetch_checkout(payment_ref)
    except RefusedByServiceError as error:
        if error.code != UNKNOWN_OBJECT:
            raise OutcomeUnknownError(str(error)) from error
        await _put_aside(ctx, order.id, payment_ref)
        return None


async def _with_sent_back(ctx: Context, order: Order, checkout: Checkout) -> Checkout:
    """With the refunds that a bank sent back, where the charge does not show them. Raises OutcomeUnknownError."""
    if order.state in UNPAID:
        return checkout
    async with ctx.db.read() as tx:
        expected = await seenrefunds.expected(tx, order.id)
    intent_id = checkout.fact.payment_intent_id
    if intent_id is None or expected <= {fact.refund_id for fact in checkout.refunds}:
        return checkout
    return replace(checkout, refunds=await ctx.service.list_refunds(intent_id))


async def _put_aside(ctx: Context, order_id: str, payment_ref: str) -> None:
    reason, now_text = "unknown_checkout", ctx.now_text()

    async def work(tx: Transaction) -> Sequence[Notice]:
        order = await get_order(tx, order_id)
        assert order is not None, "orders are never deleted"
        await inbox.put_in_quarantine(
            tx,
            quarantine_id=f"{order_id}:{reason}",
            reason=reason,
            subject_id=order_id,
            payload={"payment": payment_ref},
            created_at=now_text,
        )
        if order.state not in UNPAID:
            return ()
        values = {"state": OrderState.QUARANTINED, "quarantine_reason": reason, "reserved_until_s": None}
        await update_order(tx, order_id, **values)
        return order.seat_freed()

    await ctx.write(work)


async def _apply(
    ctx: Context, order_id: str, checkout: Checkout, event_ids: Sequence[str], seen: subscribing.Seen | None
) -> None:
    # Made outside: the transaction may run again.
    stamp = apply.Stamp(
        ctx.new_id("pass"), ctx.now_s(), ctx.now_text(), holding_days=ctx.settings.earnings_days
    )

    async def work(tx: Transaction) -> Sequence[Notice]:
        order = await get_order(tx, order_id)
        assert order is not None, "orders are never deleted"
        shown = checkout if order.purpose != "setup" else freeminutes.as_paid(order, checkout)
        if order.purpose == "setup":
            told = await freeminutes.refused(tx, order, shown, stamp)
            if told is not None:
                await _close(tx, event_ids, "applied")
                return told
        booked_back = await earnings.refunds_booked_back(tx, order_id)
        disputed = await disputes.disputes_of(tx, order_id)
        known = replace(order.snapshot(), refunds_booked_back=booked_back, disputes=disputed)
        fact = replace(shown.fact, refunds=seenrefunds.plain(shown.refunds))
        decisions = decide(known, fact)
        application = apply.Application(tx, order, shown, stamp)
        await application.run(decisions)
        followed = [] if seen is None else await subscribing.apply(tx, order_id, seen, stamp)
        reasons = [one.reason for one in decisions if isinstance(one, Quarantine)]
        for reason in reasons:
            await _quarantine(tx, order_id, reason, checkout, stamp.now_text)
        await _close(tx, event_ids, "quarantined" if reasons else "applied")
        return [*application.notices, *followed]

    await ctx.write(work)


async def _close(tx: Transaction, event_ids: Sequence[str], state: inbox.InboxState) -> None:
    for event_id in event_ids:
        await inbox.close_event(tx, event_id, state)


async def _quarantine(tx: Transaction, order_id: str, reason: str, checkout: Checkout, now_text: str) -> None:
    await inbox.put_in_quarantine(
        tx,
        quarantine_id=f"{order_id}:{reason}",
        reason=reason,
        subject_id=order_id,
        payload=asdict(checkout.fact),
        created_at=now_text,
    )


async def _close_events(ctx: Context, event_ids: Sequence[str]) -> None:
    async def work(tx: Transaction) -> Sequence[Notice]:
        for event_id in event_ids:
            await inbox.close_event(tx, event_id, "applied", "nothing to fetch")
        return ()

    if event_ids:
        await ctx.write(work)
