"""Refunds of our own: how much, when, and never twice."""

import json

from signaling.stores import outbox
from signaling.stores.schema import orders, runs, segments, sessions
from signaling.stores.schema import passes as passes_table

from .world import World

NOW_TEXT = "2026-01-01T00:00:00.000Z"


async def _ask(world: World, pass_id: str, *reasons: outbox.RefundReason) -> None:
    now_s = int(world.clock.at_s)
    for reason in reasons:
        await world.db.write(
            lambda tx, reason=reason: outbox.ask_refund_of_pass(
                tx, pass_id, reason, now_s=now_s, created_at=NOW_TEXT
            )
        )


async def _use(world: World, used_ms: int) -> None:
    await world.db.write(lambda tx: tx.execute(passes_table.update().values(used_ms=used_ms)))


async def _count(world: World, pass_id: str) -> None:
    """The meter counts: a session with an open segment."""
    run = {
        "id": "run",
        "host": "h",
        "state": "live",
        "beat_seq": 0,
        "run_ms": 0,
        "silent": {},
        "started_at": NOW_TEXT,
    }
    session = {
        "id": "ses",
        "pass_id": pass_id,
        "room_id": "room_talk",
        "run_id": "run",
        "epoch": 1,
        "started_at": NOW_TEXT,
    }
    segment = {
        "id": "seg",
        "pass_id": pass_id,
        "session_id": "ses",
        "run_id": "run",
        "opened_ms": 0,
        "opened_at": NOW_TEXT,
    }

    async def work(tx) -> None:
        await tx.execute(runs.insert().values(run))
        await tx.execute(sessions.insert().values(session))
        await tx.execute(segments.insert().values(segment))

    await world.db.write(work)


async def _stop(world: World, used_ms: int) -> None:
    await world.db.write(lambda tx: tx.execute(segments.update().values(closed_ms=used_ms, used_ms=used_ms)))
    await _use(world, used_ms)


async def test_the_refund_waits_until_the_meter_stands_still(world: World):
    await world.add_room()
    who, shown = await world.buy()
    await _count(world, shown["pass"]["id"])
    await _ask(world, shown["pass"]["id"], "kicked")
    for _ in range(60):
        await world.work()
        world.later(1)
    found = (await world.show(who))["pass"]
    assert found["state"] == "refunded", "nobody uses up what is being given back"
    assert await world.rows("refunds") == []
    await _stop(world, 450_000)
    await world.settle_down()
    assert (await world.show(who))["refund"]["amount_minor"] == 750
    await world.assert_books_agree()


async def test_two_reasons_give_back_the_same_time_once(world: World):
    await world.add_room()
    _, shown = await world.buy()
    await _use(world, 300_000)
    await world.control("faults", operation="checkout.sessions.retrieve", fault="conflict_409", times=1)
    await _ask(world, shown["pass"]["id"], "kicked", "host_ended", "unserved")
    for _ in range(4):
        await world.settle_down()
        world.later(5)
    assert [one["refunded_minor"] for one in await world.books()] == [1000]
    await world.assert_books_agree()


async def test_a_dashboard_refund_beside_ours_is_not_added_to_it(world: World):
    await world.add_room()
    _, shown = await world.buy()
    session = (await world.one("orders"))["checkout_session_id"]
    await _ask(world, shown["pass"]["id"], "kicked")
    await world.control("refund", session=session)
    for _ in range(3):
        await world.settle_down()
        world.later(5)
    assert [one["refunded_minor"] for one in await world.books()] == [1500]
    assert {row["state"] for row in await world.rows("orders")} == {"refunded"}


async def test_a_disputed_payment_is_not_given_back_as_well(world: World):
    await world.add_room()
    _, shown = await world.buy()
    session = (await world.one("orders"))["checkout_session_id"]
    await world.control("dispute", session=session)
    await world.settle_down()
    await _ask(world, shown["pass"]["id"], "kicked")
    await world.settle_down()
    assert [one["refunded_minor"] for one in await world.books()] == [0]


async def _with_added_time(world: World):
    who, shown = await world.buy()
    more = world.customer()
    _, order = await world.order(more, extends=shown["pass"]["id"], extends_secret=who.secret, seconds=1800)
    await world.pay(order)
    await world.settle_down()
    return who, more


async def test_added_time_goes_back_with_the_pass(world: World):
    room = await world.add_room()
    who, more = await _with_added_time(world)
    await _use(world, 1_200_000)  # all of the first 900 s, 300 s of the added 1800 s
    await world.host_leaves(room)
    world.later(300)
    await world.settle_down()
    assert (await world.show(who))["state"] == "paid"
    assert (await world.show(more))["refund"]["amount_minor"] == 2500
    await world.assert_books_agree()


async def test_the_patience_runs_from_the_last_payment(world: World):
    room = await world.add_room()
    who, shown = await world.buy()
    await world.host_leaves(room)
    world.later(200)
    more = world.customer()
    _, order = await world.order(more, extends=shown["pass"]["id"], extends_secret=who.secret)
    await world.pay(order)
    await world.settle_down()
    world.later(299)
    await world.settle_down()
    assert (await world.show(who))["state"] == "paid"
    world.later(1)
    await world.settle_down()
    assert (await world.show(who))["state"] == "refunded"
    assert (await world.show(more))["state"] == "refunded"
    await world.assert_books_agree()


async def test_a_used_unlimited_pass_is_kept(world: World):
    tariff = {"kind": "entrance", "price_minor": 700, "currency": "eur", "seconds": None}
    room = await world.add_room(tariff=tariff)
    who, _ = await world.buy(seconds=None)
    await _use(world, 1000)
    await world.host_leaves(room)
    world.later(10_000)
    await world.settle_down()
    assert (await world.show(who))["pass"]["state"] == "waiting"


async def test_a_session_nobody_knows_frees_its_seat(world: World):
    await world.add_room(capacity=1)
    who = world.customer()
    await world.order(who)
    await world.db.write(lambda tx: tx.execute(orders.update().values(checkout_session_id="cs_gone")))
    await world.call("POST", f"/api/orders/{who.order_id}/refresh", who)
    assert (await world.show(who))["state"] == "quarantined"
    assert (await world.order(world.customer()))[0] == 201


async def test_names_and_addresses_stay_out_of_the_inbox(world: World):
    await world.add_room()
    await world.buy(email="bo@example.org", name="Bodil")
    stored = json.dumps(await world.rows("inbox"))
    assert "bo@example.org" not in stored
    assert "Bodil" not in stored


async def test_an_order_that_was_stored_and_never_sent_is_sent_anew_later(world: World):
    await world.add_room()
    who = world.customer()
    world.crash_at = 0
    status, _ = await world.order(who)
    assert status == 500
    world.later(500)  # too late for the expiry that its parameters name
    await world.reboot()
    for _ in range(3):
        await world.work()
        world.later(2)
    shown = await world.show(who)
    assert shown["state"] == "open"
    await world.pay(shown)
    await world.settle_down()
    assert (await world.show(who))["state"] == "paid"
    await world.assert_books_agree()
