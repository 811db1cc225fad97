"""A tiny aiohttp application in front of the media server, and the page that real browsers open on it."""

import asyncio
import json
import os
import time
from dataclasses import asdict
from typing import Any

from aiohttp import WSMsgType, web

from bench import chromium
from mediaserver.errors import MediaError
from mediaserver.events import Closed, MediaConfig, MediaEvent, Offer, RoomOptions
from mediaserver.server import MediaServer

FLAGS = [*chromium.FLAGS, "--autoplay-policy=no-user-gesture-required"]

PAGE = """<!doctype html><title>media test</title><body><script type="module">
const id = new URLSearchParams(location.search).get("id");
// "tcp": as in a network that lets no UDP out.
const only = new URLSearchParams(location.search).get("only");
const reachable = (sdp) => sdp.split("\\r\\n").filter(
  line => !only || !line.startsWith("a=candidate") || line.split(" ")[2] === only).join("\\r\\n");
const ws = new WebSocket(`ws://${location.host}/ws?id=${id}`);
const published = [];
let sub = new RTCPeerConnection();
let pub = null;
window.tracks = [];
window.states = [];
window.ended = null;
window.sub = sub;
sub.onconnectionstatechange = () => states.push(sub.connectionState);
sub.ontrack = ({track, streams}) => {
  const element = document.createElement(track.kind);
  element.autoplay = true;
  element.srcObject = streams[0] ?? new MediaStream([track]);
  document.body.append(element);
};
ws.onmessage = async ({data}) => {
  const message = JSON.parse(data);
  if (message.type === "offer") {
    await sub.setRemoteDescription({type: "offer", sdp: reachable(message.sdp)});
    await sub.setLocalDescription();
    window.tracks = message.tracks;
    ws.send(JSON.stringify({type: "answer", offer_id: message.offer_id, sdp: sub.localDescription.sdp}));
  } else if (message.type === "published") {
    published.shift()(message);
  } else if (message.type === "closed") {
    window.ended = message;
  }
};
window.open_ = new Promise(resolve => { ws.onopen = resolve; });
window.publish = async (constraints, sendEncodings) => {
  await window.open_;
  const stream = await navigator.mediaDevices.getUserMedia(constraints);
  pub ??= new RTCPeerConnection();
  window.pub = pub;
  for (const track of stream.getTracks()) pub.addTransceiver(track, {direction: "sendonly", streams: [stream],
    ...(sendEncodings && track.kind === "video" ? {sendEncodings} : {})});
  return await renegotiate();
};
window.renegotiate = async () => {
  await pub.setLocalDescription();
  const answered = new Promise(resolve => published.push(resolve));
  ws.send(JSON.stringify({type: "publish", sdp: pub.localDescription.sdp}));
  const answer = await answered;
  if (answer.error) return answer.error;
  await pub.setRemoteDescription({type: "answer", sdp: reachable(answer.sdp)});
  return "ok";
};
window.inbound = async (kind) => {
  const report = [...(await sub.getStats()).values()];
  return report.filter(s => s.type === "inbound-rtp" && s.kind === kind).map(s => ({
    mid: s.mid, frames: s.framesDecoded ?? 0, packets: s.packetsReceived, lost: s.packetsLost,
    energy: s.totalAudioEnergy ?? 0, nacks: s.nackCount ?? 0, rtx: s.retransmittedPacketsReceived ?? 0,
    codec: report.find(c => c.id === s.codecId)?.mimeType ?? "", plis: s.pliCount ?? 0,
    skew: s.estimatedPlayoutTimestamp ?? 0, width: s.frameWidth ?? 0, dropped: s.framesDropped ?? 0,
    freezes: s.freezeCount ?? 0, frozen_s: s.totalFreezesDuration ?? 0, key_frames: s.keyFramesDecoded ?? 0}));
};
window.paths = async () => {
  const reports = [];
  for (const pc of [sub, pub]) if (pc) reports.push(...(await pc.getStats()).values());
  const pairs = reports.filter(s => s.type === "transport").map(s => s.selectedCandidatePairId);
  const used = reports.filter(s => pairs.includes(s.id)).map(s => s.localCandidateId);
  return reports.filter(s => used.includes(s.id)).map(s => s.protocol);
};
window.outbound = async () => {
  const report = [...(await pub.getStats()).values()];
  return report.filter(s => s.type === "outbound-rtp" || s.type === "remote-inbound-rtp"
    || s.type === "candidate-pair").map(s => ({...s}));
};
</script>"""


class App:
    """Participants get their gate-less place in one room by opening `/ws?id=…`."""

    def __init__(self, options: RoomOptions, metered: frozenset[str] = frozenset(), **config: Any) -> None:
        self.options = options
        self.metered = metered
        self.sockets: dict[str, web.WebSocketResponse] = {}
        self.events: list[MediaEvent] = []
        self._sends: set[asyncio.Task[None]] = set()
        self.media = MediaServer(
            MediaConfig(port=0, **{"addresses": ("127.0.0.1",)} | config),
            now_ns=lambda: time.clock_gettime_ns(time.CLOCK_BOOTTIME),
            random_bytes=os.urandom,
            on_event=self._on_event,
        )

    def application(self) -> web.Application:
        app = web.Application()
        app.router.add_get("/", self._page)
        app.router.add_get("/ws", self._ws)
        app.on_startup.append(self._start)
        app.on_cleanup.append(self._stop)
        return app

    async def _start(self, _app: web.Application) -> None:
        await self.media.start()
        await self.media.set_lease(time.clock_gettime_ns(time.CLOCK_BOOTTIME) // 1_000_000 + 3_600_000)

    async def _stop(self, _app: web.Application) -> None:
        await self.media.close()

    async def _page(self, _request: web.Request) -> web.Response:
        return web.Response(text=PAGE, content_type="text/html")

    def _on_event(self, event: MediaEvent) -> None:
        self.events.append(event)
        if isinstance(event, Offer):
            self._send(event.participant_id, {"type": "offer", **asdict(event)})
        elif isinstance(event, Closed):
            self._send(event.participant_id, {"type": "closed", **asdict(event)})

    def _send(self, participant_id: str, message: dict[str, object]) -> None:
        ws = self.sockets.get(participant_id)
        if ws is not None and not ws.closed:
            task = asyncio.create_task(ws.send_json(message))
            self._sends.add(task)
            task.add_done_callback(self._sends.discard)

    async def _ws(self, request: web.Request) -> web.WebSocketResponse:
        participant_id = request.query["id"]
        ws = web.WebSocketResponse()
        await ws.prepare(request)
        self.sockets[participant_id] = ws
        metered = participant_id in self.metered
        await self.media.add_participant(
            "room", participant_id, metered=metered, may_publish=True, options=self.options
        )
        async for message in ws:
            if message.type == WSMsgType.TEXT:
                await self._on_message(participant_id, json.loads(message.data))
        await self.media.remove_participant(participant_id)
        return ws

    async def _on_message(self, participant_id: str, message: dict[str, str]) -> None:
        if message["type"] == "answer":
            await self.media.answer(participant_id, int(message["offer_id"]), message["sdp"])
            return
        try:
            answer = await self.media.publish(participant_id, message["sdp"], {})
        except MediaError as error:
            self._send(participant_id, {"type": "published", "error": f"{error.code}: {error}"})
        else:
            self._send(participant_id, {"type": "published", "sdp": answer})
