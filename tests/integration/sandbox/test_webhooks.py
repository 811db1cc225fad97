"""Events: recorded, signed, delivered over HTTP, tried again, listed for those who were away."""

import asyncio
import json

import pytest
import stripe

from .world import WEBHOOK_SECRET, World, build_world


def completed(world: World) -> list[str]:
    """Ids of `checkout.session.completed` events as the merchant got them."""
    return [event["id"] for event in world.merchant.received if event["type"] == "checkout.session.completed"]


async def fault(world: World, events: str, **more) -> None:
    answer = await world.control("faults", {"events": events, "type": "checkout.session.completed", **more})
    assert "error" not in answer


async def test_the_sdk_accepts_the_signature_and_builds_the_event(world: World):
    await world.paid()
    await world.work()
    # The merchant verified each header with the SDK before it kept the event.
    assert len(world.merchant.received) == 4
    event = stripe.Webhook.construct_event_without_verification(json.dumps(world.merchant.received[-1]))
    assert event.type == "checkout.session.completed"
    assert event.api_version == stripe.api_version
    assert event.livemode is False


async def test_a_changed_body_or_another_secret_breaks_the_signature():
    from signaling.payments.sandbox.webhooks import signature_header

    header = signature_header('{"a": 1}', WEBHOOK_SECRET, 1_800_000_000)
    assert header == stripe.WebhookSignature.generate_signature_header(
        '{"a": 1}', WEBHOOK_SECRET, 1_800_000_000
    )
    with pytest.raises(stripe.SignatureVerificationError):
        stripe.WebhookSignature.verify_header('{"a": 2}', header, WEBHOOK_SECRET)
    with pytest.raises(stripe.SignatureVerificationError):
        stripe.WebhookSignature.verify_header('{"a": 1}', header, "whsec_other")


async def test_events_name_the_request_that_caused_them(world: World):
    session = await world.session()
    await world.client.v1.checkout.sessions.expire_async(session.id, options={"idempotency_key": "expire:1"})
    event = (await world.client.v1.events.list_async()).data[0]
    assert event.request.idempotency_key == "expire:1"
    assert event.request.id.startswith("req_")


async def test_a_refused_webhook_comes_again_with_growing_pauses(world: World):
    session = await world.session()
    await world.client.v1.checkout.sessions.expire_async(session.id)
    world.merchant.statuses = [500, 503, 404]
    await world.work()
    for pause_s in (1, 2, 4):
        assert world.merchant.received == []
        await world.work(pause_s - 0.01)
        assert world.merchant.received == []
        await world.work(0.01)
    assert world.merchant.types == ["checkout.session.expired"]
    assert len(world.merchant.headers) == 4
    assert len(set(world.merchant.headers)) == 4, "each attempt is signed with its own time"
    await world.work(3600)
    assert len(world.merchant.headers) == 4


async def test_attempts_are_bounded(world: World):
    session = await world.session()
    await world.client.v1.checkout.sessions.expire_async(session.id)
    world.merchant.statuses = [500] * 50
    for _ in range(50):
        await world.work(301)
    assert len(world.merchant.headers) == 12
    [row] = (await world.control("events"))["events"]
    assert (row["state"], row["attempts"], row["last_outcome"]) == ("failed", 12, "HTTP 500")


async def test_nobody_listening_is_a_failed_attempt_too(world: World):
    world.sandbox._deliverer._url = "http://127.0.0.1:9/stripe/webhook"
    await world.paid()
    await world.work()
    rows = (await world.control("events"))["events"]
    assert {row["state"] for row in rows} == {"pending"}
    assert rows[0]["last_outcome"] == "ClientConnectorError"


async def test_undelivered_events_can_be_listed(world: World):
    session = await world.paid()
    listed = world.client.v1.events.list_async
    assert len((await listed({"delivery_success": False})).data) == 4
    await world.work()
    assert (await listed({"delivery_success": False})).data == []
    assert [event.pending_webhooks for event in (await listed()).data] == [0] * 4
    world.merchant.statuses = [500]
    await world.client.v1.refunds.create_async({"payment_intent": session.payment_intent})
    await world.work()
    missed = await listed({"delivery_success": False})
    assert [(event.type, event.pending_webhooks) for event in missed.data] == [("refund.created", 1)]
    assert len((await listed({"delivery_success": True})).data) == 5


