"""Janus as Debian ships it, behind the same requests as `bench.media_server`. Started by `bench.media`.

    python -m bench.janus_server EVENT_LOOPS ADDRESS     (0 event loops: Janus's default, a thread per handle)

The room is a videoroom, spoken to over Janus's WebSocket on loopback; a viewer is one handle that subscribes to every
publisher of the room at once. Only the WebSocket transport and the videoroom plugin are loaded; what concerns media is left at its defaults.
"""

import asyncio
import contextlib
import json
import resource
import secrets
import shutil
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import uvloop

from bench.pipe import Message, emit, serve
from bench.usage import buffer_drops, process_usage

ROOM = 8444
PORT = 8188  # in a network namespace that holds nothing else
KEEP_ALIVE_S = 20
ANSWER_S = 20
CONFIG = Path("/etc/janus")
TRANSPORT = f"""general: {{
    ws = true
    ws_port = {PORT}
    ws_ip = "127.0.0.1"
}}
admin: {{
    admin_ws = false
}}
"""


def installed() -> str | None:
    """The version, None without Janus."""
    return shutil.which("janus")


def write_config(folder: Path, event_loops: int) -> None:
    """Debian's own configuration with the event loops set, and without what has nothing to do with the call."""
    lines = (CONFIG / "janus.jcfg").read_text(encoding="utf-8").splitlines()
    kept = [line.split("#")[0].rstrip() if "event_loops" not in line else "" for line in lines]
    text = "\n".join(line for line in kept if line)
    if event_loops:
        text = text.replace("general: {", f"general: {{\n\tevent_loops = {event_loops}", 1)
    for kind, wanted in (("plugins", "libjanus_videoroom.so"), ("transports", "libjanus_websockets.so")):
        found = re_folder(text, kind).glob("*.so")
        unwanted = ",".join(sorted(path.name for path in found if path.name != wanted))
        text = text.replace(f"\n{kind}: {{", f'\n{kind}: {{\n\tdisable = "{unwanted}"', 1)
    (folder / "janus.jcfg").write_text(text, encoding="utf-8")
    (folder / "janus.transport.websockets.jcfg").write_text(TRANSPORT, encoding="utf-8")


def re_folder(config: str, kind: str) -> Path:
    line = next(line for line in config.splitlines() if f"{kind}_folder" in line)
    return Path(line.split('"')[1])


class Api:
    """One session on Janus's WebSocket. Requests are matched by transaction; plugin answers come as events."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self._socket = socket
        self._waiting: dict[str, asyncio.Future[Message]] = {}
        self.hung_up: list[int] = []
        self.session = 0

    async def read(self) -> None:
        async for message in self._socket:
            self._take(json.loads(message.data))

    def _take(self, message: Message) -> None:
        if message["janus"] == "hangup":
            self.hung_up.append(message["sender"])
        future = self._waiting.get(message.get("transaction", ""))
        if future is None or future.done() or message["janus"] == "ack":
            return
        future.set_result(message)

    async def request(self, janus: str, **fields: Any) -> Message:
        """Raises RuntimeError with Janus's own error, TimeoutError."""
        transaction = secrets.token_hex(8)
        future = self._waiting[transaction] = asyncio.get_running_loop().create_future()
        session = {"session_id": self.session} if self.session else {}
        await self._socket.send_json({"janus": janus, "transaction": transaction, **session, **fields})
        try:
            async with asyncio.timeout(ANSWER_S):
                reply: Message = await future
        finally:
            del self._waiting[transaction]
        error = reply.get("error") or reply.get("plugindata", {}).get("data", {}).get("error")
        if error:
            raise RuntimeError(f"Janus, asked {janus}: {error}")
        return reply

    async def attach(self) -> int:
        reply = await self.request("attach", plugin="janus.plugin.videoroom")
        return int(reply["data"]["id"])

    async def message(self, handle: int, body: Message, jsep: Message | None = None) -> Message:
        more = {"jsep": jsep} if jsep else {}
        return await self.request("message", handle_id=handle, body=body, **more)

    async def keep_alive(self) -> None:
        while True:
            await asyncio.sleep(KEEP_ALIVE_S)
            await self._socket.send_json(
                {"janus": "keepalive", "session_id": self.session, "transaction": secrets.token_hex(8)}
            )


