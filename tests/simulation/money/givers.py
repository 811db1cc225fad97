"""Who gives money back on request: the operator, of anything that was sold, and hosts, of what was sold in their rooms.

Both are impatient: some things are asked for twice, at once or one after the other, and some again under another id.
"""

import asyncio
from typing import Any

from signaling.stores import rates

from . import bank, furnishing, server
from .people import Json, Person

PARTS: tuple[Json, ...] = ({"amount_minor": 120}, {"seconds": 61}, {"part": "unused"}, {"part": "all"})
# Of what has no length.
AMOUNTS: tuple[Json, ...] = (
    {"amount_minor": 1},
    {"amount_minor": 120},
    {"amount_minor": 300},
    {"part": "all"},
)


class Giver(Person):
    """`bearer`: what proves who asks."""

    bearer: str

    async def gives(self, url: str, parts: tuple[Json, ...], more: Json) -> None:
        for _ in range(self.chance.choice([1, 1, 1, 2])):
            body = self.chance.choice(parts) | {
                "refund_id": self.id("rfd"),
                "reason": self.chance.choice(["goodwill", "technical", "requested"]),
                "end_access": self.chance.choice([None, True, False]),
            }
            self.town.tell(f"{self.name} gives back {body | more} at {url}")
            clicks = self.chance.choice([1, 1, 2])
            await asyncio.gather(*(self.call(url, body | more, self.bearer) for _ in range(clicks)))
            if self.chance.random() < 0.3:
                await self.call(url, body | more, self.bearer)

    async def looks_at(self, url: str) -> Json:
        status, shown = await self.call(url, bearer=self.bearer, method="GET")
        return shown if status == 200 else {}


class Operator(Giver):
    bearer = server.OPERATOR

    async def live(self) -> None:
        deeds = (self.anything, self.credits, self.an_invoice, self.a_call, self.tries_again, self.taxes)
        while True:
            await self.waits(60, 200)
            await self.chance.choice(deeds)()

    def _some(self, *kinds: str) -> str | None:
        """An order in a room of one of these kinds; `topup`: of credits."""
        kind_of = {room["id"]: room["tariff"]["kind"] for room in self.town.furniture.rooms} | {"": "topup"}
        fit = [order_id for order_id, room_id in self.town.orders if kind_of[room_id] in kinds]
        return self.chance.choice(fit) if fit else None

    async def _gives_of(self, order_id: str, parts: tuple[Json, ...], **more: Any) -> None:
        await self.gives(f"{server.URL}/api/admin/orders/{order_id}/refunds", parts, more)

    async def anything(self) -> None:
        if self.town.orders:
            order_id, _ = self.chance.choice(self.town.orders)
            await self._gives_of(order_id, PARTS)

    async def credits(self) -> None:
        if order_id := self._some("topup"):
            await self._gives_of(order_id, AMOUNTS)

    async def a_call(self) -> None:
        if order_id := self._some("wallet"):
            await self._gives_of(order_id, (*AMOUNTS, {"seconds": 61}))

    async def an_invoice(self) -> None:
        """The newest one, or one of those that the operator's page shows; some end the subscription with it."""
        order_id = self._some("subscription")
        if order_id is None:
            return
        shown = await self.looks_at(f"{server.URL}/api/admin/orders/{order_id}")
        named = [None, *(one["invoice_id"] for one in shown.get("invoices", []))]
        await self._gives_of(
            order_id, AMOUNTS, invoice_id=self.chance.choice(named), cancel=self.chance.random() < 0.2
        )

    async def taxes(self) -> None:
        """Begins or ends to have tax computed in a room, or the rate of it changes: for what is sold from then on."""
        if self.chance.random() < 0.3:
            percent = self.chance.choice(furnishing.TAXES)
            await self.call(f"{bank.URL}/_control/tax", {"percent": percent})
        room_id, at = self.chance.choice(self.town.furniture.rooms)["id"], self.town.server
        row = furnishing.taxed(room_id, is_taxed=self.chance.random() < 0.6)
        self.town.tell(f"the operator: {row.figures} in {room_id}")
        await self.town.within(at, at.db.write(lambda tx: rates.set_rates(tx, furnishing.BOOKS, row)))

    async def tries_again(self) -> None:
        """What was given up."""
        waiting = (await self.looks_at(f"{server.URL}/api/admin/attention")).get("outbox", [])
        if waiting:
            one = self.chance.choice(waiting)
            self.town.tell(f"the operator tries {one['id']} again: {one['note']}")
            await self.call(f"{server.URL}/api/admin/attention/outbox/{one['id']}/retry", {}, self.bearer)


class Desk(Giver):
    """Of one room, with its key: what its list of sales shows."""

    def __init__(self, town: Any, room: Json) -> None:
        super().__init__(town, f"desk of {room['id']}")
        self.bearer = server.host_key(room["id"])
        self._url = f"{server.URL}/api/host/rooms/{room['id']}"

    async def live(self) -> None:
        while True:
            await self.waits(200, 900)
            sold = (await self.looks_at(f"{self._url}/sales")).get("sales", [])
            if not sold:
                continue
            one = self.chance.choice(sold)
            parts = AMOUNTS if "invoices" in one else PARTS
            named = [None, *(paid["invoice_id"] for paid in one.get("invoices", []))]
            more = {"order_id": one["order_id"], "invoice_id": self.chance.choice(named)}
            await self.gives(f"{self._url}/refunds", parts, more)
