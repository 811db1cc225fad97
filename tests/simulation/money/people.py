"""Who lives in a town: payers, hosts, the operator, and the bank's customers. Each does what its own dice say, beside the
others; whoever sees no answer comes back, as people do.
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
CARDS = ("succeeds", "succeeds", "succeeds", "succeeds", "declined", "three_d_secure", "insufficient_funds")
Json = dict[str, Any]


def _text(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


class Person:
    def __init__(self, town: "Town", name: str) -> None:
        self.town = town
        self.chance = Random(f"{town.seed} {name}")
        self.name = name

    async def call(self, url: str, body: Json | None = None, bearer: str | None = None) -> tuple[int, Json]:
        """Status 0: nobody knows what became of it."""
        headers = {} if bearer is None else {"Authorization": f"Bearer {bearer}"}
        try:
            async with self.town.http.post(url, json=body or {}, headers=headers, timeout=PATIENCE) as said:
                return said.status, await said.json(content_type=None)
        except LOST as error:
            self.town.tell(f"{self.name}: no answer to {url.rpartition('/')[2]}: {type(error).__name__}")
            return 0, {}

    async def waits(self, *seconds: float) -> None:
        await asyncio.sleep(self.chance.choice(seconds) * self.chance.random())

    def id(self, prefix: str) -> str:
        return f"{prefix}_{_text(self.chance.randbytes(16))}"


class Payer(Person):
    """Buys in one room after the other."""

    async def live(self) -> None:
        await self.waits(5, 30, 150)
        for _ in range(self.chance.choice([1, 1, 2, 3])):
            await self.buys()
            await self.waits(1, 30, 200)

    async def buys(self) -> None:
        room = self.chance.choice(self.town.rooms)
        self.order_id, self.secret = self.id("ord"), _text(self.chance.randbytes(32))
        self.town.orders.append((self.order_id, room["id"]))
        self.town.tell(f"{self.name} orders {self.order_id} in {room['id']} {room['tariff']['kind']}")
        await self.orders(room, self._wish(room))
        if self.chance.random() < 0.08:
            await self.mine("cancel")
            if self.chance.random() < 0.5:
                return
        if self.chance.random() < 0.1:
            return  # thinks better of it, and closes the page
        shown = await self.pays()
        if self.chance.random() < 0.1:
            await self.mine("wait", wait=True)
        if "pass" in shown:
            await self.goes_in(room, shown["pass"]["id"])

    def _wish(self, room: Json) -> Json:
        body: Json = {
            "order_id": self.order_id, "name": self.name, "accept_terms": True,
            "ui": self.chance.choice([None, "hosted", "embedded"]),
        }  # fmt: skip
        if room["tariff"]["kind"] == "per_minute":
            body["seconds"] = self.chance.choice(room["tariff"]["presets_s"])
        if room["tariff"]["kind"] == "metered":
            body["goes_on"] = self.chance.random() < 0.7
        if self.chance.random() < 0.25:
            body["code"] = self.chance.choice(["HALF", "GIFT", "LAST"])
        return body

    async def orders(self, room: Json, body: Json) -> None:
        """Now and then with a second click, and again when there was no answer."""
        url = f"{server.URL}/api/rooms/{room['slug']}/orders"
        clicks = self.chance.choice([1, 1, 1, 2])
        for _ in range(4):
            answers = await asyncio.gather(*(self.call(url, body, self.secret) for _ in range(clicks)))
            if any(status for status, _ in answers):
                return
            await self.waits(2, 10)

    async def mine(self, verb: str, **body: Any) -> Json:
        status, shown = await self.call(f"{server.URL}/api/orders/{self.order_id}/{verb}", body, self.secret)
        return shown if status == 200 else {}

    async def pays(self) -> Json:
        """Until it is paid, or one has enough. The order as it was shown last."""
        shown: Json = {}
        for _ in range(self.chance.choice([3, 6, 8])):
            shown = await self.mine("refresh")
            if shown.get("checkout"):
                await self.at_the_till(shown["checkout"])
            if shown.get("pass"):
                return shown
            await self.waits(1, 5, 20)
        return shown

    async def at_the_till(self, checkout: Json) -> None:
        place = "embedded" if checkout["ui"] == "frame" else "checkout"
        key = checkout["url"].rsplit("/", 1)[1]
        url = f"{bank.URL}/sandbox/api/{place}/{key}"
        await self.waits(0.1, 3, 30)
        tabs = self.chance.choice([1, 1, 1, 2])
        cards = [{"card": self.chance.choice(CARDS)} for _ in range(tabs)]
        answers = await asyncio.gather(*(self.call(f"{url}/pay", card) for card in cards))
        if any(card["card"] == "three_d_secure" for card in cards) and any(s == 200 for s, _ in answers):
            await self.call(f"{url}/challenge", {"approve": self.chance.random() < 0.8})

    async def goes_in(self, room: Json, pass_id: str) -> None:
        for _ in range(self.chance.choice([0, 1, 1, 2, 3])):
            inside = asyncio.create_task(self.town.stay(pass_id, self._stays_s()))
            if self.chance.random() < 0.3:
                await self.waits(30, 200)
                await self.in_between(room, pass_id)
            await inside
            await self.waits(1, 20, 200)

    def _stays_s(self) -> float:
        return self.chance.choice([3, 25, 100, 290, 700, 2000]) * (0.5 + self.chance.random())

    async def in_between(self, room: Json, pass_id: str) -> None:
        """Things that are done in the page during a call."""
        if room["tariff"]["kind"] == "metered":
            await self.mine("goes_on", goes_on=self.chance.random() < 0.7)
        elif room["tariff"]["kind"] == "per_minute":
            base, secret = self.order_id, self.secret
            self.order_id, self.secret = self.id("ord"), _text(self.chance.randbytes(32))
            self.town.orders.append((self.order_id, room["id"]))
            wish = self._wish(room) | {"extends": pass_id, "extends_secret": secret}
            await self.orders(room, wish)
            await self.pays()
            self.order_id, self.secret = base, secret


class Host(Person):
    """On the air, away, and sometimes gone for good."""

    async def live(self) -> None:
        while True:
            await self.waits(60, 300, 900)
            room = self.chance.choice(self.town.rooms)
            if self.chance.random() < 0.05:
                await self.town.set_room(room["id"], state="closed", live=False, away_since_s=self.town.now_s)
                continue
            await self.town.set_room(room["id"], live=False, away_since_s=self.town.now_s)
            await self.waits(20, 90, 500)
            await self.town.set_room(room["id"], live=True, away_since_s=None)


class Operator(Person):
    """Gives money back on request; impatient, so some things are asked for twice."""

    async def live(self) -> None:
        while True:
            await self.waits(100, 300)
            if not self.town.orders:
                continue
            order_id, _ = self.chance.choice(self.town.orders)
            parts = [{"amount_minor": 120}, {"seconds": 61}, {"part": "unused"}, {"part": "all"}]
            body = self.chance.choice(parts) | {
                "refund_id": self.id("rfd"),
                "reason": self.chance.choice(["goodwill", "technical", "requested"]),
                "end_access": self.chance.choice([None, True, False]),
            }
            url = f"{server.URL}/api/admin/orders/{order_id}/refunds"
            self.town.tell(f"the operator gives back {body} of {order_id}")
            for _ in range(self.chance.choice([1, 2])):
                await self.call(url, body, server.OPERATOR)


class BankCustomers(Person):
    """What is done at the bank itself: refunds in its dashboard, disputes, refunds that a bank sends back."""

    async def live(self) -> None:
        while True:
            await self.waits(150, 400)
            deed = self.chance.choice([self.refund, self.refund, self.dispute, self.decide, self.send_back])
            await deed()

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
            await self._control("dispute", dispute=dispute["id"], action=self.chance.choice(["won", "lost"]))

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
        "payment_intents.create", "payment_intents.capture", "payment_intents.cancel", "*", "*",
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
                self.town.server.dies_at = self.chance.randrange(25)
            else:
                await self.town.new_bank()
