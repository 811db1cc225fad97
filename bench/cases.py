"""The traffic cases of the media bench: what a publisher sends when, before encryption."""

import csv
import heapq
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from itertools import count
from pathlib import Path

FRAMES_PER_S = 30
AUDIO_PER_S = 50
AUDIO_BYTES = 140
PACED = Path(__file__).with_name("paced.csv")


@dataclass(frozen=True, slots=True, order=True)
class Send:
    """One packet: when (from the start), of which kind and frame, its bytes of RTP, and its place in the frame."""

    at_s: float
    kind: str
    frame: int
    bytes: int
    first: bool = True
    last: bool = True


@dataclass(frozen=True, slots=True)
class Case:
    """`publishers` hosts each send what `video` and Opus yield; `segmentation` False: the veth cuts GSO runs."""

    video: Callable[[], Iterator[Send]]
    publishers: int = 1
    audio: bool = True
    segmentation: bool = True

    def sends(self) -> Iterator[Send]:
        return heapq.merge(self.video(), _audio()) if self.audio else self.video()


def frames(bytes_of: Callable[[int], list[int]]) -> Iterator[Send]:
    """Thirty frames a second, each sent at once; `bytes_of(frame)` are its packets."""
    for frame in count():
        sizes = bytes_of(frame)
        for i, size in enumerate(sizes):
            yield Send(frame / FRAMES_PER_S, "video", frame, size, i == 0, i == len(sizes) - 1)


def rate(video_per_s: int, video_bytes: int) -> Case:
    """Frames of equal packets, as many a second as asked for."""

    def bytes_of(frame: int) -> list[int]:
        upto, before = video_per_s * (frame + 1) // FRAMES_PER_S, video_per_s * frame // FRAMES_PER_S
        return [video_bytes] * (upto - before)

    return Case(partial(frames, bytes_of))


def _audio() -> Iterator[Send]:
    for n in count():
        # Off the frames' beat, as two clocks would be.
        yield Send((n + 0.3) / AUDIO_PER_S, "audio", n, AUDIO_BYTES)


def _uneven() -> Iterator[Send]:
    rng = random.Random(7)
    yield from frames(lambda _frame: [rng.randrange(200, 1150) for _ in range(8)])


def _small() -> Iterator[Send]:
    for n in count():
        yield Send(n / 1000, "video", n // 33, 600, n % 33 == 0, n % 33 == 32)


def _paced() -> Iterator[Send]:
    """The recorded packets of Chromium, over and over."""
    with PACED.open(encoding="ascii") as file:
        trace = [(int(r["us"]) / 1e6, r["kind"], int(r["frame"]), int(r["bytes"]), r["marker"] == "1")
                 for r in csv.DictReader(file)]  # fmt: skip
    length_s = trace[-1][0] + 0.01
    frames_in_trace = 1 + max(row[2] for row in trace if row[1] == "video")
    audio = 0
    for turn in count():
        former = -1
        for at_s, kind, frame, size, marker in trace:
            if kind == "audio":
                audio += 1
            number = audio if kind == "audio" else turn * frames_in_trace + frame
            first = kind == "audio" or number != former
            former = number if kind == "video" else former
            yield Send(turn * length_s + at_s, kind, number, size, first, marker or kind == "audio")


CASES = {
    # Chromium's own sizes and spacing at 2.2 Mbit/s; a real interface would see single packets.
    "paced": Case(_paced, audio=False, segmentation=False),
    "burst": Case(partial(frames, lambda _frame: [1100] * 8)),
    "uneven": Case(_uneven),
    "four": Case(partial(frames, lambda _frame: [1100] * 3), publishers=4),
    "small": Case(_small),
}
