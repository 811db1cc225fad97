"""Fault switches: what tests (and curious operators) turn on to see a payment go wrong in transit.

Kept in memory: a restart turns every fault off.
"""

import asyncio
from dataclasses import dataclass, field
from typing import Literal, get_args

ApiFaultKind = Literal[
    "truncate_after_commit", "reset_after_commit", "error_500_saved", "conflict_409", "rate_limit_429", "slow"
]
EventFaultKind = Literal["duplicate", "drop", "delay", "reorder", "bad_signature", "stale_signature"]
API_FAULTS: tuple[str, ...] = get_args(ApiFaultKind)
EVENT_FAULTS: tuple[str, ...] = get_args(EventFaultKind)
SWITCHES_MAX = 100


@dataclass(slots=True)
class Switch:
    """One fault for the next `times` matching calls (or events).

    `target`: an operation such as `refunds.create`, an event type, or `*`. `delay_s`: how long `slow`,
    `delay` and `reorder` hold. `effect`: whether the operation behind `error_500_saved` took place.
    """

    target: str
    kind: str
    times: int = 1
    delay_s: float = 1.0
    effect: bool = False

    def matches(self, name: str) -> bool:
        return self.target in ("*", name)


@dataclass(slots=True)
class Faults:
    api: list[Switch] = field(default_factory=list)
    events: list[Switch] = field(default_factory=list)
    _released: asyncio.Event = field(default_factory=asyncio.Event)

    def reset(self) -> None:
        """Turn everything off, and let go what `slow` holds."""
        self.api.clear()
        self.events.clear()
        self._released.set()
        self._released = asyncio.Event()

    async def hold(self, seconds: float) -> None:
        """Until the time is over or everything is turned off (which a shutdown does too)."""
        try:
            async with asyncio.timeout(seconds):
                await self._released.wait()
        except TimeoutError:
            pass

    def take_api(self, operation: str) -> Switch | None:
        return _take(self.api, operation)

    def take_event(self, kind: str) -> Switch | None:
        return _take(self.events, kind)


def _take(switches: list[Switch], name: str) -> Switch | None:
    for switch in switches:
        if switch.matches(name):
            switch.times -= 1
            if switch.times <= 0:
                switches.remove(switch)
            return switch
    return None
