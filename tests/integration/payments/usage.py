"""Somebody who is in a call that is paid for by use: without rooms, their rows and their notices."""

from typing import Any

from sqlalchemy import select, update

from signaling.notices import StayEnded, StayLow
from signaling.stores.schema import passes, runs, sessions, windows

from .world import Customer, World

METERED = {"kind": "metered", "rate_minor_per_min": 100, "currency": "eur", "window_s": 900}


class Caller:
    """One pass in windows, and its payer."""

    def __init__(self, world: World, who: Customer, pass_id: str) -> None:
        self.world = world
        self.who = who
        self.pass_id = pass_id
        self._stays = 0

    async def enters(self) -> None:
        self._stays += 1
        world, name = self.world, f"{self.pass_id}_{self._stays}"
        run = {
            "id": f"run_{name}",
            "host": "here",
            "state": "live",
            "beat_seq": 0,
            "run_ms": 0,
            "silent": {},
            "started_at": world.now_text(),
        }
        stay = {
            "id": f"ses_{name}",
            "pass_id": self.pass_id,
            "room_id": "room_talk",
            "run_id": run["id"],
            "epoch": self._stays,
            "started_at": world.now_text(),
            "ended_at": None,
            "end_code": None,
        }

        async def work(tx: Any) -> None:
            await tx.execute(runs.insert().values(run))
            await tx.execute(sessions.insert().values(stay))
            await tx.execute(update(passes).where(passes.c.id == self.pass_id).values(state="active"))

        await world.db.write(work)

    async def uses(self, seconds: float) -> None:
        """So much in all."""
        change = update(passes).where(passes.c.id == self.pass_id).values(used_ms=round(seconds * 1000))
        await self.world.db.write(lambda tx: tx.execute(change))

    async def goes(self, code: str = "left", *, told: bool = True) -> None:
        """Out of the room; `told`: payments hear of it."""
        world = self.world
        change = (
            update(sessions)
            .where(sessions.c.pass_id == self.pass_id, sessions.c.ended_at.is_(None))
            .values(ended_at=world.now_text(), end_code=code)
        )
        await world.db.write(lambda tx: tx.execute(change))
        if told:
            world.payments.hear(StayEnded(self.pass_id, "room_talk", code))

    async def runs_low(self) -> None:
        self.world.payments.hear(StayLow(self.pass_id, "room_talk"))
        await self.world.settle_down()

    async def calls(self, seconds: float, code: str = "left") -> None:
        """A whole stay, settled."""
        await self.enters()
        await self.uses(seconds)
        await self.goes(code)
        await self.world.settle_down()

    # --- what came of it ----------------------------------------------------------------------------------

    async def use(self) -> dict[str, Any]:
        return (await self.world.show(self.who))["use"]

    async def pass_row(self) -> dict[str, Any]:
        async with self.world.db.read() as tx:
            row = (await tx.execute(select(passes).where(passes.c.id == self.pass_id))).mappings().one()
        return dict(row)

    async def windows(self) -> list[dict[str, Any]]:
        query = select(windows).where(windows.c.pass_id == self.pass_id).order_by(windows.c.number)
        async with self.world.db.read() as tx:
            return [dict(row) for row in (await tx.execute(query)).mappings()]


async def caller(world: World, card: str = "succeeds", **order: Any) -> Caller:
    """Who has a hold on their card, and may go in."""
    who = world.customer()
    status, made = await world.order(who, **{"seconds": None} | order)
    assert status == 201, made
    status, paid = await world.pay(made, card)
    assert status == 200, paid
    await world.settle_down()
    shown = await world.show(who)
    return Caller(world, who, shown["pass"]["id"])


async def charged_twice(world: World) -> Caller:
    """Whose call is over, and was charged 15.00 and 5.20."""
    await world.add_room(tariff=METERED)
    who = await caller(world, goes_on=True)
    await who.enters()
    await who.runs_low()
    await who.uses(1_212)
    await who.goes()
    await world.settle_down()
    assert [row["charged_minor"] for row in await who.windows()] == [1500, 520]
    return who


__all__ = ["METERED", "Caller", "caller", "charged_twice"]
