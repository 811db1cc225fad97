"""The HTTP routes of a subscriber's own subscriptions (API.md)."""

from aiohttp import web

from signaling.http import answer
from signaling.identity import require_person
from signaling.payments import subscribing
from signaling.payments.moneyroutes import MoneyRoutes
from signaling.ratelimit import Rule

RULE = Rule(burst=30, refill_s=2.0)


class SubscriptionRoutes(MoneyRoutes):
    """For who is signed in."""

    def routes(self) -> list[web.RouteDef]:
        return [
            web.get("/api/me/subscriptions", self.mine),
            web.post("/api/me/subscriptions/{id}/portal", self.portal),
            web.post("/api/me/subscriptions/{id}/refresh", self.refresh),
        ]

    async def mine(self, request: web.Request) -> web.Response:
        user_id = await self._who(request)
        return answer({"subscriptions": await subscribing.mine(self._payments.ctx, user_id)})

    async def portal(self, request: web.Request) -> web.Response:
        user_id = await self._who(request)
        return answer(
            {"url": await subscribing.portal(self._payments.ctx, user_id, request.match_info["id"])}
        )

    async def refresh(self, request: web.Request) -> web.Response:
        user_id = await self._who(request)
        await subscribing.refresh_own(self._payments.ctx, user_id, request.match_info["id"])
        return answer({"subscriptions": await subscribing.mine(self._payments.ctx, user_id)})

    async def _who(self, request: web.Request) -> str:
        await self._limit(request, "subscriptions", RULE)
        return (await require_person(request)).id
