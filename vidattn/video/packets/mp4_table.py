"""The packets of an MP4 or MOV file by its sample tables, without reading the packets."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np

from vidattn.errors import InputOutputError, VideoError
from vidattn.video.limits import Limits
from vidattn.video.packets.h264_keys import h264_keys
from vidattn.video.packets.index import PacketTable
from vidattn.video.packets.mp4_boxes import (
    UnsureError,
    boxes_in,
    number_in,
    read_moov,
    sure,
    table_in,
)
from vidattn.video.packets.mp4_tracks import Track, read_track, timescale_of
from vidattn.video.sources.source import ReadAt, SourceContent

# Codecs whose key packets FFmpeg takes from the table of sync samples, and those of which it takes
# all packets for key packets. Of others it parses the packets to tell.
_BY_TABLE = {"hevc", "mpeg4", "mpeg2video"}
_ALL_KEYS = {"prores", "mjpeg"}
_REORDERED = {"h264", "hevc"}  # it leaves their times as they are
_MOST_TRACKS = 64
_MOST_OFFSET = 2**28  # FFmpeg drops tables of composition offsets beyond this


@dataclass(frozen=True, eq=False)
class _Times:
    """When samples are decoded and shown, before edits: int64 (n,), but for `lead`.

    Attributes:
        durations: how long.
        decoding: the sum of the durations before.
        composition: when shown.
        lead: what FFmpeg takes off decoding times, so that few are behind their composition.
    """

    durations: np.ndarray
    decoding: np.ndarray
    composition: np.ndarray
    lead: int


def read_mp4_table(content: SourceContent, stream: Any, limits: Limits) -> PacketTable | None:
    """What `PacketTable.scan` would give, or None wherever that is not certain.

    Fragments, edits that hide or move frames, packets beyond the end of the file, several sample
    descriptions, encryption and whatever is odd give None; so do codecs whose packets FFmpeg
    parses (AV1, VP9, …). Of H.264 packets the first bytes are read, of others none.

    Args:
        content: of an MP4 or MOV file that FFmpeg took for one.
        stream: PyAV's stream of it whose packets are wanted.
        limits: how many packets are allowed, of all tracks together; of more nothing is said here.

    Source: ISO/IEC 14496-12, section 8, which the functions below cite by number.
    """
    try:
        with content.reading() as read_at:
            return _read(read_at, content.size, stream, limits)
    except InputOutputError:
        raise
    except (UnsureError, VideoError):
        return None
    except (ValueError, LookupError, ArithmeticError):  # the long way is there for any file
        return None


def _read(read_at: ReadAt, file_bytes: int, stream: Any, limits: Limits) -> PacketTable:
    moov = boxes_in(read_moov(read_at, file_bytes), (b"mvhd", b"trak"))
    headers, boxes = moov.get(b"mvhd", []), moov.get(b"trak", [])
    sure(next(iter(moov), b"") == b"mvhd" and len(headers) == 1 and len(boxes) <= _MOST_TRACKS)
    # The demuxer reads all tracks in turn: one that ends early would end the others too.
    tracks: dict[int, Track] = {}
    room = limits.maximum_packets
    for box in boxes:
        track = read_track(box, file_bytes, room, stream.id)
        room -= len(track.sizes)
        sure(tracks.setdefault(track.number, track) is track)
    sure(stream.id in tracks)
    return _table(read_at, stream, tracks[stream.id], timescale_of(headers[0]))


def _table(read_at: ReadAt, stream: Any, track: Track, movie_timescale: int) -> PacketTable:
    count = len(track.sizes)
    sure(stream.time_base == Fraction(1, track.timescale) and stream.frames == count)
    times, synced = _times(track.tables, count), _synced(track.tables, count)
    # Of other codecs FFmpeg changes decoding times that are behind.
    early = times.decoding - times.lead > times.composition
    sure(stream.codec_context.name in _REORDERED or not early.any())
    delay = _delay(track.edits, Fraction(track.timescale, movie_timescale), times, synced)
    decoding = times.decoding + (delay - times.lead)
    _compare(stream, track, decoding, synced)
    keys = _keys(read_at, stream.codec_context, track, synced)
    discarded, damaged = np.zeros((2, count), np.bool_)
    presentation = times.composition + delay
    return PacketTable(
        presentation, decoding, times.durations, track.sizes, keys, discarded, damaged
    )


def _compare(stream: Any, track: Track, decoding: np.ndarray, synced: np.ndarray) -> None:
    """Hold the ends of the table against those of the index that FFmpeg has made."""
    entries = stream.index_entries
    sure(len(entries) == len(decoding))
    for place in (0, -1):
        entry = entries[place]
        sure(entry.pos == track.offsets[place] and entry.size == track.sizes[place])
        sure(entry.timestamp == decoding[place] and entry.is_keyframe == synced[place])


def _times(tables: dict[bytes, memoryview], count: int) -> _Times:
    """Decoding time to sample, composition time to sample (sections 8.6.1.2 and 8.6.1.3)."""
    sure(b"stts" in tables)
    runs, steps = table_in(tables[b"stts"], 2)
    sure((runs > 0).all() and runs.sum() == count and (steps > 0).all() and steps.max() < 2**31)
    sure((runs * steps).sum() < 2**32)  # FFmpeg's sums are of 32 bits in places
    durations = np.repeat(steps, runs)
    decoding = np.cumsum(durations) - durations
    if b"ctts" not in tables:
        return _Times(durations, decoding, decoding, 0)
    # Version 0 has no negative numbers, but FFmpeg reads both versions as if they were signed.
    runs, offsets = table_in(tables[b"ctts"], 2, ">i4", versions=2)
    sure((runs > 0).all() and runs.sum() == count and (abs(offsets) < _MOST_OFFSET).all())
    lead = max(0, -int(offsets[:-2].min(initial=0)))  # it leaves out the last two runs here
    return _Times(durations, decoding, decoding + np.repeat(offsets, runs), lead)


def _synced(tables: dict[bytes, memoryview], count: int) -> np.ndarray:
    """bool (n,): sync samples (section 8.6.2); without a table every sample is one."""
    if b"stss" not in tables:
        return np.ones(count, np.bool_)
    (numbers,) = table_in(tables[b"stss"], 1)
    sure(numbers[0] > 0 and numbers[-1] <= count and (np.diff(numbers) > 0).all())
    synced = np.zeros(count, np.bool_)
    synced[numbers - 1] = True
    return synced


def _delay(edits: memoryview | None, rate: Fraction, times: _Times, synced: np.ndarray) -> int:
    """What the edit list adds to all times; it must leave every sample shown (section 8.6.6).

    FFmpeg moves the first composition to zero, or to the end of an empty edit before it.

    Args:
        edits: the box, if there is one.
        rate: units of the track in one of the movie.
        times: before edits.
        synced: samples at which FFmpeg may let an edit begin and end.
    """
    if edits is None:
        return 0
    version, count = number_in(edits, 0, 1), number_in(edits, 4)
    width = 8 if version else 4
    row = np.dtype([("length", f">u{width}"), ("start", f">i{width}"), ("rate", ">u4")])
    sure(version <= 1 and 0 < count <= 2 and len(edits) == 8 + count * row.itemsize)
    rows = np.frombuffer(edits, row, offset=8).tolist()
    sure(all(speed == 2**16 and length < 2**40 for length, _, speed in rows))
    lengths = [int(length * rate + Fraction(1, 2)) for length, _, _ in rows]
    sure(max(lengths) < 2**62)
    empty = lengths[0] if rows[0][1] == -1 else 0
    sure(count == 1 or rows[0][1] == -1)
    start, shown = rows[-1][1], times.composition
    end, first = start + lengths[-1], int(shown.min())
    sure(0 <= start <= first and shown.max() < end)
    sure(not (synced[1:] & (shown[1:] <= start)).any())  # else it would begin there
    late = synced[:-1] & ((shown + times.durations)[:-1] >= end)
    sure(late.sum() <= (shown is not times.decoding))  # else it may end there
    return empty - first


def _keys(read_at: ReadAt, context: Any, track: Track, synced: np.ndarray) -> np.ndarray:
    """bool (n,): packets that FFmpeg takes for key packets."""
    if context.name == "h264":
        # Else it has not understood the configuration, and then finds no key packets at all.
        sure(getattr(context, "field_order", None))  # old releases of PyAV do not tell
        return h264_keys(read_at, track.offsets, track.sizes, bytes(context.extradata or b""))
    sure(context.name in _BY_TABLE or (context.name in _ALL_KEYS and synced.all()))
    return synced
