"""The webhook's door: verify over the raw body, store as received, answer. Applying is the worker's."""

from collections.abc import Sequence
from typing import Any

from metering.orders import Mode
from signaling.errors import ApiError
from signaling.notices import Notice
from signaling.payments.context import Context
from signaling.payments.port import BadWebhookError, ServiceEvent
from signaling.stores import inbox
from signaling.stores.database import Transaction

BODY_BYTES_MAX = 512 * 1024
ID_CHARS_MAX = 255
TYPE_CHARS_MAX = 255
NAMED = ("order_id", "reference")  # our own words in the metadata
KEPT = ("id", "object", "client_reference_id", "payment_intent", "payment_status", "status")


async def take_webhook(ctx: Context, body: bytes, signature: str | None) -> None:
    """Committed as received when this returns; a duplicate changes nothing. Raises ApiError 400."""
    try:
        event = ctx.service.verify_webhook(body, signature, ctx.clock.wall_s())
    except BadWebhookError as error:
        raise ApiError(400, error.code, str(error)) from None
    if _is_of_the_other_mode(ctx, event):
        raise ApiError(400, "wrong_mode", "this address is not for events of that mode")
    await store_events(ctx, [event])


async def store_events(ctx: Context, events: Sequence[ServiceEvent]) -> int:
    """How many of them were new."""
    received = [_received(ctx, event) for event in events if not _is_of_the_other_mode(ctx, event)]
    now_s, now_text = ctx.now_s(), ctx.now_text()
    stored = 0

    async def work(tx: Transaction) -> Sequence[Notice]:
        nonlocal stored
        stored = 0
        for event in received:
            stored += await inbox.receive(tx, event, now_s=now_s, received_at=now_text)
        return ()

    await ctx.write(work)
    return stored


def _received(ctx: Context, event: ServiceEvent) -> inbox.InboxEvent:
    return inbox.InboxEvent(
        event_id=event.event_id[:ID_CHARS_MAX],
        mode=_mode(ctx, event),
        account=event.account or ctx.settings.account,
        type=event.type[:TYPE_CHARS_MAX],
        object_id=str(event.object.get("id", ""))[:ID_CHARS_MAX],
        payload=_what_we_need(event.object),
    )


def _what_we_need(thing: dict[str, Any]) -> dict[str, Any]:
    """An event is a hint, so names, addresses and cards in it are not kept."""
    kept = {name: thing[name] for name in KEPT if isinstance(thing.get(name), str)} | _named_by_us(thing)
    parent = thing.get("parent")
    details = parent.get("subscription_details") if isinstance(parent, dict) else None
    if not isinstance(details, dict):
        return kept
    # What an invoice is of: nothing else in it names an order.
    of = {name: details[name] for name in ("subscription",) if isinstance(details.get(name), str)}
    return kept | {"parent": {"subscription_details": of | _named_by_us(details)}}


def _named_by_us(thing: dict[str, Any]) -> dict[str, Any]:
    metadata = thing.get("metadata")
    ours = metadata if isinstance(metadata, dict) else {}
    named = {name: ours[name] for name in NAMED if isinstance(ours.get(name), str)}
    return {"metadata": named} if named else {}


def _is_of_the_other_mode(ctx: Context, event: ServiceEvent) -> bool:
    """Where each mode has keys and an address of its own. Alone, a set keeps the other's events for a person to see."""
    return any(mode == _mode(ctx, event) for mode, _ in ctx.settings.beside)


def _mode(ctx: Context, event: ServiceEvent) -> Mode:
    if event.livemode:
        return "live"
    return "test" if ctx.settings.mode == "live" else ctx.settings.mode
