"""Subscriptions, holds for use and credits on a server with live and test keys: each is moved by the service of its own
mode alone, while the same thing goes on in the other."""

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import update

from signaling.clock import SystemClock
from signaling.payments.sandbox.webhooks import signature_header
from signaling.stores.checks import run_checks
from signaling.stores.schema import inbox, invoices, passes, subscriptions, windows
from tests.integration.harness import Client, Order, Room
from tests.integration.keysets.twins import LIVE_HOOK, TEST_HOOK, Both, an_event, both_sets, livened

MODES = ("live", "test")
OTHER = {"live": "test", "test": "live"}
HOOKS = {"live": ("/stripe/webhook", LIVE_HOOK), "test": ("/stripe/webhook/test", TEST_HOOK)}
MONTHLY = {"kind": "subscription", "price_minor": 900, "currency": "eur", "interval": "month"}
METERED = {"kind": "metered", "rate_minor_per_min": 100, "currency": "eur", "window_s": 900}
WALLET = {"kind": "wallet", "rate_minor_per_min": 750, "currency": "eur"}
LONG_S = 60
SECRET = "s" * 43


@pytest.fixture
async def both(tmp_path: Path) -> AsyncIterator[Both]:
    # On a machine that is not localhost media goes to its own addresses.
    async with both_sets(tmp_path, media_address=()) as server:
        yield server


# --- what the services and the books have -----------------------------------------------------------------


async def control(server: Both, mode: str, what: str, **body: Any) -> Any:
    """The operator's side of that mode's stand-in."""
    url = f"{server.tills[mode]}/_control/{what}"
    async with server.http.request("POST" if body else "GET", url, json=body or None) as answer:
        assert answer.status == 200, await answer.text()
        return await answer.json()


async def taken_minor(server: Both, mode: str) -> int:
    """All that its service has charged."""
    return sum(one["captured_minor"] for one in (await control(server, mode, "books"))["charges"])


async def asked_by(server: Both, mode: str) -> set[str]:
    """The orders that its service was ever asked about by a Checkout Session."""
    return {one["client_reference_id"] for one in (await control(server, mode, "books"))["sessions"]}


async def rows(server: Both, table: Any, mode: str | None = None) -> list[Any]:
    query = table.select() if mode is None else table.select().where(table.c.mode == mode)
    async with server.parts.db.read() as tx:
        return list((await tx.execute(query)).all())


async def until(what: str, found: Any) -> Any:
    """The first true answer of `found()`, which may be awaited."""
    try:
        async with asyncio.timeout(LONG_S):
            while not (seen := await found()):
                await asyncio.sleep(0.1)
            return seen
    except TimeoutError:
        raise AssertionError(f"not within {LONG_S} s: {what}") from None


async def sound(server: Both) -> None:
    """Nothing is put aside in either mode, and our books hold."""
    assert [one for one in await run_checks(server.parts.db) if one.kind == "broken"] == []
    for mode in MODES:
        assert await put_aside(server, mode) == []


async def order_in(server: Both, room: Room, person: str = "", **more: Any) -> tuple[Order, Any]:
    order = Order("ord_" + f"{room.slug:x<22}"[:22], SECRET, room.slug)
    body = {"order_id": order.id, "name": "Ben", "accept_terms": True} | more
    status, answer = await server.as_person(
        "POST", f"/api/rooms/{room.slug}/orders", body, person=person, Authorization=f"Bearer {SECRET}"
    )
    assert status == 201, answer
    return order, answer


async def shown_when(server: Both, order: Order, wanted: Any) -> Any:
    return await server.until(f"/api/orders/{order.id}", wanted, Authorization=f"Bearer {order.secret}")


# --- subscriptions ----------------------------------------------------------------------------------------


async def subscribe(server: Both, mode: str, person: str) -> Order:
    room = await server.open_room(mode, tariff=MONTHLY)
    order, answer = await order_in(server, room, person)
    await server.pay_in(mode, answer)
    await shown_when(server, order, lambda shown: shown["state"] == "paid" and shown["pass"])
    return order


