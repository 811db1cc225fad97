"""A server with live and test keys: rooms of either mode, and nothing of one ever in the other."""

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from signaling.app import _money_routes
from signaling.clock import SystemClock
from signaling.errors import ApiError
from signaling.payments.checkout import NewOrder
from signaling.payments.sandbox.webhooks import signature_header
from signaling.payments.settle import settle
from signaling.paymentsets import row_of_path
from signaling.stores.checks import run_checks
from signaling.stores.schema import connected_accounts, inbox, orders, outbox, transfers
from tests.integration.harness import Order, Room

from .twins import LIVE_HOOK, MACHINE, TEST_HOOK, Both, RefusedError, an_event, both_sets, livened

MODES = ("live", "test")
OTHER = {"live": "test", "test": "live"}
WALLET = {"kind": "wallet", "rate_minor_per_min": 100, "currency": "eur"}
ACCOUNT = "acct_1LiveLiveLiveLiv"


@pytest.fixture
async def both(tmp_path: Path) -> AsyncIterator[Both]:
    async with both_sets(tmp_path) as server:
        yield server


async def buy(server: Both, room: Room, mode: str, name: str = "Ben") -> Order:
    order, answer = await server.order(room, name, email="ben@example.org")
    await server.pay_in(mode, answer)
    return await paid(server, order)


async def paid(server: Both, order: Order) -> Order:
    await server.until(
        f"/api/orders/{order.id}",
        lambda shown: shown["state"] == "paid",
        Authorization=f"Bearer {order.secret}",
    )
    return order


async def rows(server: Both, table: Any) -> list[Any]:
    async with server.parts.db.read() as tx:
        return list((await tx.execute(table.select())).all())


async def top_up(server: Both, mode: str, person: str, number: int) -> dict[str, Any]:
    """Credits, and the card kept for the next time."""
    path = f"/api/me/wallets/eur?mode={mode}"
    _, wallet = await server.as_person("GET", path, person=person)
    package = wallet["packages"][0]
    body = {
        "order_id": f"ord_{mode}{'x' * (21 - len(mode))}{number}",
        "package": 0,
        "price_minor": package["price_minor"],
        "accept_terms": True,
        "save_card": True,
    }
    status, made = await server.as_person(
        "POST",
        f"/api/wallets/eur/topups?mode={mode}",
        body,
        person=person,
        Authorization="Bearer " + "s" * 43,
    )
    assert status == 201, made
    await server.pay_in(mode, made)
    shown = await server.until(
        path, lambda one: one["balance_minor"] > 0 and one["cards"], **{"X-Person": person}
    )
    return dict(shown)


async def sound(server: Both) -> None:
    assert [one for one in await run_checks(server.parts.db) if one.kind == "broken"] == []


# --- rooms ------------------------------------------------------------------------------------------------


async def test_a_room_is_opened_in_a_mode_paid_there_and_entered(both: Both):
    for mode in MODES:
        room = await both.open_room(mode)
        assert (await both.card(room))["mode"] == mode
        order = await buy(both, room, mode)
        token = await both.token(order)
        payer = both.client(media=False)
        await payer.join(token)
        host = both.client(media=False)
        await host.join(await both.host_token(room))
        receipt = await both.call("GET", f"/api/orders/{order.id}/receipt", bearer=order.secret)
        assert receipt["mode"] == mode
    assert {(row.mode, row.account) for row in await rows(both, orders)} == {
        ("live", ACCOUNT),
        ("test", ACCOUNT),
    }
    assert {row.mode for row in await rows(both, transfers)} == {"live", "test"}
    await sound(both)


async def test_a_room_keeps_its_mode(both: Both):
    room = await both.open_room("test")
    with pytest.raises(RefusedError):
        await both.call("PATCH", f"/api/host/rooms/{room.id}", {"mode": "live"}, bearer=room.host_key)
    assert (await both.card(room))["mode"] == "test"


async def test_a_mode_without_keys_is_refused(both: Both):
    with pytest.raises(RefusedError, match="invalid"):
        await both.create_room(mode="sandbox")
    assert (await both.as_person("GET", "/api/config?mode=sandbox"))[0] == 422


