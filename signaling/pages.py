"""The pages: templates filled with what a first paint and a link preview need; everything else comes by the API."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import aiohttp_jinja2
import jinja2
import structlog
from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from metering.money import Money
from signaling.errors import ApiError
from signaling.http import MACHINE_PATHS, SIGNED_IN_COOKIE, PageKind, page_kind
from signaling.rooms.cards import Cards

log = structlog.get_logger()

WEB = Path(__file__).parent.parent / "web"
STATIC_FOLDERS = ("css", "js", "icons")
OK = 200
NOT_FOUND = 404
REFUSED = 400  # and above
CONDITIONS = ("If-None-Match", "If-Modified-Since", "If-Match", "If-Unmodified-Since", "Range")


# The mode of the room or order that a page's address names, None for an unknown one.
ModeOf = Callable[[Literal["room", "order"], str], Awaitable[str | None]]


@dataclass(frozen=True, slots=True)
class PageFacts:
    """The same for every page."""

    mode: str
    public_url: str
    payment_provider: str
    publishable_key: str
    room_creation: str = "open"  # or "invitation"
    sign_in: bool = False
    test_publishable_key: str | None = None  # of the second set of keys, which is of test mode
    mailbox: bool = False  # mail is shown at /sandbox/mail instead of being sent

    def context(self, mode: str | None = None) -> dict[str, Any]:
        """`mode`: of what the page shows; None, or one without keys: the server's main one."""
        beside = self.test_publishable_key if mode == "test" else None
        return {
            "mode": self.mode if beside is None else "test",
            "beside": beside is not None,
            "has_beside": self.test_publishable_key is not None,
            "sandbox": self.mode == "sandbox",
            "public_url": self.public_url,
            "payment_provider": self.payment_provider,
            "publishable_key": self.publishable_key if beside is None else beside,
            "room_creation": self.room_creation,
            "sign_in": self.sign_in,
            "mailbox": self.mailbox,
        }


def _hints(request: web.Request) -> dict[str, Any]:
    """Whether somebody may be signed in, so that the header need not change after the first paint; proves nothing."""
    return {"signed_in": request.cookies.get(SIGNED_IN_COOKIE) == "1"}


def price_text(card: dict[str, Any]) -> str:
    """The price for previews, without a locale: `5.00 EUR · 30 minutes`, `1.00 EUR per minute`."""
    tariff = card["tariff"]
    if card.get("state") == "unpriced":
        return "no price now"
    if "rate_minor_per_min" in tariff:
        rate = f"{_money(tariff['rate_minor_per_min'], tariff['currency'])} per minute"
        return f"{rate}, paid for what you use" if tariff["kind"] == "metered" else rate
    if tariff["kind"] == "subscription":
        return f"{_money(tariff['price_minor'], tariff['currency'])} each {tariff['interval']}"
    seconds = tariff["seconds"]
    length = "no time limit" if seconds is None else f"{seconds // 60} minutes"
    price = "free" if tariff["kind"] == "free" else _money(tariff["price_minor"], tariff["currency"])
    return f"{price} · {length}"


def _money(amount_minor: int, currency: str) -> str:
    return f"{Money(amount_minor, currency).decimal()} {currency.upper()}"


