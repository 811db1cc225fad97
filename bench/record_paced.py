"""Records how Chromium spaces and sizes its packets at about 2.2 Mbit/s, for the bench's `paced` traffic.

Two peer connections in one page send a busy synthetic picture through a relay on loopback, so that Chromium's own
congestion control and pacer decide. Needs Chromium and Playwright. Writes `bench/paced.csv`: one packet a line,
`us` since the first, `bytes` of RTP before encryption, `kind`, `frame` (its RTP timestamp, counted from 0) and `marker`.

    python -m bench.record_paced [--seconds 10] [--out bench/paced.csv]
"""

import argparse
import asyncio
import csv
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from playwright.async_api import async_playwright

from bench.chromium import CHROMIUM, FLAGS

WARM_UP_S = 12  # until the bandwidth estimate allows what is asked for
TARGET_BPS = 2_200_000
# A canvas with drifting noise and shapes: enough detail that the encoder uses its whole budget, never two frames alike.
PAGE = """
async ([portA, portB, bps]) => {
  const canvas = document.createElement("canvas");
  canvas.width = 1280; canvas.height = 720;
  const g = canvas.getContext("2d");
  const noise = document.createElement("canvas");
  noise.width = 160; noise.height = 90;
  const n = noise.getContext("2d");
  const pixels = n.createImageData(160, 90);
  let t = 0;
  const draw = () => {
    t++;
    for (let i = 0; i < pixels.data.length; i += 4) {
      const v = 128 + 60 * Math.sin((i % 640) / 40 + t / 9) + 40 * Math.random();
      pixels.data[i] = v; pixels.data[i + 1] = 255 - v; pixels.data[i + 2] = v / 2; pixels.data[i + 3] = 255;
    }
    n.putImageData(pixels, 0, 0);
    g.drawImage(noise, 0, 0, 1280, 720);
    g.fillStyle = "#225";
    g.beginPath();
    g.arc(640 + 300 * Math.sin(t / 20), 360 + 150 * Math.cos(t / 17), 140, 0, 7);
    g.fill();
  };
  setInterval(draw, 33);
  const stream = canvas.captureStream(30);
  const microphone = await navigator.mediaDevices.getUserMedia({ audio: true });
  const a = new RTCPeerConnection(), b = new RTCPeerConnection();
  window.pair = [a, b];
  a.addTrack(microphone.getAudioTracks()[0]);
  const sender = a.addTrack(stream.getVideoTracks()[0]);
  const parameters = sender.getParameters();
  parameters.encodings[0].maxBitrate = bps;
  await sender.setParameters(parameters);
  const video = document.createElement("video");
  video.muted = true; video.autoplay = true;
  b.ontrack = (event) => { if (event.track.kind === "video") video.srcObject = new MediaStream([event.track]); };
  const gathered = (pc) => new Promise((done) => {
    if (pc.iceGatheringState === "complete") done();
    pc.onicegatheringstatechange = () => pc.iceGatheringState === "complete" && done();
  });
  // Every candidate of the other side is the relay.
  const through = (sdp, port) => sdp.replace(/a=candidate:.*\\r\\n/g, "")
    .replace(/a=mid:(\\S+)\\r\\n/g, `a=mid:$1\\r\\na=candidate:1 1 udp 2130706431 127.0.0.1 ${port} typ host\\r\\n`);
  await a.setLocalDescription(); await gathered(a);
  await b.setRemoteDescription({ type: "offer", sdp: through(a.localDescription.sdp, portB) });
  await b.setLocalDescription(); await gathered(b);
  await a.setRemoteDescription({ type: "answer", sdp: through(b.localDescription.sdp, portA) });
}
"""
STATE = """async () => {
  const found = { state: pair[0].connectionState };
  for (const report of (await pair[0].getStats()).values()) {
    if (report.type === "transport") found.cipher = report.srtpCipher;
    if (report.type === "candidate-pair" && report.nominated) found.bps = report.availableOutgoingBitrate;
    if (report.type === "outbound-rtp" && report.kind === "video")
      Object.assign(found, { fps: report.framesPerSecond, width: report.frameWidth, codec: report.codecId });
  }
  return found;
}"""


