"""Forgetting who somebody was: names and addresses go, money and time stay."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import and_, delete, exists, func, or_, select, update

from signaling.stores.database import Transaction
from signaling.stores.orders import pass_behind
from signaling.stores.rooms import close_room
from signaling.stores.schema import (
    balances,
    cards,
    inbox,
    orders,
    outbox,
    passes,
    rooms,
    stripe_calls,
    subscriptions,
)

ERASED = "Erased"
ALIVE = ("waiting", "active")
LAPSED = ("canceled", "incomplete_expired")
CHUNK = 200


async def orders_of_person(tx: Transaction, user_id: str | None, email: str) -> list[str]:
    """What somebody ordered: signed in, or with that address."""
    mine = func.lower(orders.c.email) == email.lower()
    if user_id is not None:
        mine = or_(mine, orders.c.user_id == user_id)
    return list((await tx.execute(select(orders.c.id).where(mine))).scalars())


async def old_orders(tx: Transaction, before_s: int, limit: int = CHUNK) -> list[str]:
    """Orders of before that second that still name somebody, and whose pass lets nobody in any more."""
    pass_id = pass_behind()
    alive = exists().where(passes.c.id == pass_id, passes.c.state.in_(ALIVE))
    named = or_(orders.c.name != ERASED, orders.c.email.is_not(None))
    query = select(orders.c.id).where(orders.c.created_at_s < before_s, named, ~alive)
    return list((await tx.execute(query.order_by(orders.c.created_at_s).limit(limit))).scalars())


async def erase_orders(tx: Transaction, order_ids: Sequence[str]) -> None:
    """The payer's name and address in these orders, their passes, and what was said about them to and by Stripe."""
    for at in range(0, len(order_ids), CHUNK):
        ids = order_ids[at : at + CHUNK]
        await tx.execute(
            update(orders).where(orders.c.id.in_(ids)).values(name=ERASED, email=None, link_hash=None)
        )
        await tx.execute(update(passes).where(passes.c.order_id.in_(ids)).values(name=ERASED))
        of_stripe = select(orders.c.checkout_session_id, orders.c.payment_intent_id).where(
            orders.c.id.in_(ids)
        )
        objects = [name for row in await tx.execute(of_stripe) for name in row if name is not None]
        seen = and_(inbox.c.object_id.in_(objects), inbox.c.state != "received")
        await tx.execute(update(inbox).where(seen).values(payload={}))
        await _erase_calls(tx, ids)


async def _erase_calls(tx: Transaction, order_ids: Sequence[str]) -> None:
    """Only of calls that are over: one that may be made again must be the same."""
    over = and_(stripe_calls.c.subject_id.in_(order_ids), stripe_calls.c.state.in_(("done", "refused")))
    query = select(stripe_calls.c.idempotency_key, stripe_calls.c.params).where(over)
    for key, params in (await tx.execute(query)).all():
        if "customer_email" in params:
            kept = {name: value for name, value in params.items() if name != "customer_email"}
            await tx.execute(
                update(stripe_calls).where(stripe_calls.c.idempotency_key == key).values(params=kept)
            )


async def erase_old_events(tx: Transaction, before: str) -> int:
    """What Stripe's events of before that time said; how many."""
    old = and_(inbox.c.received_at < before, inbox.c.state.in_(("applied", "ignored")))
    ids = (
        (
            await tx.execute(
                select(inbox.c.event_id).where(old, inbox.c.note.is_distinct_from(ERASED)).limit(CHUNK)
            )
        )
        .scalars()
        .all()
    )
    await tx.execute(update(inbox).where(inbox.c.event_id.in_(ids)).values(payload={}, note=ERASED))
    return len(ids)


async def drop_letters(tx: Transaction, letter: str, *, email: str | None, before_s: int | None) -> int:
    """Rows of the outbox that name an address: those to `email`, or those that were over before that second."""
    query = select(outbox.c.id, outbox.c.payload).where(outbox.c.kind == "mail")
    if before_s is not None:
        query = query.where(outbox.c.state != "waiting", outbox.c.next_at_s < before_s)
    found: list[tuple[str, dict[str, Any]]] = [(row.id, row.payload) for row in await tx.execute(query)]
    ids = [
        row_id
        for row_id, payload in found
        if payload.get("letter") == letter and (email is None or payload.get("email") == email)
    ]
    for at in range(0, len(ids), CHUNK):
        await tx.execute(delete(outbox).where(outbox.c.id.in_(ids[at : at + CHUNK])))
    return len(ids)


async def close_rooms(tx: Transaction, user_id: str, now_s: int, now_text: str) -> list[str]:
    """A person's rooms, without their name and closed; which. What was paid and not served there goes back by itself."""
    mine = rooms.c.owner_id == user_id
    ids = list((await tx.execute(select(rooms.c.id).where(mine))).scalars())
    await tx.execute(update(rooms).where(mine).values(host_name=ERASED))
    for room_id in ids:
        await close_room(tx, room_id, now_s, now_text)
    return ids


async def forget_cards(tx: Transaction, user_id: str) -> None:
    await tx.execute(delete(cards).where(cards.c.user_id == user_id))


async def what_hinders(tx: Transaction, user_id: str) -> str | None:
    """Why somebody cannot be erased yet: `room_live`, `subscribed`, `credits_left`; None: nothing."""
    has_money = or_(
        balances.c.debits_minor != balances.c.credits_minor,
        balances.c.debits_held_minor != 0,
        balances.c.credits_held_minor != 0,
    )
    live = exists().where(rooms.c.owner_id == user_id, rooms.c.live)
    subscribed = exists().where(subscriptions.c.user_id == user_id, subscriptions.c.status.not_in(LAPSED))
    credit = exists().where(balances.c.name == f"wallet:{user_id}", has_money)
    for code, found in (("room_live", live), ("subscribed", subscribed), ("credits_left", credit)):
        if (await tx.execute(select(found))).scalar():
            return code
    return None
