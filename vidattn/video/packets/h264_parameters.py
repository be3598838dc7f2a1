"""What the sequence parameters of an H.264 stream say of the order of its pictures."""

from __future__ import annotations

_SEQUENCE_PARAMETERS = 7
# Profiles whose parameters go on with chroma, bit depth and scaling lists.
_HIGH_PROFILES = {44, 83, 86, 100, 110, 118, 122, 128, 134, 135, 138, 139, 244}
_OUTPUT_IN_DECODING_ORDER = 2  # a type of picture order count
_EXTENDED_ASPECT = 255
_MOST_BYTES = 2048  # longer than the longest with all its scaling lists


def tells_reordering(configuration: bytes) -> bool:
    """Whether each sequence parameter set says how many pictures a decoder must hold back.

    Of others a decoder finds it out while it decodes, and loses pictures until it has.

    Args:
        configuration: the track's `avcC` record.

    Source: ISO/IEC 14496-15, section 5.3.3.1.2; Rec. ITU-T H.264, sections 7.3.2.1.1 and E.1.
    """
    if len(configuration) < 7 or configuration[0] != 1:
        return False
    count, place, found = configuration[5] & 31, 6, []
    for _ in range(count):
        size = int.from_bytes(configuration[place : place + 2], "big")
        unit = configuration[place + 2 : place + 2 + size]
        found.append(_unit_tells(unit))
        place += 2 + size
    return bool(found) and all(found)


def _unit_tells(unit: bytes) -> bool:
    if not unit or unit[0] & 31 != _SEQUENCE_PARAMETERS:
        return False
    try:
        return _sequence_tells(_Bits(unit[1:_MOST_BYTES].replace(b"\0\0\3", b"\0\0")))
    except EOFError:
        return False


class _Bits:
    """Numbers one after another in a string of bits; EOFError behind its end."""

    def __init__(self, data: bytes) -> None:
        self._value, self._left = int.from_bytes(data, "big"), 8 * len(data)

    def take(self, count: int = 1) -> int:
        """An unsigned number of so many bits."""
        self._left -= count
        if self._left < 0:
            raise EOFError
        return self._value >> self._left & ((1 << count) - 1)

    def golomb(self) -> int:
        """An unsigned Exp-Golomb number (section 9.1)."""
        zeros = 0
        while not self.take():
            zeros += 1
        return (1 << zeros) - 1 + self.take(zeros)

    def signed_golomb(self) -> int:
        """A signed one (section 9.1.1)."""
        code = self.golomb()
        return (code + 1) // 2 if code % 2 else -(code // 2)


def _sequence_tells(bits: _Bits) -> bool:
    profile, _, _ = bits.take(8), bits.take(16), bits.golomb()
    if profile in _HIGH_PROFILES:
        _skip_formats(bits)
    bits.golomb()  # length of frame numbers
    order_type = bits.golomb()
    if order_type == 0:
        bits.golomb()
    elif order_type == 1:
        bits.take(), bits.golomb(), bits.golomb()
        for _ in range(bits.golomb()):
            bits.golomb()
    bits.golomb(), bits.take(), bits.golomb(), bits.golomb()  # references, gaps, width, height
    if not bits.take():  # fields may be coded
        bits.take()
    bits.take()
    if bits.take():  # cropped
        for _ in range(4):
            bits.golomb()
    return order_type == _OUTPUT_IN_DECODING_ORDER or (bool(bits.take()) and _usability_tells(bits))


def _skip_formats(bits: _Bits) -> None:
    chroma = bits.golomb()
    if chroma == 3:
        bits.take()
    bits.golomb(), bits.golomb(), bits.take()
    if not bits.take():  # no scaling matrices
        return
    for index in range(12 if chroma == 3 else 8):
        if bits.take():
            _skip_scaling_list(bits, 16 if index < 6 else 64)


def _skip_scaling_list(bits: _Bits, size: int) -> None:
    last = following = 8
    for _ in range(size):
        if following:
            following = (last + bits.signed_golomb()) % 256
        last = following or last


def _usability_tells(bits: _Bits) -> bool:
    """Video usability information: whether it ends with restrictions of the bitstream."""
    if bits.take() and bits.take(8) == _EXTENDED_ASPECT:
        bits.take(32)
    if bits.take():  # overscan
        bits.take()
    if bits.take() and bits.take(5) % 2:  # the signal, and its colours
        bits.take(24)
    if bits.take():  # where chroma lies
        bits.golomb(), bits.golomb()
    if bits.take():  # timing
        bits.take(65)
    buffered = [_skip_buffering(bits) for _ in range(2)]
    if any(buffered):
        bits.take()
    bits.take()
    return bool(bits.take())


def _skip_buffering(bits: _Bits) -> bool:
    """Parameters of a hypothetical decoder, if there are any (section E.1.2)."""
    if not bits.take():
        return False
    count = bits.golomb() + 1
    bits.take(8)
    for _ in range(count):
        bits.golomb(), bits.golomb(), bits.take()
    bits.take(20)
    return True