async def test_events_by_type_time_and_cursor(world: World):
    await world.paid()
    world.clock.now_s += 100
    await world.paid()
    listed = world.client.v1.events.list_async
    both = await listed({"types": ["checkout.session.completed", "charge.succeeded"]})
    assert [event.type for event in both.data] == ["checkout.session.completed", "charge.succeeded"] * 2
    one = await listed({"type": "checkout.session.completed"})
    assert len(one.data) == 2
    late = await listed({"created": {"gt": int(world.clock()) - 100}, "type": "charge.succeeded"})
    assert len(late.data) == 1
    since = await listed({"ending_before": one.data[1].id, "limit": 100})
    assert len(since.data) == 4, "everything after the first payment's last event"
    assert (await world.client.v1.events.retrieve_async(one.data[0].id)).id == one.data[0].id
    with pytest.raises(stripe.InvalidRequestError):
        await listed({"types": ["charge.succeeded"] * 21})


async def test_events_are_kept_for_30_days(world: World):
    await world.paid()
    world.clock.now_s += 30 * 86400 + 1
    assert (await world.client.v1.events.list_async({"type": "charge.succeeded"})).data == []


async def test_an_event_shows_its_object_as_it_was_then(world: World):
    session = await world.paid()
    await world.client.v1.refunds.create_async({"payment_intent": session.payment_intent, "amount": 100})
    event = (await world.client.v1.events.list_async({"type": "charge.succeeded"})).data[0]
    assert event.data.object["amount_refunded"] == 0


async def test_resending_from_the_dashboard(world: World):
    await world.paid()
    await world.work()
    [event_id] = completed(world)
    await world.control("resend", {"event": event_id})
    await world.work()
    assert completed(world) == [event_id, event_id]
    assert (await world.control("resend", {"event": "evt_none"}))["status"] == 404


async def test_duplicate(world: World):
    await fault(world, "duplicate")
    await world.paid()
    await world.work()
    assert len(completed(world)) == 2
    assert len(set(completed(world))) == 1


async def test_drop_is_found_by_listing_only(world: World):
    await fault(world, "drop")
    await world.paid()
    await world.work()
    await world.work(86400)
    assert completed(world) == []
    missed = await world.client.v1.events.list_async({"delivery_success": False})
    assert [event.type for event in missed.data] == ["checkout.session.completed"]


async def test_delay(world: World):
    await fault(world, "delay", delay_s=60)
    await world.paid()
    await world.work()
    await world.work(59)
    assert completed(world) == []
    await world.work(1)
    assert len(completed(world)) == 1


async def test_reorder_puts_an_event_behind_the_next(world: World):
    await world.control("faults", {"events": "reorder", "type": "payment_intent.succeeded", "delay_s": 60})
    await world.paid()
    await world.work()
    assert world.merchant.types[-2:] == ["checkout.session.completed", "payment_intent.succeeded"]


async def test_a_reordered_last_event_comes_after_its_delay(world: World):
    await fault(world, "reorder", delay_s=60)
    await world.paid()
    await world.work()
    assert completed(world) == []
    await world.work(60)
    assert len(completed(world)) == 1


@pytest.mark.parametrize("kind", ["bad_signature", "stale_signature"])
async def test_a_broken_signature_is_refused_and_mended_by_the_retry(world: World, kind: str):
    await fault(world, kind)
    await world.paid()
    await world.work()
    assert completed(world) == []
    await world.work(1)
    assert len(completed(world)) == 1


async def test_a_fault_lasts_as_often_as_it_was_asked(world: World):
    await fault(world, "duplicate", times=2)
    for _ in range(3):
        await world.paid()
    await world.work()
    assert len(completed(world)) == 5


async def test_reset_turns_faults_off(world: World):
    await fault(world, "drop", times=50)
    await world.control("reset", {})
    await world.paid()
    await world.work()
    assert len(completed(world)) == 1


async def test_without_an_address_events_are_recorded_and_nothing_spins(tmp_path):
    async with build_world(tmp_path, webhooks=False) as world:
        await world.paid()
        assert await world.work() > 20
        events = await world.client.v1.events.list_async()
        assert [event.pending_webhooks for event in events.data] == [0] * 4
        assert (await world.control("resend", {"event": events.data[0].id}))["status"] == 400


async def test_the_running_task_delivers_by_itself(tmp_path):
    """As in production: started with its own task, woken by the commit."""
    async with build_world(tmp_path) as world:
        world.sandbox._task = asyncio.create_task(world.sandbox._run())
        await world.paid()
        await world.merchant.wait_for("checkout.session.completed")
