"""The signed-in owner of a room who has lost the host link does everything that its key opens; nobody else does."""

import re
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

import signaling
from signaling.ids import secret_hash
from tests.contract.rows import add_paid, add_room
from tests.integration.harness import App, running_app
from tests.integration.people.visitor import Visitor

API = Path(signaling.__file__).with_name("API.md")
KEY = "k" * 43
HOME = "/api/host/rooms/room_1"
REFUND = {"refund_id": "rfd_0123456789abcdef", "order_id": "ord_1", "reason": "goodwill", "part": "all"}
# Each call under /api/host: what it is asked with, and its answer when it is let in.
CALLS: list[tuple[str, str, Any, int]] = [
    ("GET", HOME, None, 200),
    ("PATCH", HOME, {"title": "Mine"}, 200),
    ("POST", "/api/host/token", {"room_id": "room_1"}, 200),
    ("GET", f"{HOME}/sales", None, 200),
    ("POST", f"{HOME}/refunds", REFUND, 202),
    ("GET", f"{HOME}/stream-key", None, 200),
    ("POST", f"{HOME}/stream-key", {}, 201),
    ("DELETE", f"{HOME}/stream-key", None, 200),
    ("GET", f"{HOME}/rates", None, 200),
    ("PUT", f"{HOME}/rates", {"figures": {"window_s": 600}}, 200),
    ("GET", f"{HOME}/promotions", None, 200),
    ("POST", f"{HOME}/promotions", {"percent": 10}, 201),
    ("DELETE", f"{HOME}/promotions/code_none", None, 404),
    ("POST", f"{HOME}/key", {}, 200),  # last: the key of before opens nothing after it
]


@dataclass(frozen=True, slots=True)
class Place:
    """A room of Ana's in which one order was paid, and who comes to it."""

    app: App
    ana: Visitor
    ben: Visitor
    nobody: Visitor


@pytest.fixture
async def place(tmp_path: Path) -> AsyncIterator[Place]:
    async with (
        running_app(tmp_path, media_workers=0) as app,
        Visitor(app) as ana,
        Visitor(app) as ben,
        Visitor(app) as nobody,
    ):
        who = await ana.sign_in()
        await ben.sign_in("ben@example.org")
        await add_room(app.parts.db, owner_id=who["id"], host_key_hash=secret_hash(KEY))
        await add_paid(app.parts.db)
        yield Place(app, ana, ben, nobody)


def test_every_call_of_hosts_is_tried_here() -> None:
    tried = {
        (method, path.replace("room_1", "{id}").replace("code_none", "{code_id}"))
        for method, path, *_ in CALLS
    }
    listed = set(re.findall(r"`(GET|POST|PUT|PATCH|DELETE) (/api/host/[^`?\s]+)", API.read_text()))
    assert tried == listed


async def test_the_signed_in_owner_needs_no_key(place: Place) -> None:
    for method, path, body, status in CALLS:
        answered = await place.ana.call(method, path, body)
        assert answered[0] == status, (method, path, answered)
    # The old link is no longer good, the new one is.
    assert await place.nobody.call("GET", HOME, Authorization=f"Bearer {KEY}") == (403, "bad_host_key")
    fresh = (await place.ana.call("POST", f"{HOME}/key", {}))[1]["host_key"]
    assert (await place.nobody.call("GET", HOME, Authorization=f"Bearer {fresh}"))[0] == 200


async def test_who_sells_sees_who_paid(place: Place) -> None:
    (sale,) = (await place.ana.call("GET", f"{HOME}/sales"))[1]["sales"]
    assert (sale["order_id"], sale["paid_minor"], sale["currency"]) == ("ord_1", 1500, "eur")


async def test_another_person_and_a_visitor_get_nowhere(place: Place) -> None:
    for visitor in (place.ben, place.nobody):
        for method, path, body, _ in CALLS:
            assert await visitor.call(method, path, body) == (403, "bad_host_key"), (method, path)
    token = {"room_id": "room_none"}
    assert await place.ana.call("POST", "/api/host/token", token) == (403, "bad_host_key")
    assert await place.ana.call("GET", "/api/host/rooms/room_none") == (403, "bad_host_key")


async def test_who_signed_out_is_a_visitor_again(place: Place) -> None:
    assert (await place.ana.call("POST", "/api/signout", {}))[0] == 200
    assert await place.ana.call("GET", HOME) == (403, "bad_host_key")
    assert await place.ana.call("POST", "/api/host/token", {"room_id": "room_1"}) == (403, "bad_host_key")


async def test_a_change_as_the_owner_needs_the_token_of_the_session_and_a_page_of_ours(place: Place) -> None:
    for method, path, body, _ in CALLS:
        if method == "GET":
            continue
        assert await place.ana.call(method, path, body, X_CSRF_Token="") == (403, "bad_csrf"), (method, path)
        foreign = await place.ana.call(method, path, body, Origin="https://elsewhere.example")
        assert foreign == (403, "bad_origin"), (method, path)
    assert (await place.nobody.call("GET", HOME, Authorization=f"Bearer {KEY}"))[0] == 200, (
        "nothing was changed"
    )


async def test_the_key_opens_as_before_and_a_wrong_one_never_does(place: Place) -> None:
    wrong = "x" * 43
    for method, path, body, status in CALLS:
        in_body = path == "/api/host/token"
        for key, visitor, expected in ((wrong, place.ana, 403), (KEY, place.nobody, status)):
            given = body | {"host_key": key} if in_body else body
            headers = {} if in_body else {"Authorization": f"Bearer {key}"}
            answered = await visitor.call(method, path, given, **headers)
            assert answered[0] == expected, (method, path, answered)
