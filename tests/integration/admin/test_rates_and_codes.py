"""Rates and codes by API: who may set what, what is refused, and what an order then costs."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select, update

from signaling.stores.schema import orders, rooms, users
from tests.integration.harness import ROOM, App, RefusedError, Room, running_app
from tests.integration.people.visitor import Visitor

TOKEN = "an-operators-token-of-enough-characters"
OPEN = {"kind": "per_minute", "presets_s": [900, 1800]}  # its rate and currency come from the rates
ANA = {
    "id": "user_ana",
    "email": "ana@example.org",
    "name": "Ana",
    "role": "host",
    "created_at": "2026-01-01T00:00:00.000Z",
}


class Office:
    """The operator, the host and the payers of one server."""

    def __init__(self, app: App) -> None:
        self.app = app

    async def put(self, place: str, **figures: Any) -> Any:
        return await self.app.call("PUT", f"/api/admin/rates/{place}", {"figures": figures}, TOKEN)

    async def room(self, **changes: Any) -> Room:
        """Open, and its host live: without media, whom nobody needs here."""
        room = await self.app.create_room(**changes)
        await self.set(room, live=True)
        return room

    async def set(self, room: Room, **values: Any) -> None:
        change = update(rooms).where(rooms.c.id == room.id).values(**values)
        await self.app.parts.db.write(lambda tx: tx.execute(change))

    async def price(self, room: Room, **body: Any) -> int:
        """Of an order that is made now."""
        _, answer = await self.app.order(room, "Ben", **body)
        return int(answer["amount_minor"])

    async def order_row(self) -> Any:
        async with self.app.parts.db.read() as tx:
            return (await tx.execute(select(orders))).mappings().one()

    async def add_ana(self) -> None:
        await self.app.parts.db.write(lambda tx: tx.execute(users.insert().values(ANA)))


@asynccontextmanager
async def an_office(folder: Path) -> AsyncIterator[Office]:
    async with running_app(folder, admin_token=TOKEN) as app:
        yield Office(app)


@pytest.fixture
async def office(tmp_path: Path) -> AsyncIterator[Office]:
    async with an_office(tmp_path) as made:
        yield made


# --- precedence -------------------------------------------------------------------------------------------


async def test_the_nearest_place_that_says_a_figure_sets_the_price_of_the_next_order(office: Office):
    await office.add_ana()
    await office.put("default", currency="eur", rate_minor_per_min=100)
    room = await office.room(tariff=OPEN)
    await office.set(room, owner_id="user_ana")
    assert await office.price(room, seconds=900) == 1500
    places = (("role/host", 120, 1800), ("user/user_ana", 140, 2100), (f"room/{room.id}", 160, 2400))
    for place, rate, price in places:
        await office.put(place, currency="eur", rate_minor_per_min=rate)
        assert await office.price(room, seconds=900) == price
        assert (await office.app.card(room))["choices"][0]["price"]["amount_minor"] == price
    # Blank says nothing, and each figure falls through on its own.
    await office.put(f"room/{room.id}", currency="eur", rate_minor_per_min=None, fee_percent_bp=250)
    assert await office.price(room, seconds=900) == 2100
    for place, back_to in (("user/user_ana", 1800), ("role/host", 1500)):
        await office.app.call("DELETE", f"/api/admin/rates/{place}", bearer=TOKEN)
        assert await office.price(room, seconds=900) == back_to


async def test_an_order_keeps_the_price_that_it_was_made_with(office: Office):
    await office.put("default", currency="eur", rate_minor_per_min=100)
    room = await office.room(tariff=OPEN)
    order, answer = await office.app.order(room, "Ben", seconds=900)
    await office.put("default", currency="eur", rate_minor_per_min=300)
    await office.app.pay(answer)
    assert (await office.app.state(order))["amount_minor"] == 1500
    receipt = await office.app.call("GET", f"/api/orders/{order.id}/receipt", bearer=order.secret)
    assert receipt["tariff"] == OPEN | {"rate_minor_per_min": 100, "currency": "eur"}


async def test_without_a_price_anywhere_nothing_is_sold_and_nothing_is_free(office: Office):
    with pytest.raises(RefusedError, match="422 no_rate"):
        await office.app.create_room(tariff=OPEN)
    await office.put("default", currency="eur", rate_minor_per_min=100)
    room = await office.room(tariff=OPEN)
    await office.app.call("DELETE", "/api/admin/rates/default", bearer=TOKEN)
    with pytest.raises(RefusedError, match="409 no_rate"):
        await office.app.call(
            "POST",
            f"/api/rooms/{room.slug}/orders",
            {"order_id": "ord_" + "a" * 22, "name": "Ben", "seconds": 900, "accept_terms": True},
            "s" * 43,
        )
    card = await office.app.card(room)
    assert (card["state"], card["choices"]) == ("unpriced", [])
    # A rate in another currency is no price of this room.
    await office.put("default", currency="usd", rate_minor_per_min=100)
    assert (await office.app.card(room))["state"] == "unpriced"


async def test_a_rate_that_makes_every_length_unpayable_sells_nothing(office: Office):
    await office.put("default", currency="eur", rate_minor_per_min=100)
    room = await office.room(tariff=OPEN)
    await office.put("default", currency="eur", rate_minor_per_min=1)
    assert (await office.app.card(room))["state"] == "unpriced"


async def test_every_kind_takes_its_open_figures_from_the_rates_within_the_rooms_longest(office: Office):
    await office.put(
        "default",
        currency="eur",
        rate_minor_per_min=100,
        price_minor=700,
        window_s=1200,
        presets_s=[600, 1200, 2400],
    )
    entrance = await office.room(tariff={"kind": "entrance", "seconds": None})
    assert (await office.app.card(entrance))["choices"][0]["price"]["amount_minor"] == 700
    metered = await office.room(tariff={"kind": "metered"}, max_seconds=600)
    assert (await office.app.card(metered))["tariff"]["window_s"] == 600
    short = await office.room(tariff={"kind": "metered", "max_seconds": 900})
    assert (await office.app.card(short))["tariff"]["window_s"] == 900
    by_minute = await office.room(tariff={"kind": "per_minute"}, max_seconds=1800)
    assert [one["seconds"] for one in (await office.app.card(by_minute))["choices"]] == [600, 1200]


async def test_the_platforms_fee_is_on_the_card_and_in_the_order(office: Office):
    room = await office.room()
    await office.put("default", currency="eur", fee_percent_bp=1000, fee_fixed_minor=20, fee_on_top=True)
    choice = (await office.app.card(room))["choices"][0]
    assert (choice["price"]["amount_minor"], choice["fee_on_top"]["amount_minor"]) == (570, 70)
    assert await office.price(room) == 570
    row = await office.order_row()
    assert (row["list_minor"], row["fee_minor"], row["fee_on_top_minor"]) == (500, 70, 70)


# --- who may say what -------------------------------------------------------------------------------------


OPERATORS_CALLS = [
    ("GET", "/api/admin/settings"),
    ("GET", "/api/admin/rates"),
    ("GET", "/api/admin/rates/default"),
    ("PUT", "/api/admin/rates/role/host"),
    ("DELETE", "/api/admin/rates/role/host"),
    ("POST", "/api/admin/find"),
    ("GET", "/api/admin/promotions"),
    ("POST", "/api/admin/promotions"),
    ("DELETE", "/api/admin/promotions/promo_1"),
]


async def test_the_operators_calls_are_closed_to_everybody_else(office: Office):
    room = await office.app.create_room()
    for method, path in OPERATORS_CALLS:
        for secret in (None, room.host_key, TOKEN + "x"):
            with pytest.raises(RefusedError, match="401 sign_in_required"):
                await office.app.call(method, path, {}, secret)


async def test_figures_that_cannot_be_are_refused_and_nothing_changes(office: Office):
    await office.put("default", window_s=600)
    wrong: list[tuple[dict[str, Any], str]] = [
        ({"rate": 1}, "bad_rates"),
        ({"rate_minor_per_min": "100", "currency": "eur"}, "bad_rates"),
        ({"rate_minor_per_min": 0, "currency": "eur"}, "bad_rates"),
        ({"rate_minor_per_min": 1.5, "currency": "eur"}, "bad_rates"),
        ({"rate_minor_per_min": 100}, "bad_rates"),
        ({"currency": "xxx"}, "unknown_currency"),
        ({"fee_percent_bp": 10_001}, "bad_rates"),
        ({"fee_on_top": 1}, "bad_rates"),
        ({"terms_url": "javascript:alert(1)"}, "bad_rates"),
        ({"automatic_tax": "yes"}, "bad_rates"),
    ]
    for figures, code in wrong:
        with pytest.raises(RefusedError, match=f"422 {code}"):
            await office.put("default", **figures)
    said = await office.app.call("GET", "/api/admin/rates/default", bearer=TOKEN)
    assert said["figures"] == {"window_s": 600}
    for place in ("room/room_none", "user/user_none", "role/king", "planet/earth"):
        with pytest.raises(RefusedError, match="404 unknown_place"):
            await office.put(place, window_s=600)


async def test_where_no_place_says_how_long_earnings_wait_the_setting_is_shown(tmp_path: Path):
    async with running_app(tmp_path, admin_token=TOKEN, earnings_days=3) as app:
        assert (await app.call("GET", "/api/admin/rates", bearer=TOKEN))["defaults"]["earnings_days"] == 3
        room = await app.create_room()
        said = await app.call("GET", f"/api/admin/rates/room/{room.id}", bearer=TOKEN)
        assert said["holds"]["earnings_days"] == {"value": 3, "from": "product"}


async def test_a_host_sets_the_figures_of_their_room_beside_the_operators(office: Office):
    await office.put("default", currency="eur", rate_minor_per_min=100)
    room, other = await office.room(tariff=OPEN), await office.app.create_room()
    await office.put(f"room/{room.id}", currency="eur", fee_fixed_minor=10)
    path = f"/api/host/rooms/{room.id}/rates"
    mine = await office.app.call(
        "PUT", path, {"figures": {"rate_minor_per_min": 200, "currency": "eur"}}, room.host_key
    )
    assert mine["figures"] == {"rate_minor_per_min": 200, "currency": "eur"}
    assert mine["holds"]["rate_minor_per_min"] == {"value": 200, "from": "room"}
    assert await office.price(room, seconds=900) == 3000
    said = await office.app.call("GET", f"/api/admin/rates/room/{room.id}", bearer=TOKEN)
    assert said["figures"] == {"rate_minor_per_min": 200, "currency": "eur", "fee_fixed_minor": 10}
    # Saying nothing takes back one's own figures, not the operator's.
    mine = await office.app.call("PUT", path, {"figures": {}}, room.host_key)
    assert mine["holds"]["fee_fixed_minor"] == {"value": 10, "from": "room"}
    assert mine["holds"]["rate_minor_per_min"] == {"value": 100, "from": "default"}
    for figures, key, refusal in (
        ({"fee_percent_bp": 0}, room.host_key, "422 bad_rates"),
        ({"rate_minor_per_min": 5, "currency": "usd"}, room.host_key, "422 wrong_currency"),
        ({}, other.host_key, "403 bad_host_key"),
        ({}, None, "403 bad_host_key"),
    ):
        with pytest.raises(RefusedError, match=refusal):
            await office.app.call("PUT", path, {"figures": figures}, key)


async def test_places_are_listed_by_the_names_that_people_know(office: Office):
    await office.add_ana()
    room = await office.app.create_room()
    for place in (f"room/{room.id}", "default", "user/user_ana"):
        await office.put(place, window_s=600)
    listed = await office.app.call("GET", "/api/admin/rates", bearer=TOKEN)
    assert [(one["scope"], one["label"]) for one in listed["places"]] == [
        ("default", None),
        ("user", "ana@example.org"),
        ("room", ROOM["title"]),
    ]
    found = await office.app.call("POST", "/api/admin/find", {"text": "ana@"}, TOKEN)
    assert [one["id"] for one in found["people"]] == ["user_ana"]
    found = await office.app.call("POST", "/api/admin/find", {"text": room.share_url}, TOKEN)
    assert [one["id"] for one in found["rooms"]] == [room.id]
    assert await office.app.call("POST", "/api/admin/find", {"text": ""}, TOKEN) == {
        "people": [],
        "rooms": [],
    }


# --- terms ------------------------------------------------------------------------------------------------


async def test_terms_of_the_rates_hold_where_a_room_has_none_and_a_new_version_asks_again(office: Office):
    await office.put("default", terms_url="https://example.org/terms", terms_version="1")
    room = await office.room()
    card = await office.app.card(room)
    assert (card["terms_url"], card["terms_version"]) == ("https://example.org/terms", "1")
    await office.put("default", terms_url="https://example.org/terms", terms_version="2")
    with pytest.raises(RefusedError, match="409 terms_changed"):
        await office.app.order(room, "Ben", terms_version=card["terms_version"])
    await office.app.order(room, "Ben", terms_version="2")
    row = await office.order_row()
    assert (row["terms_url"], row["terms_version"]) == ("https://example.org/terms", "2")
    assert row["terms_accepted_at"]


# --- changing a room --------------------------------------------------------------------------------------


async def test_a_host_changes_price_and_words_and_later_orders_follow(office: Office):
    room = await office.room()
    changed = await office.app.call(
        "PATCH",
        f"/api/host/rooms/{room.id}",
        {
            "title": "French",
            "tariff": ROOM["tariff"] | {"price_minor": 900},
            "terms_url": "https://example.org/t",
        },
        room.host_key,
    )
    assert (changed["card"]["title"], changed["card"]["description"]) == ("French", ROOM["description"])
    assert changed["card"]["terms_version"]
    assert await office.price(room) == 900


async def test_the_currency_of_a_room_stays_once_something_was_sold_or_is_being_paid(office: Office):
    room = await office.room()
    path = f"/api/host/rooms/{room.id}"
    for code in ("usd", "eur"):
        dear = {"tariff": ROOM["tariff"] | {"currency": code}}
        assert (await office.app.call("PATCH", path, dear, room.host_key))["card"]["currency"] == code
    order, answer = await office.app.order(room, "Ben")
    dollars = {"tariff": ROOM["tariff"] | {"currency": "usd"}}
    with pytest.raises(RefusedError, match="409 currency_fixed"):
        await office.app.call("PATCH", path, dollars, room.host_key)
    await office.app.pay(answer)
    assert (await office.app.state(order))["state"] == "paid"
    with pytest.raises(RefusedError, match="409 currency_fixed"):
        await office.app.call("PATCH", path, dollars, room.host_key)
    dearer = {"tariff": ROOM["tariff"] | {"price_minor": 700}}
    assert (await office.app.call("PATCH", path, dearer, room.host_key))["sold"] is True


async def test_a_change_that_cannot_be_is_refused(office: Office):
    room = await office.app.create_room()
    cheap = {"kind": "entrance", "price_minor": 1, "currency": "eur", "seconds": 60}
    wrong: list[tuple[dict[str, Any], str]] = [
        ({"title": None}, "422 invalid"),
        ({"title": " "}, "422 invalid"),
        ({"privacy": "conference"}, "422 invalid"),
        ({"capacity": 12}, "422 invalid"),
        ({"tariff": cheap}, "422 below_minimum"),
        ({"tariff": {"kind": "per_minute", "presets_s": [900]}}, "422 no_rate"),
        ({"max_seconds": 60}, "422 invalid"),
    ]
    for body, refusal in wrong:
        with pytest.raises(RefusedError, match=refusal):
            await office.app.call("PATCH", f"/api/host/rooms/{room.id}", body, room.host_key)
    with pytest.raises(RefusedError, match="403 bad_host_key"):
        await office.app.call("PATCH", f"/api/host/rooms/{room.id}", {"title": "Mine"}, "x" * 43)


async def test_the_signed_in_owner_needs_no_key_and_another_person_gets_nowhere(office: Office):
    room = await office.room()
    async with Visitor(office.app) as ana, Visitor(office.app) as ben:
        await office.set(room, owner_id=(await ana.sign_in("ana@example.org"))["id"])
        await ben.sign_in("ben@example.org")
        path = f"/api/host/rooms/{room.id}"
        assert (await ana.call("PATCH", path, {"title": "Mine"}))[0] == 200
        assert (await ana.call("PUT", f"{path}/rates", {"figures": {"window_s": 600}}))[0] == 200
        assert (await ana.call("POST", f"{path}/promotions", {"percent": 10}))[0] == 201
        for method, end, body in (
            ("PATCH", "", {"title": "Mine"}),
            ("GET", "/rates", None),
            ("POST", "/promotions", {"percent": 10}),
        ):
            assert await ben.call(method, path + end, body) == (403, "bad_host_key")
        assert await ben.call("GET", "/api/admin/rates") == (403, "operator_only")
        ana.token = "forged"
        assert await ana.call("PATCH", path, {"title": "Mine"}) == (403, "bad_csrf")


# --- codes ------------------------------------------------------------------------------------------------


async def test_codes_of_the_operator_hold_everywhere_and_those_of_a_host_in_their_room(office: Office):
    room, other = await office.room(), await office.room()
    everywhere = await office.app.call("POST", "/api/admin/promotions", {"percent": 10}, TOKEN)
    here = await office.app.call(
        "POST",
        f"/api/host/rooms/{room.id}/promotions",
        {"code": "ana-5", "amount_minor": 100, "currency": "eur", "uses": 1, "once_per_person": True},
        room.host_key,
    )
    assert here["code"] == "ANA-5"
    assert here["room"] == {"id": room.id, "title": ROOM["title"]}
    assert await office.price(other, code=everywhere["code"].lower()) == 450
    with pytest.raises(RefusedError, match="422 code_not_here"):
        await office.price(other, code="ana-5")
    assert await office.price(room, code="ana-5", email="ben@example.org") == 400
    with pytest.raises(RefusedError, match="422 code_used_up"):
        await office.price(room, code="ana-5", email="cid@example.org")
    listed = await office.app.call("GET", "/api/admin/promotions", bearer=TOKEN)
    assert {(one["code"], one["uses"]) for one in listed["promotions"]} == {
        (everywhere["code"], 1),
        ("ANA-5", 1),
    }
    mine = await office.app.call("GET", f"/api/host/rooms/{room.id}/promotions", bearer=room.host_key)
    assert [one["code"] for one in mine["promotions"]] == ["ANA-5"]
    # A host ends their own codes alone; an ended code is no code.
    with pytest.raises(RefusedError, match="404 unknown_code"):
        await office.app.call(
            "DELETE", f"/api/host/rooms/{room.id}/promotions/{everywhere['id']}", bearer=room.host_key
        )
    await office.app.call("DELETE", f"/api/admin/promotions/{everywhere['id']}", bearer=TOKEN)
    with pytest.raises(RefusedError, match="422 unknown_code"):
        await office.price(other, code=everywhere["code"])


async def test_codes_that_cannot_be_are_refused(office: Office):
    await office.app.call("POST", "/api/admin/promotions", {"percent": 5, "code": "taken"}, TOKEN)
    wrong: list[tuple[dict[str, Any], str]] = [
        ({}, "422 invalid"),
        ({"percent": 101}, "422 invalid"),
        ({"percent": 10, "amount_minor": 100, "currency": "eur"}, "422 invalid"),
        ({"amount_minor": 100}, "422 invalid"),
        ({"amount_minor": 100, "currency": "zzz"}, "422 unknown_currency"),
        ({"percent": 10, "code": "a b"}, "422 invalid"),
        ({"percent": 10, "expires_at": "2020-01-01T00:00:00Z"}, "422 invalid"),
        ({"percent": 10, "expires_at": "tomorrow"}, "422 invalid"),
        ({"percent": 10, "room_id": "room_none"}, "404 unknown_place"),
        ({"percent": 10, "code": "TAKEN"}, "409 code_exists"),
    ]
    for body, refusal in wrong:
        with pytest.raises(RefusedError, match=refusal):
            await office.app.call("POST", "/api/admin/promotions", body, TOKEN)


async def test_a_hosts_code_is_in_the_currency_of_the_room_and_for_no_other_room(office: Office):
    room, other = await office.app.create_room(), await office.app.create_room()
    path = f"/api/host/rooms/{room.id}/promotions"
    for body, refusal in (
        ({"amount_minor": 100, "currency": "usd"}, "422 wrong_currency"),
        ({"percent": 10, "room_id": other.id}, "422 invalid"),
    ):
        with pytest.raises(RefusedError, match=refusal):
            await office.app.call("POST", path, body, room.host_key)
    with pytest.raises(RefusedError, match="403 bad_host_key"):
        await office.app.call("POST", path, {"percent": 10}, other.host_key)
