"""Orders and receipts as API.md shows them."""

from datetime import datetime
from typing import Any

from sqlalchemy import select

from metering.funding import BACKED
from metering.money import Money
from metering.orders import OrderState
from signaling.payments import invoicerefunds, subscribing
from signaling.payments.pricing import Quoted
from signaling.payments.settings import PaymentsSettings
from signaling.stores import passes, refunds, rooms, windows
from signaling.stores.database import Transaction
from signaling.stores.orders import BY_USE, UNPAID, Order
from signaling.stores.schema import segments, sessions
from signaling.stores.subscriptions import Invoice

Json = dict[str, Any]


def checkout_view(settings: PaymentsSettings, order: Order) -> Json | None:
    """How to pay; None when there is nothing to pay (any more), or not yet."""
    if order.state is not OrderState.OPEN:
        return None
    if order.on_file:
        return _confirmation(settings, order)
    if order.checkout_session_id is None:
        return None
    if order.ui != "embedded":
        return {"ui": "hosted", "url": order.checkout_url}
    if settings.sandbox:
        url = f"{settings.public_url}/sandbox/embedded/{order.client_secret}"
        return {"ui": "frame", "url": url}
    return {
        "ui": "embedded",
        "client_secret": order.client_secret,
        "publishable_key": settings.publishable_key,
    }


def _confirmation(settings: PaymentsSettings, order: Order) -> Json | None:
    """A card on file whose bank asks: nothing is to be filled in, only to be confirmed."""
    if order.client_secret is None:
        return None
    if settings.sandbox:
        return {"ui": "frame", "url": order.checkout_url}
    return {
        "ui": "confirm",
        "client_secret": order.client_secret,
        "publishable_key": settings.publishable_key,
    }


def state_view(order: Order) -> str:
    """A new order whose Checkout Session is not known yet is `payment_pending`."""
    if order.state is OrderState.NEW:
        return "payment_pending"
    return order.state.value


def made_view(settings: PaymentsSettings, order: Order) -> Json:
    checkout = checkout_view(settings, order)
    if checkout is None and order.state in UNPAID:
        return {"order_id": order.id, "state": "payment_pending"}
    return {
        "order_id": order.id,
        "amount_minor": order.amount_minor,
        "currency": order.currency,
        "seconds": order.seconds,
        "state": state_view(order),
        "checkout": checkout,
    }


def quote_view(quoted: Quoted) -> Json:
    """`raised_minor`: by so much less the code takes off, because a card is not charged less than that."""
    parts = quoted.parts
    return {
        "list_minor": parts.list_minor,
        "discount_minor": parts.discount_minor,
        "fee_on_top_minor": parts.fee_on_top_minor,
        "raised_minor": parts.raised_minor,
        "amount_minor": parts.amount_minor,
        "currency": parts.currency,
    }


def pass_view(found: passes.Pass) -> Json:
    return {
        "id": found.id,
        "state": found.state,
        "granted_ms": found.granted_ms,
        "used_ms": found.used_ms,
        "remaining_ms": found.remaining_ms,
    }


def refund_view(refund: refunds.Refund) -> Json:
    return {
        "amount_minor": refund.amount_minor,
        "currency": refund.currency,
        "reason": refund.reason,
        "state": refund.state,
        "created_at": refund.created_at,
    }


def invoice_view(invoice: Invoice) -> Json:
    return {
        "invoice_id": invoice.id,
        "amount_minor": invoice.amount_minor,
        "refunded_minor": invoice.refunded_minor,
        "currency": invoice.currency,
        "created_at": invoice.created_at,
    }


async def order_view(tx: Transaction, settings: PaymentsSettings, order: Order) -> Json:
    room = None if order.room_id is None else await rooms.by_id(tx, order.room_id)
    found = await passes.pass_of_order(tx, order) if order.granted else None
    given_back = await refunds.refunds_of(tx, order.id)
    view: Json = {
        "order_id": order.id,
        "state": state_view(order),
        "room": {"slug": room.slug if room else None, "title": order.title},
        "amount_minor": order.amount_minor,
        "currency": order.currency,
        "seconds": order.seconds,
        "waits": order.waits,
        "funding": order.funding,
        "owned": order.user_id is not None,
    }
    optional = {
        "checkout": checkout_view(settings, order),
        "failure": order.failure,
        "pass": pass_view(found) if found else None,
        "refund": refund_view(given_back[-1]) if given_back else None,
        "use": await use_view(tx, order, found),
        "subscription": await subscribing.of_order(tx, order),
    }
    return view | {name: value for name, value in optional.items() if value is not None}


