from __future__ import annotations

from collections.abc import Container, Sequence
from dataclasses import dataclass

import numpy as np

from vidattn.video.packets.index import FrameIndex

# Packets: opening the file once more for another decoder takes as long as decoding some.
_WORTH_A_DECODER = 5
# Beyond it, one decoder that overlaps frames is done as early.
_LONGEST_SHARE = 0.7


class WantedTimes:
    """Timestamps of the frames that must come out of the decoder, and all later ones.

    The next request may ask for what is decoded now.

    Args:
        times: of the frames asked for.
    """

    def __init__(self, times: frozenset[int]) -> None:
        self._times, self._last = times, max(times, default=0)

    def __contains__(self, time: object) -> bool:
        return time in self._times or (isinstance(time, int) and time > self._last)


@dataclass(frozen=True)
class DecodingPlan:
    """What to decode for some frames, and no more.

    Attributes:
        wanted: timestamps; the rest is decoded only where pictures refer to it.
        lasts: for each wanted frame, the position of the last packet to decode before the
            decoder is emptied; None to read on behind it.
    """

    wanted: Container[int]
    lasts: tuple[int | None, ...]

    @classmethod
    def make(cls, index: FrameIndex, positions: Sequence[int], *, read_on: bool) -> DecodingPlan:
        """Plan for frames in the order in which they will be asked for.

        Decoders hold frames back until they know the order, so that a frame comes out only after
        some packets behind it. Where none of those is wanted, emptying the decoder is cheaper.

        Args:
            index: of the video.
            positions: of the wanted frames.
            read_on: do not empty the decoder behind the last of them: the next request goes on
                from there.
        """
        chosen = np.asarray(positions, np.int64)
        starts, packets = index.starts[chosen], index.packets[chosen]
        lasts: dict[int, int | None] = {}
        end = None
        for start in sorted(set(starts.tolist()), reverse=True):
            last = int(packets[starts == start].max())
            follows = end is not None and end <= last + 1
            lasts[start] = lasts[end] if follows and end is not None else last
            end = start
        if read_on and len(chosen):
            final = lasts[int(starts.max())]
            lasts = {start: None if last == final else last for start, last in lasts.items()}
        times = frozenset(index.timestamps[chosen].tolist())
        wanted = WantedTimes(times) if read_on else times
        return cls(wanted, tuple(lasts[start] for start in starts.tolist()))


def fair_shares(index: FrameIndex, positions: Sequence[int], count: int) -> list[list[int]]:
    """Divide ascending positions into runs that take about equally long to decode.

    Args:
        index: of the video.
        positions: of the wanted frames.
        count: of runs, at most; one where several would not be done much earlier. They are cut
            between groups of pictures, and what takes time is the packets of a group up to the
            last wanted one.
    """
    chosen = np.asarray(positions, np.int64)
    starts, groups = np.unique(index.starts[chosen], return_inverse=True)
    lengths = np.zeros(len(starts), np.int64)
    np.maximum.at(lengths, groups, index.packets[chosen] + 1 - starts[groups])
    middles = np.cumsum(lengths) - lengths / 2
    runs = (middles * count / lengths.sum()).astype(np.int64)
    longest = np.bincount(runs, lengths).max()
    saved = lengths.sum() - longest
    if saved < _WORTH_A_DECODER or longest > _LONGEST_SHARE * lengths.sum():
        return [list(positions)]
    return [chosen[runs[groups] == run].tolist() for run in np.unique(runs)]
