"""Which layer a packet is of, on what Chromium 156 sent (headers alone were recorded), and numbers without gaps."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mediaserver.layers import RESERVED_MAX, Lane, layer_reader

RECORDED = Path(__file__).parent / "recorded"


def recorded(name):
    """(marker, sequence, timestamp, descriptor, beginning of the payload) of each packet."""
    for line in (RECORDED / f"{name}.txt").read_text().splitlines():
        marker, sequence, timestamp, descriptor, payload = line.split()
        described = b"" if descriptor == "-" else bytes.fromhex(descriptor)
        yield marker == "1", int(sequence), int(timestamp), described, bytes.fromhex(payload)


def pictures(name):
    """Per picture the layers of its packets, in order, with what else is told of them."""
    reader = layer_reader(name[:3].upper(), described=True)
    found = {}
    for marker, _, timestamp, descriptor, payload in recorded(name):
        layer = reader.read(payload, descriptor)
        found.setdefault(timestamp, []).append((layer, marker))
    return list(found.values())[:-1], reader  # the last is cut off


@pytest.mark.parametrize(("name", "sizes"), [
    ("vp9-l3t3-key", ((320, 180), (640, 360), (1280, 720))),
    ("av1-l3t3-key", ((320, 180), (640, 360), (1280, 720))),
    ("vp9-l2t1", ((320, 180), (640, 360))),
])  # fmt: skip
def test_a_recorded_stream_comes_layer_by_layer(name, sizes):
    seen, reader = pictures(name)
    assert reader.layers == len(sizes)
    assert reader.sizes == sizes
    for picture in seen:
        layers = [layer for layer, _ in picture]
        assert None not in layers
        assert [layer.spatial_id for layer in layers] == sorted(layer.spatial_id for layer in layers)
        assert [layer.starts_picture for layer in layers] == [True] + [False] * (len(layers) - 1)
        assert [marker for _, marker in picture] == [False] * (len(layers) - 1) + [True]
        for this, following in zip(layers, [*layers[1:], None], strict=True):
            last = following is None or following.spatial_id > this.spatial_id
            assert this.ends_frame is last


def test_codecs_whose_layers_nobody_tells_have_no_reader():
    assert layer_reader("VP8", described=False) is None
    assert layer_reader("H264", described=True) is None
    assert layer_reader("AV1", described=False) is None


@pytest.mark.parametrize("codec", ["VP9", "AV1"])
def test_what_cannot_be_told_is_of_no_layer(codec):
    reader = layer_reader(codec, described=True)
    assert reader.read(b"", b"") is None
    assert reader.layers == 1


def test_a_stream_has_at_most_so_many_layers_as_anybody_uses():
    reader = layer_reader("VP9", described=False)
    assert reader.read(bytes.fromhex("b8 01 0e 83"), b"").spatial_id == 7
    assert reader.layers == 4


# --- numbers ---------------------------------------------------------------------------------------------


def test_what_is_not_wanted_leaves_no_gap():
    lane = Lane()
    assert [lane.number(n, wanted=n % 3 != 0) for n in range(10, 19)] == [
        10,
        11,
        None,
        12,
        13,
        None,
        14,
        15,
        None,
    ]


def test_a_missing_packet_keeps_its_number():
    lane = Lane()
    assert [lane.number(n, wanted=True) for n in (10, 13, 11, 12, 14)] == [10, 13, 11, 12, 14]


def test_a_late_packet_that_is_not_wanted_has_a_number_to_be_filled():
    lane = Lane()
    assert [lane.number(n, wanted=n != 12) for n in (10, 11, 13, 12, 14)] == [10, 11, 13, 12, 14]


def test_a_repetition_has_no_number():
    lane = Lane()
    assert [lane.number(n, wanted=True) for n in (10, 12, 11, 11, 9, 12)] == [10, 12, 11, None, None, None]


def test_after_a_long_gap_nothing_is_waited_for():
    lane = Lane()
    lane.number(10, wanted=True)
    assert lane.number(11 + RESERVED_MAX, wanted=True) == 11 + RESERVED_MAX
    assert lane.number(11, wanted=True) is None


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 5)), max_size=200))
def test_every_number_is_used_once_however_packets_are_late(packets):
    """Each packet is delayed by so many others; when all have come, no number is left over and none was used twice."""
    arrivals = sorted(
        ((place + delay, place, wanted) for place, (wanted, delay) in enumerate(packets)), key=lambda a: a[:2]
    )
    lane = Lane()
    used = [lane.number(100 + place, wanted=wanted) for _, place, wanted in arrivals]
    first = arrivals[0][1] if arrivals else 0
    given_out = sorted(number for number in used if number is not None)
    assert given_out == list(range(100 + first, 100 + first + len(given_out)))
    came_first = {place for _, place, _ in arrivals if place >= first}
    assert all(
        number is not None for (_, place, wanted), number in zip(arrivals, used, strict=True)
        if wanted and place in came_first
    )  # fmt: skip


@given(st.lists(st.integers(0, 4000), max_size=60))
def test_what_is_kept_is_bounded(numbers):
    lane = Lane()
    for number in numbers:
        lane.number(number, wanted=True)
        assert len(lane._reserved) <= RESERVED_MAX
