"""What the order calls refuse, and to whom they show what."""

import json

import pytest

from signaling.payments.routes import ORDERS_RULE

from .world import World


def _code(answer: tuple[int, dict]) -> tuple[int, str]:
    return answer[0], answer[1]["error"]["code"]


@pytest.mark.parametrize(
    ("room", "refusal"),
    [
        ({"live": False, "away_since_s": 1}, (409, "host_offline")),
        ({"locked": True}, (409, "room_locked")),
        ({"state": "closed"}, (409, "room_closed")),
        ({"capacity": 0}, (409, "room_full")),
        ({"mode": "live"}, (404, "unknown_room")),
        ({"account": "acct_other"}, (404, "unknown_room")),
    ],
)
async def test_rooms_that_cannot_be_paid_for(world: World, room: dict, refusal: tuple[int, str]):
    await world.add_room(**room)
    assert _code(await world.order(world.customer())) == refusal
    assert await world.rows("orders") == []
    assert await world.books() == []


async def test_an_unknown_room(world: World):
    assert _code(await world.order(world.customer(), "nowhere")) == (404, "unknown_room")


@pytest.mark.parametrize(
    ("said", "field"),
    [
        ({"order_id": "ord_short"}, "order_id"),
        ({"order_id": "ord_" + "/" * 22}, "order_id"),
        ({"name": ""}, "name"),
        ({"name": "  "}, "name"),
        ({"name": "x" * 81}, "name"),
        ({"name": "a\nb"}, "name"),
        ({"name": "a\u0000b"}, "name"),
        ({"name": "\u202eevil"}, "name"),
        ({"name": 5}, "name"),
        ({"email": "nobody"}, "email"),
        ({"email": 'a"@b'}, "email"),
        ({"seconds": 9_999_999}, "seconds"),
        ({"seconds": 0}, "seconds"),
        ({"seconds": "900"}, "seconds"),
        ({"seconds": 900.5}, "seconds"),
        ({"seconds": None}, "seconds"),
        ({"ui": "popup"}, "ui"),
        ({"accept_terms": "yes"}, "accept_terms"),
    ],
)
async def test_bad_fields_are_named(world: World, said: dict, field: str):
    await world.add_room()
    status, answer = await world.order(world.customer(), **said)
    assert (status, answer["error"]["code"], answer["error"]["field"]) == (422, "invalid", field)


async def test_the_terms_must_be_accepted(world: World):
    await world.add_room()
    answer = await world.order(world.customer(), accept_terms=False)
    assert _code(answer) == (422, "terms_not_accepted")


async def _raw(world: World, body: bytes, content_type: str = "application/json") -> tuple[int, dict]:
    url = world.ours.make_url("/api/rooms/talk/orders")
    headers = world.customer().headers | {"Content-Type": content_type}
    async with world.http.post(url, data=body, headers=headers) as answer:
        return answer.status, await answer.json()


@pytest.mark.parametrize(
    "body", [b"", b"{", b"[]", b"null", b'"x"', b"\xff", b"[" * 10_000, b'{"name": NaN}']
)
async def test_bodies_that_are_no_order(world: World, body: bytes):
    assert _code(await _raw(world, body)) == (422, "invalid")


async def test_a_body_over_32_kib(world: World):
    body = json.dumps({"name": "x" * 40_000}).encode()
    assert _code(await _raw(world, body)) == (413, "too_large")


async def test_a_form_is_no_json(world: World):
    assert _code(await _raw(world, b"{}", "text/plain")) == (415, "not_json")


async def test_the_same_order_twice_is_one(world: World):
    await world.add_room()
    who = world.customer()
    status, first = await world.order(who)
    assert status == 201
    status, second = await world.order(who)
    assert (status, second) == (200, first)
    assert len(await world.books()) == 1


@pytest.mark.parametrize("other", [{"name": "Cy"}, {"seconds": 1800}, {"email": "bo@example.org"}])
async def test_another_order_under_the_same_id(world: World, other: dict):
    await world.add_room()
    who = world.customer()
    await world.order(who)
    assert _code(await world.order(who, **other)) == (409, "exists_different")


async def test_somebody_elses_order_id_shows_nothing(world: World):
    await world.add_room()
    who, thief = world.customer(), world.customer()
    await world.order(who)
    thief.order_id = who.order_id
    assert _code(await world.order(thief)) == (409, "exists_different")


