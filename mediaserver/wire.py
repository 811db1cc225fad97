"""How the media server's door is spoken through a socket: frames of JSON, and the plain data of the door in them.

A frame is its length in bytes (four, big-endian) and a JSON array whose first item says what it is:

    ["start", config]                      owner → worker, first          ["ready", port]        worker → owner
    ["call", number, name, arguments]      owner → worker                 ["answer", number, value]
    ["close"]                              owner → worker, last           ["failed", number, code, words]
    ["lease", until_ms], ["ping"]          owner → worker                 ["pong", at_ms]
                                                                          ["refused", code, words]  instead of "ready"
                                                                          ["event", event]

JSON rather than pickle: a worker reads what strangers send, and must not be able to run anything in its owner. In
values a JSON object is always a dict with string keys, and a JSON array always carries a name first: `()` for a
tuple, else a dataclass of TABLE with its fields in order. So no string that a client chose is ever taken for a name.
"""

import asyncio
import json
from collections.abc import Callable, Mapping
from dataclasses import fields, is_dataclass
from operator import attrgetter
from typing import Any, cast

from mediaserver import errors, events, server
from mediaserver.errors import MediaError
from mediaserver.events import Liveness

Frame = list[Any]

FRAME_BYTES_MAX = 8 << 20
# What one side may have written and the other not yet read: beyond it the other side hangs.
UNSENT_BYTES_MAX = 32 << 20
_HEAD_BYTES = 4
_TUPLE = "()"


class WireError(Exception):
    """What came cannot be read: the other side's fault, and the end of the connection."""


def _dataclasses(*modules: Any) -> dict[str, type]:
    found = (item for module in modules for item in vars(module).values() if isinstance(item, type))
    return {item.__name__: item for item in found if is_dataclass(item)}


TABLE: Mapping[str, type] = _dataclasses(events, server)
_FIELDS = {kind: tuple(item.name for item in fields(kind)) for kind in TABLE.values()}
ERRORS: Mapping[str, type[MediaError]] = {
    kind.code: kind
    for kind in vars(errors).values()
    if isinstance(kind, type) and issubclass(kind, MediaError)
}


# --- values -----------------------------------------------------------------------------------------------


def to_plain(value: Any) -> Any:
    """Of a value of the door, what JSON can say. Raises TypeError for what is not plain data."""
    if value is None or isinstance(value, str | int | float):
        return value
    if isinstance(value, dict):
        return {_key(key): to_plain(item) for key, item in value.items()}
    if isinstance(value, tuple | list):
        return [_TUPLE, *map(to_plain, value)]
    names = _FIELDS.get(type(value))
    if names is None:
        raise TypeError(f"{type(value).__name__} does not cross the wire")
    return [type(value).__name__, *(to_plain(getattr(value, name)) for name in names)]


def _key(key: object) -> str:
    if not isinstance(key, str):
        raise TypeError("keys that cross the wire are strings")
    return key


def from_plain(plain: Any) -> Any:
    """The other way. Raises WireError."""
    if isinstance(plain, dict):
        return {key: from_plain(item) for key, item in plain.items()}
    if not isinstance(plain, list):
        return plain
    if not plain or not isinstance(plain[0], str):
        raise WireError("an array without a name")
    values = map(from_plain, plain[1:])
    return tuple(values) if plain[0] == _TUPLE else _made(plain[0], values)


def _made(name: str, values: Any) -> Any:
    kind = TABLE.get(name)
    if kind is None:
        raise WireError(f"unknown name {name[:40]!r}")
    try:
        return kind(*values)
    except TypeError as error:
        raise WireError(f"{name} with other fields") from error


_heard = cast("Callable[[Liveness], tuple[int | None, ...]]", attrgetter(*_FIELDS[Liveness]))


def liveness_to_plain(liveness: Mapping[str, Liveness]) -> dict[str, tuple[int | None, ...]]:
    """Asked for four times a second with everybody in it, so it is written without names."""
    return {key: _heard(item) for key, item in liveness.items()}


def liveness_from_plain(plain: Any) -> dict[str, Liveness]:
    """Raises WireError."""
    try:
        return {key: Liveness(*heard) for key, heard in plain.items()}
    except (AttributeError, TypeError) as error:
        raise WireError("a liveness that is none") from error


def to_error(code: str, words: str) -> Exception:
    """What the other side raised: a MediaError again, or RuntimeError for its bug."""
    kind = ERRORS.get(code)
    return RuntimeError(words) if kind is None else kind(words)


# --- frames -----------------------------------------------------------------------------------------------


def pack(frame: Frame) -> bytes:
    """Raises WireError for a frame that the other side would not take."""
    body = json.dumps(frame, separators=(",", ":")).encode()
    if len(body) > FRAME_BYTES_MAX:
        raise WireError("the frame is too long")
    return len(body).to_bytes(_HEAD_BYTES, "big") + body


class FrameReader:
    """Bytes in, frames out; holds at most one frame that is not whole yet."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, data: bytes) -> list[Frame]:
        """The frames that are whole now. Raises WireError."""
        self._buffer += data
        found, at = [], 0
        while len(self._buffer) - at >= _HEAD_BYTES:
            begin = at + _HEAD_BYTES
            length = int.from_bytes(self._buffer[at:begin], "big")
            if length > FRAME_BYTES_MAX:
                raise WireError("the frame is too long")
            if len(self._buffer) < begin + length:
                break
            found.append(_parse(self._buffer[begin : begin + length]))
            at = begin + length
        del self._buffer[:at]
        return found


def _parse(body: bytearray) -> Frame:
    try:
        frame = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise WireError("not JSON") from error
    if not isinstance(frame, list) or not frame:
        raise WireError("a frame that says nothing")
    return frame


class Channel(asyncio.Protocol):
    """One end of the socket. `on_frame` hears every frame in order; `on_lost` once, when the other side is gone, cannot
    be understood, or does not read. Frames sent after that go nowhere."""

    def __init__(self, on_frame: Callable[[Frame], None], on_lost: Callable[[], None]) -> None:
        self._on_frame = on_frame
        self._on_lost = on_lost
        self._reader = FrameReader()
        self._transport: asyncio.Transport | None = None

    def send(self, frame: Frame) -> None:
        transport = self._transport
        if transport is None or transport.is_closing():
            return
        transport.write(pack(frame))
        if transport.get_write_buffer_size() > UNSENT_BYTES_MAX:
            transport.abort()

    def close(self) -> None:
        """After what was sent has left."""
        if self._transport is not None:
            self._transport.close()

    # --- asyncio.Protocol ---

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        try:
            for frame in self._reader.feed(data):
                self._on_frame(frame)
        except WireError:
            if self._transport is not None:
                self._transport.abort()

    def connection_lost(self, _error: Exception | None) -> None:
        self._transport = None
        self._on_lost()


__all__ = ["Channel", "Frame", "FrameReader", "WireError", "from_plain", "pack", "to_plain"]
