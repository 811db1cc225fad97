"""What payload descriptors tell, on packets written by hand from the RFCs."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mediaserver.payload import keyframe_size, parse_vp8, parse_vp9, starts_keyframe

VP8_KEYFRAME = bytes.fromhex("50 4a 00 9d012a 8002 e001")  # 640x480


def vp8(descriptor: str, frame: bytes = b"\x01") -> bytes:
    return bytes.fromhex(descriptor) + frame


# --- VP8 -------------------------------------------------------------------------------------------------


def test_a_vp8_descriptor_with_everything_is_read():
    packet = parse_vp8(vp8("b0 f0 c123 07 a5"))
    assert packet is not None
    assert (packet.picture_id, packet.picture_id_bits) == (0x4123, 15)
    assert packet.tl0_picture_index == 7
    assert (packet.temporal_id, packet.layer_sync, packet.key_index) == (2, True, 5)
    assert packet.non_reference
    assert packet.starts_frame
    assert packet.descriptor_bytes == 6


def test_a_short_picture_id_is_read():
    packet = parse_vp8(vp8("90 80 23"))
    assert packet is not None
    assert (packet.picture_id, packet.picture_id_bits) == (0x23, 7)
    assert packet.tl0_picture_index is packet.temporal_id is packet.key_index is None


def test_a_vp8_keyframe_starts_with_its_first_packet_and_tells_its_size():
    first = vp8("90 80 23", VP8_KEYFRAME)
    assert starts_keyframe("VP8", first)
    assert keyframe_size("VP8", first) == (640, 480)
    assert not starts_keyframe("VP8", vp8("80 80 23", VP8_KEYFRAME))  # goes on within the frame
    assert not starts_keyframe("VP8", vp8("91 80 23", VP8_KEYFRAME))  # begins the second partition
    assert not starts_keyframe("VP8", vp8("90 80 23", b"\x51" + VP8_KEYFRAME[1:]))  # the P bit


def test_a_vp8_keyframe_without_start_code_has_no_size():
    assert keyframe_size("VP8", vp8("10", b"\x50" + bytes(9))) is None


# --- H264 ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("payload", "starts"),
    [
        ("67 42e01f", True),  # a parameter set alone
        ("65 b8", True),  # an IDR picture's first slice
        ("65 38", False),  # a later slice of it
        ("41 9a", False),
        ("78 0004 6742e01f 0004 68ce3c80 0002 65b8", True),  # an aggregate
        ("78 0004 68ce3c80 0002 6742", True),  # not the first in it
        ("78 0002 419a 0002 0600", False),
        ("7c 85 b8", True),  # the first fragment of an IDR slice
        ("7c 05 b8", False),  # a later one
        ("7c 81 b8", False),
        ("78 0000 0000 0002 65b8", True),  # empty units are stepped over
        ("78 00ff 41", False),
        ("7c", False),
    ],
)
def test_an_h264_keyframe_starts_with_its_parameters_or_its_first_slice(payload: str, starts: bool):
    assert starts_keyframe("H264", bytes.fromhex(payload)) is starts


# --- VP9 -------------------------------------------------------------------------------------------------


def test_a_vp9_descriptor_in_non_flexible_mode_is_read():
    packet = parse_vp9(bytes.fromhex("ed 8123 55 09 00"))
    assert packet is not None
    assert (packet.picture_id, packet.picture_id_bits) == (0x123, 15)
    assert (packet.temporal_id, packet.switch_up, packet.spatial_id, packet.inter_layer) == (2, True, 2, True)
    assert packet.tl0_picture_index == 9
    assert packet.inter_picture
    assert packet.upper_unused
    assert (packet.starts_frame, packet.ends_frame) == (True, True)
    assert packet.descriptor_bytes == 5


def test_a_vp9_descriptor_in_flexible_mode_tells_what_it_refers_to():
    packet = parse_vp9(bytes.fromhex("f8 23 02 03 04 00"))
    assert packet is not None
    assert packet.flexible
    assert packet.tl0_picture_index is None
    assert packet.spatial_id == 1
    assert packet.reference_distances == (1, 2)
    assert packet.descriptor_bytes == 5


def test_a_vp9_scalability_structure_tells_the_layers_sizes():
    structure = "38 0140 00b4 0280 0168 02 04 01 98 01 02"
    packet = parse_vp9(bytes.fromhex("aa 8001 00 05" + structure))
    assert packet is not None
    assert packet.spatial_layers == 2
    assert packet.sizes == ((320, 180), (640, 360))
    assert packet.descriptor_bytes == 5 + 9 + 6
    assert keyframe_size("VP9", bytes.fromhex("aa 8001 00 05" + structure)) == (640, 360)


@pytest.mark.parametrize(
    ("payload", "starts"),
    [
        ("a8 01 00 00 83", True),
        ("88 01 83", True),  # without layers
        ("e8 01 00 00 83", False),  # predicted from an earlier picture
        ("a8 01 03 00 83", False),  # an upper layer of a keyframe
        ("a8 01 02 00 83", False),  # an upper layer without prediction from the lower one
        ("a0 01 00 00 83", False),  # not the beginning of the frame
    ],
)
def test_a_vp9_keyframe_starts_with_its_lowest_layer(payload: str, starts: bool):
    assert starts_keyframe("VP9", bytes.fromhex(payload)) is starts


def test_at_most_three_vp9_references_are_read():
    packet = parse_vp9(bytes.fromhex("d8 01 03 05 07 09 83"))
    assert packet is not None
    assert packet.reference_distances == (1, 2, 3)


# --- AV1 and hostile bytes -------------------------------------------------------------------------------


def test_an_av1_keyframe_starts_a_coded_video_sequence():
    assert starts_keyframe("AV1", bytes.fromhex("18 0a"))
    assert not starts_keyframe("AV1", bytes.fromhex("10 0a"))


@given(st.sampled_from(["VP8", "H264", "VP9", "AV1", "opus"]), st.binary(max_size=80), st.binary(max_size=8))
def test_hostile_payloads_are_read_without_a_fault(codec: str, payload: bytes, descriptor: bytes):
    starts_keyframe(codec, payload, descriptor)
    keyframe_size(codec, payload)


@pytest.mark.parametrize("codec", ["VP8", "H264", "VP9", "AV1"])
def test_an_empty_payload_starts_nothing(codec: str):
    assert not starts_keyframe(codec, b"")


@given(st.binary(max_size=300))
def test_a_vp9_descriptor_lies_within_its_packet(payload: bytes):
    packet = parse_vp9(payload)
    assert packet is None or packet.descriptor_bytes <= len(payload)


@given(st.binary(max_size=40))
def test_a_vp8_descriptor_lies_within_its_packet(payload: bytes):
    packet = parse_vp8(payload)
    assert packet is None or packet.descriptor_bytes <= len(payload)
