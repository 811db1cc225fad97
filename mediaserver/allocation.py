"""Which encoding of each picture a viewer gets, by what its line carries. Pure: time is an argument.

Sound comes first and is never taken away; what is left is for the pictures. Each gets its smallest encoding, in order of
priority, then what remains makes them larger, in the same order. Down at once; up only with room to spare, and not soon
after the line has forced one down. Where not even the smallest fits for a while, the picture pauses and the sound goes on.

As long as nothing has shown that the line is limited, the smallest is sent whatever the estimate says: it begins low, and
only what is sent can prove more.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from mediaserver.events import ReceptionState

RISE_MARGIN = 1.15
KEEP_MARGIN = 0.9
EASE_MARGIN = 1.3
# A picture pauses when less than this part of its smallest encoding has fitted for so long.
PAUSE_PART = 0.75
PAUSE_AFTER_NS = 1_000_000_000
RISE_AFTER_NS = 2_000_000_000
# What is probed for lies a little above what is needed, as a probe never shows all there is.
PROBE_MARGIN = 1.1
POOR_LOSS = 0.1

Places = tuple[int | None, ...]


@dataclass(frozen=True, slots=True)
class Stream:
    """One picture. `needs_bps` are those of the encodings that come, the smallest first; none: there is nothing to
    choose. `most` is the place of the largest that is of use (-1: it is not shown at all), `present` of the one it has
    now (None: it is paused). A lower `priority` goes first."""

    needs_bps: tuple[float, ...]
    most: int
    present: int | None
    priority: int = 0


class Allocator:
    """For one viewer. `wanted_bps` is what the line must carry for the next step up, 0.0 when there is none; `has_ease`:
    there is none, and what is given fits with much room to spare."""

    def __init__(self) -> None:
        self.wanted_bps = 0.0
        self.has_ease = False
        self._fell_ns: int | None = None
        self._short_ns: int | None = None

    def decide(
        self, streams: Sequence[Stream], sound_bps: float, estimate_bps: float, *, limited: bool, now_ns: int
    ) -> Places:
        """Places in `needs_bps`; None: pause. A stream without encodings keeps what it has."""
        choice = _Choice(streams, sound_bps, estimate_bps)
        rises = self._fell_ns is None or now_ns - self._fell_ns >= RISE_AFTER_NS
        order = [place for place in _by_priority(streams) if streams[place].needs_bps]
        short = False
        for place in order:
            if streams[place].most >= 0 and not choice.try_step(place, rises=rises, sure=not limited):
                short = short or streams[place].present is not None
        self._short_ns = (self._short_ns or now_ns) if short else None
        if self._short_ns is not None and now_ns - self._short_ns < PAUSE_AFTER_NS:
            choice.keep_lowest(order)
        for place in order:
            while choice.may_grow(place) and choice.try_step(place, rises=rises, sure=False):
                pass
        self._note(streams, choice, order, now_ns)
        self.has_ease = not self.wanted_bps and (
            not limited or choice.spent_bps * EASE_MARGIN <= estimate_bps
        )
        return tuple(choice.places)

    def _note(self, streams: Sequence[Stream], choice: "_Choice", order: Sequence[int], now_ns: int) -> None:
        if any(_falls(streams[place], choice.places[place]) for place in order):
            self._fell_ns = now_ns
        self.wanted_bps = 0.0
        for place in order:
            if choice.may_grow(place) or (choice.places[place] is None and streams[place].most >= 0):
                self.wanted_bps = (choice.spent_bps + choice.step_bps(place)) * RISE_MARGIN * PROBE_MARGIN
                return


class _Choice:
    """What has been given out so far."""

    def __init__(self, streams: Sequence[Stream], sound_bps: float, estimate_bps: float) -> None:
        self._streams = streams
        self._estimate_bps = estimate_bps
        self.spent_bps = sound_bps
        self.places: list[int | None] = [None if stream.needs_bps else stream.present for stream in streams]

    def step_bps(self, place: int) -> float:
        """How much more the next encoding of the stream takes."""
        needs, present = self._streams[place].needs_bps, self.places[place]
        return needs[0] if present is None else needs[present + 1] - needs[present]

    def may_grow(self, place: int) -> bool:
        stream, present = self._streams[place], self.places[place]
        return present is not None and present < min(stream.most, len(stream.needs_bps) - 1)

    def try_step(self, place: int, *, rises: bool, sure: bool) -> bool:
        """Give the stream its next encoding if that fits (`sure`: it does); False otherwise."""
        stream, given = self._streams[place], self.places[place]
        after = 0 if given is None else given + 1
        spent_bps = self.spent_bps + self.step_bps(place)
        if stream.present is not None and after == 0:
            fits = self.spent_bps + PAUSE_PART * stream.needs_bps[0] <= self._estimate_bps
        elif stream.present is not None and after <= stream.present:
            fits = spent_bps * KEEP_MARGIN <= self._estimate_bps
        else:
            fits = rises and spent_bps * RISE_MARGIN <= self._estimate_bps
        if fits or sure:
            self.places[place], self.spent_bps = after, spent_bps
        return fits or sure

    def keep_lowest(self, order: Sequence[int]) -> None:
        """It may pass: what is shown goes on in its smallest encoding."""
        for place in order:
            stream = self._streams[place]
            if self.places[place] is None and stream.present is not None and stream.most >= 0:
                self.places[place] = 0
                self.spent_bps += stream.needs_bps[0]


def _falls(stream: Stream, place: int | None) -> bool:
    """Whether it gets less than it has, and not because less is wanted."""
    wanted = min(-1 if stream.present is None else stream.present, stream.most)
    return (-1 if place is None else place) < wanted


def _by_priority(streams: Sequence[Stream]) -> list[int]:
    return sorted(range(len(streams)), key=lambda place: streams[place].priority)


def reception(streams: Sequence[Stream], places: Places, loss: float) -> ReceptionState:
    """How well a viewer receives: `loss` is the part of its packets lost lately."""
    shown = [
        (stream, place)
        for stream, place in zip(streams, places, strict=True)
        if stream.needs_bps and stream.most >= 0
    ]
    if shown and all(place is None for _, place in shown):
        return "audio_only"
    if loss > POOR_LOSS and all(not place for _, place in shown):
        return "poor"
    whole = all(
        place is not None and place >= min(stream.most, len(stream.needs_bps) - 1) for stream, place in shown
    )
    if not whole:
        return "reduced"
    return "poor" if loss > POOR_LOSS else "good"
