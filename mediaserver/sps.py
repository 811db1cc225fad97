"""The size of the pictures that an H264 sequence parameter set announces (ITU-T H.264 section 7.3.2.1.1). Pure."""

# Profiles whose parameter sets go on with the form of their colours.
_HIGH_PROFILES = frozenset({100, 110, 122, 244, 44, 83, 86, 118, 128, 138, 139, 134, 135})
_YUV_444 = 3
_EXP_GOLOMB_BITS_MAX = 32
_CYCLE_MAX = 255


class _Bits:
    """Reads bits from the front. Raises ValueError beyond the end."""

    def __init__(self, data: bytes) -> None:
        self._value, self._left = int.from_bytes(data, "big"), 8 * len(data)

    def take(self, count: int) -> int:
        if count > self._left:
            raise ValueError("the parameter set is cut off")
        self._left -= count
        return self._value >> self._left & (1 << count) - 1

    def number(self) -> int:
        """An Exp-Golomb code (section 9.1); a signed one has as many bits."""
        zeros = 0
        while self.take(1) == 0:
            zeros += 1
            if zeros > _EXP_GOLOMB_BITS_MAX:
                raise ValueError("the parameter set has a number that is too long")
        return (1 << zeros) - 1 + self.take(zeros)


def picture_size(unit: bytes) -> tuple[int, int] | None:
    """Width and height of a NAL unit of type 7; None where it cannot be read or has scaling lists."""
    try:
        return _size(_Bits(unit[1:].replace(b"\0\0\3", b"\0\0")))
    except ValueError:
        return None


def _size(bits: _Bits) -> tuple[int, int]:
    chroma = _read_colours(bits)
    _skip_order(bits)
    bits.number()  # reference frames
    bits.take(1)  # gaps allowed
    width, height = 16 * (bits.number() + 1), 16 * (bits.number() + 1)
    fields = 1 - bits.take(1)
    if fields:
        bits.take(1)
    bits.take(1)  # direct 8x8 inference
    left, right, top, bottom = (bits.number() for _ in range(4)) if bits.take(1) else (0, 0, 0, 0)
    across, down = (2 if chroma in (1, 2) else 1), (2 if chroma == 1 else 1) * (1 + fields)
    return width - across * (left + right), height * (1 + fields) - down * (top + bottom)


def _read_colours(bits: _Bits) -> int:
    """From the profile to the bit depths; the chroma format (1: 4:2:0)."""
    profile = bits.take(24) >> 16  # and constraints, and level
    bits.number()  # its own number
    if profile not in _HIGH_PROFILES:
        return 1
    chroma = bits.number()
    if chroma == _YUV_444:
        bits.take(1)
    bits.number()
    bits.number()
    bits.take(1)
    if bits.take(1):
        raise ValueError("scaling lists are not read")
    return chroma


def _skip_order(bits: _Bits) -> None:
    """How pictures are numbered and ordered."""
    bits.number()
    kind = bits.number()
    if kind == 0:
        bits.number()
    elif kind == 1:
        bits.take(1)
        bits.number()
        bits.number()
        for _ in range(min(bits.number(), _CYCLE_MAX)):
            bits.number()
