"""The media server on several cores: the same door, over worker processes with a port each.

A room lives in one worker, chosen when its first participant comes: the one with the fewest people. Every worker
enforces gates and lease by itself, on the clock that all processes of a machine share; nothing here is on the way
of a packet.

When a worker dies (its socket ends at once, whatever killed it) or no longer answers (then it is killed):

* Nothing of it is forwarded any more; that is how it died.
* Its participants hear `Closed` with the reason `worker_lost`, on every transport they may have had. They stay known,
  without media, until they are removed, so that their meters can settle.
* `close_gate` tells for each what is known for certain: that forwarding had begun when `Forwarding` said so, and went
  on until the last moment at which the worker was known to live (its latest answer, normally less than a quarter of
  a second ago), and no longer than the allowance or the lease. What it forwarded after that answer is nobody's to
  pay: the payer is never charged for time in which there was perhaps nothing, the host loses that moment.
* Another worker takes its place and port. Rooms that come in meanwhile go to the others; where there are none they
  wait for it.
"""

import asyncio
from collections.abc import Callable, Coroutine, Iterator
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from mediaserver.errors import MediaError, MediaServerFullError, UnknownParticipantError
from mediaserver.events import (
    WORKER_LOST,
    Closed,
    Forwarding,
    GateReport,
    Liveness,
    MediaConfig,
    MediaEvent,
    RoomOptions,
    Source,
    Speakers,
    TracksPublished,
    Transport,
)
from mediaserver.gate import MS
from mediaserver.link import WorkerLink
from mediaserver.server import EventSink, MediaStats
from mediaserver.wire import from_plain

PING_S = 1.0
# As long as a lease: a worker that did not even read its lease for so long forwards nothing any more.
MISSED_PINGS_MAX = 5
# How long a worker's answer is waited for before its last known liveness must do.
FRESH_S = 0.1
STATS_S = 1.0
READY_WAIT_S = 10.0
# One that dies young may do so again at once: it is started after a pause that grows.
YOUNG_S = 30.0
PAUSE_S = 0.5
PAUSE_MAX_S = 5.0


@dataclass(frozen=True, slots=True)
class WorkerChange:
    """For the log: `lost` (`detail`: its exit status, negative for a signal), `hangs`, `failed` to start, `ready`."""

    index: int
    state: Literal["lost", "hangs", "failed", "ready"]
    detail: str = ""


@dataclass(slots=True, eq=False)
class _Member:
    """A participant and the worker that carries it: None before there is one, and after it was lost. `first_ms` is of
    the open gate; `alive_ms` and `heard` are what was known last of a lost one."""

    room_id: str
    metered: bool
    link: WorkerLink | None = None
    has_published: bool = False
    gate_is_open: bool = False
    allow_ms: int | None = None
    first_ms: int | None = None
    alive_ms: int = 0
    heard: Liveness = field(default_factory=Liveness)

    def open_gate(self, allow_ms: int | None) -> None:
        if not self.gate_is_open:
            self.gate_is_open, self.first_ms = True, None
        self.allow_ms = allow_ms

    def close_gate(self) -> None:
        self.gate_is_open, self.allow_ms, self.first_ms = False, None, None

    def last_report(self, now_ms: int, lease_ms: int) -> GateReport:
        """What the gate of a lost worker certainly let pass. See the head of this file."""
        if not self.gate_is_open:
            return GateReport(stopped_ms=now_ms)
        stopped_ms, first_ms = min(self.alive_ms, lease_ms), self.first_ms
        if first_ms is None:
            return GateReport(stopped_ms=stopped_ms)
        if self.allow_ms is not None:
            stopped_ms = min(stopped_ms, first_ms + self.allow_ms)
        stopped_ms = max(first_ms, stopped_ms)
        return GateReport(stopped_ms, first_ms, stopped_ms)


@dataclass(slots=True, eq=False)
class _Room:
    link: WorkerLink
    members: set[str] = field(default_factory=set)


@dataclass(slots=True)
class _Place:
    """A worker's number and port, whoever fills it now. `deaths`: in a row, each of them young."""

    index: int
    config: MediaConfig
    link: WorkerLink | None = None
    started_s: float = 0.0
    deaths: int = 0


