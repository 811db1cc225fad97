"""WHIP and WHEP over HTTP (API.md, "Streaming"): endpoints, sessions, and the calls for stream keys.

Endpoints answer any origin: whoever calls proves itself by the key in `Authorization`, which no browser adds by itself.
"""

from collections.abc import Awaitable, Callable
from typing import Any
from urllib.parse import urlsplit

from aiohttp import web

from signaling.errors import ApiError
from signaling.hosting import caller
from signaling.http import (
    Network,
    answer,
    base_url,
    bearer,
    error_response,
    private,
    read_body,
)
from signaling.ratelimit import LimitedRoutes, RateLimiter, Rule
from signaling.rooms.room import Participant
from signaling.rooms.streamkeys import Kind, Owner, StreamKeys
from signaling.rooms.streams import Streams

OFFER_BYTES_MAX = 64 * 1024
FRAGMENT_BYTES_MAX = 16 * 1024
SDP = "application/sdp"
FRAGMENT = "application/trickle-ice-sdpfrag"
BEGIN_RULE = Rule(burst=30, refill_s=2.0)
SESSION_RULE = Rule(burst=120, refill_s=0.5)
KEY_RULE = Rule(burst=30, refill_s=2.0)
CORS = {
    "Access-Control-Allow-Origin": "*",
    "Access-Control-Expose-Headers": "Location, ETag, Link, Accept-Patch, Retry-After",
}
PREFLIGHT = CORS | {
    "Access-Control-Allow-Headers": "Authorization, Content-Type, If-Match",
    "Access-Control-Max-Age": "86400",
}

Handler = Callable[[web.Request], Awaitable[web.Response]]
OwnerOf = Callable[[web.Request], Awaitable[Owner]]


class StreamRoutes(LimitedRoutes):
    """`origin` is PUBLIC_URL."""

    def __init__(
        self,
        streams: Streams,
        keys: StreamKeys,
        *,
        ice_servers: Callable[[], tuple[dict[str, Any], ...]],
        limiter: RateLimiter,
        origin: str,
        trusted: tuple[Network, ...],
    ) -> None:
        super().__init__(limiter, trusted)
        self._streams = streams
        self._keys = keys
        self._ice_servers = ice_servers
        self._origin = origin

    def routes(self) -> list[web.RouteDef]:
        kinds: tuple[Kind, ...] = ("whip", "whep")
        owners = (
            ("/api/host/rooms/{id}/stream-key", self._room_owner),
            ("/api/orders/{id}/stream-key", self._order_owner),
        )
        return [route for kind in kinds for route in self._session_routes(kind)] + [
            route for path, owner_of in owners for route in self._key_routes(path, owner_of)
        ]

    # --- endpoints and sessions ---------------------------------------------------------------------------

    def _session_routes(self, kind: Kind) -> list[web.RouteDef]:
        endpoint, session = f"/{kind}", f"/{kind}/{{id}}"

        async def begin(request: web.Request) -> web.Response:
            return await self._begin(kind, request)

        async def patch(request: web.Request) -> web.Response:
            return await self._patch(await self._session(kind, request), request)

        async def end(request: web.Request) -> web.Response:
            self._streams.end(await self._session(kind, request))
            return web.Response()

        return [
            web.post(endpoint, _for_any_origin(begin)),
            web.options(endpoint, _preflight("POST", {"Accept-Post": SDP})),
            web.patch(session, _for_any_origin(patch)),
            web.delete(session, _for_any_origin(end)),
            web.options(session, _preflight("PATCH, DELETE", {"Accept-Patch": FRAGMENT})),
        ]

    async def _begin(self, kind: Kind, request: web.Request) -> web.Response:
        await self._limit(request, "stream", BEGIN_RULE)
        key = _key(request)
        await self._streams.authorize(kind, key)
        offer = await _read(request, SDP, OFFER_BYTES_MAX)
        begun = await self._streams.begin(kind, key, offer)
        headers = [
            ("Location", f"{base_url(request, urlsplit(self._origin))}/{kind}/{begun.session_id}"),
            ("ETag", f'"{begun.etag}"'),
            ("Accept-Patch", FRAGMENT),
            *(("Link", link) for link in ice_links(self._ice_servers())),
        ]
        response = web.Response(status=201, text=begun.sdp, content_type=SDP)
        response.headers.extend(headers)
        return response

    async def _patch(self, participant: Participant, request: web.Request) -> web.Response:
        fragment = await _read(request, FRAGMENT, FRAGMENT_BYTES_MAX)
        restarted = await self._streams.patch(participant, fragment, request.headers.get("If-Match"))
        if restarted is None:
            return web.Response(status=204)
        return web.Response(
            text=restarted.fragment, content_type=FRAGMENT, headers={"ETag": f'"{restarted.etag}"'}
        )

    async def _session(self, kind: Kind, request: web.Request) -> Participant:
        await self._limit(request, "session", SESSION_RULE)
        return self._streams.find(kind, request.match_info["id"], _key(request))

    # --- keys ---------------------------------------------------------------------------------------------

    def _key_routes(self, path: str, owner_of: OwnerOf) -> list[web.RouteDef]:
        async def owner(request: web.Request) -> Owner:
            await self._limit(request, "stream-key", KEY_RULE)
            return await owner_of(request)

        async def show(request: web.Request) -> web.Response:
            found = await owner(request)
            return answer({"url": self._url(found), "created_at": await self._keys.created_at(found)})

        async def make(request: web.Request) -> web.Response:
            found = await owner(request)
            made = await self._keys.make(found)
            self._streams.end_of_key(made.former_hash)
            body = {"url": self._url(found), "key": made.key, "created_at": made.created_at}
            return answer(body, 201)

        async def take_back(request: web.Request) -> web.Response:
            found = await owner(request)
            self._streams.end_of_key(await self._keys.take_back(found))
            return answer({"url": self._url(found), "created_at": None})

        return [web.get(path, show), web.post(path, make), web.delete(path, take_back)]

    async def _room_owner(self, request: web.Request) -> Owner:
        return await self._keys.room_owner(request.match_info["id"], await caller(request))

    async def _order_owner(self, request: web.Request) -> Owner:
        return await self._keys.order_owner(request.match_info["id"], bearer(request))

    def _url(self, owner: Owner) -> str:
        return f"{self._origin}/{owner.kind}"


