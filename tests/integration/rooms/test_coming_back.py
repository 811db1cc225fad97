"""Connections that break, tabs that fight, hosts who leave."""

import asyncio
from pathlib import Path

from signaling.stores.schema import segments, sessions
from tests.integration.harness import running_app


async def test_a_newer_connection_replaces_the_older_on_the_same_pass(tmp_path: Path) -> None:
    async with running_app(tmp_path) as app:
        room = await app.create_room()
        await app.host(room)
        order = await app.buy(room)
        first = await app.payer(order)
        await first.wait("meter", state="counting")
        await first.watching()
        second = await app.payer(order)
        assert await first.ended() == ("replaced", 4409)
        await second.wait("meter", state="counting")
        await second.watching()
        await app.settled()
        rows = {row.end_code for row in await app.rows(sessions)}
        assert rows == {"replaced", None}
        closed = [row.used_ms for row in await app.rows(segments) if row.closed_ms is not None]
        assert sum(row.closed_ms is None for row in await app.rows(segments)) == 1
        left_ms = second.messages["joined"][0]["meter"]["remaining_ms"]
        assert left_ms == 1_800_000 - sum(closed)


async def test_many_tabs_at_once_leave_exactly_one_inside(tmp_path: Path) -> None:
    async with running_app(tmp_path) as app:
        room = await app.create_room()
        await app.host(room)
        order = await app.buy(room)
        tabs = [app.client(media=False) for _ in range(5)]
        tokens = [await app.token(order) for _ in tabs]
        await asyncio.gather(*(tab.join(token) for tab, token in zip(tabs, tokens, strict=True)))
        await asyncio.gather(*(tab.ping() for tab in tabs if tab.close_code is None), return_exceptions=True)
        async with asyncio.timeout(10):
            while sum(bool(tab.messages["ended"]) for tab in tabs) < 4:
                await asyncio.sleep(0.02)
        await app.settled()
        open_sessions = [row for row in await app.rows(sessions) if row.ended_at is None]
        assert len(open_sessions) == 1


async def test_a_broken_websocket_resumes_and_the_media_never_stops(tmp_path: Path) -> None:
    async with running_app(tmp_path) as app:
        room = await app.create_room()
        await app.host(room)
        payer = await app.payer(await app.buy(room))
        await payer.wait("meter", state="counting")
        await payer.watching()
        key = payer.messages["joined"][0]["resume_key"]
        await payer.drop_ws()
        await payer.watching()
        payer.forget("joined")
        await payer.resume(key)
        joined = await payer.wait("joined", resumed=True)
        assert joined["meter"]["state"] == "counting"
        await payer.watching()
        await app.settled()
        assert len(await app.rows(segments)) == 1
        # The old key is used up with it.
        thief = app.client(media=False)
        await thief.resume(key)
        assert await thief.ended() == ("resume_unknown", 4404)


async def test_the_clock_pauses_while_the_host_is_away_and_goes_on_without_a_new_charge(
    tmp_path: Path,
) -> None:
    async with running_app(tmp_path) as app:
        room = await app.create_room()
        host = await app.host(room)
        order = await app.buy(room)
        payer = await app.payer(order)
        await payer.wait("meter", state="counting")
        await payer.watching()
        await host.send("leave")
        assert await host.ended() == ("left", 4000)
        await payer.wait("notice", kind="host_away")
        await app.until_state(room, "away")
        paused = await payer.wait("meter", state="paused", reason="host_away")
        await app.settled()
        (segment,) = await app.rows(segments)
        assert segment.used_ms == 1_800_000 - paused["remaining_ms"]
        # Put back to the host's last packet: the twelve seconds it took to notice cost nothing.
        assert segment.used_ms < segment.closed_ms - segment.started_ms - 10_000
        payer.forget("meter")
        await app.host(room)
        again = await payer.wait("meter", state="counting")
        assert again["remaining_ms"] <= paused["remaining_ms"]
        await payer.receiving()
        assert len(await app.rows(sessions)) == 1


async def test_leaving_keeps_the_rest_for_later(tmp_path: Path) -> None:
    async with running_app(tmp_path) as app:
        room = await app.create_room()
        await app.host(room)
        order = await app.buy(room)
        payer = await app.payer(order)
        await payer.wait("meter", state="counting")
        await payer.watching()
        await payer.send("leave")
        assert await payer.ended() == ("left", 4000)
        used_ms = payer.messages["ended"][0]["used_ms"]
        state = await app.state(order)
        assert state["pass"]["used_ms"] == used_ms
        again = await app.payer(order)
        assert again.messages["joined"][0]["meter"]["remaining_ms"] == 1_800_000 - used_ms


async def test_a_host_who_reloads_stays_live_and_the_payer_never_pauses(tmp_path: Path) -> None:
    async with running_app(tmp_path) as app:
        room = await app.create_room()
        alone = await app.host(room)
        first = await app.host(room)  # nobody else is in: the room must not be dropped in between
        assert await alone.ended() == ("replaced", 4409)
        payer = await app.payer(await app.buy(room))
        await payer.wait("meter", state="counting")
        await first.close()  # the page goes: its WebSocket and its media
        await app.host(room)
        await payer.receiving()
        assert [meter["state"] for meter in payer.messages["meter"][-1:]] == ["counting"]
        assert not [notice for notice in payer.messages["notice"] if notice["kind"] == "host_away"]
        hosts = [p for p in app.parts.rooms.participants.values() if p.role == "host"]
        assert len(hosts) == 1
