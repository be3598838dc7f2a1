"""Which packets hold pictures that no other one refers to: leaving them out changes no other."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

# Packet -> whether no other picture refers to those in it.
UnreferredTest = Callable[[Any], bool]

_START_CODE = b"\0\0\1"
_H264_SLICES = range(1, 6)
_HEVC_PICTURES = range(32)
_HEVC_UNREFERRED = range(0, 16, 2)
_HEVC_VIDEO_PARAMETERS = 32  # type of the unit that tells the number of temporal layers
_MPEG2_PICTURE, _MPEG2_BIDIRECTIONAL = 0x00, 3
_MPEG4_PICTURE, _MPEG4_BIDIRECTIONAL = 0xB6, 2


def unreferred_test(context: Any) -> UnreferredTest | None:
    """What tells such packets of a stream; None where nothing in them does.

    H.264 marks each picture. HEVC marks pictures that none *of the same temporal layer* refers
    to, so that counts where there is one layer. In MPEG-2 and MPEG-4 a bidirectional picture is
    never referred to. VP9 and AV1 say which pictures they keep, but those that are not kept still
    hand on probabilities and motion: none is left out.

    Args:
        context: PyAV's codec context of the stream.
    """
    extradata = bytes(context.extradata or b"")
    if context.name == "h264":
        return _h264_test(_length_bytes(extradata, 4))
    if context.name == "hevc" and _hevc_layers(extradata) == 1:
        return _hevc_test(_length_bytes(extradata, 21))
    return {"mpeg2video": _is_mpeg2_bidirectional, "mpeg4": _is_mpeg4_bidirectional}.get(
        context.name
    )


def _h264_test(length_bytes: int) -> UnreferredTest:
    """By `nal_ref_idc` of all slices. Source: Rec. ITU-T H.264, section 7.4.1."""

    def test(packet: Any) -> bool:
        unreferred = False
        for head in _unit_heads(packet, length_bytes):
            if head & 31 in _H264_SLICES:
                if head & 0x60:
                    return False
                unreferred = True
        return unreferred

    return test


def _hevc_test(length_bytes: int) -> UnreferredTest:
    """By the types of all slices. Source: Rec. ITU-T H.265, section 7.4.2.2, table 7-1."""

    def test(packet: Any) -> bool:
        kinds = [head >> 1 & 63 for head in _unit_heads(packet, length_bytes)]
        pictures = [kind for kind in kinds if kind in _HEVC_PICTURES]
        return bool(pictures) and all(kind in _HEVC_UNREFERRED for kind in pictures)

    return test


def _is_mpeg2_bidirectional(packet: Any) -> bool:
    """By `picture_coding_type`. Source: ISO/IEC 13818-2, section 6.2.3."""
    data = bytes(packet)
    kinds = [data[place + 2] >> 3 & 7 for place in _starts(data, _MPEG2_PICTURE)]
    return bool(kinds) and all(kind == _MPEG2_BIDIRECTIONAL for kind in kinds)


def _is_mpeg4_bidirectional(packet: Any) -> bool:
    """By `vop_coding_type`. Source: ISO/IEC 14496-2, section 6.2.5."""
    data = bytes(packet)
    kinds = [data[place + 1] >> 6 for place in _starts(data, _MPEG4_PICTURE)]
    return bool(kinds) and all(kind == _MPEG4_BIDIRECTIONAL for kind in kinds)


def _length_bytes(extradata: bytes, place: int) -> int:
    """Bytes of the length before each unit, as an avcC or hvcC record says; 0 for start codes.

    Source: ISO/IEC 14496-15, sections 5.3.3.1.2 and 8.3.3.1.2.
    """
    return (extradata[place] & 3) + 1 if len(extradata) > place and extradata[0] == 1 else 0


def _unit_heads(packet: Any, length_bytes: int) -> list[int]:
    """First byte of each unit in a packet of H.264 or HEVC; none if the lengths do not add up."""
    if not length_bytes:
        data = bytes(packet)
        return [data[place] for place in _starts(data)]
    view, place, heads = memoryview(packet), length_bytes, []
    while place < len(view):
        heads.append(view[place])
        place += int.from_bytes(view[place - length_bytes : place], "big") + length_bytes
    return heads if place - length_bytes == len(view) else []


def _starts(data: bytes, code: int | None = None) -> Iterator[int]:
    """Where something begins behind a start code (one byte, with two behind it at least)."""
    place = data.find(_START_CODE)
    while 0 <= place < len(data) - 5:
        if code is None or data[place + 3] == code:
            yield place + 3
        place = data.find(_START_CODE, place + 3)


def _hevc_layers(extradata: bytes) -> int | None:
    """Number of temporal layers that an hvcC record or an Annex B header declares.

    Source: ISO/IEC 14496-15, section 8.3.3.1.2 (hvcC); Rec. ITU-T H.265, section 7.3.2.1.
    """
    if len(extradata) > 22 and extradata[0] == 1:
        declared = extradata[21] >> 3 & 7  # 0 where the writer did not know
        return declared or None
    for unit in extradata.replace(b"\0\0\0\1", b"\0\0\1").split(b"\0\0\1"):
        if len(unit) > 3 and unit[0] >> 1 & 63 == _HEVC_VIDEO_PARAMETERS:
            return (unit[3] >> 1 & 7) + 1
    return None
