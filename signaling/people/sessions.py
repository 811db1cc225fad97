"""Sessions in a cookie, and the proof that a page of ours made a request.

The cookie carries a random secret and a signature of it, so that a made-up one costs no look into the database; the
database has the secret's hash. A request that changes something must also carry `X-CSRF-Token`, which `GET /api/me`
told and which belongs to that session, and an `Origin` that is ours: a foreign page can send the cookie, but knows
no token and cannot lie about where it is from.
"""

import hmac
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from aiohttp import web

from signaling.clock import Clock, rfc3339
from signaling.errors import ApiError
from signaling.http import SIGNED_IN_COOKIE as HINT
from signaling.http import base_url
from signaling.ids import RandomBytes, derived_secret, new_secret, secret_hash, secret_matches
from signaling.stores import people
from signaling.stores.database import Database
from signaling.stores.people import User, UserSession

SESSION_S = 30 * 86_400
EXTEND_AFTER_S = 86_400
SAFE = {"GET", "HEAD", "OPTIONS"}
COOKIE = "tollroom_session"
HOST_COOKIE = "__Host-tollroom_session"  # browsers take it from https alone, for this host and every path

# The keys of the server, newest first: (id, secret).
Keys = Callable[[], Sequence[tuple[str, str]]]


@dataclass(frozen=True, slots=True)
class Current:
    """The session of a request, and whose it is. `secret` stays out of the representation."""

    session: UserSession
    user: User
    secret: str = field(repr=False)

    @property
    def csrf_token(self) -> str:
        return csrf_token(self.secret)


CURRENT = web.RequestKey("current_session", Current)


def csrf_token(secret: str) -> str:
    """Made of the session's secret, which it does not give away."""
    return derived_secret(secret, "csrf")


class Sessions:
    """Finds, begins and ends sessions. `origin` is PUBLIC_URL."""

    def __init__(
        self, db: Database, clock: Clock, random_bytes: RandomBytes, *, keys: Keys, origin: str
    ) -> None:
        self._db = db
        self._clock = clock
        self._random_bytes = random_bytes
        self._keys = keys
        self._origin = urlsplit(origin)

    # --- finding ------------------------------------------------------------------------------------------

    async def find(self, request: web.Request) -> User | None:
        """As `identity.Identity.find`."""
        current = await self.current(request)
        return None if current is None else current.user

    async def current(self, request: web.Request) -> Current | None:
        """The session of this request. Raises ApiError 403 `bad_origin`, `bad_csrf`."""
        if CURRENT in request:
            return request[CURRENT]
        secret = self._secret(request.cookies.get(self._cookie(request), ""))
        if secret is None:
            return None
        async with self._db.read() as tx:
            found = await people.session_of(tx, secret_hash(secret), self.now_s())
        if found is None:
            return None
        current = Current(*found, secret)
        if request.method not in SAFE:
            self.require_own_page(request)
            _require_csrf(request, current)
        request[CURRENT] = current
        return current

    def hash_of(self, request: web.Request) -> str | None:
        """Of the secret that the request brings, be its session good or not."""
        secret = self._secret(request.cookies.get(self._cookie(request), ""))
        return None if secret is None else secret_hash(secret)

    def require_own_page(self, request: web.Request) -> None:
        """Raises ApiError 403 `bad_origin` unless the request says that it comes from a page of ours."""
        if request.headers.get("Origin") != base_url(request, self._origin):
            raise ApiError(403, "bad_origin", "this request does not come from a page of this server")

    def _secret(self, cookie: str) -> str | None:
        """The secret in a cookie that one of our keys signed."""
        secret, _, signature = cookie.partition(".")
        if not secret or not cookie.isascii():
            return None
        for _, key in self._keys():
            if hmac.compare_digest(signature, _signature(key, secret)):
                return secret
        return None

    # --- beginning and ending -----------------------------------------------------------------------------

    def begin(self) -> Callable[[User], Current]:
        """A new secret; what is answered makes the session of it, to be stored by the caller (`people.add_session`), and
        may be called again when its transaction is repeated."""
        secret = new_secret(self._random_bytes)
        created_at, expires_at_s = rfc3339(self._clock.wall_s()), self.now_s() + SESSION_S
        hashed, csrf_hash = secret_hash(secret), secret_hash(csrf_token(secret))
        return lambda user: Current(
            UserSession(hashed, user.id, csrf_hash, created_at, expires_at_s), user, secret
        )

    async def extend(self, request: web.Request, response: web.Response, current: Current) -> None:
        """Thirty days from now, written once a day at most."""
        until_s = self.now_s() + SESSION_S
        if until_s - current.session.expires_at_s < EXTEND_AFTER_S:
            return
        await self._db.write(lambda tx: people.extend_session(tx, current.session.secret_hash, until_s))
        self.set_cookie(request, response, current)

    def set_cookie(self, request: web.Request, response: web.Response, current: Current) -> None:
        _, key = self._keys()[0]
        value = f"{current.secret}.{_signature(key, current.secret)}"
        secure = self._is_secure(request)
        response.set_cookie(
            self._cookie(request),
            value,
            max_age=SESSION_S,
            path="/",
            secure=secure,
            httponly=True,
            samesite="Lax",
        )
        response.set_cookie(HINT, "1", max_age=SESSION_S, path="/", secure=secure, samesite="Lax")

    def clear_cookie(self, request: web.Request, response: web.Response) -> None:
        secure = self._is_secure(request)
        response.del_cookie(self._cookie(request), path="/", secure=secure, httponly=True, samesite="Lax")
        response.del_cookie(HINT, path="/", secure=secure, samesite="Lax")

    def _is_secure(self, request: web.Request) -> bool:
        return base_url(request, self._origin).startswith("https:")

    def _cookie(self, request: web.Request) -> str:
        return HOST_COOKIE if self._is_secure(request) else COOKIE

    def now_s(self) -> int:
        return int(self._clock.wall_s())


def _signature(key: str, secret: str) -> str:
    return derived_secret(key, f"session {secret}")


def _require_csrf(request: web.Request, current: Current) -> None:
    given = request.headers.get("X-CSRF-Token", "")
    if not given.isascii() or not secret_matches(given, current.session.csrf_hash):
        raise ApiError(403, "bad_csrf", "send the token of GET /api/me as X-CSRF-Token")
