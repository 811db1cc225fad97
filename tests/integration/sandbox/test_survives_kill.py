"""kill -9 between any two steps: what was answered is still there, and what was queued is still sent."""

import asyncio
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import pytest
import stripe
from aiohttp import web

from .world import Merchant, checkout_params, served

KEY, WEBHOOK_SECRET = "sk_sandbox_kill", "whsec_tests"


class Process:
    """The sandbox as a process of its own."""

    def __init__(self, folder: Path, webhook_url: str) -> None:
        self._command = [
            sys.executable, "-m", "signaling.payments.sandbox", "--db", str(folder / "sandbox.db"),
            "--webhook-url", webhook_url, "--secret-key", KEY, "--webhook-secret", WEBHOOK_SECRET,
        ]  # fmt: skip
        self._process: asyncio.subprocess.Process | None = None

    async def start(self) -> str:
        self._process = await asyncio.create_subprocess_exec(*self._command, stdout=subprocess.PIPE)
        assert self._process.stdout is not None
        async with asyncio.timeout(20):
            line = await self._process.stdout.readline()
        return line.decode().split()[1]

    async def kill(self) -> None:
        assert self._process is not None
        self._process.kill()
        await self._process.wait()

    async def terminate(self) -> int:
        assert self._process is not None
        self._process.terminate()
        return await self._process.wait()


@asynccontextmanager
async def merchant_at() -> AsyncIterator[tuple[Merchant, str]]:
    merchant = Merchant()
    app = web.Application()
    app.router.add_post("/hook", merchant.receive)
    async with served(app) as url:
        yield merchant, f"{url}/hook"


@pytest.mark.parametrize("settled_first", [False, True])
async def test_state_keys_and_queued_webhooks_outlive_kill_9(tmp_path: Path, settled_first: bool):
    async with merchant_at() as (merchant, hook), aiohttp.ClientSession() as http:
        merchant.statuses = [] if settled_first else [500] * 4
        process = Process(tmp_path, hook)
        url = await process.start()
        session = await client_for(url, http).v1.checkout.sessions.create_async(
            checkout_params(), {"idempotency_key": "k"}
        )
        async with http.post(
            f"{url}/sandbox/api/checkout/{session.id}/pay", json={"card": "succeeds"}
        ) as response:
            assert (await response.json())["state"] == "complete"
        if settled_first:
            await merchant.wait_for("checkout.session.completed")
        await process.kill()

        url = await process.start()
        client = client_for(url, http)
        found = await client.v1.checkout.sessions.retrieve_async(session.id, {"expand": ["payment_intent"]})
        assert (found.status, found.payment_status, found.payment_intent.amount_received) == (
            "complete",
            "paid",
            1500,
        )
        again = await client.v1.checkout.sessions.create_async(checkout_params(), {"idempotency_key": "k"})
        assert again.id == session.id
        await merchant.wait_for("checkout.session.completed")
        assert len((await client.v1.charges.list_async()).data) == 1
        assert await process.terminate() == 0


@pytest.mark.parametrize("kill_after", [3, 11])
async def test_killed_among_many_buyers_nothing_is_lost_or_doubled(tmp_path: Path, kill_after: int):
    """20 buyers at once; the process dies after so many answers. Whoever asks again under the same key gets one session."""
    async with merchant_at() as (_, hook), aiohttp.ClientSession() as http:
        process = Process(tmp_path, hook)
        url = await process.start()
        answered: dict[str, str] = {}
        paid: set[str] = set()
        enough = asyncio.Event()

        async def buy(reference: str, at: str) -> None:
            session = await create(client_for(at, http), reference)
            answered.setdefault(reference, session.id)
            assert answered[reference] == session.id
            address = f"{at}/sandbox/api/checkout/{session.id}/pay"
            async with http.post(address, json={"card": "succeeds"}) as response:
                outcome = await response.json()
            # 409: the payment went through before the kill, only its answer was lost.
            assert outcome.get("state") == "complete" or response.status == 409
            paid.add(session.id)
            if len(paid) >= kill_after:
                enough.set()

        references = [f"ord_{number}" for number in range(20)]
        buyers = [asyncio.create_task(buy(reference, url)) for reference in references]
        async with asyncio.timeout(60):
            await enough.wait()
        await process.kill()
        await asyncio.gather(*buyers, return_exceptions=True)
        survivors = set(paid)

        url = await process.start()
        client = client_for(url, http)
        for session_id in survivors:
            assert (await client.v1.checkout.sessions.retrieve_async(session_id)).payment_status == "paid"
        await asyncio.gather(*(buy(reference, url) for reference in references))
        sessions = (await client.v1.checkout.sessions.list_async({"limit": 100})).data
        assert sorted(one.client_reference_id for one in sessions) == sorted(references)
        assert {one.payment_status for one in sessions} == {"paid"}
        assert len((await client.v1.charges.list_async({"limit": 100})).data) == 20
        events = await client.v1.events.list_async({"type": "checkout.session.completed", "limit": 100})
        assert sorted(event.data.object["id"] for event in events.data) == sorted(one.id for one in sessions)
        assert await process.terminate() == 0


async def create(client: stripe.StripeClient, reference: str) -> stripe.checkout.Session:
    params = checkout_params(client_reference_id=reference)
    return await client.v1.checkout.sessions.create_async(
        params, {"idempotency_key": f"checkout:{reference}"}
    )


def client_for(url: str, http: aiohttp.ClientSession) -> stripe.StripeClient:
    return stripe.StripeClient(
        KEY,
        base_addresses={"api": url},
        http_client=stripe.AIOHTTPClient(session=http),
        max_network_retries=0,
    )
