"""Hosts of rooms: on the air, silent, away, and sometimes gone for good. Who loses the server comes back by itself."""

import asyncio
from typing import TYPE_CHECKING

from signaling.rooms.room import Participant

from .people import Json, Person

if TYPE_CHECKING:
    from .server import Server
    from .town import Town

LOOKS_S = 2.0
# Shorter than a leg may be silent, about as long, and long enough for the room to be away.
SILENT_S = (3, 11, 14, 45)


class Host(Person):
    def __init__(self, town: "Town", room: Json) -> None:
        super().__init__(town, f"host of {room['id']}")
        self._room_id: str = room["id"]
        self._at: Server | None = None
        self._who: Participant | None = None
        self._is_gone = False

    async def live(self) -> None:
        while not self._is_gone:
            until_s = self._now_s() + self.chance.choice([60, 300, 900]) * self.chance.random()
            while self._now_s() < until_s:
                await self._is_on_air()
                await asyncio.sleep(LOOKS_S)
            await self._does_something()

    def _now_s(self) -> float:
        return asyncio.get_running_loop().time()

    async def _is_on_air(self) -> bool:
        at = self.town.server
        if at.is_alive and (at is not self._at or self._who is None or self._who.ended):
            self._who = await self.town.within(at, at.calls.host(self._room_id))
            self._at = at
        return at.is_alive and self._who is not None and not self._who.ended

    async def _does_something(self) -> None:
        if not await self._is_on_air() or self._at is None or self._who is None:
            return
        at, who, what = self._at, self._who, self.chance.random()
        if what < 0.05:
            self._is_gone = True
            self.town.tell(f"{self.name} closes the room")
            await self.town.within(at, at.calls.closes(who, refund=self.chance.random() < 0.5))
        elif what < 0.2:
            self.town.tell(f"{self.name} puts somebody out")
            await self.town.within(at, at.calls.kicks(who, refund=self.chance.random() < 0.5))
        elif what < 0.5:
            self.town.tell(f"{self.name} is silent")
            at.context.run(at.calls.silent, who)
            await asyncio.sleep(self.chance.choice(SILENT_S))
            at.context.run(at.calls.heard, who)
        else:
            self.town.tell(f"{self.name} is away")
            at.context.run(at.calls.leaves, who)
            await self.waits(20, 90, 500)
