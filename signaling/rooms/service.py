"""The rooms of this run: live rooms, their people, and everything that ends.

Wires the WebSockets to the media door, the meter runner and the database. Every stay is begun in `enter_*` and ended
in `_gone`, once, whatever the cause.
"""

import asyncio
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass
from typing import Any

import structlog

from mediaserver.errors import MediaError
from mediaserver.events import (
    WORKER_LOST,
    Closed,
    Connected,
    Forwarding,
    Liveness,
    MediaEvent,
    Offer,
    Reception,
    RoomOptions,
    Source,
    Speakers,
    TracksPublished,
)
from mediaserver.server import MediaDoor
from metering.events import EndCode, Extended, Finish, Show
from metering.session import Policy, Session
from signaling.clock import Clock, now_ms
from signaling.ids import RandomBytes, new_id, new_secret
from signaling.notices import (
    Funding,
    Notice,
    Notices,
    OrderPaid,
    PassChanged,
    RoomChanged,
    StayEnded,
    StayLow,
)
from signaling.rooms import wire
from signaling.rooms.endings import Ending, conclude, meter_code
from signaling.rooms.joining import Entry, Joining, RefusedJoinError, paid_for
from signaling.rooms.refunds import given_back, orders_behind
from signaling.rooms.room import LiveRoom, Participant, Stream
from signaling.rooms.runner import MeterRunner, Stay
from signaling.rooms.socket import Channel
from signaling.rooms.tokens import Claims, Role
from signaling.rooms.turn import Turn
from signaling.rooms.writer import MeterWriter
from signaling.stores import passes
from signaling.stores import rooms as room_store
from signaling.stores.database import Database, Transaction
from signaling.stores.rooms import Room

log = structlog.get_logger()

LEG_TIMEOUT_MS = 12_000
RESUME_MS = 30_000
REPLACE_WAIT_S = 5.0
# A shared screen may come with its sound.
_SOURCES: Mapping[wire.Muteable, tuple[Source, ...]] = {
    "microphone": ("microphone",),
    "camera": ("camera",),
    "screen": ("screen", "screen_audio"),
}
GONE_STATES = {"refunded", "disputed", "revoked"}
MEDIA_LEFT_S = 1.0
# Passes whose time comes in windows: at this mark the next one is asked for, instead of a warning.
WINDOWED_FUNDING = ("metered", "wallet")
LOW_MS = 60_000
WINDOWED = Policy(warnings_ms=(LOW_MS,))


@dataclass(frozen=True, slots=True)
class RoomsConfig:
    """What every room of this server offers."""

    video_codecs: tuple[str, ...]
    ice_servers: tuple[dict[str, Any], ...]
    turn: Turn | None = None


