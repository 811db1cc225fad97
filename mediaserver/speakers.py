"""Who speaks in a room, and whose microphones are passed on in a big one. Pure: time is an argument, in ns.

What is known of a microphone is the loudest of its packets in each INTERVAL_NS, as its own client tells it (RFC 6464). It
is heard in two ways:

- *smooth*, which rises and falls with what is said: who stays above SPEECH_DBOV for BEGIN_NS speaks, and has stopped
  after SILENCE_NS below it. Among those who speak, one gets in front of another when it has been louder by LEAD_DB for
  LEAD_NS, so that a cough or an "mhm" changes nothing.
- *held*, which rises at once and falls slowly: who is louder by LEAD_DB than the quietest of those passed on takes its
  place with the first interval that tells so, and a pause for breath loses nobody its place.

A microphone whose client tells no level may be silent or shouting: it is not known to speak, and is always passed on.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

MS = 1_000_000
INTERVAL_NS = 100 * MS
TELL_INTERVAL_NS = 250 * MS
BEGIN_NS = 200 * MS
SILENCE_NS = 1000 * MS
LEAD_NS = 400 * MS
LEAD_DB = 3.0
SPEECH_DBOV = -50.0
# What is softer is background, and takes nobody's place.
NOISE_DBOV = -65.0
# Nothing is softer than this, so that a voice after digital silence is as quickly heard as one after a rustle.
SILENCE_DBOV = -80.0
SPEAKERS_MAX = 8
_RISE = 0.5
_FALL = 0.15
_HELD_FALL_DB = 2.0


@dataclass(frozen=True, slots=True)
class Heard:
    """One microphone in one interval. `audio_level` is in -dBov, 0 (loudest) to 127; -1: no packet told any; None: its
    client does not tell levels. `is_limited`: passed on only while it is among the loudest few."""

    publication_id: int
    participant_id: str
    audio_level: int | None
    is_limited: bool


@dataclass(slots=True)
class _Voice:
    participant_id: str
    smooth_dbov: float = SILENCE_DBOV
    held_dbov: float = SILENCE_DBOV
    speaks: bool = False
    loud_since_ns: int | None = None
    loud_ns: int = 0
    leads_since_ns: int | None = None

    def hear(self, audio_level: int, now_ns: int) -> None:
        dbov = SILENCE_DBOV if audio_level < 0 else max(SILENCE_DBOV, float(-audio_level))
        self.held_dbov = max(dbov, self.held_dbov - _HELD_FALL_DB)
        self.smooth_dbov += (dbov - self.smooth_dbov) * (_RISE if dbov > self.smooth_dbov else _FALL)
        if self.smooth_dbov >= SPEECH_DBOV:
            self.loud_ns = now_ns
            self.loud_since_ns = now_ns if self.loud_since_ns is None else self.loud_since_ns
            self.speaks = self.speaks or now_ns - self.loud_since_ns >= BEGIN_NS
        else:
            self.loud_since_ns = None
            self.speaks = self.speaks and now_ns - self.loud_ns < SILENCE_NS


class RoomAudio:
    """The microphones of one room. `streams_max`: how many of the limited ones are passed on; 0: all."""

    def __init__(self, streams_max: int) -> None:
        self._streams_max = streams_max
        self._voices: dict[int, _Voice] = {}
        self._order: list[int] = []
        self._passed: list[int] = []
        self._told: tuple[str, ...] = ()
        self._told_ns = -TELL_INTERVAL_NS
        self.paused: frozenset[int] = frozenset()
        """The publications that are not passed on now."""

    @property
    def speakers(self) -> tuple[str, ...]:
        """The participants who speak, the loudest first."""
        names = dict.fromkeys(self._voices[key].participant_id for key in self._order)
        return tuple(names)[:SPEAKERS_MAX]

    def hear(self, heard: Sequence[Heard], now_ns: int) -> None:
        """All microphones of the room that may be heard now; one that is left out is silent and forgotten. Called every
        INTERVAL_NS."""
        voices = {}
        for item in heard:
            voice = self._voice(item)
            if voice is not None:
                voices[item.publication_id] = voice
                voice.hear(-1 if item.audio_level is None else item.audio_level, now_ns)
        self._voices = voices
        self._rank(now_ns)
        self._choose(
            [item.publication_id for item in heard if item.is_limited and item.publication_id in voices]
        )

    def _voice(self, item: Heard) -> _Voice | None:
        """None before the first level: only then it is known whether the client really tells it."""
        if item.audio_level is None:
            return None
        known = self._voices.get(item.publication_id)
        return _Voice(item.participant_id) if known is None and item.audio_level >= 0 else known

    def news(self, now_ns: int) -> tuple[str, ...] | None:
        """Who speaks now, when that is not what was told last and it is not too soon to tell; else None."""
        speakers = self.speakers
        if speakers == self._told or now_ns - self._told_ns < TELL_INTERVAL_NS:
            return None
        self._told, self._told_ns = speakers, now_ns
        return speakers

    def _rank(self, now_ns: int) -> None:
        voices = self._voices
        self._order = [key for key in self._order if key in voices and voices[key].speaks]
        begun = [key for key, voice in voices.items() if voice.speaks and key not in self._order]
        self._order += sorted(begun, key=lambda key: -voices[key].smooth_dbov)
        for place in range(1, len(self._order)):
            before, key = self._order[place - 1 : place + 1]
            if self._has_led(voices[key], voices[before], now_ns):
                self._order[place - 1 : place + 1] = key, before
                voices[key].leads_since_ns = voices[before].leads_since_ns = None

    def _has_led(self, voice: _Voice, before: _Voice, now_ns: int) -> bool:
        """Whether a voice has been louder than the one that is listed before it for long enough."""
        if voice.smooth_dbov < before.smooth_dbov + LEAD_DB:
            voice.leads_since_ns = None
            return False
        voice.leads_since_ns = now_ns if voice.leads_since_ns is None else voice.leads_since_ns
        return now_ns - voice.leads_since_ns >= LEAD_NS

    def _choose(self, limited: Iterable[int]) -> None:
        ranked = sorted(limited, key=self._held, reverse=True)
        if not self._streams_max or len(ranked) <= self._streams_max:
            self._passed, self.paused = ranked, frozenset()
            return
        passed = [key for key in ranked if key in self._passed][: self._streams_max]
        others = [key for key in ranked if key not in passed]
        free = self._streams_max - len(passed)
        passed, others = passed + others[:free], others[free:]
        for key in others:
            quietest = min(passed, key=self._held)
            if self._held(key) < max(self._held(quietest) + LEAD_DB, NOISE_DBOV):
                break  # those after it are softer still
            passed[passed.index(quietest)] = key
        self._passed, self.paused = passed, frozenset(ranked) - frozenset(passed)

    def _held(self, key: int) -> float:
        return self._voices[key].held_dbov


__all__ = ["INTERVAL_NS", "Heard", "RoomAudio"]