async def test_the_operator_says_who_opens_test_rooms_and_what_is_meant(both: Both):
    assert (await both.card(await both.create_room()))["mode"] == "live"
    chosen = {"default_mode": "test", "test_rooms": "operator"}
    shown = await both.operate("PUT", "/api/admin/modes", chosen)
    assert shown == chosen | {
        "sets": [{"mode": "live", "account": ACCOUNT}, {"mode": "test", "account": ACCOUNT}]
    }
    config = await both.call("GET", "/api/config")
    assert (config["modes"], config["default_mode"], config["test_rooms"]) == (
        ["live", "test"],
        "test",
        "operator",
    )
    with pytest.raises(RefusedError, match="test_rooms_closed"):
        await both.create_room()
    assert (await both.card(await both.create_room(mode="live")))["mode"] == "live"
    body = {
        "title": "T",
        "description": "D",
        "host_name": "H",
        "privacy": "conference",
        "tariff": {"kind": "entrance", "price_minor": 500, "currency": "eur", "seconds": 60},
    }
    made = await both.operate("POST", "/api/rooms", body)
    assert (await both.call("GET", f"/api/rooms/{made['slug']}"))["mode"] == "test"


async def test_test_rooms_may_be_open_where_live_ones_need_an_invitation(tmp_path: Path):
    async with both_sets(tmp_path, room_creation="invitation") as server:
        for mode in MODES:
            with pytest.raises(RefusedError, match="invitation_required"):
                await server.create_room(mode=mode)
        await server.operate("PUT", "/api/admin/modes", {"default_mode": "live", "test_rooms": "anyone"})
        await server.create_room(mode="test")
        with pytest.raises(RefusedError, match="invitation_required"):
            await server.create_room(mode="live")


# --- events -----------------------------------------------------------------------------------------------


def event(order: Order, event_id: str, *, live: bool) -> str:
    thing = {
        "id": "cs_of_nobody",
        "object": "checkout.session",
        "client_reference_id": order.id,
        "payment_status": "paid",
        "status": "complete",
    }
    return json.dumps(an_event(event_id, "checkout.session.completed", thing, live=live))


async def post(server: Both, path: str, body: str, secret: str) -> tuple[int, Any]:
    signed = signature_header(body, secret, int(SystemClock().wall_s()))
    async with server.http.post(server.url + path, data=body, headers={"Stripe-Signature": signed}) as answer:
        text = await answer.json()
    return answer.status, text if answer.status == 200 else text["error"]["code"]


async def test_each_address_takes_its_own_events_alone(both: Both):
    order, _ = await both.order(await both.open_room("live"), "Ben")
    live, test = event(order, "evt_a", live=True), event(order, "evt_b", live=False)
    assert livened(test.encode()).decode().replace("evt_b", "evt_a") == live
    # The other's secret opens nothing, and what is signed with the right one must be of the right mode.
    assert (await post(both, "/stripe/webhook", live, TEST_HOOK))[0] == 400
    assert (await post(both, "/stripe/webhook/test", test, LIVE_HOOK))[0] == 400
    assert await post(both, "/stripe/webhook", test, LIVE_HOOK) == (400, "wrong_mode")
    assert await post(both, "/stripe/webhook/test", live, TEST_HOOK) == (400, "wrong_mode")
    assert not {row.event_id for row in await rows(both, inbox)} & {"evt_a", "evt_b"}


async def test_an_event_that_names_an_order_of_the_other_mode_is_put_aside(both: Both):
    order, _ = await both.order(await both.open_room("live"), "Ben")
    assert (await post(both, "/stripe/webhook/test", event(order, "evt_t", live=False), TEST_HOOK))[0] == 200
    found = await both.until("/api/admin/attention?mode=test", lambda shown: shown["quarantine"], **MACHINE)
    assert [(one["id"], one["reason"]) for one in found["quarantine"]] == [
        ("evt_t", "names an order of other books")
    ]
    assert (await both.operate("GET", "/api/admin/attention"))["quarantine"] == []
    assert (await both.state(order))["state"] != "paid"


# --- never mixed ------------------------------------------------------------------------------------------


