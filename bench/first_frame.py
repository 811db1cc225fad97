"""From the join token to the first decoded frame, in Chromium over loopback: the whole server, the real pages.

    python -m bench.first_frame [--joins 20] [--plane auto]

A host is on the air; a viewer's page is opened again and again. The clock starts when the token has arrived and stops when the
decoder has made the first frame of it; the times between are told, too. One JSON line a join, then the medians. Ends non-zero
when the median is above 700 ms.
"""

import argparse
import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

from playwright.sync_api import Page, sync_playwright

from tests.browser import moves
from tests.browser.people import Person, launch
from tests.browser.server import Server

GOAL_MS = 700
JOIN_S = 20.0
# The pace of joins: nobody comes exactly when the last one has just had a keyframe.
PAUSES_MS = (300, 700, 1100)

# Of the subscribe transport: when the offer was there, when it was answered, when the connection was up; then what came.
STAGES = """
(() => {
  const stages = (window.stages = {});
  const note = (name) => { stages[name] ??= performance.now(); };
  new PerformanceObserver((list) => {
    for (const entry of list.getEntries()) if (entry.name.endsWith('/token')) stages.token ??= entry.responseEnd;
  }).observe({type: 'resource', buffered: true});
  const Native = window.RTCPeerConnection;
  window.RTCPeerConnection = class RTCPeerConnection extends Native {
    async setRemoteDescription(description) {
      if (description.type === 'offer' && description.sdp.includes('m=video')) { note('offer'); this.follow(); }
      return super.setRemoteDescription(description);
    }
    async setLocalDescription(description) {
      await super.setLocalDescription(description);
      if (stages.offer) note('answer');
    }
    async follow() {
      while (!stages.decoded) {
        if (this.iceConnectionState === 'connected') note('ice');
        if (this.connectionState === 'connected') note('connected');
        for (const report of (await this.getStats()).values()) {
          if (report.type !== 'inbound-rtp' || report.kind !== 'video') continue;
          if (report.packetsReceived > 0) note('packet');
          if (report.framesReceived > 0) note('frame');
          if (report.framesDecoded > 0) { note('decoded'); stages.packets = report.packetsReceived; stages.plis = report.pliCount; }
        }
        await new Promise((go) => setTimeout(go, 5));
      }
    }
  };
})();
"""
ORDER = ("token", "offer", "answer", "ice", "connected", "packet", "frame", "decoded")


def join(page: Page, url: str) -> dict[str, float]:
    """Open the call; ms since the page was opened, by stage. Raises TimeoutError."""
    page.goto(url)
    until_s = time.monotonic() + JOIN_S
    while time.monotonic() < until_s:
        stages: dict[str, float] = page.evaluate("window.stages")
        if "decoded" in stages and "token" in stages:
            return stages
        page.wait_for_timeout(50)
    raise TimeoutError(f"no frame: {page.evaluate('window.stages')}")


def measure(joins: int, plane: str) -> list[dict[str, float]]:
    found = []
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        server = Server(folder, MEDIA_PLANE=plane)
        stack.callback(server.stop)
        server.start()
        browser = launch(stack.enter_context(sync_playwright()))
        host, viewer = Person(browser, "Ana"), Person(browser, "Bo")
        room = server.create_room(privacy="conference")
        moves.host_enters(host, room)
        order = server.buy(room, "Bo")
        moves.come_with(viewer.page, order, server.url)
        viewer.context.add_init_script(STAGES)
        for number in range(joins):
            stages = join(viewer.page, f"{server.url}/r/{order.slug}/call")
            since_token = {name: round(at - stages["token"]) for name, at in stages.items() if name in ORDER}
            line = since_token | {"plis": stages["plis"], "load_average": round(os.getloadavg()[0], 1)}
            print(json.dumps(line), flush=True)
            found.append(line)
            viewer.page.goto("about:blank")
            viewer.page.wait_for_timeout(PAUSES_MS[number % len(PAUSES_MS)])
    return found


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--joins", type=int, default=20)
    parser.add_argument("--plane", choices=["auto", "native", "python"], default="auto")
    options = parser.parse_args(arguments)
    lines = measure(options.joins, options.plane)
    medians = {name: round(statistics.median(line[name] for line in lines if name in line)) for name in ORDER}
    print(f"median ms since the token: {medians}")
    return int(medians["decoded"] > GOAL_MS)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
