"""CPU and memory are of the process and everything it started."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from bench.usage import buffer_drops, family, ksoftirqd_ns, process_usage, softirq_ns

# A process that starts another, which works for 0.3 s of CPU, says so, and ends when it is told to.
WORKER = """
import sys, time
while time.process_time() < 0.3: pass
print("worked", flush=True)
sys.stdin.read()
"""
PARENT = f"""
import subprocess, sys
child = subprocess.Popen([sys.executable, "-c", {WORKER!r}], stdin=subprocess.PIPE)
sys.stdin.readline()
child.communicate()
print("ended", flush=True)
sys.stdin.read()
"""


@contextmanager
def two_processes() -> Iterator[subprocess.Popen[str]]:
    pipe = subprocess.PIPE
    with subprocess.Popen([sys.executable, "-c", PARENT], stdin=pipe, stdout=pipe, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "worked\n"
        yield process


def test_a_workers_cpu_counts_while_it_lives_and_after_it_ended():
    with two_processes() as process:
        assert process.stdin is not None
        assert process.stdout is not None
        assert len(list(family(process.pid))) == 2
        living = process_usage(process.pid)
        process.stdin.write("\n")
        process.stdin.flush()
        assert process.stdout.readline() == "ended\n"
        assert list(family(process.pid)) == [process.pid]
        ended = process_usage(process.pid)
    assert living["cpu_ns"] >= 300_000_000
    assert ended["cpu_ns"] >= 290_000_000
    assert living["rss_kb"] > 1.5 * ended["rss_kb"]


def test_our_own_cpu_is_there_by_less_than_a_tick():
    before = process_usage(os.getpid())["cpu_ns"]
    sum(range(10_000))
    assert 0 < process_usage(os.getpid())["cpu_ns"] - before < 1_000_000_000


def test_a_process_that_has_ended_uses_nothing():
    with subprocess.Popen(["true"]) as process:
        process.wait()
    assert process_usage(process.pid) == {"cpu_ns": 0, "rss_kb": 0}


def test_the_kernels_own_figures_are_readable_and_never_go_back():
    core = min(os.sched_getaffinity(0))
    before = softirq_ns(core), ksoftirqd_ns(), buffer_drops()
    after = softirq_ns(core), ksoftirqd_ns(), buffer_drops()
    assert after[0] >= before[0] >= 0
    assert after[2] >= before[2] >= 0
    assert all(after[1][key] >= ns for key, ns in before[1].items())
    if not before[1]:
        pytest.skip("kernel threads cannot be seen here")
    assert core in before[1]
