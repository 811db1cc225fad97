"""CPU time and memory of a server's processes, and softirq work, as the kernel counts them."""

import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

PAGE_KB = os.sysconf("SC_PAGE_SIZE") // 1024
TICK_NS = 1_000_000_000 // os.sysconf("SC_CLK_TCK")
# CPUCLOCK_SCHED of clock_getcpuclockid(3): the CPU time of all threads, ended ones too, by the nanosecond.
CPUCLOCK_SCHED = 2
PROC = Path("/proc")


def process_usage(pid: int) -> dict[str, Any]:
    """CPU time since its start and resident memory, of the process and all that it started.

    All threads, with the softirq work done on their time; of children that have ended, what the kernel keeps (by 10 ms).
    Memory that processes share is counted for each."""
    processes = [found for found in (_one(each) for each in family(pid)) if found]
    return {
        "cpu_ns": sum(found["cpu_ns"] for found in processes),
        "rss_kb": sum(found["rss_kb"] for found in processes),
    }


def family(pid: int) -> Iterator[int]:
    """The process and its living descendants."""
    yield pid
    for task in _entries(PROC / str(pid) / "task"):
        for child in _text(task / "children").split():
            yield from family(int(child))


def _one(pid: int) -> dict[str, int] | None:
    """None when it has ended."""
    memory = _text(PROC / str(pid) / "statm").split()
    stat = _text(PROC / str(pid) / "stat").rpartition(")")[2].split()
    try:
        cpu_ns = time.clock_gettime_ns(~pid << 3 | CPUCLOCK_SCHED)
    except OSError:
        return None
    if not memory or not stat:
        return None
    ended_ticks = int(stat[13]) + int(stat[14])  # cutime, cstime (proc(5)): of children that were waited for
    return {"cpu_ns": cpu_ns + ended_ticks * TICK_NS, "rss_kb": int(memory[1]) * PAGE_KB}


def softirq_ns(core: int) -> int:
    """Time a core spent in softirq work, sampled by the kernel's tick; work that ksoftirqd does is among it."""
    line = next(line for line in _text(PROC / "stat").splitlines() if line.startswith(f"cpu{core} "))
    return int(line.split()[7]) * TICK_NS


def ksoftirqd_ns() -> dict[int, int]:
    """Core to the CPU time of its ksoftirqd: softirq work that the kernel put off from whoever caused it, which is on no
    process's account. Empty where kernel threads cannot be seen."""
    found = {}
    for folder in _entries(PROC):
        name = _text(folder / "comm").strip() if folder.name.isdigit() else ""
        if name.startswith("ksoftirqd/"):
            times = _text(folder / "schedstat").split()
            found[int(name.partition("/")[2])] = int(times[0]) if times else 0
    return found


def backlog_drops() -> int:
    """Packets that the kernel dropped between the two ends of a veth pair or of loopback, on all cores, since boot: its
    per-core backlog (net.core.netdev_max_backlog) was full."""
    lines = _text(PROC / "net/softnet_stat").splitlines()
    return sum(int(line.split()[1], 16) for line in lines)


def buffer_drops() -> int:
    """Datagrams that the sockets of this process's network namespace had no room for, since it was made."""
    lines = _text(PROC / "net/snmp").splitlines()
    names, values = (line.split() for line in lines if line.startswith("Udp: "))
    return int(values[names.index("RcvbufErrors")])


def _text(path: Path) -> str:
    """Empty when what it tells of has ended."""
    try:
        return path.read_text(encoding="ascii", errors="replace")
    except (FileNotFoundError, ProcessLookupError, NotADirectoryError):
        return ""


def _entries(folder: Path) -> list[Path]:
    try:
        return list(folder.iterdir())
    except (FileNotFoundError, ProcessLookupError):
        return []
