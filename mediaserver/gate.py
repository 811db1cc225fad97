"""The gate of a metered participant and the lease of the whole server. Pure: time is an argument, in ns.

A gate is closed, open and waiting for its first packet, or running. It ends by itself when its allowance,
counted from the first packet, is used up.
"""

from collections.abc import Callable
from typing import Protocol

from mediaserver.events import GateReport

FOREVER_NS = 1 << 62
MS = 1_000_000


class Lease:
    """Until when anything at all may be forwarded. Zero until it is first set: nothing passes."""

    def __init__(self) -> None:
        self.until_ns = 0


class Passing(Protocol):
    """Something that packets pass through: remembers when the last one did."""

    last_ns: int


class Gate:
    """One participant's gate. `on_first` is called with the time of the first packet after each opening."""

    def __init__(self, lease: Lease, on_first: Callable[[int], None]) -> None:
        self._lease = lease
        self._on_first = on_first
        self._open = False
        self._allow_ns: int | None = None
        self._first_ns: int | None = None
        self._last_ns = 0
        self._entries: list[Passing] = []

    @property
    def is_open(self) -> bool:
        return self._open

    def open(self, allow_ms: int | None) -> None:
        """Open, or replace the allowance of an open gate: it still counts from the same first packet."""
        self._open = True
        self._allow_ns = None if allow_ms is None else allow_ms * MS

    def until_ns(self, now_ns: int) -> int:
        """When this gate stops letting packets pass, if the next one passed now; 0 while closed."""
        if not self._open:
            return 0
        if self._allow_ns is None:
            return FOREVER_NS
        return (now_ns if self._first_ns is None else self._first_ns) + self._allow_ns

    def note_first(self, now_ns: int) -> None:
        """A packet passes; if it is the first since the opening, the allowance starts to run."""
        if self._first_ns is None:
            self._first_ns = now_ns
            self._on_first(now_ns)

    def watch(self, entry: Passing) -> None:
        self._entries.append(entry)

    def unwatch(self, entry: Passing) -> None:
        self._last_ns = max(self._last_ns, entry.last_ns)
        self._entries.remove(entry)

    def close(self, now_ns: int) -> GateReport:
        """Stop, and tell what had passed. On a closed gate the report is empty."""
        if not self._open:
            return GateReport(stopped_ms=now_ns // MS)
        stopped_ns = min(now_ns, self._lease.until_ns)
        first_ns, last_ns = self._first_ns, self._last_passed_ns()
        if first_ns is not None:
            stopped_ns = max(first_ns, min(stopped_ns, self.until_ns(now_ns)))
        self._open, self._allow_ns, self._first_ns, self._last_ns = False, None, None, 0
        if first_ns is None:
            return GateReport(stopped_ms=stopped_ns // MS)
        return GateReport(stopped_ns // MS, first_ns // MS, max(first_ns, last_ns) // MS)

    def _last_passed_ns(self) -> int:
        return max([self._last_ns, *(entry.last_ns for entry in self._entries)])


__all__ = ["FOREVER_NS", "MS", "Gate", "Lease", "Passing"]