async def subscription_of(server: Both, mode: str) -> Any:
    (row,) = await rows(server, subscriptions, mode)
    return row


async def billed(server: Both, mode: str) -> int:
    """Invoices that are booked."""
    own = (await subscription_of(server, mode)).id
    return len([row for row in await rows(server, invoices) if row.subscription_id == own])


async def events_are_read(server: Both) -> None:
    """Every event that came was looked at."""

    async def none_waits() -> bool:
        return all(row.state != "received" for row in await rows(server, inbox))

    await until("the events are read", none_waits)


async def test_a_subscription_renews_and_lapses_by_its_own_service_alone(both: Both):
    person = await both.add_person()
    for mode in MODES:
        await subscribe(both, mode, person)
    for renews, lapses in (("test", "live"), ("live", "test")):
        of = {mode: await subscription_of(both, mode) for mode in MODES}
        count = {mode: await billed(both, mode) for mode in MODES}

        await control(both, renews, "advance_subscription", subscription=of[renews].id)

        async def is_renewed(mode: str = renews, wanted: int = count[renews] + 1) -> bool:
            return await billed(both, mode) == wanted

        await until(f"the {renews} one is renewed", is_renewed)
        assert await billed(both, lapses) == count[lapses]
        assert (await subscription_of(both, lapses)).status == "active"

        await control(both, lapses, "advance_subscription", subscription=of[lapses].id, fails=True)

        async def has_lapsed(mode: str = lapses) -> bool:
            return (await subscription_of(both, mode)).status == "past_due"

        await until(f"the {lapses} one lapses", has_lapsed)
        assert (await subscription_of(both, renews)).status == "active"
        assert (await subscription_of(both, renews)).lapsed_at_s is None

        await control(both, lapses, "advance_subscription", subscription=of[lapses].id)

        async def is_paid_again(mode: str = lapses) -> bool:
            return (await subscription_of(both, mode)).status == "active"

        await until(f"the {lapses} one is paid again", is_paid_again)
    for mode in MODES:
        assert await taken_minor(both, mode) == 900 * await billed(both, mode)
        _, own = await both.as_person("GET", f"/api/me/subscriptions?mode={mode}", person=person)
        assert [one["id"] for one in own["subscriptions"]] == [(await subscription_of(both, mode)).id]
    await sound(both)


async def test_what_one_service_says_of_the_others_subscription_changes_nothing(both: Both):
    """Signed as it should be, and of the right mode: only the subscription is the other's."""
    person = await both.add_person()
    of = {}
    for mode in MODES:
        await subscribe(both, mode, person)
    await events_are_read(both)
    for mode in MODES:
        of[mode] = await subscription_of(both, mode)
    for mode in MODES:
        lie = {"id": of[OTHER[mode]].id, "object": "subscription", "status": "canceled", "metadata": {}}
        await hears(both, mode, "customer.subscription.deleted", lie)
        unpaid = {
            "id": f"in_of_the_{mode}_one",
            "object": "invoice",
            "status": "open",
            "metadata": {},
            "parent": {"subscription_details": {"subscription": of[OTHER[mode]].id, "metadata": {}}},
        }
        await hears(both, mode, "invoice.payment_failed", unpaid)
    await events_are_read(both)
    for mode in MODES:
        assert await subscription_of(both, mode) == of[mode]
        assert await billed(both, mode) == 1
    # Each is shown to the operator, under one of the modes.
    shown = [one for mode in MODES for one in await put_aside(both, mode)]
    assert {one["reason"] for one in shown} == {"names an order of other books"}
    assert sorted(one["id"] for one in shown) == [
        "evt_customer_subscription_deleted_live",
        "evt_customer_subscription_deleted_test",
        "evt_invoice_payment_failed_live",
        "evt_invoice_payment_failed_test",
    ]


async def put_aside(server: Both, mode: str) -> list[Any]:
    return list((await server.operate("GET", f"/api/admin/attention?mode={mode}"))["quarantine"])


