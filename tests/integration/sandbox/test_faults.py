"""Each fault switch as the real SDK meets it, and what is true afterwards."""

import asyncio

import aiohttp
import pytest
import stripe

from .world import SECRET_KEY, World, build_world

CREATE = "checkout.sessions.create"


async def fault(world: World, kind: str, **more) -> None:
    assert "error" not in await world.control("faults", {"operation": CREATE, "fault": kind, **more})


async def sessions(world: World) -> int:
    return len((await world.client.v1.checkout.sessions.list_async()).data)


async def test_truncated_after_commit_then_replayed(world: World):
    await fault(world, "truncate_after_commit")
    with pytest.raises((aiohttp.ClientPayloadError, stripe.APIConnectionError)):
        await world.session(key="k")
    assert await sessions(world) == 1
    again = await world.session(key="k")
    assert again.last_response.headers["Idempotent-Replayed"] == "true"
    assert await sessions(world) == 1


async def test_reset_after_commit_then_replayed(world: World):
    await fault(world, "reset_after_commit")
    with pytest.raises(stripe.APIConnectionError):
        await world.session(key="k")
    assert await sessions(world) == 1
    assert (await world.session(key="k")).last_response.headers["Idempotent-Replayed"] == "true"


async def test_the_sdk_s_own_retry_finds_the_committed_session(tmp_path, monkeypatch):
    monkeypatch.setattr(stripe.AIOHTTPClient, "sleep_async", staticmethod(lambda _pause_s: asyncio.sleep(0)))
    async with build_world(tmp_path, max_network_retries=2) as world:
        await fault(world, "reset_after_commit", times=2)
        session = await world.session()
        assert session.last_response.headers["Idempotent-Replayed"] == "true"
        assert await sessions(world) == 1


@pytest.mark.parametrize("effect", [False, True])
async def test_a_saved_500_is_replayed_and_proves_nothing(world: World, effect: bool):
    await fault(world, "error_500_saved", effect=effect)
    for _ in range(3):
        with pytest.raises(stripe.APIError) as raised:
            await world.session(key="k")
        assert raised.value.http_status == 500
    assert raised.value.headers["Idempotent-Replayed"] == "true"
    assert await sessions(world) == (1 if effect else 0)
    assert (await world.session(key="k:2")).status == "open"


async def test_409_has_no_effect_and_saves_nothing(world: World):
    await fault(world, "conflict_409")
    with pytest.raises(stripe.StripeError) as raised:
        await world.session(key="k")
    assert raised.value.http_status == 409
    assert await sessions(world) == 0
    session = await world.session(key="k")
    assert "Idempotent-Replayed" not in session.last_response.headers


async def test_429(world: World):
    await fault(world, "rate_limit_429")
    with pytest.raises(stripe.RateLimitError):
        await world.session(key="k")
    assert await sessions(world) == 0


async def test_slow_is_committed_before_the_client_gives_up(world: World):
    await fault(world, "slow", delay_s=30)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.2):
            await world.session(key="k")
    assert await sessions(world) == 1
    assert (await world.session(key="k")).last_response.headers["Idempotent-Replayed"] == "true"


async def test_a_fault_meets_its_operation_only_and_so_often(world: World):
    await fault(world, "conflict_409", times=2)
    await world.client.v1.customers.create_async({})
    for _ in range(2):
        with pytest.raises(stripe.StripeError):
            await world.session()
    assert (await world.session()).status == "open"


async def test_star_meets_everything(world: World):
    await world.control("faults", {"operation": "*", "fault": "rate_limit_429"})
    with pytest.raises(stripe.RateLimitError):
        await world.client.v1.events.list_async()


async def test_reset_turns_them_off(world: World):
    await fault(world, "conflict_409", times=100)
    await world.control("reset", {})
    assert (await world.session()).status == "open"


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"fault": "fire"},
        {"events": "truncate_after_commit"},
        {"fault": "slow", "delay_s": 10_000},
        {"fault": "slow", "times": 0},
        {"fault": "slow", "times": True},
        {"fault": "slow", "operation": 5},
    ],
)
async def test_nonsense_switches_are_refused(world: World, body):
    assert (await world.control("faults", body))["status"] == 400


async def test_switches_are_bounded(world: World):
    for _ in range(100):
        await fault(world, "slow")
    assert (await world.control("faults", {"operation": CREATE, "fault": "slow"}))["status"] == 429


CREATES = {
    "customers.create": ("/v1/customers", {"email": "pat@example.org"}),
    "setup_intents.create": ("/v1/setup_intents", {"payment_method": "pm_card_visa"}),
    "payment_intents.create": ("/v1/payment_intents", {"amount": "500", "currency": "eur"}),
    "billing_portal.sessions.create": ("/v1/billing_portal/sessions", {"customer": "CUSTOMER"}),
}


@pytest.mark.parametrize("operation", CREATES)
async def test_whatever_is_made_is_made_once_though_the_answer_was_lost(world: World, operation: str):
    path, params = CREATES[operation]
    customer = await world.client.v1.customers.create_async({})
    params = {name: customer.id if value == "CUSTOMER" else value for name, value in params.items()}
    headers = {"Authorization": f"Bearer {SECRET_KEY}", "Idempotency-Key": "once"}
    await world.control("faults", {"operation": operation, "fault": "truncate_after_commit"})
    with pytest.raises(aiohttp.ClientPayloadError):
        async with world.http.post(world.url + path, data=params, headers=headers) as cut:
            await cut.read()
    ids = set()
    for _ in range(2):
        async with world.http.post(world.url + path, data=params, headers=headers) as answer:
            assert answer.headers["Idempotent-Replayed"] == "true"
            ids.add((await answer.json())["id"])
    assert len(ids) == 1
