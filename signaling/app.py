"""The composition root: makes every part, hands each what it needs, starts and stops them in order."""

import os
import socket
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

import aiohttp
import structlog
from aiohttp import web
from sqlalchemy import select
from sqlalchemy.exc import SQLAlchemyError

from mediaserver.events import MediaEvent
from mediaserver.planes import chosen_plane
from mediaserver.pool import MediaPool, WorkerChange
from mediaserver.server import EventSink, MediaServer, MediaStats
from signaling.addresses import sender, smtp_server
from signaling.admin.codes import Codes
from signaling.admin.modes import ModeRoutes
from signaling.admin.ratesdesk import RatesDesk
from signaling.admin.routes import AdminRoutes
from signaling.clock import Clock, SystemClock, now_ms, rfc3339
from signaling.cluster import Cluster, make_cluster
from signaling.config import Settings
from signaling.http import Provider, errors_middleware, security_headers, trusted_networks
from signaling.identity import IDENTITY, Identity
from signaling.ids import RandomBytes, derived_secret, new_id
from signaling.mail import Mailer, SmtpMailer
from signaling.metrics import Figures, Metrics
from signaling.network import media_config
from signaling.notices import Notice, Notices, OrderPaid, PassChanged, RatesChanged, RoomChanged
from signaling.pages import PageFacts, Pages
from signaling.paymentparts import Hands, SandboxParts, make_sets
from signaling.payments import receipts
from signaling.payments.hostroutes import HostRoutes
from signaling.payments.receipts import ReceiptLetters
from signaling.payments.refundroutes import RefundRoutes
from signaling.payments.routes import routes as payment_routes
from signaling.payments.service import Payments
from signaling.payments.subscriptionroutes import SubscriptionRoutes
from signaling.payments.walletroutes import WalletRoutes
from signaling.paymentsets import PaymentSets
from signaling.people import signin
from signaling.people.claiming import Claiming
from signaling.people.erasing import Retention
from signaling.people.history import History
from signaling.people.mailbox import Mailbox
from signaling.people.routes import PeopleRoutes
from signaling.people.sessions import Sessions
from signaling.people.signin import SignIn
from signaling.post import Post
from signaling.ratelimit import LocalRateLimiter
from signaling.rooms.cards import Cards
from signaling.rooms.commands import Commands
from signaling.rooms.editing import Editing
from signaling.rooms.gateway import Gateway
from signaling.rooms.heartbeat import Heartbeat
from signaling.rooms.joining import Joining
from signaling.rooms.moderation import Moderation
from signaling.rooms.opening import Books, Opening
from signaling.rooms.recovery import DeathWatch, FileLock, bury_all
from signaling.rooms.routes import PublicFacts, RoomRoutes
from signaling.rooms.service import Rooms, RoomsConfig
from signaling.rooms.streamkeys import StreamKeys
from signaling.rooms.streamroutes import StreamRoutes
from signaling.rooms.streams import Streams
from signaling.rooms.tokens import Tokens, load_keys
from signaling.rooms.turn import Turn
from signaling.stores import runs
from signaling.stores.database import Database
from signaling.stores.migrations import upgrade
from signaling.stores.rates import BooksOf

log = structlog.get_logger()


@dataclass(slots=True)
class PeopleParts:
    """Who is signed in, and the letters to them. `mailer` None: this server sends none, and nobody can sign in."""

    sessions: Sessions
    sign_in: SignIn
    mailer: Mailer | None
    post: Post


@dataclass(slots=True)
class Parts:
    """What the server is made of."""

    settings: Settings
    clock: Clock
    run_id: str
    random_bytes: RandomBytes
    db: Database
    notices: Notices
    limiter: LocalRateLimiter
    cards: Cards
    opening: Opening
    tokens: Tokens
    joining: Joining
    media: MediaServer | MediaPool
    rooms: Rooms
    http: aiohttp.ClientSession
    sets: PaymentSets
    people: PeopleParts
    sandbox: SandboxParts | None
    heartbeat: Heartbeat
    cluster: Cluster
    lock: FileLock | None = field(default=None)

    @property
    def payments(self) -> Payments:
        """Of the main set of keys."""
        return self.sets.main


