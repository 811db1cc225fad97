"""CPU, delay and memory of packet forwarding, Tollroom and Janus in turn: 1 to 4 publishers, N viewers, one JSON line each.

The server's CPU time is that of all threads of all its processes (what /proc/PID/stat rounds to 10 ms). On a kernel without
CONFIG_IRQ_TIME_ACCOUNTING it includes the softirq work that a send does on a veth or on loopback, which is the receiver's
half of the network stack: on a real interface a driver does other work in its place. It is counted the same for every
server. When there is much of it the kernel puts some off to its thread ksoftirqd, where it is on nobody's account
(`ksoftirqd_share`, all cores).

With --one-core the server is tied to a core of its own and host and viewers to the others, so that softirq work can be told
apart: `softirq_us_per_packet` is all of that core's (sampled by the kernel's tick), and what ksoftirqd did there is added to
`us_per_packet`, for every server alike.
"""

import argparse
import asyncio
import json
import os
import shutil
import signal
import socket
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, contextmanager
from dataclasses import dataclass, field, replace
from typing import Self

from bench import janus_server, native, netns
from bench.cases import CASES, Case
from bench.netns import Network
from bench.pipe import Child, Message
from bench.usage import backlog_drops, ksoftirqd_ns, softirq_ns

VIEWERS_PER_PROCESS = {"native": 500, "python": 150}
JOINS_AT_ONCE = 8
WARM_UP_S = 2.0
JOIN_S = 20
LOSS_GIVEN_UP = 0.05
DELIVERED_LEAST = 0.8
LOAD_LOSS_MOST = 0.0005  # of the packets; above it the load clients are measured, not the server
# Name to server, setting, and what its process is told: the data plane, or the number of event loops.
SERVERS = {
    "tollroom": ("tollroom", "defaults", "auto"),
    "tollroom-python": ("tollroom", "python plane", "python"),
    "janus": ("janus", "defaults", "0"),
    "janus2": ("janus", "event_loops=2", "2"),
}
VIEWERS_USUAL = (20, 100, 300, 600, 850, 1000)
SERVERS_USUAL = ("tollroom", "janus", "janus2")
COLUMNS = [
    "server", "setting", "traffic", "viewers", "packets_per_s", "us_per_packet", "softirq_us_per_packet", "loss",
    "delay_p50_ms", "delay_p99_ms", "kb_per_viewer", "join_cpu_ms", "cpu_share", "load_cpu_share", "srtp_profile",
]  # fmt: skip


@dataclass(frozen=True, slots=True)
class Options:
    """`seconds` is the length of the measured window for each N. Without a `case`, frames of
    `video_bytes` packets, `video_per_s` of them."""

    viewers: tuple[int, ...]
    seconds: float
    video_per_s: int = 290
    video_bytes: int = 1100
    servers: tuple[str, ...] = ("tollroom",)
    traffic: tuple[str, ...] = ()
    one_core: bool = False
    case: str | None = None
    server: str = "tollroom"
    network: Network = field(default_factory=Network)

    @property
    def publishers(self) -> int:
        return CASES[self.case].publishers if self.case else 1

    @property
    def traffic_name(self) -> str:
        return self.case or f"{self.video_per_s} x {self.video_bytes} B + Opus"


class OverloadedError(RuntimeError):
    """The server did not serve everybody."""


class UnfairError(RuntimeError):
    """What was measured must not be compared with anything."""


def free_port() -> int:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def cores() -> tuple[int, ...]:
    return tuple(sorted(os.sched_getaffinity(0)))


def on_cores(chosen: Sequence[int]) -> tuple[str, ...]:
    """The prefix that ties a process to cores; nothing where there is one core or no `taskset`."""
    if len(cores()) == 1 or shutil.which("taskset") is None:
        return ()
    return ("taskset", "-c", ",".join(map(str, chosen)))


