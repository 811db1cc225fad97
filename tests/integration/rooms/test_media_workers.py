"""Paid rooms whose media lives in worker processes: the same call, and workers that die in the middle of it."""

import asyncio
import os
import signal
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from mediaserver.pool import MediaPool
from signaling.clock import SystemClock, now_ms
from signaling.stores.checks import run_checks
from signaling.stores.schema import orders, passes, segments, sessions
from tests.browser.server import free_media_port
from tests.integration.harness import App, Client, Order, Room, Server, people_of, running_app


def pool_of(app: App) -> MediaPool:
    media = app.parts.media
    assert isinstance(media, MediaPool)
    return media


def worker_in(app: App, room: Room) -> int:
    """Which worker carries this room."""
    (live,) = [live for live in app.parts.rooms.rooms.values() if live.id == room.id]
    (worker,) = {pool_of(app).worker_of(participant_id) for participant_id in live.participants}
    assert worker is not None
    return worker


async def in_a_call(app: App, **changes: object) -> tuple[Room, Client, Order, Client]:
    room = await app.create_room(**changes)
    host = await app.host(room)
    order = await app.buy(room)
    payer = await app.payer(order)
    await payer.wait("meter", state="counting")
    await payer.watching()
    return room, host, order, payer


@pytest.mark.parametrize("workers", [0, 1, 2])
async def test_a_payer_buys_watches_and_is_cut_at_the_limit(tmp_path: Path, workers: int) -> None:
    async with running_app(tmp_path, media_workers=workers) as app:
        room = await app.create_room()
        await app.host(room)
        order = await app.buy(room)
        await app.leave_ms(order, 2_000)
        payer = await app.payer(order)
        await payer.wait("meter", state="counting")
        await payer.watching()
        assert await payer.ended() == ("used_up", 4000)
        await asyncio.sleep(0.1)  # what had arrived before is still decoded
        last_frame_s = payer.last_frame_s
        await asyncio.sleep(0.3)
        assert payer.last_frame_s == last_frame_s
        await app.settled()
        (row,) = await app.rows(passes)
        assert (row.state, row.used_ms) == ("used_up", 1_800_000)
        (segment,) = await app.rows(segments)
        assert segment.used_ms == 2_000


async def test_two_rooms_live_in_two_workers(tmp_path: Path) -> None:
    async with running_app(tmp_path, media_workers=2) as app:
        one, _host, _order, _payer = await in_a_call(app)
        other, _host, _order, _payer = await in_a_call(app)
        assert {worker_in(app, one), worker_in(app, other)} == {0, 1}
        async with app.http.get(f"{app.url}/metrics") as answer:
            lines = (await answer.text()).splitlines()
        carried = [line for line in lines if line.startswith("tollroom_media_transports{")]
        # A host's two transports and a payer's one.
        assert carried == [f'tollroom_media_transports{{worker="{n}"}} 3.0' for n in (0, 1)]


async def test_when_a_worker_is_killed_its_people_come_back_with_their_time_intact(tmp_path: Path) -> None:
    async with running_app(tmp_path, media_workers=2) as app:
        room, host, order, payer = await in_a_call(app)
        other_room, _host, _order, other_payer = await in_a_call(app)
        await asyncio.sleep(1.5)
        worker = worker_in(app, room)
        assert worker_in(app, other_room) != worker
        killed_ms = now_ms(SystemClock())
        os.kill(pool_of(app).pids[worker], signal.SIGKILL)

        # Told at once, with an ending after which the page comes back by itself and the seat is kept.
        assert await payer.ended(2) == ("run_lost", 1012)
        assert await host.ended(2) == ("run_lost", 1012)
        assert now_ms(SystemClock()) - killed_ms < 1_500
        assert payer.messages["ended"][0]["charged"] == {"amount_minor": 500, "currency": "eur"}
        await app.settled()
        (segment,) = [row for row in await app.rows(segments) if row.closed_ms is not None]
        # Never more than was forwarded, and at most the last quarter of a second (and a little) less.
        assert segment.used_ms == segment.closed_ms - segment.started_ms
        assert killed_ms - 500 <= segment.closed_ms <= killed_ms
        assert {row.end_code for row in await app.rows(sessions)} == {"run_lost", None}

        # Back with new tokens, on the same pass: nothing is paid again, no time is counted twice.
        await app.host(room)
        again = await app.payer(order)
        meter = await again.wait("meter", state="counting")
        assert meter["remaining_ms"] <= 1_800_000 - segment.used_ms
        assert meter["remaining_ms"] >= 1_800_000 - segment.used_ms - 2_000
        await again.watching()
        await other_payer.watching()
        assert other_payer.messages["ended"] == []
        await again.send("leave")
        assert await again.ended() == ("left", 4000)
        await app.settled()
        ours = [row for row in await app.rows(passes) if row.order_id == order.id]
        used = [row.used_ms for row in await app.rows(segments) if row.pass_id == ours[0].id]
        assert len(used) == 2
        assert ours[0].used_ms == sum(used)
        assert len(await app.rows(orders)) == 2
        assert [problem for problem in await run_checks(app.parts.db) if problem.kind == "broken"] == []