PARTS = web.AppKey("parts", Parts)
EVERY_SERVICE_IS_STRIPE: Mapping[str, str] = MappingProxyType({})


def _stay() -> None:
    """In tests nobody takes the place."""


def build_app(
    settings: Settings,
    *,
    clock: Clock | None = None,
    random_bytes: RandomBytes = os.urandom,
    on_run_lost: Callable[[], None] = _stay,
    service_bases: Mapping[str, str] = EVERY_SERVICE_IS_STRIPE,
) -> web.Application:
    """The application, not yet started; to be called in a running loop. `on_run_lost`: another process took this
    run's place, so this one should leave. `service_bases`: by mode, where its payment service answers instead of at
    Stripe (tests). Raises ConfigError."""
    parts = _parts(settings, clock or SystemClock(), random_bytes, on_run_lost, service_bases)
    pages = Pages(parts.cards, _page_facts(settings), parts.sets.mode_of_page)
    app = web.Application(middlewares=[errors_middleware, pages.middleware])
    app[PARTS] = parts
    app[IDENTITY] = Identity(parts.people.sessions.find, settings.admin_token)
    app.on_response_prepare.append(
        security_headers(_provider(settings), hsts=settings.origin.startswith("https:"))
    )
    pages.install(app)
    _add_routes(app, parts)
    for context in (_database, _run, _sandbox, _payments, _post):
        app.cleanup_ctx.append(context)
    app.on_shutdown.append(_say_goodbye)
    parts.notices.subscribe(lambda notice: _wake_watchers(parts, notice))
    return app


# --- making -----------------------------------------------------------------------------------------------


def _parts(
    settings: Settings,
    clock: Clock,
    random_bytes: RandomBytes,
    on_run_lost: Callable[[], None],
    bases: Mapping[str, str],
) -> Parts:
    if settings.database_path is not None:
        settings.database_path.parent.mkdir(parents=True, exist_ok=True)
    run_id = new_id("run", random_bytes)
    db, notices = Database(settings.database_url), Notices()
    books, *others = (Books(one.mode, one.account) for one in settings.key_sets)
    opening = Opening(
        db,
        clock,
        random_bytes,
        books,
        anyone_may_open=settings.rooms_are_open,
        other_books=others,
        can_sign_in=settings.can_sign_in,
    )
    tokens = Tokens(settings.mode, clock, random_bytes, other_modes=[one.mode for one in others])
    joining = Joining(
        db, clock, random_bytes, opening, books=books, other_books=others, tokens=tokens, run_id=run_id
    )

    def on_event(event: MediaEvent) -> None:
        rooms.on_media(event)

    media = _media(settings, clock, random_bytes, on_event)
    config = RoomsConfig(settings.video_codecs, settings.ice_servers, _turn(settings))
    rooms = Rooms(db, clock, random_bytes, notices, door=media, joining=joining, config=config, run_id=run_id)

    def lost() -> None:
        rooms.run_lost()
        on_run_lost()

    heartbeat = Heartbeat(db, media, rooms.runner, clock, run_id=run_id, lost=lost)
    http = aiohttp.ClientSession()
    sets, sandbox = make_sets(settings, Hands(db, clock, random_bytes, notices, http, bases))
    return Parts(
        settings=settings,
        clock=clock,
        run_id=run_id,
        random_bytes=random_bytes,
        db=db,
        notices=notices,
        limiter=LocalRateLimiter(clock),
        cards=Cards(db, settings.origin),
        opening=opening,
        tokens=tokens,
        joining=joining,
        media=media,
        rooms=rooms,
        http=http,
        sets=sets,
        people=_people(settings, db, clock, random_bytes, notices=notices, tokens=tokens, payments=sets.main),
        sandbox=sandbox,
        heartbeat=heartbeat,
        cluster=make_cluster(settings.redis_url.get_secret_value() if settings.redis_url else None, run_id),
    )


