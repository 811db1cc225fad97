"""The background tasks, as the server runs them: nobody calls `work_once`."""

import asyncio

from signaling.payments import sweeper
from signaling.payments.context import Context

from .world import World

PATIENCE_S = 20


async def _until_paid(world: World, who) -> None:
    async with asyncio.timeout(PATIENCE_S):
        await world.paid.wait()
    assert (await world.show(who))["state"] == "paid"


async def test_a_webhook_wakes_the_worker(world: World):
    await world.add_room()
    await world.payments.start()
    who = world.customer()
    _, order = await world.order(who)
    await world.pay(order)
    await world.deliver()
    await _until_paid(world, who)


async def test_what_was_paid_while_the_server_was_down_is_settled_at_start(world: World):
    await world.add_room()
    who = world.customer()
    _, order = await world.order(who)
    world.webhooks_reach_us = False
    await world.pay(order)
    await world.reboot()
    await world.payments.start()
    await _until_paid(world, who)


async def test_closing_leaves_no_task_behind(world: World):
    await world.payments.start()
    await world.payments.close()
    names = {task.get_name() for task in asyncio.all_tasks()}
    assert not {name for name in names if name.startswith("payments")}
    await world.payments.close()


async def test_who_pays_in_the_middle_of_a_round_does_not_wait_for_its_end(world: World, monkeypatch):
    """The longer a server lives, the longer its rounds may take."""
    await world.add_room()
    who = world.customer()
    _, order = await world.order(who)
    seen = []

    async def is_told(_ctx: Context) -> int:
        await world.pay(order)
        await world.deliver()
        seen.append((await world.show(who))["state"])
        return 0

    async def goes_on(_ctx: Context) -> int:
        seen.append((await world.show(who))["state"])
        return 0

    monkeypatch.setattr(sweeper, "_STEPS", (is_told, goes_on))
    await world.work()
    assert seen == ["open", "paid"]
