"""The process dies between any two steps; after the restart nothing is lost, and nothing is done twice.

Every story is told without a crash, to count its steps, and then once for each step, dying after it.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import pytest

from signaling.payments.checkout import NewOrder
from signaling.stores.orders import get_order

from .world import Crash, Customer, World

Story = Callable[[World, Customer], Awaitable[None]]


async def _quietly(step: Awaitable[object]) -> None:
    """A dead process does nothing more; who talks to it gets no answer."""
    try:
        await step
    except Crash:
        return


async def _order(world: World, who: Customer) -> None:
    body = NewOrder(order_id=who.order_id, name="Bo", seconds=900, accept_terms=True)
    await _quietly(world.payments.make_order("talk", body, who.secret))


async def _run(world: World) -> None:
    if not world.crashed:
        await _quietly(world.work())


async def _restart_when_dead(world: World) -> None:
    if world.crashed:
        await world.reboot()
        await world.payments.catch_up()


async def _pay(world: World, who: Customer) -> None:
    shown = await world.show(who)
    if shown["state"] == "open":
        await world.pay(shown)


async def _rounds(world: World, count: int = 4) -> None:
    """Webhooks and our worker, each dying wherever it must; a dead process is started again."""
    for _ in range(count):
        await _quietly(world.deliver())
        await _run(world)
        await _restart_when_dead(world)
        world.later(5)


async def buying(world: World, who: Customer) -> None:
    await _order(world, who)
    await _restart_when_dead(world)
    await _order(world, who)  # the browser asks again, with the same id
    await _rounds(world)
    await _pay(world, who)
    await _rounds(world)
    world.later(700)  # failed webhooks come again
    await _rounds(world)


async def being_refunded(world: World, who: Customer) -> None:
    await buying(world, who)
    await world.set_room("room_talk", state="closed", live=False)
    await _rounds(world, 6)
    world.later(700)
    await _rounds(world, 6)


async def walking_away(world: World, who: Customer) -> None:
    await _order(world, who)
    await _restart_when_dead(world)
    async with world.db.read() as tx:
        order = await get_order(tx, who.order_id)
    if order is not None:
        await _quietly(world.payments.cancel(order))
    await _restart_when_dead(world)
    world.later(601)
    await _rounds(world, 6)


@dataclass(frozen=True)
class Telling:
    """A story, how many steps it has without a crash, and what must be true at its end."""

    story: Story
    steps: int
    states: frozenset[str]
    captured_minor: int = 0
    refunded_minor: int = 0


TELLINGS = {
    "buying": Telling(buying, 10, frozenset({"paid"}), 1500),
    "being_refunded": Telling(being_refunded, 21, frozenset({"refunded"}), 1500, 1500),
    # Who dies before the wish is stored has walked away without a word: the reservation runs out.
    "walking_away": Telling(walking_away, 12, frozenset({"canceled", "expired"})),
}
DEATHS = [(name, step) for name, telling in TELLINGS.items() for step in range(telling.steps)]


async def _tell(world: World, telling: Telling, dying_at: int | None) -> Customer:
    await world.add_room(capacity=1)
    await world.payments.catch_up()
    who = world.customer()
    world.steps.clear()
    world.crash_at = dying_at
    await telling.story(world, who)
    return who


async def _assert_ended_well(world: World, who: Customer, telling: Telling) -> None:
    assert (await world.show(who))["state"] in telling.states
    books = await world.books()
    assert sum(one["captured_minor"] for one in books) == telling.captured_minor
    assert sum(one["refunded_minor"] for one in books) == telling.refunded_minor
    assert len(await world.rows("passes")) == (1 if telling.captured_minor else 0)
    assert await world.rows("quarantine") == []
    await world.assert_books_agree()


@pytest.mark.parametrize("name", TELLINGS)
async def test_without_a_crash(world: World, name: str):
    telling = TELLINGS[name]
    who = await _tell(world, telling, None)
    await _assert_ended_well(world, who, telling)
    assert len(world.steps) == telling.steps, "the deaths below must cover every step"


@pytest.mark.parametrize(("name", "dying_at"), DEATHS)
async def test_dying_after_any_step(world: World, name: str, dying_at: int):
    who = await _tell(world, TELLINGS[name], dying_at)
    assert world.deaths == 1
    await _assert_ended_well(world, who, TELLINGS[name])