async def test_a_full_and_locked_room_lets_back_in_whom_a_dead_worker_put_out(tmp_path: Path) -> None:
    async with running_app(tmp_path, media_workers=1) as app:
        room, host, order, payer = await in_a_call(app, capacity=1)
        await host.send("lock", locked=True)
        await host.ping()
        os.kill(pool_of(app).pids[0], signal.SIGKILL)
        assert await payer.ended(2) == ("run_lost", 1012)
        # Where there is no other worker they wait for the next one.
        host = await app.host(room, live=False)
        await host.publish()
        again = await app.payer(order)
        await again.wait("meter", state="counting")
        await again.watching()


async def test_a_worker_that_dies_before_the_first_packet_costs_nothing(tmp_path: Path) -> None:
    async with running_app(tmp_path, media_workers=1) as app:
        room = await app.create_room()
        await app.host(room)
        order = await app.buy(room)
        payer = await app.payer(order, media=False)
        await payer.wait("meter", state="waiting")
        os.kill(pool_of(app).pids[0], signal.SIGKILL)
        assert await payer.ended(2) == ("run_lost", 1012)
        assert payer.messages["ended"][0]["used_ms"] == 0
        await app.settled()
        assert [row.used_ms for row in await app.rows(passes)] == [0]


async def test_health_tells_of_the_workers(tmp_path: Path) -> None:
    async def health(app: App) -> tuple[int, dict[str, int]]:
        async with app.http.get(f"{app.url}/healthz") as answer:
            return answer.status, (await answer.json())["media_workers"]

    async with running_app(tmp_path, media_workers=1) as app:
        assert await health(app) == (200, {"ready": 1, "of": 1})
        os.kill(pool_of(app).pids[0], signal.SIGKILL)
        while pool_of(app).ready:
            await asyncio.sleep(0)
        assert await health(app) == (503, {"ready": 0, "of": 1})
        async with asyncio.timeout(20):
            while (await health(app))[0] != 200:
                await asyncio.sleep(0.05)


# --- a server of its own process --------------------------------------------------------------------------


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    server = Server(tmp_path, MEDIA_WORKERS="2")
    server.start()
    yield server
    server.kill9()


def exists(pid: int) -> bool:
    return Path(f"/proc/{pid}").exists()


async def gone(pids: list[int]) -> None:
    async with asyncio.timeout(5):
        while any(map(exists, pids)):
            await asyncio.sleep(0.02)


async def test_kill_9_of_the_server_stops_its_media_and_everybody_goes_on_after(server: Server) -> None:
    async with people_of(server.url) as api:
        room = await api.create_room()
        await api.host(room)
        order = await api.buy(room)
        payer = await api.payer(order)
        await payer.wait("meter", state="counting")
        await payer.watching()
        await asyncio.sleep(1.5)
        workers = server.workers()
        assert len(workers) == 2
        server.kill9()
        await gone(workers)
        packets = payer.packets
        await asyncio.sleep(0.5)
        assert payer.packets == packets, "nobody forwards for a server that is dead"
        await asyncio.to_thread(server.start)
        await api.host(room)
        again = await api.payer(order)
        await again.wait("meter", state="counting")
        await again.watching()


async def test_sigterm_takes_the_workers_along(server: Server) -> None:
    async with people_of(server.url) as api:
        room = await api.create_room()
        host = await api.host(room)
        workers = server.workers()
        # As systemd does it: to every process of the service.
        for pid in workers:
            os.kill(pid, signal.SIGTERM)
        stopping = asyncio.create_task(asyncio.to_thread(server.stop))
        assert await host.ended() == ("shutdown", 1012)
        await stopping
        await gone(workers)


def test_the_port_of_any_worker_in_use_is_refused_with_its_number(tmp_path: Path) -> None:
    server = Server(tmp_path, MEDIA_WORKERS="2")
    server.media_port = free_media_port(2)
    with socket.socket(type=socket.SOCK_DGRAM) as taken:
        taken.bind(("127.0.0.1", server.media_port + 1))
        with pytest.raises(RuntimeError, match=rf"tollroom: .*{server.media_port + 1}"):
            server.start()
