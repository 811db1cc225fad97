"""The sandbox put together: store, API, pages, control, and the one task that delivers and expires."""

import asyncio
import logging
from collections.abc import Callable
from pathlib import Path

import aiohttp
from aiohttp import web

from .api import BODY_BYTES_MAX, Api
from .control import Control
from .due import run_due
from .errors import SandboxRefusedError
from .faults import Faults
from .pages import Pages
from .store import Store
from .webhooks import Deliverer, next_expiry_s, pause

log = logging.getLogger(__name__)

WEB_DIR = Path(__file__).parents[3] / "web"
SECRET_KEY_PREFIXES = ("sk_sandbox_", "sk_test_")
LIVE_PREFIXES = ("sk_live_", "rk_live_")
IDLE_MAX_S = 30.0
IDLE_MIN_S = 0.01
AFTER_ERROR_S = 1.0


class Sandbox:
    """A stand-in for Stripe that the unmodified SDK talks to, with pages to pay on. No real money.

    `now`: Unix time in seconds. `random_bytes`: source of ids (`secrets.token_bytes`). `webhook_url` None:
    events are only recorded. `public_url`: where browsers find the pages (`pages_app` at `/sandbox` of it).
    Raises `SandboxRefusedError` for a live key.
    """

    def __init__(
        self,
        db_path: str | Path,
        *,
        secret_key: str,
        webhook_secret: str,
        webhook_url: str | None,
        public_url: str,
        now: Callable[[], float],
        random_bytes: Callable[[int], bytes],
        http: aiohttp.ClientSession,
        web_dir: Path = WEB_DIR,
    ) -> None:
        refuse_live(secret_key)
        self.faults = Faults()
        self._now = now
        self._web_dir = web_dir
        self._wake = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._store = Store(
            Path(db_path),
            now=now,
            random_bytes=random_bytes,
            webhooks=webhook_url is not None,
            on_events=self._wake.set,
        )
        self._deliverer = Deliverer(
            self._store, self.faults, http, url=webhook_url, secret=webhook_secret, now=now
        )
        self._api = Api(self._store, self.faults, secret_key=secret_key, public_url=public_url.rstrip("/"))
        self._pages = Pages(self._store, web_dir)
        self._control = Control(self._store, self.faults, self._deliverer, web_dir)

    async def start(self, *, deliver: bool = True) -> None:
        """Open the store and start delivering. `deliver=False`: only when `work` is called (tests)."""
        await self._store.open()
        if deliver:
            self._task = asyncio.create_task(self._run(), name="payment-sandbox")

    async def close(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
            self._task = None
        await self._store.close()

    def api_app(self) -> web.Application:
        """`/v1` for the SDK and `/_control` for the operator. To be listened to on loopback only."""
        app = web.Application(client_max_size=BODY_BYTES_MAX)
        app.on_shutdown.append(self._release)
        self._api.add_routes(app)
        app.add_subapp("/_control", self._control.app())
        app.router.add_static("/static", self._web_dir)
        return app

    def pages_app(self) -> web.Application:
        """The hosted page and the frame. To be mounted at `/sandbox` of the public application."""
        return self._pages.app()

    def standalone_app(self) -> web.Application:
        """API, control, pages and static files on one port, for a process of its own."""
        app = self.api_app()
        app.add_subapp("/sandbox", self.pages_app())
        return app

    async def work(self) -> float:
        """Expire what is due, deliver what is due; seconds until there is more to do."""
        await self._store.write(run_due)
        await self._deliverer.deliver_due()
        due = (await self._deliverer.next_s(), await self._store.write(next_expiry_s))
        idle_s = min((when_s - self._now() for when_s in due if when_s is not None), default=IDLE_MAX_S)
        return max(IDLE_MIN_S, min(idle_s, IDLE_MAX_S))

    async def _release(self, _app: web.Application) -> None:
        self.faults.reset()  # nothing may hold up a shutdown

    async def _run(self) -> None:
        while True:
            try:
                idle_s = await self.work()
            except Exception:  # payments must go on being delivered whatever one event did
                log.exception("payment sandbox: delivery stumbled")
                idle_s = AFTER_ERROR_S
            await pause(self._wake, idle_s)


def refuse_live(secret_key: str) -> None:
    """Raises `SandboxRefusedError` unless the key is one for tests."""
    if secret_key.startswith(LIVE_PREFIXES):
        raise SandboxRefusedError("The payment sandbox never runs beside a live Stripe key")
    if not secret_key.startswith(SECRET_KEY_PREFIXES):
        raise SandboxRefusedError(
            f"The sandbox's key must start with one of {', '.join(SECRET_KEY_PREFIXES)}"
        )