def _media(
    settings: Settings, clock: Clock, random_bytes: RandomBytes, on_event: EventSink
) -> MediaServer | MediaPool:
    config = media_config(settings)
    log.info(
        "media",
        plane=chosen_plane(config.plane),
        workers=settings.media_workers,
        ports=[*settings.media_ports],
    )
    if settings.media_workers == 0:
        return MediaServer(config, now_ns=clock.now_ns, random_bytes=random_bytes, on_event=on_event)
    return MediaPool(
        config, settings.media_workers, now_ns=clock.now_ns, on_event=on_event, on_change=_log_worker
    )


def _log_worker(change: WorkerChange) -> None:
    tell = log.info if change.state == "ready" else log.error
    tell("media_worker", state=change.state, worker=change.index, detail=change.detail)


async def _media_stats(media: MediaServer | MediaPool) -> Mapping[int, MediaStats]:
    """By worker; the server in this process is number 0."""
    return await media.stats() if isinstance(media, MediaPool) else {0: media.stats()}


def _turn(settings: Settings) -> Turn | None:
    secret = settings.turn_secret
    return None if secret is None else Turn(settings.turn_urls, secret.get_secret_value())


def _people(
    settings: Settings,
    db: Database,
    clock: Clock,
    random_bytes: RandomBytes,
    *,
    notices: Notices,
    tokens: Tokens,
    payments: Payments,
) -> PeopleParts:
    def keys() -> list[tuple[str, str]]:
        return [(key.kid, key.secret) for key in tokens.keys]

    sessions = Sessions(db, clock, random_bytes, keys=keys, origin=settings.origin)
    sign_in = SignIn(db, clock, random_bytes, notices, sessions=sessions, origin=settings.origin)
    mailer = _mailer(settings)
    of_receipts = ReceiptLetters(
        payments.ctx, lambda order_id: derived_secret(tokens.keys[0].secret, f"receipt {order_id}")
    )
    writers = {signin.LETTER: sign_in.letter, receipts.LETTER: of_receipts.letter}
    post = Post(db, clock, notices, mailer=mailer, writers=writers)
    return PeopleParts(sessions, sign_in, mailer, post)


def _mailer(settings: Settings) -> Mailer | None:
    if settings.smtp_url is not None:
        return SmtpMailer(smtp_server(settings.smtp_url.get_secret_value()), sender(settings.mail_from))
    if settings.sandbox:
        return Mailbox()
    log.warning(
        "mail_off", detail="nobody can sign in and no receipts are mailed: set SMTP_URL and MAIL_FROM"
    )
    return None


def _provider(settings: Settings) -> Provider:
    return "sandbox" if settings.sandbox else "stripe"


def _page_facts(settings: Settings) -> PageFacts:
    return PageFacts(
        settings.mode,
        settings.origin,
        _provider(settings),
        settings.stripe_publishable_key,
        "open" if settings.rooms_are_open else "invitation",
        test_publishable_key=_test_key(settings),
        sign_in=settings.can_sign_in,
        mailbox=settings.sandbox and settings.smtp_url is None,
    )


# --- routes -----------------------------------------------------------------------------------------------


def _add_routes(app: web.Application, parts: Parts) -> None:
    settings = parts.settings
    trusted = trusted_networks(settings.trusted_proxies)
    facts = PublicFacts(
        settings.origin,
        settings.mode,
        "open" if settings.rooms_are_open else "invitation",
        settings.checkout_ui,
        settings.stripe_publishable_key,
        parts.people.mailer is not None,
        _test_key(settings),
    )
    rooms = RoomRoutes(
        parts.db,
        parts.opening,
        parts.cards,
        Editing(parts.db, parts.clock, parts.notices, can_sign_in=settings.can_sign_in),
        limiter=parts.limiter,
        facts=facts,
        trusted=trusted,
    )
    app.router.add_routes(rooms.routes())
    app.router.add_routes(parts.sets.routes(lambda payments: _money_routes(parts, payments)))
    app.router.add_routes(
        ModeRoutes(parts.db, [(one.mode, one.account) for one in settings.key_sets]).routes()
    )
    app.router.add_routes(_gateway(parts).routes())
    app.router.add_routes(_stream_routes(parts).routes())
    app.router.add_routes(_people_routes(parts))
    app.router.add_get("/healthz", _healthz)
    token = settings.metrics_token.get_secret_value() if settings.metrics_token else None
    metrics = Metrics(Figures(parts.rooms, parts.cards), lambda: _media_stats(parts.media), token)
    app.router.add_get("/metrics", metrics.show)
    if parts.sandbox is not None:
        app.add_subapp("/sandbox", parts.sandbox.sandbox.pages_app())


