"""The sandbox's mailbox: what this server would have sent, for whoever tries it on their own machine.

Who can read it can sign in as anybody, so it opens only to a browser on the same machine.
"""

import ipaddress
from collections import deque
from dataclasses import dataclass
from urllib.parse import urlsplit

import aiohttp_jinja2
import structlog
from aiohttp import web

from signaling.addresses import LOCAL_NAMES
from signaling.clock import rfc3339
from signaling.mail import Letter

log = structlog.get_logger()

LETTERS_MAX = 50
FORWARDED = ("Forwarded", "X-Forwarded-For", "X-Forwarded-Host", "X-Real-IP", "Via")


@dataclass(frozen=True, slots=True)
class Kept:
    letter: Letter
    letter_id: str
    sent_at: str


class Mailbox:
    """A `mail.Mailer` that keeps the newest letters in memory. `route` shows them."""

    def __init__(self) -> None:
        self._letters: deque[Kept] = deque(maxlen=LETTERS_MAX)

    async def send(self, letter: Letter, letter_id: str, wall_s: float) -> None:
        self._letters.appendleft(Kept(letter, letter_id, rfc3339(wall_s)))
        log.info("letter_kept_in_sandbox", letter_id=letter_id)

    @property
    def letters(self) -> list[Kept]:
        """Newest first."""
        return list(self._letters)

    def route(self) -> web.RouteDef:
        return web.get("/sandbox/mail", self.show)

    async def show(self, request: web.Request) -> web.Response:
        if not is_from_this_machine(request):
            raise web.HTTPNotFound
        letters = [
            {
                "to": kept.letter.to,
                "subject": kept.letter.subject,
                "sent_at": kept.sent_at,
                "lines": [
                    {"text": line, "url": None}
                    if isinstance(line, str)
                    else {"text": line[0], "url": line[1]}
                    for line in kept.letter.lines
                ],
            }
            for kept in self._letters
        ]
        context = {"letters": letters, "sandbox": True, "mode": "sandbox", "page_title": "Mail"}
        response = aiohttp_jinja2.render_template("sandbox-mail.html", request, context)
        response.headers["Cache-Control"] = "no-store"
        return response


def is_from_this_machine(request: web.Request) -> bool:
    """A browser here that asked for this machine by its name: no proxy's visitor, and no page elsewhere whose name was
    turned to point here."""
    try:
        peer = ipaddress.ip_address(request.remote or "")
    except ValueError:
        return False
    named = urlsplit(f"//{request.host}").hostname
    return (
        peer.is_loopback and named in LOCAL_NAMES and not any(name in request.headers for name in FORWARDED)
    )
