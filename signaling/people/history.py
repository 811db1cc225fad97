"""What a person bought, and the rooms they opened: pages of rows, the newest first (API.md, "People")."""

from typing import Any

from aiohttp import web

from signaling.errors import ApiError
from signaling.http import answer
from signaling.people.sessions import Sessions
from signaling.stores import orders, passes, rooms
from signaling.stores.database import Database, Transaction
from signaling.stores.orders import Order
from signaling.stores.people import User
from signaling.stores.rooms import Room
from signaling.stores.shelf import EVERYTHING, Shelf

Json = dict[str, Any]
PAGE = 20
OPENING = ("waiting", "active")


class History:
    """Of one set of books: what was bought with other keys is not shown among what was bought with these."""

    def __init__(
        self,
        db: Database,
        sessions: Sessions,
        mode: str,
        account: str,
        origin: str,
        *,
        shelf: Shelf = EVERYTHING,
    ) -> None:
        self._db = db
        self._sessions = sessions
        self._mode = mode
        self._account = account
        self._origin = origin
        self._shelf = shelf

    def routes(self) -> list[web.RouteDef]:
        return [web.get("/api/me/orders", self.orders), web.get("/api/me/rooms", self.rooms)]

    async def orders(self, request: web.Request) -> web.Response:
        user, before = await self._user(request), request.query.get("before")
        async with self._db.read() as tx:
            found = await orders.purchases_of(
                tx, user.id, self._mode, self._account, before=before, limit=PAGE + 1
            )
            shown = [await _purchase(tx, order) for order in found[:PAGE]]
        return answer({"orders": shown, "next": found[PAGE - 1].id if len(found) > PAGE else None})

    async def rooms(self, request: web.Request) -> web.Response:
        user, before = await self._user(request), request.query.get("before")
        async with self._db.read() as tx:
            found = await rooms.rooms_of_owner(tx, user.id, before=before, limit=PAGE + 1, shelf=self._shelf)
            shown = [await self._room(tx, room, opened_at) for room, opened_at in found[:PAGE]]
        return answer({"rooms": shown, "next": found[PAGE - 1][0].id if len(found) > PAGE else None})

    async def _room(self, tx: Transaction, room: Room, opened_at: str) -> Json:
        earned = await rooms.earnings(tx, room.id)
        return {
            "id": room.id,
            "slug": room.slug,
            "title": room.title,
            "mode": room.mode,
            "state": room.state,
            "live": room.live,
            "created_at": opened_at,
            "share_url": f"{self._origin}/r/{room.slug}",
            "earnings": {
                "gross": {"amount_minor": earned.gross_minor, "currency": room.currency},
                "refunded": {"amount_minor": earned.refunded_minor, "currency": room.currency},
                "net": {"amount_minor": earned.net_minor, "currency": room.currency},
                "payers": earned.payers,
            },
        }

    async def _user(self, request: web.Request) -> User:
        user = await self._sessions.find(request)
        if user is None:
            raise ApiError(401, "sign_in_required", "sign in first")
        return user


async def _purchase(tx: Transaction, order: Order) -> Json:
    room = None if order.room_id is None else await rooms.by_id(tx, order.room_id)
    granted = await passes.pass_of_order(tx, order)
    return {
        "order_id": order.id,
        "room": None if room is None else {"slug": room.slug, "title": order.title},
        "purpose": order.purpose,
        "extends": order.extends_pass_id is not None,
        "funding": order.funding,
        "state": order.state.value,
        "pass_state": None if granted is None else granted.state,
        "opens": granted is not None
        and granted.state in OPENING
        and room is not None
        and room.state == "open",
        "used_ms": None if granted is None else granted.used_ms,
        "amount_minor": order.amount_minor,
        "paid_minor": order.paid_minor,
        "refunded_minor": order.refunded_minor,
        "lost_minor": order.lost_minor,
        "currency": order.currency,
        "paid_at": order.paid_at,
    }
