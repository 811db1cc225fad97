"""Who may talk to the sandbox, and beside what it never runs."""

import os
import subprocess
import sys

import aiohttp
import pytest
import stripe

from signaling.payments.sandbox import Sandbox, SandboxRefusedError
from signaling.payments.sandbox.control import _host_name, _is_loopback
from signaling.payments.sandbox.resources import ROUTES
from signaling.payments.sandbox.store import API_VERSION

from .world import SECRET_KEY, World


@pytest.mark.parametrize("key", ["sk_live_abc", "rk_live_abc", "pk_test_abc", "", "sk_sandbox"])
async def test_only_a_test_key_starts_it(tmp_path, key):
    async with aiohttp.ClientSession() as http:
        with pytest.raises(SandboxRefusedError):
            Sandbox(
                tmp_path / "sandbox.db", secret_key=key, webhook_secret="whsec_x", webhook_url=None,
                public_url="http://localhost", now=lambda: 0.0, random_bytes=os.urandom, http=http,
            )  # fmt: skip
    assert not (tmp_path / "sandbox.db").exists()


def test_the_process_refuses_beside_a_live_key(tmp_path):
    command = [sys.executable, "-m", "signaling.payments.sandbox", "--db", str(tmp_path / "s.db")]
    environment = {**os.environ, "STRIPE_SECRET_KEY": "sk_live_abc"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode != 0
    assert "never runs beside a live Stripe key" in done.stderr


async def test_another_key_is_refused(world: World):
    for key in ("sk_sandbox_other", "sk_live_tests"):
        client = stripe.StripeClient(
            key, base_addresses={"api": world.url}, http_client=stripe.AIOHTTPClient(session=world.http)
        )
        with pytest.raises(stripe.AuthenticationError):
            await client.v1.checkout.sessions.list_async()
    async with world.http.get(f"{world.url}/v1/events") as response:
        assert response.status == 401


def test_the_api_version_is_the_sdk_s():
    assert stripe.api_version == API_VERSION


async def test_another_version_is_refused(world: World):
    with pytest.raises(stripe.InvalidRequestError, match="Invalid Stripe API version"):
        await world.client.v1.events.list_async({}, {"stripe_version": "2020-08-27"})


async def test_answers_tell_version_and_request(world: World):
    session = await world.session()
    assert session.last_response.headers["Stripe-Version"] == stripe.api_version
    assert session.last_response.headers["Request-Id"].startswith("req_")


@pytest.mark.parametrize(
    ("method", "path"), [("GET", "/v1/coupons"), ("DELETE", "/v1/customers/cus_1"), ("GET", "/v1/")]
)
async def test_unknown_urls_get_stripe_s_envelope(world: World, method, path):
    headers = {"Authorization": f"Bearer {SECRET_KEY}"}
    async with world.http.request(method, world.url + path, headers=headers) as response:
        assert response.status == 404
        assert (await response.json())["error"]["type"] == "invalid_request_error"


@pytest.mark.parametrize(
    "body",
    [
        "line_items[0[a]=1",
        "a[b][c][d][e][f][g]=1",
        "a=1&a[b]=2",
        "[]=1",
        "=&=",
        "%00=%ff",
        "line_items[x]=1",
        "&".join(f"a{i}=1" for i in range(1500)),
    ],
)
async def test_malformed_forms_are_refused(world: World, body):
    headers = {"Authorization": f"Bearer {SECRET_KEY}", "Content-Type": "application/x-www-form-urlencoded"}
    async with world.http.post(f"{world.url}/v1/checkout/sessions", data=body, headers=headers) as response:
        assert response.status == 400
        assert (await response.json())["error"]["type"] == "invalid_request_error"


async def test_control_answers_loopback_names_only(world: World):
    for host, status in (
        ("127.0.0.1", 200),
        ("localhost:99", 200),
        ("evil.test", 403),
        ("10.0.0.7:8080", 403),
    ):
        async with world.http.get(f"{world.url}/_control/books", headers={"Host": host}) as response:
            assert response.status == status


@pytest.mark.parametrize(
    ("host", "local"),
    [
        ("127.0.0.1:80", True),
        ("[::1]:80", True),
        ("[::1]", True),
        ("localhost", True),
        ("a.localhost.evil", False),
        ("", False),
    ],
)
def test_loopback_is_recognised(host, local):
    assert _is_loopback(_host_name(host)) is local


async def test_control_takes_json_only(world: World):
    async with world.http.post(f"{world.url}/_control/reset", data="{}") as response:
        assert response.status == 415


async def test_the_dashboard_is_served(world: World):
    async with world.http.get(f"{world.url}/_control/") as response:
        assert response.status == 200
        assert "script-src 'self'" in response.headers["Content-Security-Policy"]


def test_operations_have_names_of_their_own():
    names = [route.name for route in ROUTES]
    assert len(names) == len(set(names))
