"""The composition root: makes every part, hands each what it needs, starts and stops them in order."""

import os
from collections.abc import AsyncIterator
from dataclasses import dataclass

import structlog
from aiohttp import web

from signaling.clock import Clock, SystemClock
from signaling.config import Settings
from signaling.http import errors_middleware, security_headers, trusted_networks
from signaling.ids import RandomBytes
from signaling.notices import Notices, RoomChanged
from signaling.pages import PageFacts, Pages
from signaling.payments.sandbox import Sandbox
from signaling.ratelimit import LocalRateLimiter
from signaling.rooms.cards import Cards
from signaling.rooms.opening import Books, Opening
from signaling.rooms.routes import PublicFacts, RoomRoutes
from signaling.stores.database import Database

log = structlog.get_logger()

PARTS = web.AppKey("parts", "Parts")


@dataclass(slots=True)
class Parts:
    """What the server is made of."""

    settings: Settings
    clock: Clock
    random_bytes: RandomBytes
    db: Database
    notices: Notices
    limiter: LocalRateLimiter
    cards: Cards
    opening: Opening
    sandbox: Sandbox | None = None


def build_app(
    settings: Settings, *, clock: Clock | None = None, random_bytes: RandomBytes = os.urandom
) -> web.Application:
    """The application, not yet started. Must be called with a running loop."""
    clock = clock or SystemClock()
    if settings.database_path is not None:
        settings.database_path.parent.mkdir(parents=True, exist_ok=True)
    db = Database(settings.database_url)
    parts = Parts(
        settings=settings,
        clock=clock,
        random_bytes=random_bytes,
        db=db,
        notices=Notices(),
        limiter=LocalRateLimiter(clock),
        cards=Cards(db, settings.origin),
        opening=Opening(
            db,
            clock,
            random_bytes,
            Books(settings.mode, settings.account),
            anyone_may_open=settings.rooms_are_open,
        ),
    )
    pages = Pages(parts.cards, _page_facts(settings))
    app = web.Application(middlewares=[errors_middleware, pages.middleware])
    app[PARTS] = parts
    provider = "sandbox" if settings.sandbox else "stripe"
    app.on_response_prepare.append(security_headers(provider, hsts=settings.origin.startswith("https:")))
    pages.install(app)
    app.router.add_routes(_room_routes(parts).routes())
    app.router.add_get("/healthz", _healthz)
    app.cleanup_ctx.append(_database)
    app.on_shutdown.append(_end_streams)
    parts.notices.subscribe(lambda notice: _wake_watchers(parts, notice))
    return app


def _page_facts(settings: Settings) -> PageFacts:
    provider = "sandbox" if settings.sandbox else "stripe"
    return PageFacts(settings.mode, settings.origin, provider, settings.stripe_publishable_key)


def _room_routes(parts: Parts) -> RoomRoutes:
    settings = parts.settings
    facts = PublicFacts(
        settings.origin,
        settings.mode,
        "open" if settings.rooms_are_open else "invitation",
        settings.checkout_ui,
        settings.stripe_publishable_key,
    )
    trusted = trusted_networks(settings.trusted_proxies)
    return RoomRoutes(
        parts.db, parts.opening, parts.cards, limiter=parts.limiter, facts=facts, trusted=trusted
    )


def _wake_watchers(parts: Parts, notice: object) -> None:
    if isinstance(notice, RoomChanged):
        parts.cards.changed(notice.room_id)


async def _healthz(request: web.Request) -> web.Response:
    parts = request.app[PARTS]
    return web.json_response({"status": "ok", "mode": parts.settings.mode})


async def _database(app: web.Application) -> AsyncIterator[None]:
    db = app[PARTS].db
    await db.create_schema()
    yield
    await db.close()


async def _end_streams(app: web.Application) -> None:
    app[PARTS].cards.close()
