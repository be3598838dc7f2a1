"""The box structure of MP4 and MOV files, read so strictly that only one reading is left.

FFmpeg reads the same boxes leniently: it repairs, skips and guesses. Whatever could make it see
something else than what is read here raises `UnsureError`.

Source: ISO/IEC 14496-12, sections 4.2 (boxes) and 6 (which box lies in which).
"""

from __future__ import annotations

import re
import struct
from itertools import count

import numpy as np

from vidattn.video.sources.source import ReadAt

_MOST_BYTES = 2**25  # of the moov box
_MOST_BOXES = 1024  # side by side
# FFmpeg takes no notice of these.
_UNREAD = {
    *(b"vmhd", b"smhd", b"nmhd", b"gmhd", b"sthd", b"hmhd", b"cslg", b"iods", b"tapt", b"load"),
    *(b"clip", b"free", b"skip"),
}
# It reads these for other things than times, but would obey any box that lies inside: no name of
# one that matters may occur there, nor a handler (but of metadata), nor anything encrypted.
_OTHER = {b"udta", b"meta"}
_OBEYED = re.compile(
    rb"moov|moof|mvex|mvhd|mdia|mdhd|minf|trak|tkhd|tfhd|trun|edts|elst|dref|cmov|sidx|iloc|sinf"
    rb"|stbl|stsd|stts|ctts|stss|stps|stsz|stz2|stsc|stco|co64|sbgp|sgpd|sdtp|enc[avt]|c608"
    rb"|dvca|vdva|hdlr(?!.{8}md(?:ir|ta))",
    re.DOTALL,
)


class UnsureError(Exception):
    """The file says something that others may understand in another way."""


def sure(claim: object) -> None:
    """Raise `UnsureError` unless the claim holds."""
    if not claim:
        raise UnsureError


def read_moov(read_at: ReadAt, file_bytes: int) -> memoryview:
    """The content of the only `moov` box of an unfragmented file (section 8.2.1)."""
    place, found, moov = 0, set(), None
    for boxes in count():
        head = read_at(place, 16)
        if not head:
            break
        sure(boxes < _MOST_BOXES and len(head) >= 8)
        size, name = struct.unpack_from(">I4s", head)
        start = 8
        if size == 1 and len(head) == 16:
            size, start = int.from_bytes(head[8:], "big"), 16
        sure(name in (b"ftyp", b"mdat", b"moov", b"free", b"skip", b"wide"))
        sure(start <= size <= file_bytes - place and not (name == b"wide" and size > 8))
        if name == b"moov":
            sure(moov is None and size <= _MOST_BYTES)
            moov = memoryview(read_at(place + start, size - start))
            sure(len(moov) == size - start)
        found.add(name)
        place += size
    if moov is None or b"mdat" not in found or place != file_bytes:
        raise UnsureError
    return moov


def boxes_in(box: memoryview, known: tuple[bytes, ...]) -> dict[bytes, list[memoryview]]:
    """The content of the known boxes inside a box, by name, in their order."""
    found: dict[bytes, list[memoryview]] = {}
    place = 0
    for boxes in count():
        if place == len(box):
            break
        sure(boxes < _MOST_BOXES and place + 8 <= len(box))
        size, name = struct.unpack_from(">I4s", box, place)
        sure(8 <= size <= len(box) - place)
        content = box[place + 8 : place + size]
        if name in known:
            found.setdefault(name, []).append(content)
        elif name in _OTHER:
            check_harmless(content)
        else:
            sure(name in _UNREAD)
        place += size
    return found


def only(found: dict[bytes, list[memoryview]]) -> dict[bytes, memoryview]:
    """Boxes by name, of which no two may have the same."""
    sure(all(len(boxes) == 1 for boxes in found.values()))
    return {name: boxes[0] for name, boxes in found.items()}


def check_harmless(content: memoryview) -> None:
    """Raise `UnsureError` where a box that is not looked into may hold what matters elsewhere."""
    sure(not _OBEYED.search(content))


def number_in(box: memoryview, place: int, size: int = 4) -> int:
    """An unsigned number in a box."""
    sure(place + size <= len(box))
    return int.from_bytes(box[place : place + size], "big")


def table_in(box: memoryview, columns: int, kind: str = ">u4", *, versions: int = 1) -> np.ndarray:
    """int64 (columns, entries): a full box that holds the number of its entries and then these.

    Args:
        box: its content; it must be filled, and of one of the versions from 0 (section 4.2.2).
        columns: numbers in an entry.
        kind: NumPy's name of their type.
        versions: how many there are.
    """
    entry_bytes = columns * np.dtype(kind).itemsize
    count = number_in(box, 4)
    sure(number_in(box, 0, 1) < versions and count and len(box) == 8 + count * entry_bytes)
    return np.frombuffer(box, kind, offset=8).reshape(-1, columns).T.astype(np.int64)
