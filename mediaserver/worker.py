"""A process with one media server in it, driven through its standard input: `python -m mediaserver.worker OWNER_PID`.

It lives exactly as long as its owner: it leaves when the socket ends and is killed by the kernel when the owner dies.
SIGINT and SIGTERM, which a terminal or systemd send to every process of a service, are the owner's business alone.
"""

import asyncio
import ctypes
import gc
import inspect
import logging
import os
import signal
import socket
import sys
import time
from collections.abc import Callable, Coroutine, Mapping
from typing import Any

import uvloop

from mediaserver.errors import MediaError
from mediaserver.events import MediaConfig, MediaEvent
from mediaserver.server import MediaDoor, MediaServer
from mediaserver.wire import Channel, Frame, WireError, from_plain, liveness_to_plain, to_plain

log = logging.getLogger(__name__)

# What an owner may ask for by name: the door itself, but for its life and the lease, which have frames of their own.
CALLS = frozenset(
    {name for name, item in vars(MediaDoor).items() if inspect.iscoroutinefunction(item)}
    - {"start", "close", "set_lease"}
    | {"stats"}
)
INTERNAL = "internal"
CLOSE_S = 2.0
PR_SET_PDEATHSIG = 1


class Worker:
    """Frames in, calls on the media server, frames out. `done` is set when it is over."""

    def __init__(self, *, now_ns: Callable[[], int], random_bytes: Callable[[int], bytes]) -> None:
        self._now_ns = now_ns
        self._random_bytes = random_bytes
        self.channel = Channel(self._on_frame, self._on_lost)
        self.done = asyncio.Event()
        self._media: MediaServer | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._table: Mapping[str, Callable[..., Coroutine[Any, Any, None]]] = {
            "start": self._start,
            "call": self._call,
        }

    async def close(self) -> None:
        """Peers hear close_notify."""
        if self._media is not None:
            await self._media.close()
        self.channel.close()

    def _on_lost(self) -> None:
        self.done.set()

    def _on_frame(self, frame: Frame) -> None:
        match frame:
            case ["lease", int(until_ms)]:
                self._spawn(self._server().set_lease(until_ms))
            case ["ping"]:
                self.channel.send(["pong", self._now_ms()])
            case ["close"]:
                self.done.set()
            case [str(kind), *rest] if kind in self._table:
                self._spawn(self._table[kind](*rest))
            case _:
                raise WireError("a frame that no owner sends")

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        """Tasks begin in the order of the frames, as calls by several callers in one process would."""
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._spawned)

    def _spawned(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("the worker fails", exc_info=error)
            self.done.set()  # the owner notices, and starts another

    def _server(self) -> MediaServer:
        if self._media is None:
            raise WireError("the owner must say start first")
        return self._media

    def _now_ms(self) -> int:
        return self._now_ns() // 1_000_000

    async def _start(self, config: Any) -> None:
        made = from_plain(config)
        if not isinstance(made, MediaConfig) or self._media is not None:
            raise WireError("start once, with a configuration")
        self._media = MediaServer(
            made, now_ns=self._now_ns, random_bytes=self._random_bytes, on_event=self._tell
        )
        try:
            await self._media.start()
        except (MediaError, OSError) as error:
            self.channel.send(["refused", getattr(error, "code", INTERNAL), str(error)])
            self.done.set()
            return
        collect_garbage_rarely()
        self.channel.send(["ready", self._media.port])

    def _tell(self, event: MediaEvent) -> None:
        self.channel.send(["event", to_plain(event)])

    async def _call(self, number: int, name: str, arguments: dict[str, Any]) -> None:
        try:
            value = await self._ask(name, arguments)
        except MediaError as error:
            self.channel.send(["failed", number, error.code, str(error)])
        except Exception as error:  # our bug: told to the caller, and the others go on
            log.exception("%s failed", name)
            self.channel.send(["failed", number, INTERNAL, f"{type(error).__name__}: {error}"])
        else:
            self.channel.send(["answer", number, value])

    async def _ask(self, name: str, arguments: dict[str, Any]) -> Any:
        """Liveness comes with the time at which it was read, on this worker's clock."""
        if name not in CALLS:
            raise WireError(f"no call {name[:40]!r}")
        media = self._server()
        if name == "liveness":
            at_ms = self._now_ms()
            return [at_ms, liveness_to_plain(await media.liveness())]
        if name == "stats":
            return to_plain(media.stats())
        return to_plain(await getattr(media, name)(**from_plain(arguments)))


async def serve(sock: socket.socket, worker: Worker) -> None:
    """Until the owner says close, or is gone."""
    await asyncio.get_running_loop().create_unix_connection(lambda: worker.channel, sock=sock)
    await worker.done.wait()
    try:
        async with asyncio.timeout(CLOSE_S):
            await worker.close()
    except TimeoutError:
        pass  # the process ends, and with it whatever would not close


def collect_garbage_rarely() -> None:
    """A full collection over ten thousand live sessions stops every clock for about 100 ms (measured with `make
    bench-meter`), and packets with them. Nearly all of our objects die by reference counting, so cycles may wait: what
    stands after start is never looked at again, and full collections come some hundred times less often."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 50, 100)


def boot_ns() -> int:
    """CLOCK_BOOTTIME: one clock for all processes of a machine, so leases mean the same in each."""
    return time.clock_gettime_ns(time.CLOCK_BOOTTIME)


def die_with(owner_pid: int) -> None:
    """Have the kernel kill us when the owner dies; leave at once when it has died already."""
    if ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl")
    if os.getppid() != owner_pid:
        sys.exit(0)


async def _run(sock: socket.socket) -> None:
    await serve(sock, Worker(now_ns=boot_ns, random_bytes=os.urandom))


def main(arguments: list[str]) -> None:
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    die_with(int(arguments[0]))
    uvloop.run(_run(socket.socket(fileno=sys.stdin.fileno())))


if __name__ == "__main__":
    main(sys.argv[1:])