class Bench:
    """One server, one process of hosts, as many viewer processes as needed. Use as an async context manager."""

    def __init__(self, viewers: int, options: Options) -> None:
        self._options = options
        self._count = viewers
        self._owner: dict[str, Child] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._stack = AsyncExitStack()
        self._kind = "native" if native.compiler() else "python"
        self.closed: list[Message] = []
        self.profiles: set[str] = set()

    async def __aenter__(self) -> Self:
        enter = self._stack.enter_async_context
        try:
            self.server = await enter(self._server())
            self._host = await enter(self._load(0, "host"))
            processes = -(-self._count // VIEWERS_PER_PROCESS[self._kind])
            self.loads = [await enter(self._load(n + 1, self._kind)) for n in range(processes)]
        except BaseException:
            await self._stack.aclose()
            raise
        return self

    async def __aexit__(self, *exc: object) -> None:
        # What the server says from now on concerns nobody: the others are leaving.
        self._owner.clear()
        for task in self._tasks:
            task.cancel()
        await self._stack.aclose()

    def _server(self) -> Child:
        network, options = self._options.network, self._options
        prefix = (*network.server_prefix, *(on_cores(cores()[:1]) if options.one_core else ()))
        server, _, told = SERVERS[options.server]
        command: tuple[str, ...]
        if server == "tollroom":
            command = ("bench.media_server", str(free_port()), network.server_address, told)
        else:
            command = ("bench.janus_server", told, network.server_address)
        return Child(*command, prefix=prefix, on_event=self._on_event)

    def _load(self, seed: int, kind: str) -> Child:
        """Load shares what cores the server leaves when it has one of its own, else the last one."""
        network = self._options.network
        prefix = (*network.load_prefix, *on_cores(cores()[1:] or cores()))
        return Child("bench.load", str(seed), network.load_address, kind, prefix=prefix)

    async def start_host(self) -> None:
        """Every publisher in and sending."""
        await self.connect_hosts()
        await self.play()

    async def connect_hosts(self) -> None:
        for n in range(self._options.publishers):
            name = f"host{n or ''}"
            await self.server.request("add", participant_id=name, host=True)
            offer = await self._host.request("host_offer", participant_id=name)
            answer = await self.server.request("publish", participant_id=name, sdp=offer["sdp"])
            reply = await self._host.request("host_connect", participant_id=name, answer=answer["sdp"])
            self.profiles.add(reply["srtp_profile"])

    async def play(self) -> None:
        options = self._options
        await self._host.request("play", case=options.case or [options.video_per_s, options.video_bytes])

    async def join_viewers(self, *, gates: bool = True) -> list[str]:
        """All viewers in and connected, a few at a time; `gates`: each opened without limit."""
        turn = asyncio.Semaphore(JOINS_AT_ONCE)

        async def join(n: int) -> str:
            async with turn:
                return await self.join(f"v{n}", self.loads[n % len(self.loads)], gates=gates)

        return await asyncio.gather(*(join(n) for n in range(self._count)))

    async def join(self, name: str, load: Child, *, gates: bool = True) -> str:
        self._owner[name] = load
        await self.server.request("add", participant_id=name, host=False)
        async with asyncio.timeout(JOIN_S):
            await load.request("connected", participant_id=name)
        if gates:
            await self.open_gates({name: None})
        return name

    async def leave(self, name: str, *, notify: bool) -> None:
        """The viewer goes, with a word or without one, and its owner tells the server."""
        await self._owner.pop(name).request("drop", participant_id=name, notify=notify)
        await self.server.request("remove", participant_id=name)

    async def open_gates(self, allow_ms: Mapping[str, int | None]) -> None:
        for name, allowed_ms in allow_ms.items():
            await self.server.request("open", participant_id=name, allow_ms=allowed_ms)

    async def last_packets(self) -> Message:
        """Viewer to the arrival of its first and its last packet (CLOCK_MONOTONIC, ns)."""
        parts = await asyncio.gather(*(load.request("last_packets") for load in self.loads))
        return {name: times for part in parts for name, times in part.items()}

    def _on_event(self, message: Message) -> None:
        # Publishers here only send: their subscribe transports stay unanswered, and end after a while.
        name = message.get("participant_id")
        if message["event"] == "Offer" and name in self._owner:
            task = asyncio.create_task(self._pass_on(message))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        elif message["event"] == "Closed" and (name in self._owner or message["transport"] == "publish"):
            self.closed.append(message)

    async def _pass_on(self, offer: Message) -> None:
        name = offer["participant_id"]
        reply = await self._owner[name].request("offer", participant_id=name, sdp=offer["sdp"])
        await self.server.request("answer", participant_id=name, offer_id=offer["offer_id"], sdp=reply["sdp"])

    async def window(self, seconds: float) -> Message:
        """Counts of one window: the server's CPU and everything the viewers saw."""
        await asyncio.gather(*(load.request("collect") for load in self.loads))
        before = await self._totals("reset")
        await asyncio.sleep(seconds)
        after = await self._totals("counts")
        parts = after["parts"]
        summed = {key: sum(part[key] for part in parts) for key in parts[0] if isinstance(parts[0][key], int)}
        self.profiles.update(name for part in parts for name in part["srtp_profiles"])
        return {
            **summed,
            "server_cpu_ns": after["server"] - before["server"],
            "load_cpu_ns": sum(after["loads"]) - sum(before["loads"]),
            "server_drops": after["server_drops"] - before["server_drops"],
            "load_busiest_ns": max(after["loads"][n] - before["loads"][n] for n in range(len(parts))),
            "softirq_ns": after["softirq"] - before["softirq"],
            "ksoftirqd_ns": {core: ns - before["ksoftirqd"][core] for core, ns in after["ksoftirqd"].items()},
            "backlog_drops": after["backlog"] - before["backlog"],
            "sent": after["sent"] - before["sent"],
            "buffer_drops": parts[0]["buffer_drops"] - before["parts"][0]["buffer_drops"],
            "delays_us": sorted(d for part in parts for d in part["delays_us"]),
            "closed": list(self.closed),
        }

    async def _totals(self, op: str) -> Message:
        """Asked of all at once, so that all speak of the same window."""
        softirq, ksoftirqd, backlog = softirq_ns(cores()[0]), ksoftirqd_ns(), backlog_drops()
        usage, host, *parts = await asyncio.gather(
            self.server.request("usage"),
            self._host.request("host_counts"),
            *(load.request(op) for load in self.loads),
        )
        return {
            "server": usage["cpu_ns"],
            "server_drops": usage["buffer_drops"],
            "loads": [part["cpu_ns"] for part in parts],
            "sent": host["sent"],
            "softirq": softirq,
            "ksoftirqd": ksoftirqd,
            "backlog": backlog,
            "parts": parts,
        }


def percentile(ordered: Sequence[int], part: float) -> float:
    return float(ordered[min(len(ordered) - 1, int(len(ordered) * part))]) if ordered else float("nan")


async def measure(viewers: int, options: Options) -> Message:
    """Viewers join before anything is sent, so that a join's cost is its own."""
    async with Bench(viewers, options) as bench:
        await bench.connect_hosts()
        await asyncio.sleep(0.5)
        idle = await bench.server.request("usage")
        await bench.join_viewers()
        joined = await bench.server.request("usage")
        await bench.play()
        await asyncio.sleep(WARM_UP_S)
        seen = await bench.window(options.seconds)
        after = await bench.server.request("usage")
    usage = {"idle": idle, "joined": joined, "after": after}
    return result(viewers, options, seen, usage, bench.profiles)


def result(
    viewers: int, options: Options, seen: Message, usage: dict[str, Message], profiles: set[str]
) -> Message:
    if len(profiles) != 1:
        raise UnfairError(f"the legs do not use one SRTP profile: {sorted(profiles)}")
    if seen["unauthentic"]:
        raise UnfairError(f"packets that are not authentic: {_short(seen)}")
    if seen["streams"] != 2 * options.publishers * viewers or seen["closed"]:
        raise OverloadedError(f"not every viewer received every stream: {_short(seen)}")
    delays, received = seen["delays_us"], seen["received"]
    # Softirq work that was put off, where it can only be the server's.
    put_off_ns = seen["ksoftirqd_ns"].get(cores()[0], 0) if options.one_core else 0
    return {
        "server": SERVERS[options.server][0],
        "setting": SERVERS[options.server][1],
        "traffic": options.traffic_name,
        "network": options.network.name + (", one core" if options.one_core else ""),
        "viewers": viewers,
        "seconds": options.seconds,
        "offered_per_s": round(seen["sent"] * viewers / options.seconds),
        "packets_per_s": round(received / options.seconds),
        "us_per_packet": round((seen["server_cpu_ns"] + put_off_ns) / 1000 / received, 2),
        "softirq_us_per_packet": round(seen["softirq_ns"] / 1000 / received, 2) if options.one_core else None,
        "ksoftirqd_share": round(sum(seen["ksoftirqd_ns"].values()) / 1e9 / options.seconds, 3),
        "cpu_share": round((seen["server_cpu_ns"] + put_off_ns) / 1e9 / options.seconds, 3),
        "load_cpu_share": round(seen["load_cpu_ns"] / 1e9 / options.seconds, 3),
        "load_busiest_share": round(seen["load_busiest_ns"] / 1e9 / options.seconds, 3),
        "loss": round(1 - received / seen["expected"], 5),
        "lost_by_server": seen["server_drops"],
        "lost_by_load": seen["buffer_drops"],
        "lost_by_kernel": seen["backlog_drops"],
        "delay_p50_ms": round(percentile(delays, 0.5) / 1000, 2),
        "delay_p99_ms": round(percentile(delays, 0.99) / 1000, 2),
        "kb_per_viewer": round((usage["after"]["rss_kb"] - usage["idle"]["rss_kb"]) / viewers),
        "join_cpu_ms": round((usage["joined"]["cpu_ns"] - usage["idle"]["cpu_ns"]) / 1e6 / viewers, 2),
        "feedback_per_viewer_s": round(seen["feedback"] / viewers / options.seconds, 1),
        "retransmitted": seen["retransmitted"] + seen["repeated"],
        "srtp_profile": profiles.pop(),
        "load_average": round(os.getloadavg()[0], 1),
    }


def _short(seen: Message) -> Message:
    return {key: value for key, value in seen.items() if key != "delays_us"}


def parse(arguments: Sequence[str] | None = None) -> Options:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--viewers", type=int, nargs="+", default=[*VIEWERS_USUAL])
    parser.add_argument("--seconds", type=float, default=6)
    parser.add_argument("--servers", nargs="+", choices=[*SERVERS], default=[*SERVERS_USUAL])
    parser.add_argument("--traffic", nargs="+", choices=[*CASES, "all"], default=["paced", "burst"])
    parser.add_argument(
        "--one-core", action="store_true", help="the server on the first core, the load on the others"
    )
    found = parser.parse_args(arguments)
    traffic = tuple(CASES) if "all" in found.traffic else tuple(found.traffic)
    return Options(
        tuple(found.viewers),
        found.seconds,
        servers=tuple(found.servers),
        traffic=traffic,
        one_core=found.one_core,
    )


def possible(options: Options) -> Options:
    """What this machine can do of it; says what it cannot."""
    lacks = netns.missing()
    if lacks is None and janus_server.installed() is None:
        print("Janus is not installed (Debian: apt-get install janus): Tollroom alone", file=sys.stderr)
    elif lacks is not None:
        print(f"no network namespaces ({lacks}): Tollroom alone, on loopback", file=sys.stderr)
    else:
        return options
    own = tuple(name for name in options.servers if SERVERS[name][0] == "tollroom")
    return replace(options, servers=own or ("tollroom",))


@contextmanager
def network(case: Case) -> Iterator[Network]:
    if netns.missing():
        yield Network()
        return
    with netns.network(segmentation=case.segmentation) as made:
        yield made


class Run:
    """Server after server for each N, so that a pair to be compared is measured one after the other. A server that did not
    keep up with some traffic is not asked for more viewers of it."""

    def __init__(self) -> None:
        self.lines: list[Message] = []
        self.failures = 0
        self._served: set[tuple[str, str]] = set()
        self._given_up: set[tuple[str, str]] = set()

    async def all(self, options: Options) -> None:
        for traffic in options.traffic:
            for viewers in options.viewers:
                for server in options.servers:
                    if (traffic, server) not in self._given_up:
                        await self._one(viewers, replace(options, case=traffic, server=server))

    async def _one(self, viewers: int, options: Options) -> None:
        assert options.case is not None
        key = (options.case, options.server)
        with network(CASES[options.case]) as net:
            try:
                line = await measure(viewers, replace(options, network=net))
            except (RuntimeError, TimeoutError, ConnectionError) as error:
                print(f"{options.server}, {options.case}, {viewers} viewers: {error!r}", file=sys.stderr)
                # To fall short of more viewers after fewer were served is a result; all else is a fault of the run.
                self.failures += key not in self._served or isinstance(error, UnfairError)
                self._given_up.add(key)
                return
        print(json.dumps(line), flush=True)
        self.lines.append(line)
        self._served.add(key)
        for word in remarks(line):
            print(f"{options.server}, {options.case}, {viewers} viewers: {word}", file=sys.stderr)
        if not kept_up(line):
            self._given_up.add(key)


def kept_up(line: Message) -> bool:
    delivered = line["packets_per_s"] >= DELIVERED_LEAST * line["offered_per_s"]
    return bool(delivered and line["loss"] <= LOSS_GIVEN_UP)


def remarks(line: Message) -> Iterator[str]:
    """What whoever reads the line has to know."""
    if not kept_up(line):
        yield "more than it can do"
    if line["lost_by_load"] > LOAD_LOSS_MOST * line["offered_per_s"] * line["seconds"]:
        yield f"the load clients lost {line['lost_by_load']} packets that the server had sent"


def table(lines: Sequence[Message]) -> str:
    rows = [COLUMNS, *([str(line[name]) for name in COLUMNS] for line in lines)]
    widths = [max(len(row[i]) for row in rows) for i in range(len(COLUMNS))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in rows
    )


def main(options: Options) -> int:
    # Asked to stop, it still takes its namespaces away.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    run = Run()
    asyncio.run(run.all(possible(options)))
    print(table(run.lines))
    profiles = {line["srtp_profile"] for line in run.lines}
    if len(profiles) > 1:
        print(f"the servers used different SRTP profiles, nothing is comparable: {profiles}", file=sys.stderr)
    return int(bool(run.failures) or len(profiles) != 1)


if __name__ == "__main__":
    sys.exit(main(parse()))
