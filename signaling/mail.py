"""Letters, and those who carry them: an SMTP server, or the sandbox's mailbox."""

import hashlib
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime
from html import escape
from typing import Protocol

import aiosmtplib

from signaling.addresses import SmtpServer, address_of

TIMEOUT_S = 20.0
REFUSED_FOR_GOOD = range(500, 600)
SUBJECT_CHARS_MAX = 150


@dataclass(frozen=True, slots=True)
class Letter:
    """What is to be read. `lines` are paragraphs; a line that is a link is its own paragraph: (label, address).
    It may carry a secret, so it stays out of the representation."""

    to: str = field(repr=False)
    subject: str = field(repr=False)
    lines: tuple[str | tuple[str, str], ...] = field(repr=False)


class MailError(Exception):
    """The mail was not taken. `for_good`: nobody has this address, so trying again is of no use."""

    def __init__(self, message: str, *, for_good: bool = False) -> None:
        super().__init__(message)
        self.for_good = for_good


class Mailer(Protocol):
    async def send(self, letter: Letter, letter_id: str, wall_s: float) -> None:
        """Raises MailError. `letter_id`: the same for every try, so that a repeat is the same mail."""
        ...


def compose(letter: Letter, *, sender: Address, letter_id: str, wall_s: float) -> EmailMessage:
    """Plain text and simple HTML. Raises ValueError for an address that is none. A line end never reaches a header: the
    addresses are parsed and the subject is one line."""
    message = EmailMessage(policy=SMTP)
    message["From"] = sender
    message["To"] = address_of(letter.to)
    message["Subject"] = " ".join(letter.subject.split())[:SUBJECT_CHARS_MAX]
    message["Date"] = format_datetime(datetime.fromtimestamp(wall_s, UTC))
    message["Message-ID"] = f"<{hashlib.sha256(letter_id.encode()).hexdigest()[:32]}@{sender.domain}>"
    message["Auto-Submitted"] = "auto-generated"  # RFC 3834: no holiday notes in answer
    message.set_content(plain_text(letter))
    message.add_alternative(_html(letter), subtype="html")
    return message


def plain_text(letter: Letter) -> str:
    return (
        "\n\n".join(line if isinstance(line, str) else f"{line[0]}:\n{line[1]}" for line in letter.lines)
        + "\n"
    )


def _html(letter: Letter) -> str:
    body = "\n".join(f"<p>{_html_line(line)}</p>" for line in letter.lines)
    style = "font-family:sans-serif;line-height:1.5;max-width:36em"
    return f'<!doctype html>\n<html lang="en"><body style="{style}">\n{body}\n</body></html>\n'


def _html_line(line: str | tuple[str, str]) -> str:
    if isinstance(line, str):
        return escape(line).replace("\n", "<br>\n")
    return f'<a href="{escape(line[1])}">{escape(line[0])}</a>'


class SmtpMailer:
    """A connection for each letter: there are few, and nothing is left open between them."""

    def __init__(self, server: SmtpServer, sender: Address, *, timeout_s: float = TIMEOUT_S) -> None:
        self._server = server
        self._sender = sender
        self._timeout_s = timeout_s

    async def send(self, letter: Letter, letter_id: str, wall_s: float) -> None:
        try:
            message = compose(letter, sender=self._sender, letter_id=letter_id, wall_s=wall_s)
        except ValueError as error:
            raise MailError(str(error), for_good=True) from None
        server = self._server
        try:
            await aiosmtplib.send(
                message,
                hostname=server.host,
                port=server.port,
                username=server.user,
                password=server.password,
                use_tls=server.tls,
                start_tls=True if server.must_upgrade else False if server.tls else None,
                timeout=self._timeout_s,
            )
        except aiosmtplib.SMTPRecipientsRefused as error:
            codes = [refusal.code for refusal in error.recipients]
            for_good = all(code in REFUSED_FOR_GOOD for code in codes)
            raise MailError(f"refused with {codes}", for_good=for_good) from None
        except aiosmtplib.SMTPResponseException as error:
            # Of us or of the whole server, not of this letter: the operator can mend it.
            raise MailError(f"{type(error).__name__} {error.code}") from None
        except (aiosmtplib.SMTPException, OSError, TimeoutError) as error:
            raise MailError(type(error).__name__) from None
