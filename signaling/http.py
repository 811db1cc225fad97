"""HTTP manners shared by every feature: reading a body, the bearer secret, errors, headers, who is calling.

A handler raises `ApiError` or returns a response; what else escapes it is our fault, logged and answered 500
`internal`.
"""

import ipaddress
import unicodedata
from collections.abc import Awaitable, Callable, Iterable
from enum import StrEnum
from typing import Annotated, Any, Literal, TypeVar
from urllib.parse import SplitResult

import structlog
from aiohttp import web
from pydantic import AfterValidator, BaseModel, StringConstraints, ValidationError

from signaling.errors import ApiError

log = structlog.get_logger()

BODY_BYTES_MAX = 32 * 1024
BEARER_MAX = 256
# Says no more than that there may be a session: a page of a visitor without one need not ask who it is.
SIGNED_IN_COOKIE = "tollroom_signed_in"
MACHINE_PATHS = ("/api/", "/stripe/", "/ws", "/whip", "/whep", "/healthz", "/metrics")

Model = TypeVar("Model", bound=BaseModel)
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
Network = ipaddress.IPv4Network | ipaddress.IPv6Network


# --- bodies -----------------------------------------------------------------------------------------------


def _printable(text: str) -> str:
    # A NUL is refused by PostgreSQL, a bidirectional override rewrites the lines of others' pages.
    if any(unicodedata.category(letter) in {"Cc", "Cs"} and letter not in "\n\t" for letter in text):
        raise ValueError("contains characters that are not text")
    if any(letter in "\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069" for letter in text):
        raise ValueError("contains characters that are not text")
    return text


def _one_line(text: str) -> str:
    if "\n" in text or "\t" in text:
        raise ValueError("must be one line")
    return text


Prose = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1), AfterValidator(_printable)]
Line = Annotated[Prose, AfterValidator(_one_line)]


async def read_body(request: web.Request, bytes_max: int = BODY_BYTES_MAX) -> bytes:
    """The raw body. Raises ApiError 413 `too_large` without reading further than the limit."""
    if (request.content_length or 0) > bytes_max:
        raise _too_large(bytes_max)
    body = bytearray()
    async for chunk in request.content.iter_any():
        body += chunk
        if len(body) > bytes_max:
            raise _too_large(bytes_max)
    return bytes(body)


def _too_large(bytes_max: int) -> ApiError:
    return ApiError(413, "too_large", f"the body may have up to {bytes_max} bytes")


async def parse_body(request: web.Request, model: type[Model]) -> Model:
    """The JSON body as `model`. Raises ApiError: 413 `too_large`, 415 `not_json`, 422 `invalid` with `field`.

    Asking for `application/json` keeps a foreign page from posting with a plain form.
    """
    if request.content_type != "application/json":
        raise ApiError(415, "not_json", "send the body as application/json")
    body = await read_body(request)
    try:
        return model.model_validate_json(body or b"{}")
    except ValidationError as error:
        raise invalid(error) from None


def invalid(error: ValidationError) -> ApiError:
    """422 naming the first field that does not fit; the message never repeats the input."""
    first = error.errors(include_url=False, include_input=False, include_context=False)[0]
    field = ".".join(str(part) for part in first["loc"]) or None
    return ApiError(422, "invalid", str(first["msg"])[:200], field=field)


def bearer(request: web.Request) -> str | None:
    """The secret of `Authorization: Bearer …`, None without one."""
    scheme, _, secret = request.headers.get("Authorization", "").partition(" ")
    secret = secret.strip()
    fits = 0 < len(secret) <= BEARER_MAX and secret.isascii()  # other bytes may not be encoded again
    return secret if scheme.lower() == "bearer" and fits else None


def private(response: web.Response) -> web.Response:
    """Marks an answer that belongs to one caller: no cache may keep it."""
    response.headers["Cache-Control"] = "no-store"
    return response


def answer(body: dict[str, Any], status: int = 200) -> web.Response:
    """A private JSON answer."""
    return private(web.json_response(body, status=status))


def base_url(request: web.Request, origin: SplitResult) -> str:
    """Where the caller came from: PUBLIC_URL, or another name of this machine (a phone in the same house)."""
    secure = origin.scheme == "https" if request.host == origin.netloc else request.secure
    return f"{'https' if secure else 'http'}://{request.host}"


# --- who is calling ---------------------------------------------------------------------------------------


def trusted_networks(addresses: Iterable[str]) -> tuple[Network, ...]:
    """TRUSTED_PROXIES parsed: addresses or networks. Raises ValueError for anything else."""
    return tuple(ipaddress.ip_network(text.strip(), strict=False) for text in addresses if text.strip())


def client_address(request: web.Request, trusted: tuple[Network, ...]) -> str:
    """The caller's IP address; X-Forwarded-For counts only as far as trusted proxies wrote it."""
    hops = [request.remote or ""]
    for header in request.headers.getall("X-Forwarded-For", [])[::-1]:
        hops += [hop.strip() for hop in header.split(",")[::-1]]
    for hop in hops:
        if not _is_trusted(hop, trusted):
            return hop if _is_address(hop) else (request.remote or "unknown")
    return hops[-1] or "unknown"


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


