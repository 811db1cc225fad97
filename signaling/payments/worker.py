"""Applies the inbox: finds the order that each event is about, and settles it."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

import structlog

from signaling.notices import Notice
from signaling.payments import connect, funding, transfers
from signaling.payments.context import Context, side_by_side
from signaling.payments.holds import find_stay
from signaling.payments.port import OutcomeUnknownError
from signaling.payments.settle import bring_up_to_date
from signaling.stores import inbox, subscriptions, windows
from signaling.stores.database import Transaction
from signaling.stores.inbox import InboxEvent
from signaling.stores.orders import Order, find_by_checkout, find_by_payment_intent, get_order

log = structlog.get_logger()

BACKOFF_MAX_S = 300
AT_ONCE = 12  # orders that are looked at side by side; what is found of them is committed together


async def apply_inbox(ctx: Context) -> int:
    """Applies what is due; how many events were looked at."""
    async with ctx.db.read() as tx:
        due = await inbox.due_events(tx, ctx.now_s(), shelf=ctx.settings.shelf)
    by_order: dict[str, list[InboxEvent]] = {}
    for event in due:
        if event.payload.get("object") in _OF_HOSTS:
            await _apply_of_host(ctx, event)
            continue
        order = await _order_of(ctx, event)
        if order is not None:
            by_order.setdefault(order.id, []).append(event)
    await side_by_side((_settle(ctx, order_id, events) for order_id, events in by_order.items()), AT_ONCE)
    return len(due)


async def _settle(ctx: Context, order_id: str, events: Sequence[InboxEvent]) -> None:
    try:
        for intent_id, reference in _intents(events):
            await funding.look_at_intent(ctx, intent_id, reference)
        await bring_up_to_date(ctx, order_id, [event.event_id for event in events])
    except OutcomeUnknownError as error:
        log.warning("settling_postponed", order_id=order_id, error=str(error))
        await _retry(ctx, events, str(error))
    except Exception as error:
        # One order that cannot be applied must not hold up the others.
        log.exception("settling_failed", order_id=order_id)
        await _retry(ctx, events, repr(error))


async def _apply_of_host(ctx: Context, event: InboxEvent) -> None:
    """Transfers and connected accounts, which are no order's."""
    try:
        known = event.mode == ctx.settings.mode and await _OF_HOSTS[str(event.payload["object"])](ctx, event)
    except OutcomeUnknownError as error:
        await _retry(ctx, [event], str(error))
    except Exception as error:
        log.exception("event_failed", event_id=event.event_id)
        await _retry(ctx, [event], repr(error))
    else:
        await _put_aside(ctx, event, "applied" if known else "ignored", "")


async def _look_at_transfer(ctx: Context, event: InboxEvent) -> bool:
    reference = (event.payload.get("metadata") or {}).get("reference")
    return isinstance(reference, str) and await transfers.look(ctx, reference)


async def _look_at_account(ctx: Context, event: InboxEvent) -> bool:
    return await connect.refresh_account(ctx, event.object_id)


# By what the event says it is about.
_OF_HOSTS: Mapping[str, Callable[[Context, InboxEvent], Awaitable[bool]]] = {
    "transfer": _look_at_transfer,
    "account": _look_at_account,
    "v2.core.account": _look_at_account,
}


def _intents(events: Sequence[InboxEvent]) -> list[tuple[str, str]]:
    """The payments that the events are about, with our reference where they carry it."""
    found: dict[str, str] = {}
    for event in events:
        if event.payload.get("object") not in {"checkout.session", "subscription", "invoice"}:
            metadata = event.payload.get("metadata") or {}
            intent = str(event.payload.get("payment_intent") or event.object_id)
            found[intent] = found.get(intent) or str(metadata.get("reference") or "")
    return list(found.items())


