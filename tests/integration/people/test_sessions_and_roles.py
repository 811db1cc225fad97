"""A session is found by its cookie, changes need the token of that session and a page of ours, and operators are told
from others: over HTTP, on a small application with one route of each kind."""

import os
from collections.abc import AsyncIterator
from http.cookies import SimpleCookie
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from pydantic import SecretStr

from signaling import identity
from signaling.http import answer, errors_middleware
from signaling.people.sessions import EXTEND_AFTER_S, SESSION_S, Current, Sessions
from signaling.stores import people
from signaling.stores.database import Database
from signaling.stores.people import Role, User
from tests.unit.rooms.fakes import InventedClock

ADMIN_TOKEN = "a-machine-of-the-operator-0123456789"
ORIGIN = "http://rooms.example.org"
NOW_TEXT = "2026-01-01T00:00:00.000Z"


class Site:
    """The small application and who may be signed in there."""

    def __init__(self, db: Database, clock: InventedClock, http: aiohttp.ClientSession) -> None:
        self.db = db
        self.clock = clock
        self.http = http
        self.keys = [("k1", "first key of the server")]
        self.sessions = Sessions(db, clock, os.urandom, keys=lambda: self.keys, origin=ORIGIN)
        self.server: TestServer

    def app(self) -> web.Application:
        app = web.Application(middlewares=[errors_middleware])
        app[identity.IDENTITY] = identity.Identity(self.sessions.find, SecretStr(ADMIN_TOKEN))
        app.router.add_route("*", "/api/who", self._who)
        app.router.add_route("*", "/api/mine", self._mine)
        app.router.add_route("*", "/api/operated", self._operated)
        app.router.add_get("/api/again", self._again)
        return app

    async def _who(self, request: web.Request) -> web.Response:
        found = await identity.person(request)
        return answer({"who": found and found.id})

    async def _mine(self, request: web.Request) -> web.Response:
        return answer({"who": (await identity.require_person(request)).id})

    async def _operated(self, request: web.Request) -> web.Response:
        return answer({"who": await identity.require_operator(request)})

    async def _again(self, request: web.Request) -> web.Response:
        current = await self.sessions.current(request)
        response = answer({})
        assert current is not None
        await self.sessions.extend(request, response, current)
        return response

    async def sign_in(self, role: Role = "user") -> tuple[Current, str]:
        """A session, and its cookies as a browser keeps them."""
        user = await self.db.write(
            lambda tx: people.known_or_new(tx, User(f"usr_{role}", f"{role}@x.org", "Ana", role, NOW_TEXT))
        )
        current = self.sessions.begin()(user)
        now_s = int(self.clock.wall_s())
        await self.db.write(lambda tx: people.add_session(tx, current.session, now_s))
        return current, self.cookie(current)

    def cookie(self, current: Current, **headers: str) -> str:
        request = web.Response()
        made = _request(headers.get("host", "rooms.example.org"))
        self.sessions.set_cookie(made, request, current)
        return "; ".join(f"{name}={morsel.value}" for name, morsel in request.cookies.items())

    async def call(self, method: str, path: str, **headers: str) -> tuple[int, str]:
        """The status, and who answered or the code of the refusal."""
        given = {"Host": "rooms.example.org"} | {
            name.replace("_", "-"): text for name, text in headers.items()
        }
        async with self.http.request(method, self.server.make_url(path), headers=given) as response:
            body = await response.json()
        return response.status, body["who"] if "who" in body else body["error"]["code"]


def _request(host: str) -> web.Request:
    from aiohttp.test_utils import make_mocked_request

    return make_mocked_request("GET", "/", headers={"Host": host})


@pytest.fixture
async def site(tmp_path: Path) -> AsyncIterator[Site]:
    db = Database(f"sqlite:///{tmp_path}/people.db")
    await db.create_schema()
    async with aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar()) as http:
        made = Site(db, InventedClock(), http)
        made.server = TestServer(made.app())
        await made.server.start_server()
        yield made
        await made.server.close()
    await db.close()


async def test_a_visitor_is_nobody_and_is_asked_to_sign_in_where_it_matters(site: Site) -> None:
    assert await site.call("POST", "/api/who") == (200, None)
    assert await site.call("POST", "/api/mine") == (401, "sign_in_required")
    assert await site.call("GET", "/api/operated") == (401, "sign_in_required")


async def test_a_session_is_its_person_until_it_runs_out(site: Site) -> None:
    _, cookie = await site.sign_in()
    assert await site.call("GET", "/api/mine", Cookie=cookie) == (200, "usr_user")
    site.clock.at_ms += SESSION_S * 1000
    assert await site.call("GET", "/api/mine", Cookie=cookie) == (401, "sign_in_required")


