"""A call through a bad line: how much of the picture arrives, in Chromium and in Firefox. Needs root.

The whole server runs in one network namespace, the browsers in another. A Chromium host shows a moving 720p picture over a
clean line; one viewer at a time watches it over a bad one (`bench.link`), joining anew for each case, so that joining over it
is measured too. Delays are one way, each way: "50 ms" is a round trip of 100. Loss is drawn for each packet, each way.

    python -m bench.lossy [--browsers chromium firefox] [--cases clean "loss5 delay50" ...] [--seconds 20] [--plane auto]
                          [--side viewer | host]

With `--side host` it is the host's line that is bad, and the viewer's is clean.

One JSON line a case, then a table. Ends non-zero when at 5 % loss and 50 ms under 95 % of the frames that the host sent were
decoded, or the picture stood still for over a second.
"""

import argparse
import itertools
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, Error, Page, Playwright, sync_playwright

from bench import netns
from bench.chromium import CHROMIUM
from bench.link import Line, Link
from bench.picture import HEIGHT, write_picture
from tests.browser import moves
from tests.browser.people import FIREFOX, FIREFOX_PREFS, FLAGS, Person
from tests.browser.server import Order, Server

SERVER_BAD_ADDRESS = "10.78.0.1"
BROWSERS_BAD_ADDRESS = "10.78.0.2"
WARM_UP_S = 20.0
SETTLE_S = 5.0
FIRST_FRAME_S = 30.0
TIME_MAX_S = 1200.0
DROP_BPS = 300_000
DROP_S = 10.0
AFTER_DROP_S = 20.0
DROP = "drop300k"
CASES: dict[str, Line] = {
    "clean": Line(),
    "loss5": Line(loss=0.05),
    "loss10": Line(loss=0.10),
    "delay50": Line(delay_ms=50),
    "delay200": Line(delay_ms=200),
    "loss5 delay50": Line(loss=0.05, delay_ms=50),
    "loss10 delay200": Line(loss=0.10, delay_ms=200),
    DROP: Line(delay_ms=25),
}
BAR = "loss5 delay50"
BAR_DECODED = 0.95
BAR_FREEZE_MS = 1000
# Recovered: from here on, in two seconds at least nine of ten frames, and no gap of half a second.
RECOVERED_WINDOW_MS = 2000
RECOVERED_PART = 0.9
RECOVERED_GAP_MS = 500
COLUMNS = ["browser", "case", "first_frame_ms", "sent", "decoded", "decoded_part", "longest_freeze_ms", "freezes", "freezes_s",
           "recovery_s", "nacks", "plis", "retransmitted", "lost", "jitter_buffer_ms", "heights", "kbps", "load_average"]  # fmt: skip

# The page's own connections speak to one address of the server, over UDP.
ONE_ADDRESS = """
(() => {
  const native = RTCPeerConnection.prototype.setRemoteDescription;
  RTCPeerConnection.prototype.setRemoteDescription = function (description) {
    const lines = description.sdp.split('\\r\\n');
    const kept = lines.filter((line) => !line.startsWith('a=candidate') || (line.includes(' ADDRESS ') && line.includes(' udp ')));
    return native.call(this, {type: description.type, sdp: kept.join('\\r\\n')});
  };
})();
"""