async def hears(server: Both, mode: str, kind: str, thing: Any) -> None:
    """An event out of that mode's service."""
    body = json_of(kind, thing, live=mode == "live")
    path, secret = HOOKS[mode]
    signed = signature_header(body, secret, int(SystemClock().wall_s()))
    async with server.http.post(server.url + path, data=body, headers={"Stripe-Signature": signed}) as answer:
        assert answer.status == 200, await answer.text()


def json_of(kind: str, thing: Any, *, live: bool) -> str:
    event_id = f"evt_{kind.replace('.', '_')}_{'live' if live else 'test'}"
    body = json.dumps(an_event(event_id, kind, thing, live=False))
    return livened(body.encode()).decode() if live else body


# --- paid for by use --------------------------------------------------------------------------------------


async def leave_s(server: Both, order: Order, left_s: int) -> None:
    """As if all but so much of what is held had been used."""
    statement = update(passes).where(passes.c.order_id == order.id)
    await server.parts.db.write(
        lambda tx: tx.execute(statement.values(used_ms=passes.c.granted_ms - left_s * 1000))
    )


async def goes_in(server: Both, order: Order, left_s: int) -> Client:
    """To a host who is live, with so much left; the meter counts."""
    await leave_s(server, order, left_s)
    payer = await server.payer(order)
    await payer.wait("meter", LONG_S, state="counting")
    return payer


async def settles(server: Both, order: Order, payer: Client) -> int:
    """Leaves; what was charged, in minor units."""
    await payer.send("leave")
    await payer.wait("ended", LONG_S)

    async def is_settled() -> Any:
        use = (await server.state(order))["use"]
        return use if use["charged_minor"] is not None else None

    return int((await until("the call is settled", is_settled))["charged_minor"])


async def test_holds_and_further_holds_are_captured_by_the_service_that_holds_them(both: Both):
    stays = {}
    for mode, left_s in (("live", 50), ("test", 30)):
        room = await both.create_room(mode=mode, tariff=METERED)
        await both.host(room)
        order, answer = await order_in(both, room, goes_on=True)
        await both.pay_in(mode, answer)
        await shown_when(both, order, lambda shown: shown["state"] == "paid" and shown["pass"])
        stays[mode] = (order, await goes_in(both, order, left_s))
    for mode, (order, _) in stays.items():
        await shown_when(both, order, lambda shown: shown["use"]["held_minor"] == 3000)
        assert await asked_by(both, mode) == {order.id}
    charged = {mode: await settles(both, *stay) for mode, stay in stays.items()}
    for mode in MODES:
        assert 1400 < charged[mode] < 2900
        assert await taken_minor(both, mode) == charged[mode]
    intents = {mode: {row.payment_intent_id for row in await rows(both, windows, mode)} for mode in MODES}
    assert [len(found) for found in intents.values()] == [2, 2]
    assert intents["live"].isdisjoint(intents["test"])
    await sound(both)


async def test_a_service_that_is_down_when_a_call_ends_captures_later_and_the_other_at_once(both: Both):
    stays = {}
    for mode in MODES:
        room = await both.create_room(mode=mode, tariff=METERED)
        await both.host(room)
        order, answer = await order_in(both, room)
        await both.pay_in(mode, answer)
        await shown_when(both, order, lambda shown: shown["state"] == "paid" and shown["pass"])
        stays[mode] = (order, await goes_in(both, order, 450))
    both.live_front.is_down = True
    live_order, live_payer = stays["live"]
    await live_payer.send("leave")
    await live_payer.wait("ended", LONG_S)
    charged = await settles(both, *stays["test"])
    assert await taken_minor(both, "test") == charged > 0
    shown = await both.call("GET", f"/api/orders/{live_order.id}", bearer=live_order.secret)
    assert (shown["use"]["charged_minor"], await taken_minor(both, "live")) == (None, 0)
    both.live_front.is_down = False

    async def is_captured() -> int:
        return await taken_minor(both, "live")

    taken = await until("the live hold is captured", is_captured)
    settled = await shown_when(both, live_order, lambda one: one["use"]["charged_minor"] is not None)
    assert settled["use"]["charged_minor"] == taken
    assert await taken_minor(both, "test") == charged
    await sound(both)


