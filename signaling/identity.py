"""Who is calling, for every feature: the person of a session, or the operator.

How a person is recognised is the business of `signaling/people/`; the composition root puts it into the application
under `IDENTITY`. Where there is none (a part of the application under test), nobody is signed in.
"""

import hmac
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from aiohttp import web
from pydantic import SecretStr

from signaling.errors import ApiError
from signaling.http import bearer
from signaling.stores.people import User

MACHINE = "admin_token"


@dataclass(frozen=True, slots=True)
class Identity:
    """`find`: the person of the request's session, None without one; raises ApiError 403 `bad_csrf` or `bad_origin`
    when a request that changes something does not prove that a page of ours made it."""

    find: Callable[[web.Request], Awaitable[User | None]]
    admin_token: SecretStr | None = field(default=None, repr=False)


IDENTITY = web.AppKey("identity", Identity)


async def person(request: web.Request) -> User | None:
    """Who is signed in, None for a visitor without an account. Raises ApiError 403 (see `Identity`)."""
    identity = request.config_dict.get(IDENTITY)
    return None if identity is None else await identity.find(request)


async def require_person(request: web.Request) -> User:
    """Raises ApiError 401 `sign_in_required`; 403 `bad_csrf`, `bad_origin`."""
    found = await person(request)
    if found is None:
        raise ApiError(401, "sign_in_required", "sign in first")
    return found


async def require_operator(request: web.Request) -> str:
    """A session of an operator, or `Authorization: Bearer` with ADMIN_TOKEN. Answers who it is, for the log: a user's
    id or `admin_token`. Raises ApiError 401 `sign_in_required`; 403 `operator_only`, `bad_csrf`, `bad_origin`."""
    identity = request.config_dict.get(IDENTITY)
    if identity is not None and _is_machine(request, identity.admin_token):
        return MACHINE
    found = await require_person(request)
    if found.role != "operator":
        raise ApiError(403, "operator_only", "only an operator of this server may do that")
    return found.id


async def is_operator(request: web.Request) -> bool:
    """Whether `require_operator` would let this request pass. Raises ApiError 403 `bad_csrf`, `bad_origin`."""
    identity = request.config_dict.get(IDENTITY)
    if identity is not None and _is_machine(request, identity.admin_token):
        return True
    found = await person(request)
    return found is not None and found.role == "operator"


def _is_machine(request: web.Request, admin_token: SecretStr | None) -> bool:
    given = bearer(request)
    if given is None or admin_token is None:
        return False
    return hmac.compare_digest(given.encode(), admin_token.get_secret_value().encode())
