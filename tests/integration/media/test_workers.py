"""The media server over worker processes: real processes, sockets and media; killed, stopped, orphaned."""

import asyncio
import inspect
import os
import signal
import socket
import sys
from asyncio.subprocess import PIPE
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from mediaserver import pool as pool_module
from mediaserver.errors import (
    MediaServerFullError,
    NegotiationError,
    PortInUseError,
    UnknownOfferError,
    UnknownParticipantError,
)
from mediaserver.events import Closed, Forwarding, MediaConfig, Offer, RoomOptions, TracksPublished
from mediaserver.pool import MediaPool, WorkerChange
from mediaserver.server import MediaDoor
from tests.browser.server import free_media_port

from .client import Hall, settle, until

ROOT = Path(__file__).parents[3]


class PoolHall(Hall):
    """The hall of the other media tests over `workers` processes. `server` is the worker that new legs go to."""

    def __init__(self, workers: int, **config: object) -> None:
        super().__init__()
        self.changes: list[WorkerChange] = []
        self.server = 0
        fields = {"port": 0, "addresses": ("127.0.0.1",)} | config
        self.media = MediaPool(
            MediaConfig(**fields),
            workers,
            now_ns=self.clock,
            on_event=self.events.append,
            on_change=self.changes.append,
        )

    @property
    def address(self) -> tuple[str, int]:
        return ("127.0.0.1", self.media.ports[self.server])

    async def enter(self, room: str, name: str, *, metered: bool = False) -> int:
        """Into a room; legs opened from now on go to its worker, whose number this is."""
        await self.media.add_participant(
            room, name, metered=metered, may_publish=True, options=RoomOptions(("VP8",))
        )
        await until(lambda: self.of(Offer, name), f"an offer for {name}")
        self.server = self.media.worker_of(name)
        return self.server

    def states(self) -> list[str]:
        return [change.state for change in self.changes]

    async def call(self, room: str = "room"):
        """A host who publishes and a payer whose gate is open: the host's leg, the viewer."""
        await self.enter(room, f"{room}-host")
        host = await self.publish(f"{room}-host")
        await self.enter(room, f"{room}-payer", metered=True)
        payer = await self.view(f"{room}-payer")
        await until(lambda: len(self.of(Offer, f"{room}-payer")[-1].tracks) == 2, "an offer with tracks")
        await payer.follow()
        await self.media.open_gate(f"{room}-payer", 60_000)
        return host, payer


@pytest.fixture
async def hall() -> AsyncIterator[PoolHall]:
    async with PoolHall(2) as hall:
        yield hall


