"""Our server on a machine, as one process: the payments with their routes and background tasks, and the rooms, started on
the database that the process before left."""

from pathlib import Path
from random import Random
from typing import Any

from aiohttp import web
from pydantic import SecretStr

from signaling.http import errors_middleware
from signaling.identity import IDENTITY, Identity
from signaling.notices import Notices
from signaling.payments.hostroutes import HostRoutes
from signaling.payments.refundroutes import RefundRoutes
from signaling.payments.routes import PaymentRoutes
from signaling.payments.service import Payments
from signaling.payments.settings import PaymentsSettings
from signaling.payments.stripe import StripePayments
from signaling.payments.subscriptionroutes import SubscriptionRoutes
from signaling.payments.walletroutes import WalletRoutes
from signaling.ratelimit import LocalRateLimiter
from signaling.stores import people

from .bank import ACCOUNT, SECRET_KEY, WEBHOOK_SECRET
from .bank import PORT as BANK_PORT
from .calls import Calls
from .machine import Clock, Process, ProcessDatabase
from .wire import Network, client

PORT = 8080
URL = f"http://127.0.0.1:{PORT}"
PERSON = "Town-Person"  # the header by which a town knows who is signed in
OPERATOR = "the-operator-of-this-town-0123456789"


def host_key(room_id: str) -> str:
    return f"the key of {room_id}"


class _NoLimits(LocalRateLimiter):
    """All people of a town share one address."""

    async def take(self, *_: Any, **__: Any) -> float:
        return 0


class Server(Process):
    """`has_rooms`: else it takes requests and does what is due, beside the one that has them."""

    def __init__(
        self,
        number: int,
        chance: Random,
        network: Network,
        folder: Path,
        *,
        lets_in: bool = True,
        has_rooms: bool = True,
        **settings: Any,
    ) -> None:
        super().__init__(f"server {number}", chance)
        self._number = number
        self._lets_in = lets_in
        self._has_rooms = has_rooms
        self._network = network
        self._settings = PaymentsSettings(
            mode="sandbox", account=ACCOUNT, public_url="http://localhost:8080", **settings
        )
        self._url = f"sqlite:///{folder}/tollroom.db"
        self.payments: Payments
        self.calls: Calls

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
        self.calls = Calls(self.db, clock, self.chance.randbytes, notices, f"run_{self._number}")
        self.at_death.append(self.calls.door.die)
        limiter = _NoLimits(clock)
        app = web.Application(middlewares=[errors_middleware])
        app[IDENTITY] = Identity(self._person, SecretStr(OPERATOR))
        app.router.add_routes(PaymentRoutes(self.payments, limiter).routes())
        for kind in (RefundRoutes, WalletRoutes, SubscriptionRoutes, HostRoutes):
            app.router.add_routes(kind(self.payments, limiter).routes())
        self._runner = web.AppRunner(app, access_log=None, handle_signals=False)
        await self._runner.setup()
        if self._has_rooms:
            await self.calls.open(lets_in=self._lets_in)
        await self.payments.start()
        self._network.listen(PORT, self, self._runner.server)

    async def _person(self, request: web.Request) -> people.User | None:
        if PERSON not in request.headers:
            return None
        async with self.db.read() as tx:
            return await people.by_id(tx, request.headers[PERSON])

    async def bury(self) -> None:
        """After its death: what the kernel does with its files."""
        await self.buried()
        if hasattr(self, "http"):
            await self.http.close()
        if hasattr(self, "db"):
            await self.db.close()
