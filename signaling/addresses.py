"""Addresses of mail, parsed or refused: of people, of ourselves, and of the server that takes our mail."""

import re
from dataclasses import dataclass, field
from email.errors import MessageError
from email.headerregistry import Address
from typing import Annotated
from urllib.parse import unquote, urlsplit

from pydantic import StringConstraints

EMAIL_CHARS_MAX = 254
# As a browser's e-mail field has it (html.spec.whatwg.org, "valid e-mail address"): no line ends, no lists, no comments.
EMAIL = r"^[A-Za-z0-9.!#$%&'*+/=?^_`{|}~-]+@[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?(?:\.[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?)*$"
LOCAL_NAMES = {"localhost", "127.0.0.1", "::1"}
SMTP_PORT, SUBMISSION_PORT, SMTPS_PORT = 25, 587, 465

Email = Annotated[
    str,
    StringConstraints(strip_whitespace=True, to_lower=True, pattern=EMAIL, max_length=EMAIL_CHARS_MAX),
]


def is_email(text: str) -> bool:
    return len(text) <= EMAIL_CHARS_MAX and re.fullmatch(EMAIL, text) is not None


@dataclass(frozen=True, slots=True)
class SmtpServer:
    """SMTP_URL parsed. `tls`: from the start. `must_upgrade`: a password is never sent in the clear, except to this
    machine."""

    host: str
    port: int
    tls: bool
    user: str | None = None
    password: str | None = field(default=None, repr=False)

    @property
    def must_upgrade(self) -> bool:
        return not self.tls and self.password is not None and self.host not in LOCAL_NAMES


def smtp_server(url: str) -> SmtpServer:
    """Raises ValueError in words that repeat nothing of the URL."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise ValueError("the port is not a number") from None
    if parts.scheme not in {"smtp", "smtps"} or not parts.hostname:
        raise ValueError("must be of the form smtp://user:password@host:587 or smtps://…:465")
    if parts.path not in {"", "/"} or parts.query or parts.fragment:
        raise ValueError("has something after the host; write special letters of the password as %XX")
    if (parts.username is None) != (parts.password is None):
        raise ValueError("has a user without a password, or a password without a user")
    tls = parts.scheme == "smtps"
    usual = SMTPS_PORT if tls else SUBMISSION_PORT if parts.username else SMTP_PORT
    user = None if parts.username is None else unquote(parts.username)
    password = None if parts.password is None else unquote(parts.password)
    return SmtpServer(parts.hostname, port or usual, tls, user, password)


def sender(text: str) -> Address:
    """MAIL_FROM: an address, or `Name <address>`. Raises ValueError."""
    match = re.fullmatch(r"(?:([^<>\r\n]*)<([^<>]+)>|([^<>\s]+))", text.strip())
    spec = "" if match is None else match[2] or match[3]
    if match is None or not is_email(spec):
        raise ValueError("must be of the form rooms@example.org or Tollroom <rooms@example.org>")
    return address_of(spec, (match[1] or "").strip().strip('"'))


def address_of(email: str, name: str = "") -> Address:
    """For a header. Raises ValueError for what no mail can be sent to."""
    if not is_email(email):
        raise ValueError("not an e-mail address")
    try:
        return Address(name, addr_spec=email)
    except (MessageError, ValueError, IndexError):
        raise ValueError("not an e-mail address") from None
