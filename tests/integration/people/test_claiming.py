"""What was bought or opened without an account is taken by who signs in later and holds its secret."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from metering.orders import OrderState
from signaling.ids import secret_hash
from signaling.people.erasing import erase
from signaling.stores.schema import orders, passes, rooms
from tests.contract.rows import add_order, add_paid, add_room
from tests.integration.harness import App, running_app
from tests.integration.people.visitor import Visitor

SECRET, KEY = "s" * 43, "k" * 43
ORDERS, ROOMS = "/api/me/orders", "/api/me/rooms"


@pytest.fixture
async def app(tmp_path: Path) -> AsyncIterator[App]:
    async with running_app(tmp_path, media_workers=0) as running:
        yield running


def bearer(secret: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {secret}"}


async def room_with_sales(app: App) -> None:
    """A room of nobody with one order that was paid."""
    await add_room(app.parts.db, host_key_hash=secret_hash(KEY))
    await add_paid(app.parts.db, secret_hash=secret_hash(SECRET), payee="room_1")


async def value(app: App, column: Any, row_id: str) -> Any:
    async with app.parts.db.read() as tx:
        return (await tx.execute(select(column).where(column.table.c.id == row_id))).scalar_one()


async def test_an_order_bought_without_an_account_comes_into_the_history(app: App) -> None:
    await room_with_sales(app)
    async with Visitor(app) as ana:
        me = await ana.sign_in()
        assert (await ana.call("GET", "/api/orders/ord_1", **bearer(SECRET)))[1]["owned"] is False
        for _ in range(2):  # a repeat answers the same
            taken = await ana.call("POST", ORDERS, {"order_id": "ord_1"}, **bearer(SECRET))
            assert taken == (200, {"order_id": "ord_1", "owned": True})
        (row,) = (await ana.call("GET", ORDERS))[1]["orders"]
        assert (row["order_id"], row["opens"]) == ("ord_1", True)
        # Without its secret, too: it is theirs.
        assert (await ana.call("GET", "/api/orders/ord_1"))[1]["owned"] is True
    assert await value(app, passes.c.user_id, "pass_1") == me["id"]


async def test_an_order_is_refused_to_who_does_not_hold_it_and_when_it_is_somebody_elses(app: App) -> None:
    await room_with_sales(app)
    await add_order(app.parts.db, order_id="ord_open", secret_hash=secret_hash(SECRET), state=OrderState.OPEN)
    body = {"order_id": "ord_1"}
    async with Visitor(app) as ana, Visitor(app) as ben:
        assert await ana.call("POST", ORDERS, body, **bearer(SECRET)) == (401, "sign_in_required")
        await ana.sign_in()
        assert await ana.call("POST", ORDERS, body) == (401, "secret_required")
        assert await ana.call("POST", ORDERS, body, **bearer("x" * 43)) == (404, "unknown_order")
        assert await ana.call("POST", ORDERS, body, **bearer(SECRET), X_CSRF_Token="") == (403, "bad_csrf")
        unpaid = await ana.call("POST", ORDERS, {"order_id": "ord_open"}, **bearer(SECRET))
        assert unpaid == (409, "not_paid")
        assert (await ana.call("GET", ORDERS))[1]["orders"] == []
        await ben.sign_in("ben@example.org")
        assert (await ben.call("POST", ORDERS, body, **bearer(SECRET)))[0] == 200
        assert await ana.call("POST", ORDERS, body, **bearer(SECRET)) == (409, "belongs_to_other")
        assert (await ana.call("GET", ORDERS))[1]["orders"] == []


async def test_a_room_opened_without_an_account_becomes_ones_own(app: App) -> None:
    await room_with_sales(app)
    body = {"room_id": "room_1"}
    async with Visitor(app) as ana, Visitor(app) as ben:
        me = await ana.sign_in()
        path = "/api/host/rooms/room_1"
        assert await ana.call("GET", path) == (403, "bad_host_key")
        assert (await ana.call("GET", path, **bearer(KEY)))[1]["owned"] is False
        assert await ana.call("POST", ROOMS, body) == (403, "bad_host_key")
        assert await ana.call("POST", ROOMS, body, **bearer("x" * 43)) == (403, "bad_host_key")
        for _ in range(2):
            taken = await ana.call("POST", ROOMS, body, **bearer(KEY))
            assert taken == (200, {"room_id": "room_1", "owned": True})
        assert [one["id"] for one in (await ana.call("GET", ROOMS))[1]["rooms"]] == ["room_1"]
        assert (await ana.call("GET", path))[1]["owned"] is True, "without the key"
        assert (await ana.call("GET", "/api/me"))[1]["role"] == "host"
        await ben.sign_in("ben@example.org")
        assert await ben.call("POST", ROOMS, body, **bearer(KEY)) == (409, "belongs_to_other")
        assert (await ben.call("GET", "/api/me"))[1]["role"] == "user"
    assert await value(app, rooms.c.owner_id, "room_1") == me["id"]


async def test_of_two_who_take_a_room_at_once_one_gets_it(app: App) -> None:
    await room_with_sales(app)
    async with Visitor(app) as ana, Visitor(app) as ben:
        await ana.sign_in()
        await ben.sign_in("ben@example.org")
        body = {"room_id": "room_1"}
        answers = await asyncio.gather(
            *(one.call("POST", ROOMS, body, **bearer(KEY)) for one in (ana, ben, ana, ben))
        )
        assert sorted(status for status, _ in answers) == [200, 200, 409, 409]
        owned = [len((await one.call("GET", ROOMS))[1]["rooms"]) for one in (ana, ben)]
        assert sorted(owned) == [0, 1]


async def test_what_was_taken_is_erased_with_its_person(app: App) -> None:
    await room_with_sales(app)
    async with Visitor(app) as ana, Visitor(app) as ben:
        await ana.sign_in()
        assert (await ana.call("POST", ORDERS, {"order_id": "ord_1"}, **bearer(SECRET)))[0] == 200
        assert (await ana.call("POST", ROOMS, {"room_id": "room_1"}, **bearer(KEY)))[0] == 200
        assert await ana.call("DELETE", "/api/me") == (409, "room_live")
        await app.parts.db.write(lambda tx: tx.execute(rooms.update().values(live=False)))
        done = await erase(app.parts.db, app.parts.clock, "ana@example.org")
        assert (done.orders, done.room_ids) == (1, ("room_1",))
        # Whoever else holds the secrets does not get what was somebody's.
        await ben.sign_in("ben@example.org")
        assert await ben.call("POST", ORDERS, {"order_id": "ord_1"}, **bearer(SECRET)) == (
            409,
            "belongs_to_other",
        )
        assert await ben.call("POST", ROOMS, {"room_id": "room_1"}, **bearer(KEY)) == (
            409,
            "belongs_to_other",
        )
    assert await value(app, orders.c.name, "ord_1") == "Erased"
    assert await value(app, rooms.c.state, "room_1") == "closed"


async def test_guessing_is_limited(app: App) -> None:
    await room_with_sales(app)
    async with Visitor(app) as ana:
        await ana.sign_in()
        tried = [
            await ana.call("POST", ORDERS, {"order_id": "ord_1"}, **bearer(f"{n:043}")) for n in range(22)
        ]
    assert tried[0] == (404, "unknown_order")
    assert tried[-1] == (429, "rate_limited")
