"""People with credits: they buy some, are given some, and sit in several calls on them at once."""

import asyncio
from typing import Any

from . import server
from .payers import Payer
from .people import Json, Person

SAVED_CARDS = (
    "succeeds",
    "succeeds",
    "three_d_secure_once",
    "three_d_secure",
    "declines_later",
    "no_funds_later",
)


class Spender(Person):
    """One wallet, that of the currency in which rooms take credits."""

    def __init__(self, town: Any, number: int) -> None:
        super().__init__(town, f"spender {number}")
        self.user_id = town.furniture.people[number]
        self._hands = 0
        self._rooms = town.furniture.rooms_of("wallet")
        self._currency = self.chance.choice(self._rooms)["currency"]

    async def live(self) -> None:
        await self.waits(1, 30)
        await self.tops_up()
        for _ in range(self.chance.choice([2, 3, 5])):
            deed = self.chance.choice(
                [self.tops_up, self.calls, self.calls, self.calls, self.chooses, self.forgets]
            )
            await deed()
            await self.waits(5, 60)

    def _hand(self) -> Payer:
        """For one order: several are in hand at once."""
        self._hands += 1
        hand = Payer(self.town, f"{self.name} hand {self._hands}")
        hand.user_id = self.user_id
        hand.begin()
        return hand

    async def wallet(self) -> Json:
        status, shown = await self.call(f"{server.URL}/api/me/wallets/{self._currency}", method="GET")
        return shown if status == 200 else {}

    # --- money in -----------------------------------------------------------------------------------------

    async def tops_up(self) -> None:
        shown, hand = await self.wallet(), self._hand()
        if not shown.get("packages"):
            return
        place = self.chance.randrange(len(shown["packages"]))
        body: Json = {
            "order_id": hand.order_id, "package": place, "accept_terms": True, "ui": self.chance.choice([None, "embedded"]),
            "price_minor": shown["packages"][place]["price_minor"],
        }  # fmt: skip
        if shown["cards"] and self.chance.random() < 0.4:
            body["payment_method_id"] = self.chance.choice(shown["cards"])["id"]
        elif self.chance.random() < 0.6:
            body["save_card"] = True
            hand.cards = SAVED_CARDS
        self.town.tell(f"{self.name} tops up {hand.order_id} {body}")
        self.town.orders.append((hand.order_id, ""))
        await hand.orders(f"{server.URL}/api/wallets/{self._currency}/topups", body)
        if self.chance.random() < 0.05:
            await hand.mine("cancel")
        await hand.pays()

    async def chooses(self) -> None:
        """Topping up unasked: on, off, or with another card."""
        shown = await self.wallet()
        if not shown.get("cards"):
            return
        body: Json = {"on": False}
        if self.chance.random() < 0.8:
            card = self.chance.choice(shown["cards"])["id"]
            body = {"on": True, "package": self.chance.randrange(3), "payment_method_id": card}
        self.town.tell(f"{self.name} chooses {body}")
        await self.call(f"{server.URL}/api/wallets/{self._currency}/auto", body, method="PUT")

    async def forgets(self) -> None:
        cards = (await self.wallet()).get("cards")
        if cards and self.chance.random() < 0.4:
            card = self.chance.choice(cards)["id"]
            await self.call(f"{server.URL}/api/me/cards/{card}", method="DELETE")

    # --- money out ----------------------------------------------------------------------------------------

    async def calls(self) -> None:
        """Several at once run on the same credits."""
        fit = [room for room in self._rooms if room["currency"] == self._currency]
        chosen = self.chance.choices(fit, k=self.chance.choice([1, 1, 2, 3]))
        async with asyncio.TaskGroup() as together:
            for room in chosen:
                together.create_task(self._sits_in(room, self._hand()))

    async def _sits_in(self, room: Json, hand: Payer) -> None:
        self.town.tell(f"{hand.name} orders {hand.order_id} in {room['id']} with credits")
        self.town.orders.append((hand.order_id, room["id"]))
        body = {"order_id": hand.order_id, "name": self.name, "accept_terms": True}
        await hand.orders(f"{server.URL}/api/rooms/{room['slug']}/orders", body)
        shown = await hand.mine("refresh")
        if shown.get("pass"):
            await hand.goes_in(room, shown["pass"]["id"])


class Treasurer(Person):
    """The platform gives and takes credits; whoever is given some buys none any more in that currency."""

    async def live(self) -> None:
        while True:
            await self.waits(200, 600)
            who = self.chance.choice(self.town.furniture.people)
            verb, code = self.chance.choice(["credit", "credit", "debit"]), self.chance.choice(["eur", "usd"])
            body = {"transfer_id": self.id("gift"), "amount_minor": self.chance.choice([50, 400, 2_000])}
            self.town.tell(f"the treasurer: {verb} {who} {code} {body}")
            for _ in range(self.chance.choice([1, 2])):
                await self.call(f"{server.URL}/api/admin/wallets/{who}/{code}/{verb}", body, server.OPERATOR)
