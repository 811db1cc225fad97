"""CPU time and memory of a process, and softirq time of a core, as the kernel counts them."""

import os
import time
from pathlib import Path
from typing import Any

PAGE_KB = os.sysconf("SC_PAGE_SIZE") // 1024
TICK_NS = 1_000_000_000 // os.sysconf("SC_CLK_TCK")
# CPUCLOCK_SCHED of clock_getcpuclockid(3): the CPU time of all threads, ended ones too, by the nanosecond.
CPUCLOCK_SCHED = 2


def process_usage(pid: int) -> dict[str, Any]:
    """CPU time since its start (all threads; with the softirq work done on its time) and resident memory."""
    pages = int(Path(f"/proc/{pid}/statm").read_text(encoding="ascii").split()[1])
    return {"cpu_ns": time.clock_gettime_ns(~pid << 3 | CPUCLOCK_SCHED), "rss_kb": pages * PAGE_KB}


def softirq_ns(core: int) -> int:
    """Time a core spent in softirq work, sampled by the kernel's tick."""
    lines = Path("/proc/stat").read_text(encoding="ascii").splitlines()
    line = next(line for line in lines if line.startswith(f"cpu{core} "))
    return int(line.split()[7]) * TICK_NS


def backlog_drops() -> int:
    """Packets that the kernel dropped between the two ends of a veth pair or of loopback, on all cores, since boot: its
    per-core backlog (net.core.netdev_max_backlog) was full."""
    lines = Path("/proc/net/softnet_stat").read_text(encoding="ascii").splitlines()
    return sum(int(line.split()[1], 16) for line in lines)