def _money_routes(parts: Parts, payments: Payments) -> list[web.RouteDef]:
    """Everything that concerns one set of books."""
    trusted = trusted_networks(parts.settings.trusted_proxies)
    return [
        *payment_routes(payments, parts.limiter, trusted),
        *RefundRoutes(payments, parts.limiter, trusted).routes(),
        *WalletRoutes(payments, parts.limiter, trusted).routes(),
        *HostRoutes(payments, parts.limiter).routes(),
        *SubscriptionRoutes(payments, parts.limiter, trusted).routes(),
        *_admin_routes(parts, payments).routes(),
        *_history(parts, payments).routes(),
    ]


def _history(parts: Parts, payments: Payments) -> History:
    books = payments.settings
    return History(
        parts.db, parts.people.sessions, books.mode, books.account, parts.settings.origin, shelf=books.shelf
    )


def _test_key(settings: Settings) -> str | None:
    """The publishable key of the second set, where there is one."""
    _, *others = settings.key_sets
    return others[0].publishable_key if others else None


def _admin_routes(parts: Parts, payments: Payments) -> AdminRoutes:
    settings, books = parts.settings, BooksOf(payments.settings.mode, payments.settings.account)
    shown = {
        "mode": books.mode,
        "account": books.account,
        "public_url": settings.origin,
        "room_creation": "open" if settings.rooms_are_open else "invitation",
        "checkout_ui": settings.checkout_ui,
    }
    return AdminRoutes(
        RatesDesk(parts.db, parts.clock, parts.notices, books, settings.earnings_days),
        Codes(parts.db, parts.clock, parts.random_bytes, books),
        settings=shown,
        limiter=parts.limiter,
        trusted=trusted_networks(settings.trusted_proxies),
    )


def _people_routes(parts: Parts) -> list[web.RouteDef]:
    people = parts.people
    routes = PeopleRoutes(
        parts.db,
        people.sessions,
        people.sign_in,
        clock=parts.clock,
        notices=parts.notices,
        limiter=parts.limiter,
        trusted=trusted_networks(parts.settings.trusted_proxies),
        can_mail=people.mailer is not None,
    ).routes()
    routes += Claiming(parts.db, people.sessions, parts.notices, parts.limiter).routes()
    return [*routes, people.mailer.route()] if isinstance(people.mailer, Mailbox) else routes


def _gateway(parts: Parts) -> Gateway:
    commands = Commands(parts.rooms, Moderation(parts.rooms, parts.db, parts.clock))
    return Gateway(
        parts.rooms,
        parts.joining,
        commands,
        limiter=parts.limiter,
        clock=parts.clock,
        origin=parts.settings.origin,
        trusted=trusted_networks(parts.settings.trusted_proxies),
    )


def _stream_routes(parts: Parts) -> StreamRoutes:
    settings = parts.settings
    keys = StreamKeys(
        parts.db,
        parts.clock,
        parts.random_bytes,
        opening=parts.opening,
        joining=parts.joining,
        books=Books(settings.mode, settings.account),
    )
    return StreamRoutes(
        Streams(parts.rooms, keys, parts.random_bytes),
        keys,
        ice_servers=lambda: parts.rooms.ice_servers,
        limiter=parts.limiter,
        origin=settings.origin,
        trusted=trusted_networks(settings.trusted_proxies),
    )


