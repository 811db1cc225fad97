"""What was bought or opened without an account becomes that of who is signed in and holds its secret."""

from collections.abc import Awaitable, Callable
from typing import Annotated

from aiohttp import web
from pydantic import BaseModel, ConfigDict, StringConstraints

from signaling.errors import ApiError
from signaling.hosting import Caller
from signaling.http import answer, bearer, parse_body
from signaling.notices import Notices, RoomChanged
from signaling.people.sessions import Sessions
from signaling.ratelimit import RateLimiter, Rule, require
from signaling.stores import orders, people, rooms
from signaling.stores.database import Database, Transaction

# For each person, of orders and rooms together: more than anybody has of them lying about.
CLAIM_RULE = Rule(burst=20, refill_s=10.0)


class OneOrder(BaseModel):
    """The body of `POST /api/me/orders`."""

    model_config = ConfigDict(strict=True)

    order_id: Annotated[str, StringConstraints(min_length=1, max_length=64)]


class OneRoom(BaseModel):
    """The body of `POST /api/me/rooms`."""

    model_config = ConfigDict(strict=True)

    room_id: Annotated[str, StringConstraints(min_length=1, max_length=64)]


class Claiming:
    """Whose something is, is changed once: from nobody's to somebody's. A repeat by the same person changes nothing."""

    def __init__(self, db: Database, sessions: Sessions, notices: Notices, limiter: RateLimiter) -> None:
        self._db = db
        self._sessions = sessions
        self._notices = notices
        self._limiter = limiter

    def routes(self) -> list[web.RouteDef]:
        return [web.post("/api/me/orders", self.order), web.post("/api/me/rooms", self.room)]

    async def order(self, request: web.Request) -> web.Response:
        user_id, secret = await self._who(request), bearer(request)
        if secret is None:
            raise ApiError(401, "secret_required", "send the order's secret as Authorization: Bearer")
        body = await parse_body(request, OneOrder)

        async def work(tx: Transaction) -> None:
            found = await orders.get_opened(tx, body.order_id, secret)
            if found is None:
                raise ApiError(404, "unknown_order", "there is no such order, or this is not its secret")
            if not found.granted:
                raise ApiError(409, "not_paid", "only what was paid for can be kept")
            if not await orders.claim_order(tx, found.id, user_id) and found.user_id != user_id:
                raise ApiError(409, "belongs_to_other", "this order is in another account")

        await self._write(user_id, work)
        return answer({"order_id": body.order_id, "owned": True})

    async def room(self, request: web.Request) -> web.Response:
        user_id, by_key = await self._who(request), Caller(bearer(request), None)
        body = await parse_body(request, OneRoom)

        async def work(tx: Transaction) -> None:
            found = await by_key.room(tx, body.room_id)
            if await rooms.claim_room(tx, found.id, user_id):
                await people.becomes_host(tx, user_id)
                await orders.give_payee(tx, found.id, user_id)
            elif found.owner_id != user_id:
                raise ApiError(409, "belongs_to_other", "this room is in another account")

        await self._write(user_id, work)
        self._notices.publish(RoomChanged(body.room_id))  # what its new owner's rates say holds in it
        return answer({"room_id": body.room_id, "owned": True})

    async def _who(self, request: web.Request) -> str:
        """Whose it is to become."""
        user = await self._sessions.find(request)
        if user is None:
            raise ApiError(401, "sign_in_required", "sign in first")
        await require(self._limiter, f"claim:{user.id}", CLAIM_RULE)
        return user.id

    async def _write(self, user_id: str, work: Callable[[Transaction], Awaitable[None]]) -> None:
        async def as_somebody(tx: Transaction) -> None:
            user = await people.by_id(tx, user_id)
            if user is None or user.is_erased:  # since this request began
                raise ApiError(401, "sign_in_required", "sign in first")
            await work(tx)

        await self._db.write(as_somebody)
