"""Signing in by a link out of the mail, on the real server: once, in time, from a page of ours, and what it changes."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from sqlalchemy import select

from signaling import cli
from signaling.people.signin import LINK_S
from signaling.stores.schema import login_links, orders, outbox, rooms, user_sessions, users
from tests.integration.harness import ROOM, App, running_app
from tests.integration.people.visitor import Visitor

WALLET = {"kind": "wallet", "rate_minor_per_min": 100, "currency": "eur"}
SUBSCRIPTION = {"kind": "subscription", "price_minor": 900, "currency": "eur", "interval": "month"}


@pytest.fixture
async def app(tmp_path: Path) -> AsyncIterator[App]:
    async with running_app(tmp_path, media_workers=0) as running:
        yield running


async def test_a_link_signs_in_once(app: App) -> None:
    async with Visitor(app) as ana, Visitor(app) as thief:
        assert await ana.call("GET", "/api/me") == (401, "sign_in_required")
        token = await ana.ask(" Ana@Example.ORG ", next="/me?x=1")
        status, me = await ana.open(token)
        assert (status, me["email"], me["name"], me["role"], me["next"]) == (
            200,
            "ana@example.org",
            "ana",
            "user",
            "/me?x=1",
        )
        assert (await ana.call("GET", "/api/me"))[1]["id"] == me["id"]
        assert await thief.open(token) == (403, "link_used")
        assert await thief.call("GET", "/api/me") == (401, "sign_in_required")


async def test_whoever_signs_in_again_is_the_same_person_with_another_session(app: App) -> None:
    async with Visitor(app) as ana, Visitor(app) as phone:
        first = await ana.sign_in(name="Ana")
        again = await phone.sign_in(name="Somebody else")
        assert (again["id"], again["name"]) == (first["id"], "Ana")
        assert again["csrf_token"] != first["csrf_token"]
        _, listed = await ana.call("GET", "/api/me/sessions")
        assert sorted(one["current"] for one in listed["sessions"]) == [False, True]


async def test_signing_in_anew_ends_the_session_that_the_browser_had(app: App) -> None:
    async with Visitor(app) as ana:
        await ana.sign_in()
        await ana.sign_in("ben@example.org")
        assert len(await app.rows(user_sessions)) == 1


async def test_a_link_is_too_old_after_twenty_minutes(app: App) -> None:
    async with Visitor(app) as ana:
        token = await ana.ask("ana@example.org")
        await app.parts.db.write(
            lambda tx: tx.execute(
                login_links.update().values(expires_at_s=login_links.c.expires_at_s - LINK_S)
            )
        )
        assert await ana.open(token) == (403, "link_too_old")
        assert await ana.open("x" * 43) == (403, "link_too_old")


async def test_only_a_page_of_ours_can_open_a_link(app: App) -> None:
    async with Visitor(app) as ana:
        token = await ana.ask("ana@example.org")
        body = {"token": token}
        for origin in ("https://evil.example", "null", ""):
            assert await ana.call("POST", "/api/signin/open", body, Origin=origin) == (403, "bad_origin")
        assert (await ana.open(token))[0] == 200, "the refused tries did not use it up"


async def test_no_secret_of_a_link_or_session_is_stored(app: App) -> None:
    async with Visitor(app) as ana:
        token = await ana.ask("ana@example.org")
        stored = str([await app.rows(table) for table in (login_links, outbox)])
        assert token not in stored
        await ana.open(token)
        cookie = next(c for c in ana.http.cookie_jar if c.key == "tollroom_session")
        stored = str([await app.rows(table) for table in (user_sessions, users, login_links)])
        assert cookie.value.partition(".")[0] not in stored
        assert ana.token not in stored


@pytest.mark.parametrize(
    "body",
    [
        {"email": "not an address"},
        {"email": "a@b.c\r\nBcc: d@e.f"},
        {"email": "a@b.c, d@e.f"},
        {"email": "x" * 250 + "@b.example"},
        {"email": "a@b.c", "next": "//evil.example"},
        {"email": "a@b.c", "next": "/\\evil.example"},
        {"email": "a@b.c", "next": "https://evil.example"},
        {"email": "a@b.c", "next": "/x\nLocation: y"},
        {},
    ],
)
async def test_what_is_no_address_or_no_path_of_ours_is_refused(app: App, body: dict[str, str]) -> None:
    async with Visitor(app) as ana:
        assert await ana.call("POST", "/api/signin", body) == (422, "invalid")
        assert await app.rows(outbox) == []


async def test_nobody_can_fill_a_strangers_mailbox(app: App) -> None:
    async with Visitor(app) as ana:
        statuses = [
            (await ana.call("POST", "/api/signin", {"email": "ben@example.org"}))[0] for _ in range(4)
        ]
    assert statuses == [202, 202, 202, 429]


async def test_signing_out_ends_the_session_and_needs_the_token(app: App) -> None:
    async with Visitor(app) as ana:
        await ana.sign_in()
        assert await ana.call("POST", "/api/signout", X_CSRF_Token="") == (403, "bad_csrf")
        assert await ana.call("POST", "/api/signout") == (200, {"signed_in": False})
        assert await ana.call("GET", "/api/me") == (401, "sign_in_required")
        assert await app.rows(user_sessions) == []


async def test_other_sessions_can_be_ended_one_by_one_and_all_at_once(app: App) -> None:
    async with Visitor(app) as ana, Visitor(app) as phone, Visitor(app) as ben:
        await ana.sign_in()
        await phone.sign_in()
        await ben.sign_in("ben@example.org")
        _, listed = await phone.call("GET", "/api/me/sessions")
        (other,) = [one["id"] for one in listed["sessions"] if not one["current"]]
        assert await ben.call("DELETE", f"/api/me/sessions/{other}") == (404, "not_found")
        assert await phone.call("DELETE", f"/api/me/sessions/{other}") == (200, {"ended": 1})
        assert await ana.call("GET", "/api/me") == (401, "sign_in_required")
        await ana.sign_in()
        assert await ana.call("DELETE", "/api/me/sessions") == (200, {"ended": 1})
        assert await phone.call("GET", "/api/me/sessions") == (401, "sign_in_required")
        assert (await ben.call("GET", "/api/me"))[0] == 200


async def test_a_name_is_changed_by_its_owner(app: App) -> None:
    async with Visitor(app) as ana:
        await ana.sign_in()
        assert (await ana.call("PATCH", "/api/me", {"name": " Ana B. "}))[1]["name"] == "Ana B."
        assert (await ana.call("GET", "/api/me"))[1]["name"] == "Ana B."
        assert await ana.call("PATCH", "/api/me", {"name": "a\nb"}) == (422, "invalid")


async def test_rooms_and_orders_know_who_was_signed_in(app: App) -> None:
    async with Visitor(app) as ana, Visitor(app) as ben:
        host, payer = await ana.sign_in(), await ben.sign_in("ben@example.org")
        assert await ana.call("POST", "/api/rooms", ROOM, X_CSRF_Token="") == (403, "bad_csrf")
        _, hers = await ana.call("POST", "/api/rooms", ROOM)
        nobodys = await app.create_room()
        async with app.parts.db.read() as tx:
            owners = dict((await tx.execute(select(rooms.c.id, rooms.c.owner_id))).all())
        assert owners == {hers["id"]: host["id"], nobodys.id: None}
        assert (await ana.call("GET", "/api/me"))[1]["role"] == "host"
        await app.host(nobodys)
        body = {"order_id": "ord_" + "a" * 22, "name": "Ben", "accept_terms": True}
        secret = f"Bearer {'s' * 43}"
        path = f"/api/rooms/{nobodys.slug}/orders"
        assert await ben.call("POST", path, body, Authorization=secret, Origin="https://evil.example") == (
            403,
            "bad_origin",
        )
        assert (await ben.call("POST", path, body, Authorization=secret))[0] == 201
        order, _ = await app.order(nobodys, "A visitor")
        async with app.parts.db.read() as tx:
            payers = dict((await tx.execute(select(orders.c.id, orders.c.user_id))).all())
        assert payers == {body["order_id"]: payer["id"], order.id: None}


async def test_the_mailbox_opens_only_to_a_browser_on_this_machine(app: App) -> None:
    async with Visitor(app) as ana:
        token = await ana.ask("ana@example.org")

        async def look(**headers: str) -> tuple[int, bool]:
            given = {name.replace("_", "-"): text for name, text in headers.items()}
            async with ana.http.get(f"{app.url}/sandbox/mail", headers=given) as response:
                return response.status, token in await response.text()

        assert await look() == (200, True)
        assert await look(Host="evil.example") == (404, False)
        assert await look(X_Forwarded_For="203.0.113.9") == (404, False)


async def test_without_a_mail_server_a_public_server_lets_nobody_in_and_says_so(tmp_path: Path) -> None:
    keys = {
        "stripe_secret_key": "sk_test_51AbCdEfGhIjKlMnOpQrStUv",
        "stripe_publishable_key": "pk_test_x",
        "stripe_webhook_secret": "whsec_x",
    }
    async with (
        running_app(tmp_path, media_workers=0, room_creation="open", **keys) as app,
        Visitor(app) as ana,
    ):
        assert await ana.call("POST", "/api/signin", {"email": "a@b.c"}) == (503, "mail_off")
        for needs_people in (WALLET, SUBSCRIPTION):
            refused = await ana.call("POST", "/api/rooms", ROOM | {"tariff": needs_people})
            assert refused == (422, "mail_off")
        status, room = await ana.call("POST", "/api/rooms", ROOM)
        assert status == 201
        path, key = f"/api/host/rooms/{room['id']}", f"Bearer {room['host_key']}"
        assert await ana.call("PATCH", path, {"tariff": WALLET}, Authorization=key) == (422, "mail_off")
        assert (await ana.call("PATCH", path, {"title": "Other"}, Authorization=key))[0] == 200
        assert (await ana.call("GET", "/healthz"))[1]["mail"] == "off"
        assert (await ana.call("GET", "/api/config"))[1]["sign_in"] is False
        async with ana.http.get(f"{app.url}/sandbox/mail") as response:
            assert response.status == 404
        async with ana.http.get(f"{app.url}/") as response:
            assert 'href="/signin"' not in await response.text()
        async with ana.http.get(f"{app.url}/host/{room['id']}") as response:
            assert 'data-mail="off"' in await response.text()


async def test_an_operator_is_made_and_unmade_by_the_command(
    app: App, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    async with Visitor(app) as ana:
        assert (await ana.sign_in())["role"] == "user"
        assert await cli.operator(app.settings, "Ana@example.org", revoke=False) == 0
        assert (await ana.call("GET", "/api/me"))[1]["role"] == "operator"
        assert "ana@example.org is an operator" in capsys.readouterr().out
        assert await cli.operator(app.settings, "ana@example.org", revoke=True) == 0
        assert await ana.call("GET", "/api/me") == (401, "sign_in_required")
        assert (await ana.sign_in())["role"] == "user"


async def test_who_erases_themselves_is_out_and_begins_anew_with_the_same_address(app: App) -> None:
    async with Visitor(app) as ana, Visitor(app) as phone:
        me = await ana.sign_in()
        await phone.sign_in()
        _, room = await ana.call("POST", "/api/rooms", ROOM)
        assert await ana.call("DELETE", "/api/me", X_CSRF_Token="") == (403, "bad_csrf")
        assert await ana.call("DELETE", "/api/me") == (200, {"erased": True})
        for visitor in (ana, phone):
            assert await visitor.call("GET", "/api/me") == (401, "sign_in_required")
        card = (await ana.call("GET", f"/api/rooms/{room['slug']}"))[1]
        assert (card["state"], card["host_name"]) == ("closed", "Erased")
        assert (await ana.sign_in())["id"] != me["id"]


async def test_the_command_erases_an_address_and_says_what_hinders_it(
    app: App, capsys: pytest.CaptureFixture[str]
) -> None:
    async with Visitor(app) as ana:
        await ana.sign_in()
        _, room = await ana.call("POST", "/api/rooms", ROOM)
        live = rooms.update().where(rooms.c.id == room["id"])
        await app.parts.db.write(lambda tx: tx.execute(live.values(live=True)))
        assert await cli.erase(app.settings, "Ana@example.org") == 1
        assert "not erased: a room of this person is live" in capsys.readouterr().out
        await app.parts.db.write(lambda tx: tx.execute(live.values(live=False)))
        assert await cli.erase(app.settings, "Ana@example.org") == 0
        assert "erased the account and 0 orders; 1 rooms are closed" in capsys.readouterr().out
        assert await ana.call("GET", "/api/me") == (401, "sign_in_required")
