"""From the order to the pass, as a browser does it."""

from signaling.notices import OrderPaid, PassChanged

from .world import World


async def test_a_paid_order_grants_its_pass(world: World):
    await world.add_room()
    who = world.customer()
    status, order = await world.order(who)
    assert status == 201
    assert order["checkout"]["ui"] == "hosted"
    assert (order["amount_minor"], order["currency"], order["seconds"]) == (1500, "eur", 900)
    assert (await world.show(who))["state"] == "open"

    await world.pay(order)
    await world.settle_down()

    shown = await world.show(who)
    assert shown["state"] == "paid"
    assert shown["pass"]["granted_ms"] == 900_000
    assert shown["pass"]["state"] == "waiting"
    assert "checkout" not in shown
    kinds = [type(notice) for notice in world.notices]
    assert kinds.count(OrderPaid) == 1
    assert PassChanged in kinds
    await world.assert_books_agree()


async def test_the_return_page_settles_without_any_webhook(world: World):
    await world.add_room()
    world.webhooks_reach_us = False
    who = world.customer()
    _, order = await world.order(who)
    await world.pay(order)
    status, shown = await world.call("POST", f"/api/orders/{who.order_id}/refresh", who)
    assert (status, shown["state"]) == (200, "paid")
    await world.assert_books_agree()


async def test_a_declined_card_is_shown_and_can_be_tried_again(world: World):
    await world.add_room()
    who = world.customer()
    _, order = await world.order(who)
    await world.pay(order, "insufficient_funds")
    await world.settle_down()
    shown = await world.show(who)
    assert shown["state"] == "open"
    assert shown["failure"] == "insufficient_funds"
    assert await world.rows("passes") == []

    await world.pay(order)
    await world.settle_down()
    shown = await world.show(who)
    assert shown["state"] == "paid"
    assert "failure" not in shown


async def test_the_embedded_form_of_the_sandbox_is_a_frame(world: World):
    await world.add_room()
    who = world.customer()
    _, order = await world.order(who, ui="embedded")
    assert order["checkout"]["ui"] == "frame"
    assert order["checkout"]["url"].startswith("http://localhost:8080/sandbox/embedded/cs_")
    await world.pay(order)
    await world.settle_down()
    assert (await world.show(who))["state"] == "paid"
