"""What the payload of a video packet tells without decoding: where keyframes start, picture ids, layers. Pure.

VP8 (RFC 7741), H264 (RFC 6184 with packetization mode 1), VP9 (RFC 9628), AV1 (its RTP specification, section 4.4;
its dependency descriptor is read in `dependency.py`). Whatever cannot be read gives None or False: payloads come
from strangers.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from mediaserver.sps import picture_size

Size = tuple[int, int]
"""Width and height in pixels."""

_NAL_TYPE = 0x1F
_NAL_IDR = 5
_NAL_SPS = 7
_NAL_STAP_A = 24
_NAL_FU_A = 28
_VP8_KEYFRAME_BYTES = 10
_VP8_START_CODE = b"\x9d\x01\x2a"
_VP9_GROUP_MAX = 3


def starts_keyframe(codec_name: str, payload: bytes, descriptor: bytes = b"") -> bool:
    """Whether a decoder can begin with this packet. `descriptor`: its AV1 dependency descriptor, where it has one.

    Of a spatially layered stream that is the lowest layer's first packet; codecs not known here never start."""
    reader = _KEYFRAME_STARTS.get(codec_name)
    return reader is not None and reader(payload, descriptor)


def keyframe_size(codec_name: str, payload: bytes) -> Size | None:
    """The size that a keyframe's first packet names: VP8, H264 with a parameter set, and VP9 with a scalability structure
    (its largest layer)."""
    if codec_name == "VP8":
        vp8 = parse_vp8(payload)
        return None if vp8 is None else vp8.size
    if codec_name == "VP9":
        vp9 = parse_vp9(payload)
        return vp9.sizes[-1] if vp9 is not None and vp9.sizes else None
    if codec_name == "H264":
        return next(
            (picture_size(unit) for unit in nal_units(payload) if unit[0] & _NAL_TYPE == _NAL_SPS), None
        )
    return None


# --- VP8 -------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Vp8:
    """The payload descriptor (RFC 7741 section 4.2). Fields that are absent are None.

    `picture_id_bits` is 7 or 15 (0: none); `starts_frame` means its first partition's first packet; `size` is that
    of a keyframe's first packet."""

    starts_frame: bool
    keyframe: bool
    non_reference: bool
    picture_id: int | None
    picture_id_bits: int
    tl0_picture_index: int | None
    temporal_id: int | None
    layer_sync: bool
    key_index: int | None
    descriptor_bytes: int
    size: Size | None


def parse_vp8(payload: bytes) -> Vp8 | None:
    """None when the descriptor is cut off. `keyframe` is told by a frame's first packet alone."""
    try:
        return _vp8(payload)
    except IndexError:
        return None


def _vp8(payload: bytes) -> Vp8:
    first, at = payload[0], 1
    picture_id: int | None = None
    bits, tl0, layer, key_index = 0, None, None, None
    extended = payload[1] if first & 0x80 else 0
    at += 1 if first & 0x80 else 0
    if extended & 0x80:
        picture_id, bits = _picture_id(payload, at)
        at += 1 if bits == 7 else 2  # noqa: PLR2004
    if extended & 0x40:
        tl0, at = payload[at], at + 1
    if extended & 0x30:
        shared, at = payload[at], at + 1
        layer = shared if extended & 0x20 else None
        key_index = shared & 0x1F if extended & 0x10 else None
    starts = first & 0x17 == 0x10  # noqa: PLR2004 - S set, partition 0
    keyframe = starts and payload[at] & 1 == 0
    return Vp8(
        starts_frame=starts,
        keyframe=keyframe,
        non_reference=bool(first & 0x20),
        picture_id=picture_id,
        picture_id_bits=bits,
        tl0_picture_index=tl0,
        temporal_id=None if layer is None else layer >> 6,
        layer_sync=layer is not None and bool(layer & 0x20),
        key_index=key_index,
        descriptor_bytes=at,
        size=_vp8_size(payload[at : at + _VP8_KEYFRAME_BYTES]) if keyframe else None,
    )


def _picture_id(payload: bytes, at: int) -> tuple[int, int]:
    """(picture id, its bits): the highest bit says which of the two forms it is (VP8 and VP9 alike)."""
    if payload[at] & 0x80:
        return (payload[at] & 0x7F) << 8 | payload[at + 1], 15
    return payload[at], 7


def _vp8_size(header: bytes) -> Size | None:
    """RFC 6386 section 9.1: after the frame tag a start code, then 14 bits each; the scale above them is ignored."""
    if len(header) < _VP8_KEYFRAME_BYTES or header[3:6] != _VP8_START_CODE:
        return None
    width, height = int.from_bytes(header[6:8], "little"), int.from_bytes(header[8:10], "little")
    return width & 0x3FFF, height & 0x3FFF


def _vp8_starts_keyframe(payload: bytes, _descriptor: bytes) -> bool:
    vp8 = parse_vp8(payload)
    return vp8 is not None and vp8.keyframe


# --- H264 ------------------------------------------------------------------------------------------------


def nal_units(payload: bytes) -> Iterator[bytes]:
    """The NAL units of a packet, or their beginnings: of a fragmented one only its first fragment counts."""
    kind = payload[0] & _NAL_TYPE if payload else 0
    if kind == _NAL_STAP_A:
        yield from _aggregated(payload)
    elif kind == _NAL_FU_A:
        if len(payload) > 1 and payload[1] & 0x80:
            yield bytes([payload[0] & 0xE0 | payload[1] & _NAL_TYPE]) + payload[2:]
    elif payload:
        yield payload


