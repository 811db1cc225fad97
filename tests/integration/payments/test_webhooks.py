"""Events that come twice, in another order, late, never, or from somebody else change nothing in the outcome."""

import json

import pytest
from stripe import WebhookSignature

from .world import WEBHOOK_SECRET, World


async def _ordered_and_paid(world: World) -> tuple:
    await world.add_room()
    who = world.customer()
    _, order = await world.order(who)
    await world.pay(order)
    return who, order


async def _assert_paid_once(world: World, who) -> None:
    assert (await world.show(who))["state"] == "paid"
    assert len(await world.rows("passes")) == 1
    assert len(await world.rows("transfers")) == 1
    await world.assert_books_agree()


async def test_every_event_twice(world: World):
    await world.control("faults", events="duplicate", times=100)
    who, _ = await _ordered_and_paid(world)
    await world.settle_down()
    await _assert_paid_once(world, who)
    assert {row["state"] for row in await world.rows("inbox")} <= {"applied", "ignored"}


async def test_events_out_of_order(world: World):
    await world.control("faults", events="reorder", times=2, delay_s=5)
    who, _ = await _ordered_and_paid(world)
    await world.settle_down()
    world.later(30)
    await world.settle_down()
    await _assert_paid_once(world, who)


async def test_events_long_after_the_return_page(world: World):
    await world.control("faults", events="delay", times=100, delay_s=500)
    who, _ = await _ordered_and_paid(world)
    await world.call("POST", f"/api/orders/{who.order_id}/refresh", who)
    await _assert_paid_once(world, who)
    world.later(501)
    await world.settle_down()
    await _assert_paid_once(world, who)


async def test_no_event_at_all_is_caught_up_by_listing(world: World):
    await world.payments.catch_up()  # the cursor of a running server
    await world.control("faults", events="drop", times=100)
    who, _ = await _ordered_and_paid(world)
    await world.settle_down()
    assert (await world.show(who))["state"] == "open"
    assert await world.payments.catch_up() > 0
    await world.work()
    await _assert_paid_once(world, who)
    assert await world.payments.catch_up() == 0


async def test_events_that_find_us_down_are_sent_again(world: World):
    world.webhooks_reach_us = False
    who, _ = await _ordered_and_paid(world)
    await world.settle_down()
    assert await world.rows("inbox") == []
    world.webhooks_reach_us = True
    for _ in range(10):
        world.later(600)
        await world.settle_down()
    await _assert_paid_once(world, who)


@pytest.mark.parametrize("fault", ["bad_signature", "stale_signature"])
async def test_what_is_not_signed_now_by_stripe_is_refused(world: World, fault: str):
    await world.control("faults", events=fault, times=100)
    who, _ = await _ordered_and_paid(world)
    await world.settle_down()
    assert await world.rows("inbox") == []
    assert (await world.show(who))["state"] == "open"


async def _post(world: World, body: bytes, signature: str | None) -> tuple[int, dict]:
    headers = {} if signature is None else {"Stripe-Signature": signature}
    url = world.ours.make_url("/stripe/webhook")
    async with world.http.post(url, data=body, headers=headers) as answer:
        return answer.status, await answer.json()


def _sign(world: World, body: bytes, secret: str = WEBHOOK_SECRET, shift_s: int = 0) -> str:
    stamp = int(world.clock.at_s) + shift_s
    return WebhookSignature.generate_signature_header(body.decode(), secret, stamp)


EVENT = {
    "id": "evt_1",
    "object": "event",
    "type": "checkout.session.completed",
    "created": 1,
    "livemode": False,
    "data": {"object": {"id": "cs_1", "object": "checkout.session"}},
}


@pytest.mark.parametrize(
    ("secret", "shift_s"), [("whsec_other", 0), (WEBHOOK_SECRET, -301), (WEBHOOK_SECRET, 86_400)]
)
async def test_another_key_and_other_times_are_refused(world: World, secret: str, shift_s: int):
    body = json.dumps(EVENT).encode()
    status, said = await _post(world, body, _sign(world, body, secret, shift_s))
    assert (status, said["error"]["code"]) == (400, "bad_signature")


async def test_no_signature_is_refused(world: World):
    status, said = await _post(world, json.dumps(EVENT).encode(), None)
    assert (status, said["error"]["code"]) == (400, "bad_signature")


@pytest.mark.parametrize("body", [b"", b"{}", b"[1]", b"null", b'{"object": "event"}', b"\xff\xfe"])
async def test_a_signed_body_that_is_no_event_is_refused(world: World, body: bytes):
    signature = "t=1,v1=00" if body == b"\xff\xfe" else _sign(world, body)
    status, said = await _post(world, body, signature)
    assert status == 400
    assert said["error"]["code"] in {"bad_event", "bad_signature"}


async def test_an_oversize_body_is_refused(world: World):
    status, said = await _post(world, b"x" * (600 * 1024), "t=1,v1=00")
    assert (status, said["error"]["code"]) == (413, "too_large")


async def test_events_of_other_books_and_of_strangers_are_put_aside(world: World):
    live = EVENT | {"id": "evt_live", "livemode": True}
    other = EVENT | {"id": "evt_other", "account": "acct_other"}
    stranger = EVENT | {"id": "evt_stranger"}
    for event in (live, other, stranger):
        body = json.dumps(event).encode()
        assert (await _post(world, body, _sign(world, body)))[0] == 200
    await world.work()
    states = {row["event_id"]: row["state"] for row in await world.rows("inbox")}
    assert states == {"evt_live": "quarantined", "evt_other": "quarantined", "evt_stranger": "ignored"}


async def test_a_duplicate_is_answered_200(world: World):
    body = json.dumps(EVENT).encode()
    for _ in range(2):
        assert (await _post(world, body, _sign(world, body)))[0] == 200
    assert len(await world.rows("inbox")) == 1
