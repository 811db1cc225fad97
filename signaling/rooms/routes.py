"""HTTP routes of rooms and hosts (API.md, "Rooms")."""

import io
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import segno
from aiohttp import web

from metering.currencies import CURRENCIES
from signaling.errors import ApiError
from signaling.hosting import caller
from signaling.http import Network, answer, bearer, parse_body
from signaling.identity import is_operator, person
from signaling.ratelimit import LimitedRoutes, RateLimiter, Rule
from signaling.rooms.cards import Cards, room_by_slug
from signaling.rooms.editing import Editing, RoomEdit
from signaling.rooms.opening import NewRoom, Opening
from signaling.stores import modes
from signaling.stores import rooms as store
from signaling.stores.database import Database

CREATE_RULE = Rule(burst=30, refill_s=10.0)
HOST_RULE = Rule(burst=60, refill_s=2.0)


@dataclass(frozen=True, slots=True)
class PublicFacts:
    """What `GET /api/config` tells, and where links point."""

    origin: str
    mode: str
    room_creation: str
    checkout_ui: str
    publishable_key: str
    sign_in: bool = True
    test_publishable_key: str | None = None  # of the second set of keys, which is of test mode


class RoomRoutes(LimitedRoutes):
    """Handlers; every decision is made in `Opening` and `Cards`."""

    def __init__(
        self,
        db: Database,
        opening: Opening,
        cards: Cards,
        editing: Editing,
        *,
        limiter: RateLimiter,
        facts: PublicFacts,
        trusted: tuple[Network, ...],
    ) -> None:
        super().__init__(limiter, trusted)
        self._db = db
        self._opening = opening
        self._cards = cards
        self._editing = editing
        self._facts = facts

    def routes(self) -> list[web.RouteDef]:
        return [
            web.get("/api/config", self.config),
            web.post("/api/rooms", self.create),
            web.get("/api/rooms/{slug}", self.card),
            web.get("/api/rooms/{slug}/events", self.events),
            web.get("/api/rooms/{slug}/qr.svg", self.qr),
            web.get("/api/host/rooms/{id}", self.host_room),
            web.patch("/api/host/rooms/{id}", self.edit),
            web.post("/api/host/rooms/{id}/key", self.rotate_key),
        ]

    async def config(self, request: web.Request) -> web.Response:
        currencies = [
            {"code": c.code, "exponent": c.exponent, "step": c.step_minor, "minimum_minor": c.minimum_minor}
            for c in CURRENCIES.values()
        ]
        facts = self._facts
        mode, key = self._of_mode(request.query.get("mode"))
        body = {
            "mode": mode,
            "sandbox": facts.mode == "sandbox",
            "room_creation": facts.room_creation,
            "checkout_ui": facts.checkout_ui,
            "publishable_key": key,
            **await self._modes(),
            "sign_in": facts.sign_in,
            "currencies": currencies,
        }
        return web.json_response(body, headers={"Cache-Control": "no-cache"})

    def _of_mode(self, wanted: str | None) -> tuple[str, str]:
        """A mode and its publishable key. Raises ApiError 422."""
        facts = self._facts
        if wanted in {None, facts.mode}:
            return facts.mode, facts.publishable_key
        if wanted == "test" and facts.test_publishable_key is not None:
            return "test", facts.test_publishable_key
        raise ApiError(422, "invalid", "this server has no keys of that mode", field="mode")

    async def _modes(self) -> dict[str, Any]:
        """What may be chosen for a new room."""
        if self._facts.test_publishable_key is None:
            return {"modes": [self._facts.mode], "default_mode": self._facts.mode, "test_rooms": None}
        async with self._db.read() as tx:
            rules = await modes.read(tx)
        return {
            "modes": [self._facts.mode, "test"],
            "default_mode": rules.default_mode,
            "test_rooms": rules.test_rooms,
        }

    async def create(self, request: web.Request) -> web.Response:
        await self._limit(request, "create", CREATE_RULE)
        body = await parse_body(request, NewRoom)
        owner = await person(request)
        opened = await self._opening.open_room(
            body, bearer(request), owner.id if owner else None, by_operator=await is_operator(request)
        )
        links = {
            "id": opened.id,
            "slug": opened.slug,
            "share_url": self._share_url(opened.slug),
            "host_url": self._host_url(opened.id, opened.host_key),
            "host_key": opened.host_key,
        }
        return answer(links, 201)

    async def card(self, request: web.Request) -> web.Response:
        card = await self._cards.card(request.match_info["slug"])
        return web.json_response(card, headers={"Cache-Control": "no-cache"})

    async def events(self, request: web.Request) -> web.StreamResponse:
        return await self._cards.stream(request, request.match_info["slug"])

    async def qr(self, request: web.Request) -> web.Response:
        async with self._db.read() as tx:
            room = await room_by_slug(tx, request.match_info["slug"])
        return web.Response(body=qr_svg(self._share_url(room.slug)), content_type="image/svg+xml")

    async def host_room(self, request: web.Request) -> web.Response:
        await self._limit(request, "host", HOST_RULE)
        who = await caller(request)
        async with self._db.read() as tx:
            room = await who.room(tx, request.match_info["id"])
            card = await self._cards.card_of(tx, room)
            earned = await store.earnings(tx, room.id)
        body = {
            "card": card,
            "share_url": self._share_url(room.slug),
            "earnings": earnings_json(earned, room.currency),
            "checklist": self._checklist(room, card),
            "owned": room.owner_id is not None,
        }
        return answer(body)

    async def edit(self, request: web.Request) -> web.Response:
        await self._limit(request, "host", HOST_RULE)
        who, room_id = await caller(request), request.match_info["id"]
        await self._editing.edit(room_id, who, await parse_body(request, RoomEdit))
        async with self._db.read() as tx:
            room = await who.room(tx, room_id)
            return answer({"card": await self._cards.card_of(tx, room), "sold": room.sold})

    async def rotate_key(self, request: web.Request) -> web.Response:
        await self._limit(request, "host", HOST_RULE)
        room_id = request.match_info["id"]
        key = await self._opening.rotate_key(room_id, await caller(request))
        return answer({"host_key": key, "host_url": self._host_url(room_id, key)})

    def _checklist(self, room: store.Room, card: Mapping[str, Any]) -> list[dict[str, str]]:
        """What the host should know before going live; the page adds what only it can see (camera, network)."""
        found = []
        if room.mode == "sandbox":
            found.append({"code": "sandbox", "message": "Payments here are tests: no real money moves."})
        if room.mode == "test" and self._facts.test_publishable_key is not None:
            found.append({"code": "test_room", "message": "This is a test room: no real money moves."})
        elif room.mode != self._facts.mode:
            found.append(
                {
                    "code": "wrong_mode",
                    "message": "This room was made with other payment keys: make a new one.",
                }
            )
        if room.state != "open":
            found.append({"code": "room_closed", "message": "This room is closed."})
        if card["state"] == "unpriced":
            found.append(
                {"code": "no_rate", "message": "No price is set for this room: nobody can buy anything."}
            )
        return found

    def _share_url(self, slug: str) -> str:
        return f"{self._facts.origin}/r/{slug}"

    def _host_url(self, room_id: str, host_key: str) -> str:
        return f"{self._facts.origin}/host/{room_id}#key={host_key}"


def earnings_json(earned: store.Earnings, currency: str) -> dict[str, Any]:
    return {
        "gross": {"amount_minor": earned.gross_minor, "currency": currency},
        "refunded": {"amount_minor": earned.refunded_minor, "currency": currency},
        "net": {"amount_minor": earned.net_minor, "currency": currency},
        "payers": earned.payers,
    }


def qr_svg(text: str) -> bytes:
    buffer = io.BytesIO()
    segno.make(text, error="m").save(
        buffer, kind="svg", scale=8, border=2, xmldecl=False, svgclass=None, lineclass=None
    )
    return buffer.getvalue()
