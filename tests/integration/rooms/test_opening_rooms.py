"""Rooms over HTTP: who may open one, what is refused, what the public card and the pages say."""

import asyncio
import json
import re
from pathlib import Path
from typing import Any

import pytest

from signaling.app import PARTS, build_app
from signaling.cli import PREFIX, invite
from signaling.pages import price_text
from tests.integration.harness import ROOM, App, RefusedError, running_app, settings_for

API = Path(__file__).parents[3] / "signaling" / "API.md"
PER_MINUTE = {
    "kind": "per_minute",
    "rate_minor_per_min": 100,
    "currency": "eur",
    "presets_s": [900, 1800, 3600],
}
METERED = {"kind": "metered", "rate_minor_per_min": 100, "currency": "eur", "window_s": 900}


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"title": " "}, "invalid"),
        ({"title": None}, "invalid"),
        ({"description": ""}, "invalid"),
        ({"title": "x" * 121}, "invalid"),
        ({"privacy": "secret"}, "invalid"),
        ({"capacity": 0}, "invalid"),
        ({"capacity": 12}, "invalid"),
        ({"terms_url": "javascript:alert(1)"}, "invalid"),
        ({"tariff": {"kind": "free", "currency": "eur"}}, "bad_tariff"),
        ({"tariff": {"kind": "free", "currency": "eur", "seconds": 120}, "max_seconds": 60}, "invalid"),
        ({"tariff": METERED | {"rate_minor_per_min": 1}}, "below_minimum"),
        ({"tariff": METERED | {"max_seconds": "long"}, "max_seconds": 600}, "bad_tariff"),
        ({"tariff": ROOM["tariff"] | {"price_minor": 1}}, "below_minimum"),
        ({"tariff": ROOM["tariff"] | {"currency": "xxx"}}, "unknown_currency"),
        ({"tariff": ROOM["tariff"] | {"price_minor": 5.5}}, "bad_tariff"),
        ({"max_seconds": 60}, "invalid"),
    ],
)
async def test_an_incomplete_or_unpayable_room_is_refused(
    tmp_path: Path, changes: dict[str, Any], code: str
) -> None:
    async with running_app(tmp_path) as app:
        with pytest.raises(RefusedError, match=f"422 {code}"):
            await app.create_room(**changes)


async def test_the_public_card_tells_what_can_be_bought_and_no_secret(tmp_path: Path) -> None:
    async with running_app(tmp_path) as app:
        room = await app.create_room(
            tariff=PER_MINUTE, max_seconds=1800, terms_url="https://example.org/terms"
        )
        card = await app.card(room)
        assert [(c["seconds"], c["price"]["amount_minor"]) for c in card["choices"]] == [
            (900, 1500),
            (1800, 3000),
        ]
        assert (card["live"], card["state"], card["seats_left"], card["mode"]) == (
            False,
            "away",
            11,
            "sandbox",
        )
        assert room.host_key not in json.dumps(card)
        assert room.id not in json.dumps(card)
        with pytest.raises(RefusedError, match="404 unknown_room"):
            await app.call("GET", "/api/rooms/nothing")


@pytest.mark.parametrize(
    ("tariff", "bounded", "offered"),
    [
        (METERED, METERED | {"window_s": 600, "max_seconds": 600}, [(600, 1000)]),
        (
            {"kind": "free", "currency": "eur", "seconds": 300},
            {"kind": "free", "currency": "eur", "seconds": 300},
            [(300, 0)],
        ),
    ],
)
async def test_every_way_to_charge_is_on_the_card(
    tmp_path: Path, tariff: dict[str, Any], bounded: dict[str, Any], offered: list[tuple[int | None, int]]
) -> None:
    async with running_app(tmp_path) as app:
        card = await app.card(await app.create_room(tariff=tariff, max_seconds=600))
        assert card["tariff"] == bounded
        assert [(one["seconds"], one["price"]["amount_minor"]) for one in card["choices"]] == offered
        least = {"amount_minor": 50, "currency": "eur"} if tariff["kind"] == "metered" else None
        assert card["smallest_charge"] == least


@pytest.mark.parametrize(
    "tariff",
    [
        METERED | {"free_seconds": 300},
    ],
)
async def test_no_room_is_opened_with_what_cannot_be_bought_yet(
    tmp_path: Path, tariff: dict[str, Any]
) -> None:
    async with running_app(tmp_path) as app:
        with pytest.raises(RefusedError, match="422 bad_tariff"):
            await app.create_room(tariff=tariff)


@pytest.mark.parametrize(
    ("tariff", "words"),
    [
        (PER_MINUTE, "1.00 EUR per minute"),
        (METERED, "1.00 EUR per minute, paid for what you use"),
        ({"kind": "wallet", "rate_minor_per_min": 50, "currency": "eur"}, "0.50 EUR per minute"),
        (
            {"kind": "subscription", "price_minor": 900, "currency": "eur", "interval": "month"},
            "9.00 EUR each month",
        ),
        ({"kind": "free", "currency": "eur", "seconds": 1800}, "free · 30 minutes"),
        (
            {"kind": "entrance", "price_minor": 500, "currency": "eur", "seconds": None},
            "5.00 EUR · no time limit",
        ),
    ],
)
def test_a_link_preview_says_what_it_costs(tariff: dict[str, Any], words: str) -> None:
    assert price_text({"tariff": tariff}) == words


