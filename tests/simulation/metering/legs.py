"""When a leg really sends packets: fixed for the whole run before it starts, so that an oracle can look it up."""

from bisect import bisect_left, bisect_right
from random import Random

# Weights: most clients are honest, some lose the network, some try to watch for nothing.
BEHAVIOURS = ["steady", "patchy", "patchy", "thirteen", "eleven"]


class Packets:
    def __init__(self, rng: Random, until_ms: int, behaviour: str) -> None:
        self.behaviour = behaviour
        self.times: list[int] = []
        at_ms = rng.randrange(3_000)
        while at_ms < until_ms:
            self.times.append(at_ms)
            at_ms += self._pause_ms(rng)

    def _pause_ms(self, rng: Random) -> int:
        if self.behaviour == "thirteen":
            return rng.randrange(12_001, 13_500)
        if self.behaviour == "eleven":
            return rng.randrange(10_000, 12_000)
        if self.behaviour == "patchy" and rng.random() < 0.06:
            return rng.choice([1_500, 4_000, 5_001, 6_000, 11_999, 12_000, 12_001, 14_000, 40_000])
        return rng.randrange(200, 2_500)

    def last(self, at_ms: int) -> int | None:
        """The newest packet up to that moment."""
        index = bisect_right(self.times, at_ms)
        return self.times[index - 1] if index else None

    def next(self, at_ms: int) -> int | None:
        index = bisect_left(self.times, at_ms)
        return self.times[index] if index < len(self.times) else None

    def alive_ms(self, from_ms: int, to_ms: int, timeout_ms: int) -> int:
        """How long, within that time, the last packet was younger than `timeout_ms`."""
        total, covered_to = 0, from_ms
        for time_ms in self.times[max(0, bisect_right(self.times, from_ms) - 1) :]:
            if time_ms >= to_ms:
                break
            begin, end = max(time_ms, covered_to), min(time_ms + timeout_ms, to_ms)
            total += max(0, end - begin)
            covered_to = max(covered_to, end)
        return total
