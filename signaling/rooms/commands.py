"""What a participant's messages do, once it is in: a table from message to handler."""

from collections.abc import Awaitable, Callable
from typing import Any

from mediaserver.errors import MediaError
from signaling.clock import now_ms, rfc3339
from signaling.rooms import wire
from signaling.rooms.moderation import Moderation
from signaling.rooms.room import Participant
from signaling.rooms.service import Rooms
from signaling.stores import orders
from signaling.stores.database import Transaction

Handler = Callable[[Participant, Any], Awaitable[None]]
HOST_ONLY: frozenset[type[wire.ClientMessage]] = frozenset(
    {wire.Mute, wire.Grant, wire.Kick, wire.Lock, wire.CloseRoom}
)
PAYER_ONLY: frozenset[type[wire.ClientMessage]] = frozenset({wire.Wait})


class Commands:
    """`handle` is called with one message of one participant after the other, in the order in which they came."""

    def __init__(self, rooms: Rooms, moderation: Moderation) -> None:
        self._rooms = rooms
        self._table: dict[type[wire.ClientMessage], Handler] = {
            wire.Join: self._out_of_order,
            wire.Resume: self._out_of_order,
            wire.Publish: self._publish,
            wire.Answer: self._answer,
            wire.Restart: self._restart,
            wire.Media: self._media,
            wire.View: self._view,
            wire.Chat: self._chat,
            wire.Wait: self._wait,
            wire.Leave: self._leave,
            wire.Ping: self._ping,
            wire.Mute: moderation.mute,
            wire.Grant: moderation.grant,
            wire.Kick: moderation.kick,
            wire.Lock: moderation.lock,
            wire.CloseRoom: moderation.close_room,
        }

    async def handle(self, participant: Participant, message: wire.ClientMessage) -> None:
        """A message that may not be sent, or that the media server refuses, is answered to its sender alone."""
        kind = type(message)
        if (kind in HOST_ONLY and participant.role != "host") or (
            kind in PAYER_ONLY and participant.role != "payer"
        ):
            participant.refuse("forbidden", "this is not yours to do", message.type)
            return
        try:
            await self._table[kind](participant, message)
        except MediaError as error:
            participant.refuse(error.code, str(error)[:200], message.type)

    async def _out_of_order(self, participant: Participant, message: wire.Join | wire.Resume) -> None:
        participant.refuse("out_of_order", "you are in already", message.type)

    async def _publish(self, participant: Participant, message: wire.Publish) -> None:
        sources: dict[str, str] = dict(message.sources)
        sdp = await self._rooms.door.publish(participant.id, message.sdp, sources)
        participant.send(wire.Published(sdp))

    async def _answer(self, participant: Participant, message: wire.Answer) -> None:
        await self._rooms.door.answer(participant.id, message.offer_id, message.sdp)
        if participant.offer is not None and participant.offer.offer_id == message.offer_id:
            participant.offer = None

    async def _restart(self, participant: Participant, message: wire.Restart) -> None:
        await self._rooms.door.restart(participant.id, message.transport)

    async def _media(self, participant: Participant, message: wire.Media) -> None:
        if participant.may_publish:
            participant.media = wire.MediaFlags(message.microphone, message.camera, message.screen)
            await self._rooms.unmute(participant)
            participant.room.changed()

    async def _view(self, participant: Participant, message: wire.View) -> None:
        if not participant.may_view.take(now_ms(self._rooms.clock)):
            participant.refuse("rate_limited", "more views than a window can have", message.type)
            return
        await self._rooms.door.set_view(participant.id, message.sizes)

    async def _chat(self, participant: Participant, message: wire.Chat) -> None:
        if not participant.may_chat.take(now_ms(self._rooms.clock)):
            participant.refuse("rate_limited", "you write faster than others can read", message.type)
            return
        sent_at = rfc3339(self._rooms.clock.wall_s())
        participant.room.broadcast(wire.ChatLine(participant.id, participant.name, message.text, sent_at))

    async def _wait(self, participant: Participant, message: wire.Wait) -> None:
        pass_id = participant.pass_id
        assert pass_id is not None

        async def work(tx: Transaction) -> None:
            for order in await orders.orders_of_pass(tx, pass_id):
                await orders.update_order(tx, order.id, waits=message.wait)

        await self._rooms.db.write(work)

    async def _leave(self, participant: Participant, _message: wire.Leave) -> None:
        self._rooms.end(participant, "left")

    async def _ping(self, participant: Participant, message: wire.Ping) -> None:
        participant.send(wire.Pong(message.n, rfc3339(self._rooms.clock.wall_s())))