# Every 50 ms: [time, frames decoded so far]. Streams that a new offer has taken away stay in the sum.
WATCH = """
(() => {
  const seen = new Map();
  window.watched = [];
  const look = async () => {
    for (const peer of window.peersUnderTest ?? []) {
      if (peer.connectionState === 'closed') continue;
      for (const report of (await peer.getStats()).values())
        if (report.type === 'inbound-rtp' && report.kind === 'video') seen.set(report.ssrc, report.framesDecoded ?? 0);
    }
    let sum = 0;
    for (const frames of seen.values()) sum += frames;
    window.watched.push([performance.timeOrigin + performance.now(), sum]);
    setTimeout(look, 50);
  };
  look();
})();
"""
INBOUND = """
async () => {
  const sum = {};
  for (const name of NAMES) sum[name] = null;
  for (const peer of window.peersUnderTest ?? []) {
    if (peer.connectionState === 'closed') continue;
    for (const report of (await peer.getStats()).values())
      if (report.type === 'inbound-rtp' && report.kind === 'video')
        for (const name of NAMES) if (report[name] !== undefined) sum[name] = (sum[name] ?? 0) + report[name];
  }
  return sum;
}
""".replace(
    "NAMES",
    json.dumps(
        [
            "nackCount", "pliCount", "firCount", "packetsLost", "packetsReceived", "retransmittedPacketsReceived",
            "freezeCount", "totalFreezesDuration", "framesDecoded", "framesDropped", "keyFramesDecoded", "bytesReceived",
            "jitterBufferDelay", "jitterBufferEmittedCount", "frameHeight",
        ]
    ),
)  # fmt: skip
OUTBOUND = """
async () => {
  const sum = {encodings: {}, keyframes: 0, height: 0, limited: ''};
  for (const peer of window.peersUnderTest ?? []) {
    if (peer.connectionState === 'closed') continue;
    for (const report of (await peer.getStats()).values()) {
      if (report.type !== 'outbound-rtp' || report.kind !== 'video') continue;
      sum.encodings[report.rid ?? ''] = [report.framesSent ?? 0, report.frameHeight ?? 0];
      sum.keyframes += report.keyFramesEncoded ?? 0;
      sum.height = Math.max(sum.height, report.frameHeight ?? 0);
      sum.limited = report.qualityLimitationReason ?? '';
    }
  }
  return sum;
}
"""

Numbers = dict[str, Any]
Watched = Sequence[Sequence[float]]


@dataclass(frozen=True, slots=True)
class Options:
    browsers: tuple[str, ...]
    cases: tuple[str, ...]
    seconds: float
    plane: str
    side: str
    seed: int


# --- reading what was watched ----------------------------------------------------------------------------


def longest_gap_ms(watched: Watched) -> float:
    """The longest time without a new frame, the end of the window included."""
    longest, since = 0.0, watched[0][0]
    for (_, before), (at, frames) in itertools.pairwise(watched):
        longest = max(longest, at - since)
        if frames > before:
            since = at
    return longest


def recovery_s(watched: Watched, sent_per_s: float) -> float | None:
    """How long after the beginning the picture flows again and goes on to; None when it did not."""
    for place, (at, frames) in enumerate(watched):
        window = [item for item in watched[place:] if item[0] <= at + RECOVERED_WINDOW_MS]
        if window[-1][0] < at + RECOVERED_WINDOW_MS - 200:
            return None
        enough = window[-1][1] - frames >= RECOVERED_PART * sent_per_s * RECOVERED_WINDOW_MS / 1000
        if enough and longest_gap_ms(window) <= RECOVERED_GAP_MS:
            return round((at - watched[0][0]) / 1000, 1)
    return None


def between(watched: Watched, from_ms: float, to_ms: float) -> Watched:
    return [item for item in watched if from_ms <= item[0] <= to_ms]


def frames_sent(before: Numbers, after: Numbers, height: int) -> int:
    """By the host, of its encoding that is nearest to a picture of this height."""
    nearest = min(
        after["encodings"], key=lambda name: abs(after["encodings"][name][1] - height), default=None
    )
    if nearest is None:
        return 0
    return int(after["encodings"][nearest][0] - before["encodings"].get(nearest, [0])[0])


# --- one call --------------------------------------------------------------------------------------------


