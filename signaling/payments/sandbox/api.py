"""The API (`/v1`, `/v2`) over HTTP: key, version, idempotency, faults, and Stripe's error envelope around each operation."""

import hashlib
import hmac
import json
import socket
import struct
from dataclasses import dataclass
from urllib.parse import parse_qsl

from aiohttp import web

from . import due
from .errors import StripeError
from .expanding import expand
from .faults import Faults, Switch
from .params import Json, Params, flatten, parse_form
from .resources import ROUTES
from .routing import Call, Handler, Operation, Route
from .serving import Answering
from .store import API_VERSION, Origin, Store, Transaction

IDEMPOTENCY_KEPT_S = 86400
IDEMPOTENCY_KEY_CHARS_MAX = 255
BODY_BYTES_MAX = 256 * 1024


@dataclass(frozen=True, slots=True)
class Answer:
    """What goes back. `original_request`: set when this is a saved answer replayed."""

    status: int
    text: str
    request_id: str
    original_request: str | None = None


@dataclass(frozen=True, slots=True)
class Keyed:
    """A request that carries an idempotency key. `fingerprint`: hash of method, path and parameters."""

    key: str
    fingerprint: str


class Api:
    """Every route. Knows one secret key; answers 401 to every other."""

    def __init__(self, store: Store, faults: Faults, *, secret_key: str, public_url: str) -> None:
        self._store = store
        self._faults = faults
        self._secret_key = secret_key
        self._public_url = public_url

    def add_routes(self, app: web.Application) -> None:
        for route in ROUTES:
            app.router.add_route(route.method, route.path, self._serve(route))
        for half in ("v1", "v2"):
            app.router.add_route("*", f"/{half}/{{rest:.*}}", self._unknown)

    def _serve(self, route: Route) -> Answering:
        async def handle(request: web.Request) -> web.StreamResponse:
            fault = None
            try:
                self._check_access(request)
                fault = self._faults.take_api(route.name)
                answer = await self._answer(request, route, fault)
            except StripeError as error:
                answer = Answer(error.status, json.dumps(error.body), self._store.new_id("req"))
            if fault is not None and fault.kind == "slow":
                await self._faults.hold(fault.delay_s)
            return await _send(request, answer, fault.kind if fault is not None else None)

        return handle

    async def _unknown(self, request: web.Request) -> web.StreamResponse:
        error = StripeError(f"Unrecognized request URL ({request.method}: {request.path}).", status=404)
        return await _send(request, Answer(404, json.dumps(error.body), self._store.new_id("req")), None)

    def _check_access(self, request: web.Request) -> None:
        scheme, _, key = request.headers.get("Authorization", "").partition(" ")
        if scheme != "Bearer" or not hmac.compare_digest(key.encode(), self._secret_key.encode()):
            raise StripeError("Invalid API Key provided", status=401, code="api_key_invalid")
        version = request.headers.get("Stripe-Version", API_VERSION)
        if version != API_VERSION:
            raise StripeError(
                f"Invalid Stripe API version: {version[:40]}. The sandbox speaks {API_VERSION}."
            )

    async def _answer(self, request: web.Request, route: Route, fault: Switch | None) -> Answer:
        _refuse_by(fault)
        pairs = await _read_pairs(request)
        request_id = self._store.new_id("req")
        keyed = _read_key(request, pairs)
        params = Params(parse_form(pairs))
        paths = params.texts("expand")
        call = Call(request.match_info.get("id", ""), params, self._public_url, request.query_string)

        def run(tx: Transaction) -> Answer:
            due.run_due(tx)
            tx.origin = Origin(request_id, keyed.key if keyed else None)
            saved = _replay(tx, keyed, request_id) if keyed else None
            # Parameters are read only now: a replay of a saved request must not depend on today's rules.
            return saved or _execute(
                tx, route.handler, call, paths=paths, keyed=keyed, request_id=request_id, fault=fault
            )

        return await self._store.write(run)


def _refuse_by(fault: Switch | None) -> None:
    if fault is None:
        return
    if fault.kind == "conflict_409":
        message = "There is currently another in-progress request using this Idempotency Key."
        raise StripeError(message, status=409, kind="idempotency_error", code="idempotency_key_in_use")
    if fault.kind == "rate_limit_429":
        raise StripeError("Too many requests. Retry later.", status=429, code="rate_limit")


