from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import Any

import numpy as np

from vidattn.heartbeat import beat
from vidattn.video.limits import Limits
from vidattn.video.packets.demuxer import typed_errors

# Presentation, decoding, duration, size; key, discarded, damaged.
PacketRow = tuple[int, int, int, int, bool, bool, bool]

MISSING = np.iinfo(np.int64).min  # stands for a missing timestamp

# Containers that store presentation times. AVI and raw streams do not: there FFmpeg guesses.
_TIMED_CONTAINERS = {"mov,mp4,m4a,3gp,3g2,mj2", "matroska,webm", "mpegts", "flv"}
# Codecs whose every packet becomes one frame, when the packet table has no oddity.
_ONE_FRAME_A_PACKET = {
    *("h264", "hevc", "vvc", "vp8", "vp9", "av1", "libdav1d", "mpeg4", "mpeg2video"),
    *("mpeg1video", "mjpeg", "prores", "dnxhd", "ffv1", "h263", "flv"),
}


@dataclass(frozen=True, eq=False)
class PacketTable:
    """What the demuxer says about the packets of one video stream, in decoding order.

    Attributes:
        presentation: int64 timestamps, in units of the stream's time base; MISSING for none.
        decoding: the same for decoding timestamps.
        durations: int64, 0 where unknown.
        sizes: int64, bytes.
        keys: bool, a decoder may start here.
        discarded: bool, needed by others but not shown (edit lists).
        damaged: bool, known to be incomplete.
    """

    presentation: np.ndarray
    decoding: np.ndarray
    durations: np.ndarray
    sizes: np.ndarray
    keys: np.ndarray
    discarded: np.ndarray
    damaged: np.ndarray

    def __len__(self) -> int:
        return len(self.presentation)

    def place_of(self, packet: Any) -> int | None:
        """Position of a packet, by what tells packets apart wherever one reads: time and size."""
        time = MISSING if packet.pts is None else packet.pts
        places = np.flatnonzero((self.presentation == time) & (self.sizes == packet.size))
        return int(places[-1]) if len(places) else None

    @classmethod
    def scan(cls, path: str, container: Any, stream: Any, limits: Limits) -> PacketTable:
        """Read all packets without decoding any."""
        rows: list[PacketRow] = []
        # Closed, because PyAV leaks memory of a generator that is dropped before its end.
        demuxer = closing(container.demux(stream))
        with typed_errors(path, "cannot read its packets"), demuxer as packets:
            for packet in packets:
                if packet.size == 0 and packet.dts is None:
                    continue  # the demuxer's mark for the end
                rows.append(packet_row(packet))
                beat()
                limits.check_packets(path, len(rows))
        return cls.of(rows)

    @classmethod
    def of(cls, rows: Sequence[PacketRow]) -> PacketTable:
        """A table of what `packet_row` gave for each packet."""
        numbers = np.array([row[:4] for row in rows], np.int64).reshape(-1, 4)
        flags = np.array([row[4:] for row in rows], np.bool_).reshape(-1, 3)
        return cls(*(numbers[:, i] for i in range(4)), *(flags[:, i] for i in range(3)))


@dataclass(frozen=True, eq=False)
class FrameIndex:
    """The frames of a video in presentation order, and where decoding must start for each.

    Attributes:
        timestamps: int64 (n,), strictly increasing, in units of the time base.
        packets: int64 (n,), position of each frame's packet in decoding order.
        starts: int64 (n,), position of the key packet from which each frame decodes exactly.
    """

    timestamps: np.ndarray
    packets: np.ndarray
    starts: np.ndarray

    def __len__(self) -> int:
        return len(self.timestamps)

    @classmethod
    def build(cls, table: PacketTable) -> FrameIndex:
        """Sort the shown packets by time; `suspicion` must have found nothing."""
        shown = np.flatnonzero(~table.discarded)
        order = shown[np.argsort(table.presentation[shown], kind="stable")]
        times = table.presentation[order]
        keys = np.flatnonzero(table.keys)
        # The last key packet at or before each frame's packet. Frames that follow a key packet
        # but are shown before it (open groups of pictures) refer to the group before: go back.
        group = np.searchsorted(keys, order, side="right") - 1
        key_times = table.presentation[keys]
        while (early := (group > 0) & (times < key_times[group])).any():
            group = np.where(early, group - 1, group)
        return cls(times, order, keys[group])


def suspicion(table: PacketTable, container: Any, stream: Any) -> str | None:
    """Why the packets may not be the frames, so that only a full decode can tell; else None."""
    shown = table.presentation[~table.discarded]
    first_time = table.presentation[0] if len(table) else 0
    oddities = _oddities(table, container, stream)
    reasons = {
        "no packets": not len(shown),
        "missing timestamps": oddities.pop("missing timestamps"),
        "repeated timestamps": oddities.pop("repeated timestamps"),
        "incomplete packets": table.damaged.any(),
        "does not start with a key frame": not len(table) or not table.keys[0],
        "frames before the first key frame": (shown < first_time).any(),
        "another number of frames in the header": stream.frames not in (0, len(table)),
        **oddities,
    }
    return next((reason for reason, found in reasons.items() if found), None)


def packets_are_frames(table: PacketTable, container: Any, stream: Any) -> bool:
    """Whether each packet shown stands for one frame at its own time, be it damaged or not."""
    return not any(_oddities(table, container, stream).values())


def _oddities(table: PacketTable, container: Any, stream: Any) -> dict[str, bool]:
    """What keeps packets from being frames, however whole the file is."""
    context = stream.codec_context
    shown = table.presentation[~table.discarded]
    timed = container.format.name in _TIMED_CONTAINERS
    unordered_avi = container.format.name == "avi" and not context.has_b_frames
    return {
        "missing timestamps": bool((table.presentation == MISSING).any()),
        "repeated timestamps": len(np.unique(shown)) != len(shown),
        "a container without presentation times": not (timed or unordered_avi),
        "a codec that may hide or repeat frames": context.name not in _ONE_FRAME_A_PACKET,
        "packets without a picture": context.name == "mpeg4" and bool((table.sizes < 16).any()),
        "interlaced": getattr(context, "field_order", 0) > 1,
    }


def packet_row(packet: Any) -> PacketRow:
    """What the demuxer says of one packet."""
    return (
        MISSING if packet.pts is None else packet.pts,
        MISSING if packet.dts is None else packet.dts,
        packet.duration or 0,
        packet.size,
        packet.is_keyframe,
        packet.is_discard,
        packet.is_corrupt,
    )
