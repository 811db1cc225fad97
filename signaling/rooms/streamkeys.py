"""The keys of encoders and players: made, asked about, taken back, and what one permits.

A join token lives for two minutes and belongs to a page. An encoder is set up once and comes back for months, so it
has a key of its own that can be taken back alone, without the host link or the order's secret changing.
"""

from dataclasses import dataclass
from typing import Literal

from signaling.clock import Clock, rfc3339
from signaling.errors import ApiError
from signaling.hosting import Caller
from signaling.ids import RandomBytes, new_secret, secret_hash
from signaling.rooms.joining import Joining
from signaling.rooms.opening import Books, Opening
from signaling.rooms.tokens import Claims
from signaling.stores import orders, passes, rooms
from signaling.stores import stream_keys as store
from signaling.stores.database import Database, Transaction

Kind = Literal["whip", "whep"]


@dataclass(frozen=True, slots=True)
class Owner:
    """Whoever proved that this is theirs: a room (`signaling.hosting`) or a paid order (by its secret)."""

    id: str
    kind: Kind


@dataclass(frozen=True, slots=True)
class Made:
    """A new key, told once; `former_hash` is of the one that it replaced."""

    key: str
    created_at: str
    former_hash: str | None


class StreamKeys:
    """At most one key for each room and each order; only hashes are stored."""

    def __init__(
        self,
        db: Database,
        clock: Clock,
        random_bytes: RandomBytes,
        *,
        opening: Opening,
        joining: Joining,
        books: Books,
    ) -> None:
        self._db = db
        self._clock = clock
        self._random_bytes = random_bytes
        self._opening = opening
        self._joining = joining
        self._books = books

    # --- whose --------------------------------------------------------------------------------------------

    async def room_owner(self, room_id: str, who: Caller) -> Owner:
        """Raises ApiError 403 `bad_host_key`."""
        return Owner((await self._opening.hosted_room(room_id, who)).id, "whip")

    async def order_owner(self, order_id: str, secret: str | None) -> Owner:
        """Raises ApiError 401 `secret_required`, 404 `unknown_order`, 402 `not_paid`."""
        async with self._db.read() as tx:
            order = await self._joining.order(tx, order_id, secret)
        if not order.granted:
            raise ApiError(402, "not_paid", "this order is not paid")
        return Owner(order.id, "whep")

    # --- keys ---------------------------------------------------------------------------------------------

    async def make(self, owner: Owner) -> Made:
        """A fresh key; the one before no longer works."""
        key = new_secret(self._random_bytes, owner.kind + "_")
        row = store.StreamKey(owner.id, secret_hash(key), rfc3339(self._clock.wall_s()))
        former_hash = await self._db.write(lambda tx: store.put(tx, row))
        return Made(key, row.created_at, former_hash)

    async def take_back(self, owner: Owner) -> str | None:
        """The hash of the key that no longer works, None when there was none."""
        return await self._db.write(lambda tx: store.take_back(tx, owner.id))

    async def created_at(self, owner: Owner) -> str | None:
        """Since when there is a key; None without one."""
        async with self._db.read() as tx:
            found = await store.of_owner(tx, owner.id)
        return None if found is None else found.created_at

    # --- what a key permits -------------------------------------------------------------------------------

    async def open(self, kind: Kind, key: str) -> Claims:
        """Whom the key lets in, and where; whether the pass opens the room now is asked at the door, as always.
        Raises ApiError 401 `bad_stream_key`, 403 `wrong_stream_key` (made for the other direction)."""
        async with self._db.read() as tx:
            found = await store.by_hash(tx, secret_hash(key))
            if found is None:
                raise ApiError(401, "bad_stream_key", "this stream key is not known here")
            claims = await self._claims(tx, found.owner_id)
        if (claims.role == "host") != (kind == "whip"):
            raise ApiError(403, "wrong_stream_key", "this stream key is made for the other direction")
        return claims

    async def _claims(self, tx: Transaction, owner_id: str) -> Claims:
        order = await orders.get_order(tx, owner_id)
        if order is None:
            room = await rooms.by_id(tx, owner_id)
            mode = self._books.mode if room is None else room.mode
            return Claims("host", owner_id, None, publish=True, mode=mode)
        pass_ = await passes.pass_of_order(tx, order)
        if pass_ is None:
            raise ApiError(402, "not_paid", "this order is not paid")
        return Claims("payer", pass_.room_id, pass_.id, publish=False, mode=pass_.mode)
