"""What a host earns: pending, available once it is due, frozen while a bank looks into it."""

from typing import Any

from signaling.stores.rates import BooksOf, RatesRow, set_rates

from .world import ACCOUNT, World

DAY_S = 86_400


async def _stands(world: World) -> dict[str, int]:
    """What the books owe or are owed, by account, without what is at the service."""
    kept = {row["name"]: row["credits_minor"] - row["debits_minor"] for row in await world.rows("balances")}
    return {name: minor for name, minor in kept.items() if minor and name != "stripe_clearing"}


async def _session(world: World) -> str:
    return str((await world.one("orders"))["checkout_session_id"])


async def test_a_sale_is_available_after_fifteen_days(world: World):
    await world.add_room()
    await world.buy()
    earning: dict[str, Any] = await world.one("earnings")
    assert (earning["payee"], earning["net_minor"], earning["state"]) == ("room_talk", 1500, "pending")
    assert earning["charge_id"].startswith("ch_")
    assert await _stands(world) == {"earned_pending:room_talk": 1500}
    world.later(15 * DAY_S - 1)
    await world.work()
    assert await _stands(world) == {"earned_pending:room_talk": 1500}
    world.later(1)
    await world.work()
    await world.work()
    assert await _stands(world) == {"earned_available:room_talk": 1500}
    await world.control("refund", session=await _session(world), amount_minor=400)
    await world.settle_down()
    assert await _stands(world) == {"earned_available:room_talk": 1100}
    await world.assert_books_agree()


async def test_another_holding_time(world: World):
    await world.reboot(earnings_days=0)
    await world.add_room()
    await world.buy()
    await world.work()
    assert await _stands(world) == {"earned_available:room_talk": 1500}


async def test_the_rates_of_a_room_say_how_long_its_earnings_wait(world: World):
    await world.add_room()
    row = RatesRow("room", "room_talk", {"earnings_days": 3}, "2026-01-01T00:00:00.000Z")
    await world.db.write(lambda tx: set_rates(tx, BooksOf("sandbox", ACCOUNT), row))
    await world.buy()
    world.later(3 * DAY_S - 1)
    await world.work()
    assert await _stands(world) == {"earned_pending:room_talk": 1500}
    world.later(1)
    await world.work()
    await world.work()
    assert await _stands(world) == {"earned_available:room_talk": 1500}


async def test_a_full_refund_that_comes_back_is_the_payees_again_until_the_next(world: World):
    await world.add_room()
    who, _ = await world.buy()
    session = await _session(world)
    await world.control("refund", session=session)
    await world.settle_down()
    assert await _stands(world) == {}
    await world.control("fail_refund", refund=(await world.one("refunds"))["stripe_refund_id"])
    await world.settle_down()
    shown = await world.show(who)
    assert (shown["state"], shown["pass"]["state"]) == ("paid", "refunded")
    assert await _stands(world) == {"earned_pending:room_talk": 1500}
    await world.assert_books_agree()
    await world.control("refund", session=session)
    await world.settle_down()
    assert (await world.show(who))["state"] == "refunded"
    assert await _stands(world) == {}
    await world.assert_books_agree()


async def test_a_dispute_keeps_a_sale_from_becoming_due(world: World):
    await world.add_room()
    await world.buy()
    session = await _session(world)
    await world.control("dispute", session=session)
    await world.settle_down()
    assert await _stands(world) == {"dispute_reserve:room_talk": 1500}
    world.later(16 * DAY_S)
    await world.work()
    assert await _stands(world) == {"dispute_reserve:room_talk": 1500}
    await world.control("dispute", session=session, action="won")
    await world.settle_down()
    assert await _stands(world) == {"earned_available:room_talk": 1500}
    await world.assert_books_agree()
