"""The HTTP routes of people: signing in and out, who I am, my sessions (API.md, "People")."""

from typing import Annotated, Any

from aiohttp import web
from pydantic import BaseModel, ConfigDict, StringConstraints

from signaling.addresses import Email
from signaling.clock import Clock
from signaling.errors import ApiError
from signaling.http import Line, Network, answer, error_response, parse_body
from signaling.notices import Notices, RoomChanged
from signaling.people.erasing import erase
from signaling.people.sessions import Current, Sessions
from signaling.people.signin import SignIn
from signaling.ratelimit import LimitedRoutes, RateLimiter, Rule, require
from signaling.stores import people
from signaling.stores.database import Database, Transaction
from signaling.stores.people import UserSession

# Letters cost others something: few for each address that asks, fewer for each that is written to.
ASK_RULE = Rule(burst=10, refill_s=60.0)
LETTERS_RULE = Rule(burst=3, refill_s=180.0)
OPEN_RULE = Rule(burst=20, refill_s=10.0)
SESSION_ID_CHARS = 16

Name = Annotated[Line, StringConstraints(max_length=80)]
# A path of ours, to come back to: neither another host (`//`, `/\`) nor a fragment.
Path = Annotated[
    str, StringConstraints(pattern=r"^/(?:[A-Za-z0-9_.~%?=&+-][A-Za-z0-9/_.~%?=&+-]*)?$", max_length=300)
]


class Ask(BaseModel):
    """The body of `POST /api/signin`."""

    model_config = ConfigDict(strict=True)

    email: Email
    next: Path = "/me"


class Open(BaseModel):
    """The body of `POST /api/signin/open`."""

    model_config = ConfigDict(strict=True)

    token: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_-]{20,100}$")]
    name: Name | None = None


class NewName(BaseModel):
    """The body of `PATCH /api/me`."""

    model_config = ConfigDict(strict=True)

    name: Name


class PeopleRoutes(LimitedRoutes):
    """`can_mail` false: this server sends no mail, so nobody can be let in."""

    def __init__(
        self,
        db: Database,
        sessions: Sessions,
        sign_in: SignIn,
        *,
        clock: Clock,
        notices: Notices,
        limiter: RateLimiter,
        trusted: tuple[Network, ...] = (),
        can_mail: bool = True,
    ) -> None:
        super().__init__(limiter, trusted)
        self._db = db
        self._sessions = sessions
        self._sign_in = sign_in
        self._clock = clock
        self._notices = notices
        self._can_mail = can_mail

    def routes(self) -> list[web.RouteDef]:
        return [
            web.post("/api/signin", self.ask),
            web.post("/api/signin/open", self.open),
            web.post("/api/signout", self.sign_out),
            web.get("/api/me", self.me),
            web.patch("/api/me", self.rename),
            web.delete("/api/me", self.erase),
            web.get("/api/me/sessions", self.sessions),
            web.delete("/api/me/sessions", self.end_others),
            web.delete("/api/me/sessions/{id}", self.end_one),
        ]

    # --- in and out ---------------------------------------------------------------------------------------

    async def ask(self, request: web.Request) -> web.Response:
        if not self._can_mail:
            raise ApiError(503, "mail_off", "this server sends no mail: its operator has to set SMTP_URL")
        await self._limit(request, "signin", ASK_RULE)
        body = await parse_body(request, Ask)
        await require(self._limiter, f"letters:{body.email}", LETTERS_RULE)
        await self._sign_in.ask(body.email, body.next)
        return answer({"sent": True}, 202)

    async def open(self, request: web.Request) -> web.Response:
        """Only for a page of ours: else a stranger could sign somebody in as himself."""
        await self._limit(request, "open", OPEN_RULE)
        body = await parse_body(request, Open)
        self._sessions.require_own_page(request)
        done = await self._sign_in.open(body.token, body.name, self._sessions.hash_of(request))
        response = answer(_me(done.current) | {"next": done.next_path})
        self._sessions.set_cookie(request, response, done.current)
        return response

    async def sign_out(self, request: web.Request) -> web.Response:
        current = await self._sessions.current(request)
        if current is not None:
            hashed = current.session.secret_hash
            await self._db.write(lambda tx: people.end_session(tx, hashed))
        response = answer({"signed_in": False})
        self._sessions.clear_cookie(request, response)
        return response

    # --- me -----------------------------------------------------------------------------------------------

    async def me(self, request: web.Request) -> web.Response:
        """A browser whose session is over is told to forget it, so that it need not ask on every page."""
        current = await self._sessions.current(request)
        if current is None:
            refused = error_response(ApiError(401, "sign_in_required", "sign in first"))
            self._sessions.clear_cookie(request, refused)
            return refused
        response = answer(_me(current))
        await self._sessions.extend(request, response, current)
        return response

    async def rename(self, request: web.Request) -> web.Response:
        current = await self._require(request)
        body = await parse_body(request, NewName)
        await self._db.write(lambda tx: people.set_name(tx, current.user.id, body.name))
        return answer(_me(current) | {"name": body.name})

    async def erase(self, request: web.Request) -> web.Response:
        """For good: the same address begins anew."""
        current = await self._require(request)
        done = await erase(self._db, self._clock, current.user.email)
        for room_id in done.room_ids:
            self._notices.publish(RoomChanged(room_id))
        response = answer({"erased": True})
        self._sessions.clear_cookie(request, response)
        return response

    async def sessions(self, request: web.Request) -> web.Response:
        current = await self._require(request)
        async with self._db.read() as tx:
            found = await people.sessions_of(tx, current.user.id, self._sessions.now_s())
        return answer({"sessions": [_session(one, current) for one in found]})

    async def end_others(self, request: web.Request) -> web.Response:
        """Signs out everywhere else."""
        current = await self._require(request)
        mine = current.session.secret_hash
        ended = await self._db.write(lambda tx: people.end_sessions(tx, current.user.id, but=mine))
        return answer({"ended": ended})

    async def end_one(self, request: web.Request) -> web.Response:
        current = await self._require(request)
        wanted = request.match_info["id"]

        async def work(tx: Transaction) -> bool:
            for one in await people.sessions_of(tx, current.user.id, self._sessions.now_s()):
                if _session_id(one) == wanted:
                    await people.end_session(tx, one.secret_hash)
                    return True
            return False

        if not await self._db.write(work):
            raise ApiError(404, "not_found", "no such session of yours")
        return answer({"ended": 1})

    async def _require(self, request: web.Request) -> Current:
        current = await self._sessions.current(request)
        if current is None:
            raise ApiError(401, "sign_in_required", "sign in first")
        return current


def _me(current: Current) -> dict[str, Any]:
    user = current.user
    return {
        "id": user.id,
        "email": user.email,
        "name": user.name,
        "role": user.role,
        "csrf_token": current.csrf_token,
    }


def _session_id(session: UserSession) -> str:
    return session.secret_hash[:SESSION_ID_CHARS]


def _session(session: UserSession, current: Current) -> dict[str, Any]:
    return {
        "id": _session_id(session),
        "created_at": session.created_at,
        "current": session.secret_hash == current.session.secret_hash,
    }
