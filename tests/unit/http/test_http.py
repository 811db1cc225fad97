"""HTTP manners: who is calling, what pages may load, what errors say."""

from collections.abc import Iterator

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer, make_mocked_request

from signaling.errors import ApiError
from signaling.http import (
    PageKind,
    bearer,
    client_address,
    content_security_policy,
    errors_middleware,
    page_kind,
    security_headers,
    trusted_networks,
)


class _From:
    """As much of a transport as `request.remote` looks at."""

    def __init__(self, address: str) -> None:
        self._address = address

    def get_extra_info(self, name: str, default: object = None) -> object:
        return (self._address, 1234) if name == "peername" else default


def _request(remote: str, *forwarded: str) -> web.Request:
    from multidict import CIMultiDict

    headers = CIMultiDict([("X-Forwarded-For", value) for value in forwarded])
    return make_mocked_request("GET", "/", headers, transport=_From(remote))


PROXIES = trusted_networks(["10.0.0.0/8", "::1"])


@pytest.mark.parametrize(
    ("remote", "forwarded", "expected"),
    [
        ("203.0.113.5", (), "203.0.113.5"),
        ("203.0.113.5", ("198.51.100.1",), "203.0.113.5"),  # whoever is no proxy may say what they like
        ("10.0.0.1", ("198.51.100.1",), "198.51.100.1"),
        ("10.0.0.1", ("1.1.1.1, 198.51.100.1",), "198.51.100.1"),  # what the caller wrote before it
        ("10.0.0.1", ("198.51.100.1, 10.0.0.2",), "198.51.100.1"),
        ("10.0.0.1", ("1.1.1.1", "198.51.100.1"), "198.51.100.1"),
        ("::1", ("2001:db8::7",), "2001:db8::7"),
        ("10.0.0.1", ("unknown",), "10.0.0.1"),
        ("10.0.0.1", (), "10.0.0.1"),
        ("10.0.0.1", ("10.0.0.2",), "10.0.0.2"),
    ],
)
def test_forwarded_for_counts_as_far_as_proxies_wrote_it(
    remote: str, forwarded: tuple[str, ...], expected: str
):
    assert client_address(_request(remote, *forwarded), PROXIES) == expected


@pytest.mark.parametrize(
    ("header", "secret"),
    [
        ("Bearer abc", "abc"),
        ("bearer  abc ", "abc"),
        ("Basic abc", None),
        ("Bearer", None),
        ("Bearer " + "x" * 257, None),
        ("", None),
    ],
)
def test_the_bearer_secret(header: str, secret: str | None):
    request = make_mocked_request("GET", "/", {"Authorization": header})
    assert bearer(request) == secret


def test_stripe_is_allowed_only_where_it_is_used():
    for kind in PageKind:
        assert "stripe.com" not in content_security_policy(kind, "sandbox")
    assert "stripe.com" not in content_security_policy(PageKind.PLAIN, "stripe")
    assert "frame-src https://js.stripe.com" in content_security_policy(PageKind.CHECKOUT, "stripe")


@pytest.mark.parametrize("kind", PageKind)
@pytest.mark.parametrize("provider", ["sandbox", "stripe"])
def test_no_page_runs_inline_scripts(kind: PageKind, provider):
    policy = content_security_policy(kind, provider)
    assert "unsafe" not in policy
    assert policy.startswith("default-src 'none'")
    frames = "frame-ancestors 'self'" if kind is PageKind.FRAME else "frame-ancestors 'none'"
    assert frames in policy


async def _fine(request: web.Request) -> web.Response:
    page_kind(request, PageKind.CHECKOUT)
    return web.Response(text="fine")


async def _refuse(_request: web.Request) -> web.Response:
    raise ApiError(409, "room_full", "no seat", field="seat")


async def _fail(_request: web.Request) -> web.Response:
    raise RuntimeError("secret detail")


@pytest.fixture
async def client() -> Iterator[TestClient]:
    app = web.Application(middlewares=[errors_middleware])
    app.on_response_prepare.append(security_headers("stripe", hsts=True))
    app.router.add_get("/page", _fine)
    app.router.add_get("/api/refuse", _refuse)
    app.router.add_get("/api/fail", _fail)
    async with TestClient(TestServer(app)) as made:
        yield made


async def test_headers_are_on_every_answer(client: TestClient):
    for path in ("/page", "/api/refuse", "/api/fail", "/api/nowhere", "/nowhere"):
        answer = await client.get(path)
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert answer.headers["Referrer-Policy"] == "no-referrer"
        assert "max-age" in answer.headers["Strict-Transport-Security"]
        assert ("stripe.com" in answer.headers["Content-Security-Policy"]) == (path == "/page")
        assert "Access-Control-Allow-Origin" not in answer.headers


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", "/api/refuse", 409, "room_full"),
        ("GET", "/api/fail", 500, "internal"),
        ("GET", "/api/nowhere", 404, "not_found"),
        ("POST", "/api/refuse", 405, "method_not_allowed"),
    ],
)
async def test_errors_have_a_stable_code_and_no_detail(client: TestClient, method, path, status, code):
    answer = await client.request(method, path)
    body = await answer.json()
    assert (answer.status, body["error"]["code"]) == (status, code)
    assert "secret detail" not in str(body)
    assert answer.headers["Cache-Control"] == "no-store"


async def test_pages_keep_their_own_errors(client: TestClient):
    answer = await client.get("/nowhere")
    assert answer.status == 404
    assert answer.content_type != "application/json"