class Pages:
    """Handlers of the pages of API.md."""

    def __init__(self, cards: Cards, facts: PageFacts, mode_of: ModeOf | None = None) -> None:
        self._cards = cards
        self._facts = facts
        self._mode_of = mode_of

    def install(self, app: web.Application) -> None:
        aiohttp_jinja2.setup(app, loader=jinja2.FileSystemLoader(WEB), autoescape=True)
        app.router.add_routes(
            [
                web.get("/", self.landing),
                web.get("/r/{slug}", self.card),
                web.get("/r/{slug}/call", self.call),
                web.get("/host/{room_id}", self.studio),
                web.get("/orders/{id}", self.receipt),
                web.get("/oembed", self.oembed),
                web.get("/signin", self.signin),
                web.get("/me", self.me),
                web.get("/me/earnings", self.earnings),
                web.get("/me/rooms", self.me),
                web.get("/admin", self.admin),
                web.get("/offline", self.offline),
                web.get("/restarting", self.restarting),
                web.get("/worker.js", self.worker),
            ]
        )
        for folder in STATIC_FOLDERS:
            if (WEB / folder).is_dir():
                app.router.add_static(f"/static/{folder}/", WEB / folder)
        app.on_response_prepare.append(_static_is_revalidated)

    async def landing(self, request: web.Request) -> web.Response:
        return self._render(request, "index.html", page_title="Tollroom")

    async def card(self, request: web.Request) -> web.Response:
        card = await self._cards.card(request.match_info["slug"])
        page_kind(request, PageKind.CHECKOUT)
        return self._render(request, "card.html", **self._card_context(card))

    async def call(self, request: web.Request) -> web.Response:
        card = await self._cards.card(request.match_info["slug"])
        page_kind(request, PageKind.CHECKOUT)
        return self._render(request, "call.html", **self._card_context(card))

    async def studio(self, request: web.Request) -> web.Response:
        return self._render(
            request,
            "studio.html",
            page_title="Studio",
            room_id=request.match_info["room_id"],
            shown_mode=await self._shown_mode("room", request.match_info["room_id"]),
        )

    async def receipt(self, request: web.Request) -> web.Response:
        order_id = request.match_info["id"]
        shown_mode = await self._shown_mode("order", order_id)
        return self._render(
            request, "receipt.html", page_title="Receipt", order_id=order_id, shown_mode=shown_mode
        )

    async def _shown_mode(self, what: Literal["room", "order"], row_id: str) -> str | None:
        """Where a server has one set of keys there is nothing to ask."""
        if self._mode_of is None or self._facts.test_publishable_key is None:
            return None
        return await self._mode_of(what, row_id)

    async def signin(self, request: web.Request) -> web.Response:
        return self._render(request, "signin.html", page_title="Sign in")

    async def me(self, request: web.Request) -> web.Response:
        """Which sections it shows is the script's business, by the path."""
        page_kind(request, PageKind.CHECKOUT)  # credits are bought here
        return self._render(
            request,
            "me.html",
            page_title="Your page",
            path=request.path,
            shown_mode=request.query.get("mode"),
        )

    async def admin(self, request: web.Request) -> web.Response:
        return self._render(
            request, "admin.html", page_title="Operator", shown_mode=request.query.get("mode")
        )

    async def earnings(self, request: web.Request) -> web.Response:
        return self._render(
            request, "earnings.html", page_title="Your earnings", shown_mode=request.query.get("mode")
        )

    async def offline(self, request: web.Request) -> web.Response:
        """What the service worker keeps, and shows when the server cannot be reached."""
        return self._render(request, "error.html", status=0, code="offline", page_title="No connection")

    async def restarting(self, request: web.Request) -> web.Response:
        """Likewise, when a proxy answers for a server that is starting again."""
        return self._render(request, "error.html", status=503, code="restarting", page_title="Restarting")

    async def worker(self, _request: web.Request) -> web.FileResponse:
        """The service worker: from the root, because it may serve only what lies below its own address."""
        return web.FileResponse(WEB / "js" / "worker.js", headers={"Cache-Control": "no-cache"})

    async def oembed(self, request: web.Request) -> web.Response:
        """OEmbed (oembed.com): a link preview for `?url=` of a share link. 404 for any other address."""
        prefix = f"{self._facts.public_url}/r/"
        url = request.query.get("url", "")
        if not url.startswith(prefix) or request.query.get("format", "json") != "json":
            raise ApiError(404, "not_found", "only share links of this server, as JSON")
        card = await self._cards.card(url.removeprefix(prefix).split("?")[0].strip("/"))
        preview = {
            "version": "1.0",
            "type": "link",
            "title": card["title"],
            "author_name": card["host_name"],
            "provider_name": "Tollroom",
            "provider_url": self._facts.public_url,
            "description": f"{price_text(card)} · {card['description']}"[:300],
        }
        return web.json_response(preview)

    def _card_context(self, card: dict[str, Any]) -> dict[str, Any]:
        return {
            "card": card,
            "shown_mode": card["mode"],
            "page_title": card["title"],
            "price_text": price_text(card),
            "oembed_url": f"{self._facts.public_url}/oembed?format=json&url={card['share_url']}",
        }

    def _render(
        self, request: web.Request, template: str, http_status: int = 200, **context: Any
    ) -> web.Response:
        response = aiohttp_jinja2.render_template(
            template,
            request,
            self._facts.context(context.pop("shown_mode", None)) | _hints(request) | context,
            status=http_status,
        )
        response.headers["Cache-Control"] = "no-store"
        return response

    @property
    def middleware(self) -> Middleware:
        """Shows errors of pages as a page; calls by machines are left to the JSON manners."""

        @web.middleware
        async def show_errors(request: web.Request, handler: Handler) -> web.StreamResponse:
            if request.path.startswith("/static/"):
                return _compressed(request, await handler(request))
            if request.path.startswith((*MACHINE_PATHS, "/sandbox/", "/oembed")):
                return await handler(request)
            try:
                return await handler(request)
            except ApiError as error:
                return self._error(request, error.status, error.code)
            except web.HTTPException as error:
                if error.status < REFUSED:
                    raise
                return self._error(
                    request, error.status, "not_found" if error.status == NOT_FOUND else "bad_request"
                )
            except Exception:
                log.exception("page_failed", path=request.path)
                return self._error(request, 500, "internal")

        return show_errors

    def _error(self, request: web.Request, status: int, code: str) -> web.Response:
        context = {"page_title": "Not found" if status == NOT_FOUND else "Something went wrong"}
        try:
            return self._render(request, "error.html", status, status=status, code=code, **context)
        except (jinja2.TemplateError, web.HTTPException):
            log.exception("error_page_failed")
            return web.Response(status=status, text=f"{status} {code}")


def _compressed(request: web.Request, response: web.StreamResponse) -> web.StreamResponse:
    """Scripts and styles are a third of their size so. Only where the whole file will be sent: aiohttp would also put
    gzip's end into the empty body of a 304, which then spoils the next answer on that connection."""
    asks_for_less = any(name in request.headers for name in CONDITIONS)
    if isinstance(response, web.FileResponse) and response.status == OK and not asks_for_less:
        response.enable_compression()
    if isinstance(response, web.FileResponse):
        response.headers["Vary"] = "Accept-Encoding"
    return response


async def _static_is_revalidated(request: web.Request, response: web.StreamResponse) -> None:
    if request.path.startswith("/static/"):
        response.headers.setdefault("Cache-Control", "no-cache")
