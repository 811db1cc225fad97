"""What the operator or a bank does at Stripe reaches the pass."""

from signaling.notices import PassChanged

from .world import World


async def _session(world: World) -> str:
    return (await world.one("orders"))["checkout_session_id"]


async def test_a_full_refund_in_the_dashboard_ends_access(world: World):
    await world.add_room()
    who, _ = await world.buy()
    world.notices.clear()
    await world.control("refund", session=await _session(world))
    await world.settle_down()
    shown = await world.show(who)
    assert (shown["state"], shown["pass"]["state"]) == ("refunded", "refunded")
    assert shown["refund"]["reason"] == "dashboard"
    assert [type(notice) for notice in world.notices] == [PassChanged]
    await world.assert_books_agree()


async def test_a_partial_refund_leaves_the_pass(world: World):
    await world.add_room()
    who, _ = await world.buy()
    for amount_minor in (400, 300):
        await world.control("refund", session=await _session(world), amount_minor=amount_minor)
        await world.settle_down()
    shown = await world.show(who)
    assert (shown["state"], shown["pass"]["state"]) == ("partly_refunded", "waiting")
    assert sorted(row["amount_minor"] for row in await world.rows("refunds")) == [300, 400]
    await world.assert_books_agree()


async def test_a_dispute_ends_access_and_a_won_one_gives_it_back(world: World):
    await world.add_room()
    who, _ = await world.buy()
    session = await _session(world)
    await world.control("dispute", session=session)
    await world.settle_down()
    shown = await world.show(who)
    assert (shown["state"], shown["pass"]["state"]) == ("disputed", "disputed")
    await world.control("dispute", session=session, action="won")
    await world.settle_down()
    shown = await world.show(who)
    assert (shown["state"], shown["pass"]["state"]) == ("paid", "waiting")
    await world.assert_books_agree()


async def test_a_dispute_of_the_whole_after_a_refund_that_is_won_in_part(world: World):
    """The bank gives back what was refunded, and calls it lost all the same."""
    await world.add_room()
    who, _ = await world.buy()
    session = (await world.one("orders"))["checkout_session_id"]
    await world.control("dispute", session=session, amount_minor=1000)
    await world.control("dispute", session=session, action="lost", amount_minor=400)
    await world.settle_down()
    assert (await world.show(who))["state"] == "disputed"
    (row,) = await world.rows("disputes")
    assert (row["state"], row["amount_minor"], row["lost_minor"]) == ("lost", 1000, 600)
    assert (await world.one("earnings"))["reversed_minor"] == 600
    await world.assert_books_agree()


async def test_a_lost_dispute_is_booked(world: World):
    await world.add_room()
    who, _ = await world.buy()
    session = await _session(world)
    await world.control("dispute", session=session)
    await world.settle_down()
    await world.control("dispute", session=session, action="lost")
    await world.settle_down()
    assert (await world.show(who))["pass"]["state"] == "disputed"
    assert [row["code"] for row in await world.rows("transfers")] == [
        "payment_captured",
        "freeze",
        "dispute_lost",
    ]
    _, receipt = await world.call("GET", f"/api/orders/{who.order_id}/receipt", who)
    assert receipt["total"]["amount_minor"] == 0
    await world.assert_books_agree()


async def test_a_refund_before_we_ever_saw_the_payment(world: World):
    await world.add_room()
    who = world.customer()
    _, order = await world.order(who)
    await world.pay(order)
    await world.control("refund", session=await _session(world))
    await world.settle_down()
    shown = await world.show(who)
    assert (shown["state"], shown["pass"]["state"]) == ("refunded", "refunded")
    await world.assert_books_agree()
