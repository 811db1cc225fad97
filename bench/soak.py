"""Viewers join and leave at random, for half an hour: nothing may stay behind in the media server.

    python -m bench.soak [--minutes 30] [--viewers 200] [--seed N]

Ends non-zero when the server's memory did not stay flat after the warm-up (the medians of the first and of the last quarter
differ by over 5 %), or when a task, descriptor, participant, SRTP session or native entry is left after everybody has gone.
"""

import argparse
import asyncio
import random
import statistics
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass

from bench.media import Bench, Options
from bench.pipe import Message

WARM_UP_PART = 0.2  # of the time after the room was full for the first time
FULL_PART = 0.85
FLAT_PART = 0.05
EVENTS_PER_S = 6
SAMPLE_S = 2
GONE_WITHIN_S = 20
TELL_S = 30
USAGE = ("cpu_ns", "rss_kb")


@dataclass
class Tally:
    """What was done to the server."""

    joined: int = 0
    left: int = 0
    vanished: int = 0
    abandoned: int = 0
    failed: int = 0


class Churn:
    """Around `viewers` in the room at any time: above that number leaving is likelier than joining."""

    def __init__(self, bench: Bench, viewers: int, rng: random.Random) -> None:
        self.tally = Tally()
        self.inside: list[str] = []
        self._bench = bench
        self._viewers = viewers
        self._rng = rng
        self._number = 0

    @property
    def full(self) -> bool:
        return len(self.inside) >= FULL_PART * self._viewers

    async def run(self, until_s: float) -> None:
        async with asyncio.TaskGroup() as group:
            while time.monotonic() < until_s:
                group.create_task(self._one())
                # The room is filled faster than it is changed.
                hurry = 1 if self.full else 4
                await asyncio.sleep(self._rng.expovariate(EVENTS_PER_S * hurry))

    async def _one(self) -> None:
        if self._rng.random() > len(self.inside) / (2 * self._viewers):
            await self._join()
        elif self.inside:
            await self._leave(self.inside.pop(self._rng.randrange(len(self.inside))))

    async def _join(self) -> None:
        self._number += 1
        name = f"v{self._number}"
        if self._rng.random() < 0.1:
            await self._abandon(name)
            return
        try:
            await self._bench.join(name, self._rng.choice(self._bench.loads))
        except (RuntimeError, TimeoutError) as error:
            print(f"{time.monotonic():.1f} s: {name} could not join: {error}", file=sys.stderr)
            self.tally.failed += 1
            await self._leave(name)
        else:
            self.inside.append(name)
            self.tally.joined += 1

    async def _abandon(self, name: str) -> None:
        """Somebody is let in and never connects."""
        await self._bench.server.request("add", participant_id=name, host=False)
        await asyncio.sleep(self._rng.random())
        await self._bench.server.request("remove", participant_id=name)
        self.tally.abandoned += 1

    async def _leave(self, name: str) -> None:
        """Half of them close their connection, half are just no more there."""
        notify = self._rng.random() < 0.5
        await self._bench.leave(name, notify=notify)
        self.tally.left += notify
        self.tally.vanished += not notify

    async def empty(self) -> None:
        while self.inside:
            await self._leave(self.inside.pop())


async def sample(bench: Bench, churn: Churn, samples: list[int]) -> None:
    """The server's resident memory (kB), every two seconds until cancelled. While the room fills for the first time
    there is nothing to compare."""
    told_s = time.monotonic()
    while True:
        found = (await bench.server.request("usage"))["rss_kb"]
        if len(samples) <= 1 and not churn.full:
            samples[:] = [found]
        else:
            samples.append(found)
        if time.monotonic() - told_s >= TELL_S:
            told_s += TELL_S
            print(f"{len(churn.inside)} inside, {samples[-1]} kB, {churn.tally}", flush=True)
        await asyncio.sleep(SAMPLE_S)


async def left_behind(bench: Bench, before: Message) -> Message:
    """What is there more than before anybody came; closing may take its time, but not for ever."""
    until_s = time.monotonic() + GONE_WITHIN_S
    while True:
        after = await bench.server.request("census")
        more = {
            key: after[key] - before[key] for key in before if key not in USAGE and after[key] > before[key]
        }
        if not more or time.monotonic() > until_s:
            return more
        await asyncio.sleep(1)


def growth(samples: Sequence[int]) -> float:
    """Median of the last quarter after the warm-up over that of the first, less one."""
    steady = samples[int(len(samples) * WARM_UP_PART) :]
    quarter = max(1, len(steady) // 4)
    return statistics.median(steady[-quarter:]) / statistics.median(steady[:quarter]) - 1


async def soak(minutes: float, viewers: int, seed: int) -> list[str]:
    """What went wrong."""
    # A tenth of a call's video: it is the coming and going that is tried.
    options = Options((viewers,), 0, video_per_s=30, video_bytes=1100)
    samples: list[int] = []
    async with Bench(viewers, options) as bench:
        before = await bench.server.request("census")
        await bench.start_host()
        churn = Churn(bench, viewers, random.Random(seed))
        sampling = asyncio.create_task(sample(bench, churn, samples))
        await churn.run(time.monotonic() + 60 * minutes)
        sampling.cancel()
        await churn.empty()
        await bench.server.request("remove", participant_id="host")
        more = await left_behind(bench, before)
    grown = growth(samples)
    print(
        f"memory {samples[0]} kB at first, {samples[-1]} kB at last, {grown:+.1%} after the warm-up; {churn.tally}"
    )
    faults = [f"memory changed by {grown:+.1%} after the warm-up"] if abs(grown) > FLAT_PART else []
    faults += [f"left behind: {more}"] if more else []
    faults += [
        f"the host lost its connection: {gone}" for gone in bench.closed if gone["transport"] == "publish"
    ]
    return faults + ([f"{churn.tally.failed} could not join"] if churn.tally.failed else [])


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--minutes", type=float, default=30)
    parser.add_argument("--viewers", type=int, default=200)
    parser.add_argument("--seed", type=int, default=1)
    found = parser.parse_args()
    faults = asyncio.run(soak(found.minutes, found.viewers, found.seed))
    print("\n".join(faults) or "nothing left behind")
    return int(bool(faults))


if __name__ == "__main__":
    sys.exit(main())
