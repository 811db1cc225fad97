"""A payment that does not fit its order grants nothing and is shown to the operator."""

import pytest

from signaling.stores.schema import orders as orders_table

from .world import World


async def _tampered(world: World, **values) -> dict:
    """Ordered, the stored order changed, then paid."""
    await world.add_room()
    who = world.customer()
    _, order = await world.order(who)
    await world.db.write(lambda tx: tx.execute(orders_table.update().values(**values)))
    await world.pay(order)
    await world.settle_down()
    return await world.show(who)


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"amount_minor": 1}, "amount"),
        ({"currency": "usd"}, "currency"),
        ({"mode": "live"}, "mode"),
        ({"account": "acct_other"}, "account"),
    ],
)
async def test_what_does_not_fit_is_quarantined(world: World, changed: dict, reason: str):
    shown = await _tampered(world, **changed)
    assert shown["state"] == "quarantined"
    assert await world.rows("passes") == []
    assert await world.rows("transfers") == []
    (row,) = await world.rows("quarantine")
    assert row["reason"] == reason
    assert "quarantined" in {event["state"] for event in await world.rows("inbox")}


async def test_the_payment_of_another_order_buys_nothing(world: World):
    await world.add_room()
    cheap, dear = world.customer(), world.customer()
    _, order = await world.order(cheap)
    _, other = await world.order(dear, seconds=3600)
    sessions = {row["id"]: row["checkout_session_id"] for row in await world.rows("orders")}
    await world.db.write(
        lambda tx: tx.execute(
            orders_table.update()
            .where(orders_table.c.id == cheap.order_id)
            .values(checkout_session_id="cs_gone", checkout_url=None)
        )
    )
    swap = orders_table.update().where(orders_table.c.id == dear.order_id)
    await world.db.write(
        lambda tx: tx.execute(swap.values(checkout_session_id=sessions[cheap.order_id], amount_minor=1500))
    )
    await world.pay(order)
    await world.settle_down()
    assert (await world.show(dear))["state"] == "quarantined"
    assert "reference" in {row["reason"] for row in await world.rows("quarantine")}
    assert await world.rows("passes") == []
    assert other["order_id"] == dear.order_id


async def test_a_session_that_the_service_does_not_know_is_quarantined(world: World):
    await world.add_room()
    who = world.customer()
    await world.order(who)
    await world.db.write(
        lambda tx: tx.execute(orders_table.update().values(checkout_session_id="cs_of_another_account"))
    )
    await world.call("POST", f"/api/orders/{who.order_id}/refresh", who)
    assert [row["reason"] for row in await world.rows("quarantine")] == ["unknown_checkout"]


async def test_a_quarantined_order_stays_so_whatever_comes_again(world: World):
    shown = await _tampered(world, amount_minor=1)
    await world.call("POST", "/stripe/webhook")
    for event in await world.rows("inbox"):
        await world.control("resend", event=event["event_id"])
    await world.settle_down()
    assert shown["state"] == "quarantined"
    assert len(await world.rows("quarantine")) == 1
    assert await world.rows("passes") == []
