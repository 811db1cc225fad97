"""The rooms of one server process: the product's own, with its meter, heartbeat and recovery; only the media server behind
them is played. Everybody comes as encoders and players do, whose stay lasts as long as their media.
"""

import socket
from collections import Counter
from collections.abc import Callable
from typing import Any

from mediaserver.events import MediaEvent
from signaling.clock import Clock, now_ms, rfc3339
from signaling.notices import Notices
from signaling.rooms import wire
from signaling.rooms.heartbeat import Heartbeat
from signaling.rooms.joining import Joining, RefusedJoinError
from signaling.rooms.moderation import Moderation
from signaling.rooms.opening import Books, Opening
from signaling.rooms.recovery import bury_all
from signaling.rooms.room import Participant, Stream
from signaling.rooms.service import Rooms, RoomsConfig
from signaling.rooms.tokens import Claims, Tokens
from signaling.stores import runs
from signaling.stores.database import Database

from .bank import ACCOUNT
from .door import Door

RandomBytes = Callable[[int], bytes]


class Calls:
    """`open` buries the runs of before, then lets people in."""

    def __init__(
        self, db: Database, clock: Clock, random_bytes: RandomBytes, notices: Notices, run_id: str
    ) -> None:
        self._db, self._clock, self._run_id = db, clock, run_id
        self.door: Any = Door(clock, self._on_media)
        books = Books("sandbox", ACCOUNT)
        opening = Opening(db, clock, random_bytes, books, anyone_may_open=False)
        tokens = Tokens("sandbox", clock, random_bytes)
        joining = Joining(db, clock, random_bytes, opening, books=books, tokens=tokens, run_id=run_id)
        self.rooms = Rooms(
            db,
            clock,
            random_bytes,
            notices,
            door=self.door,
            joining=joining,
            config=RoomsConfig((), ()),
            run_id=run_id,
        )
        self.moderation = Moderation(self.rooms, db, clock)
        self._heartbeat = Heartbeat(
            db,
            self.door,
            self.rooms.runner,
            clock,
            run_id=run_id,
            lost=self.rooms.run_lost,
        )
        self._passes: dict[str, str] = {}  # by participant

    async def open(self, *, lets_in: bool) -> None:
        """Without `lets_in` nobody comes any more: what dead runs left is closed all the same."""
        run = runs.Run(self._run_id, socket.gethostname(), "live", 0, now_ms(self._clock), {})
        await self._db.write(lambda tx: runs.insert_run(tx, run, rfc3339(self._clock.wall_s())))
        await bury_all(self._db, self._clock, self._run_id)
        if lets_in:
            self.rooms.start()
            await self._heartbeat.start()

    def _on_media(self, event: MediaEvent) -> None:
        self.rooms.on_media(event)

    # --- people -------------------------------------------------------------------------------------------

    async def host(self, room_id: str) -> Participant | None:
        return await self._join(Claims("host", room_id, None, publish=True, mode="sandbox"), "whip")

    async def payer(self, room_id: str, pass_id: str) -> Participant | None:
        came = await self._join(Claims("payer", room_id, pass_id, publish=False, mode="sandbox"), "whep")
        if came is not None:
            self._passes[came.id] = pass_id
        return came

    async def _join(self, claims: Claims, kind: Any) -> Participant | None:
        """None: not admitted."""
        try:
            return await self.rooms.join_stream(claims, Stream(kind, "", "", ""))
        except RefusedJoinError:
            return None

    def leaves(self, who: Participant) -> None:
        if not who.ended:
            self.rooms.end(who, "left")

    def silent(self, who: Participant) -> None:
        self.door.set_line(who.id, is_up=False)

    def heard(self, who: Participant) -> None:
        self.door.set_line(who.id, is_up=True)

    async def closes(self, host: Participant, *, refund: bool) -> None:
        """For good, with everybody in it."""
        await self.moderation.close_room(host, wire.CloseRoom(refund=refund))

    async def kicks(self, host: Participant, *, refund: bool) -> None:
        """Whoever came first."""
        for payer in host.room.payers:
            await self.moderation.kick(host, wire.Kick(payer.id, refund=refund))
            break

    def passed_ms(self) -> Counter[str]:
        """By pass: what this process let through, until now."""
        found: Counter[str] = Counter()
        for participant_id, passed in self.door.passed_ms.items():
            if participant_id in self._passes:
                found[self._passes[participant_id]] += passed
        return found