class Call:
    """A host on the air, and one viewer who joins again and again."""

    def __init__(self, server: Server, link: Link, host: Page, viewer: Person, order: Order) -> None:
        self._server = server
        self._link = link
        self._host = host
        self._viewer = viewer
        self._order = order

    def run(self, case: str, seconds: float) -> Numbers:
        self._link.become(CASES[case])
        began_ms = time.time() * 1000
        self._viewer.page.goto(f"{self._server.url}/r/{self._order.slug}/call")
        first_ms = self._first_frame_ms() - began_ms
        self._host.wait_for_timeout(1000 * SETTLE_S)
        measured = self._drop() if case == DROP else self._window(seconds)
        lost = self._link.become(Line())
        # A page that leaves says so, and is believed at once.
        self._viewer.page.goto("about:blank")
        return {"case": case, "first_frame_ms": round(first_ms), **measured, "line": lost}

    def _first_frame_ms(self) -> float:
        until_s = time.monotonic() + FIRST_FRAME_S
        while time.monotonic() < until_s:
            first: float | None = self._viewer.page.evaluate(
                "(window.watched ?? []).find((item) => item[1] > 0)?.[0] ?? null"
            )
            if first is not None:
                return first
            self._viewer.page.wait_for_timeout(100)
        raise TimeoutError("not a single frame was decoded")

    def _window(self, seconds: float) -> Numbers:
        before, from_ms = self._received(), time.time() * 1000
        sent, host = self._follow(seconds)
        after, to_ms = self._received(), time.time() * 1000
        return {
            **_grown(before, after, (to_ms - from_ms) / 1000),
            **host,
            **_share(after["framesDecoded"] - before["framesDecoded"], sent),
            "longest_freeze_ms": round(longest_gap_ms(between(self._watched(), from_ms, to_ms))),
        }

    def _drop(self) -> Numbers:
        """The window is the drop and what follows; frames are those of the time after it."""
        before, from_ms = self._received(), time.time() * 1000
        self._link.become(Line(CASES[DROP].delay_ms, 0, DROP_BPS))
        sent_inside, _ = self._follow(DROP_S)
        self._link.become(CASES[DROP])
        inside, over_ms = self._received(), time.time() * 1000
        sent, host = self._follow(AFTER_DROP_S)
        after, to_ms = self._received(), time.time() * 1000
        watched = self._watched()
        return {
            **_grown(before, after, (to_ms - from_ms) / 1000),
            **host,
            **_share(after["framesDecoded"] - inside["framesDecoded"], sent),
            "longest_freeze_ms": round(longest_gap_ms(between(watched, from_ms, to_ms))),
            "recovery_s": recovery_s(between(watched, over_ms, to_ms), sent * 1000 / (to_ms - over_ms)),
            "in_drop": _share(inside["framesDecoded"] - before["framesDecoded"], sent_inside),
        }

    def _follow(self, seconds: float) -> tuple[int, Numbers]:
        """Wait so long. How many frames the host sent of what the viewer was getting (told each second by the height of
        its picture, where the host sends several), and what the host's encoder did."""
        until_s, sent = time.monotonic() + seconds, 0
        first = before = self._host.evaluate(OUTBOUND)
        heights: set[int] = set()
        while (left_s := until_s - time.monotonic()) > 0:
            self._host.wait_for_timeout(1000 * min(1.0, left_s))
            after, height = self._host.evaluate(OUTBOUND), self._received()["frameHeight"] or 0
            sent += frames_sent(before, after, height)
            before = after
            heights.add(height)
        return sent, {
            "heights": sorted(heights),
            "host_keyframes": before["keyframes"] - first["keyframes"],
            "host_height": before["height"],
            "host_limited": before["limited"],
        }

    def _received(self) -> Numbers:
        found: Numbers = self._viewer.page.evaluate(INBOUND)
        return found

    def _watched(self) -> Watched:
        watched: Watched = self._viewer.page.evaluate("window.watched")
        return watched


def _grown(before: Numbers, after: Numbers, seconds: float) -> Numbers:
    """What the viewer's statistics say of the window; None where its browser does not count."""
    more = {
        name: None if value is None else round(value - (before[name] or 0), 3)
        for name, value in after.items()
    }
    emitted = more["jitterBufferEmittedCount"]
    return {
        "freezes": more["freezeCount"],
        "freezes_s": more["totalFreezesDuration"],
        "nacks": more["nackCount"],
        "plis": (more["pliCount"] or 0) + (more["firCount"] or 0),
        "retransmitted": more["retransmittedPacketsReceived"],
        "lost": more["packetsLost"],
        "received": more["packetsReceived"],
        "keyframes": more["keyFramesDecoded"],
        "frames_dropped": more["framesDropped"],
        "jitter_buffer_ms": round(1000 * more["jitterBufferDelay"] / emitted) if emitted else None,
        "kbps": round(more["bytesReceived"] * 8 / 1000 / seconds),
    }


