"""Sizes in H264 parameter sets, as an encoder writes them."""

from fractions import Fraction

import av
import pytest
from av.video.frame import VideoFrame
from hypothesis import given
from hypothesis import strategies as st

from mediaserver.payload import keyframe_size, starts_keyframe
from mediaserver.sps import picture_size


def parameter_set(width, height, profile):
    """The first NAL unit of type 7 that x264 makes."""
    encoder = av.CodecContext.create("libx264", "w")
    encoder.width, encoder.height, encoder.pix_fmt, encoder.time_base = (
        width,
        height,
        "yuv420p",
        Fraction(1, 30),
    )
    encoder.options = {"profile": profile, "preset": "ultrafast", "tune": "zerolatency"}
    data = b"".join(bytes(packet) for packet in encoder.encode(VideoFrame(width, height, "yuv420p")))
    units = data.replace(b"\0\0\0\1", b"\0\0\1").split(b"\0\0\1")
    return next(unit for unit in units if unit and unit[0] & 0x1F == 7)


@pytest.mark.parametrize("size", [(1280, 720), (640, 360), (320, 180), (160, 90), (1920, 1080), (1082, 606)])
@pytest.mark.parametrize("profile", ["baseline", "high"])
def test_the_size_is_the_encoders(size, profile):
    unit = parameter_set(*size, profile)
    assert picture_size(unit) == size
    together = b"\x78" + len(unit).to_bytes(2, "big") + unit + b"\x00\x02\x68\x01"
    for payload in (unit, together):
        assert starts_keyframe("H264", payload)
        assert keyframe_size("H264", payload) == size


def test_other_units_have_no_size():
    assert keyframe_size("H264", b"\x65\x88slice") is None
    assert keyframe_size("H264", b"") is None


@given(st.binary(max_size=60))
def test_whatever_comes_is_read_or_not_and_never_raises(unit):
    picture_size(unit)


def test_a_set_that_is_cut_off_has_no_size():
    assert picture_size(parameter_set(640, 360, "baseline")[:6]) is None
