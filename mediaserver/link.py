"""One worker process as its owner sees it: started, asked, watched, ended once."""

import asyncio
import contextlib
import os
import signal
import socket
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from mediaserver.errors import MediaError, UnknownParticipantError
from mediaserver.events import Liveness, MediaConfig, MediaEvent
from mediaserver.wire import (
    Channel,
    Frame,
    WireError,
    from_plain,
    liveness_from_plain,
    to_error,
    to_plain,
)

START_S = 60.0
CLOSE_S = 4.0
# A caller who asks faster than the worker answers has a bug; the worker's own bound is the socket's.
CALLS_MAX = 20_000
# The worker reads what strangers send: it is handed nothing of ours that it does not need, least of all keys.
ENVIRONMENT = ("PATH", "HOME", "LANG", "LC_ALL", "TZ", "LD_LIBRARY_PATH", "MALLOC_ARENA_MAX", "ASAN_OPTIONS")
PACKAGES = Path(__file__).parents[1]


class WorkerLink:
    """`on_event` hears the worker's events in order, later than the call that caused them; `on_lost` is called once,
    when a worker that was ready is gone without having been asked to. All times are on the worker's own clock, which
    is this machine's CLOCK_BOOTTIME.
    """

    def __init__(
        self, on_event: Callable[[MediaEvent], None], on_lost: Callable[["WorkerLink"], None]
    ) -> None:
        self._on_event = on_event
        self._on_lost = on_lost
        self._channel = Channel(self._on_frame, self._on_channel_lost)
        self._calls: dict[int, asyncio.Future[Any]] = {}
        self._number = 0
        self._ready: asyncio.Future[int] | None = None
        self._process: asyncio.subprocess.Process | None = None
        self._polled: asyncio.Task[None] | None = None
        self._closing = False
        self.is_ready = False
        self.port = 0
        self.alive_ms = 0  # the latest time at which it is known to have lived
        self.liveness: dict[str, Liveness] = {}
        self.missed = 0  # pings in a row without a sign of life between them

    @property
    def pid(self) -> int:
        return 0 if self._process is None else self._process.pid

    # --- life ---

    async def start(self, config: MediaConfig) -> None:
        """Until it is ready. Raises PortInUseError, or RuntimeError when it ended or stayed silent; then it is gone."""
        self._ready = asyncio.get_running_loop().create_future()
        try:
            await self._spawn()
            self._channel.send(["start", to_plain(config)])
            async with asyncio.timeout(START_S):
                self.port = await self._ready
        except TimeoutError:
            raise RuntimeError(f"the media worker of port {config.port} did not start") from None
        finally:
            if not self._ready.done() or self._ready.cancelled() or self._ready.exception() is not None:
                await self.close()
        self.is_ready = True

    async def _spawn(self) -> None:
        ours, theirs = socket.socketpair()
        with theirs:
            environment = {name: os.environ[name] for name in ENVIRONMENT if name in os.environ}
            command = (sys.executable, "-m", "mediaserver.worker", str(os.getpid()))
            try:
                # A session of its own: Ctrl-C in a terminal reaches the owner alone, even while Python starts.
                self._process = await asyncio.create_subprocess_exec(
                    *command,
                    stdin=theirs.fileno(),
                    env=environment | {"PYTHONPATH": str(PACKAGES)},
                    start_new_session=True,
                )
            except BaseException:
                ours.close()
                raise
        await asyncio.get_running_loop().create_unix_connection(lambda: self._channel, sock=ours)

    def kill(self) -> None:
        """What no longer answers. Its end is then noticed like any other."""
        if self._process is not None and self._process.returncode is None:
            # Not by Process.kill, which may reap it: then nobody learns its exit status.
            with contextlib.suppress(ProcessLookupError):
                os.kill(self._process.pid, signal.SIGKILL)

    async def close(self) -> None:
        """Peers hear close_notify; returns when the process is gone. Safe to call again."""
        self._closing = True
        self.is_ready = False
        if self._process is None:
            return
        self._channel.send(["close"])
        try:
            async with asyncio.timeout(CLOSE_S):
                await self._process.wait()
        except TimeoutError:
            self.kill()
        await self.gone()
        self._channel.close()

    async def gone(self) -> int | None:
        """Until the process is gone; its exit status, negative for a signal."""
        if self._polled is not None:
            await asyncio.wait({self._polled})
        return None if self._process is None else await self._process.wait()

    def _on_channel_lost(self) -> None:
        """The socket ends with the process that holds its other end, at once."""
        was_ready, self.is_ready = self.is_ready, False
        self.kill()
        if self._ready is not None and not self._ready.done():
            self._ready.set_exception(RuntimeError("the media worker ended while starting"))
        if was_ready and not self._closing:
            self._on_lost(self)  # before the callers hear of it: what they ask next finds it gone
        self._fail_calls()

    def _fail_calls(self) -> None:
        calls, self._calls = self._calls, {}
        for call in calls.values():
            if not call.done():
                call.set_exception(UnknownParticipantError("its media ended with the worker that carried it"))

    # --- asking ---

    async def call(self, name: str, **arguments: Any) -> Any:
        """Raises what the door raises; UnknownParticipantError when the worker is gone, also meanwhile; RuntimeError
        for a bug in it."""
        if not self.is_ready:
            raise UnknownParticipantError("its media ended with the worker that carried it")
        if len(self._calls) >= CALLS_MAX:
            raise RuntimeError("the media worker does not answer")
        self._number += 1
        number, answered = self._number, asyncio.get_running_loop().create_future()
        self._channel.send(["call", number, name, to_plain(arguments)])
        self._calls[number] = answered
        try:
            return await answered
        finally:
            self._calls.pop(number, None)

    def set_lease(self, until_ms: int) -> None:
        """Never waits, so that one worker that hangs cannot cost the others their lease."""
        self._channel.send(["lease", until_ms])

    def ping(self) -> None:
        self.missed += 1
        self._channel.send(["ping"])

    @property
    def is_polling(self) -> bool:
        return self._polled is not None and not self._polled.done()

    def poll(self) -> asyncio.Task[None]:
        """Bring `liveness` up to date. Not while it `is_polling`."""
        self._polled = asyncio.create_task(self._poll())
        return self._polled

    async def _poll(self) -> None:
        try:
            at_ms, liveness = await self.call("liveness")
        except (MediaError, RuntimeError):
            return
        self.alive_ms, self.liveness = max(self.alive_ms, at_ms), liveness_from_plain(liveness)

    # --- hearing ---

    def _on_frame(self, frame: Frame) -> None:
        self.missed = 0
        match frame:
            case ["event", event]:
                # Later, in order with the answers, whose callers go on later too.
                asyncio.get_running_loop().call_soon(self._on_event, from_plain(event))
            case ["answer", int(number), value]:
                self._settle(number, value, None)
            case ["failed", int(number), str(code), str(words)]:
                self._settle(number, None, to_error(code, words))
            case ["pong", int(at_ms)]:
                self.alive_ms = max(self.alive_ms, at_ms)
            case ["ready", int(port)] if self._ready is not None and not self._ready.done():
                self._ready.set_result(port)
            case ["refused", str(code), str(words)] if self._ready is not None and not self._ready.done():
                self._ready.set_exception(to_error(code, words))
            case _:
                raise WireError("a frame that no worker sends")

    def _settle(self, number: int, value: Any, error: Exception | None) -> None:
        call = self._calls.get(number)
        if call is None or call.done():
            return  # its caller was cancelled
        if error is not None:
            call.set_exception(error)
        else:
            call.set_result(value)