async def _healthz(request: web.Request) -> web.Response:
    """200 while the database answers and takes our heartbeats, and a media worker runs."""
    parts = request.app[PARTS]
    try:
        async with parts.db.read() as tx:
            await tx.execute(select(1))
        healthy = parts.heartbeat.is_healthy
    except (SQLAlchemyError, OSError):
        healthy = False
    workers = {}
    if isinstance(parts.media, MediaPool):
        workers = {"media_workers": {"ready": parts.media.ready, "of": parts.media.workers}}
        healthy = healthy and parts.media.ready > 0
    status = "ok" if healthy else "unavailable"
    mail = "on" if parts.people.mailer is not None else "off"
    body = {"status": status, "run_id": parts.run_id, "mode": parts.settings.mode, "mail": mail, **workers}
    return web.json_response(body, status=200 if healthy else 503, headers={"Cache-Control": "no-store"})


def _wake_watchers(parts: Parts, notice: Notice) -> None:
    """Whatever changes seats or the room's state changes its public card."""
    if isinstance(notice, RoomChanged | OrderPaid | PassChanged):
        parts.cards.changed(notice.room_id)
        parts.cluster.announce(notice.room_id)
    elif isinstance(notice, RatesChanged):
        if notice.room_id is None:
            parts.cards.all_changed()
        else:
            parts.cards.changed(notice.room_id)
            parts.cluster.announce(notice.room_id)


# --- starting and stopping --------------------------------------------------------------------------------


async def _database(app: web.Application) -> AsyncIterator[None]:
    parts = app[PARTS]
    path = parts.settings.database_path
    if path is not None:
        parts.lock = FileLock(path.with_name(path.name + ".lock"))
        parts.lock.take()
    await upgrade(parts.settings.database_url)
    yield
    await parts.http.close()
    await parts.db.close()
    if parts.lock is not None:
        parts.lock.release()


async def _run(app: web.Application) -> AsyncIterator[None]:
    """The run of this process: its row, what dead runs left, then media and meters."""
    parts = app[PARTS]
    db, clock = parts.db, parts.clock
    run = runs.Run(parts.run_id, socket.gethostname(), "live", 0, now_ms(clock), {})
    await db.write(lambda tx: runs.insert_run(tx, run, rfc3339(clock.wall_s())))
    if parts.lock is not None:  # SQLite: nobody else is alive
        await bury_all(db, clock, parts.run_id)
    watch = DeathWatch(db, clock, parts.run_id, lambda freed: _rooms_freed(parts, freed))
    secret = parts.settings.token_secret
    parts.tokens.use(await load_keys(db, parts.random_bytes, secret.get_secret_value() if secret else None))
    await parts.media.start()
    parts.rooms.start()
    await parts.heartbeat.start()
    if parts.lock is None:  # other nodes may share this database
        watch.start()
    await parts.cluster.start(parts.cards.changed)
    log.info("run_started", run_id=parts.run_id, mode=parts.settings.mode)
    yield
    await parts.cluster.close()
    await watch.close()
    await parts.heartbeat.close()
    await parts.rooms.close()
    await parts.media.close()
    await db.write(lambda tx: runs.close_own(tx, parts.run_id))


def _rooms_freed(parts: Parts, room_ids: list[str]) -> None:
    for room_id in room_ids:
        parts.notices.publish(RoomChanged(room_id))


async def _sandbox(app: web.Application) -> AsyncIterator[None]:
    parts = app[PARTS].sandbox
    if parts is None:
        yield
        return
    await parts.sandbox.start()
    runner = web.AppRunner(parts.sandbox.api_app(), access_log=None, shutdown_timeout=1.0)
    await runner.setup()
    await web.SockSite(runner, parts.listener).start()
    yield
    await runner.cleanup()
    await parts.sandbox.close()


async def _payments(app: web.Application) -> AsyncIterator[None]:
    sets = app[PARTS].sets
    await sets.start()
    yield
    await sets.close()


async def _post(app: web.Application) -> AsyncIterator[None]:
    post = app[PARTS].people.post
    retention = Retention(app[PARTS].db, app[PARTS].clock, app[PARTS].settings.retention_days)
    await post.start()
    await retention.start()
    yield
    await retention.close()
    await post.close()


async def _say_goodbye(app: web.Application) -> None:
    """Before the connections are closed: segments are, and everybody is told to come back."""
    parts = app[PARTS]
    parts.cards.close()
    await parts.rooms.shutdown("shutdown")