class Relay(asyncio.DatagramProtocol):
    """One end of the way between the two connections: what comes in here leaves from the other end."""

    def __init__(self) -> None:
        self.other: Relay
        self.source: tuple[str, int] | None = None
        self.seen: list[tuple[int, bytes, int]] | None = None

    def connection_made(self, transport: Any) -> None:
        self.transport = transport

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        self.source = addr
        if self.seen is not None and 127 < data[0] < 192 and not 191 < data[1] < 224:
            self.seen.append((time.monotonic_ns(), data[:12], len(data)))
        if self.other.source is not None:
            self.other.transport.sendto(data, self.other.source)


async def relay() -> tuple[Relay, Relay]:
    loop = asyncio.get_running_loop()
    ends = [(await loop.create_datagram_endpoint(Relay, local_addr=("127.0.0.1", 0)))[1] for _ in range(2)]
    ends[0].other, ends[1].other = ends[1], ends[0]
    return ends[0], ends[1]


def rows(seen: Sequence[tuple[int, bytes, int]], tag_bytes: int) -> list[dict[str, int | str]]:
    """The trace from a frame's first packet on. Video is the busier of the payload types, audio the next."""
    per_type = sorted({head[1] & 127 for _, head, _ in seen}, key=lambda pt: -_bytes(seen, pt))
    kinds = dict(zip(per_type, ("video", "audio"), strict=False))
    kept = [(at, head, size) for at, head, size in seen if head[1] & 127 in kinds]
    frames: dict[bytes, int] = {}
    found: list[dict[str, int | str]] = []
    for at, head, size in kept:
        kind = kinds[head[1] & 127]
        frame = frames.setdefault(head[4:8], len(frames)) if kind == "video" else 0
        found.append(
            {
                "us": (at - kept[0][0]) // 1000,
                "bytes": size - tag_bytes,
                "kind": kind,
                "frame": frame,
                "marker": head[1] >> 7,
            }
        )
    return found


def _bytes(seen: Sequence[tuple[int, bytes, int]], pt: int) -> int:
    return sum(size for _, head, size in seen if head[1] & 127 == pt)


async def record(seconds: float, out: Path) -> None:
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=CHROMIUM, args=[*FLAGS])
        page = await browser.new_page()
        await page.goto("about:blank")
        context_page = await _secure_page(page)
        a, b = await relay()
        ports = [end.transport.get_extra_info("sockname")[1] for end in (a, b)]
        await context_page.evaluate(PAGE, [*ports, TARGET_BPS])
        await asyncio.sleep(WARM_UP_S)
        a.seen = []
        await asyncio.sleep(seconds)
        seen, a.seen = a.seen, None
        state = await context_page.evaluate(STATE)
        await browser.close()
    found = rows(seen, 16 if "GCM" in state["cipher"] else 10)
    with out.open("w", newline="", encoding="ascii") as file:
        writer = csv.DictWriter(file, fieldnames=list(found[0]))
        writer.writeheader()
        writer.writerows(found)
    print(
        state, len(found), "packets,", sum(int(row["bytes"]) for row in found) * 8 / seconds / 1e6, "Mbit/s"
    )


async def _secure_page(page: Any) -> Any:
    """getUserMedia needs a secure origin: any made-up localhost address, answered by Playwright itself."""
    await page.route("**/*", lambda route: route.fulfill(body="<!doctype html>", content_type="text/html"))
    await page.goto("http://localhost/")
    return page


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seconds", type=float, default=10)
    parser.add_argument("--out", type=Path, default=Path(__file__).with_name("paced.csv"))
    options = parser.parse_args()
    asyncio.run(record(options.seconds, options.out))
