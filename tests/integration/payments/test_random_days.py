"""A seeded day in a payment world: people, banks, faults and crashes in any order.

Invariant: once everything that is on its way has arrived, the books agree with the sandbox's, nobody paid twice,
and every payment either has its access or went back.
"""

import contextlib
import random

import pytest

from signaling.payments.port import OutcomeUnknownError

from .test_crashes import _quietly
from .world import Customer, World

MOVES = 40
FAULTS = ("truncate_after_commit", "reset_after_commit", "error_500_saved", "conflict_409", "rate_limit_429")
OPERATIONS = (
    "checkout.sessions.create",
    "checkout.sessions.expire",
    "checkout.sessions.retrieve",
    "refunds.create",
    "*",
)
EVENT_FAULTS = ("duplicate", "drop", "delay", "reorder", "bad_signature")
SEEDS = range(12)


class Day:
    def __init__(self, world: World, seed: int) -> None:
        self.world = world
        self.chance = random.Random(seed)
        self.people: list[Customer] = []
        self.disputed: set[str] = set()

    async def run(self) -> None:
        often = [self.pay, self.work, self.deliver]
        people = [self.order, self.pay, self.cancel, self.refresh, self.host, self.wait]
        misfortune = [self.fault, self.event_fault, self.crash, self.dashboard, self.dispute]
        moves = [*often, *often, *people, *misfortune, self.time]
        for _ in range(MOVES):
            await _quietly(self.chance.choice(moves)())
            await self.restart()
        await self.quiet_down()

    async def restart(self) -> None:
        if self.world.crashed:
            await self.world.reboot()
            with contextlib.suppress(OutcomeUnknownError):  # its loop would try again
                await _quietly(self.world.payments.catch_up())

    def someone(self) -> Customer | None:
        return self.chance.choice(self.people) if self.people else None

    async def shown(self, who: Customer) -> dict:
        status, shown = await self.world.call("GET", f"/api/orders/{who.order_id}", who)
        return shown if status == 200 else {}

    async def order(self) -> None:
        again = self.someone()
        who = again if again and self.chance.random() < 0.2 else self.world.customer()
        base = self.someone()
        body = {}
        if base and base is not who and self.chance.random() < 0.3:
            pass_id = (await self.shown(base)).get("pass", {}).get("id")
            body = {"extends": pass_id, "extends_secret": base.secret} if pass_id else {}
        if who not in self.people:
            self.people.append(who)
        await self.world.order(who, **body)

    async def pay(self) -> None:
        who = self.someone()
        shown = await self.shown(who) if who else {}
        if "checkout" in shown:
            await self.world.pay(shown, self.chance.choice(["succeeds", "succeeds", "declined"]))

    async def work(self) -> None:
        await self.world.work()

    async def deliver(self) -> None:
        await self.world.deliver()

    async def time(self) -> None:
        self.world.later(self.chance.choice([1, 5, 30, 120, 400]))

    async def fault(self) -> None:
        await self.world.control(
            "faults",
            operation=self.chance.choice(OPERATIONS),
            fault=self.chance.choice(FAULTS),
            effect=self.chance.random() < 0.5,
        )

    async def event_fault(self) -> None:
        await self.world.control("faults", events=self.chance.choice(EVENT_FAULTS), delay_s=20)

    async def crash(self) -> None:
        self.world.crash_at = self.chance.randrange(6)

    async def cancel(self) -> None:
        if who := self.someone():
            await self.world.call("POST", f"/api/orders/{who.order_id}/cancel", who)

    async def refresh(self) -> None:
        if who := self.someone():
            await self.world.call("POST", f"/api/orders/{who.order_id}/refresh", who)

    async def wait(self) -> None:
        if who := self.someone():
            wanted = {"wait": self.chance.random() < 0.5}
            await self.world.call("POST", f"/api/orders/{who.order_id}/wait", who, wanted)

    async def host(self) -> None:
        is_live = self.chance.random() < 0.7
        away_since_s = None if is_live else int(self.world.clock.at_s)
        await self.world.set_room("room_talk", live=is_live, away_since_s=away_since_s)

    async def paid_session(self) -> str | None:
        """Stripe refunds nothing that was ever disputed, whatever came of it."""
        books = [one for one in await self.world.books() if one["captured_minor"] > one["refunded_minor"]]
        undisputed = [one["session"] for one in books if one["session"] not in self.disputed]
        return self.chance.choice(undisputed) if undisputed else None

    async def dashboard(self) -> None:
        if session := await self.paid_session():
            await self.world.control("refund", session=session, amount_minor=self.chance.choice([100, 500]))

    async def dispute(self) -> None:
        if self.chance.random() < 0.5:
            return
        if session := await self.paid_session():
            self.disputed.add(session)
            await self.world.control("dispute", session=session)
            if self.chance.random() < 0.7:
                action = self.chance.choice(["won", "lost"])
                await self.world.control("dispute", session=session, action=action)

    async def quiet_down(self) -> None:
        """No more faults; enough time for every back-off and every webhook."""
        self.world.crash_at = None
        await self.world.control("reset")
        await self.world.reboot()
        for _ in range(14):
            await self.world.payments.catch_up()
            await self.world.settle_down()
            self.world.later(400)


@pytest.mark.parametrize("seed", SEEDS)
async def test_a_random_day_ends_with_sound_books(world: World, seed: int):
    await world.add_room(capacity=4)
    await world.payments.catch_up()
    await Day(world, seed).run()
    await world.assert_books_agree()
    orders = await world.rows("orders")
    assert {row["state"] for row in orders} <= {
        "paid",
        "expired",
        "canceled",
        "failed",
        "refunded",
        "partly_refunded",
        "disputed",
    }
    assert await world.rows("quarantine") == []
    assert {row["state"] for row in await world.rows("inbox")} <= {"applied", "ignored"}
    # A refund of what a bank is disputing is refused: then a person decides.
    refused = [row["note"] for row in await world.rows("outbox") if row["state"] != "done"]
    assert all("charge_disputed" in note for note in refused)
