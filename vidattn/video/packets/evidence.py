"""What the sizes of packets say of their frames, without decoding any."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import Self

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

# A packet is compared with so many of its kind before it and behind it.
REACH = 30
# Windows whose medians are computed at once.
_WINDOWS = 4096


class PictureKind(IntEnum):
    """How other pictures use a picture; sizes can be compared within one kind only."""

    INTRA = 0
    """A key packet: a decoder may start here."""
    OTHER = 1
    """Other pictures reference it, or the stream does not say whether they do."""
    UNREFERENCED = 2
    """No other picture references it, so leaving it out changes no other frame."""


@dataclass(frozen=True, eq=False)
class PacketEvidence:
    """How much each frame of one video cost to encode, against frames of its kind around it.

    A frame that its neighbours do not predict well takes more bytes: something moves, appears or is
    cut to. The numbers order the frames of one video. They must never be used as features of a
    class: sizes depend on the encoder, its settings and its rate control, and in many data sets
    these differ between classes.

    Attributes:
        values: (T,) float64: logarithm of the packet's bytes minus the median of this logarithm
            over the nearest `REACH` packets of the same kind on each side and itself (fewer at both
            ends of the video). 0 for frames that no packet stands for.
        kinds: (T,) int8, a `PictureKind` each; OTHER for frames that no packet stands for.
    """

    values: NDArray[np.float64]
    kinds: NDArray[np.int8]

    def __len__(self) -> int:
        return len(self.values)

    @classmethod
    def of_sizes(cls, sizes: NDArray[np.int64], kinds: NDArray[np.int8]) -> Self:
        """Compare packets with those of their kind.

        Args:
            sizes: (T,) bytes of each frame's packet, in presentation order; -1 for none.
            kinds: (T,) a `PictureKind` each.
        """
        values = np.zeros(len(sizes))
        for kind in PictureKind:
            places = np.flatnonzero((kinds == kind) & (sizes >= 0))
            logarithms = np.log(np.maximum(sizes[places], 1))
            values[places] = logarithms - running_median(logarithms, REACH)
        return cls(values, np.where(sizes < 0, PictureKind.OTHER, kinds).astype(np.int8))

    def part(self, frames: slice) -> Self:
        """That of some of the frames."""
        return type(self)(self.values[frames], self.kinds[frames])


def running_median(values: NDArray[np.float64], reach: int) -> NDArray[np.float64]:
    """The median of each value and of up to `reach` values before it and behind it.

    Args:
        values: (n,).
        reach: at least 0.
    """
    medians = np.empty(len(values))
    inside = range(reach, len(values) - reach)
    for place in range(len(values)):
        if place not in inside:
            medians[place] = np.median(values[max(place - reach, 0) : place + reach + 1])
    for start in range(inside.start, inside.stop, _WINDOWS):
        end = min(start + _WINDOWS, inside.stop)
        windows = sliding_window_view(values[start - reach : end + reach], 2 * reach + 1)
        # Windows have an odd length, so the middle of the sorted values is the median.
        medians[start:end] = np.partition(windows, reach, axis=1)[:, reach]
    return medians
