"""Coming in: the tokens that the HTTP calls give, and what a WebSocket's first message opens.

The token proves who asks; the database decides, in one transaction, whether the pass opens the room now. Taking the
pass is a compare-and-set on its epoch, so of two connections exactly one owns it.
"""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any, cast

from metering.admission import PassFacts, Refuse, RoomFacts, admit_host, admit_payer
from metering.orders import Mode
from signaling.clock import Clock, rfc3339
from signaling.errors import ApiError
from signaling.hosting import Caller
from signaling.ids import RandomBytes, new_id
from signaling.rooms.opening import Books, Opening
from signaling.rooms.tokens import BadTokenError, Claims, Tokens, spend
from signaling.stores import meter, orders, passes
from signaling.stores import rooms as room_store
from signaling.stores.database import Database, Transaction
from signaling.stores.orders import Order, orders_of_pass
from signaling.stores.passes import Pass
from signaling.stores.rooms import Room

# What is told by HTTP, where the WebSocket has the code alone (API.md).
REFUSALS = {
    "not_paid": (402, "this order is not paid"),
    "revoked": (403, "this pass was taken back"),
    "wrong_mode": (403, "this pass was bought with other payment keys"),
    "pass_used_up": (410, "the paid time is used"),
    "room_closed": (409, "the room is closed"),
    "room_locked": (409, "the host has locked the room"),
    "room_full": (409, "the room is full"),
}