def _share(decoded: int, sent: int) -> Numbers:
    return {"decoded": decoded, "sent": sent, "decoded_part": round(decoded / max(1, sent), 3)}


# --- setting up ------------------------------------------------------------------------------------------


def launch_chromium(playwright: Playwright, origin: str, picture: Path) -> Browser:
    """To which the server's plain address is as good as localhost, and whose camera shows the picture."""
    flags = [
        *FLAGS,
        f"--unsafely-treat-insecure-origin-as-secure={origin}",
        f"--use-file-for-fake-video-capture={picture}",
    ]
    return playwright.chromium.launch(executable_path=CHROMIUM, args=flags)


def launch_firefox(playwright: Playwright) -> Browser:
    prefs = FIREFOX_PREFS | {"dom.securecontext.allowlist": netns.SERVER_ADDRESS}
    return playwright.firefox.launch(channel="moz-firefox", executable_path=FIREFOX, firefox_user_prefs=prefs)


def person(stack: ExitStack, browser: Browser, name: str, address: str) -> Person:
    someone = Person(browser, name)
    stack.callback(someone.context.close)
    someone.context.add_init_script(ONE_ADDRESS.replace("ADDRESS", address))
    return someone


@contextmanager
def started_server(folder: Path, plane: str) -> Iterator[Server]:
    network = json.loads(os.environ["TOLLROOM_BENCH_NETWORK"])
    server = Server(
        folder,
        host=netns.SERVER_ADDRESS,
        prefix=network["server_prefix"],
        PAYMENTS="sandbox",
        ROOM_CREATION="open",
        BIND=netns.SERVER_ADDRESS,
        MEDIA_ADDRESS=f"{netns.SERVER_ADDRESS},{SERVER_BAD_ADDRESS}",
        MEDIA_PLANE=plane,
    )
    server.start()
    try:
        yield server
    finally:
        server.stop()


def measure(options: Options) -> list[Numbers]:
    """Inside the browsers' namespace."""
    network = json.loads(os.environ["TOLLROOM_BENCH_NETWORK"])
    lines = []
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        picture = folder / "picture.y4m"
        write_picture(picture)
        addresses = (SERVER_BAD_ADDRESS, BROWSERS_BAD_ADDRESS)
        namespaces = (network["server_prefix"][-1], network["load_prefix"][-1])
        link = stack.enter_context(Link(namespaces, addresses, options.seed))
        route(*namespaces, link.interfaces)
        server = stack.enter_context(started_server(folder, options.plane))
        playwright = stack.enter_context(sync_playwright())
        chromium = launch_chromium(playwright, server.url, picture)
        lines_of = {"viewer": netns.SERVER_ADDRESS, "host": netns.SERVER_ADDRESS} | {
            options.side: SERVER_BAD_ADDRESS
        }
        host = person(stack, chromium, "Ana", lines_of["host"])
        room = server.create_room(privacy="conference")
        moves.host_enters(host, room)
        full_height(host.page)
        for name in options.browsers:
            with ExitStack() as inner:
                browser = chromium if name == "chromium" else launch_firefox(playwright)
                viewer = person(inner, browser, "Bo", lines_of["viewer"])
                viewer.context.add_init_script(WATCH)
                order = server.buy(room, name)
                moves.come_with(viewer.page, order, server.url)
                call = Call(server, link, host.page, viewer, order)
                for case in options.cases:
                    lines.append(
                        {"side": options.side, "browser": name, **_tried(call, case, options.seconds)}
                    )
                    print(json.dumps(lines[-1]), flush=True)
    return lines


