"""The HTTP routes of a host's money: earnings, payouts, and the way through the payment service's forms (API.md)."""

from typing import Annotated

from aiohttp import web
from pydantic import BaseModel, ConfigDict, StringConstraints

from signaling.errors import ApiError
from signaling.http import answer, parse_body
from signaling.identity import require_person
from signaling.payments import connect, hostviews
from signaling.payments.moneyroutes import MoneyRoutes
from signaling.payments.port import OutcomeUnknownError
from signaling.ratelimit import Rule, require

CURSOR_CHARS_MAX = 120
# Each costs a call to the payment service.
FORMS_RULE = Rule(burst=10, refill_s=30.0)


class Begin(BaseModel):
    """The body of `POST /api/me/onboarding`. `country`: needed the first time."""

    model_config = ConfigDict(strict=True)

    country: Annotated[str, StringConstraints(pattern=r"^[A-Za-z]{2}$")] | None = None


class HostRoutes(MoneyRoutes):
    """Everything here is about who is signed in."""

    def routes(self) -> list[web.RouteDef]:
        return [
            web.get("/api/me/earnings", self.show),
            web.get("/api/me/earnings.csv", self.export),
            web.get("/api/me/payouts", self.payouts),
            web.post("/api/me/onboarding", self.onboard),
            web.post("/api/me/onboarding/refresh", self.refresh),
        ]

    async def show(self, request: web.Request) -> web.Response:
        person = await require_person(request)
        return answer(await hostviews.earnings_view(self._payments.ctx, person.id, _cursor(request)))

    async def payouts(self, request: web.Request) -> web.Response:
        person = await require_person(request)
        return answer(await hostviews.payouts_view(self._payments.ctx, person.id, _cursor(request)))

    async def export(self, request: web.Request) -> web.StreamResponse:
        person = await require_person(request)
        response = web.StreamResponse(
            headers={
                "Content-Type": "text/csv; charset=utf-8; header=present",
                "Content-Disposition": 'attachment; filename="earnings.csv"',
                "Cache-Control": "no-store",
            }
        )
        await response.prepare(request)
        async for line in hostviews.csv_of(self._payments.ctx, person.id):
            await response.write(line.encode())
        await response.write_eof()
        return response

    async def onboard(self, request: web.Request) -> web.Response:
        person = await require_person(request)
        await require(self._limiter, f"onboarding:{person.id}", FORMS_RULE)
        body = await parse_body(request, Begin)
        host = connect.Host(person.id, person.email, person.name)
        return answer({"url": await connect.onboard(self._payments.ctx, host, body.country or "")})

    async def refresh(self, request: web.Request) -> web.Response:
        """Asks the payment service now, since a host who comes back from its forms wants to see what they came to."""
        person = await require_person(request)
        await require(self._limiter, f"onboarding:{person.id}", FORMS_RULE)
        ctx = self._payments.ctx
        try:
            row = await connect.refresh(ctx, person.id) if ctx.settings.connect else None
        except OutcomeUnknownError:
            row = await connect.own_row(ctx, person.id)
        self._payments.wake()
        return answer(hostviews.onboarding_view(ctx, row))


def _cursor(request: web.Request) -> str | None:
    before = request.query.get("before")
    if before is not None and len(before) > CURSOR_CHARS_MAX:
        raise ApiError(422, "invalid", "no such page", field="before")
    return before
