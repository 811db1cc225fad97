"""What a person bought and the rooms they opened, page by page; an order opens to who was signed in for it."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.contract.rows import add_paid, add_room
from tests.integration.harness import App, running_app
from tests.integration.people.visitor import Visitor


@pytest.fixture
async def app(tmp_path: Path) -> AsyncIterator[App]:
    async with running_app(tmp_path, media_workers=0) as running:
        yield running


async def all_pages(visitor: Visitor, what: str) -> list[list[str]]:
    """The ids, page by page."""
    pages: list[list[str]] = []
    before = ""
    while True:
        status, answer = await visitor.call("GET", f"/api/me/{what}{before}")
        assert status == 200
        pages.append([row.get("order_id") or row["id"] for row in answer[what]])
        if answer["next"] is None:
            return pages
        before = f"?before={answer['next']}"


async def test_purchases_come_page_by_page_the_newest_first(app: App) -> None:
    db = app.parts.db
    async with Visitor(app) as ana, Visitor(app) as ben:
        who = await ana.sign_in()
        await add_room(db)
        for n in range(43):
            # Several in one second, as of one call with time added.
            await add_paid(db, f"ord_{n:02}", f"pass_{n:02}", user_id=who["id"], created_at_s=1000 + n // 3)
        await add_paid(db, "ord_nobody", "pass_nobody")
        await add_paid(db, "ord_live", "pass_live", user_id=who["id"], mode="live")
        pages = await all_pages(ana, "orders")
        assert [len(page) for page in pages] == [20, 20, 3]
        assert [one for page in pages for one in page] == [f"ord_{n:02}" for n in reversed(range(43))]
        await ben.sign_in("ben@example.org")
        assert await all_pages(ben, "orders") == [[]]


async def test_a_purchase_says_what_was_paid_used_and_given_back(app: App) -> None:
    db = app.parts.db
    async with Visitor(app) as ana:
        who = await ana.sign_in()
        await add_room(db)
        await add_paid(db, user_id=who["id"], refunded_minor=500)
        (row,) = (await ana.call("GET", "/api/me/orders"))[1]["orders"]
    assert row == row | {
        "order_id": "ord_1",
        "room": {"slug": "room1", "title": "A talk"},
        "state": "paid",
        "pass_state": "waiting",
        "opens": True,
        "extends": False,
        "used_ms": 0,
        "amount_minor": 1500,
        "paid_minor": 1500,
        "refunded_minor": 500,
        "currency": "eur",
    }
    assert not {"secret_hash", "email", "name"} & set(row)


async def test_rooms_come_with_what_was_sold_in_them(app: App) -> None:
    db = app.parts.db
    async with Visitor(app) as ana:
        who = await ana.sign_in()
        for n in range(21):
            await add_room(db, f"room_{n:02}", owner_id=who["id"])
        await add_room(db, "room_nobody")
        await add_paid(db, room_id="room_20", refunded_minor=500)
        assert [len(page) for page in await all_pages(ana, "rooms")] == [20, 1]
        first = (await ana.call("GET", "/api/me/rooms"))[1]["rooms"][0]
    assert (first["id"], first["share_url"]) == ("room_20", f"{app.settings.origin}/r/room20")
    assert first["earnings"] == {
        "gross": {"amount_minor": 1500, "currency": "eur"},
        "refunded": {"amount_minor": 500, "currency": "eur"},
        "net": {"amount_minor": 1000, "currency": "eur"},
        "payers": 1,
    }


@pytest.mark.parametrize("path", ["/api/me/orders", "/api/me/rooms"])
async def test_a_visitor_has_no_history(app: App, path: str) -> None:
    async with Visitor(app) as ana:
        assert await ana.call("GET", path) == (401, "sign_in_required")


async def test_an_order_opens_to_who_was_signed_in_for_it_and_to_nobody_else(app: App) -> None:
    db = app.parts.db
    async with Visitor(app) as ana, Visitor(app) as ben, Visitor(app) as visitor:
        who = await ana.sign_in()
        await ben.sign_in("ben@example.org")
        await add_room(db)
        await add_paid(db, user_id=who["id"])
        for path in ("/api/orders/ord_1", "/api/orders/ord_1/receipt"):
            assert (await ana.call("GET", path))[0] == 200
            assert await ben.call("GET", path) == (404, "unknown_order")
            assert await visitor.call("GET", path) == (401, "secret_required")
        link = "/api/orders/ord_1/link"
        assert await ana.call("POST", link, {}, X_CSRF_Token="") == (403, "bad_csrf")
        assert await ben.call("POST", link, {}) == (404, "unknown_order")
        status, made = await ana.call("POST", link, {})
        assert status == 200
        secret = made["url"].partition("#secret=")[2]
        assert (await visitor.call("GET", "/api/orders/ord_1", Authorization=f"Bearer {secret}"))[0] == 200
        # A secret that is wrong is wrong, whoever sends it.
        wrong = f"Bearer {'x' * 43}"
        assert await ana.call("GET", "/api/orders/ord_1", Authorization=wrong) == (404, "unknown_order")