CALLS = [
    ("GET", "", None),
    ("POST", "/refresh", None),
    ("POST", "/cancel", None),
    ("POST", "/wait", {"wait": True}),
    ("POST", "/link", None),
    ("GET", "/receipt", None),
]


@pytest.mark.parametrize(("method", "path", "body"), CALLS)
async def test_an_order_id_alone_opens_nothing(world: World, method: str, path: str, body: dict | None):
    await world.add_room()
    who, thief = world.customer(), world.customer()
    await world.order(who)
    url = f"/api/orders/{who.order_id}{path}"
    assert _code(await world.call(method, url, None, body)) == (401, "secret_required")
    assert _code(await world.call(method, url, thief, body)) == (404, "unknown_order")
    assert _code(await world.call(method, f"/api/orders/ord_x{path}", who, body)) == (404, "unknown_order")
    assert (await world.show(who))["state"] == "open"


async def test_a_link_opens_the_order_until_the_next_one(world: World):
    await world.add_room()
    who, _ = await world.buy()
    urls = []
    for _ in range(2):
        _, said = await world.call("POST", f"/api/orders/{who.order_id}/link", who)
        urls.append(said["url"])
    first, second = (url.split("#secret=")[1] for url in urls)
    assert urls[0].startswith(f"http://localhost:8080/orders/{who.order_id}#secret=")
    old, new = world.customer(), world.customer()
    for device, secret in ((old, first), (new, second)):
        device.order_id, device.secret = who.order_id, secret
    assert (await world.show(new))["state"] == "paid"
    assert (await world.call("GET", f"/api/orders/{who.order_id}", old))[0] == 404
    assert (await world.show(who))["state"] == "paid"


async def test_no_secret_is_stored_or_sent_to_stripe(world: World):
    await world.add_room()
    who, _ = await world.buy()
    _, said = await world.call("POST", f"/api/orders/{who.order_id}/link", who)
    tables = [await world.rows(name) for name in ("orders", "stripe_calls", "inbox", "outbox", "passes")]
    stored = json.dumps(tables)
    assert who.secret not in stored
    assert said["url"].split("#secret=")[1] not in stored


async def test_answers_are_private(world: World):
    await world.add_room()
    who, _ = await world.buy()
    url = world.ours.make_url(f"/api/orders/{who.order_id}")
    async with world.http.get(url, headers=who.headers) as answer:
        assert answer.headers["Cache-Control"] == "no-store"


async def test_the_receipt_itemises(world: World):
    await world.add_room()
    who, shown = await world.buy(email="bo@example.org")
    _, receipt = await world.call("GET", f"/api/orders/{who.order_id}/receipt", who)
    assert receipt["price"] == {"amount_minor": 1500, "currency": "eur"}
    assert receipt["computation"] == {"rate_minor_per_min": 100, "seconds": 900, "amount_minor": 1500}
    assert receipt["room"]["title"] == "A talk"
    assert receipt["room"]["host_name"] == "Ada"
    assert receipt["payment_reference"].startswith("pi_")
    assert receipt["pass"] == shown["pass"]
    assert (receipt["stays"], receipt["refunds"]) == ([], [])
    assert receipt["total"] == receipt["price"]
    assert receipt["terms_accepted_at"]


async def test_an_entrance_has_nothing_to_choose(world: World):
    tariff = {"kind": "entrance", "price_minor": 700, "currency": "eur", "seconds": None}
    await world.add_room(tariff=tariff)
    _, shown = await world.buy(seconds=None)
    assert (shown["amount_minor"], shown["seconds"]) == (700, None)
    assert shown["pass"]["granted_ms"] is None
    assert shown["pass"]["remaining_ms"] is None


async def test_an_order_keeps_what_was_sold(world: World):
    room = await world.add_room(terms_url="https://example.org/terms", terms_version="7")
    who, _ = await world.buy()
    await world.set_room(room, title="Another", terms_url=None, terms_version="8")
    _, receipt = await world.call("GET", f"/api/orders/{who.order_id}/receipt", who)
    assert receipt["room"]["title"] == "A talk"
    assert receipt["terms_url"] == "https://example.org/terms"
    assert (await world.one("orders"))["terms_version"] == "7"


async def test_orders_are_limited_by_address(world: World):
    who = world.customer()
    for _ in range(ORDERS_RULE.burst):
        assert (await world.order(who, "nowhere"))[0] == 404
    assert _code(await world.order(who, "nowhere")) == (429, "rate_limited")
    world.later(ORDERS_RULE.refill_s)
    assert (await world.order(who, "nowhere"))[0] == 404
