"""What pages and control share in how they take and refuse requests."""

import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import jinja2
from aiohttp import web

from .errors import StripeError
from .params import Json

_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; font-src 'self'; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors "
)

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


def page_of(web_dir: Path, name: str, ancestors: str = "'none'") -> Answering:
    """The same page for everybody: what it shows comes from its calls. `ancestors`: who may frame it."""
    templates = jinja2.Environment(loader=jinja2.FileSystemLoader(web_dir), autoescape=True)
    text = templates.get_template(f"sandbox-{name}.html").render()
    headers = {
        "Content-Security-Policy": _POLICY + ancestors,
        "X-Frame-Options": "SAMEORIGIN" if ancestors == "'self'" else "DENY",
        "Cache-Control": "no-store",
    }

    async def show(_request: web.Request) -> web.StreamResponse:
        return web.Response(text=text, content_type="text/html", headers=headers)

    return show


@web.middleware
async def refusals(request: web.Request, handler: Answering) -> web.StreamResponse:
    try:
        return await handler(request)
    except StripeError as error:
        fields = error.body["error"]
        envelope = {"error": {"code": fields.get("code", "invalid"), "message": fields["message"]}}
        return web.json_response(envelope, status=error.status)
