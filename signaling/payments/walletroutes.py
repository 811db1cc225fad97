"""The HTTP routes of wallets (API.md): a person's balances, and buying credits."""

from aiohttp import web

from signaling.http import answer, bearer, parse_body
from signaling.identity import require_operator, require_person
from signaling.payments import autotopup, ownbalances, topups, views, walletviews
from signaling.payments.moneyroutes import MoneyRoutes
from signaling.ratelimit import Rule
from signaling.stores.wallets import Key

TOPUPS_RULE = Rule(burst=20, refill_s=3.0)


class WalletRoutes(MoneyRoutes):
    """Each handler finds who is signed in first."""

    def routes(self) -> list[web.RouteDef]:
        return [
            web.get("/api/me/wallets", self.wallets),
            web.get("/api/me/wallets/{currency}", self.wallet),
            web.post("/api/wallets/{currency}/topups", self.topup),
            web.put("/api/wallets/{currency}/auto", self.auto),
            web.delete("/api/me/cards/{id}", self.forget_card),
            web.post("/api/admin/wallets/{user}/{currency}/credit", self.credit),
            web.post("/api/admin/wallets/{user}/{currency}/debit", self.debit),
        ]

    async def wallets(self, request: web.Request) -> web.Response:
        person = await require_person(request)
        return answer(await walletviews.wallets_of(self._payments.ctx, person.id))

    async def wallet(self, request: web.Request) -> web.Response:
        person = await require_person(request)
        shown = await walletviews.wallet_of(
            self._payments.ctx, person.id, request.match_info["currency"], before=request.query.get("before")
        )
        return answer(shown)

    async def topup(self, request: web.Request) -> web.Response:
        person = await require_person(request)
        await self._limit(request, "topups", TOPUPS_RULE)
        body = await parse_body(request, topups.NewTopup)
        currency = request.match_info["currency"]
        made = await topups.make_topup(self._payments.ctx, person, currency, body, bearer(request))
        view = views.made_view(self._payments.settings, made.order)
        is_pending = view.get("state") == "payment_pending"
        return answer(view, 202 if is_pending else 201 if made.is_new else 200)

    async def auto(self, request: web.Request) -> web.Response:
        person = await require_person(request)
        choice = await parse_body(request, autotopup.AutoTopupChoice)
        currency = request.match_info["currency"]
        await autotopup.choose(self._payments.ctx, person.id, currency, choice)
        return answer(await walletviews.wallet_of(self._payments.ctx, person.id, currency))

    async def forget_card(self, request: web.Request) -> web.Response:
        person = await require_person(request)
        await topups.forget_card(self._payments.ctx, person.id, request.match_info["id"])
        return answer(await walletviews.wallets_of(self._payments.ctx, person.id))

    async def credit(self, request: web.Request) -> web.Response:
        return await self._moved(request, "credit")

    async def debit(self, request: web.Request) -> web.Response:
        return await self._moved(request, "debit")

    async def _moved(self, request: web.Request, direction: ownbalances.Direction) -> web.Response:
        by = await require_operator(request)
        body = await parse_body(request, ownbalances.NewTransfer)
        ctx, about = self._payments.ctx, request.match_info
        key = Key(about["user"], ctx.settings.mode, ctx.settings.account, about["currency"])
        await ownbalances.move(ctx, key, direction, body, by=by)
        return answer(await walletviews.wallet_of(ctx, key.user_id, key.currency))