async def _retry(ctx: Context, events: Sequence[InboxEvent], note: str) -> None:
    now_s = ctx.now_s()

    async def work(tx: Transaction) -> Sequence[Notice]:
        for event in events:
            attempts = event.attempts + 1
            next_at_s = now_s + min(2**attempts, BACKOFF_MAX_S)
            await inbox.retry_event(tx, event.event_id, attempts, next_at_s, note)
        return ()

    await ctx.write(work)


async def _order_of(ctx: Context, event: InboxEvent) -> Order | None:
    """None when the event was put aside: of other books, of no order of ours, or of a stray Checkout Session."""
    if (event.mode, event.account) != (ctx.settings.mode, ctx.settings.account):
        await _put_aside(ctx, event, "quarantined", "of another mode or account")
        return None
    async with ctx.db.read() as tx:
        order = await _find(tx, event)
    if order is None:
        ours = _named_order(event.payload).startswith("ord_")
        state: inbox.InboxState = "quarantined" if ours else "ignored"
        await _put_aside(ctx, event, state, "no such order")
        return None
    if not ctx.settings.shelf.holds(order.mode, order.account):
        await _put_aside(ctx, event, "quarantined", "names an order of other books")
        return None
    is_session = event.payload.get("object") == "checkout.session"
    if is_session and order.checkout_session_id not in {None, event.object_id}:
        await _stray(ctx, event)
        return None
    return order


async def _stray(ctx: Context, event: InboxEvent) -> None:
    """Another Checkout Session of the same order: harmless unless somebody paid it."""
    state: inbox.InboxState = "quarantined" if event.payload.get("payment_status") == "paid" else "ignored"
    await _put_aside(ctx, event, state, "not the Checkout Session of its order")


async def _find(tx: Transaction, event: InboxEvent) -> Order | None:
    payload = event.payload
    if payload.get("object") == "checkout.session":
        found = await find_by_checkout(tx, event.object_id)
    elif payload.get("object") in {"subscription", "invoice"}:
        found = await _subscribed(tx, payload)
    else:
        intent = str(payload.get("payment_intent") or payload.get("id"))
        found = await find_by_payment_intent(tx, intent) or await _order_of_window(tx, intent)
        billed = None if found is not None else await subscriptions.order_of_intent(tx, intent)
        found = found if billed is None else await get_order(tx, billed)
    return found or await get_order(tx, _named_order(payload))


async def _subscribed(tx: Transaction, payload: dict[str, Any]) -> Order | None:
    """The order behind a subscription, or behind the subscription of an invoice."""
    details = (payload.get("parent") or {}).get("subscription_details") or {}
    subscription = details.get("subscription") if payload.get("object") == "invoice" else payload.get("id")
    known = await subscriptions.get(tx, str(subscription))
    return await get_order(tx, known.order_id if known else _named_order(details))


async def _order_of_window(tx: Transaction, payment_intent_id: str) -> Order | None:
    """A call that is paid for by use has several payments; what a bank says of one names no order."""
    window = await windows.find_by_intent(tx, payment_intent_id)
    stay = None if window is None else await find_stay(tx, window.pass_id)
    return None if stay is None else stay.order


def _named_order(payload: dict[str, Any]) -> str:
    """The order that a signed event names: the reference we gave it, or our metadata."""
    metadata = payload.get("metadata")
    named = payload.get("client_reference_id") or (
        metadata.get("order_id") if isinstance(metadata, dict) else None
    )
    return named if isinstance(named, str) else ""


async def _put_aside(ctx: Context, event: InboxEvent, state: inbox.InboxState, note: str) -> None:
    now_text = ctx.now_text()

    async def work(tx: Transaction) -> Sequence[Notice]:
        await inbox.close_event(tx, event.event_id, state, note)
        if state == "quarantined":
            await inbox.put_in_quarantine(
                tx,
                quarantine_id=event.event_id,
                reason=note,
                subject_id=event.object_id,
                payload=event.payload,
                created_at=now_text,
            )
        return ()

    await ctx.write(work)