async def _read_pairs(request: web.Request) -> list[tuple[str, str]]:
    if request.method in ("GET", "DELETE"):
        raw = request.query_string
    else:
        raw = (await request.read()).decode("utf-8", "replace")
        if request.path.startswith("/v2/"):
            return flatten(raw)
    return parse_qsl(raw, keep_blank_values=True, max_num_fields=2000)


def _read_key(request: web.Request, pairs: list[tuple[str, str]]) -> Keyed | None:
    key = request.headers.get("Idempotency-Key")
    if key is None or request.method != "POST":
        return None
    if not 0 < len(key) <= IDEMPOTENCY_KEY_CHARS_MAX:
        raise StripeError("Idempotency keys have 1 to 255 characters", kind="idempotency_error")
    content = json.dumps([request.method, request.path, sorted(pairs)])
    return Keyed(key, hashlib.sha256(content.encode()).hexdigest())


def _replay(tx: Transaction, keyed: Keyed, request_id: str) -> Answer | None:
    """The saved answer to this key, None for a new one. Raises `idempotency_error` for other parameters."""
    tx.db.execute("DELETE FROM idempotency WHERE created_s < ?", (tx.now_s - IDEMPOTENCY_KEPT_S,))
    row = tx.db.execute(
        "SELECT fingerprint, status, body, request_id FROM idempotency WHERE key = ?", (keyed.key,)
    ).fetchone()
    if row is None:
        return None
    if row[0] != keyed.fingerprint:
        message = (
            "Keys for idempotent requests can only be used with the same parameters they were first used with. "
            f"Try using a key other than '{keyed.key}' if you meant to execute a different request."
        )
        raise StripeError(message, kind="idempotency_error")
    return Answer(row[1], row[2], request_id, original_request=row[3])


def _execute(
    tx: Transaction,
    handler: Handler,
    call: Call,
    *,
    paths: list[str],
    keyed: Keyed | None,
    request_id: str,
    fault: Switch | None,
) -> Answer:
    """Read, run and save. What fails while parameters are read is not saved, as at Stripe."""
    operation = handler(call)
    fails = fault is not None and fault.kind == "error_500_saved"
    status, body = _attempt(tx, operation, paths) if fault is None or not fails or fault.effect else (500, {})
    if fails:
        status, body = 500, StripeError("An unknown error occurred", kind="api_error").body
    text = json.dumps(body, indent=2)
    if keyed is not None:
        tx.db.execute(
            "INSERT INTO idempotency (key, fingerprint, status, body, request_id, created_s) VALUES (?, ?, ?, ?, ?, ?)",
            (keyed.key, keyed.fingerprint, status, text, request_id, tx.now_s),
        )
    return Answer(status, text, request_id)


def _attempt(tx: Transaction, operation: Operation, paths: list[str]) -> tuple[int, Json]:
    tx.db.execute("SAVEPOINT operation")
    try:
        answer = expand(tx, operation(tx), paths)
    except StripeError as error:
        if not error.keeps_effects:
            tx.db.execute("ROLLBACK TO operation")
        return error.status, error.body
    finally:
        tx.db.execute("RELEASE operation")
    return 200, answer


async def _send(request: web.Request, answer: Answer, kind: str | None) -> web.StreamResponse:
    if kind == "reset_after_commit":
        return _reset(request)
    if kind == "truncate_after_commit":
        return await _truncate(request, answer)
    return web.Response(status=answer.status, text=answer.text, headers=_headers(request, answer))


def _headers(request: web.Request, answer: Answer) -> dict[str, str]:
    headers = {
        "Content-Type": "application/json; charset=utf-8",
        "Request-Id": answer.request_id,
        "Stripe-Version": API_VERSION,
        "Cache-Control": "no-cache, no-store",
    }
    key = request.headers.get("Idempotency-Key")
    if key is not None:
        headers |= {"Idempotency-Key": key, "Original-Request": answer.original_request or answer.request_id}
    if answer.original_request is not None:
        headers["Idempotent-Replayed"] = "true"
    return headers


def _reset(request: web.Request) -> web.StreamResponse:
    """Drop the connection with a TCP reset instead of an answer."""
    transport = request.transport
    if transport is not None:
        connection = transport.get_extra_info("socket")
        if connection is not None:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        transport.abort()
    return web.Response()


async def _truncate(request: web.Request, answer: Answer) -> web.StreamResponse:
    """Promise the whole answer, send half of it, and close."""
    content = answer.text.encode()
    response = web.StreamResponse(status=answer.status, headers=_headers(request, answer))
    response.content_length = len(content)
    await response.prepare(request)
    await response.write(content[: len(content) // 2])
    if request.transport is not None:
        request.transport.close()
    return response