def is_alive(pid: int) -> bool:
    """Zombies are not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


async def test_two_rooms_live_in_two_workers_and_each_hears_its_own_host(hall: PoolHall) -> None:
    host_a, payer_a = await hall.call("a")
    host_b, payer_b = await hall.call("b")
    assert {hall.media.worker_of("a-host"), hall.media.worker_of("b-host")} == {0, 1}
    assert hall.media.worker_of("a-payer") == hall.media.worker_of("a-host")
    host_a.video(1, payload=b"\x10\x00of a")
    host_b.video(1, payload=b"\x10\x00of b")
    await until(lambda: payer_a.leg.packets and payer_b.leg.packets, "a packet in each room")
    await settle()
    assert set(payer_a.leg.payloads()) == {b"\x10\x00of a"}
    assert set(payer_b.leg.payloads()) == {b"\x10\x00of b"}
    assert set(await hall.media.liveness()) == {"a-host", "a-payer", "b-host", "b-payer"}
    stats = await hall.media.stats()
    assert sum(len(one.participants) for one in stats.values()) == 4
    assert all(len(one.participants) == 2 for one in stats.values())


async def test_the_door_works_as_in_one_process(hall: PoolHall) -> None:
    host, payer = await hall.call()
    host.video(1)
    await until(lambda: payer.leg.packets, "a packet")
    (forwarding,) = hall.of(Forwarding, "room-payer")
    heard = await hall.media.liveness()
    assert heard["room-host"].publish_rtp_ms is not None
    assert heard["room-payer"].subscribe_any_ms is not None
    report = await hall.media.close_gate("room-payer")
    assert report.first_forwarded_ms == forwarding.since_ms
    packets = len(payer.leg.packets)
    host.video(2, 3)
    await settle()
    assert len(payer.leg.packets) == packets, "nothing passes a closed gate"
    with pytest.raises(NegotiationError):
        await hall.media.publish("room-host", "not SDP", {})
    with pytest.raises(UnknownOfferError):
        await hall.media.answer("room-payer", 99, "")
    with pytest.raises(UnknownParticipantError):
        await hall.media.open_gate("nobody", 5)
    await hall.media.set_may_publish("room-host", may_publish=False)
    await until(lambda: hall.of(TracksPublished, "room-host")[-1].tracks == (), "no tracks")
    await hall.media.restart("room-payer", "subscribe")
    await hall.media.remove_participant("room-payer")
    await until(lambda: payer.leg.gone, "close_notify")
    assert set(await hall.media.liveness()) == {"room-host"}


@pytest.mark.parametrize(
    "name", [name for name, item in vars(MediaDoor).items() if inspect.iscoroutinefunction(item)]
)
def test_the_pool_has_every_call_of_the_door(name: str) -> None:
    """With the same arguments, so that a call added to the door is not forgotten here."""
    assert inspect.signature(getattr(MediaPool, name)) == inspect.signature(getattr(MediaDoor, name))


async def test_a_muted_source_is_off_the_air(hall: PoolHall) -> None:
    host, payer = await hall.call()
    await hall.media.set_muted("room-host", "camera", muted=True)
    host.video(1, 2)
    await settle()
    assert payer.leg.payloads() == []


async def test_nothing_passes_without_a_lease_in_any_worker(hall: PoolHall) -> None:
    calls = [await hall.call("a"), await hall.call("b")]
    await hall.media.set_lease(hall.clock.ms)
    await settle()
    for host, payer in calls:
        host.video(1, 2)
        await settle()
        assert payer.leg.packets == []
    await hall.media.set_lease(hall.clock.ms + 10_000)
    await settle()
    for host, payer in calls:
        host.video(3)
        await until(lambda leg=payer.leg: leg.packets, "a packet under the renewed lease")


async def test_a_worker_that_dies_is_noticed_at_once_and_costs_nobody_time(hall: PoolHall) -> None:
    host, payer = await hall.call("a")
    await hall.enter("b", "b-host")
    worker, port = hall.media.worker_of("a-host"), hall.media.ports[hall.media.worker_of("a-host")]
    host.video(1)
    await until(lambda: hall.of(Forwarding, "a-payer"), "forwarding")
    since_ms = hall.of(Forwarding, "a-payer")[0].since_ms
    await asyncio.sleep(0.3)
    host.video(2)
    asked_ms = hall.clock.ms
    while hall.media._places[worker].link.alive_ms < asked_ms:
        await hall.media.liveness()
    known_ms, died = hall.media._places[worker].link.alive_ms, asyncio.get_running_loop().time()
    await asyncio.sleep(0.2)
    killed_ms = hall.clock.ms
    os.kill(hall.media.pids[worker], signal.SIGKILL)
    await until(lambda: hall.reasons("a-payer"), "Closed")
    assert asyncio.get_running_loop().time() - died < 0.5
    assert hall.reasons("a-payer") == ["worker_lost"]
    assert [e.transport for e in hall.of(Closed, "a-host")] == ["publish", "subscribe"]
    assert hall.of(TracksPublished, "a-host")[-1].tracks == ()
    assert hall.reasons("b-host") == []

    # What is asked of the dead is answered: with its last known times.
    assert (await hall.media.liveness())["a-payer"].subscribe_any_ms is not None
    await hall.media.open_gate("a-payer", 120_000)
    report = await hall.media.close_gate("a-payer")
    assert report.first_forwarded_ms == since_ms
    # As of the worker's latest answer (a ping may have had one since).
    assert asked_ms <= known_ms <= report.stopped_ms < killed_ms
    assert (await hall.media.close_gate("a-payer")).first_forwarded_ms is None
    with pytest.raises(UnknownParticipantError):
        await hall.media.publish("a-host", "", {})
    await hall.media.remove_participant("a-payer")
    await hall.media.remove_participant("a-host")
    assert set(await hall.media.liveness()) == {"b-host"}

    # Another takes its place and port, with the lease.
    await until(lambda: hall.states() == ["lost", "ready"], "a new worker")
    assert hall.changes[0].detail == "-9"
    hall.events.clear()
    host, payer = await hall.call("a")
    assert hall.media.worker_of("a-host") == worker, "the one with the fewest people"
    assert port or hall.media.ports[worker]
    host.video(1)
    await until(lambda: payer.leg.packets, "a packet by the new worker")


async def test_a_dead_workers_report_never_goes_past_the_allowance(hall: PoolHall) -> None:
    host, _payer = await hall.call("a")
    await hall.media.open_gate("a-payer", 100)
    host.video(1)
    await until(lambda: hall.of(Forwarding, "a-payer"), "forwarding")
    await asyncio.sleep(0.3)
    await hall.media.liveness()
    os.kill(hall.media.pids[hall.server], signal.SIGKILL)
    await until(lambda: hall.reasons("a-payer"), "Closed")
    report = await hall.media.close_gate("a-payer")
    assert report.stopped_ms == hall.of(Forwarding, "a-payer")[0].since_ms + 100


async def test_a_new_worker_takes_the_same_port() -> None:
    port = free_media_port(2)
    async with PoolHall(2, port=port) as hall:
        assert hall.media.ports == (port, port + 1)
        for worker in (0, 1):
            hall.changes.clear()
            os.kill(hall.media.pids[worker], signal.SIGKILL)
            await until(lambda: hall.states() == ["lost", "ready"], "a new worker")
        assert hall.media.ports == (port, port + 1)


async def test_a_worker_that_hangs_is_replaced_and_holds_up_nobody(
    hall: PoolHall, monkeypatch: pytest.MonkeyPatch
) -> None:
    await hall.enter("a", "a-host")
    await hall.enter("b", "b-host")
    monkeypatch.setattr(pool_module, "PING_S", 0.5)
    worker = hall.media.worker_of("a-host")
    os.kill(hall.media.pids[worker], signal.SIGSTOP)
    loop = asyncio.get_running_loop()
    began = loop.time()
    for _ in range(3):
        assert set(await hall.media.liveness()) >= {"b-host"}
    await hall.media.set_lease(hall.clock.ms + 5_000)
    assert loop.time() - began < 1, "one that hangs is waited for once, and not for long"
    await until(lambda: hall.reasons("a-host"), "Closed")
    await until(lambda: hall.states() == ["hangs", "lost", "ready"], "a new worker")
    assert hall.reasons("b-host") == []


async def test_who_comes_while_no_worker_runs_waits_for_the_next() -> None:
    async with PoolHall(1) as hall:
        os.kill(hall.media.pids[0], signal.SIGKILL)
        await until(lambda: hall.media.ready == 0, "the loss")
        leaves = asyncio.create_task(
            hall.media.add_participant(
                "room", "hasty", metered=True, may_publish=False, options=RoomOptions(("VP8",))
            )
        )
        await asyncio.sleep(0)
        await hall.media.remove_participant("hasty")
        assert await hall.enter("room", "patient") == 0
        await leaves
        assert set(await hall.media.liveness()) == {"patient"}


async def test_calls_under_way_when_the_worker_dies_end_with_it(hall: PoolHall) -> None:
    await hall.enter("a", "a-host")
    await hall.enter("a", "a-payer", metered=True)
    pid = hall.media.pids[hall.server]
    os.kill(pid, signal.SIGSTOP)
    publishing = asyncio.create_task(hall.media.publish("a-host", "", {}))
    opening = asyncio.create_task(hall.media.open_gate("a-payer", 5_000))
    closing = asyncio.create_task(hall.media.close_gate("a-payer"))
    coming = asyncio.create_task(
        hall.media.add_participant(
            "a", "late", metered=True, may_publish=False, options=RoomOptions(("VP8",))
        )
    )
    removing = asyncio.create_task(hall.media.remove_participant("a-host"))
    await asyncio.sleep(0.05)
    os.kill(pid, signal.SIGKILL)
    with pytest.raises(UnknownParticipantError):
        await publishing
    await asyncio.gather(opening, coming, removing)
    assert (await closing).first_forwarded_ms is None
    await until(lambda: hall.reasons("late"), "Closed for who was just coming")


async def test_a_worker_whose_port_is_taken_is_refused_and_none_is_left() -> None:
    port = free_media_port(2)
    with socket.socket(type=socket.SOCK_DGRAM) as other:
        other.bind(("127.0.0.1", port + 1))
        hall = PoolHall(2, port=port)
        with pytest.raises(PortInUseError, match=str(port + 1)):
            await hall.media.start()
    assert hall.media.pids == (0, 0)
    with socket.socket(type=socket.SOCK_DGRAM) as again:
        again.bind(("127.0.0.1", port))
    with pytest.raises(MediaServerFullError):
        await hall.media.add_participant(
            "room", "early", metered=False, may_publish=True, options=RoomOptions()
        )


async def test_the_whole_server_takes_as_many_as_it_may() -> None:
    async with PoolHall(2, peers_max=2) as hall:
        await hall.enter("a", "one")
        await hall.enter("b", "two")
        with pytest.raises(MediaServerFullError):
            await hall.enter("c", "three")
        await hall.media.remove_participant("one")
        await hall.enter("c", "three")


async def test_closing_says_goodbye_and_leaves_no_process() -> None:
    async with PoolHall(2) as hall:
        _host, payer = await hall.call()
        pids = hall.media.pids
        await hall.media.close()
        await until(lambda: payer.leg.gone, "close_notify")
        assert not any(map(is_alive, pids))
        await hall.media.close()


async def test_signals_to_the_group_are_the_owners_business(hall: PoolHall) -> None:
    for number in (signal.SIGINT, signal.SIGTERM):
        for pid in hall.media.pids:
            os.kill(pid, number)
    await settle()
    assert await hall.enter("a", "host") in (0, 1)
    assert hall.changes == []


def environment_of(pid: int) -> bytes:
    return Path(f"/proc/{pid}/environ").read_bytes()


async def test_workers_are_not_handed_the_owners_secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STRIPE_SECRET_KEY", "sk_test_not_for_workers")
    async with PoolHall(1) as hall:
        environment = environment_of(hall.media.pids[0])
    assert b"PATH=" in environment
    assert b"not_for_workers" not in environment


OWNER = """
import asyncio, os, time
from mediaserver.events import MediaConfig
from mediaserver.pool import MediaPool
async def main():
    pool = MediaPool(MediaConfig(0, ("127.0.0.1",)), 2, now_ns=time.monotonic_ns, on_event=print, on_change=print)
    await pool.start()
    print(*pool.pids, *pool.ports, flush=True)
    await asyncio.sleep(60)
asyncio.run(main())
"""


@pytest.mark.parametrize("stopped", [False, True], ids=["running", "hanging"])
async def test_an_owner_that_is_killed_leaves_no_worker_behind(stopped: bool) -> None:
    owner = await asyncio.create_subprocess_exec(sys.executable, "-c", OWNER, cwd=ROOT, stdout=PIPE)
    try:
        *pids, port, _ = map(int, (await owner.stdout.readline()).split())
        assert all(map(is_alive, pids))
        if stopped:
            os.kill(pids[0], signal.SIGSTOP)
    finally:
        owner.kill()
        await owner.wait()
    await until(lambda: not any(map(is_alive, pids)), "the end of the workers", 5)
    with socket.socket(type=socket.SOCK_DGRAM) as free:
        free.bind(("127.0.0.1", port))
