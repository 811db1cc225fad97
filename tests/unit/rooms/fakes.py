"""An invented clock and a media door that only keeps gates: for stepping the meters without waiting."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field

from mediaserver.errors import UnknownParticipantError
from mediaserver.events import GateReport, Liveness, RoomOptions, Source, Transport
from metering.events import EndCode, Show
from signaling.rooms.runner import Stay
from signaling.rooms.writer import Opened
from signaling.stores.meter import CloseRow, EndRow, OpenRow


class InventedClock:
    def __init__(self, at_ms: int = 1_000_000) -> None:
        self.at_ms = at_ms

    def now_ns(self) -> int:
        return self.at_ms * 1_000_000

    def wall_s(self) -> float:
        return 1_700_000_000 + self.at_ms / 1000


@dataclass
class Door:
    """`alive`: participant → what liveness says. `calls`: gates opened and closed, in order. `hanging`: for whom
    nothing is answered until the event is set."""

    clock: InventedClock
    alive: dict[str, Liveness] = field(default_factory=dict)
    calls: list[tuple[str, str, int | None]] = field(default_factory=list)
    first_ms: dict[str, int] = field(default_factory=dict)
    lease_ms: int = 0
    unknown: set[str] = field(default_factory=set)
    hanging: dict[str, asyncio.Event] = field(default_factory=dict)

    async def start(self) -> None: ...

    async def close(self) -> None: ...

    async def add_participant(
        self,
        room_id: str,
        participant_id: str,
        *,
        metered: bool,
        may_publish: bool,
        options: RoomOptions,
        receives: bool = True,
    ) -> None: ...

    async def remove_participant(self, participant_id: str) -> None: ...

    async def publish(self, participant_id: str, sdp: str, sources: dict[str, str]) -> str:
        return ""

    async def answer(self, participant_id: str, offer_id: int, sdp: str) -> None: ...

    async def watch(self, participant_id: str, sdp: str) -> str:
        return ""

    async def refresh_ice(self, participant_id: str, transport: Transport) -> str:
        return ""

    async def restart(self, participant_id: str, transport: Transport) -> None: ...

    async def set_may_publish(self, participant_id: str, may_publish: bool) -> None: ...

    async def set_view(self, participant_id: str, sizes: dict[str, tuple[int, int]]) -> None: ...

    async def set_muted(self, participant_id: str, source: Source, muted: bool) -> None: ...

    async def open_gate(self, participant_id: str, allow_ms: int | None) -> None:
        if participant_id in self.unknown:
            raise UnknownParticipantError(participant_id)
        self.calls.append(("open", participant_id, allow_ms))
        await self._answer(participant_id)

    async def close_gate(self, participant_id: str) -> GateReport:
        self.calls.append(("close", participant_id, None))
        await self._answer(participant_id)
        return GateReport(self.clock.at_ms, self.first_ms.pop(participant_id, None))

    async def _answer(self, participant_id: str) -> None:
        if participant_id in self.hanging:
            await self.hanging[participant_id].wait()

    async def set_lease(self, until_ms: int) -> None:
        self.lease_ms = until_ms

    async def liveness(self) -> dict[str, Liveness]:
        return dict(self.alive)


@dataclass
class Writer:
    """Keeps what is to be written; `answer` commits what waits to be opened."""

    waiting: list[tuple[OpenRow, Opened]] = field(default_factory=list)
    closed: list[CloseRow] = field(default_factory=list)
    ended: list[EndRow] = field(default_factory=list)

    def open_segment(self, row: OpenRow, opened: Opened) -> None:
        self.waiting.append((row, opened))

    def close_segment(self, row: CloseRow) -> None:
        self.closed.append(row)

    def end_session(self, row: EndRow) -> None:
        self.ended.append(row)

    async def flushed(self) -> None: ...

    def answer(self, refusal: str | None = None) -> None:
        waiting, self.waiting = self.waiting, []
        for _, opened in waiting:
            opened(refusal)


@dataclass
class Sink:
    shows: list[Show] = field(default_factory=list)
    warnings: list[int] = field(default_factory=list)
    ends: list[tuple[EndCode, int]] = field(default_factory=list)

    def on_show(self, stay: Stay, show: Show) -> None:
        self.shows.append(show)

    def on_warn(self, stay: Stay, remaining_ms: int) -> None:
        self.warnings.append(remaining_ms)

    def on_end(self, stay: Stay, code: EndCode, used_ms: int) -> None:
        self.ends.append((code, used_ms))

    def on_poll(self, liveness: Mapping[str, Liveness], at_ms: int) -> None: ...
