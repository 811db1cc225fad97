"""The doors of the rooms over HTTP: token calls, and the WebSocket from its first message to its last."""

from typing import Annotated
from urllib.parse import urlsplit

import structlog
from aiohttp import web
from pydantic import BaseModel, StringConstraints

from signaling.clock import Clock, rfc3339
from signaling.hosting import Caller, caller
from signaling.http import Network, answer, base_url, bearer, parse_body
from signaling.ratelimit import LimitedRoutes, RateLimiter, Rule
from signaling.rooms import wire
from signaling.rooms.commands import Commands
from signaling.rooms.endings import Ending
from signaling.rooms.joining import Joining, RefusedJoinError, Ticket
from signaling.rooms.room import Participant
from signaling.rooms.service import Rooms
from signaling.rooms.socket import CLOSE_S, FRAME_READ_MAX, PING_S, Channel

log = structlog.get_logger()

FIRST_MESSAGE_S = 10.0
TOKEN_RULE = Rule(burst=120, refill_s=0.5)
JOIN_RULE = Rule(burst=240, refill_s=0.25)


class HostTokenBody(BaseModel):
    """The body of `POST /api/host/token`; without a key it is the signed-in owner who asks."""

    room_id: Annotated[str, StringConstraints(min_length=1, max_length=64)]
    host_key: Annotated[str, StringConstraints(min_length=1, max_length=256)] | None = None


class Gateway(LimitedRoutes):
    """Routes of joining; `origin` is PUBLIC_URL."""

    def __init__(
        self,
        rooms: Rooms,
        joining: Joining,
        commands: Commands,
        *,
        limiter: RateLimiter,
        clock: Clock,
        origin: str,
        trusted: tuple[Network, ...],
    ) -> None:
        super().__init__(limiter, trusted)
        self._rooms = rooms
        self._joining = joining
        self._commands = commands
        self._clock = clock
        self._origin = urlsplit(origin)

    def routes(self) -> list[web.RouteDef]:
        return [
            web.post("/api/orders/{id}/token", self.payer_token),
            web.post("/api/host/token", self.host_token),
            web.get("/ws", self.websocket),
        ]

    # --- tokens -------------------------------------------------------------------------------------------

    async def payer_token(self, request: web.Request) -> web.Response:
        await self._limit(request, "token", TOKEN_RULE)
        ticket = await self._joining.payer_token(request.match_info["id"], bearer(request))
        return self._ticket(request, ticket)

    async def host_token(self, request: web.Request) -> web.Response:
        await self._limit(request, "token", TOKEN_RULE)
        body = await parse_body(request, HostTokenBody)
        who = Caller(body.host_key, None) if body.host_key is not None else await caller(request)
        return self._ticket(request, await self._joining.host_token(body.room_id, who))

    def _ticket(self, request: web.Request, ticket: Ticket) -> web.Response:
        body = {
            "token": ticket.token,
            "ws_url": self.ws_url(request),
            "expires_at": rfc3339(ticket.expires_at_s),
        }
        return answer(body)

    def ws_url(self, request: web.Request) -> str:
        return "ws" + base_url(request, self._origin).removeprefix("http") + "/ws"

    # --- the WebSocket ------------------------------------------------------------------------------------

    async def websocket(self, request: web.Request) -> web.WebSocketResponse:
        ws = web.WebSocketResponse(
            max_msg_size=FRAME_READ_MAX, heartbeat=PING_S, timeout=CLOSE_S, compress=False
        )
        await ws.prepare(request)
        async with Channel(ws, self._clock, request) as channel:
            if await self._limiter.take(f"join:{self._address(request)}", JOIN_RULE) > 0:
                channel.end(Ending("rate_limited"))
            else:
                await self._stay(channel)
        return ws

    async def _stay(self, channel: Channel) -> None:
        participant = await self._enter(channel)
        if participant is None:
            return
        try:
            async for message in channel.messages():
                if participant.ended:
                    return
                await self._obey(participant, message)
        finally:
            self._rooms.detach(participant, channel)

    async def _obey(self, participant: Participant, message: wire.ClientMessage) -> None:
        try:
            await self._commands.handle(participant, message)
        except Exception:
            log.exception("message_failed", type=message.type, participant=participant.id)
            participant.refuse("internal", "something went wrong on our side", message.type)

    async def _enter(self, channel: Channel) -> Participant | None:
        """The participant that the first message opens; None when it opens none, which the client was told."""
        try:
            return await self._open(channel, await channel.first(FIRST_MESSAGE_S))
        except wire.WireError as error:
            channel.refuse(error)
            channel.end(Ending("protocol_error"))
        except RefusedJoinError as refused:
            channel.end(Ending(refused.code))
        except Exception:
            log.exception("join_failed")
            channel.end(Ending("run_lost"))
        return None

    async def _open(self, channel: Channel, message: wire.ClientMessage | None) -> Participant | None:
        match message:
            case wire.Join():
                return await self._rooms.join(channel, message.token)
            case wire.Resume():
                return self._rooms.resume(channel, message.key)
            case None:
                channel.end(Ending("protocol_error"))
                return None
            case _:
                raise wire.WireError("out_of_order", "send join or resume first", message.type)
