"""People who subscribe to a room, and the months that pass for them: by the bank's own control, since a town has a day."""

import asyncio
from typing import Any

from . import bank, server
from .payers import Payer
from .people import Json, Person

CARDS = ("succeeds", "succeeds", "succeeds", "declines_later", "no_funds_later", "declined")
PORTAL_CARDS = ("succeeds", "succeeds", "declines_later", "declined")


class Subscriber(Person):
    def __init__(self, town: Any, number: int) -> None:
        super().__init__(town, f"subscriber {number}")
        self.user_id = town.furniture.people[number]

    async def live(self) -> None:
        await self.waits(5, 60)
        await self.subscribes()
        for _ in range(self.chance.choice([2, 3, 5])):
            await self.waits(10, 60, 200)
            await self.chance.choice([self.time_passes, self.time_passes, self.portal, self.subscribes])()

    async def subscribes(self) -> None:
        """Again, where the one before is over; refused where it is not."""
        room = self.chance.choice(self.town.furniture.rooms_of("subscription"))
        hand = Payer(self.town, f"{self.name} {self.chance.random()}")
        hand.user_id, hand.cards = self.user_id, CARDS
        hand.begin()
        self.town.tell(f"{self.name} subscribes {hand.order_id} to {room['id']}")
        self.town.orders.append((hand.order_id, room["id"]))
        body = {"order_id": hand.order_id, "name": self.name, "accept_terms": True}
        await hand.orders(f"{server.URL}/api/rooms/{room['slug']}/orders", body)
        shown = await hand.pays()
        if shown.get("pass"):
            inside = asyncio.create_task(hand.goes_in(room, shown["pass"]["id"]))
            self.town.meanwhile(inside)

    async def mine(self) -> list[Json]:
        status, shown = await self.call(f"{server.URL}/api/me/subscriptions", method="GET")
        return list(shown["subscriptions"]) if status == 200 else []

    async def time_passes(self) -> None:
        """Its period is over, or the next try is due; now and then the bank says no."""
        for one in await self.mine():
            body = {"subscription": one["id"], "fails": self.chance.random() < 0.4}
            self.town.tell(f"a period passes: {body}")
            await self.call(f"{bank.URL}/_control/advance_subscription", body)

    async def portal(self) -> None:
        """The bank's page for subscribers: ends, resumes, another card."""
        for one in await self.mine():
            status, shown = await self.call(f"{server.URL}/api/me/subscriptions/{one['id']}/portal")
            if status != 200:
                continue
            key, deed = shown["url"].rsplit("/", 1)[1], self.chance.choice(["cancel", "resume", "card"])
            self.town.tell(f"{self.name} at the portal: {deed} {one['id']}")
            body = {"subscription": one["id"], "card": self.chance.choice(PORTAL_CARDS)}
            await self.call(f"{bank.URL}/sandbox/api/portal/{key}/{deed}", body)
            if self.chance.random() < 0.5:
                await self.call(f"{server.URL}/api/me/subscriptions/{one['id']}/refresh")