async def test_no_order_is_found_through_the_other_set(both: Both):
    made = {mode: await buy(both, await both.open_room(mode), mode) for mode in MODES}
    for mode, order in made.items():
        other = both.parts.sets.of_mode(OTHER[mode])
        with pytest.raises(ApiError, match="no such order"):
            await other.find_order(order.id, order.secret)
        with pytest.raises(LookupError):
            await settle(other.ctx, order.id)
        body = NewOrder(order_id="ord_" + "y" * 22, name="Z", accept_terms=True)
        with pytest.raises(ApiError, match="no such room"):
            await other.make_order(order.slug, body, "s" * 43)
        # What a caller says of the mode does not matter where a row is named.
        shown = await both.call("GET", f"/api/orders/{order.id}?mode={OTHER[mode]}", bearer=order.secret)
        assert shown["state"] == "paid"


async def test_one_person_has_wallets_cards_and_customers_of_either_mode(both: Both):
    person = await both.add_person()
    shown = {mode: await top_up(both, mode, person, 1) for mode in MODES}
    assert shown["live"]["cards"][0]["id"] != shown["test"]["cards"][0]["id"]
    card = shown["test"]["cards"][0]["id"]
    # Neither spends, nor forgets, nor charges the other's.
    body = {
        "order_id": "ord_" + "z" * 22,
        "package": 0,
        "price_minor": shown["live"]["packages"][0]["price_minor"],
        "accept_terms": True,
        "payment_method_id": card,
    }
    refused = await both.as_person(
        "POST",
        "/api/wallets/eur/topups?mode=live",
        body,
        person=person,
        Authorization="Bearer " + "s" * 43,
    )
    assert refused == (404, "unknown_card")
    status, left = await both.as_person("DELETE", f"/api/me/cards/{card}", person=person)
    assert (status, left["wallets"][0]["cards"]) == (200, [])
    _, live = await both.as_person("GET", "/api/me/wallets/eur", person=person)
    assert live["cards"] == shown["live"]["cards"]
    await sound(both)


async def test_test_credits_never_pay_in_a_live_room(both: Both):
    person = await both.add_person()
    await top_up(both, "test", person, 1)
    for mode, expected in (("live", 402), ("test", 201)):
        room = await both.open_room(mode, tariff=WALLET)
        body = {"order_id": f"ord_{mode}{'w' * 18}", "name": "Ana", "accept_terms": True}
        status, answer = await both.as_person(
            "POST",
            f"/api/rooms/{room.slug}/orders?mode=test",
            body,
            person=person,
            Authorization="Bearer " + "s" * 43,
        )
        assert status == expected, answer
    _, live = await both.as_person("GET", "/api/me/wallets?mode=live", person=person)
    assert [one["balance_minor"] for one in live["wallets"]] in ([], [0])
    await sound(both)


async def test_purchases_rooms_rates_and_codes_are_apart(both: Both):
    person = await both.add_person()
    for mode in MODES:
        status, _ = await both.as_person(
            "POST",
            "/api/rooms",
            {
                "title": mode,
                "description": "D",
                "host_name": "H",
                "privacy": "conference",
                "mode": mode,
                "tariff": {"kind": "entrance", "price_minor": 500, "currency": "eur", "seconds": 60},
            },
            person=person,
        )
        assert status == 201
        await top_up(both, mode, person, 1)
    await both.operate("PUT", "/api/admin/rates/default?mode=test", {"figures": {"fee_percent_bp": 1234}})
    await both.operate(
        "POST", "/api/admin/promotions?mode=test", {"code": "TRY", "percent": 50, "once_per_person": False}
    )
    for mode, query in (("live", ""), ("test", "?mode=test")):
        _, bought = await both.as_person("GET", f"/api/me/orders{query}", person=person)
        assert [one["order_id"][4:8] for one in bought["orders"]] == [mode]
        _, own = await both.as_person("GET", f"/api/me/rooms{query}", person=person)
        assert [(one["title"], one["mode"]) for one in own["rooms"]] == [(mode, mode)]
        settings = await both.operate("GET", f"/api/admin/settings{query}")
        assert settings["mode"] == mode
        codes = await both.operate("GET", f"/api/admin/promotions{query}")
        assert len(codes["promotions"]) == (1 if mode == "test" else 0)
        rates = await both.operate("GET", f"/api/admin/rates{query}")
        assert ("1234" in json.dumps(rates)) == (mode == "test")
        _, earned = await both.as_person("GET", f"/api/me/earnings{query}", person=person)
        assert earned["sales"] == []


