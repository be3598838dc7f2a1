"""Which pictures nobody refers to: those need not be decoded to get the others exactly."""

from __future__ import annotations

from typing import Any

# A bidirectional picture of MPEG-2 and MPEG-4 is never referred to; H.264 marks each picture.
_MARKED = {"h264", "mpeg2video", "mpeg4"}
_HEVC_VIDEO_PARAMETERS = 32  # type of the unit that tells the number of temporal layers


def may_leave_out(context: Any) -> bool:
    """Whether FFmpeg leaves out only pictures that no other one refers to.

    HEVC marks pictures that none *of the same temporal layer* refers to, so that is exact where
    there is one layer. In VP9 and AV1 a picture is marked by nothing that a decoder skips by.

    Args:
        context: PyAV's codec context of the stream.
    """
    if context.name == "hevc":
        return _hevc_layers(bytes(context.extradata or b"")) == 1
    return context.name in _MARKED


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
