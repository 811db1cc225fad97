"""The media server alone in a process, driven through its door. Started by `bench.media`."""

import asyncio
import os
import sys
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any, cast

import uvloop

from bench.pipe import Message, emit, serve
from mediaserver.events import MediaConfig, MediaEvent, PlaneChoice, RoomOptions
from mediaserver.server import MediaDoor, MediaServer

ROOM = "room_bench"
LEASE_MS = 5_000
PAGE_KB = os.sysconf("SC_PAGE_SIZE") // 1024


def now_ns() -> int:
    return time.clock_gettime_ns(time.CLOCK_BOOTTIME)


def send_event(event: MediaEvent) -> None:
    emit({"event": type(event).__name__, **asdict(event)})


def usage() -> Message:
    """CPU time of this process since its start, and its resident memory."""
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return {"cpu_ns": time.clock_gettime_ns(time.CLOCK_PROCESS_CPUTIME_ID), "rss_kb": pages * PAGE_KB}


class Driver:
    """One request, one call at the door."""

    def __init__(self, door: MediaDoor) -> None:
        self._door = door

    async def handle(self, op: str, args: Message) -> Message:
        result: Any = await getattr(self, f"_{op}")(**args)
        return result or {}

    async def _add(self, participant_id: str, *, host: bool) -> None:
        await self._door.add_participant(
            ROOM, participant_id, metered=not host, may_publish=host, options=RoomOptions()
        )

    async def _remove(self, participant_id: str) -> None:
        await self._door.remove_participant(participant_id)

    async def _publish(self, participant_id: str, sdp: str) -> Message:
        return {"sdp": await self._door.publish(participant_id, sdp, {})}

    async def _answer(self, participant_id: str, offer_id: int, sdp: str) -> None:
        await self._door.answer(participant_id, offer_id, sdp)

    async def _open(self, participant_id: str, allow_ms: int | None) -> None:
        await self._door.open_gate(participant_id, allow_ms)

    async def _close(self, participant_id: str) -> Message:
        return asdict(await self._door.close_gate(participant_id))

    async def _usage(self) -> Message:
        return usage()


async def keep_lease(door: MediaDoor) -> None:
    while True:
        await door.set_lease(now_ns() // 1_000_000 + LEASE_MS)
        await asyncio.sleep(1)


async def main(port: int, plane: PlaneChoice) -> None:
    config = MediaConfig(port=port, addresses=("127.0.0.1",), plane=plane)
    door = MediaServer(config, now_ns=now_ns, random_bytes=os.urandom, on_event=send_event)
    await door.start()
    lease = asyncio.create_task(keep_lease(door))
    try:
        await serve(Driver(door).handle)
    finally:
        lease.cancel()
        await door.close()


if __name__ == "__main__":
    uvloop.run(main(int(sys.argv[1]), cast("PlaneChoice", sys.argv[2])))
