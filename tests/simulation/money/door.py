"""The media server of a town, seen from the rooms: gates and a lease, as the real one keeps them, and lines that are up or
silent. A packet passes whenever it may, so what was let through is known to the millisecond.
"""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from mediaserver.events import Forwarding, GateReport, Liveness, MediaEvent, RoomOptions
from mediaserver.gate import Gate, Lease
from signaling.clock import Clock, now_ms

MS = 1_000_000


@dataclass(slots=True)
class Line:
    """Of one participant. `heard_ms`: the last packet, of a line that is not up."""

    room_id: str
    gate: Gate | None
    is_up: bool = True
    heard_ms: int = 0


class Door:
    """What the rooms ask of the media server; nothing else of it is played here. `passed_ms`: by participant, what their
    gates let through."""

    def __init__(self, clock: Clock, on_event: Callable[[MediaEvent], None]) -> None:
        self._clock = clock
        self._on_event = on_event
        self._lease = Lease()
        self._lines: dict[str, Line] = {}
        self.passed_ms: Counter[str] = Counter()

    def __getattr__(self, name: str) -> Any:
        raise AssertionError(f"nobody asks {name} of a town's door")

    async def add_participant(
        self,
        room_id: str,
        participant_id: str,
        *,
        metered: bool,
        may_publish: bool,
        options: RoomOptions,
        receives: bool = True,
    ) -> None:
        def begun(at_ns: int) -> None:
            self._on_event(Forwarding(participant_id, at_ns // MS))

        gate = Gate(self._lease, begun) if metered else None
        self._lines[participant_id] = Line(room_id, gate, heard_ms=now_ms(self._clock))
        self._flow()

    async def remove_participant(self, participant_id: str) -> None:
        if participant_id in self._lines:
            await self.close_gate(participant_id)
            del self._lines[participant_id]

    async def open_gate(self, participant_id: str, allow_ms: int | None) -> None:
        line = self._lines.get(participant_id)
        if line is not None and line.gate is not None:
            line.gate.open(allow_ms)
            self._flow()

    async def close_gate(self, participant_id: str) -> GateReport:
        line = self._lines.get(participant_id)
        if line is None or line.gate is None:
            return GateReport(now_ms(self._clock))
        report = line.gate.close(self._clock.now_ns())
        if report.first_forwarded_ms is not None:
            self.passed_ms[participant_id] += report.stopped_ms - report.first_forwarded_ms
        return report

    async def set_lease(self, until_ms: int) -> None:
        self._lease.until_ns = until_ms * MS
        self._flow()

    async def liveness(self) -> dict[str, Liveness]:
        at_ms = now_ms(self._clock)
        found = {}
        for participant_id, line in self._lines.items():
            heard_ms = at_ms if line.is_up else line.heard_ms
            is_host = line.gate is None
            found[participant_id] = (
                Liveness(heard_ms, heard_ms) if is_host else Liveness(None, None, heard_ms)
            )
        return found

    def set_line(self, participant_id: str, *, is_up: bool) -> None:
        """Somebody's network goes silent, or comes back."""
        line = self._lines.get(participant_id)
        if line is not None and line.is_up != is_up:
            line.is_up, line.heard_ms = is_up, now_ms(self._clock)
            self._flow()

    def die(self) -> None:
        """What had passed when the process was killed."""
        at_ns = self._clock.now_ns()
        for participant_id, line in self._lines.items():
            if line.gate is not None:
                report = line.gate.close(at_ns)
                if report.first_forwarded_ms is not None:
                    self.passed_ms[participant_id] += report.stopped_ms - report.first_forwarded_ms

    def _flow(self) -> None:
        """The first packet passes where a host sends, and somebody's gate is open."""
        at_ns = self._clock.now_ns()
        if at_ns >= self._lease.until_ns:
            return
        up = [line for line in self._lines.values() if line.is_up]
        sending = {line.room_id for line in up if line.gate is None}
        for line in up:
            if line.gate is not None and line.gate.is_open and line.room_id in sending:
                line.gate.note_first(at_ns)
