"""The load viewers' receiving half in C (`viewers.c`), built with the machine's compiler when first needed."""

import asyncio
import ctypes
import hashlib
import os
import shutil
import struct
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

SOURCE = Path(__file__).with_name("viewers.c")
BUILD = Path(__file__).parent.parent / "build" / "bench"
RECORD = struct.Struct("=iiq")
OUT_BYTES = 1 << 22
TURN_S = 0.02  # between two sweeps over the sockets
RTCP_BYTES = 1500
STREAMS_MAX = 12
COUNTS = ("received", "expected", "repeated", "retransmitted", "streams", "feedback")
KINDS = {"audio": 1, "video": 2, "rtx": 3}

OnRecord = Callable[[bytes, int], None]


def compiler() -> str | None:
    return shutil.which(os.environ.get("CC", "cc"))


def library() -> ctypes.CDLL:
    """The built library. Raises FileNotFoundError without a compiler, CalledProcessError when it fails."""
    command = compiler()
    if command is None:
        raise FileNotFoundError("no C compiler: the load viewers cannot be built")
    source = SOURCE.read_bytes()
    path = BUILD / f"viewers-{hashlib.sha256(source).hexdigest()[:16]}.so"
    if not path.exists():
        BUILD.mkdir(parents=True, exist_ok=True)
        # Several load processes may build at once: each its own file, then renamed into place.
        with tempfile.TemporaryDirectory(dir=BUILD) as folder:
            made = Path(folder) / "viewers.so"
            subprocess.run([command, "-O2", "-shared", "-fPIC", "-o", made, SOURCE], check=True)
            made.replace(path)
    return _typed(ctypes.CDLL(str(path)))


def _typed(lib: ctypes.CDLL) -> ctypes.CDLL:
    pointer, number, text = ctypes.c_void_p, ctypes.c_int, ctypes.c_char_p
    signatures = {
        "sink_create": (pointer, [pointer]),
        "sink_destroy": (None, [pointer]),
        "sink_sample": (None, [pointer, number]),
        "sink_add": (number, [pointer, number, pointer, number, text, ctypes.c_uint32]),
        "sink_heard": (None, [pointer, number, ctypes.c_uint32, ctypes.c_uint32, ctypes.c_int64]),
        "sink_remove": (None, [pointer, number]),
        "sink_turn": (number, [pointer, pointer, number]),
        "sink_feedback": (number, [pointer, number, pointer]),
        "sink_nack": (number, [pointer, number, pointer]),
        "sink_report": (number, [pointer, number, number, pointer]),
        "sink_reset": (None, [pointer]),
        "sink_counts": (None, [pointer, pointer]),
        "sink_times": (None, [pointer, number, pointer]),
    }
    for name, (result, arguments) in signatures.items():
        function = getattr(lib, name)
        function.restype, function.argtypes = result, arguments
    return lib


class Sink:
    """All viewers of a load process. Sockets are added once they are connected, and removed before they close."""

    def __init__(self, protect_rtcp: int | None) -> None:
        """`protect_rtcp`: the address of libsrtp's function; None sends no feedback."""
        self._lib = library()
        self._sink = self._lib.sink_create(protect_rtcp)
        self._timer: asyncio.TimerHandle | None = None
        self._out = ctypes.create_string_buffer(OUT_BYTES)
        self._rtcp = ctypes.create_string_buffer(RTCP_BYTES)
        self._on_record: dict[int, OnRecord] = {}

    def start(self) -> None:
        """Turn by turn from now on, in this event loop."""
        loop = asyncio.get_running_loop()
        began_s = loop.time()
        self.turn()
        self._timer = loop.call_at(max(began_s + TURN_S, loop.time()), self.start)

    def close(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._lib.sink_destroy(self._sink)

    def add(
        self,
        fd: int,
        session: int,
        *,
        transport_seq_id: int,
        kinds: dict[int, str],
        random: int,
        on_record: OnRecord,
    ) -> int:
        """`session`: the handle of libsrtp's that encrypts what the viewer sends; it must outlive the viewer. `kinds`:
        payload type to audio, video or rtx. `on_record(packet, arrival_ns)` gets what is not RTP and a sample of what is.
        Raises OSError."""
        table = bytes(KINDS.get(kinds.get(pt, ""), 0) for pt in range(128))
        index: int = self._lib.sink_add(self._sink, fd, session, transport_seq_id, table, random)
        if index < 0:
            raise OSError("a viewer's socket was not accepted")
        self._on_record[index] = on_record
        return index

    def remove(self, index: int) -> None:
        self._lib.sink_remove(self._sink, index)
        self._on_record.pop(index, None)

    def sample(self, every: int) -> None:
        """One RTP packet in so many goes to its viewer's `on_record`."""
        self._lib.sink_sample(self._sink, every)

    def heard(self, index: int, ssrc: int, middle: int, arrival_ns: int) -> None:
        """A sender report; `middle`: the middle 32 bits of its NTP time."""
        self._lib.sink_heard(self._sink, index, ssrc, middle, arrival_ns)

    def reset(self) -> None:
        self._lib.sink_reset(self._sink)

    def counts(self) -> dict[str, int]:
        found = (ctypes.c_uint64 * 6)()
        self._lib.sink_counts(self._sink, found)
        return dict(zip(COUNTS, found, strict=True))

    def times(self, index: int) -> tuple[int, int]:
        found = (ctypes.c_int64 * 2)()
        self._lib.sink_times(self._sink, index, found)
        return found[0], found[1]

    def feedback(self, index: int) -> bytes:
        return self._written(self._lib.sink_feedback(self._sink, index, self._rtcp))

    def nack(self, index: int) -> bytes:
        return self._written(self._lib.sink_nack(self._sink, index, self._rtcp))

    def reports(self, index: int) -> Iterator[bytes]:
        for n in range(STREAMS_MAX):
            length = self._lib.sink_report(self._sink, index, n, self._rtcp)
            if not length:
                return
            yield self._written(length)

    def _written(self, length: int) -> bytes:
        return ctypes.string_at(self._rtcp, length)

    def turn(self) -> None:
        """Read every socket once and send what feedback is due."""
        used = self._lib.sink_turn(self._sink, self._out, OUT_BYTES)
        for index, arrival_ns, data in _records(ctypes.string_at(self._out, used)):
            on_record = self._on_record.get(index)
            if on_record is not None:
                on_record(data, arrival_ns)


def _records(data: bytes) -> Iterator[tuple[int, int, bytes]]:
    at = 0
    while at < len(data):
        index, size, arrival_ns = RECORD.unpack_from(data, at)
        at += RECORD.size
        yield index, arrival_ns, data[at : at + size]
        at += size
