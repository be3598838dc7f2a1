"""Key frames without a trained network: few sharp frames that stand for all the others.

Each frame is described by what it looks like (colours on a coarse grid, a colour histogram)
and when it is. A set of key frames is good if every frame of the video has one that resembles
it; frames are added one by one, always the one that helps most, and blurred or blank frames
count for less. The method knows nothing of actions: it summarises.

Source: the representativeness objective of Gygli, Grabner and Van Gool, "Video Summarization by
Learning Submodular Mixtures of Objectives" (CVPR 2015), section 4.1, as a facility location,
for which greedy selection is within 1 − 1/e of the optimum (Nemhauser, Wolsey, Fisher 1978).
The description, the weighting by sharpness and the bounded sketch are ours.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from vidattn.arrays import FloatArray, IntArray, at_least
from vidattn.selection.gaps import Gaps
from vidattn.selection.sketch import Sketch

_LEAST_GAIN = 0.01  # a hundredth of one frame of the video that is wholly stood for
_TIME_WEIGHT = 0.15  # the whole video's length, beside the distance of black from white, about 1


def coverage_scores(sketch: Sketch, *, positions: ArrayLike | None = None) -> FloatArray:
    """How well each frame alone stands for the whole video, in [0, 1]: one score a frame.

    Frames that the sketch left out get the interpolation of its neighbours.

    Args:
        positions: see `cover_frames`.

    Returns:
        (T,) float64.
    """
    gaps = Gaps(sketch.frame_count, 0, positions)
    alone = _similarities(sketch, gaps)[1].mean(axis=0)
    return np.interp(np.arange(sketch.frame_count), sketch.indices, alone)


def cover_frames(
    sketch: Sketch,
    count: int,
    *,
    minimum_gap: float = 0,
    positions: ArrayLike | None = None,
) -> IntArray:
    """The frames that together stand best for the video, found greedily, in time order.

    Where no frame helps any more (flat pictures stand for nothing, a still film is covered by
    one), the frame follows that is least like those chosen, in looks and in time; once the sketch
    has no more, frames that it left out follow, in the middle of the largest gap. Where the gap
    leaves too few, it is halved for those still missing, and so on down to 0: the result always
    has min(count, T) frames.

    Args:
        sketch: of the whole video.
        count: at least 1.
        minimum_gap: smallest distance between two of them, in the units of `positions`.
        positions: (T,), not decreasing: where each frame of the video lies, such as its seconds;
            None to count frames. Frames that are shown for longer then count for more.

    Returns:
        (min(count, T),) indices, increasing.
    """
    wanted = min(at_least("count", count, 1), sketch.frame_count)
    gaps = Gaps(sketch.frame_count, minimum_gap, positions)
    greedy = _Greedy(sketch, gaps)
    blocked = gaps.blocked_by([])
    chosen: list[int] = []
    while len(chosen) < wanted:
        free = ~blocked[sketch.indices]
        if free.any():
            best = greedy.take(free)
        elif blocked.all():
            gaps.shrink()
            blocked = gaps.blocked_by(chosen)
            continue
        else:
            best = _loneliest(gaps.positions, chosen, ~blocked)
        chosen.append(best)
        gaps.block(blocked, best)
    return np.sort(np.array(chosen, dtype=np.int64))


class _Greedy:
    """Chooses frames of a sketch one by one."""

    def __init__(self, sketch: Sketch, gaps: Gaps) -> None:
        self._indices = sketch.indices
        self._alike, self._represents = _similarities(sketch, gaps)
        self._flat = not (sketch.sharpness > 0).any()
        self._covered = np.zeros(len(sketch.indices), dtype=np.float32)
        self._nearest = np.zeros(len(sketch.indices), dtype=np.float32)

    def take(self, free: NDArray[np.bool_]) -> int:
        """The next frame of those that are free, at least one."""
        gains = np.maximum(self._represents - self._covered[:, None], 0).sum(axis=0)
        best = int(np.argmax(np.where(free, gains, -1)))
        if gains[best] < _LEAST_GAIN or (self._flat and self._nearest.any()):
            best = int(np.argmin(np.where(free, self._nearest, np.inf)))
        self._covered = np.maximum(self._covered, self._represents[:, best])
        self._nearest = np.maximum(self._nearest, self._alike[:, best])
        return int(self._indices[best])


def _loneliest(positions: FloatArray, chosen: list[int], free: NDArray[np.bool_]) -> int:
    """The free frame that is furthest from all chosen ones; the earliest of several."""
    others = np.sort(positions[chosen])
    after = np.searchsorted(others, positions).clip(1, max(len(others) - 1, 1))
    around = np.stack([others[after - 1], others[np.minimum(after, len(others) - 1)]])
    return int(np.argmax(np.where(free, np.abs(positions - around).min(axis=0), -1)))


def representation(sketch: Sketch, gaps: Gaps) -> NDArray[np.float32]:
    """(S, S): how well the frame of a column stands for that of a row; see `_similarities`."""
    return _similarities(sketch, gaps)[1]


def _similarities(sketch: Sketch, gaps: Gaps) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """(S, S) each: how alike two frames are, and how well a column's stands for a row's.

    A frame stands for those like it as far as it is sharp. Both are in [0, 1], but that rows of
    the second are multiplied by how long they are shown, 1 on average.
    """
    places = gaps.positions[sketch.indices] - gaps.positions[0]
    times = _TIME_WEIGHT * places[:, None] / gaps.length
    features = np.concatenate([sketch.features, times.astype(np.float32)], axis=1)
    norms = (features**2).sum(axis=1)
    squares = np.maximum(norms[:, None] + norms - 2 * features @ features.T, 0)
    typical = float(np.median(squares))
    alike = np.exp(-squares / typical) if typical > 0 else np.ones_like(squares)
    alike = alike.astype(np.float32)
    shown = _durations(sketch, gaps)[:, None]
    textured = sketch.sharpness[sketch.sharpness > 0]
    if len(textured) == 0:
        return alike, alike * shown
    # 1/2 for a frame of ordinary sharpness, to 0 for blur and blanks, to 1 for the sharpest.
    weights = sketch.sharpness / (sketch.sharpness + np.median(textured))
    return alike, (alike * weights).astype(np.float32) * shown


def _durations(sketch: Sketch, gaps: Gaps) -> NDArray[np.float32]:
    """(S,): how long what each frame of the sketch was taken from is shown; 1 on average."""
    if gaps.in_frames:
        return np.ones(len(sketch.indices), dtype=np.float32)
    starts = gaps.positions[:: sketch.step]
    lengths = np.diff(starts, append=gaps.positions[0] + gaps.length)
    return (lengths / lengths.mean()).astype(np.float32)
