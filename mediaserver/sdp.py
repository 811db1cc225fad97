"""SDP as text: read into lines and attributes, nothing decided (RFC 8866).

Written for what strangers send: whatever cannot be read raises NegotiationError, never another exception.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Literal

from mediaserver.errors import NegotiationError

Direction = Literal["sendrecv", "sendonly", "recvonly", "inactive"]

TEXT_CHARACTERS_MAX = 200_000
LINES_MAX = 8_000
MEDIA_MAX = 128
TOKEN_CHARACTERS_MAX = 256
_DIRECTIONS: tuple[Direction, ...] = ("sendrecv", "sendonly", "recvonly", "inactive")


@dataclass(slots=True)
class Attributes:
    """The `a=` lines of one section, in order: (name, value), value "" for flags."""

    lines: list[tuple[str, str]] = field(default_factory=list)

    def first(self, name: str) -> str | None:
        return next((value for key, value in self.lines if key == name), None)

    def every(self, name: str) -> Iterator[str]:
        return (value for key, value in self.lines if key == name)


@dataclass(slots=True)
class Media:
    """One m-line with its attributes."""

    kind: str
    port: int
    protocol: str
    formats: tuple[str, ...]
    attributes: Attributes = field(default_factory=Attributes)


@dataclass(slots=True)
class Sdp:
    attributes: Attributes
    media: list[Media]

    def inherited(self, media: Media, name: str) -> str | None:
        """The attribute of the m-line, or else of the session."""
        value = media.attributes.first(name)
        return self.attributes.first(name) if value is None else value

    def direction(self, media: Media) -> Direction:
        for section in (media.attributes, self.attributes):
            for name, _ in section.lines:
                for direction in _DIRECTIONS:
                    if name == direction:
                        return direction
        return "sendrecv"


def parse(text: str) -> Sdp:
    """Read a session description. Raises NegotiationError."""
    if len(text) > TEXT_CHARACTERS_MAX:
        raise NegotiationError("the SDP is too long")
    lines = text.splitlines()
    if not lines or lines[0].strip() != "v=0" or len(lines) > LINES_MAX:
        raise NegotiationError("this is not an SDP")
    session = Sdp(Attributes(), [])
    for line in lines[1:]:
        _parse_line(session, line.rstrip())
    return session


def _parse_line(session: Sdp, line: str) -> None:
    if not line:
        return
    if len(line) < 2 or line[1] != "=":  # noqa: PLR2004 - "x=" is two characters
        raise NegotiationError("the SDP has a line that is not of the form x=value")
    if line[0] == "m":
        if len(session.media) >= MEDIA_MAX:
            raise NegotiationError("the SDP has too many m-lines")
        session.media.append(_parse_media(line[2:]))
    elif line[0] == "a":
        name, _, value = line[2:].partition(":")
        section = session.media[-1].attributes if session.media else session.attributes
        section.lines.append((name, value.strip()))


def _parse_media(value: str) -> Media:
    parts = value.split()
    if len(parts) < 4:  # noqa: PLR2004 - kind, port, protocol and at least one format
        raise NegotiationError("the SDP has a broken m-line")
    port = number(parts[1].partition("/")[0], 0, 65535)
    # Checked here because an answer repeats them.
    return Media(token(parts[0]), port, token(parts[2]), tuple(token(part) for part in parts[3:]))


def number(text: str, low: int, high: int) -> int:
    """A decimal number within bounds. Raises NegotiationError."""
    if not (text.isascii() and text.isdigit() and len(text) <= 20) or not low <= int(text) <= high:  # noqa: PLR2004
        raise NegotiationError("the SDP has a number that is missing or out of range")
    return int(text)


def token(text: str) -> str:
    """A word that can be echoed into our own SDP without breaking a line. Raises NegotiationError."""
    if (
        not text
        or len(text) > TOKEN_CHARACTERS_MAX
        or not text.isascii()
        or not text.isprintable()
        or " " in text
    ):
        raise NegotiationError("the SDP has a token that is empty, too long or not printable")
    return text