async def use_view(tx: Transaction, order: Order, found: passes.Pass | None) -> Json | None:
    """What is held and what was charged of a call that is paid for by use; None for one that was bought whole.
    `charged_minor` null: not settled yet."""
    if order.funding not in BY_USE or found is None:
        return None
    all_windows = await windows.windows_of(tx, found.id)
    backed = [window for window in all_windows if window.state in BACKED]
    held_minor = sum(window.held_minor for window in backed)
    return {
        "used_ms": found.used_ms,
        "held_minor": held_minor,
        "charged_minor": order.charged_minor,
        "released_minor": None if order.charged_minor is None else held_minor - order.charged_minor,
        "settled": found.settled,
        "goes_on": order.goes_on,
        "can_go_on": order.payment_method_id is not None,
        "windows": [
            {
                "number": window.number,
                "seconds": window.length_ms // 1000,
                "held_minor": window.held_minor,
                "charged_minor": window.charged_minor,
                "state": window.state,
                "failure": window.failure,
            }
            for window in all_windows
        ],
    }


async def receipt_view(tx: Transaction, order: Order) -> Json:
    """Money as objects, since a receipt is read away from its context."""
    room = None if order.room_id is None else await rooms.by_id(tx, order.room_id)
    found = await passes.pass_of_order(tx, order) if order.granted else None
    given_back = await refunds.refunds_of(tx, order.id)
    paid_minor = order.paid_minor or 0
    price = Money(paid_minor, order.currency)
    billed = await invoicerefunds.paid_ones(tx, order) if order.funding == "subscription" else []
    all_minor = sum(one.amount_minor for one in billed) if billed else paid_minor
    left_minor = max(0, all_minor - order.refunded_minor - order.lost_minor)
    return {
        "order_id": order.id,
        "state": state_view(order),
        "room": {
            "slug": room.slug if room else None,
            "title": order.title,
            "description": order.description,
            "host_name": room.host_name if room else "",
        },
        "name": order.name,
        "price": price.to_json(),
        "seconds": order.seconds,
        "tariff": order.tariff,
        "computation": _computation(order),
        "terms_url": order.terms_url,
        "terms_accepted_at": order.terms_accepted_at,
        "paid_at": order.paid_at,
        "payment_reference": order.payment_intent_id,
        "mode": order.mode,
        "waits": order.waits,
        "pass": pass_view(found) if found else None,
        "stays": await _stays(tx, found.id) if found else [],
        "refunds": [refund_view(one) for one in given_back],
        "invoices": [invoice_view(one) for one in billed],
        "use": await use_view(tx, order, found),
        "purpose": order.purpose,
        "funding": order.funding,
        "list": None if order.list_minor is None else Money(order.list_minor, order.currency).to_json(),
        "discount": Money(order.discount_minor, order.currency).to_json(),
        "fee_on_top": Money(order.fee_on_top_minor, order.currency).to_json(),
        "tax": Money(order.tax_minor, order.currency).to_json(),
        "lost": Money(order.lost_minor, order.currency).to_json(),
        "total": Money(left_minor if order.granted else 0, order.currency).to_json(),
    }


def _computation(order: Order) -> Json:
    parts: Json = {"seconds": order.seconds, "amount_minor": order.amount_minor}
    rate_minor_per_min = order.tariff.get("rate_minor_per_min")
    return parts if rate_minor_per_min is None else {"rate_minor_per_min": rate_minor_per_min} | parts


async def _stays(tx: Transaction, pass_id: str) -> list[Json]:
    """Each session with its counted time; what lies between its counted times is a pause."""
    stays = select(sessions).where(sessions.c.pass_id == pass_id).order_by(sessions.c.started_at)
    counted = select(segments).where(segments.c.pass_id == pass_id)
    used_ms: dict[str, int] = {}
    for row in (await tx.execute(counted)).mappings():
        used_ms[row["session_id"]] = used_ms.get(row["session_id"], 0) + (row["used_ms"] or 0)
    return [
        {
            "started_at": row["started_at"],
            "ended_at": row["ended_at"],
            "used_ms": used_ms.get(row["id"], 0),
            "pauses_ms": _pauses_ms(row["started_at"], row["ended_at"], used_ms.get(row["id"], 0)),
            "end_code": row["end_code"],
        }
        for row in (await tx.execute(stays)).mappings()
    ]


def _pauses_ms(started_at: str, ended_at: str | None, used_ms: int) -> int:
    if ended_at is None:
        return 0
    length = datetime.fromisoformat(ended_at) - datetime.fromisoformat(started_at)
    return max(0, round(length.total_seconds() * 1000) - used_ms)