class Driver:
    """One request, one step of Janus's signaling."""

    def __init__(self, api: Api, pid: int) -> None:
        self._api = api
        self._pid = pid
        self._handles: dict[str, int] = {}
        self._feeds: list[int] = []

    async def handle(self, op: str, args: Message) -> Message:
        result: Any = await getattr(self, f"_{op}")(**args)
        return result or {}

    async def create_room(self) -> None:
        handle = await self._api.attach()
        room = {"request": "create", "room": ROOM, "publishers": 8, "bitrate": 0}
        await self._api.message(handle, {**room, "audiocodec": "opus", "videocodec": "vp8"})

    async def _add(self, participant_id: str, *, host: bool) -> None:
        handle = self._handles[participant_id] = await self._api.attach()
        if host:
            return
        streams = [{"feed": feed} for feed in self._feeds]
        join = {"request": "join", "ptype": "subscriber", "room": ROOM, "streams": streams}
        reply = await self._api.message(handle, join)
        offer = {"participant_id": participant_id, "offer_id": 1, "sdp": reply["jsep"]["sdp"]}
        emit({"event": "Offer", **offer})

    async def _publish(self, participant_id: str, sdp: str) -> Message:
        handle = self._handles[participant_id]
        joined = await self._api.message(handle, {"request": "join", "ptype": "publisher", "room": ROOM})
        self._feeds.append(joined["plugindata"]["data"]["id"])
        reply = await self._api.message(handle, {"request": "publish"}, {"type": "offer", "sdp": sdp})
        return {"sdp": reply["jsep"]["sdp"]}

    async def _answer(self, participant_id: str, offer_id: int, sdp: str) -> None:
        handle = self._handles[participant_id]
        await self._api.message(handle, {"request": "start"}, {"type": "answer", "sdp": sdp})

    async def _open(self, participant_id: str, allow_ms: int | None) -> None:
        """Janus has no gate."""

    async def _remove(self, participant_id: str) -> None:
        await self._api.request("detach", handle_id=self._handles.pop(participant_id))

    async def _usage(self) -> Message:
        return {**process_usage(self._pid), "buffer_drops": buffer_drops(), "hung_up": len(self._api.hung_up)}


@contextlib.asynccontextmanager
async def janus(event_loops: int, address: str) -> AsyncIterator[asyncio.subprocess.Process]:
    with tempfile.TemporaryDirectory() as folder:
        write_config(Path(folder), event_loops)
        null = asyncio.subprocess.DEVNULL
        process = await asyncio.create_subprocess_exec(
            "janus", "-F", folder, "-i", address, stdin=null, stdout=null, stderr=null
        )
        try:
            yield process
        finally:
            process.kill()
            await process.wait()


async def connect(http: aiohttp.ClientSession) -> aiohttp.ClientWebSocketResponse:
    """As soon as Janus listens. Raises TimeoutError after 10 s."""
    until = time.monotonic() + 10
    while True:
        try:
            return await http.ws_connect(f"ws://127.0.0.1:{PORT}/", protocols=("janus-protocol",))
        except aiohttp.ClientConnectionError:
            if time.monotonic() > until:
                raise TimeoutError("Janus did not come up") from None
            await asyncio.sleep(0.1)


async def main(event_loops: int, address: str) -> None:
    # Janus holds several descriptors for each handle.
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    async with janus(event_loops, address) as process, aiohttp.ClientSession() as http:
        socket = await connect(http)
        api = Api(socket)
        tasks = [asyncio.create_task(api.read()), asyncio.create_task(api.keep_alive())]
        api.session = int((await api.request("create"))["data"]["id"])
        driver = Driver(api, process.pid)
        await driver.create_room()
        await serve(driver.handle)
        for task in tasks:
            task.cancel()
        await socket.close()


if __name__ == "__main__":
    uvloop.run(main(int(sys.argv[1]), sys.argv[2]))