# --- credits ----------------------------------------------------------------------------------------------


async def wallet(server: Both, mode: str, person: str) -> Any:
    _, shown = await server.as_person("GET", f"/api/me/wallets/eur?mode={mode}", person=person)
    return shown


async def top_up(server: Both, mode: str, person: str, package: int) -> None:
    """With a card that is kept."""
    before = await wallet(server, mode, person)
    body = {
        "order_id": f"ord_topup{mode}{'x' * 13}",
        "package": package,
        "price_minor": before["packages"][package]["price_minor"],
        "accept_terms": True,
        "save_card": True,
    }
    status, made = await server.as_person(
        "POST",
        f"/api/wallets/eur/topups?mode={mode}",
        body,
        person=person,
        Authorization=f"Bearer {SECRET}",
    )
    assert status == 201, made
    await server.pay_in(mode, made)
    await server.until(
        f"/api/me/wallets/eur?mode={mode}",
        lambda one: one["balance_minor"] > 0 and one["cards"],
        **{"X-Person": person},
    )


@pytest.mark.parametrize("mode", MODES)
async def test_credits_of_one_mode_never_open_a_room_of_the_other(both: Both, mode: str):
    person = await both.add_person()
    await top_up(both, mode, person, 0)
    for room_mode, expected in ((OTHER[mode], 402), (mode, 201)):
        room = await both.open_room(room_mode, tariff=WALLET)
        body = {"order_id": f"ord_{room_mode}{'w' * 18}", "name": "Ana", "accept_terms": True}
        for said in ("", f"?mode={mode}"):
            status, answer = await both.as_person(
                "POST",
                f"/api/rooms/{room.slug}/orders{said}",
                body,
                person=person,
                Authorization=f"Bearer {SECRET}",
            )
            assert status in {expected, 200 if expected == 201 else expected}, answer
    assert (await wallet(both, OTHER[mode], person))["balance_minor"] == 0
    assert await taken_minor(both, OTHER[mode]) == 0
    await sound(both)


async def test_two_calls_of_one_person_take_from_the_wallet_of_their_own_mode(both: Both):
    """In both at once; the test wallet runs low and is topped up by itself, by the test card."""
    person = await both.add_person()
    bought = {"live": 2500, "test": 1000}
    for mode, package in (("live", 1), ("test", 0)):
        await top_up(both, mode, person, package)
        assert (await wallet(both, mode, person))["balance_minor"] == bought[mode]
    card = (await wallet(both, "test", person))["cards"][0]["id"]
    chosen = {"on": True, "package": 0, "payment_method_id": card}
    status, shown = await both.as_person("PUT", "/api/wallets/eur/auto?mode=test", chosen, person=person)
    assert (status, shown["auto"]["on"]) == (200, True)
    assert (await wallet(both, "live", person))["auto"]["on"] is False

    stays = {}
    for mode in MODES:
        room = await both.create_room(mode=mode, tariff=WALLET)
        await both.host(room)
        order, _ = await order_in(both, room, person)
        await shown_when(both, order, lambda shown: shown["pass"])
        stays[mode] = (order, await goes_in(both, order, 40))
    bought["test"] += 1000

    async def is_topped_up() -> bool:
        return await taken_minor(both, "test") == bought["test"]

    await until("the test card is charged", is_topped_up)
    used = {mode: await settles(both, *stay) for mode, stay in stays.items()}
    for mode in MODES:
        assert used[mode] > 0
        left = (await wallet(both, mode, person))["balance_minor"]
        assert left == bought[mode] - used[mode], mode
        assert await taken_minor(both, mode) == bought[mode]
    await sound(both)
