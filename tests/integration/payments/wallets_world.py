"""People with credits: a wallet room, top-ups, and calls that run on a wallet."""

from typing import Any

from signaling.notices import StayLow
from signaling.stores.schema import users

from .usage import Caller
from .world import Customer, World

WALLET = {"kind": "wallet", "rate_minor_per_min": 100, "currency": "eur"}


async def add_person(world: World, name: str = "ana", role: str = "user") -> str:
    values = {
        "id": f"user_{name}",
        "email": f"{name}@example.org",
        "name": name.title(),
        "role": role,
        "created_at": world.now_text(),
    }
    await world.db.write(lambda tx: tx.execute(users.insert().values(values)))
    return values["id"]


async def ask_topup(
    world: World, user_id: str, package: int = 0, currency: str = "eur", **body: Any
) -> tuple[Customer, int, dict[str, Any]]:
    who = world.customer(user_id)
    shown = await wallet(world, user_id, currency)
    said = {
        "order_id": who.order_id,
        "package": package,
        "accept_terms": True,
    } | body
    if "price_minor" not in said:
        said["price_minor"] = shown["packages"][package]["price_minor"]
    status, order = await world.call("POST", f"/api/wallets/{currency}/topups", who, said)
    return who, status, order


async def top_up(world: World, user_id: str, package: int = 0) -> Customer:
    """Paid, and in the wallet."""
    who, status, order = await ask_topup(world, user_id, package)
    assert status == 201, order
    status, paid = await world.pay(order)
    assert status == 200, paid
    await world.settle_down()
    assert (await world.show(who))["state"] == "paid"
    return who


async def wallet(world: World, user_id: str, currency: str = "eur") -> dict[str, Any]:
    status, shown = await world.call("GET", f"/api/me/wallets/{currency}", world.customer(user_id))
    assert status == 200, shown
    return shown


async def enter(world: World, user_id: str, slug: str = "talk") -> Caller:
    """Ordered, and inside."""
    who = world.customer(user_id)
    status, made = await world.order(who, slug, seconds=None)
    assert status == 201, made
    shown = await world.show(who)
    caller = Caller(world, who, shown["pass"]["id"])
    await caller.enters()
    return caller


async def runs_low(world: World, caller: Caller) -> None:
    granted_ms = (await caller.pass_row())["granted_ms"]
    world.payments.hear(StayLow(caller.pass_id, "room_talk", granted_ms))
    await world.settle_down()
