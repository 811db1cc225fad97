"""The HTTP routes of rates, settings and promotion codes (API.md, "Rates and codes")."""

from collections.abc import Mapping
from typing import Any

from aiohttp import web

from signaling.admin.codes import Codes, NewCode
from signaling.admin.ratesdesk import At, Find, NewFigures, RatesDesk, read_place
from signaling.hosting import Caller, caller
from signaling.http import Network, answer, parse_body
from signaling.identity import require_operator
from signaling.ratelimit import LimitedRoutes, RateLimiter, Rule

HOST_RULE = Rule(burst=60, refill_s=2.0)
OPERATOR_RULE = Rule(burst=120, refill_s=0.5)


class AdminRoutes(LimitedRoutes):
    """Handlers of the operator's calls; every decision is made in `RatesDesk` and `Codes`. `settings`: what of the
    server's own settings concerns money, without any secret."""

    def __init__(
        self,
        desk: RatesDesk,
        codes: Codes,
        *,
        settings: Mapping[str, Any],
        limiter: RateLimiter,
        trusted: tuple[Network, ...],
    ) -> None:
        super().__init__(limiter, trusted)
        self._desk = desk
        self._codes = codes
        self._settings = dict(settings)

    def routes(self) -> list[web.RouteDef]:
        place = "/api/admin/rates/{scope}/{subject}"
        room = "/api/host/rooms/{id}"
        return [
            web.get("/api/admin/settings", self.settings),
            web.post("/api/admin/find", self.find),
            web.get("/api/admin/rates", self.places),
            *(
                route
                for path in ("/api/admin/rates/default", place)
                for route in (
                    web.get(path, self.place),
                    web.put(path, self.put),
                    web.delete(path, self.clear),
                )
            ),
            web.get("/api/admin/promotions", self.promotions),
            web.post("/api/admin/promotions", self.make_code),
            web.delete("/api/admin/promotions/{code_id}", self.end_code),
            web.get(f"{room}/rates", self.host_rates),
            web.put(f"{room}/rates", self.put_host_rates),
            web.get(f"{room}/promotions", self.host_promotions),
            web.post(f"{room}/promotions", self.make_host_code),
            web.delete(f"{room}/promotions/{{code_id}}", self.end_host_code),
        ]

    # --- the operator's -----------------------------------------------------------------------------------

    async def settings(self, request: web.Request) -> web.Response:
        await self._operator(request)
        return answer(self._settings)

    async def find(self, request: web.Request) -> web.Response:
        await self._operator(request)
        return answer(await self._desk.find((await parse_body(request, Find)).text))

    async def places(self, request: web.Request) -> web.Response:
        await self._operator(request)
        return answer(await self._desk.places())

    async def place(self, request: web.Request) -> web.Response:
        await self._operator(request)
        return answer(await self._desk.place(_at(request)))

    async def put(self, request: web.Request) -> web.Response:
        who = await self._operator(request)
        return answer(await self._desk.put(_at(request), await parse_body(request, NewFigures), who))

    async def clear(self, request: web.Request) -> web.Response:
        who = await self._operator(request)
        await self._desk.clear(_at(request), who)
        return answer({"cleared": True})

    async def promotions(self, request: web.Request) -> web.Response:
        await self._operator(request)
        return answer(await self._codes.listed())

    async def make_code(self, request: web.Request) -> web.Response:
        who = await self._operator(request)
        return answer(await self._codes.make(await parse_body(request, NewCode), who), 201)

    async def end_code(self, request: web.Request) -> web.Response:
        who = await self._operator(request)
        await self._codes.end(request.match_info["code_id"], who)
        return answer({"ended": True})

    # --- the host's ---------------------------------------------------------------------------------------

    async def host_rates(self, request: web.Request) -> web.Response:
        room_id, who = await self._host(request)
        return answer(await self._desk.of_host(room_id, who))

    async def put_host_rates(self, request: web.Request) -> web.Response:
        room_id, who = await self._host(request)
        return answer(await self._desk.put_by_host(room_id, who, await parse_body(request, NewFigures)))

    async def host_promotions(self, request: web.Request) -> web.Response:
        room_id, who = await self._host(request)
        return answer(await self._codes.listed_for(room_id, who))

    async def make_host_code(self, request: web.Request) -> web.Response:
        room_id, who = await self._host(request)
        return answer(await self._codes.make_for(room_id, who, await parse_body(request, NewCode)), 201)

    async def end_host_code(self, request: web.Request) -> web.Response:
        room_id, who = await self._host(request)
        await self._codes.end_for(room_id, who, request.match_info["code_id"])
        return answer({"ended": True})

    # --- who ----------------------------------------------------------------------------------------------

    async def _operator(self, request: web.Request) -> str:
        """Guessing tokens is slowed down by address."""
        await self._limit(request, "operator", OPERATOR_RULE)
        return await require_operator(request)

    async def _host(self, request: web.Request) -> tuple[str, Caller]:
        await self._limit(request, "host-rates", HOST_RULE)
        return request.match_info["id"], await caller(request)


def _at(request: web.Request) -> At:
    """Raises ApiError 404 `unknown_place`."""
    return read_place(request.match_info.get("scope", "default"), request.match_info.get("subject", ""))
