"""The HTTP routes of orders and of the webhook (API.md)."""

from aiohttp import web
from pydantic import BaseModel, ConfigDict

from signaling.http import Network, answer, bearer, parse_body, read_body
from signaling.identity import person
from signaling.payments import views
from signaling.payments.checkout import NewOrder, NewQuote
from signaling.payments.moneyroutes import MoneyRoutes
from signaling.payments.service import Payments
from signaling.payments.webhook import BODY_BYTES_MAX
from signaling.ratelimit import RateLimiter, Rule
from signaling.stores.orders import Order

# A room fills quickly when its host goes live, and people share addresses; a script is slowed down all the same.
ORDERS_RULE = Rule(burst=60, refill_s=1.0)
LOOKUPS_RULE = Rule(burst=120, refill_s=0.25)
REFRESH_RULE = Rule(burst=5, refill_s=1.0)


class Wait(BaseModel):
    """The body of `POST /api/orders/{id}/wait`."""

    model_config = ConfigDict(strict=True)

    wait: bool


class GoesOn(BaseModel):
    """The body of `POST /api/orders/{id}/goes_on`."""

    model_config = ConfigDict(strict=True)

    goes_on: bool


class PaymentRoutes(MoneyRoutes):
    """Handlers; each finds the caller's own order first, by its secret or as the person who was signed in for it."""

    def routes(self) -> list[web.RouteDef]:
        order = "/api/orders/{id}"
        return [
            web.post("/api/rooms/{slug}/orders", self.make),
            web.post("/api/rooms/{slug}/quote", self.quote),
            web.get(order, self.show),
            web.post(f"{order}/refresh", self.refresh),
            web.post(f"{order}/cancel", self.cancel),
            web.post(f"{order}/wait", self.wait),
            web.post(f"{order}/goes_on", self.goes_on),
            web.post(f"{order}/link", self.link),
            web.get(f"{order}/receipt", self.receipt),
            web.post("/stripe/webhook", self.webhook),
        ]

    async def make(self, request: web.Request) -> web.Response:
        await self._limit(request, "orders", ORDERS_RULE)
        body = await parse_body(request, NewOrder)
        payer = await person(request)
        made = await self._payments.make_order(
            request.match_info["slug"], body, bearer(request), payer.id if payer else None
        )
        view = views.made_view(self._payments.settings, made.order)
        is_pending = view.get("state") == "payment_pending"
        return answer(view, 202 if is_pending else 201 if made.is_new else 200)

    async def quote(self, request: web.Request) -> web.Response:
        """Trying codes is slowed down like ordering."""
        await self._limit(request, "quotes", ORDERS_RULE)
        body, who = await parse_body(request, NewQuote), await person(request)
        slug = request.match_info["slug"]
        return answer(await self._payments.quote(slug, body, None if who is None else who.id))

    async def show(self, request: web.Request) -> web.Response:
        return await self._shown(await self._own(request))

    async def refresh(self, request: web.Request) -> web.Response:
        order = await self._own(request)
        if await self._limiter.take(f"refresh:{order.id}", REFRESH_RULE) == 0:
            await self._payments.refresh(order)
        return await self._shown(order)

    async def cancel(self, request: web.Request) -> web.Response:
        order = await self._own(request)
        await self._payments.cancel(order)
        return await self._shown(order)

    async def wait(self, request: web.Request) -> web.Response:
        order = await self._own(request)
        body = await parse_body(request, Wait)
        await self._payments.set_waits(order, waits=body.wait)
        return await self._shown(order)

    async def goes_on(self, request: web.Request) -> web.Response:
        order = await self._own(request)
        body = await parse_body(request, GoesOn)
        await self._payments.set_goes_on(order, goes_on=body.goes_on)
        return await self._shown(order)

    async def link(self, request: web.Request) -> web.Response:
        return answer({"url": await self._payments.new_link(await self._own(request))})

    async def receipt(self, request: web.Request) -> web.Response:
        return answer(await self._payments.receipt(await self._own(request)))

    async def webhook(self, request: web.Request) -> web.Response:
        body = await read_body(request, BODY_BYTES_MAX)
        await self._payments.take_webhook(body, request.headers.get("Stripe-Signature"))
        return answer({"received": True})

    async def _own(self, request: web.Request) -> Order:
        """Guessing is slowed down by address."""
        await self._limit(request, "lookups", LOOKUPS_RULE)
        order_id, secret = request.match_info["id"], bearer(request)
        payer = None if secret is not None else await person(request)
        if payer is not None:
            return await self._payments.find_order_of(payer.id, order_id)
        return await self._payments.find_order(order_id, secret)

    async def _shown(self, order: Order) -> web.Response:
        return answer(await self._payments.show(order.id))


def routes(payments: Payments, limiter: RateLimiter, trusted: tuple[Network, ...] = ()) -> list[web.RouteDef]:
    return PaymentRoutes(payments, limiter, trusted).routes()
