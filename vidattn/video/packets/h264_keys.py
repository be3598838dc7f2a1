"""Which samples of an H.264 track a decoder may start at, by their own first bytes."""

from __future__ import annotations

import re

import numpy as np

from vidattn.video.packets.mp4_boxes import sure
from vidattn.video.sources.source import ReadAt

_SLICE, _IDR, _SEI = 1, 5, 6
_NO_PICTURE = {_SEI, 7, 8, 9, 12}  # also parameter sets, delimiters, filler
_RECOVERY_POINT = 6  # type of a message
_START_CODE = re.compile(rb"\0\0[\0-\2]")  # must not occur in a unit
_WINDOW = 2048  # bytes of a sample that are looked at
_HEAD = np.dtype([("size", ">u4"), ("header", "u1")])


def h264_keys(
    read_at: ReadAt, offsets: np.ndarray, sizes: np.ndarray, configuration: bytes
) -> np.ndarray:
    """bool, one a sample: the picture is an IDR picture, or a recovery point message precedes it.

    The table of sync samples often leaves out recovery points, and FFmpeg does not look at it.
    What is not plain raises `UnsureError`.

    Args:
        read_at: reads the file.
        offsets: int64 (n,), where samples begin; they lie inside the file.
        sizes: int64 (n,), bytes.
        configuration: the track's `avcC` record.

    Source: Rec. ITU-T H.264, sections 7.3.1 and D.2.8; ISO/IEC 14496-15, section 5.3.
    """
    # Units with four bytes of length: what everybody writes.
    sure(len(configuration) > 6 and configuration[0] == 1 and configuration[4] & 3 == 3)
    sure((sizes > _HEAD.itemsize).all())
    heads = b"".join([read_at(offset, _HEAD.itemsize) for offset in offsets.tolist()])
    sure(len(heads) == _HEAD.itemsize * len(offsets))
    units = np.frombuffer(heads, _HEAD)
    lengths, kinds = units["size"].astype(np.int64), units["header"] & 31
    sure(((lengths > 1) & (lengths + 4 <= sizes)).all())
    keys = kinds == _IDR
    others = np.flatnonzero(~keys & (kinds != _SLICE))
    for index, offset, size in np.stack([others, offsets[others], sizes[others]], 1).tolist():
        keys[index] = _is_key(read_at(offset, min(size, _WINDOW)), size)
    return keys


def _is_key(sample: bytes, size: int) -> bool:
    """Walk to the first unit of the picture, given the beginning of a sample of `size` bytes."""
    place, recovery = 0, False
    while True:
        sure(place + 5 < len(sample))
        end = place + 4 + int.from_bytes(sample[place : place + 4], "big")
        kind = sample[place + 4] & 31
        sure(place + 5 < end <= size)
        if kind in (_SLICE, _IDR):
            return recovery or kind == _IDR
        unit = sample[place + 5 : end]
        sure(kind in _NO_PICTURE and end <= len(sample))
        sure(not _START_CODE.search(unit))
        if kind == _SEI and not recovery:
            recovery = _recovers(unit.replace(b"\0\0\3", b"\0\0"))
        place = end


def _recovers(messages: bytes) -> bool:
    """Whether the only message is a recovery point; if there are others, none may be."""
    place, first, last = 0, True, len(messages) - 1  # a trailing byte ends them
    while place < last:
        kind, place = _extended(messages, place)
        size, place = _extended(messages, place)
        if kind == _RECOVERY_POINT:
            # Up to 7 leading zeros: a number of frames that surely is a legal one.
            sure(first and size and place + size == last and messages[place])
            return True
        place, first = place + size, False
    sure(place == last)
    return False


def _extended(messages: bytes, place: int) -> tuple[int, int]:
    """A number coded as bytes of 255 and a last smaller one; and the place behind it."""
    total = 0
    while True:
        sure(place < len(messages))
        total += messages[place]
        place += 1
        if messages[place - 1] != 255:
            return total, place
