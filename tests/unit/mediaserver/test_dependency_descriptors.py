"""AV1's dependency descriptor: those of Chromium 156 as recorded, and hostile ones."""

from hypothesis import given
from hypothesis import strategies as st

from mediaserver.dependency import DISCARDABLE, NOT_PRESENT, REQUIRED, SWITCH, DependencyReader

L2T1 = bytes.fromhex("c10001800123ba22891820d21001111809f8059813f80b38")
L3T3_KEY = bytes.fromhex(
    "c00001c0081485214eaaaaa8000600004000100002aa80a8000600004000100002a000a800060000400016d549241b5524906d"
    "54923157e001974ca864330e222396eca8655304224390eca87753013f00b3027f016704ff02cf1f80"
)


def test_the_structure_of_two_spatial_layers_is_read():
    reader = DependencyReader()
    dependency = reader.read(L2T1)
    assert dependency is not None
    assert (dependency.starts_frame, dependency.ends_frame, dependency.frame_number) == (True, True, 1)
    assert (dependency.spatial_id, dependency.temporal_id) == (0, 0)
    assert dependency.active_targets == 0b11
    assert reader.structure is not None
    assert reader.structure.spatial_layers == 2
    assert reader.structure.targets == 2
    assert reader.structure.sizes == ((320, 180), (640, 360))


def test_later_descriptors_name_a_template_of_it():
    reader = DependencyReader()
    reader.read(L2T1)
    upper, lower = reader.read(bytes.fromhex("820008")), reader.read(bytes.fromhex("c00003"))
    assert upper is not None
    assert lower is not None
    assert (upper.spatial_id, upper.starts_frame, upper.ends_frame) == (1, True, False)
    assert lower.spatial_id == 0
    assert lower.active_targets is None
    assert upper.indications[0] == NOT_PRESENT, "the lower target does without the upper layer"
    assert upper.indications[1] in (SWITCH, REQUIRED)


def test_three_spatial_and_temporal_layers_are_read():
    reader = DependencyReader()
    assert reader.read(L3T3_KEY) is not None
    assert reader.structure is not None
    assert reader.structure.spatial_layers == 3
    assert max(temporal for _, temporal in reader.structure.layers) == 2
    assert reader.structure.targets == 9
    assert reader.structure.sizes == ((320, 180), (640, 360), (1280, 720))
    top = reader.read(bytes.fromhex("8a0009"))
    assert top is not None
    assert (top.spatial_id, top.temporal_id) == (2, 0)


def test_indications_of_a_packets_own_take_the_templates_place():
    reader = DependencyReader()
    reader.read(L2T1)
    own = reader.read(bytes.fromhex("c10002") + bytes([0b00100_10_0, 0b1_0000000]))
    assert own is not None
    assert own.indications == (SWITCH, DISCARDABLE)


def test_without_its_structure_a_descriptor_says_nothing():
    assert DependencyReader().read(bytes.fromhex("820008")) is None
    reader = DependencyReader()
    reader.read(L2T1)
    assert reader.read(bytes.fromhex("bf0008")) is None


def renumbered(descriptor: bytes, template: int, number: int) -> bytes:
    """The same structure under other template ids, at another frame."""
    first = descriptor[0] & 0xC0 | template
    offset = descriptor[3] & 0xF8 | template >> 3, descriptor[4] & 0x1F | (template & 7) << 5
    return bytes([first]) + number.to_bytes(2, "big") + bytes(offset) + descriptor[5:]


def test_what_comes_late_is_read_by_the_structure_of_its_time():
    reader = DependencyReader()
    reader.read(L2T1)
    assert reader.read(renumbered(L2T1, 9, 40)) is not None
    late, current = reader.read(bytes.fromhex("82001f")), reader.read(bytes.fromhex("8b0029"))
    assert late is not None
    assert current is not None
    assert (late.spatial_id, current.spatial_id) == (1, 1)


def test_a_structure_that_comes_late_does_not_replace_the_newer():
    reader = DependencyReader()
    reader.read(L2T1)
    newer = renumbered(L3T3_KEY, 20, 60)
    reader.read(newer)
    reader.read(renumbered(L2T1, 9, 40))
    assert reader.structure is not None
    assert reader.structure.spatial_layers == 3


@given(st.lists(st.binary(max_size=90), max_size=5))
def test_hostile_descriptors_are_read_without_a_fault(descriptors):
    reader = DependencyReader()
    for descriptor in descriptors:
        reader.read(descriptor)


@given(st.integers(0, len(L3T3_KEY) * 8 - 1))
def test_a_descriptor_with_a_wrong_bit_is_read_without_a_fault(bit):
    broken = bytearray(L3T3_KEY)
    broken[bit // 8] ^= 0x80 >> bit % 8
    DependencyReader().read(bytes(broken))


@given(st.integers(0, len(L3T3_KEY)))
def test_a_descriptor_that_is_cut_off_is_read_without_a_fault(length):
    DependencyReader().read(L3T3_KEY[:length])
