"""The HTTP routes of refunds that a person asks for, and of what needs a person (API.md)."""

from aiohttp import web

from signaling.hosting import caller
from signaling.http import answer, parse_body
from signaling.identity import require_operator
from signaling.payments import attention, refunds
from signaling.payments.moneyroutes import MoneyRoutes
from signaling.ratelimit import Rule
from signaling.stores.rooms import Room

HOST_RULE = Rule(burst=30, refill_s=2.0)


class RefundRoutes(MoneyRoutes):
    """A host proves itself by the room's key or as its signed-in owner, the operator by a session or ADMIN_TOKEN."""

    def routes(self) -> list[web.RouteDef]:
        return [
            web.get("/api/host/rooms/{id}/sales", self.sales),
            web.post("/api/host/rooms/{id}/refunds", self.by_host),
            web.get("/api/admin/orders/{id}", self.purchase),
            web.post("/api/admin/orders/{id}/refunds", self.by_operator),
            web.get("/api/admin/attention", self.attention),
            web.post("/api/admin/attention/outbox/{id}/retry", self.retry),
        ]

    async def sales(self, request: web.Request) -> web.Response:
        room = await self._hosted(request)
        before = request.query.get("before")
        return answer(await refunds.sales(self._payments.ctx, room.id, before))

    async def by_host(self, request: web.Request) -> web.Response:
        room = await self._hosted(request)
        body = await parse_body(request, refunds.NewHostRefund)
        asked = await refunds.ask(
            self._payments.ctx, body.order_id, body, by=f"host of {room.id}", room_id=room.id
        )
        return answer(asked, 202)

    async def purchase(self, request: web.Request) -> web.Response:
        await require_operator(request)
        return answer(await refunds.purchase(self._payments.ctx, request.match_info["id"]))

    async def by_operator(self, request: web.Request) -> web.Response:
        who = await require_operator(request)
        body = await parse_body(request, refunds.NewRefund)
        return answer(await refunds.ask(self._payments.ctx, request.match_info["id"], body, by=who), 202)

    async def attention(self, request: web.Request) -> web.Response:
        await require_operator(request)
        return answer(await attention.attention(self._payments.ctx))

    async def retry(self, request: web.Request) -> web.Response:
        who = await require_operator(request)
        await attention.retry(self._payments.ctx, request.match_info["id"], by=who)
        return answer({"retried": True})

    async def _hosted(self, request: web.Request) -> Room:
        """The caller's own room; guessing keys is slowed down by address."""
        await self._limit(request, "host-refunds", HOST_RULE)
        who = await caller(request)
        async with self._payments.ctx.db.read() as tx:
            return await who.room(tx, request.match_info["id"])
