"""m-lines of a subscriber are pooled: kept while wanted, reused afterwards, never reordered."""

from mediaserver.room import SECTIONS_MAX, Slot, Wanted, arrange

AUDIO, VIDEO = Slot("audio"), Slot("video")


def test_with_nothing_to_receive_there_is_one_line_of_each_kind():
    assert arrange([], []) == (AUDIO, VIDEO)


def test_the_first_tracks_take_the_idle_lines():
    slots = arrange([AUDIO, VIDEO], [Wanted(1, "audio"), Wanted(2, "video")])
    assert slots == (Slot("audio", 1), Slot("video", 2))


def test_a_further_track_is_appended_and_those_before_stay():
    before = (Slot("audio", 1), Slot("video", 2))
    assert arrange(before, [Wanted(2, "video"), Wanted(1, "audio"), Wanted(3, "video")]) == (
        *before,
        Slot("video", 3),
    )


def test_a_track_that_ended_frees_its_line_for_the_next_of_its_kind():
    before = (Slot("audio", 1), Slot("video", 2), Slot("video", 3))
    assert arrange(before, [Wanted(3, "video"), Wanted(4, "video")]) == (
        AUDIO,
        Slot("video", 4),
        Slot("video", 3),
    )


def test_lines_are_bounded_and_what_did_not_fit_comes_when_one_is_free():
    many = [Wanted(n, "video") for n in range(SECTIONS_MAX + 5)]
    slots = arrange([], many)
    assert len(slots) == SECTIONS_MAX
    later = arrange(slots, many[10:])
    assert {slot.publication_id for slot in later} >= {SECTIONS_MAX, SECTIONS_MAX + 4}


def test_an_arrangement_is_stable():
    wanted = [Wanted(1, "audio"), Wanted(2, "video"), Wanted(3, "video")]
    slots = arrange([], wanted)
    assert arrange(slots, reversed(wanted)) == slots
