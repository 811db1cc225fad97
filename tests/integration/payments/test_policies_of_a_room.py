"""The policies of a room: what goes back by itself, each switched by the rates; and access during a dispute."""

from typing import Any

import pytest
from sqlalchemy import update

from signaling.stores import rates
from signaling.stores.schema import passes, runs, sessions

from .world import ACCOUNT, World

BOOKS = rates.BooksOf("sandbox", ACCOUNT)


async def says(world: World, **figures: Any) -> None:
    row = rates.RatesRow("room", "room_talk", figures, "2026-01-01T00:00:00.000Z")
    await world.db.write(lambda tx: rates.set_rates(tx, BOOKS, row))


async def stayed(world: World, used_ms: int, end_code: str, number: int = 1) -> None:
    """The payer was in, and the stay ended now."""
    now_text = world.payments.ctx.now_text()
    run = {
        "id": f"run_{number}", "host": "here", "state": "live", "beat_seq": 0, "run_ms": 0, "silent": {},
        "started_at": now_text,
    }  # fmt: skip
    pass_id = (await world.one("passes"))["id"]
    stay = {
        "id": f"ses_{number}", "pass_id": pass_id, "room_id": "room_talk", "run_id": run["id"], "epoch": number,
        "started_at": now_text, "ended_at": now_text, "end_code": end_code,
    }  # fmt: skip

    async def work(tx: Any) -> None:
        await tx.execute(runs.insert().values(run))
        await tx.execute(sessions.insert().values(stay))
        await tx.execute(update(passes).values(used_ms=used_ms, state="active"))

    await world.db.write(work)


@pytest.mark.parametrize("end_code", ["run_lost", "media_failed"])
async def test_a_stay_spoiled_by_the_server_goes_back_after_ten_minutes(world: World, end_code: str) -> None:
    await world.add_room()
    who, _ = await world.buy()
    await stayed(world, 60_000, end_code)
    world.later(599)
    await world.settle_down()
    assert (await world.show(who))["state"] == "paid"
    world.later(2)
    await world.settle_down()
    shown = await world.show(who)
    assert (shown["refund"]["amount_minor"], shown["refund"]["reason"]) == (1400, "technical")
    assert shown["pass"]["state"] == "refunded"
    await world.assert_books_agree()


@pytest.mark.parametrize(("used_ms", "end_code"), [(60_000, "left"), (400_000, "run_lost")])
async def test_leaving_by_oneself_or_after_much_use_gives_nothing_back(
    world: World, used_ms: int, end_code: str
) -> None:
    await world.add_room()
    who, _ = await world.buy()
    await stayed(world, used_ms, end_code)
    world.later(5000)
    await world.settle_down()
    assert (await world.show(who))["state"] == "paid"


async def test_who_came_back_is_not_refunded(world: World) -> None:
    await world.add_room()
    who, _ = await world.buy()
    await stayed(world, 60_000, "run_lost")
    await stayed(world, 90_000, "left", number=2)
    world.later(5000)
    await world.settle_down()
    assert (await world.show(who))["state"] == "paid"


@pytest.mark.parametrize(("switch", "used_ms"), [("refund_no_show", 0), ("refund_host_left", 300_000)])
async def test_a_policy_that_is_switched_off_gives_nothing_back(
    world: World, switch: str, used_ms: int
) -> None:
    room = await world.add_room()
    await says(world, **{switch: False})
    who, _ = await world.buy()
    await world.db.write(lambda tx: tx.execute(passes.update().values(used_ms=used_ms)))
    await world.host_leaves(room)
    world.later(5000)
    await world.settle_down()
    assert (await world.show(who))["state"] == "paid"
    await says(world)
    await world.settle_down()
    assert (await world.show(who))["refund"]["reason"] == ("host_left" if used_ms else "host_absent")


async def test_a_room_may_keep_payers_in_during_a_dispute(world: World) -> None:
    await world.add_room()
    await says(world, dispute_access="keep")
    who, _ = await world.buy()
    session = (await world.one("orders"))["checkout_session_id"]
    for action in ("open", "lost"):
        await world.control("dispute", session=session, action=action)
        await world.settle_down()
        shown = await world.show(who)
        assert (shown["state"], shown["pass"]["state"]) == ("disputed", "waiting")
    await world.assert_books_agree()
