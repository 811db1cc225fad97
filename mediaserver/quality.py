"""What one viewer receives of what its line carries: lets the allocator choose, probes, tells how well it goes.

Called by the viewer's `Subscriber` several times a second, and by its own timer while a probe is being sent.
"""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from mediaserver.allocation import Allocator, Places, Stream, reception
from mediaserver.bandwidth import PROBE_STEP_NS, Estimate, Prober, Unreported
from mediaserver.encoding import Encoding
from mediaserver.events import ReceptionState
from mediaserver.forwarder import Forwarder, Subscription
from mediaserver.publication import Publication

TELL_INTERVAL_NS = 1_000_000_000
# Where all is well: with nothing to choose from, and where an encoding may yet fall silent.
REST_NS = 2_000_000_000
REST_CHOOSING_NS = 500_000_000
# How large the largest encoding is taken to be until one of its keyframes has told.
USUAL_SIZE = (1280, 720)
# Headers of everything below the payload, against which encodings are measured.
_VIDEO_OVERHEAD = 1.06
_SOUND_OVERHEAD_BPS = 50 * 72 * 8
_LOSS_SMOOTHING = 0.25

View = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Picture:
    """A video that the viewer receives, how large it shows it (None: as large as it comes), and whose it is."""

    publication: Publication
    subscription: Subscription
    view: View | None
    from_host: bool