@pytest.mark.parametrize("path", ["/api/who", "/api/mine", "/api/operated"])
@pytest.mark.parametrize("method", ["POST", "PATCH", "DELETE", "PUT"])
async def test_a_change_needs_the_sessions_token_and_a_page_of_ours(
    site: Site, method: str, path: str
) -> None:
    current, cookie = await site.sign_in("operator")
    other, _ = await site.sign_in()
    ours = {"Cookie": cookie, "Origin": ORIGIN}
    assert await site.call(method, path, **ours) == (403, "bad_csrf")
    assert await site.call(method, path, **ours, X_CSRF_Token="é") == (403, "bad_csrf")
    assert await site.call(method, path, **ours, X_CSRF_Token=other.csrf_token) == (403, "bad_csrf")
    foreign = {"Cookie": cookie, "X_CSRF_Token": current.csrf_token}
    for origin in (
        {},
        {"Origin": "null"},
        {"Origin": "https://rooms.example.org"},
        {"Origin": "http://evil.org"},
    ):
        assert await site.call(method, path, **foreign, **origin) == (403, "bad_origin")
    assert await site.call(method, path, **ours, X_CSRF_Token=current.csrf_token) == (200, "usr_operator")


@pytest.mark.parametrize("spoil", [str.upper, lambda text: text[:-1] + "é", lambda text: text.split(".")[0]])
async def test_a_cookie_that_we_did_not_sign_is_nobodys(site: Site, spoil) -> None:
    _, cookie = await site.sign_in()
    session = cookie.split(";", maxsplit=1)[0]
    assert await site.call("GET", "/api/who", Cookie=spoil(session)) == (200, None)


async def test_a_session_outlives_one_rotation_of_the_keys(site: Site) -> None:
    _, cookie = await site.sign_in()
    site.keys.insert(0, ("k2", "second key"))
    assert await site.call("GET", "/api/who", Cookie=cookie) == (200, "usr_user")
    del site.keys[1]
    assert await site.call("GET", "/api/who", Cookie=cookie) == (200, None)


async def test_only_operators_and_the_operators_machine_pass(site: Site) -> None:
    _, user = await site.sign_in("host")
    _, operator = await site.sign_in("operator")
    assert await site.call("GET", "/api/operated", Cookie=user) == (403, "operator_only")
    assert await site.call("GET", "/api/operated", Cookie=operator) == (200, "usr_operator")
    machine = f"Bearer {ADMIN_TOKEN}"
    assert await site.call("POST", "/api/operated", Authorization=machine) == (200, "admin_token")
    assert await site.call("POST", "/api/operated", Authorization=machine + "x") == (401, "sign_in_required")
    assert await site.call("POST", "/api/operated", Authorization="Bearer é") == (401, "sign_in_required")
    assert await site.call("POST", "/api/mine", Authorization=machine) == (401, "sign_in_required")


async def test_a_session_is_prolonged_at_most_once_a_day(site: Site) -> None:
    _, cookie = await site.sign_in()

    async def prolonged() -> bool:
        headers = {"Cookie": cookie, "Host": "rooms.example.org"}
        async with site.http.get(site.server.make_url("/api/again"), headers=headers) as response:
            return "Set-Cookie" in response.headers

    assert not await prolonged()
    site.clock.at_ms += EXTEND_AFTER_S * 1000
    assert await prolonged()
    assert not await prolonged()
    site.clock.at_ms += (SESSION_S - 1) * 1000
    assert await site.call("GET", "/api/who", Cookie=cookie) == (200, "usr_user")


async def test_the_cookie_is_out_of_reach_of_scripts_and_of_other_sites(site: Site) -> None:
    current, _ = await site.sign_in()
    secure = Sessions(
        site.db, site.clock, os.urandom, keys=lambda: site.keys, origin="https://rooms.example.org"
    )
    for sessions, name in ((site.sessions, "tollroom_session"), (secure, "__Host-tollroom_session")):
        response = web.Response()
        sessions.set_cookie(_request("rooms.example.org"), response, current)
        cookies: SimpleCookie = response.cookies
        assert cookies[name]["httponly"]
        assert cookies[name]["samesite"] == "Lax"
        assert cookies[name]["path"] == "/"
        assert not cookies[name]["domain"]
        assert bool(cookies[name]["secure"]) is (sessions is secure)
        assert current.secret not in repr(current)