class MediaPool:
    """The MediaDoor over `workers` processes; worker n has `config.port + n` (0: any free one). `now_ns` must be
    CLOCK_BOOTTIME, which the workers read too. `on_change` hears of workers that die and of their successors."""

    def __init__(
        self,
        config: MediaConfig,
        workers: int,
        *,
        now_ns: Callable[[], int],
        on_event: EventSink,
        on_change: Callable[[WorkerChange], None],
    ) -> None:
        self._config = config
        self._now_ns = now_ns
        self._on_event = on_event
        self._on_change = on_change
        self._places = [
            _Place(index, replace(config, port=config.port + index if config.port else 0))
            for index in range(workers)
        ]
        self._members: dict[str, _Member] = {}
        self._rooms: dict[str, _Room] = {}
        self._lease_ms = 0
        self._replacing: set[asyncio.Task[None]] = set()
        self._came = asyncio.Event()
        self._timer: asyncio.TimerHandle | None = None

    # --- what is read ---

    @property
    def workers(self) -> int:
        return len(self._places)

    @property
    def ready(self) -> int:
        """How many workers run now."""
        return len(self._links())

    @property
    def ports(self) -> tuple[int, ...]:
        """In use now, by worker (0: none at the moment)."""
        return tuple(link.port if link is not None else 0 for link in self._by_place())

    @property
    def pids(self) -> tuple[int, ...]:
        """The processes, by worker (0: none at the moment)."""
        return tuple(link.pid if link is not None else 0 for link in self._by_place())

    def _by_place(self) -> Iterator[WorkerLink | None]:
        links = self._links()
        return (links.get(place.index) for place in self._places)

    def worker_of(self, participant_id: str) -> int | None:
        """Which worker carries it."""
        member = self._members.get(participant_id)
        for place in self._places:
            if member is not None and member.link is not None and place.link is member.link:
                return place.index
        return None

    async def stats(self) -> dict[int, MediaStats]:
        """By worker; one that does not answer within a second is left out."""
        answers = {index: asyncio.create_task(link.call("stats")) for index, link in self._links().items()}
        if not answers:
            return {}
        done, late = await asyncio.wait(answers.values(), timeout=STATS_S)
        for task in late:
            task.cancel()
        return {
            index: from_plain(task.result())
            for index, task in answers.items()
            if task in done and task.exception() is None
        }

    def _links(self) -> dict[int, WorkerLink]:
        return {
            place.index: place.link
            for place in self._places
            if place.link is not None and place.link.is_ready
        }

    # --- life ---

    async def start(self) -> None:
        """All workers, or none: raises PortInUseError when one's port is taken."""
        starts = [asyncio.create_task(self._start(place)) for place in self._places]
        try:
            await asyncio.gather(*starts)
            self._check_all()
        except BaseException:
            for start in starts:
                start.cancel()
            await asyncio.gather(*starts, return_exceptions=True)
            await self.close()
            raise
        self._timer = asyncio.get_running_loop().call_later(PING_S, self._watch)

    def _check_all(self) -> None:
        if self.ready < self.workers:
            raise RuntimeError("a media worker ended while the others were starting")

    async def _start(self, place: _Place) -> None:
        link = WorkerLink(self._hear, lambda lost: self._lost(place, lost))
        await link.start(place.config)
        link.set_lease(self._lease_ms)
        place.link, place.started_s = link, asyncio.get_running_loop().time()
        self._came.set()

    async def close(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        for task in tuple(self._replacing):
            task.cancel()
        await asyncio.gather(*self._replacing, return_exceptions=True)
        links = [place.link for place in self._places if place.link is not None]
        await asyncio.gather(*(link.close() for link in links))
        self._members.clear()
        self._rooms.clear()

    def _watch(self) -> None:
        """A worker that reads nothing for several pings hangs. Counted in pings, not in time, so that a stall of our own
        is not held against it."""
        self._timer = asyncio.get_running_loop().call_later(PING_S, self._watch)
        for index, link in self._links().items():
            if link.missed >= MISSED_PINGS_MAX:
                self._on_change(WorkerChange(index, "hangs"))
                link.kill()
            else:
                link.ping()

    # --- a worker dies ---

    def _lost(self, place: _Place, link: WorkerLink) -> None:
        place.link = None
        self._rooms = {room_id: room for room_id, room in self._rooms.items() if room.link is not link}
        for participant_id, member in self._members.items():
            if member.link is link:
                member.link = None
                member.alive_ms = link.alive_ms
                member.heard = link.liveness.get(participant_id, member.heard)
                self._bury(participant_id, member)
        self._replace_soon(self._replace(place, link))

    def _bury(self, participant_id: str, member: _Member) -> None:
        if member.has_published:
            self._emit(TracksPublished(participant_id))
            self._emit(Closed(participant_id, "publish", WORKER_LOST))
        self._emit(Closed(participant_id, "subscribe", WORKER_LOST))

    def _replace_soon(self, work: Coroutine[Any, Any, None]) -> None:
        if self._timer is None:
            work.close()  # starting or closing: nobody is to come after it
            return
        task = asyncio.create_task(work)
        self._replacing.add(task)
        task.add_done_callback(self._replacing.discard)

    async def _replace(self, place: _Place, former: WorkerLink) -> None:
        self._on_change(WorkerChange(place.index, "lost", str(await former.gone())))
        lived_s = asyncio.get_running_loop().time() - place.started_s
        place.deaths = 0 if lived_s >= YOUNG_S else place.deaths + 1
        while place.link is None:
            if place.deaths:
                await asyncio.sleep(min(PAUSE_MAX_S, PAUSE_S * (2 ** (place.deaths - 1) - 1)))
            try:
                await self._start(place)
            except (MediaError, RuntimeError, OSError) as error:
                place.deaths += 1
                self._on_change(WorkerChange(place.index, "failed", str(error)))
        self._on_change(WorkerChange(place.index, "ready"))

    # --- events ---

    def _hear(self, event: MediaEvent) -> None:
        member = None if isinstance(event, Speakers) else self._members.get(event.participant_id)
        if member is not None and isinstance(event, Forwarding):
            member.first_ms = event.since_ms
        elif member is not None and isinstance(event, TracksPublished):
            member.has_published = bool(event.tracks)
        self._on_event(event)

    def _emit(self, event: MediaEvent) -> None:
        asyncio.get_running_loop().call_soon(self._on_event, event)

    # --- participants ---

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
        await self.remove_participant(participant_id)
        if len(self._members) >= self._config.peers_max:
            raise MediaServerFullError("the server has as many participants as it may have")
        member = self._members[participant_id] = _Member(room_id, metered)
        try:
            await self._await_worker(room_id)
            if self._members.get(participant_id) is not member:
                return  # removed while it waited
            link = self._enter(participant_id, member)
            await self._asked(
                member,
                link.call(
                    "add_participant",
                    room_id=room_id,
                    participant_id=participant_id,
                    metered=metered,
                    may_publish=may_publish,
                    options=options,
                    receives=receives,
                ),
            )
        except BaseException:
            self._forget(participant_id, member)
            raise

    async def _await_worker(self, room_id: str) -> None:
        """Until there is one. Raises MediaServerFullError when none comes, or the pool is closed."""
        try:
            async with asyncio.timeout(READY_WAIT_S):
                while self._timer is not None and room_id not in self._rooms and not self._links():
                    self._came.clear()
                    await self._came.wait()
        except TimeoutError:
            raise MediaServerFullError("no media worker is running") from None
        if self._timer is None:
            raise MediaServerFullError("the media server is not running")

    def _enter(self, participant_id: str, member: _Member) -> WorkerLink:
        room = self._rooms.get(member.room_id)
        if room is None:
            room = self._rooms[member.room_id] = _Room(self._least_loaded())
        room.members.add(participant_id)
        member.link = room.link
        return room.link

    def _least_loaded(self) -> WorkerLink:
        load = {link: (0, index) for index, link in self._links().items()}
        for room in self._rooms.values():
            people, index = load[room.link]
            load[room.link] = (people + len(room.members), index)
        return min(load, key=load.__getitem__)

    async def remove_participant(self, participant_id: str) -> None:
        member = self._members.get(participant_id)
        if member is None:
            return
        link = member.link
        self._forget(participant_id, member)
        if link is not None:
            try:
                await link.call("remove_participant", participant_id=participant_id)
            except UnknownParticipantError:
                return  # its worker has died meanwhile

    def _forget(self, participant_id: str, member: _Member) -> None:
        if self._members.get(participant_id) is not member:
            return
        del self._members[participant_id]
        room = self._rooms.get(member.room_id)
        if room is not None and room.link is member.link:
            room.members.discard(participant_id)
            if not room.members:
                del self._rooms[member.room_id]

    def _member(self, participant_id: str) -> _Member:
        try:
            return self._members[participant_id]
        except KeyError:
            raise UnknownParticipantError(f"no participant {participant_id}") from None

    async def _asked(self, member: _Member, answer: Coroutine[Any, Any, Any]) -> Any:
        """The answer, or None when the worker died meanwhile: its participants hear of that by `Closed`."""
        try:
            return from_plain(await answer)
        except UnknownParticipantError:
            if member.link is not None:
                raise
            return None

    # --- negotiation ---

    async def publish(self, participant_id: str, sdp: str, sources: dict[str, str]) -> str:
        answer = await self._ask("publish", participant_id, sdp=sdp, sources=sources)
        if not isinstance(answer, str):
            raise TypeError("an answer is text")
        return answer

    async def answer(self, participant_id: str, offer_id: int, sdp: str) -> None:
        await self._ask("answer", participant_id, offer_id=offer_id, sdp=sdp)

    async def restart(self, participant_id: str, transport: Transport) -> None:
        await self._ask("restart", participant_id, transport=transport)

    async def watch(self, participant_id: str, sdp: str) -> str:
        answer: str = await self._ask("watch", participant_id, sdp=sdp)
        return answer

    async def refresh_ice(self, participant_id: str, transport: Transport) -> str:
        fragment: str = await self._ask("refresh_ice", participant_id, transport=transport)
        return fragment

    async def set_muted(self, participant_id: str, source: Source, muted: bool) -> None:
        await self._ask("set_muted", participant_id, source=source, muted=muted)

    async def set_view(self, participant_id: str, sizes: dict[str, tuple[int, int]]) -> None:
        await self._ask("set_view", participant_id, sizes=sizes)

    async def set_may_publish(self, participant_id: str, may_publish: bool) -> None:
        await self._ask("set_may_publish", participant_id, may_publish=may_publish)

    async def _ask(self, name: str, participant_id: str, **arguments: Any) -> Any:
        link = self._member(participant_id).link
        if link is None:
            raise UnknownParticipantError(f"the media of {participant_id} has ended")
        return from_plain(await link.call(name, participant_id=participant_id, **arguments))

    # --- gates and lease ---

    async def open_gate(self, participant_id: str, allow_ms: int | None) -> None:
        """For one whose worker was lost this changes nothing: `Closed` tells that it has ended."""
        member = self._member(participant_id)
        if member.link is None:
            return
        if member.metered:
            member.open_gate(allow_ms)
        await self._asked(
            member, member.link.call("open_gate", participant_id=participant_id, allow_ms=allow_ms)
        )

    async def close_gate(self, participant_id: str) -> GateReport:
        member = self._member(participant_id)
        report = None
        if member.link is not None:
            call = member.link.call("close_gate", participant_id=participant_id)
            report = await self._asked(member, call)
        if not isinstance(report, GateReport):
            report = member.last_report(self._now_ns() // MS, self._lease_ms)
        member.close_gate()
        return report

    async def set_lease(self, until_ms: int) -> None:
        """Reaches every worker before anything that is asked of it later; waits for none."""
        self._lease_ms = until_ms
        for link in self._links().values():
            link.set_lease(until_ms)

    async def liveness(self) -> dict[str, Liveness]:
        """As fresh as the workers answer; of one that is late, what it said last."""
        links = tuple(self._links().values())
        asked = [link.poll() for link in links if not link.is_polling]
        if asked:
            await asyncio.wait(asked, timeout=FRESH_S)
        heard = {key: member.heard for key, member in self._members.items() if member.link is None}
        for link in links:
            heard.update(link.liveness)
        return heard


__all__ = ["MediaPool", "WorkerChange"]