async def test_a_refund_goes_through_the_set_that_was_paid(both: Both):
    made = {mode: await buy(both, await both.open_room(mode), mode) for mode in MODES}
    for number, order in enumerate(made.values()):
        body = {"refund_id": f"rfd_{'r' * 21}{number}", "amount_minor": 200, "reason": "goodwill"}
        await both.operate("POST", f"/api/admin/orders/{order.id}/refunds", body)
    for mode, order in made.items():
        shown = await both.until(
            f"/api/orders/{order.id}/receipt",
            lambda receipt: receipt["total"]["amount_minor"] == 300,
            Authorization=f"Bearer {order.secret}",
        )
        assert (shown["mode"], [one["state"] for one in shown["refunds"]]) == (mode, ["succeeded"])
    assert "failed" not in {row.state for row in await rows(both, outbox)}
    await sound(both)


# --- one of them is down ----------------------------------------------------------------------------------


async def test_a_service_that_is_down_leaves_the_other_selling(both: Both):
    live_room, test_room = await both.open_room("live"), await both.open_room("test")
    both.live_front.is_down = True
    _, waiting = await both.order(live_room, "Ben")
    assert waiting["state"] == "payment_pending"
    await buy(both, test_room, "test")
    both.live_front.is_down = False
    await buy(both, live_room, "live", "Cleo")
    await sound(both)


# --- pages ------------------------------------------------------------------------------------------------


async def test_pages_of_a_test_room_say_so_and_carry_its_key(both: Both):
    said = {}
    for mode in MODES:
        room = await both.open_room(mode)
        order, _ = await both.order(room, "Ben")
        for path in (f"/r/{room.slug}", f"/r/{room.slug}/call", f"/host/{room.id}", f"/orders/{order.id}"):
            async with both.http.get(both.url + path) as answer:
                assert answer.status == 200
                text = await answer.text()
            said[mode, path.split("/")[1] + path[-5:].replace(room.slug[-5:], "")] = text
            assert ("Test room: no real money" in text) == (mode == "test"), path
            assert ('name="tollroom-mode" content="test"' in text) == (mode == "test"), path
    for path in ("/me", "/admin", "/me/earnings"):
        for mode in MODES:
            async with both.http.get(f"{both.url}{path}?mode={mode}") as answer:
                text = await answer.text()
            assert ("no real money" in text) == (mode == "test"), path
    keys = [(await both.call("GET", f"/api/config?mode={mode}"))["publishable_key"] for mode in MODES]
    assert keys == ["pk_live_5x", "pk_test_5x"]


# --- every route says how its books are found ---------------------------------------------------------------

BY_MODE = {
    "/api/me/wallets/{currency}",
    "/api/wallets/{currency}/topups",
    "/api/wallets/{currency}/auto",
    "/api/admin/wallets/{user}/{currency}/credit",
    "/api/admin/wallets/{user}/{currency}/debit",
    "/api/admin/rates/{scope}/{subject}",
    "/api/admin/promotions/{code_id}",
    "/api/admin/attention/outbox/{id}/retry",
}


async def test_every_route_with_a_name_in_it_finds_its_books(both: Both):
    found = set()
    for route in _money_routes(both.parts, both.parts.payments):
        if "{" in route.path:
            found.add(route.path)
    unknown = {path for path in found if row_of_path(path) is None} - BY_MODE
    assert unknown == set(), "say in signaling/paymentsets.py whose row such a path names"
    assert found >= BY_MODE


async def test_a_host_has_an_account_of_each_mode_whatever_came_of_the_others(tmp_path: Path):
    async with both_sets(tmp_path, connect="on") as server:
        person = await server.add_person()
        begin = {"country": "IT"}
        server.live_front.is_down = True
        down = await server.as_person("POST", "/api/me/onboarding", begin, person=person)
        assert down == (503, "payment_pending")
        status, forms = await server.as_person("POST", "/api/me/onboarding?mode=test", begin, person=person)
        assert (status, forms["url"].startswith(server.tills["test"])) == (200, True)
        server.live_front.is_down = False
        status, forms = await server.as_person("POST", "/api/me/onboarding", begin, person=person)
        assert (status, forms["url"].startswith(server.tills["live"])) == (200, True)
        made = await rows(server, connected_accounts)
        assert {row.mode for row in made} == {"live", "test"}
        assert len({row.connected_id for row in made} - {None}) == 2
