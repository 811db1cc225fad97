"""Who is told to speak, in which order and when; and whose microphones are passed on in a big room."""

import itertools
import random

import pytest

from mediaserver.speakers import INTERVAL_NS, Heard, RoomAudio

MS = 1_000_000
LOUD, QUIET, WHISPER, HUM, SILENCE = 20, 30, 55, 70, 127
NOTHING = -1  # no packet came


class Meeting:
    """Microphones by name, in intervals of 100 ms; written down is what was told, and when."""

    def __init__(self, streams_max=4, limited=()):
        self.audio = RoomAudio(streams_max)
        self.limited = set(limited)
        self.keys = {}
        self.now_ns = 0
        self.told = []

    def key(self, name):
        return self.keys.setdefault(name, len(self.keys) + 1)

    def pass_time(self, duration_ms, **levels):
        for _ in range(duration_ms * MS // INTERVAL_NS):
            self.now_ns += INTERVAL_NS
            heard = [
                Heard(self.key(name), name, next(level) if hasattr(level, "__next__") else level, name in self.limited)
                for name, level in levels.items()
            ]  # fmt: skip
            self.audio.hear(heard, self.now_ns)
            news = self.audio.news(self.now_ns)
            if news is not None:
                self.told.append((self.now_ns // MS, " ".join(news)))
        return self

    @property
    def speaking(self):
        return " ".join(self.audio.speakers)

    @property
    def paused(self):
        return {name for name, key in self.keys.items() if key in self.audio.paused}


def test_who_speaks_is_told_soon_and_who_has_stopped_a_second_later():
    room = Meeting().pass_time(1000, ann=SILENCE, ben=HUM)
    room.pass_time(2000, ann=QUIET, ben=HUM).pass_time(3000, ann=SILENCE, ben=HUM)
    (began, who), (ended, nobody) = room.told
    assert (who, nobody) == ("ann", "")
    assert 1200 <= began <= 1500
    assert 3900 <= ended <= 4400


@pytest.mark.parametrize("level", [WHISPER, HUM, SILENCE, NOTHING])
def test_who_is_too_soft_does_not_speak(level):
    assert Meeting().pass_time(5000, ann=level).told == []


def test_a_cough_is_no_speech():
    room = Meeting().pass_time(500, ann=SILENCE).pass_time(100, ann=LOUD).pass_time(2000, ann=SILENCE)
    assert room.told == []


def test_pauses_between_words_change_nothing():
    words = iter(([QUIET] * 5 + [HUM] * 4) * 10)
    room = Meeting().pass_time(9000, ann=words)
    assert [who for _, who in room.told] == ["ann"]


def test_a_client_that_sends_nothing_in_silence_is_silent():
    """Opus DTX: a packet in 400 ms."""
    comfort = iter([SILENCE, NOTHING, NOTHING, NOTHING] * 20)
    room = Meeting().pass_time(1000, ann=QUIET).pass_time(3000, ann=comfort)
    assert [who for _, who in room.told] == ["ann", ""]


def test_the_loudest_comes_first():
    assert Meeting().pass_time(1000, ann=QUIET, ben=LOUD, cleo=SILENCE).speaking == "ben ann"


def test_a_louder_one_gets_in_front_only_after_some_hundred_milliseconds():
    room = Meeting().pass_time(1000, ann=QUIET, ben=SILENCE).pass_time(600, ann=QUIET, ben=QUIET)
    assert room.speaking == "ann ben"
    room.pass_time(300, ann=QUIET, ben=LOUD)
    assert room.speaking == "ann ben"
    room.pass_time(500, ann=QUIET, ben=LOUD)
    assert room.speaking == "ben ann"


def test_two_of_one_loudness_do_not_change_places():
    chance = random.Random(1)
    room = Meeting().pass_time(500, ann=QUIET, ben=SILENCE)
    levels = (QUIET + chance.choice([-2, 0, 2]) for _ in iter(int, 1))
    room.pass_time(10_000, ann=levels, ben=levels)
    assert [who for _, who in room.told] == ["ann", "ann ben"]


def test_an_answer_takes_over_when_the_question_has_ended():
    room = Meeting().pass_time(1000, ann=QUIET, ben=SILENCE).pass_time(2000, ann=SILENCE, ben=QUIET)
    assert next(who for _, who in room.told) == "ann"
    assert [who for _, who in room.told][-1] == "ben"
    assert room.told[-1][0] <= 1000 + 1500


def test_it_is_told_at_most_four_times_a_second_and_ends_with_what_is_true():
    chance = random.Random(7)
    room = Meeting()
    for _ in range(100):
        levels = {f"p{n}": chance.choice([LOUD, QUIET, SILENCE]) for n in range(12)}
        room.pass_time(chance.choice([100, 300, 700]), **levels)
    times = [at for at, _ in room.told]
    assert len(times) > 20
    assert all(later - earlier >= 250 for earlier, later in itertools.pairwise(times))
    room.pass_time(3000, **{f"p{n}": SILENCE for n in range(12)})
    assert room.told[-1][1] == ""


def test_who_is_muted_or_gone_stops_at_once():
    room = Meeting().pass_time(1000, ann=QUIET, ben=QUIET).pass_time(100, ben=QUIET)
    assert room.speaking == "ben"
    room.pass_time(100)
    assert room.speaking == ""


def test_who_comes_back_is_judged_anew():
    room = Meeting().pass_time(1000, ann=QUIET).pass_time(100).pass_time(200, ann=QUIET)
    assert room.speaking == ""


def test_of_a_client_that_tells_no_level_nothing_is_known():
    room = Meeting(streams_max=1, limited={"ann", "ben", "cleo", "dan"})
    room.pass_time(2000, ann=None, ben=NOTHING, cleo=SILENCE, dan=QUIET)
    assert room.speaking == "dan"
    assert room.paused == {"cleo"}


def test_two_microphones_of_one_participant_are_one_speaker():
    audio = RoomAudio(4)
    for n in range(10):
        audio.hear([Heard(1, "ann", QUIET, False), Heard(2, "ann", LOUD, False)], n * INTERVAL_NS)
    assert audio.speakers == ("ann",)


# --- the loudest few ---

GUESTS = [f"g{n}" for n in range(8)]


def everybody(level=SILENCE, **others):
    return dict.fromkeys(GUESTS, level) | others


def test_in_a_room_with_few_nobody_is_ever_paused():
    room = Meeting(streams_max=4, limited=GUESTS)
    for level in (SILENCE, QUIET, NOTHING):
        room.pass_time(1000, host=QUIET, **dict.fromkeys(GUESTS[:4], level))
        assert room.paused == set()


def test_in_a_big_room_as_many_pass_as_may_and_hosts_always():
    room = Meeting(streams_max=4, limited=GUESTS).pass_time(1000, host=SILENCE, cohost=SILENCE, **everybody())
    assert len(room.paused) == 4
    assert room.paused < set(GUESTS)


def test_without_a_limit_everybody_passes():
    room = Meeting(streams_max=0, limited=GUESTS).pass_time(1000, **everybody(QUIET))
    assert room.paused == set()


def test_who_begins_to_speak_is_let_in_with_the_first_interval():
    room = Meeting(streams_max=4, limited=GUESTS).pass_time(1000, **everybody())
    speaker = min(room.paused)
    room.pass_time(100, **everybody(**{speaker: QUIET}))
    assert speaker not in room.paused
    assert len(room.paused) == 4


def test_a_place_is_taken_from_the_quietest_not_from_who_speaks():
    room = Meeting(streams_max=2, limited=GUESTS).pass_time(1000, **everybody(g0=QUIET, g1=SILENCE))
    room.pass_time(100, **everybody(g0=QUIET, g5=QUIET))
    assert room.paused == set(GUESTS) - {"g0", "g5"}


def test_a_pause_for_breath_loses_nobody_its_place():
    room = Meeting(streams_max=1, limited=GUESTS).pass_time(1000, **everybody(g0=QUIET))
    room.pass_time(400, **everybody(g1=QUIET + 10))
    assert "g0" not in room.paused
    room.pass_time(600, **everybody(g1=QUIET + 10))
    assert "g1" not in room.paused


def test_when_all_places_speak_a_clearly_louder_one_gets_in():
    room = Meeting(streams_max=2, limited=GUESTS).pass_time(1000, **everybody(g0=QUIET, g1=QUIET))
    room.pass_time(3000, **everybody(g0=QUIET, g1=QUIET, g2=QUIET - 2))
    assert "g2" in room.paused
    room.pass_time(100, **everybody(g0=QUIET, g1=QUIET, g2=LOUD))
    assert "g2" not in room.paused


def test_noise_takes_no_place_and_silence_changes_nothing():
    chance = random.Random(3)
    room = Meeting(streams_max=4, limited=GUESTS).pass_time(1000, **everybody())
    paused = room.paused
    for _ in range(100):
        room.pass_time(100, **{name: chance.randint(66, 90) for name in GUESTS})
        assert room.paused == paused


def test_a_free_place_is_filled_at_once_and_a_smaller_room_frees_all():
    room = Meeting(streams_max=4, limited=GUESTS).pass_time(1000, **everybody())
    left = next(name for name in GUESTS if name not in room.paused)
    others = [name for name in GUESTS if name != left]
    room.pass_time(100, **dict.fromkeys(others, SILENCE))
    assert len(room.paused & set(others)) == 3
    room.pass_time(100, **dict.fromkeys(others[:4], SILENCE))
    assert room.paused & set(others[:4]) == set()


@pytest.mark.parametrize("seed", range(20))
def test_never_more_than_may_and_never_fewer_than_could(seed):
    chance = random.Random(seed)
    room = Meeting(streams_max=chance.randint(1, 5), limited=GUESTS)
    for _ in range(200):
        there = {
            name: chance.choice([NOTHING, LOUD, QUIET, HUM, None]) for name in GUESTS if chance.random() < 0.9
        }
        room.pass_time(100, host=LOUD, **there)
        known = {name for name in there if room.key(name) in room.audio._voices}
        assert room.paused <= known
        assert len(known - room.paused) == min(len(known), room.audio._streams_max)
        assert "host" not in room.paused