class Rooms:
    """The registry of live rooms and participants, and the one place where stays end.

    `start` after the run's row and the door stand; `shutdown` before the door closes.
    """

    def __init__(
        self,
        db: Database,
        clock: Clock,
        random_bytes: RandomBytes,
        notices: Notices,
        *,
        door: MediaDoor,
        joining: Joining,
        config: RoomsConfig,
        run_id: str,
    ) -> None:
        self.db = db
        self.clock = clock
        self.notices = notices
        self.door = door
        self.joining = joining
        self.run_id = run_id
        self._random_bytes = random_bytes
        self._config = config
        self.options = RoomOptions(video_codecs=config.video_codecs)
        self.rooms: dict[str, LiveRoom] = {}
        self.participants: dict[str, Participant] = {}
        self._by_pass: dict[str, Participant] = {}
        self._by_key: dict[str, Participant] = {}
        self._joins: dict[str, asyncio.Lock] = {}
        self._leaving: dict[str, asyncio.Future[None]] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self.writer = MeterWriter(db, run_id)
        self.runner = MeterRunner(door, self.writer, clock, random_bytes, sink=self)
        self._unsubscribe: Callable[[], None] | None = None
        self._stopping = False

    @property
    def ice_servers(self) -> tuple[dict[str, Any], ...]:
        return self._config.ice_servers

    # --- life ---------------------------------------------------------------------------------------------

    def start(self) -> None:
        self.writer.start()
        self.runner.start()
        self._unsubscribe = self.notices.subscribe(self.on_notice)

    async def shutdown(self, code: str, timeout_s: float = 5.0) -> None:
        """Segments closed, everybody told, hosts marked away; bounded by `timeout_s`."""
        self._stopping = True
        for participant in tuple(self.participants.values()):
            self.end(participant, code)
        try:
            async with asyncio.timeout(timeout_s):
                await self.runner.idle()
                while self._tasks:
                    await asyncio.wait(tuple(self._tasks))
        except TimeoutError:
            log.warning("shutdown_incomplete", stays=len(self.runner.stays))

    async def close(self) -> None:
        if self._unsubscribe is not None:
            self._unsubscribe()
        await self.runner.close()
        await self.writer.close()
        for task in tuple(self._tasks):
            task.cancel()
        if self._tasks:
            await asyncio.wait(tuple(self._tasks))
        for room in self.rooms.values():
            room.close()

    def run_lost(self) -> None:
        """Another process declared this run dead: forward nothing more, tell everybody to come back."""
        for participant in tuple(self.participants.values()):
            self.end(participant, "run_lost")

    def spawn(self, work: Coroutine[Any, Any, None]) -> None:
        """Something that a message or a notice set off; errors are logged, close waits for it."""
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._spawned)

    def _spawned(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("room_task_failed", exc_info=error)

    # --- coming in ----------------------------------------------------------------------------------------

    async def join(self, channel: Channel, token: str) -> Participant:
        """Raises RefusedJoinError."""
        if self._stopping:
            raise RefusedJoinError("shutdown")
        claims = await self.joining.open_token(token)
        if claims.role == "host":
            return await self._join_host(channel, claims)
        return await self._join_payer(channel, claims)

    async def _join_host(self, channel: Channel, claims: Claims) -> Participant:
        row = await self.joining.admit_host(claims)
        room = self._room(row)
        older = room.host
        host = self._participant(room, "host", row.host_name, may_publish=True)
        self._hosts_changed(room)
        if older is not None:  # after the new one is in, so that the room is never empty and dropped
            self.end(older, "replaced")
        await self._welcome(host, channel)
        return host

    async def join_stream(self, claims: Claims, stream: Stream) -> Participant:
        """An encoder or a player whose key permits `claims`. It has no WebSocket: its stay lasts as long as its media.
        A newer one of the same key replaces the older. Raises RefusedJoinError."""
        if self._stopping:
            raise RefusedJoinError("shutdown")
        if claims.role == "payer":
            return await self._join_payer(None, claims, stream)
        row = await self.joining.admit_host(claims)
        room = self._room(row)
        older = room.encoder
        encoder = self._participant(room, "host", row.host_name, may_publish=True, stream=stream)
        self._hosts_changed(room)
        if older is not None:
            self.end(older, "replaced")
        await self._welcome(encoder, None)
        return encoder

    async def _join_payer(
        self, channel: Channel | None, claims: Claims, stream: Stream | None = None
    ) -> Participant:
        assert claims.pass_id is not None
        async with self.turn(claims.pass_id):
            was_inside = await self._make_way(claims.pass_id)
            room = self.rooms.get(claims.room_id)
            if room is not None and room.closing:
                raise RefusedJoinError("room_closed")
            entry = await self.joining.admit_payer(claims, was_inside=was_inside)
            payer = self._enter_payer(entry, stream)
        await self._welcome(payer, channel)
        # Time that was added between the reading of the pass and now was told to nobody.
        self.spawn(self._pass_changed(claims.pass_id, claims.room_id))
        return payer

    def turn(self, pass_id: str) -> asyncio.Lock:
        """Two joins with one pass come one after the other."""
        for key in [key for key, lock in self._joins.items() if not lock.locked()]:
            del self._joins[key]
        return self._joins.setdefault(pass_id, asyncio.Lock())

    async def _make_way(self, pass_id: str) -> bool:
        """A newer connection replaces the older; its time is in the books before the new one reads them. True when
        there was one."""
        older = self._by_pass.get(pass_id)
        if older is not None:
            self.end(older, "replaced")
            left = self._leaving.setdefault(older.id, asyncio.get_running_loop().create_future())
            async with asyncio.timeout(REPLACE_WAIT_S):
                await left
        await self.writer.flushed()
        return older is not None

    def _enter_payer(self, entry: Entry, stream: Stream | None) -> Participant:
        pass_ = entry.pass_
        room = self._room(entry.room)
        may_publish = stream is None and (room.row.privacy == "confidential" or pass_.may_publish)
        payer = self._participant(room, "payer", pass_.name, may_publish=may_publish, stream=stream)
        payer.pass_id, payer.granted_ms, payer.paid = pass_.id, pass_.granted_ms, entry.paid
        payer.funding = pass_.funding
        self._by_pass[pass_.id] = payer
        session = Session(
            entry.session_id,
            limit_ms=pass_.granted_ms,
            used_ms=pass_.used_ms,
            purchased_ms=None,
            forgiven_ms=pass_.forgiven_ms,
            policy=WINDOWED if pass_.funding in WINDOWED_FUNDING else None,
        )
        stay = Stay(session, payer.id, room.id, pass_.id, entry.epoch)
        payer.show = session.view(now_ms(self.clock))
        self.runner.add(stay)
        return payer

    def _room(self, row: Room) -> LiveRoom:
        room = self.rooms.get(row.id)
        if room is None:
            room = self.rooms[row.id] = LiveRoom(row, self.clock)
        room.row = row
        return room

    def _participant(
        self, room: LiveRoom, role: Role, name: str, *, may_publish: bool, stream: Stream | None = None
    ) -> Participant:
        participant = Participant(
            id=new_id("par", self._random_bytes),
            role=role,
            name=name,
            room=room,
            may_publish=may_publish,
            resume_key=new_secret(self._random_bytes),
            joined_ms=now_ms(self.clock),
            stream=stream,
        )
        self.participants[participant.id] = participant
        self._by_key[participant.resume_key] = participant
        room.add(participant)
        return participant

    async def _welcome(self, participant: Participant, channel: Channel | None) -> None:
        room = participant.room
        if channel is not None:
            self._attach(participant, channel, resumed=None)
        if participant is not room.encoder:  # the host's own gear is no person who comes in
            room.notice("joined", but=participant, name=participant.name, participant_id=participant.id)
        self.notices.publish(RoomChanged(room.id))
        try:
            await self.door.add_participant(
                room.id,
                participant.id,
                metered=participant.role == "payer",
                may_publish=participant.may_publish,
                options=self.options,
                receives=participant is not room.encoder,
            )
        except MediaError as error:
            log.warning("media_refused", code=error.code, participant=participant.id)
            self.end(participant, "media_failed")
        except Exception:
            self.end(participant, "run_lost")  # our fault: it must not stay half inside
            raise

    def resume(self, channel: Channel, key: str) -> Participant:
        """Raises RefusedJoinError `resume_unknown`."""
        participant = self._by_key.get(key)
        if participant is None or participant.ended:
            raise RefusedJoinError("resume_unknown")
        if participant.detached_ms is not None and now_ms(self.clock) - participant.detached_ms > RESUME_MS:
            raise RefusedJoinError("resume_unknown")
        if participant.channel is not None:
            participant.channel.end(Ending("replaced"))
        del self._by_key[participant.resume_key]
        participant.resume_key = new_secret(self._random_bytes)
        self._by_key[participant.resume_key] = participant
        self._attach(participant, channel, resumed=True)
        return participant

    def _attach(self, participant: Participant, channel: Channel, *, resumed: bool | None) -> None:
        room = participant.room
        participant.channel, participant.detached_ms = channel, None
        channel.about = {"participant": participant.id, "room": room.id}
        row = room.row
        channel.send(
            wire.Joined(
                participant_id=participant.id,
                role=participant.role,
                resume_key=participant.resume_key,
                grants=wire.Grants(publish=participant.may_publish, moderate=participant.role == "host"),
                room=wire.RoomInfo(
                    row.slug,
                    row.title,
                    row.description,
                    row.privacy,
                    row.locked,
                    row.mode,
                    row.currency,
                    row.tariff,
                    self._config.video_codecs,
                ),
                ice_servers=self._ice_servers(participant),
                meter=room.meter_info(participant.show, participant.granted_ms),
                resumed=resumed,
            )
        )
        channel.send(room.list_for(participant))
        if participant.role == "host":
            self.spawn(self.tell_earnings(room))
        if room.speakers:
            channel.send(wire.Speakers(room.speakers))
        if participant.reception is not None:
            room.tell_reception(participant)
        if resumed and participant.offer is not None:
            self._send_offer(participant, participant.offer)

    def _ice_servers(self, participant: Participant) -> list[dict[str, Any]]:
        turn = self._config.turn
        own = [] if turn is None else [turn.ice_server(participant.id, self.clock.wall_s())]
        return [*self._config.ice_servers, *own]

    def detach(self, participant: Participant, channel: Channel) -> None:
        """The WebSocket is gone; the participant stays for `resume`."""
        if participant.channel is channel:
            participant.channel = None
            participant.detached_ms = now_ms(self.clock)

    # --- going --------------------------------------------------------------------------------------------

    def end(self, participant: Participant, code: str) -> None:
        """Ends a stay for any reason. A payer's meter settles first; the participant hears of it after."""
        stay = self.runner.stays.get(participant.id)
        if stay is None:
            self._gone(participant, Ending(code))
            return
        if stay.end_code is None and not stay.session.ended:
            stay.end_code = code
        self.runner.feed(stay, Finish(meter_code(code)))

    async def ended(self, participant: Participant) -> None:
        """Until the stay is over and in the books."""
        if not participant.ended:
            left = self._leaving.setdefault(participant.id, asyncio.get_running_loop().create_future())
            async with asyncio.timeout(REPLACE_WAIT_S):
                await left
        await self.writer.flushed()

    def _gone(self, participant: Participant, ending: Ending) -> None:
        if participant.ended:
            return
        participant.ended = True
        room = participant.room
        if participant.channel is not None:
            participant.channel.end(ending)
        elif participant.stream is not None:  # told by the end of its media alone
            conclude(ending, participant=participant.id, room=room.id)
        self.participants.pop(participant.id, None)
        self._by_key.pop(participant.resume_key, None)
        if participant.pass_id is not None and self._by_pass.get(participant.pass_id) is participant:
            del self._by_pass[participant.pass_id]
        room.remove(participant)
        if ending.code != "replaced" and (participant.role == "payer" or participant.stream is None):
            room.notice("left", name=participant.name, participant_id=participant.id)
        self.spawn(self._leave_media(participant))
        if participant.role == "host":
            self._hosts_changed(room)
        if not room.participants:
            room.close()
            self.rooms.pop(room.id, None)
        left = self._leaving.pop(participant.id, None)
        if left is not None and not left.done():
            left.set_result(None)

    def _hosts_changed(self, room: LiveRoom) -> None:
        """Studio page and encoder keep the room live together; with the last of them gone it is away at once."""
        self.runner.set_host(room.id, *(host.id for host in room.hosts))
        if not room.hosts:
            room.host_heard_ms = None
            self.set_live(room, live=False)

    async def _leave_media(self, participant: Participant) -> None:
        await self.door.remove_participant(participant.id)
        await self.writer.flushed()
        self.notices.publish(RoomChanged(participant.room.id))

    # --- the meter's sink ---------------------------------------------------------------------------------

    def on_show(self, stay: Stay, show: Show) -> None:
        payer = self.participants.get(stay.participant_id)
        if payer is not None:
            payer.show = show
            payer.send(payer.room.meter_message(show, payer.granted_ms))
            payer.room.changed(host_only=True)

    def on_warn(self, stay: Stay, remaining_ms: int) -> None:
        payer = self.participants.get(stay.participant_id)
        if payer is None:
            return
        if payer.funding in WINDOWED_FUNDING:  # what there is to say follows from the next hold
            if remaining_ms <= LOW_MS:
                self.notices.publish(StayLow(stay.pass_id, stay.room_id, stay.session.limit_ms))
            return
        notice = payer.room.make_notice(
            "warning", name=payer.name, participant_id=payer.id, remaining_ms=remaining_ms
        )
        payer.send(notice)
        if payer.room.host is not None:
            payer.room.host.send(notice)

    def on_end(self, stay: Stay, code: EndCode, used_ms: int) -> None:
        self.spawn(self._tell_ended(stay, stay.word(code)))
        payer = self.participants.get(stay.participant_id)
        if payer is not None:
            refund = given_back(payer.refundable, stay.pass_id, payer.granted_ms, used_ms)
            self._gone(payer, Ending(stay.word(code), used_ms=used_ms, charged=payer.paid, refund=refund))

    async def _tell_ended(self, stay: Stay, code: str) -> None:
        await self.writer.flushed()
        self.notices.publish(StayEnded(stay.pass_id, stay.room_id, code))

    def on_poll(self, liveness: Mapping[str, Liveness], at_ms: int) -> None:
        """Four times a second: whose host is live, and who has been gone for too long."""
        for room in tuple(self.rooms.values()):
            heard_ms = max(
                (liveness.get(host.id, Liveness()).publish_rtp_ms or 0 for host in room.hosts), default=0
            )
            # A host who reloads the page is missed for a moment, and not away.
            room.host_heard_ms = heard_ms or room.host_heard_ms
            live = room.host_heard_ms is not None and at_ms - room.host_heard_ms < LEG_TIMEOUT_MS
            if live != room.live:
                self.set_live(room, live=live)
        for participant in tuple(self.participants.values()):
            if participant.detached_ms is not None and at_ms - participant.detached_ms >= RESUME_MS:
                self._end_if_silent(participant, liveness.get(participant.id, Liveness()), at_ms)

    def _end_if_silent(self, participant: Participant, heard: Liveness, at_ms: int) -> None:
        last_ms = max(heard.publish_any_ms or 0, heard.subscribe_any_ms or 0)
        if at_ms - last_ms >= RESUME_MS:
            self.end(participant, "connection_lost")

    # --- off the air --------------------------------------------------------------------------------------

    async def mute(self, participant: Participant, source: wire.Muteable) -> None:
        """Stop forwarding this source until its owner switches it on (`unmute`)."""
        participant.muted.add(source)
        for taken in _SOURCES[source]:
            await self.door.set_muted(participant.id, taken, muted=True)

    async def unmute(self, participant: Participant) -> None:
        """What its owner has switched on is forwarded again."""
        for source in tuple(participant.muted):
            if getattr(participant.media, source):
                participant.muted.discard(source)
                for freed in _SOURCES[source]:
                    await self.door.set_muted(participant.id, freed, muted=False)

    # --- the host is here, or not -------------------------------------------------------------------------

    def set_live(self, room: LiveRoom, *, live: bool) -> None:
        if room.live == live:
            return
        room.live = live
        room.notice("host_back" if live else "host_away", but=room.host)
        self.spawn(self._store_live(room))

    async def _store_live(self, room: LiveRoom) -> None:
        """Writes what is true when the transaction runs, so that a quick back and forth ends right."""

        async def work(tx: Transaction) -> None:
            await room_store.set_live(tx, room.id, self.run_id, room.live, int(self.clock.wall_s()))

        await self.db.write(work)
        log.info("host_live" if room.live else "host_away", room=room.id)
        self.notices.publish(RoomChanged(room.id))

    # --- what the media server tells ----------------------------------------------------------------------

    def on_media(self, event: MediaEvent) -> None:
        if isinstance(event, Forwarding):
            self.runner.forwarding(event.participant_id, event.since_ms)
            return
        if isinstance(event, Connected) and event.transport == "subscribe":
            self.runner.connected(event.participant_id, event.at_ms)
        if isinstance(event, Speakers):
            if (room := self.rooms.get(event.room_id)) is not None:
                room.tell_speakers(event.participant_ids)
            return
        participant = self.participants.get(event.participant_id)
        if participant is None:
            return
        if isinstance(event, Offer):
            participant.offer = event
            self._send_offer(participant, event)
        elif isinstance(event, Closed):
            self._media_closed(participant, event)
        elif isinstance(event, TracksPublished):
            self._tracks_changed(participant, event)
        elif isinstance(event, Reception):
            participant.reception = event
            participant.room.tell_reception(participant)

    def _send_offer(self, participant: Participant, offer: Offer) -> None:
        tracks = [wire.OfferTrack(t.mid, t.kind, t.participant_id, t.source) for t in offer.tracks]
        participant.send(wire.Offer(offer.offer_id, offer.sdp, tracks))

    def _media_closed(self, participant: Participant, event: Closed) -> None:
        log.info("media_closed", participant=participant.id, transport=event.transport, reason=event.reason)
        if event.reason == "join_timeout":
            self.end(participant, "media_failed")
        elif event.reason == WORKER_LOST:
            # Ours to answer for: its seat is kept, and the page comes back by itself.
            self.end(participant, "run_lost")
        elif participant.stream is not None:
            self.end(participant, "left" if event.reason == "remote_closed" else "connection_lost")
        elif event.transport == "subscribe":
            self.spawn(self._media_left(participant))

    async def _media_left(self, participant: Participant) -> None:
        """A page that reloads closes its media a moment before its WebSocket: then there is nobody to tell, and the
        stay waits for what comes next."""
        await asyncio.sleep(MEDIA_LEFT_S)
        if participant.channel is not None:
            self.end(participant, "media_failed")

    def _tracks_changed(self, participant: Participant, event: TracksPublished) -> None:
        sources = {track.source for track in event.tracks}
        participant.has_published = participant.has_published or bool(sources)
        if participant.stream is not None:
            participant.media = wire.MediaFlags("microphone" in sources, "camera" in sources)
        elif not sources:
            participant.media = wire.MediaFlags()
        participant.room.changed()

    # --- what payments tell -------------------------------------------------------------------------------

    def on_notice(self, notice: Notice) -> None:
        if isinstance(notice, OrderPaid):
            self._order_paid(notice)
        elif isinstance(notice, PassChanged):
            self.spawn(self._pass_changed(notice.pass_id, notice.room_id))
        elif isinstance(notice, Funding):
            self._funding(notice)

    def _funding(self, notice: Funding) -> None:
        """About the payer's own money: nobody else hears of it."""
        payer = self._by_pass.get(notice.pass_id)
        if payer is None:
            return
        balance = None
        if notice.balance_minor is not None:
            balance = {"amount_minor": notice.balance_minor, "currency": notice.currency}
        payer.send(
            payer.room.make_notice(
                notice.kind,
                seconds=notice.seconds,
                balance=balance,
                failure=notice.failure,
                client_secret=notice.client_secret,
                action_url=notice.action_url,
            )
        )

    def _order_paid(self, notice: OrderPaid) -> None:
        room = self.rooms.get(notice.room_id)
        if room is None:
            return
        kind: wire.NoticeKind = "extended" if notice.extends else "paid"
        amount = {"amount_minor": notice.amount_minor, "currency": notice.currency}
        payer = self._by_pass.get(notice.pass_id)
        payer_id = None if payer is None else payer.id
        about: dict[str, Any] = {"name": notice.name, "participant_id": payer_id, "seconds": notice.seconds}
        for participant in tuple(room.participants.values()):
            if (
                participant.role == "host" and not notice.by_use
            ):  # what somebody paid is nobody else's business
                participant.send(room.make_notice(kind, amount=amount, **about))
            else:
                participant.send(room.make_notice(kind, **about))
        self.spawn(self.tell_earnings(room))

    async def _pass_changed(self, pass_id: str, room_id: str) -> None:
        async with self.db.read() as tx:
            pass_ = await passes.get_pass(tx, pass_id)
            paid = await paid_for(tx, pass_id)
            behind = await orders_behind(tx, pass_id)
        payer = self._by_pass.get(pass_id)
        if pass_ is not None and payer is not None:
            payer.paid, payer.funding = paid, pass_.funding
            if pass_.state == "refunded":
                payer.refundable = behind
            self._apply_pass(payer, pass_)
        room = self.rooms.get(room_id)
        if room is not None:
            await self.tell_earnings(room)
            room.changed(host_only=True)

    def _apply_pass(self, payer: Participant, pass_: passes.Pass) -> None:
        stay = self.runner.stays.get(payer.id)
        if pass_.state in GONE_STATES:
            self.end(payer, pass_.state)
        elif pass_.state == "used_up" and pass_.funding == "subscription":
            self.end(payer, "lapsed")
        elif pass_.state == "used_up" and pass_.remaining_ms:
            self.end(payer, "used_up")  # closed with time left: its holds are about to lapse
        elif stay is not None and pass_.granted_ms != payer.granted_ms:
            before_ms, payer.granted_ms = payer.granted_ms, pass_.granted_ms
            by_ms = None if pass_.granted_ms is None or before_ms is None else pass_.granted_ms - before_ms
            self.runner.feed(stay, Extended(by_ms))
            payer.send(payer.room.meter_message(stay.session.view(now_ms(self.clock)), payer.granted_ms))

    async def tell_earnings(self, room: LiveRoom) -> None:
        if room.host is None:
            return
        async with self.db.read() as tx:
            earned = await room_store.earnings(tx, room.id)
        currency = room.row.currency
        message = wire.Earnings(
            {"amount_minor": earned.gross_minor, "currency": currency},
            {"amount_minor": earned.refunded_minor, "currency": currency},
            earned.payers,
            {"amount_minor": earned.net_minor, "currency": currency},
        )
        if room.host is not None:
            room.host.send(message)