async def test_a_host_key_opens_its_room_alone_and_can_be_changed(tmp_path: Path) -> None:
    async with running_app(tmp_path) as app:
        room, other = await app.create_room(), await app.create_room()
        seen = await app.call("GET", f"/api/host/rooms/{room.id}", bearer=room.host_key)
        assert seen["card"]["slug"] == room.slug
        assert seen["earnings"] == {
            "gross": {"amount_minor": 0, "currency": "eur"},
            "net": {"amount_minor": 0, "currency": "eur"},
            "refunded": {"amount_minor": 0, "currency": "eur"},
            "payers": 0,
        }
        for key in (other.host_key, "x", None):
            with pytest.raises(RefusedError, match="403 bad_host_key"):
                await app.call("GET", f"/api/host/rooms/{room.id}", bearer=key)
        fresh = await app.call("POST", f"/api/host/rooms/{room.id}/key", bearer=room.host_key)
        with pytest.raises(RefusedError, match="403 bad_host_key"):
            await app.host_token(room)
        assert fresh["host_url"].endswith(f"/host/{room.id}#key={fresh['host_key']}")


async def test_without_open_creation_a_room_needs_an_invitation(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = settings_for(tmp_path, room_creation="invitation")
    await invite(settings, uses=1, days=1, note="")
    secret = PREFIX + capsys.readouterr().out.split(PREFIX, 1)[1].strip()
    async with running_app(tmp_path, room_creation="invitation") as app:

        async def create(bearer: str | None) -> Any:
            return await app.call("POST", "/api/rooms", ROOM, bearer)

        for bearer in (None, "inv_unknown"):
            with pytest.raises(RefusedError, match="401 invitation_required"):
                await create(bearer)
        with pytest.raises(RefusedError, match="422"):
            await app.call("POST", "/api/rooms", ROOM | {"title": ""}, secret)
        assert (await create(secret))["slug"]
        with pytest.raises(RefusedError, match="403 invitation_used"):
            await create(secret)


async def test_the_card_is_streamed_and_changes_by_itself(tmp_path: Path) -> None:
    async with running_app(tmp_path) as app:
        room = await app.create_room()
        cards = asyncio.create_task(_cards_until_live(app, room.slug))
        host = await app.host(room)
        states = await asyncio.wait_for(cards, 20)
        assert states[0] == "away"
        assert states[-1] == "live"
        await host.send("leave")
        await app.until_state(room, "away")


async def _cards_until_live(app: App, slug: str) -> list[str]:
    states: list[str] = []
    async with app.http.get(f"{app.url}/api/rooms/{slug}/events") as response:
        assert response.content_type == "text/event-stream"
        async for line in response.content:
            if line.startswith(b"data: "):
                states.append(json.loads(line[6:])["state"])
                if states[-1] == "live":
                    return states
    return states


async def test_pages_carry_previews_headers_and_no_secret(tmp_path: Path) -> None:
    async with running_app(tmp_path) as app:
        room = await app.create_room(title='Evening <b>"talk"</b>')
        for path in ("/", f"/r/{room.slug}", f"/r/{room.slug}/call", f"/host/{room.id}", "/orders/ord_x"):
            async with app.http.get(app.url + path) as response:
                text = await response.text()
            assert response.status == 200, path
            assert "script-src 'self'" in response.headers["Content-Security-Policy"]
            assert response.headers["Referrer-Policy"] == "no-referrer"
            assert room.host_key not in text
            assert "<b>" not in text
            assert not re.search(r"<script>|<style>| on[a-z]+=", text), path
        async with app.http.get(f"{app.url}/r/{room.slug}") as response:
            text = await response.text()
        assert 'property="og:title"' in text
        assert "5.00 EUR" in text
        async with app.http.get(f"{app.url}/r/nothing") as response:
            assert (response.status, response.content_type) == (404, "text/html")
        async with app.http.get(f"{app.url}/api/rooms/{room.slug}/qr.svg") as response:
            assert response.content_type == "image/svg+xml"
        async with app.http.get(f"{app.url}/oembed", params={"url": room.share_url}) as response:
            assert (await response.json())["author_name"] == "Ana"


async def test_figures_are_for_the_operator(tmp_path: Path) -> None:
    async with running_app(tmp_path, metrics_token="m" * 20) as app:
        async with app.http.get(f"{app.url}/metrics") as response:
            assert "tollroom_rooms_live 0.0" in await response.text()
        through_a_proxy = {"X-Forwarded-For": "203.0.113.7"}
        async with app.http.get(f"{app.url}/metrics", headers=through_a_proxy) as response:
            assert response.status == 403
        with_token = through_a_proxy | {"Authorization": "Bearer " + "m" * 20}
        async with app.http.get(f"{app.url}/metrics", headers=with_token) as response:
            assert response.status == 200


async def test_every_route_is_documented(tmp_path: Path) -> None:
    app = build_app(settings_for(tmp_path))
    document = API.read_text()
    paths = {
        (route.method, resource.canonical)
        for resource in app.router.resources()
        for route in resource
        if resource.canonical and not resource.canonical.startswith(("/static", "/sandbox"))
    }
    undocumented = [
        f"{method} {path}"
        for method, path in sorted(paths)
        if method != "HEAD" and not _documented(document, method, path)
    ]
    parts = app[PARTS]
    await parts.http.close()
    await parts.db.close()
    assert parts.sandbox is not None
    parts.sandbox.listener.close()
    assert undocumented == []


def _documented(document: str, method: str, path: str) -> bool:
    """`GET /api/x/{id}` as API.md writes it; names in braces may differ."""
    pattern = re.escape(f"{method} {path}").replace(r"\{", "{").replace(r"\}", "}")
    return re.search(re.sub(r"{[a-z_]+}", r"{[a-z_]+}", pattern) + r"(?![/\w])", document) is not None


async def test_answers_that_belong_to_one_caller_are_kept_by_no_cache(tmp_path: Path) -> None:
    async with running_app(tmp_path) as app, app.http.post(f"{app.url}/api/rooms", json=ROOM) as response:
        assert response.headers["Cache-Control"] == "no-store"
