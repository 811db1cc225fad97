"""One WebSocket: a reader, a writer with a bounded queue, one ending.

Nobody else awaits a client: `send` never blocks, so one slow client cannot hold up the others. A client whose queue
is full is dropped (`slow_client`).
"""

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from typing import Self

import structlog
from aiohttp import WSMsgType, web

from signaling.clock import Clock
from signaling.rooms.endings import Conclusion, Ending, conclude
from signaling.rooms.wire import ClientMessage, Error, ServerMessage, WireError, encode, parse

log = structlog.get_logger()

QUEUE_MAX = 256
FRAME_READ_MAX = 1024 * 1024  # larger frames are cut off by the library, with close code 1009
PING_S = 10.0
CLOSE_S = 3.0
MESSAGES_BURST = 300
MESSAGES_PER_S = 60
FAULTS_MAX = 20


class Channel:
    """Use as `async with Channel(...) as channel`, then read `messages()` and `send`."""

    def __init__(self, ws: web.WebSocketResponse, clock: Clock, request: web.Request) -> None:
        self._ws = ws
        self._clock = clock
        self._request = request
        self._queue: deque[str] = deque()
        self._ready = asyncio.Event()
        self._drained = asyncio.Event()
        self._conclusion: Conclusion | None = None
        self._writer: asyncio.Task[None] | None = None
        self._tokens = float(MESSAGES_BURST)
        self._tokens_at_ns = clock.now_ns()
        self._faults = 0
        self.about: dict[str, str] = {}

    async def __aenter__(self) -> Self:
        self._writer = asyncio.create_task(self._write(), name="ws-writer")
        return self

    async def __aexit__(self, *_error: object) -> None:
        """After the reader is done: lets the writer say the last word, then the connection is over."""
        assert self._writer is not None
        if self._conclusion is None:
            self._writer.cancel()
        done, _ = await asyncio.wait({self._writer}, timeout=CLOSE_S)
        if not done:
            self._writer.cancel()
            self._abort()
            await asyncio.wait({self._writer})

    @property
    def ended(self) -> bool:
        return self._conclusion is not None

    def send(self, message: ServerMessage) -> None:
        if not self.ended:
            self.send_text(encode(message))

    def send_text(self, text: str) -> None:
        """A message that was encoded already, once for many."""
        if self.ended:
            return
        if len(self._queue) >= QUEUE_MAX:
            self._queue.clear()
            self.end(Ending("slow_client"))
            return
        self._queue.append(text)
        self._ready.set()

    def refuse(self, error: WireError) -> None:
        """Tell the client that its message was not taken."""
        self.send(Error(error.code, error.message, error.re))

    def end(self, ending: Ending) -> None:
        """The last message, then the close. The first ending stands."""
        if self.ended:
            return
        self._conclusion = conclude(ending, **self.about)
        self._ready.set()
        self._drained.set()
        asyncio.get_running_loop().call_later(CLOSE_S, self._abort)

    async def messages(self) -> AsyncIterator[ClientMessage]:
        """What the client sends, until it goes or is ended. What cannot be read is refused here."""
        async for frame in self._ws:
            await self._breathe()
            if self.ended:
                return
            if not self._take_token():
                self.end(Ending("rate_limited"))
                return
            try:
                yield _read(frame.type, frame.data)
            except WireError as error:
                self._fault(error)

    async def first(self, timeout_s: float) -> ClientMessage | None:
        """The first message, None when there was none in time. Raises WireError."""
        try:
            async with asyncio.timeout(timeout_s):
                frame = await self._ws.receive()
        except TimeoutError:
            return None
        if frame.type in {WSMsgType.CLOSE, WSMsgType.CLOSING, WSMsgType.CLOSED, WSMsgType.ERROR}:
            return None
        return _read(frame.type, frame.data)

    async def _breathe(self) -> None:
        """Whoever asks faster than it reads the answers waits for itself, instead of filling its own queue."""
        while len(self._queue) > QUEUE_MAX // 2 and not self.ended:
            self._drained.clear()
            await self._drained.wait()

    def _fault(self, error: WireError) -> None:
        self._faults += 1
        self.refuse(error)
        if self._faults > FAULTS_MAX:
            self.end(Ending("protocol_error"))

    def _take_token(self) -> bool:
        now_ns = self._clock.now_ns()
        gained = (now_ns - self._tokens_at_ns) * MESSAGES_PER_S / 1e9
        self._tokens = min(float(MESSAGES_BURST), self._tokens + gained) - 1
        self._tokens_at_ns = now_ns
        return self._tokens >= 0

    async def _write(self) -> None:
        try:
            while not self._ws.closed:
                await self._ready.wait()
                self._ready.clear()
                await self._flush()
                if self._conclusion is not None:
                    await self._ws.send_str(encode(self._conclusion.message))
                    await self._ws.close(code=self._conclusion.close_code)
        except (ConnectionError, RuntimeError):
            pass  # the client went away; the reader notices

    async def _flush(self) -> None:
        while self._queue:
            await self._ws.send_str(self._queue.popleft())
            self._drained.set()

    def _abort(self) -> None:
        transport = self._request.transport
        if transport is not None and not self._ws.closed:
            transport.abort()


def _read(kind: WSMsgType, data: object) -> ClientMessage:
    if kind is not WSMsgType.TEXT or not isinstance(data, str):
        raise WireError("binary", "messages are text frames")
    return parse(data)
