"""Our books against the service's own account of our money."""

from typing import Any

from sqlalchemy import delete, update

from signaling.stores.checks import run_checks
from signaling.stores.schema import disputes, orders
from signaling.stores.schema import settings as settings_table

from .world import World

MATURE_S = 601


async def _compare(world: World) -> int:
    world.later(MATURE_S)
    return await world.payments.compare_balances()


async def _open(world: World) -> list[dict[str, Any]]:
    return [row for row in await world.rows("differences") if row["state"] == "open"]


async def _session(world: World) -> str:
    return str((await world.one("orders"))["checkout_session_id"])


async def _fees_minor(world: World) -> int:
    kept = {row["name"]: row["debits_minor"] - row["credits_minor"] for row in await world.rows("balances")}
    return kept.get("stripe_fees", 0)


async def test_fees_are_booked_once_and_the_books_say_the_same(world: World):
    await world.add_room()
    await world.buy()
    assert await world.payments.compare_balances() == 0, "too young to be judged"
    assert await _compare(world) == 1
    fees_minor = await _fees_minor(world)
    assert fees_minor > 0
    for _ in range(2):
        await _compare(world)
    assert await _fees_minor(world) == fees_minor
    assert await world.rows("differences") == []
    assert await world.problems() == []


async def test_refunds_disputes_and_what_came_back_are_known(world: World):
    await world.add_room()
    await world.buy()
    await world.control("refund", session=await _session(world), amount_minor=400)
    await world.settle_down()
    await world.control("fail_refund", refund=(await world.one("refunds"))["stripe_refund_id"])
    await world.control("dispute", session=await _session(world))
    await world.settle_down()
    await world.control("dispute", session=await _session(world), action="won")
    await world.settle_down()
    assert await _compare(world) == 5
    assert await world.rows("differences") == []
    assert await world.problems() == []


async def test_what_disputes_withdrew_and_gave_back_is_compared_by_its_amount(world: World):
    await world.add_room()
    await world.buy()
    session = await _session(world)
    await world.control("dispute", session=session, amount_minor=600)
    await world.control("dispute", session=session, action="lost", amount_minor=100)
    await world.control("dispute", session=session, amount_minor=500)
    await world.control("dispute", session=session, action="won")
    await world.settle_down()
    assert await _compare(world) == 5
    assert await world.rows("differences") == []
    (lost,) = [row for row in await world.rows("disputes") if row["state"] == "lost"]
    forget = update(disputes).where(disputes.c.id == lost["id"])
    await world.db.write(lambda tx: tx.execute(forget.values(amount_minor=650, returned_minor=50)))
    await _forget_the_cursor(world)
    await _compare(world)
    assert sorted((row["kind"], row["ours_minor"], row["theirs_minor"]) for row in await _open(world)) == [
        ("adjustment", 650, 600),
        ("reinstated", 50, 100),
    ]


async def _forget_the_cursor(world: World) -> None:
    """The next round looks at everything of the last day again."""
    cursors = delete(settings_table).where(settings_table.c.name.like("balance:%"))
    await world.db.write(lambda tx: tx.execute(cursors))


async def test_a_payment_that_we_never_heard_of_differs_until_we_do(world: World):
    await world.add_room()
    who = world.customer()
    _, order = await world.order(who)
    await world.pay(order)
    await _compare(world)
    (row,) = await _open(world)
    assert (row["kind"], row["ours_minor"], row["theirs_minor"]) == ("charge", None, 1500)
    assert "/pi_" in row["subject_id"]
    found = [one for one in await run_checks(world.db) if one.code == "differs_from_service"]
    assert [one.kind for one in found] == ["attention"]
    await world.settle_down()
    await _compare(world)
    assert await _open(world) == []
    assert [row["state"] for row in await world.rows("differences")] == ["gone"]


async def test_another_amount_and_an_unknown_refund_are_shown_and_not_mended(world: World):
    await world.add_room()
    await world.buy()
    await world.control("refund", session=await _session(world), amount_minor=400)
    forget = update(orders).values(payment_intent_id="pi_of_somebody_else")
    await world.db.write(lambda tx: tx.execute(forget))
    before = await world.rows("transfers")
    await _compare(world)
    assert sorted(row["kind"] for row in await _open(world)) == ["charge", "refund"]
    after = [row for row in await world.rows("transfers") if row["code"] != "stripe_fee"]
    assert after == before


async def test_a_server_that_was_down_for_longer_than_events_are_kept_asks_for_every_order(world: World):
    await world.add_room()
    who, _ = await world.buy()
    late = world.customer()
    _, order = await world.order(late)
    await world.payments.catch_up()  # the cursor of a running server
    await world.pay(order)
    session = next(
        row["checkout_session_id"] for row in await world.rows("orders") if row["id"] == who.order_id
    )
    await world.control("refund", session=session)
    world.webhooks_reach_us = False
    await world.deliver()
    world.later(40 * 86_400)
    await world.payments.catch_up()
    assert (await world.show(who))["state"] == "refunded"
    assert (await world.show(late))["state"] == "paid"
    (row,) = await world.rows("differences")
    assert (row["kind"], row["state"]) == ("events_gap", "gone")
    await world.assert_books_agree()
