"""People of a town: what all of them can do, the bank's customers, and misfortune. Each does what its own dice say, beside
the others; whoever sees no answer comes back, as people do.
"""

import asyncio
import base64
from random import Random
from typing import TYPE_CHECKING, Any

import aiohttp

from . import bank, server

if TYPE_CHECKING:
    from .town import Town

LOST = (aiohttp.ClientError, TimeoutError, ConnectionError)
PATIENCE = aiohttp.ClientTimeout(total=15)
Json = dict[str, Any]


def text(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


class Person:
    """`user_id`: of who is signed in."""

    def __init__(self, town: "Town", name: str) -> None:
        self.town = town
        self.chance = Random(f"{town.seed} {name}")
        self.name = name
        self.user_id: str | None = None

    async def call(
        self, url: str, body: Json | None = None, bearer: str | None = None, *, method: str = "POST"
    ) -> tuple[int, Json]:
        """Status 0: nobody knows what became of it."""
        headers = {} if bearer is None else {"Authorization": f"Bearer {bearer}"}
        if self.user_id is not None:
            headers[server.PERSON] = self.user_id
        said = (body or {}) if method in {"POST", "PUT"} else None
        try:
            async with self.town.http.request(
                method, url, json=said, headers=headers, timeout=PATIENCE
            ) as answer:
                return answer.status, await answer.json(content_type=None)
        except LOST as error:
            self.town.tell(f"{self.name}: no answer to {url.rpartition('/')[2]}: {type(error).__name__}")
            return 0, {}

    async def live(self) -> None:
        """What this one does all day, until it is over."""
        raise NotImplementedError

    async def waits(self, *seconds: float) -> None:
        await asyncio.sleep(self.chance.choice(seconds) * self.chance.random())

    def id(self, prefix: str) -> str:
        return f"{prefix}_{text(self.chance.randbytes(16))}"


class BankCustomers(Person):
    """What is done at the bank itself: refunds in its dashboard, disputes, refunds that a bank sends back."""

    async def live(self) -> None:
        while True:
            await self.waits(150, 400)
            deeds = (
                self.refund,
                self.refund,
                self.dispute,
                self.decide,
                self.reinstate,
                self.send_back,
                self.send_back,
            )
            await self.chance.choice(deeds)()

    async def _control(self, verb: str, **body: Any) -> None:
        self.town.tell(f"at the bank: {verb} {body}")
        await self.call(f"{bank.URL}/_control/{verb}", body)

    async def _some(self, kind: str, **having: Any) -> Json | None:
        found = await self.town.at_bank(kind)
        fit = [one for one in found if all(one[name] == value for name, value in having.items())]
        return self.chance.choice(fit) if fit else None

    async def refund(self) -> None:
        if charge := await self._some("charge", captured=True, refunded=False, disputed=False):
            left_minor = charge["amount_captured"] - charge["amount_refunded"]
            await self._control(
                "refund",
                charge=charge["id"],
                amount_minor=min(left_minor, self.chance.choice([50, 130, 500, 5000])),
            )

    async def dispute(self) -> None:
        """All that is left of a charge or a part of it, also of one that is disputed already; the bank refuses too much."""
        if charge := await self._some("charge", captured=True):
            part = self.chance.choice([{}, {"amount_minor": self.chance.choice([40, 333, 900])}])
            await self._control("dispute", charge=charge["id"], **part)

    async def decide(self) -> None:
        if dispute := await self._some("dispute", status="needs_response"):
            outcome = self.chance.choice(
                [{"action": "won"}, {"action": "lost"}, {"action": "lost", "amount_minor": 30}]
            )
            await self._control("dispute", dispute=dispute["id"], **outcome)

    async def reinstate(self) -> None:
        """After all: what the bank kept of a lost dispute or a part of it; it may be called won from then on."""
        if dispute := await self._some("dispute", status="lost"):
            back = self.chance.choice([{}, {"won": True}, {"amount_minor": 40}])
            await self._control("dispute", dispute=dispute["id"], action="reinstated", **back)

    async def regrets(self) -> None:
        deeds = (
            self.send_back,
            self.send_back,
            self.dispute,
            self.decide,
            self.decide,
            self.reinstate,
            self.reinstate,
        )
        await self.chance.choice(deeds)()

    async def send_back(self) -> None:
        if refund := await self._some("refund", status="succeeded"):
            await self._control("fail_refund", refund=refund["id"])


class Misfortune(Person):
    """The line, the bank's machine, ours."""

    API = (
        "truncate_after_commit",
        "reset_after_commit",
        "error_500_saved",
        "conflict_409",
        "rate_limit_429",
        "slow",
    )
    EVENTS = ("duplicate", "drop", "delay", "reorder", "bad_signature", "stale_signature")
    CALLS = (
        "checkout.sessions.create", "checkout.sessions.expire", "checkout.sessions.retrieve", "refunds.create",
        "payment_intents.create", "payment_intents.capture", "payment_intents.cancel", "customers.create",
        "transfers.create", "transfers.reversals.create", "v2.core.accounts.create", "*", "*", "*",
    )  # fmt: skip

    async def live(self) -> None:
        while True:
            await self.waits(10, 60, 120)
            what = self.chance.random()
            if what < 0.4:
                self.town.fault(
                    self.chance.choice(self.CALLS),
                    self.chance.choice(self.API),
                    effect=self.chance.random() < 0.5,
                    times=self.chance.choice([1, 1, 2]),
                    delay_s=self.chance.choice([2.0, 30.0]),
                )
            elif what < 0.65:
                self.town.event_fault(
                    self.chance.choice(self.EVENTS), delay_s=self.chance.choice([5.0, 60.0])
                )
            elif what < 0.95:
                servers = [self.town.server, *filter(None, [self.town.beside])]
                self.chance.choice(servers).dies_at = self.chance.randrange(25)
            else:
                await self.town.new_bank()
