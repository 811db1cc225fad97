"""The floor under `bench.media`: what the kernel alone takes to send the same packets over the same veth pair. Needs root and gcc.

No packet is read, rewritten or encrypted here (`floor.c`), so no server that sends through sockets can be below it. Run on a quiet machine:
`python -m bench.floor --viewers 100 300 --seconds 5`.
"""

import argparse
import json
import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from bench import netns

PORT = 20_000
# Packets of one frame, bytes of each, and whether the device takes a joined run whole: as the cases of bench.media. Of the
# packets that it sends in `burst` one in six is sound, and has nothing to be joined with.
CASES = {"burst": (8, 1100, True), "sound": (1, 120, True), "paced": (9, 1100, False)}
WAYS = ("single", "joined", "connected", "zerocopy", "threads")


@dataclass(frozen=True, slots=True)
class Case:
    viewers: int
    packets: int
    """Of one frame to one viewer."""
    packet_bytes: int
    seconds: int


def build(folder: Path) -> Path:
    program = folder / "floor"
    source = Path(__file__).with_name("floor.c")
    subprocess.run(["gcc", "-O2", "-Wall", "-Wextra", "-pthread", "-o", program, source], check=True)
    return program


def measure(program: Path, network: netns.Network, case: Case, way: str) -> dict[str, float]:
    """µs of CPU a packet, the mean milliseconds of a frame to all viewers, and the share of packets that did not arrive."""
    receive = [program, "receive", network.load_address, PORT, case.viewers, case.seconds]
    ends = [network.server_address, network.load_address, PORT]
    send = [program, "send", *ends, case.viewers, case.seconds, case.packets, case.packet_bytes, way]
    with subprocess.Popen(words(network.load_prefix, receive), stdout=subprocess.PIPE, text=True) as receiver:
        assert receiver.stdout is not None
        receiver.stdout.readline()
        sender = subprocess.run(
            words(network.server_prefix, send), check=True, capture_output=True, text=True
        )
        said, arrived = json.loads(sender.stdout), int(receiver.stdout.readline())
    return {
        "us_per_packet": round(said["cpu_ns"] / said["packets"] / 1000, 2),
        "frame_ms": round(said["frame_ns_mean"] / 1e6, 2),
        "lost": round(1 - arrived / said["packets"], 4),
    }


def words(prefix: Sequence[str], command: Sequence[object]) -> list[str]:
    return [*prefix, *map(str, command)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--viewers", type=int, nargs="+", default=[100, 300])
    parser.add_argument("--seconds", type=int, default=5)
    options = parser.parse_args()
    if (absent := netns.missing()) is not None:
        raise SystemExit(f"network namespaces cannot be made: {absent}")
    with tempfile.TemporaryDirectory() as folder:
        program = build(Path(folder))
        for traffic, (packets, packet_bytes, segmentation) in CASES.items():
            with netns.network(segmentation=segmentation) as network:
                for viewers in options.viewers:
                    case = Case(viewers, packets, packet_bytes, options.seconds)
                    for way in WAYS:
                        row = measure(program, network, case, way)
                        about = {"traffic": traffic, "viewers": viewers, "way": way}
                        print(json.dumps(about | row), flush=True)


if __name__ == "__main__":
    main()
