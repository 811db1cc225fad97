"""Who buys in rooms, pays at the bank's pages, and goes in."""

import asyncio
from typing import Any

from signaling.rooms.room import Participant

from . import bank, server
from .hosts import LOOKS_S, SILENT_S
from .people import Json, Person, text
from .server import Server

CARDS = ("succeeds", "succeeds", "succeeds", "succeeds", "declined", "three_d_secure", "insufficient_funds")
ASKING = ("three_d_secure", "three_d_secure_once")


def _orders_of(room: Json) -> str:
    return f"{server.URL}/api/rooms/{room['slug']}/orders"


class Payer(Person):
    """Buys in one room after the other; some are signed in."""

    cards: tuple[str, ...] = CARDS

    async def live(self) -> None:
        await self.waits(5, 30, 150)
        if self.chance.random() < 0.4:
            self.user_id = self.chance.choice(self.town.furniture.people)
        for _ in range(self.chance.choice([1, 1, 2, 3])):
            await self.buys()
            await self.waits(1, 30, 200)

    def begin(self) -> None:
        """A new order, with a secret of its own."""
        self.order_id, self.secret = self.id("ord"), text(self.chance.randbytes(32))

    async def buys(self) -> None:
        rooms = self.town.furniture.rooms_of("entrance", "per_minute", "metered", "free")
        if not rooms:
            return
        room = self.chance.choice(rooms)
        self.begin()
        self.town.orders.append((self.order_id, room["id"]))
        self.town.tell(f"{self.name} orders {self.order_id} in {room['id']} {room['tariff']['kind']}")
        await self.orders(_orders_of(room), self._wish(room))
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
        tariff = room["tariff"]
        body: Json = {
            "order_id": self.order_id, "name": self.name, "accept_terms": True,
            "ui": self.chance.choice([None, "hosted", "embedded"]),
        }  # fmt: skip
        if "free_seconds" in tariff and self.user_id is not None and self.chance.random() < 0.6:
            return body | {"free": True}
        if tariff["kind"] == "per_minute":
            body["seconds"] = self.chance.choice(tariff["presets_s"])
        if tariff["kind"] == "metered":
            body["goes_on"] = self.chance.random() < 0.7
        if self.chance.random() < 0.25:
            body["code"] = self.chance.choice(["HALF", "GIFT", "LAST"])
        return body

    async def orders(self, url: str, body: Json) -> None:
        """Now and then with a second click, and again when there was no answer."""
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
            if shown.get("pass") or shown.get("state") == "paid":
                return shown
            await self.waits(1, 5, 20)
        return shown

    async def at_the_till(self, checkout: Json) -> None:
        place, key = checkout["url"].rsplit("/", 2)[1:]
        url = f"{bank.URL}/sandbox/api/{place}/{key}"
        await self.waits(0.1, 3, 30)
        if place == "authenticate":  # a card on file, whose bank asks
            await self.call(f"{url}/challenge", {"approve": self.chance.random() < 0.8})
            return
        tabs = self.chance.choice([1, 1, 1, 2])
        cards = [{"card": self.chance.choice(self.cards)} for _ in range(tabs)]
        answers = await asyncio.gather(*(self.call(f"{url}/pay", card) for card in cards))
        if any(card["card"] in ASKING for card in cards) and any(s == 200 for s, _ in answers):
            await self.call(f"{url}/challenge", {"approve": self.chance.random() < 0.8})

    async def goes_in(self, room: Json, pass_id: str) -> None:
        for _ in range(self.chance.choice([0, 1, 1, 2, 3])):
            inside = asyncio.create_task(self.stays(room["id"], pass_id))
            if self.chance.random() < 0.3:
                await self.waits(30, 200)
                await self.in_between(room, pass_id)
            await inside
            await self.waits(1, 20, 200)

    async def stays(self, room_id: str, pass_id: str) -> None:
        """Inside until it ends or one has seen enough; who loses the server comes back to the next."""
        now_s = asyncio.get_running_loop().time
        until_s = now_s() + self.chance.choice([3, 25, 100, 290, 700, 2000]) * (0.5 + self.chance.random())
        while now_s() < until_s:
            at = self.town.server
            who = await self.town.within(at, at.calls.payer(room_id, pass_id))
            if who is not None:
                await self._watches(at, who, until_s)
            if at.is_alive:
                return
            await asyncio.sleep(self.chance.choice([1, 5, 30]))

    async def _watches(self, at: Server, who: Participant, until_s: float) -> None:
        now_s = asyncio.get_running_loop().time
        while not who.ended and at.is_alive and now_s() < until_s:
            await asyncio.sleep(min(LOOKS_S, until_s - now_s()))
            if self.chance.random() < 0.02:
                at.context.run(at.calls.silent, who)
                await asyncio.sleep(self.chance.choice(SILENT_S))
                at.context.run(at.calls.heard, who)
        if at.is_alive:
            at.context.run(at.calls.leaves, who)

    async def in_between(self, room: Json, pass_id: str) -> None:
        """Things that are done in the page during a call."""
        if room["tariff"]["kind"] == "metered":
            await self.mine("goes_on", goes_on=self.chance.random() < 0.7)
        elif room["tariff"]["kind"] == "per_minute":
            base, secret = self.order_id, self.secret
            self.begin()
            self.town.orders.append((self.order_id, room["id"]))
            wish = self._wish(room) | {"extends": pass_id, "extends_secret": secret}
            wish.pop("free", None)
            wish.setdefault("seconds", self.chance.choice(room["tariff"]["presets_s"]))
            await self.orders(_orders_of(room), wish)
            await self.pays()
            self.order_id, self.secret = base, secret
