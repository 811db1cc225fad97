"""What a host may do to others: mute, let speak, remove, lock, end the room.

Taking a pass back and asking for its refund is one transaction, after the meter has settled, so that the unused part is
known; the outbox carries it out.
"""

from collections.abc import Sequence

from mediaserver.errors import MediaError
from signaling.clock import Clock, rfc3339
from signaling.notices import OutboxFilled, PassChanged, RoomChanged
from signaling.rooms import wire
from signaling.rooms.refunds import orders_behind
from signaling.rooms.room import LiveRoom, Participant
from signaling.rooms.service import Rooms
from signaling.stores import meter, outbox, passes
from signaling.stores import rooms as room_store
from signaling.stores.database import Database, Transaction
from signaling.stores.outbox import RefundReason


class Moderation:
    """Every method is called for a host, with the host's own room."""

    def __init__(self, rooms: Rooms, db: Database, clock: Clock) -> None:
        self._rooms = rooms
        self._db = db
        self._clock = clock

    async def mute(self, host: Participant, message: wire.Mute) -> None:
        """Off the air at once, whatever the page does; its owner may switch it on again. To silence for good, take
        the grant."""
        target = self._target(host, message.participant_id, message.type)
        if target is None:
            return
        await self._rooms.mute(target, message.source)
        flags = {name: getattr(target.media, name) for name in ("microphone", "camera", "screen")}
        target.media = wire.MediaFlags(**flags | {message.source: False})
        target.send(host.room.make_notice("muted", participant_id=target.id, name=message.source))
        host.room.changed()

    async def grant(self, host: Participant, message: wire.Grant) -> None:
        target = self._target(host, message.participant_id, message.type)
        if target is None or target.pass_id is None:
            return
        pass_id = target.pass_id
        target.may_publish = message.publish
        if not message.publish:
            target.media = wire.MediaFlags()
        try:
            await self._rooms.door.set_may_publish(target.id, message.publish)
        except MediaError:
            return  # it left meanwhile
        await self._db.write(lambda tx: meter.set_may_publish(tx, pass_id, message.publish))
        target.send(
            host.room.make_notice("granted" if message.publish else "muted", participant_id=target.id)
        )
        host.room.changed()

    async def kick(self, host: Participant, message: wire.Kick) -> None:
        target = self._target(host, message.participant_id, message.type)
        if target is None or target.pass_id is None:
            return
        pass_id = target.pass_id
        async with self._rooms.turn(pass_id):
            if message.refund:
                await self._promise_refunds([target])
            self._rooms.end(target, "kicked")
            await self._rooms.ended(target)
            await self._take_back([pass_id], "kicked" if message.refund else None)
        self._tell(host.room, [pass_id], refund=message.refund)

    async def lock(self, host: Participant, message: wire.Lock) -> None:
        room = host.room
        await self._db.write(lambda tx: room_store.set_locked(tx, room.id, message.locked))
        room.set_locked(message.locked)
        room.notice("locked" if message.locked else "unlocked")
        self._rooms.notices.publish(RoomChanged(room.id))

    async def close_room(self, host: Participant, message: wire.CloseRoom) -> None:
        """Everybody's meter settles, then one transaction closes the room, its passes, and asks for refunds."""
        room = host.room
        room.closing = True  # nobody comes in while the others go out
        try:
            payers = list(room.payers)
            if message.refund:
                await self._promise_refunds(payers)
            for payer in payers:
                self._rooms.end(payer, "host_ended")
            for payer in payers:
                await self._rooms.ended(payer)
            pass_ids = await self._close_row(room, "host_ended" if message.refund else None)
        finally:
            room.closing = False
        self._rooms.end(host, "host_ended")
        self._tell(room, pass_ids, refund=message.refund)

    async def _promise_refunds(self, payers: Sequence[Participant]) -> None:
        """So that their endings can say what goes back; it is asked for once their meters have settled."""
        async with self._db.read() as tx:
            for payer in payers:
                assert payer.pass_id is not None
                payer.refundable = await orders_behind(tx, payer.pass_id)

    async def _close_row(self, room: LiveRoom, refund: RefundReason | None) -> list[str]:
        wall_s = self._clock.wall_s()

        async def work(tx: Transaction) -> list[str]:
            await room_store.close_room(tx, room.id, int(wall_s), rfc3339(wall_s))
            pass_ids = await room_store.usable_passes(tx, room.id)
            await self._revoke(tx, pass_ids, refund)
            return pass_ids

        return await self._db.write(work)

    async def _take_back(self, pass_ids: Sequence[str], refund: RefundReason | None) -> None:
        await self._db.write(lambda tx: self._revoke(tx, pass_ids, refund))

    async def _revoke(self, tx: Transaction, pass_ids: Sequence[str], refund: RefundReason | None) -> None:
        wall_s = self._clock.wall_s()
        for pass_id in pass_ids:
            await passes.end_pass(tx, pass_id, "revoked")
            if refund is not None:
                await outbox.ask_refund_of_pass(
                    tx, pass_id, refund, now_s=int(wall_s), created_at=rfc3339(wall_s)
                )

    def _tell(self, room: LiveRoom, pass_ids: Sequence[str], *, refund: bool) -> None:
        notices = self._rooms.notices
        for pass_id in pass_ids:
            notices.publish(PassChanged(pass_id, room.id))
        notices.publish(RoomChanged(room.id))
        if refund:
            notices.publish(OutboxFilled())

    def _target(self, host: Participant, participant_id: str, re: str) -> Participant | None:
        """A payer of the host's own room; tells the host when there is none."""
        target = host.room.participants.get(participant_id)
        if target is None or target.role == "host":
            host.refuse("unknown_participant", "this person is not in the room", re)
            return None
        return target
