"""The gate of a metered participant and the lease of the whole server. Pure: time is an argument, in ns.

A gate is closed, open and waiting for its first packet, or running. It ends by itself when its allowance,
counted from the first packet, is used up.
"""

from array import array
from collections.abc import Callable
from typing import Protocol

from mediaserver.events import GateReport

FOREVER_NS = 1 << 62
MS = 1_000_000


class Lease:
    """Until when anything at all may be forwarded. Zero until it is first set: nothing passes.

    `state` is that one number; the native data plane reads it on every send."""

    def __init__(self) -> None:
        self.state = array("q", [0])

    @property
    def until_ns(self) -> int:
        return self.state[0]

    @until_ns.setter
    def until_ns(self, until_ns: int) -> None:
        self.state[0] = until_ns


class Passing(Protocol):
    """Something that packets pass through: remembers when the last one did."""

    @property
    def last_ns(self) -> int: ...


class Gate:
    """One participant's gate. `on_first` is called with the time of the first packet after each opening.

    `state` holds what decides on a packet: whether it is open, the allowance in ns (FOREVER_NS: none), and the time
    of the first packet since the opening (-1: none yet). The native data plane reads it on every send and sets
    the third."""

    def __init__(self, lease: Lease, on_first: Callable[[int], None]) -> None:
        self._lease = lease
        self._on_first = on_first
        self.state = array("q", [0, 0, -1])
        self._last_ns = 0
        self._entries: list[Passing] = []

    @property
    def is_open(self) -> bool:
        return bool(self.state[0])

    @property
    def is_running(self) -> bool:
        """A packet has passed since it was opened (it may have reached its limit)."""
        return self.state[2] >= 0

    def open(self, allow_ms: int | None) -> None:
        """Open, or replace the allowance of an open gate: it still counts from the same first packet."""
        self.state[0] = 1
        self.state[1] = FOREVER_NS if allow_ms is None else min(allow_ms * MS, FOREVER_NS)

    def until_ns(self, now_ns: int) -> int:
        """When this gate stops letting packets pass, if the next one passed now; 0 while closed."""
        is_open, allow_ns, first_ns = self.state
        if not is_open:
            return 0
        if allow_ns == FOREVER_NS:
            return FOREVER_NS
        return (now_ns if first_ns < 0 else first_ns) + allow_ns

    def note_first(self, now_ns: int) -> None:
        """A packet passes; if it is the first since the opening, the allowance starts to run."""
        if self.state[2] < 0:
            self.state[2] = now_ns
            self.tell_first(now_ns)

    def tell_first(self, now_ns: int) -> None:
        """The first packet has passed, and `state` says so already."""
        self._on_first(now_ns)

    def watch(self, entry: Passing) -> None:
        self._entries.append(entry)

    def unwatch(self, entry: Passing) -> None:
        self._last_ns = max(self._last_ns, entry.last_ns)
        self._entries.remove(entry)

    def close(self, now_ns: int) -> GateReport:
        """Stop, and tell what had passed. On a closed gate the report is empty."""
        if not self.is_open:
            return GateReport(stopped_ms=now_ns // MS)
        stopped_ns = min(now_ns, self._lease.until_ns)
        first_ns, last_ns = self.state[2], self._last_passed_ns()
        if first_ns >= 0:
            stopped_ns = max(first_ns, min(stopped_ns, self.until_ns(now_ns)))
        self.state[0], self.state[1], self.state[2], self._last_ns = 0, 0, -1, 0
        if first_ns < 0:
            return GateReport(stopped_ms=stopped_ns // MS)
        return GateReport(stopped_ns // MS, first_ns // MS, max(first_ns, last_ns) // MS)

    def _last_passed_ns(self) -> int:
        return max([self._last_ns, *(entry.last_ns for entry in self._entries)])


__all__ = ["FOREVER_NS", "MS", "Gate", "Lease", "Passing"]
