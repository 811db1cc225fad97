"""A media server of paper: it forwards nothing and says what a real one would say, for as many participants as a
bench wants. What the meter does to it is what is measured."""

from collections.abc import Callable
from dataclasses import dataclass

from mediaserver.events import (
    Closed,
    Connected,
    Forwarding,
    GateReport,
    Liveness,
    MediaEvent,
    Offer,
    RoomOptions,
    Source,
    TracksPublished,
    Transport,
)

NS_PER_MS = 1_000_000


@dataclass(slots=True)
class Gate:
    """`until_ns` None: no limit. Times on the clock of the door."""

    since_ns: int
    until_ns: int | None


@dataclass(frozen=True, slots=True)
class Cut:
    """A gate with a limit was closed: `late_ns` after that limit (negative: before it)."""

    participant_id: str
    late_ns: int


class PaperDoor:
    """Satisfies MediaDoor. Everybody who was added and is not `silent` is alive; media passes at once."""

    def __init__(self, now_ns: Callable[[], int], on_event: Callable[[MediaEvent], None]) -> None:
        self.cuts: list[Cut] = []
        self.gates: dict[str, Gate] = {}
        self.silent: set[str] = set()
        self.lease_ms = 0
        self._now_ns = now_ns
        self._on_event = on_event
        self._participants: dict[str, bool] = {}

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
    ) -> None:
        self._participants[participant_id] = not metered
        self._on_event(Offer(participant_id, 1, "v=0\r\n", ()))
        self._on_event(Connected(participant_id, "subscribe", self._now_ms()))

    async def remove_participant(self, participant_id: str) -> None:
        self._participants.pop(participant_id, None)
        self.gates.pop(participant_id, None)

    async def publish(self, participant_id: str, sdp: str, sources: dict[str, str]) -> str:
        self._on_event(TracksPublished(participant_id, ()))
        return "v=0\r\n"

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
        now_ns = self._now_ns()
        gate = self.gates.get(participant_id)
        since_ns = gate.since_ns if gate else now_ns
        until_ns = None if allow_ms is None else since_ns + allow_ms * NS_PER_MS
        self.gates[participant_id] = Gate(since_ns, until_ns)
        if gate is None:
            self._on_event(Forwarding(participant_id, since_ns // NS_PER_MS))

    async def close_gate(self, participant_id: str) -> GateReport:
        now_ns = self._now_ns()
        gate = self.gates.pop(participant_id, None)
        if gate is None:
            return GateReport(now_ns // NS_PER_MS)
        stopped_ns = now_ns if gate.until_ns is None else min(now_ns, gate.until_ns)
        if gate.until_ns is not None:
            self.cuts.append(Cut(participant_id, now_ns - gate.until_ns))
        return GateReport(stopped_ns // NS_PER_MS, gate.since_ns // NS_PER_MS, stopped_ns // NS_PER_MS)

    async def set_lease(self, until_ms: int) -> None:
        self.lease_ms = until_ms

    async def liveness(self) -> dict[str, Liveness]:
        now_ms = self._now_ms()
        alive = Liveness(publish_rtp_ms=now_ms, publish_any_ms=now_ms, subscribe_any_ms=now_ms)
        return {name: alive for name in self._participants if name not in self.silent}

    def lose(self, participant_id: str) -> None:
        """The participant's transport ended by itself."""
        self.silent.add(participant_id)
        self._on_event(Closed(participant_id, "subscribe", "silent"))

    def _now_ms(self) -> int:
        return self._now_ns() // NS_PER_MS