class RefusedJoinError(Exception):
    """The join is refused; `code` is an ending of PROTOCOL.md."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


@dataclass(frozen=True, slots=True)
class Entry:
    """An admitted payer: the pass as it is now, its epoch for this connection, and what was paid for it."""

    pass_: Pass
    room: Room
    session_id: str
    epoch: int
    paid: dict[str, Any] | None


@dataclass(frozen=True, slots=True)
class Ticket:
    """A join token and when it expires, in Unix seconds."""

    token: str
    expires_at_s: int


class Joining:
    """Gives tokens and admits by them."""

    def __init__(
        self,
        db: Database,
        clock: Clock,
        random_bytes: RandomBytes,
        opening: Opening,
        *,
        books: Books,
        other_books: Collection[Books] = (),
        tokens: Tokens,
        run_id: str,
    ) -> None:
        self._db = db
        self._clock = clock
        self._random_bytes = random_bytes
        self._opening = opening
        self._books = books
        self._served = {books, *other_books}
        self._tokens = tokens
        self._run_id = run_id

    # --- tokens -------------------------------------------------------------------------------------------

    async def payer_token(self, order_id: str, secret: str | None) -> Ticket:
        """Raises ApiError 401 `secret_required`, 404 `unknown_order`, 402, 403, 409, 410."""
        async with self._db.read() as tx:
            order = await self.order(tx, order_id, secret)
            pass_ = await passes.pass_of_order(tx, order) if order.granted else None
            room = await room_store.by_id(tx, order.room)
            assert room is not None
            code = await self._refusal(tx, pass_, room)
        if code is not None:
            status, message = REFUSALS[code]
            raise ApiError(status, code, message)
        assert pass_ is not None
        publish = room.privacy == "confidential" or pass_.may_publish
        claims = Claims("payer", room.id, pass_.id, publish=publish, mode=room.mode)
        return Ticket(*self._tokens.make(claims))

    async def host_token(self, room_id: str, who: Caller) -> Ticket:
        """Raises ApiError 403 `bad_host_key`, 410 `room_closed`."""
        room = await self._opening.hosted_room(room_id, who)
        if room.state != "open":
            raise ApiError(410, "room_closed", "this room is closed")
        return Ticket(
            *self._tokens.make(Claims("host", room.id, None, publish=True, mode=self._mode_of(room)))
        )

    async def order(self, tx: Transaction, order_id: str, secret: str | None) -> Order:
        """The order that this secret opens. Raises ApiError 401 `secret_required`, 404 `unknown_order`."""
        if secret is None:
            raise ApiError(401, "secret_required", "send the order's secret as Authorization: Bearer")
        order = await orders.get_opened(tx, order_id, secret)
        if order is None:
            raise ApiError(404, "unknown_order", "there is no such order")
        return order

    # --- admission ----------------------------------------------------------------------------------------

    async def open_token(self, token: str) -> Claims:
        """What the token permits; it is used up by this. Raises RefusedJoinError `bad_token`."""
        try:
            claims = self._tokens.read(token)
        except BadTokenError as error:
            raise RefusedJoinError("bad_token") from error
        now_s = int(self._clock.wall_s())
        if not await self._db.write(lambda tx: spend(tx, claims, now_s)):
            raise RefusedJoinError("bad_token")
        return claims

    async def admit_host(self, claims: Claims) -> Room:
        """Raises RefusedJoinError."""

        async def work(tx: Transaction) -> Room:
            room = await self._claimed(tx, claims.room_id)
            verdict = admit_host(claims.room_id, await self._facts(tx, room, None))
            if isinstance(verdict, Refuse):
                raise RefusedJoinError(_ending(verdict.code))
            if not self._serves(room):
                raise RefusedJoinError("wrong_mode")
            return room

        return await self._db.write(work)

    async def admit_payer(self, claims: Claims, *, was_inside: bool) -> Entry:
        """Take the pass for a new session, if it opens the room now; `was_inside` until this connection replaced an
        older one. Raises RefusedJoinError."""
        assert claims.pass_id is not None
        pass_id, session_id = claims.pass_id, new_id("ses", self._random_bytes)

        async def work(tx: Transaction) -> Entry:
            pass_ = await passes.get_pass(tx, pass_id)
            room = await self._claimed(tx, claims.room_id)
            code = await self._refusal(tx, pass_, room, was_inside=was_inside)
            if code is not None or pass_ is None:
                raise RefusedJoinError(_ending(code or "not_paid"))
            taken = await meter.enter(
                tx,
                pass_id=pass_.id,
                expected_epoch=pass_.epoch,
                room_id=room.id,
                run_id=self._run_id,
                session_id=session_id,
                now_text=rfc3339(self._clock.wall_s()),
            )
            if not taken:
                raise RefusedJoinError("replaced")
            return Entry(pass_, room, session_id, pass_.epoch + 1, await paid_for(tx, pass_.id))

        return await self._db.write(work)

    async def _claimed(self, tx: Transaction, room_id: str) -> Room:
        """The room, which from now on this run forwards. Raises RefusedJoinError `run_lost` when another run does."""
        if not await room_store.claim(tx, room_id, self._run_id):
            known = await room_store.by_id(tx, room_id)
            raise RefusedJoinError("bad_token" if known is None else "run_lost")
        room = await room_store.by_id(tx, room_id)
        assert room is not None
        return room

    async def _refusal(
        self, tx: Transaction, pass_: Pass | None, room: Room, *, was_inside: bool = False
    ) -> str | None:
        if pass_ is None:
            return "not_paid"
        facts = PassFacts(
            pass_.state,
            cast("Mode", pass_.mode),
            pass_.account,
            pass_.room_id,
            pass_.granted_ms,
            pass_.used_ms,
        )
        if not self._serves(room):
            return "wrong_mode"
        inside = was_inside or await meter.holds_seat(tx, pass_.id)
        verdict = admit_payer(facts, await self._facts(tx, room, pass_), inside=inside)
        return verdict.code if isinstance(verdict, Refuse) else None

    def _serves(self, room: Room) -> bool:
        """Whether there are keys for the books of that room."""
        return Books(room.mode, room.account) in self._served

    def _mode_of(self, room: Room) -> str:
        """For a token: a room of keys that are gone is refused when it is entered, with the reason."""
        return room.mode if self._serves(room) else self._books.mode

    async def _facts(self, tx: Transaction, room: Room, pass_: Pass | None) -> RoomFacts:
        occupied = 0 if pass_ is None else await orders.seats_taken(tx, room.id)
        return RoomFacts(
            room.id,
            cast("Mode", room.mode),
            room.account,
            room.state == "open",
            room.locked,
            room.capacity,
            occupied,
        )


async def paid_for(tx: Transaction, pass_id: str) -> dict[str, Any] | None:
    """What was paid for the pass and for the time added to it. Of use that is not settled yet, nothing is known."""
    found = await orders_of_pass(tx, pass_id)
    amounts = [order.paid_minor for order in found]
    known = [amount for amount in amounts if amount is not None]
    if not found or len(known) < len(amounts):
        return None
    return {"amount_minor": sum(known), "currency": found[0].currency}


def _ending(code: str) -> str:
    """A pass of another room can only come with a forged story."""
    return "bad_token" if code == "wrong_room" else code
