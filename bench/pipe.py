"""Talk between the bench and its processes: one JSON object a line, requests with an id, events without."""

import asyncio
import json
import sys
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Self

Message = dict[str, Any]
Handler = Callable[[str, Message], Awaitable[Message]]
LINE_MAX = 1 << 24  # the delays of a window with a thousand viewers come in one line


def emit(message: Message) -> None:
    """One line on standard output. Blocks when the parent does not read: it always does."""
    sys.stdout.write(json.dumps(message) + "\n")
    sys.stdout.flush()


async def serve(handle: Handler) -> None:
    """Answer requests from standard input, each in a task of its own, until it ends."""
    reader = asyncio.StreamReader(LINE_MAX)
    await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(reader), sys.stdin
    )
    async with asyncio.TaskGroup() as group:
        while line := await reader.readline():
            group.create_task(_answer(handle, json.loads(line)))


async def _answer(handle: Handler, request: Message) -> None:
    number, op = request.pop("id"), request.pop("op")
    try:
        reply = await handle(op, request)
    except Exception as error:  # noqa: BLE001  the parent raises it again with its text
        emit({"re": number, "error": f"{type(error).__name__}: {error}"})
    else:
        emit({"re": number, **reply})


class Child:
    """A process that answers requests. Use as an async context manager; leaving ends the process."""

    def __init__(
        self,
        *command: str,
        prefix: Sequence[str] = (),
        on_event: Callable[[Message], None] = lambda _message: None,
    ) -> None:
        """`command`: a module and its arguments; `prefix`: what starts it elsewhere (`ip netns exec NAME`)."""
        self._command = command
        self._prefix = prefix
        self._on_event = on_event
        self._waiting: dict[int, asyncio.Future[Message]] = {}
        self._number = 0
        self._ended = False

    async def __aenter__(self) -> Self:
        pipe = asyncio.subprocess.PIPE
        self._process = await asyncio.create_subprocess_exec(
            *self._prefix, sys.executable, "-m", *self._command, stdin=pipe, stdout=pipe, limit=LINE_MAX
        )
        self._reading = asyncio.create_task(self._read())
        return self

    async def __aexit__(self, *_exc: object) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        try:
            await asyncio.wait_for(self._process.wait(), 5)
        except TimeoutError:
            self._process.kill()
            await self._process.wait()
        await self._reading

    @property
    def pid(self) -> int:
        return self._process.pid

    async def request(self, op: str, **args: Any) -> Message:
        """Raises RuntimeError with the child's own error."""
        assert self._process.stdin is not None
        if self._ended:
            raise RuntimeError(f"{self._command[0]} ended")
        self._number += 1
        future = self._waiting[self._number] = asyncio.get_running_loop().create_future()
        self._process.stdin.write(json.dumps({"id": self._number, "op": op, **args}).encode() + b"\n")
        reply: Message = await future
        return reply

    async def _read(self) -> None:
        assert self._process.stdout is not None
        try:
            while line := await self._process.stdout.readline():
                self._take(json.loads(line))
        finally:
            # Nobody must wait for an answer that cannot come any more: of a child that ended, or wrote what is no answer.
            self._ended = True
            for future in self._waiting.values():
                if not future.done():
                    future.set_exception(RuntimeError(f"{self._command[0]} ended"))

    def _take(self, message: Message) -> None:
        if "re" not in message:
            self._on_event(message)
            return
        future = self._waiting.pop(message.pop("re"))
        if future.done():
            return
        if "error" in message:
            future.set_exception(RuntimeError(message["error"]))
        else:
            future.set_result(message)
