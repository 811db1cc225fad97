"""How large a page shows what it receives, how well it receives, who speaks: between pages and the media server."""

import asyncio
from pathlib import Path

import pytest

from mediaserver.events import Reception, ReceptionState, Speakers
from tests.integration.harness import App, Client, Room, running_app


async def in_a_call(app: App) -> tuple[Room, Client, Client, str]:
    """A live host, a payer without media, and the payer's id."""
    room = await app.create_room()
    host = await app.host(room)
    payer = await app.payer(await app.buy(room), media=False)
    return room, host, payer, (await payer.wait("joined"))["participant_id"]


def reception(app: App, participant_id: str, state: ReceptionState, estimate_bps: int | None = None) -> None:
    app.parts.rooms.on_media(Reception(participant_id, state, estimate_bps))


async def test_a_view_reaches_the_media_server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with running_app(tmp_path) as app:
        _, _, payer, payer_id = await in_a_call(app)
        await payer.wait("offer")
        seen: list[tuple[str, dict[str, tuple[int, int]]]] = []
        door = app.parts.media.set_view

        async def set_view(participant_id: str, sizes: dict[str, tuple[int, int]]) -> None:
            seen.append((participant_id, sizes))
            await door(participant_id, sizes)

        monkeypatch.setattr(app.parts.media, "set_view", set_view)
        await payer.send("view", sizes={"0": [640, 360], "1": [0, 0], "gone": [9, 9]})
        await payer.ping()
        assert seen == [(payer_id, {"0": (640, 360), "1": (0, 0), "gone": (9, 9)})]
        assert payer.messages["error"] == []


async def test_more_views_than_a_window_can_have_are_refused(tmp_path: Path) -> None:
    async with running_app(tmp_path) as app:
        _, _, payer, _ = await in_a_call(app)
        await payer.wait("offer")
        for n in range(40):
            await payer.send("view", sizes={"0": [n, n]})
        await payer.wait("error", code="rate_limited", re="view")
        await payer.ping()  # and the stay goes on


async def test_a_reception_is_told_to_its_page_and_to_the_host_alone(tmp_path: Path) -> None:
    async with running_app(tmp_path) as app:
        room, host, payer, payer_id = await in_a_call(app)
        other = await app.payer(await app.buy(room, "Cleo"), media=False)
        await other.wait("participants")
        reception(app, payer_id, "audio_only", 90_000)
        told = await payer.wait("reception")
        assert told == {"type": "reception", "state": "audio_only", "estimate_bps": 90_000}
        assert await entry(host, payer_id, "audio_only")
        await other.ping()
        assert other.messages["reception"] == []
        for message in other.messages["participants"]:
            assert all("reception" not in person for person in message["participants"])


async def entry(host: Client, participant_id: str, state: str) -> bool:
    """True once the host's list says so of that payer."""

    def told() -> bool:
        people = host.messages["participants"][-1]["participants"]
        return any(p["participant_id"] == participant_id and p.get("reception") == state for p in people)

    async with asyncio.timeout(10), host.said:
        await host.said.wait_for(told)
    return True


async def test_lines_that_change_all_the_time_are_told_to_the_host_together(tmp_path: Path) -> None:
    async with running_app(tmp_path) as app:
        _, host, payer, payer_id = await in_a_call(app)
        await payer.wait("meter")
        await asyncio.sleep(0.5)  # the lists of coming in are over
        before = len(host.messages["participants"])
        for _ in range(10):
            reception(app, payer_id, "reduced")
            reception(app, payer_id, "good")
            await asyncio.sleep(0.02)
        assert await entry(host, payer_id, "good")
        assert len(host.messages["participants"]) == before + 1


async def test_speakers_are_told_to_everybody_and_to_who_comes_later(tmp_path: Path) -> None:
    async with running_app(tmp_path) as app:
        room, host, payer, payer_id = await in_a_call(app)
        host_id = host.messages["joined"][0]["participant_id"]
        app.parts.rooms.on_media(Speakers(room.id, (payer_id, host_id)))
        for client in (host, payer):
            assert (await client.wait("speakers"))["participant_ids"] == [payer_id, host_id]
        later = await app.payer(await app.buy(room, "Cleo"), media=False)
        assert (await later.wait("speakers"))["participant_ids"] == [payer_id, host_id]
        app.parts.rooms.on_media(Speakers(room.id, ()))
        assert await later.wait("speakers", participant_ids=[])


async def test_a_resumed_page_hears_again_how_it_receives(tmp_path: Path) -> None:
    async with running_app(tmp_path) as app:
        _, _, payer, payer_id = await in_a_call(app)
        reception(app, payer_id, "reduced", 300_000)
        await payer.wait("reception")
        again = app.client(media=False)
        await again.resume(payer.messages["joined"][0]["resume_key"])
        assert (await again.wait("reception"))["state"] == "reduced"


async def test_the_room_says_which_codecs_it_prefers(tmp_path: Path) -> None:
    async with running_app(tmp_path, video_codecs=("VP9", "VP8")) as app:
        _, _, payer, _ = await in_a_call(app)
        assert payer.messages["joined"][0]["room"]["video_codecs"] == ["VP9", "VP8"]
