"""What pages and control share in how they take and refuse requests."""

import json
from collections.abc import Awaitable, Callable
from typing import Any

from aiohttp import web

from .errors import StripeError
from .params import Json

Answering = Callable[[web.Request], Awaitable[web.StreamResponse]]


async def read_body(request: web.Request) -> Json:
    # JSON only: a foreign page's form cannot send it without asking first, and nobody answers that.
    if request.content_type != "application/json":
        raise StripeError("Send application/json", status=415)
    try:
        body: Any = json.loads(await request.text())
    except (ValueError, UnicodeDecodeError):
        body = None
    if not isinstance(body, dict):
        raise StripeError("Send a JSON object")
    return body


@web.middleware
async def refusals(request: web.Request, handler: Answering) -> web.StreamResponse:
    try:
        return await handler(request)
    except StripeError as error:
        fields = error.body["error"]
        envelope = {"error": {"code": fields.get("code", "invalid"), "message": fields["message"]}}
        return web.json_response(envelope, status=error.status)
