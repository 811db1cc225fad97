"""What an operator looks up: people and rooms by the names that they are known by."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import and_, func, or_, select

from signaling.stores import rooms as room_rows
from signaling.stores.database import Transaction
from signaling.stores.rates import BooksOf
from signaling.stores.rooms import Room
from signaling.stores.schema import rooms, users

FOUND_MAX = 20


async def room_in(tx: Transaction, books: BooksOf, room_id: str) -> Room | None:
    """The room, when it is of these books."""
    room = await room_rows.by_id(tx, room_id)
    return room if room is not None and (room.mode, room.account) == (books.mode, books.account) else None


async def labels(tx: Transaction, ids: Sequence[str]) -> dict[str, str]:
    """The e-mail addresses of people and the titles of rooms, by id."""
    people = await tx.execute(select(users.c.id, users.c.email).where(users.c.id.in_(ids)))
    named = await tx.execute(select(rooms.c.id, rooms.c.title).where(rooms.c.id.in_(ids)))
    return {row.id: row[1] for row in (*people, *named)}


async def find(tx: Transaction, books: BooksOf, text: str) -> dict[str, Any]:
    """`text`: an id, an e-mail address or its beginning, a share link or its last part, or a part of a title."""
    slug = text.rstrip("/").rsplit("/", 1)[-1].lower()
    people = await tx.execute(
        select(users.c.id, users.c.email, users.c.name, users.c.role)
        .where(or_(users.c.id == text, users.c.email.startswith(text.lower(), autoescape=True)))
        .order_by(users.c.email)
        .limit(FOUND_MAX if text else 0)
    )
    ours = and_(rooms.c.mode == books.mode, rooms.c.account == books.account)
    titled = func.lower(rooms.c.title).contains(text.lower(), autoescape=True)
    named = await tx.execute(
        select(rooms.c.id, rooms.c.slug, rooms.c.title, rooms.c.host_name, rooms.c.currency)
        .where(ours, or_(rooms.c.id == text, rooms.c.slug == slug, titled))
        .order_by(rooms.c.created_at.desc(), rooms.c.id)
        .limit(FOUND_MAX if text else 0)
    )
    return {
        "people": [dict(row) for row in people.mappings()],
        "rooms": [dict(row) for row in named.mappings()],
    }
