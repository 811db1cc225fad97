"""AV1's dependency descriptor: which layer a packet's frame is of, and who needs it. Pure.

https://aomediacodec.github.io/av1-rtp-spec/ appendix A. A keyframe's first packet carries the structure of the stream:
templates, each a layer with what every decode target makes of it. Later packets name a template.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from mediaserver.payload import Size

NOT_PRESENT, DISCARDABLE, SWITCH, REQUIRED = range(4)
"""Decode target indications: what a decoder of the target does with the frame (section A.4)."""

_MANDATORY_BYTES = 3
_TEMPLATES_MAX = 64
_NEXT_TEMPORAL, _NEXT_SPATIAL, _NO_MORE = 1, 2, 3
_FRAME_NUMBERS = 1 << 16


@dataclass(frozen=True, slots=True)
class Structure:
    """What the descriptors after this one refer to. `layers` are (spatial, temporal) of each template, `indications`
    one for each decode target, `sizes` of each spatial layer where told."""

    first_template: int
    layers: tuple[tuple[int, int], ...]
    indications: tuple[tuple[int, ...], ...]
    sizes: tuple[Size, ...]
    chains: int

    @property
    def spatial_layers(self) -> int:
        return self.layers[-1][0] + 1

    @property
    def targets(self) -> int:
        return len(self.indications[0])


@dataclass(frozen=True, slots=True)
class Dependency:
    """One packet's descriptor. `active_targets`: a bit for each decode target that goes on being sent, None where the
    descriptor does not say."""

    starts_frame: bool
    ends_frame: bool
    frame_number: int
    spatial_id: int
    temporal_id: int
    indications: tuple[int, ...]
    active_targets: int | None = None


class DependencyReader:
    """Reads the descriptors of one stream. They may come late and out of order."""

    def __init__(self) -> None:
        self.structure: Structure | None = None
        self._former: Structure | None = None
        self._frame_number = 0

    def read(self, descriptor: bytes) -> Dependency | None:
        """None for what is cut off, or refers to a structure that has not come."""
        if len(descriptor) < _MANDATORY_BYTES:
            return None
        number = int.from_bytes(descriptor[1:3], "big")
        try:
            bits = _Bits(descriptor[_MANDATORY_BYTES:])
            flags = bits.take(5) if len(descriptor) > _MANDATORY_BYTES else 0
            if flags & 0x10:
                self._learn(_structure(bits), number)
            return self._dependency(descriptor[0], number, flags, bits)
        except ValueError:
            return None

    def _learn(self, structure: Structure, number: int) -> None:
        newer = (number - self._frame_number) % _FRAME_NUMBERS < _FRAME_NUMBERS // 2
        if self.structure is None or newer:
            self._frame_number = number
            if self.structure is None or structure.first_template != self.structure.first_template:
                self._former = self.structure
            self.structure = structure
        else:
            self._former = structure

    def _dependency(self, first: int, number: int, flags: int, bits: "_Bits") -> Dependency | None:
        for structure in (self.structure, self._former):
            place = -1 if structure is None else (first & 0x3F) - structure.first_template & 0x3F
            if structure is not None and place < len(structure.layers):
                return Dependency(
                    starts_frame=bool(first & 0x80),
                    ends_frame=bool(first & 0x40),
                    frame_number=number,
                    spatial_id=structure.layers[place][0],
                    temporal_id=structure.layers[place][1],
                    active_targets=_active_targets(flags, structure, bits),
                    indications=_indications(bits, structure)
                    if flags & 0x04
                    else structure.indications[place],
                )
        return None


def _active_targets(flags: int, structure: Structure, bits: "_Bits") -> int | None:
    if flags & 0x08:
        return bits.take(structure.targets)
    return (1 << structure.targets) - 1 if flags & 0x10 else None


def _indications(bits: "_Bits", structure: Structure) -> tuple[int, ...]:
    return tuple(bits.take(2) for _ in range(structure.targets))


def _structure(bits: "_Bits") -> Structure:
    """Section A.8.2, template_dependency_structure()."""
    first, targets = bits.take(6), bits.take(5) + 1
    layers = tuple(_layers(bits))
    indications = tuple(tuple(bits.take(2) for _ in range(targets)) for _ in layers)
    for _ in layers:
        while bits.take(1):  # distances to the frames that it refers to
            bits.take(4)
    chains = bits.non_symmetric(targets + 1)
    if chains:
        for _ in range(targets):
            bits.non_symmetric(chains)
        bits.take(4 * chains * len(layers))
    told = bits.take(1)
    spatial_layers = layers[-1][0] + 1 if told else 0
    sizes = tuple((bits.take(16) + 1, bits.take(16) + 1) for _ in range(spatial_layers))
    return Structure(first, layers, indications, sizes, chains)


def _layers(bits: "_Bits") -> Iterator[tuple[int, int]]:
    spatial = temporal = following = 0
    for _ in range(_TEMPLATES_MAX):
        if following == _NEXT_TEMPORAL:
            temporal += 1
        elif following == _NEXT_SPATIAL:
            spatial, temporal = spatial + 1, 0
        yield spatial, temporal
        following = bits.take(2)
        if following == _NO_MORE:
            return
    raise ValueError("more templates than can be named")


class _Bits:
    """Bits from the highest of the first byte on. Raises ValueError beyond the end."""

    def __init__(self, data: bytes) -> None:
        self._value = int.from_bytes(data, "big")
        self._left = 8 * len(data)

    def take(self, count: int) -> int:
        self._left -= count
        if self._left < 0:
            raise ValueError("the descriptor is cut off")
        return self._value >> self._left & ((1 << count) - 1)

    def non_symmetric(self, values: int) -> int:
        """ns(n) of the AV1 specification, section 4.10.7."""
        width = values.bit_length()
        short = (1 << width) - values
        value = self.take(width - 1)
        return value if value < short else (value << 1) - short + self.take(1)
