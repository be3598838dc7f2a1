"""Tracks of MP4 and MOV files: where their samples lie."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from vidattn.video.packets.mp4_boxes import (
    boxes_in,
    check_harmless,
    number_in,
    only,
    sure,
    table_in,
)

_HANDLERS = {b"vide", b"soun", b"text", b"sbtl", b"subt", b"tmcd", b"meta", b"hint"}
_TABLES = (
    *(b"stsd", b"stts", b"ctts", b"stss", b"stsz", b"stz2", b"stsc", b"stco", b"co64"),
    *(b"sdtp", b"sgpd", b"sbgp"),
)
_IGNORED_GROUPS = {b"roll", b"prol", b"tscl", b"tsas", b"stsa"}
_LARGEST_SAMPLE = 2**30 - 1  # FFmpeg refuses packets beyond this


@dataclass(frozen=True, eq=False)
class Track:
    """One track of a file.

    Attributes:
        number: its id.
        timescale: units a second.
        edits: its edit list, where it has one.
        tables: content of the boxes in its sample table box, by name.
        offsets: int64 (n,), where in the file its samples begin.
        sizes: int64 (n,), their bytes; all inside the file.
    """

    number: int
    timescale: int
    edits: memoryview | None
    tables: dict[bytes, memoryview]
    offsets: np.ndarray
    sizes: np.ndarray


def read_track(box: memoryview, file_bytes: int, most_samples: int, wanted: int) -> Track:
    """Read a track box (section 8.3); raises `UnsureError`.

    Args:
        box: its content.
        file_bytes: size of the file; all samples must lie in it.
        most_samples: how many it may have.
        wanted: id of the track that matters in the end.
    """
    parts = only(boxes_in(box, (b"tkhd", b"edts", b"tref", b"mdia")))
    sure(b"tkhd" in parts and b"mdia" in parts)
    # A track of chapter pictures is no film to FFmpeg.
    references = bytes(parts.get(b"tref", b""))
    sure(0 < wanted < 2**31)
    sure(b"chap" not in references or wanted.to_bytes(4, "big") not in references)
    edits = only(boxes_in(parts[b"edts"], (b"elst",))) if b"edts" in parts else {}
    sure(edits or b"edts" not in parts)
    media = only(boxes_in(parts[b"mdia"], (b"mdhd", b"hdlr", b"minf")))
    sure(list(media) == [b"mdhd", b"hdlr", b"minf"])  # FFmpeg needs them in this order
    handler = bytes(media[b"hdlr"][8:12])
    sure(handler in _HANDLERS)
    tables = _sample_tables(media[b"minf"])
    sizes = _sizes(tables, most_samples)
    # Of uncompressed sound FFmpeg works the sizes out itself.
    sure(handler != b"soun" or (sizes != sizes[0]).any() or len(sizes) == 1)
    sure(sizes.min() > 0 and sizes.max() <= _LARGEST_SAMPLE)
    offsets = _offsets(tables, sizes)
    sure((offsets + sizes <= file_bytes).all())
    number = number_in(parts[b"tkhd"], 20 if number_in(parts[b"tkhd"], 0, 1) == 1 else 12)
    return Track(number, timescale_of(media[b"mdhd"]), edits.get(b"elst"), tables, offsets, sizes)


def timescale_of(header: memoryview) -> int:
    """Units a second, of a movie or a media header (sections 8.2.2 and 8.4.2)."""
    version = number_in(header, 0, 1)
    timescale = number_in(header, 20 if version else 12)
    sure(version <= 1 and 0 < timescale < 2**31)
    return timescale


def _sample_tables(information: memoryview) -> dict[bytes, memoryview]:
    """What lies in a media information box (sections 8.4.4 and 8.5.1)."""
    parts = only(boxes_in(information, (b"hdlr", b"dinf", b"stbl")))
    # QuickTime has a handler of the data here too, besides that of the media.
    sure(b"hdlr" not in parts or bytes(parts[b"hdlr"][8:12]) in (b"alis", b"url "))
    sure(b"dinf" in parts and b"stbl" in parts)
    _check_references(parts[b"dinf"])
    found = boxes_in(parts[b"stbl"], _TABLES)
    sure(next(iter(found), b"") == b"stsd")
    descriptions, maps = found.pop(b"sgpd", []), found.pop(b"sbgp", [])
    tables = only(found)
    description = tables[b"stsd"]
    sure(number_in(description, 4) == 1 and number_in(description, 8) == len(description) - 8)
    check_harmless(description)
    sure(len(tables.get(b"sdtp", b"later")) > 4)
    sure(b"stsz" in tables and b"stz2" not in tables)
    _check_groups(descriptions, maps, number_in(tables[b"stsz"], 8))
    return tables


def _check_references(information: memoryview) -> None:
    """All data must lie in the file itself (section 8.7.2)."""
    references = only(boxes_in(information, (b"dref",))).get(b"dref", information[:0])
    count = number_in(references, 4)
    sure(0 < count <= 16 and len(references) == 8 + 12 * count)
    for place in range(8, len(references), 12):
        sure(number_in(references, place) == 12 and number_in(references, place + 8) == 1)


def _check_groups(descriptions: list[memoryview], maps: list[memoryview], samples: int) -> None:
    """Sample groups (section 8.9): FFmpeg reads two kinds, and takes one of them for key frames.

    The other one ('sync') changes where it seeks to, but no packet, as long as it is sound.
    """
    for box in (*descriptions, *maps):
        sure(bytes(box[4:8]) in (*_IGNORED_GROUPS, b"sync"))
    for box in descriptions:
        if bytes(box[4:8]) == b"sync":
            version, size = number_in(box, 0, 1), number_in(box, 8)
            start = 16 if version == 1 else 20
            sure(version in (1, 2) and size)
            sure(len(box) == start + size * number_in(box, start - 4))
    for box in maps:
        if bytes(box[4:8]) == b"sync":
            count = number_in(box, 8)
            sure(number_in(box, 0, 1) == 0 and count and len(box) == 12 + 8 * count)
            sure(np.frombuffer(box, ">u4", offset=12)[::2].sum(dtype=np.int64) <= samples)


def _sizes(tables: dict[bytes, memoryview], most_samples: int) -> np.ndarray:
    """Sample sizes (section 8.7.3.2)."""
    box = tables[b"stsz"]
    size, count = number_in(box, 4), number_in(box, 8)
    sure(number_in(box, 0, 1) == 0 and 0 < count <= most_samples)
    if size:
        sure(len(box) == 12)
        return np.full(count, size, np.int64)
    sure(len(box) == 12 + 4 * count)
    return np.frombuffer(box, ">u4", offset=12).astype(np.int64)


def _offsets(tables: dict[bytes, memoryview], sizes: np.ndarray) -> np.ndarray:
    """Sample to chunk and chunk offsets (sections 8.7.4 and 8.7.5)."""
    sure((b"stco" in tables) != (b"co64" in tables) and b"stsc" in tables)
    (chunks,) = (
        table_in(tables[b"co64"], 1, ">i8") if b"co64" in tables else table_in(tables[b"stco"], 1)
    )
    first, samples, description = table_in(tables[b"stsc"], 3)
    sure(first[0] == 1 and (np.diff(first) > 0).all() and first[-1] <= len(chunks))
    sure((samples > 0).all() and (description == 1).all())
    samples = np.repeat(samples, np.diff(first, append=len(chunks) + 1))
    sure(samples.sum() == len(sizes) and chunks.min() >= 0 and chunks.max() < 2**62)
    ahead = np.cumsum(sizes) - sizes  # bytes of all samples before each
    begins = np.cumsum(samples) - samples
    return np.repeat(chunks - ahead[begins], samples) + ahead