def _aggregated(payload: bytes) -> Iterator[bytes]:
    at = 1
    while at + 2 < len(payload):
        size = int.from_bytes(payload[at : at + 2], "big")
        if size:
            yield payload[at + 2 : at + 2 + size]
        at += 2 + size


def _h264_starts_keyframe(payload: bytes, _descriptor: bytes) -> bool:
    """Parameter sets go before the picture, so they are where to begin; else an IDR picture's first slice
    (its first_mb_in_slice is 0, which Exp-Golomb writes as a single 1 bit)."""
    for unit in nal_units(payload):
        kind = unit[0] & _NAL_TYPE
        if kind == _NAL_SPS or (kind == _NAL_IDR and len(unit) > 1 and unit[1] & 0x80):
            return True
    return False


# --- VP9 -------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Vp9:
    """The payload descriptor (RFC 9628 section 4.2). Fields that are absent are None.

    A frame is one layer of a picture: `starts_frame` and `ends_frame` are of the layer. `inter_picture` is P,
    `inter_layer` is D, `upper_unused` is Z (no higher spatial layer refers to this one), `switch_up` is U. `sizes`,
    lowest layer first, are those of a scalability structure that names them."""

    starts_frame: bool
    ends_frame: bool
    inter_picture: bool
    flexible: bool
    upper_unused: bool
    picture_id: int | None
    picture_id_bits: int
    spatial_id: int | None
    temporal_id: int | None
    switch_up: bool
    inter_layer: bool
    tl0_picture_index: int | None
    reference_distances: tuple[int, ...]
    spatial_layers: int | None
    sizes: tuple[Size, ...]
    descriptor_bytes: int

    @property
    def starts_keyframe(self) -> bool:
        """Whether a decoder of any layer can begin here."""
        return self.starts_frame and not self.inter_picture and not self.inter_layer and not self.spatial_id


def parse_vp9(payload: bytes) -> Vp9 | None:
    """None when the descriptor is cut off."""
    try:
        return _vp9(payload)
    except IndexError:
        return None


def _vp9(payload: bytes) -> Vp9:
    first, at = payload[0], 1
    flexible = bool(first & 0x10)
    picture_id: int | None = None
    bits, layer, tl0 = 0, None, None
    if first & 0x80:
        picture_id, bits = _picture_id(payload, at)
        at += 1 if bits == 7 else 2  # noqa: PLR2004
    if first & 0x20:
        layer, at = payload[at], at + 1
        if not flexible:
            tl0, at = payload[at], at + 1
    references: tuple[int, ...] = ()
    if flexible and first & 0x40:
        references, at = _vp9_references(payload, at)
    layers: int | None = None
    sizes: tuple[Size, ...] = ()
    if first & 0x02:
        layers, sizes, at = _vp9_structure(payload, at)
    return Vp9(
        starts_frame=bool(first & 0x08),
        ends_frame=bool(first & 0x04),
        inter_picture=bool(first & 0x40),
        flexible=flexible,
        upper_unused=bool(first & 0x01),
        picture_id=picture_id,
        picture_id_bits=bits,
        spatial_id=None if layer is None else layer >> 1 & 0x07,
        temporal_id=None if layer is None else layer >> 5,
        switch_up=layer is not None and bool(layer & 0x10),
        inter_layer=layer is not None and bool(layer & 0x01),
        tl0_picture_index=tl0,
        reference_distances=references,
        spatial_layers=layers,
        sizes=sizes,
        descriptor_bytes=at,
    )


def _vp9_references(payload: bytes, at: int) -> tuple[tuple[int, ...], int]:
    """Up to three distances in pictures; each says whether another follows. Returns (distances, next byte)."""
    distances: list[int] = []
    more = True
    while more and len(distances) < _VP9_GROUP_MAX:
        distances.append(payload[at] >> 1)
        more = bool(payload[at] & 1)
        at += 1
    return tuple(distances), at


def _vp9_structure(payload: bytes, at: int) -> tuple[int, tuple[Size, ...], int]:
    """(spatial layers, their sizes if told, next byte); the picture group is skipped."""
    head, at = payload[at], at + 1
    layers, sizes = (head >> 5) + 1, []
    if head & 0x10:
        for _ in range(layers):
            width, height = payload[at] << 8 | payload[at + 1], payload[at + 2] << 8 | payload[at + 3]
            sizes.append((width, height))
            at += 4
    if head & 0x08:
        group, at = payload[at], at + 1
        for _ in range(group):
            at += 1 + (payload[at] >> 2 & 0x03)
    return layers, tuple(sizes), at


def _vp9_starts_keyframe(payload: bytes, _descriptor: bytes) -> bool:
    vp9 = parse_vp9(payload)
    return vp9 is not None and vp9.starts_keyframe


# --- AV1 -------------------------------------------------------------------------------------------------


def _av1_starts_keyframe(payload: bytes, _descriptor: bytes) -> bool:
    """The N bit of the aggregation header: the first packet of a coded video sequence."""
    return bool(payload) and bool(payload[0] & 0x08)


_KEYFRAME_STARTS: dict[str, Callable[[bytes, bytes], bool]] = {
    "VP8": _vp8_starts_keyframe,
    "H264": _h264_starts_keyframe,
    "VP9": _vp9_starts_keyframe,
    "AV1": _av1_starts_keyframe,
}