def route(server: str, browsers: str, bad: Sequence[str]) -> None:
    """What leaves from an address of the server goes by its own interface, whatever it is an answer to: browsers use the
    address that reaches the pages, too, and must not get answers to that over the clean line. And Firefox looks for a
    default route when it wants to know its own address."""
    for number, (address, interface) in enumerate(
        ((netns.SERVER_ADDRESS, "veth"), (SERVER_BAD_ADDRESS, bad[0])), 100
    ):
        netns.run("ip", "-n", server, "rule", "add", "from", address, "lookup", str(number))
        netns.run("ip", "-n", server, "route", "add", "default", "dev", interface, "table", str(number))
    netns.run("ip", "-n", browsers, "route", "add", "default", "dev", bad[1])


def full_height(host: Page) -> None:
    """Until the host's bandwidth estimate allows the whole picture, or it will not: its machine may be too busy."""
    until_s = time.monotonic() + WARM_UP_S
    while host.evaluate(OUTBOUND)["height"] < HEIGHT and time.monotonic() < until_s:
        host.wait_for_timeout(500)


def _tried(call: Call, case: str, seconds: float) -> Numbers:
    load = {"load_average": round(os.getloadavg()[0], 1)}
    try:
        return call.run(case, seconds) | load
    except (Error, TimeoutError) as error:
        return {"case": case, "error": str(error).partition("\n")[0]} | load


def table(lines: Sequence[Mapping[str, Any]]) -> str:
    rows = [COLUMNS, *([str(line.get(name, "")) for name in COLUMNS] for line in lines)]
    widths = [max(len(row[i]) for row in rows) for i in range(len(COLUMNS))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in rows
    )


def missed(lines: Sequence[Numbers]) -> list[str]:
    """What the bar asks for and was not reached."""
    found = [f"{line['browser']}, {line['case']}: {line['error']}" for line in lines if "error" in line]
    for line in lines:
        if line["case"] != BAR or "error" in line:
            continue
        if line["decoded_part"] < BAR_DECODED or line["longest_freeze_ms"] > BAR_FREEZE_MS:
            found.append(
                f"{line['browser']}, {BAR}: {line['decoded_part']:.1%} decoded, "
                f"longest freeze {line['longest_freeze_ms']} ms"
            )
    return found


def parse(arguments: Sequence[str] | None = None) -> Options:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--browsers", nargs="+", choices=["chromium", "firefox"], default=["chromium", "firefox"]
    )
    parser.add_argument("--cases", nargs="+", choices=[*CASES], default=[*CASES])
    parser.add_argument("--seconds", type=float, default=20)
    parser.add_argument("--plane", choices=["auto", "native", "python"], default="auto")
    parser.add_argument("--side", choices=["viewer", "host"], default="viewer")
    parser.add_argument("--seed", type=int, default=1)
    found = parser.parse_args(arguments)
    return Options(
        tuple(found.browsers), tuple(found.cases), found.seconds, found.plane, found.side, found.seed
    )


def main(arguments: Sequence[str]) -> int:
    options = parse(arguments)
    if "TOLLROOM_BENCH_NETWORK" in os.environ:
        lines = measure(options)
        print(table(lines))
        faults = missed(lines)
        print("\n".join(faults), file=sys.stderr)
        return int(bool(faults))
    # Asked to stop, it still takes its namespaces away.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    if (lacks := netns.missing()) is not None:
        print(f"no network namespaces: {lacks}", file=sys.stderr)
        return 2
    with netns.network(segmentation=True) as network:
        prefixes = {"server_prefix": network.server_prefix, "load_prefix": network.load_prefix}
        again = (*network.load_prefix, sys.executable, "-m", "bench.lossy", *arguments)
        environment = os.environ | {"TOLLROOM_BENCH_NETWORK": json.dumps(prefixes)}
        try:
            return subprocess.run(again, env=environment, check=False, timeout=TIME_MAX_S).returncode
        finally:
            # Asked to stop, Playwright sometimes does not: what runs in the namespaces is ours.
            for prefix in prefixes.values():
                netns.end_all(prefix[-1])


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
