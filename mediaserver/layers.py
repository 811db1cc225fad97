"""Several spatial layers in one stream (VP9, AV1): which layer a packet is of, and its number among those of the lower
layers alone. Pure.

A viewer of a layer needs all packets of that layer and of those below it, in numbers without gaps: a gap is a loss. So
each target has a `Lane`. When a packet is missing nobody knows its layer yet, and every lane keeps a number for it.
"""

from dataclasses import dataclass
from typing import Protocol

from mediaserver.dependency import DependencyReader
from mediaserver.payload import Size, parse_vp9

LAYERS_MAX = 4
# The same as the publication waits for.
RESERVED_MAX = 256


@dataclass(frozen=True, slots=True)
class Layer:
    """Where a packet belongs. A picture is one frame of each layer, of one timestamp, the lowest layer first."""

    spatial_id: int
    starts_picture: bool
    ends_frame: bool


class LayerReader(Protocol):
    """Reads the layers of one stream. `layers` is the most spatial layers that it had; `sizes`, lowest first, are
    those of its last structure that told them."""

    layers: int
    sizes: tuple[Size, ...]

    def read(self, payload: bytes, descriptor: bytes) -> Layer | None:
        """None for what cannot be told."""


def layer_reader(codec_name: str, *, described: bool) -> LayerReader | None:
    """For a codec whose layers can be told apart. `described`: its packets carry dependency descriptors."""
    if codec_name == "VP9":
        return Vp9Layers()
    return Av1Layers() if codec_name == "AV1" and described else None


class Vp9Layers:
    """By the payload descriptor."""

    def __init__(self) -> None:
        self.layers = 1
        self.sizes: tuple[Size, ...] = ()

    def read(self, payload: bytes, descriptor: bytes) -> Layer | None:  # noqa: ARG002 - LayerReader's signature
        vp9 = parse_vp9(payload)
        if vp9 is None:
            return None
        spatial_id = vp9.spatial_id or 0
        self.layers = min(LAYERS_MAX, max(self.layers, spatial_id + 1, vp9.spatial_layers or 1))
        self.sizes = vp9.sizes or self.sizes
        return Layer(spatial_id, vp9.starts_frame and not spatial_id, vp9.ends_frame)


class Av1Layers:
    """By the dependency descriptor."""

    def __init__(self) -> None:
        self.layers = 1
        self.sizes: tuple[Size, ...] = ()
        self._reader = DependencyReader()

    def read(self, payload: bytes, descriptor: bytes) -> Layer | None:  # noqa: ARG002 - LayerReader's signature
        dependency = self._reader.read(descriptor)
        structure = self._reader.structure
        if dependency is None or structure is None:
            return None
        self.layers = min(LAYERS_MAX, max(self.layers, structure.spatial_layers))
        self.sizes = structure.sizes or self.sizes
        starts = dependency.starts_frame and not dependency.spatial_id
        return Layer(dependency.spatial_id, starts, dependency.ends_frame)


class Lane:
    """The numbers of the packets that one target gets, made from those of the whole stream."""

    def __init__(self) -> None:
        self._highest: int | None = None
        self._skipped = 0
        self._reserved: dict[int, int] = {}

    def number(self, number: int, *, wanted: bool) -> int | None:
        """What a packet of the whole stream is here. None: nothing is to be sent. A late packet that is not `wanted` has
        a number too, which has to be filled with something."""
        highest = number - 1 if self._highest is None else self._highest
        if number <= highest:
            return self._reserved.pop(number, None)
        if number - highest > RESERVED_MAX:
            self._reserved.clear()
        else:
            self._reserved |= {lost: lost - self._skipped for lost in range(highest + 1, number)}
        while len(self._reserved) > RESERVED_MAX:
            del self._reserved[next(iter(self._reserved))]
        self._highest = number
        if wanted:
            return number - self._skipped
        self._skipped += 1
        return None
