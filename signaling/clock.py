"""The one place where time is read. Everything else is handed a Clock."""

import time
from datetime import UTC, datetime
from typing import Protocol


class Clock(Protocol):
    """Two clocks: `now_ns` counts and decides, `wall_s` is for people, expiry of paper, and Stripe."""

    def now_ns(self) -> int: ...

    def wall_s(self) -> float: ...


class SystemClock:
    """CLOCK_BOOTTIME does not stop while the machine sleeps, so a sleeping server cannot outlive its lease."""

    def now_ns(self) -> int:
        return time.clock_gettime_ns(time.CLOCK_BOOTTIME)

    def wall_s(self) -> float:
        return time.time()


def now_ms(clock: Clock) -> int:
    return clock.now_ns() // 1_000_000


def rfc3339(wall_s: float) -> str:
    """RFC 3339 UTC with milliseconds, as every time on the wire."""
    moment = datetime.fromtimestamp(wall_s, UTC)
    return moment.strftime("%Y-%m-%dT%H:%M:%S.") + f"{moment.microsecond // 1000:03d}Z"
