"""Two network namespaces joined by a veth pair: the server in one, the load in the other. Needs root."""

import os
import shutil
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass

SERVER_ADDRESS = "10.77.0.1"
LOAD_ADDRESS = "10.77.0.2"


@dataclass(frozen=True, slots=True)
class Network:
    """Where the two sides live and how their processes are started."""

    server_address: str = "127.0.0.1"
    load_address: str = "127.0.0.1"
    server_prefix: tuple[str, ...] = ()
    load_prefix: tuple[str, ...] = ()
    name: str = "loopback"


def missing() -> str | None:
    """What stands against namespaces on this machine."""
    if os.geteuid() != 0:
        return "not root"
    absent = [tool for tool in ("ip", "ethtool") if shutil.which(tool) is None]
    return f"no {absent[0]} command" if absent else None


def names() -> tuple[str, str]:
    """The namespaces of the server and of the load; this process's own, so that several benches can run at once."""
    return f"tollroom-server-{os.getpid()}", f"tollroom-load-{os.getpid()}"


@contextmanager
def network(*, segmentation: bool) -> Iterator[Network]:
    """Made for one run and taken away after it. `segmentation` False: a run of packets that the server hands to the
    kernel at once (UDP_SEGMENT) is cut before the veth, as a simple network interface would have it cut."""
    server, load = names()
    try:
        for name in (server, load):
            run("ip", "netns", "add", name)
            _in(name, "ip", "link", "set", "lo", "up")
        _in(server, "ip", "link", "add", "veth", "type", "veth", "peer", "name", "veth", "netns", load)
        for name, address in ((server, SERVER_ADDRESS), (load, LOAD_ADDRESS)):
            _in(name, "ip", "address", "add", f"{address}/24", "dev", "veth")
            _in(name, "ip", "link", "set", "veth", "up")
            if not segmentation:
                _in(name, "ethtool", "-K", "veth", "tx-udp-segmentation", "off")
        yield Network(
            SERVER_ADDRESS,
            LOAD_ADDRESS,
            ("ip", "netns", "exec", server),
            ("ip", "netns", "exec", load),
            "veth" if segmentation else "veth, tx-udp-segmentation off",
        )
    finally:
        for name in (server, load):
            subprocess.run(["ip", "netns", "delete", name], check=False, capture_output=True)


def end_all(name: str) -> None:
    """End whatever still runs in a namespace that was made here."""
    pids = subprocess.run(["ip", "netns", "pids", name], check=False, capture_output=True, text=True).stdout
    for pid in pids.split():
        with suppress(ProcessLookupError):
            os.kill(int(pid), signal.SIGKILL)


def _in(name: str, *command: str) -> None:
    run("ip", "netns", "exec", name, *command)


def run(*command: str) -> None:
    subprocess.run(command, check=True, capture_output=True)