def _is_trusted(text: str, trusted: tuple[Network, ...]) -> bool:
    return _is_address(text) and any(ipaddress.ip_address(text) in network for network in trusted)


# --- errors -----------------------------------------------------------------------------------------------


def error_response(error: ApiError) -> web.Response:
    headers = {} if error.retry_after_s is None else {"Retry-After": str(error.retry_after_s)}
    return private(web.json_response(error.body(), status=error.status, headers=headers))


def _is_for_machines(request: web.Request) -> bool:
    return request.path.startswith(MACHINE_PATHS)


def _from_http(error: web.HTTPException) -> web.Response:
    codes = {404: "not_found", 405: "method_not_allowed", 413: "too_large"}
    code = codes.get(error.status, "bad_request")
    response = error_response(ApiError(error.status, code, error.reason))
    if "Allow" in error.headers:
        response.headers["Allow"] = error.headers["Allow"]
    return response


@web.middleware
async def errors_middleware(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Turns what a handler raises into API.md's bodies; pages keep aiohttp's own errors (404 and so on)."""
    try:
        return await handler(request)
    except ApiError as error:
        return error_response(error)
    except web.HTTPException as error:
        if error.status < 400 or not _is_for_machines(request):  # noqa: PLR2004
            raise
        return _from_http(error)
    except (ConnectionError, web.RequestPayloadError):
        raise  # the caller went away
    except Exception:
        log.exception("request_failed", method=request.method, path=request.path)
        return error_response(ApiError(500, "internal", "something went wrong on our side"))


# --- headers ----------------------------------------------------------------------------------------------

Provider = Literal["sandbox", "stripe"]


class PageKind(StrEnum):
    """What a page may load. PLAIN: our own files. CHECKOUT: also the payment form's frames. FRAME: our own pages may
    frame it (the sandbox's embedded form)."""

    PLAIN = "plain"
    CHECKOUT = "checkout"
    FRAME = "frame"


PAGE_KIND = web.RequestKey("page_kind", PageKind)
FRAMED_PATHS = ("/sandbox/embedded/",)

_BASE = {
    "default-src": "'none'",
    "script-src": "'self'",
    "style-src": "'self'",
    "img-src": "'self' data: blob:",
    "font-src": "'self'",
    "connect-src": "'self'",
    "media-src": "'self' blob:",
    "manifest-src": "'self'",
    "form-action": "'self'",
    "base-uri": "'none'",
    "frame-ancestors": "'none'",
}
# What Stripe asks for: docs.stripe.com/security/guide#content-security-policy
_STRIPE = {
    "script-src": "'self' https://js.stripe.com https://*.js.stripe.com",
    "frame-src": "https://js.stripe.com https://*.js.stripe.com https://hooks.stripe.com https://checkout.stripe.com",
    "connect-src": "'self' https://api.stripe.com https://checkout.stripe.com",
    "img-src": "'self' data: blob: https://*.stripe.com",
}


def content_security_policy(kind: PageKind, provider: Provider) -> str:
    """The strict policy of that kind of page; Stripe's origins only where its form is used."""
    policy = dict(_BASE)
    if kind is PageKind.CHECKOUT:
        policy |= _STRIPE if provider == "stripe" else {"frame-src": "'self'"}
    if kind is PageKind.FRAME:
        policy["frame-ancestors"] = "'self'"
    return "; ".join(f"{name} {value}" for name, value in policy.items())


def page_kind(request: web.Request, kind: PageKind) -> None:
    """Called by a page's handler before it answers."""
    request[PAGE_KIND] = kind


def _kind_of(request: web.Request) -> PageKind:
    marked = request.get(PAGE_KIND)
    if isinstance(marked, PageKind):
        return marked
    return PageKind.FRAME if request.path.startswith(FRAMED_PATHS) else PageKind.PLAIN


def security_headers(
    provider: Provider, *, hsts: bool = False
) -> Callable[[web.Request, web.StreamResponse], Awaitable[None]]:
    """For `app.on_response_prepare`: reaches streams and errors too. Headers a handler set itself stay."""

    async def prepare(request: web.Request, response: web.StreamResponse) -> None:
        headers = response.headers
        kind = _kind_of(request)
        headers.setdefault("Content-Security-Policy", content_security_policy(kind, provider))
        headers.setdefault("Referrer-Policy", "no-referrer")
        headers.setdefault("X-Content-Type-Options", "nosniff")
        headers.setdefault("X-Frame-Options", "SAMEORIGIN" if kind is PageKind.FRAME else "DENY")
        headers.setdefault("Cross-Origin-Opener-Policy", "same-origin-allow-popups")
        headers.setdefault("Permissions-Policy", "camera=(self), microphone=(self), display-capture=(self)")
        if hsts:
            headers.setdefault("Strict-Transport-Security", "max-age=31536000")

    return prepare
