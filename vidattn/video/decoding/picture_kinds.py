"""Which frames are intra, referenced and not referenced: packets are read, none is decoded."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from vidattn.errors import DecodeError
from vidattn.video.decoding.packet_source import PacketSource
from vidattn.video.decoding.references import unreferred_test
from vidattn.video.packets.demuxer import typed_errors
from vidattn.video.packets.evidence import PacketEvidence, PictureKind
from vidattn.video.packets.index import MISSING, PacketTable

# Seconds that the time of a frame and that of its packet may differ by: rounding.
_SAME_TIME = 1e-6


def evidence_of_frames(
    source: PacketSource, table: PacketTable, seconds: NDArray[np.float64]
) -> PacketEvidence:
    """The evidence of each frame, found by its time.

    Args:
        source: not open yet; it is opened and closed.
        table: of all its packets.
        seconds: (T,) when each frame is shown.

    Raises:
        DecodeError: the packets cannot be read, or are not those of the table; or fewer than half
            of the frames are at the time of a packet, so that packets say nothing of frames.
        NotAVideoError, LimitError: as when opening.
    """
    source.open()
    try:
        kinds, time_base = picture_kinds(source, table), float(source.stream.time_base)
    finally:
        source.close()
    shown = np.flatnonzero(~table.discarded & (table.presentation != MISSING))
    order = shown[np.argsort(table.presentation[shown], kind="stable")]
    times = table.presentation[order] * time_base
    nearest = np.searchsorted(times, seconds - _SAME_TIME)
    found = nearest < len(order)
    found[found] = times[nearest[found]] <= seconds[found] + _SAME_TIME
    if 2 * np.count_nonzero(found) < len(seconds):
        raise DecodeError(source.path, "its packets do not tell which frames are in them")
    packets = order[nearest[found]]
    frame_sizes = np.full(len(seconds), -1)
    frame_kinds = np.full(len(seconds), PictureKind.OTHER, np.int8)
    frame_sizes[found], frame_kinds[found] = table.sizes[packets], kinds[packets]
    return PacketEvidence.of_sizes(frame_sizes, frame_kinds)


def picture_kinds(source: PacketSource, table: PacketTable) -> NDArray[np.int8]:
    """A `PictureKind` for each packet of a table, in decoding order.

    Args:
        source: open, at its beginning.
        table: of all its packets.

    Raises:
        DecodeError: the packets cannot be read, or are not those of the table.
    """
    kinds = np.where(table.keys, PictureKind.INTRA, PictureKind.OTHER).astype(np.int8)
    is_unreferenced = unreferred_test(source.stream.codec_context)
    if is_unreferenced is None:
        return kinds
    source.start()
    with typed_errors(source.path, "cannot read its packets"):
        for place in range(len(table)):
            packet = source.next_packet()
            if packet is None or packet.size != table.sizes[place]:
                raise DecodeError(source.path, f"packet {place} is not the one read before")
            if not table.keys[place] and is_unreferenced(packet):
                kinds[place] = PictureKind.UNREFERENCED
    return kinds