def _for_any_origin(handler: Handler) -> Handler:
    async def run(request: web.Request) -> web.Response:
        try:
            response = private(await handler(request))
        except ApiError as error:
            response = error_response(error)
            if error.status == 401:  # noqa: PLR2004 - RFC 6750 section 3
                response.headers["WWW-Authenticate"] = "Bearer"
        response.headers.update(CORS)
        return response

    return run


def _preflight(methods: str, accepts: dict[str, str]) -> Handler:
    async def run(_request: web.Request) -> web.Response:
        return web.Response(headers=PREFLIGHT | accepts | {"Access-Control-Allow-Methods": methods})

    return run


def _key(request: web.Request) -> str:
    key = bearer(request)
    if key is None:
        raise ApiError(401, "stream_key_required", "send the stream key as Authorization: Bearer")
    return key


async def _read(request: web.Request, content_type: str, bytes_max: int) -> str:
    """The body as text. Raises ApiError 415 `wrong_type`, 413 `too_large`, 400 `bad_sdp`."""
    if request.content_type != content_type:
        raise ApiError(415, "wrong_type", f"send the body as {content_type}")
    try:
        return (await read_body(request, bytes_max)).decode()
    except UnicodeDecodeError as error:
        raise ApiError(400, "bad_sdp", "the body is no UTF-8 text") from error


def ice_links(servers: tuple[dict[str, Any], ...]) -> list[str]:
    """`Link` headers for STUN and TURN servers (RFC 9725 section 4.6) from RTCIceServer dictionaries."""
    links = []
    for server in servers:
        urls = server.get("urls", ())
        for url in [urls] if isinstance(urls, str) else urls:
            link = f'<{url}>; rel="ice-server"'
            if "username" in server:
                link += f'; username="{_quoted(server["username"])}"'
                link += f'; credential="{_quoted(server.get("credential", ""))}"; credential-type="password"'
            links.append(link)
    return links


def _quoted(text: object) -> str:
    """The inside of a quoted-string (RFC 9110 section 5.6.4)."""
    return str(text).replace("\\", "\\\\").replace('"', '\\"')
