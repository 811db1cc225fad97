"""Hosts who want to be paid out: they fill in the bank's forms, and the bank makes of them what it will."""

import contextlib
from typing import Any

from . import bank, server
from .people import LOST, PATIENCE, Person

OUTCOMES = ("finish", "finish", "finish", "check", "restrict", "leave")
STATUSES = ("active", "active", "pending", "restricted")


class Payee(Person):
    def __init__(self, town: Any, number: int) -> None:
        super().__init__(town, f"payee {number}")
        self.user_id = town.furniture.hosts[number]

    async def live(self) -> None:
        while True:
            await self.waits(20, 100, 600)
            status, said = await self.call(f"{server.URL}/api/me/onboarding", {"country": "IT"})
            if status != 200:
                continue
            outcome, key = self.chance.choice(OUTCOMES), said["url"].rsplit("/", 1)[1]
            self.town.tell(f"{self.name} at the forms: {outcome}")
            await self.call(f"{bank.URL}/sandbox/api/onboarding/{key}", {"outcome": outcome})
            if self.chance.random() < 0.5:
                await self.call(f"{server.URL}/api/me/onboarding/refresh")


class Accounts(Person):
    """What happens to hosts' accounts at the bank: looked into, paid out from, and a transfer taken back by hand."""

    async def live(self) -> None:
        while True:
            await self.waits(100, 400)
            deed = self.chance.choice([self.becomes, self.pays_out, self.makes_available, self.takes_back])
            await deed()

    async def _account(self) -> str | None:
        found = await self.town.at_bank("v2.core.account")
        return self.chance.choice(found)["id"] if found else None

    async def becomes(self) -> None:
        if account := await self._account():
            await self.control("account", account=account, status=self.chance.choice(STATUSES))

    async def pays_out(self) -> None:
        if account := await self._account():
            await self.control("pay_out", account=account)

    async def makes_available(self) -> None:
        await self.control("make_available")

    async def takes_back(self) -> None:
        """As the operator may in the bank's dashboard; what the host no longer has is refused."""
        sent = [one for one in await self.town.at_bank("transfer") if not one["reversed"]]
        if sent and self.chance.random() < 0.3:
            one = self.chance.choice(sent)
            self.town.tell(f"at the bank: {one['id']} is taken back by hand")
            headers = {"Authorization": f"Bearer {bank.SECRET_KEY}"}
            with contextlib.suppress(*LOST):
                url = f"{bank.URL}/v1/transfers/{one['id']}/reversals"
                async with self.town.http.post(url, headers=headers, timeout=PATIENCE) as answer:
                    await answer.read()

    async def control(self, verb: str, **body: Any) -> None:
        self.town.tell(f"at the bank: {verb} {body}")
        await self.call(f"{bank.URL}/_control/{verb}", body)