class Quality:
    def __init__(self, forwarder: Forwarder, line: Estimate, now_ns: Callable[[], int]) -> None:
        self._forwarder = forwarder
        self._line = line
        self._now_ns = now_ns
        self._allocator = Allocator()
        self._prober = Prober()
        self._unreported = Unreported()
        self._timer: asyncio.TimerHandle | None = None
        self._carriers: tuple[Subscription, ...] = ()
        self._loss = 0.0
        self._sent: tuple[int, int] | None = None
        self._told: tuple[ReceptionState | None, int] = (None, 0)
        # Until when there is nothing to choose, unless the line gets worse than it was at the time of its last cut.
        self._rests_until_ns = self._cut_ns = 0

    @property
    def estimate_bps(self) -> int | None:
        """What the line seems to carry; None while the viewer has told nothing."""
        line = self._line
        if line.feedbacks:
            return int(line.estimate_bps)
        return int(self._unreported.estimate_bps) if line.reports or line.told_bps else None

    def update(
        self, pictures: Sequence[Picture], sound_bps: float, bytes_out: int, now_ns: int
    ) -> ReceptionState | None:
        """Choose anew. `sound_bps` is what the sounds take, `bytes_out` what was ever sent to the viewer. How well it
        receives, if that is news: at most once a second."""
        line = self._line
        if not line.feedbacks:
            self._unreported.update(line, self._sent_bps(bytes_out, now_ns))
        source = line if line.feedbacks else self._unreported
        active = [_active(picture.publication) for picture in pictures]
        streams = [_stream(picture, coming) for picture, coming in zip(pictures, active, strict=True)]
        places = self._allocator.decide(
            streams, sound_bps, source.estimate_bps, limited=source.limited, now_ns=now_ns
        )
        for picture, coming, place in zip(pictures, active, places, strict=True):
            self._apply(picture, coming, place)
        self._carriers = tuple(picture.subscription for picture in pictures)
        if line.feedbacks:
            self._probe(now_ns)
        news = self._news(streams, places, now_ns)
        self._rest(pictures, now_ns)
        return news

    def rests(self, now_ns: int) -> bool:
        """Whether `update` need not be called yet: most viewers have all there is, on a line that carries it."""
        return now_ns < self._rests_until_ns and self._line.cut_ns == self._cut_ns

    def wake(self) -> None:
        """Something else than the line has changed."""
        self._rests_until_ns = 0

    def _rest(self, pictures: Sequence[Picture], now_ns: int) -> None:
        self._rests_until_ns, self._cut_ns = 0, self._line.cut_ns
        if self._allocator.has_ease and self._told[0] == "good" and self._line.feedbacks:
            single = all(len(picture.publication.encodings) == 1 for picture in pictures)
            shown = not any(picture.subscription.paused for picture in pictures)
            self._rests_until_ns = now_ns + (REST_NS if single and shown else REST_CHOOSING_NS)

    def _sent_bps(self, bytes_out: int, now_ns: int) -> float:
        before, since_ns = self._sent or (bytes_out, now_ns)
        self._sent = bytes_out, now_ns
        return (bytes_out - before) * 8e9 / (now_ns - since_ns) if now_ns > since_ns else 0.0

    def _apply(self, picture: Picture, active: Sequence[Encoding], place: int | None) -> None:
        """A paused picture goes over to another encoding before it is shown again, so that nothing is sent of the one
        that did not fit."""
        publication, subscription = picture.publication, picture.subscription
        if not active:
            return
        encoding = active[place or 0]
        publication.select(subscription, encoding)
        if place is None:
            if not subscription.paused:
                self._forwarder.set_paused(subscription, True)
        elif (
            subscription.paused
            and not publication.is_paused
            and publication.current(subscription) is encoding
        ):
            self._forwarder.set_paused(subscription, False)

    # --- probing ---

    def _probe(self, now_ns: int) -> None:
        if self._prober.consider(self._line, self._allocator.wanted_bps, now_ns) and self._timer is None:
            self._pad()

    def _pad(self) -> None:
        """One step of a probe: as much padding as is due. Where none may be sent, the probe is over."""
        self._timer = None
        due = self._prober.padding(self._line, self._now_ns())
        for carrier in self._carriers:
            due -= self._forwarder.pad(carrier, due) if due > 0 else 0
        if self._prober.began_ns:
            self._timer = asyncio.get_running_loop().call_later(PROBE_STEP_NS / 1e9, self._pad)

    def stop(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    # --- telling ---

    def _news(self, streams: Sequence[Stream], places: Places, now_ns: int) -> ReceptionState | None:
        loss = self._line.loss if self._line.feedbacks else self._line.told_loss
        self._loss += _LOSS_SMOOTHING * (loss - self._loss)
        state = reception(streams, places, self._loss)
        told, told_ns = self._told
        if state == told or (told is not None and now_ns - told_ns < TELL_INTERVAL_NS):
            return None
        self._told = state, now_ns
        return state


def _active(publication: Publication) -> list[Encoding]:
    return [encoding for encoding in publication.encodings if encoding.is_active]


def _stream(picture: Picture, active: Sequence[Encoding]) -> Stream:
    publication = picture.publication
    target = publication.target(picture.subscription)
    if picture.subscription.paused:
        present = None
    elif target in active:
        present = active.index(target)
    else:  # it has just fallen silent: what is next below it takes its place
        present = 0
    return Stream(
        needs_bps=tuple(encoding.bitrate_bps * _VIDEO_OVERHEAD for encoding in active),
        most=_most(publication.encodings, active, picture.view),
        present=present,
        priority=_priority(picture),
    )


def _priority(picture: Picture) -> int:
    if picture.publication.info.source == "screen":
        return 0
    return 1 if picture.from_host else 2


def _most(encodings: Sequence[Encoding], active: Sequence[Encoding], view: View | None) -> int:
    """The place in `active` of the smallest encoding that fills the view (in pixels), else of the largest; -1 for a view
    without size. Each is taken to be half as wide and high as the next where its size is not known."""
    if view is not None and (view[0] <= 0 or view[1] <= 0):
        return -1
    largest = encodings[-1].size or USUAL_SIZE
    for place, encoding in enumerate(encodings):
        halvings = len(encodings) - 1 - place
        width, height = encoding.size or (largest[0] >> halvings, largest[1] >> halvings)
        if encoding in active and view is not None and (width >= view[0] or height >= view[1]):
            return active.index(encoding)
    return len(active) - 1


def sound_bps(publication: Publication) -> float:
    """What a sound takes on the line."""
    return (
        publication.encodings[0].bitrate_bps + _SOUND_OVERHEAD_BPS
        if publication.encodings[0].is_active
        else 0.0
    )
