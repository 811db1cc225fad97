"""The media server alone in a process, driven through its door. Started by `bench.media`.

python -m bench.media_server PORT ADDRESS (auto | native | python)
"""

import asyncio
import gc
import os
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any, cast

import uvloop

from bench.pipe import Message, emit, serve
from bench.usage import buffer_drops, process_usage
from mediaserver.events import MediaConfig, MediaEvent, PlaneChoice, RoomOptions
from mediaserver.server import MediaDoor, MediaServer
from mediaserver.worker import boot_ns, collect_garbage_rarely

ROOM = "room_bench"
LEASE_MS = 5_000
# One peer's belongings: the Python objects, and the native sessions and entries behind them.
HELD = ("Participant", "Subscriber", "Publisher", "Peer", "IceAgent", "Gate", "RTCDtlsTransport", "Session", "SrtpSender",
        "Subscription", "Port", "PeerLink", "PublicationLink", "SubscriptionLink")  # fmt: skip


def send_event(event: MediaEvent) -> None:
    emit({"event": type(event).__name__, **asdict(event)})


def usage() -> Message:
    """CPU time of this process and its workers since their start, and their resident memory."""
    return {**process_usage(os.getpid()), "buffer_drops": buffer_drops()}


def census(door: MediaDoor) -> Message:
    """What the server holds: nothing of it may stay behind when everybody has left."""
    gc.collect()
    held = [type(item).__name__ for item in gc.get_objects()]
    return {
        "tasks": len(asyncio.all_tasks()),
        "descriptors": len(list(Path("/proc/self/fd").iterdir())),
        "participants": len(door.stats().participants) if isinstance(door, MediaServer) else 0,
        **{name: held.count(name) for name in HELD},
        **process_usage(os.getpid()),
    }


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

    async def _census(self) -> Message:
        return census(self._door)


async def keep_lease(door: MediaDoor) -> None:
    while True:
        await door.set_lease(boot_ns() // 1_000_000 + LEASE_MS)
        await asyncio.sleep(1)


async def main(port: int, address: str, plane: str) -> None:
    door = MediaServer(
        MediaConfig(port=port, addresses=(address,), plane=cast("PlaneChoice", plane)),
        now_ns=boot_ns,
        random_bytes=os.urandom,
        on_event=send_event,
    )
    await door.start()
    # As the real server does: what hangs in cycles is not to be counted on to go.
    collect_garbage_rarely()
    lease = asyncio.create_task(keep_lease(door))
    try:
        await serve(Driver(door).handle)
    finally:
        lease.cancel()
        await door.close()


if __name__ == "__main__":
    uvloop.run(main(int(sys.argv[1]), sys.argv[2], sys.argv[3]))
