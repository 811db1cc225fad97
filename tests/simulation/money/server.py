"""Our server on a machine, as one process: the payments with their routes and background tasks, started on the database
that the process before left."""

from pathlib import Path
from random import Random
from typing import Any

from aiohttp import web
from pydantic import SecretStr

from signaling.http import errors_middleware
from signaling.identity import IDENTITY, Identity
from signaling.notices import Notice, Notices
from signaling.payments.refundroutes import RefundRoutes
from signaling.payments.routes import PaymentRoutes
from signaling.payments.service import Payments
from signaling.payments.settings import PaymentsSettings
from signaling.payments.stripe import StripePayments
from signaling.ratelimit import LocalRateLimiter

from .bank import ACCOUNT, SECRET_KEY, WEBHOOK_SECRET
from .bank import PORT as BANK_PORT
from .machine import Clock, Process, ProcessDatabase
from .wire import Network, client

PORT = 8080
URL = f"http://127.0.0.1:{PORT}"
OPERATOR = "the-operator-of-this-town-0123456789"


async def _nobody(_request: web.Request) -> None:
    """In this town nobody is signed in."""


class _NoLimits(LocalRateLimiter):
    """All people of a town share one address."""

    async def take(self, *_: Any, **__: Any) -> float:
        return 0


class Server(Process):
    def __init__(self, number: int, chance: Random, network: Network, folder: Path, **settings: Any) -> None:
        super().__init__(f"server {number}", chance)
        self._network = network
        self._settings = PaymentsSettings(
            mode="sandbox", account=ACCOUNT, public_url="http://localhost:8080", **settings
        )
        self._url = f"sqlite:///{folder}/tollroom.db"
        self.payments: Payments

    async def boot(self) -> None:
        await self.inside(self._boot())

    async def _boot(self) -> None:
        self.db = ProcessDatabase(self._url, self)
        self.http = client(self._network)
        clock, notices = Clock(), Notices()
        service = StripePayments(
            SECRET_KEY,
            http=self.http,
            mode="sandbox",
            account=ACCOUNT,
            webhook_secret=WEBHOOK_SECRET,
            api_base=f"http://127.0.0.1:{BANK_PORT}",
            timeout_s=5.0,
        )
        self.payments = Payments(
            db=self.db,
            clock=clock,
            random_bytes=self.chance.randbytes,
            notices=notices,
            service=service,
            settings=self._settings,
        )
        self.notices = notices
        limiter = _NoLimits(clock)
        app = web.Application(middlewares=[errors_middleware])
        app[IDENTITY] = Identity(_nobody, SecretStr(OPERATOR))
        app.router.add_routes(PaymentRoutes(self.payments, limiter).routes())
        app.router.add_routes(RefundRoutes(self.payments, limiter).routes())
        self._runner = web.AppRunner(app, access_log=None, handle_signals=False)
        await self._runner.setup()
        await self.payments.start()
        self._network.listen(PORT, self, self._runner.server)

    def tell(self, notice: Notice) -> None:
        """What its rooms say to its payments."""
        if self.is_alive:
            self.context.run(self.notices.publish, notice)

    async def bury(self) -> None:
        """After its death: what the kernel does with its files."""
        await self.buried()
        if hasattr(self, "http"):
            await self.http.close()
        if hasattr(self, "db"):
            await self.db.close()
