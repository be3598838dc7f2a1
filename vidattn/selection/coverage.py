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

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from vidattn.arrays import FloatArray, IntArray, at_least
from vidattn.selection.differences import Chunks, stream_chunks
from vidattn.selection.gaps import Gaps

_GRID = 6  # colours are averaged over 6 × 6 cells
_BINS = 4  # and counted in 4 × 4 × 4 bins
_ANALYSED_SIDE = 128  # pixels of the longer side that are looked at
_LEAST_GAIN = 0.01  # a hundredth of one frame of the video that is wholly stood for
_TIME_WEIGHT = 0.15  # the whole video's length, beside the distance of black from white, about 1


@dataclass(frozen=True, eq=False)
class Sketch:
    """At most a few thousand frames of a video, described.

    Attributes:
        indices: (S,) frame positions, increasing: the sharpest of each `step` frames.
        features: (S, D) float32; their Euclidean distance says how different two frames look.
        sharpness: (S,) float32, mean squared Laplacian of the brightness, at a reduced size.
        frame_count: T, the frames of the whole video.
        step: frames of the video for each one of the sketch, the last one perhaps for fewer.
    """

    indices: IntArray
    features: NDArray[np.float32]
    sharpness: NDArray[np.float32]
    frame_count: int
    step: int


def sketch_frames(frames: Chunks, *, limit: int = 2048) -> Sketch:
    """Describe a video of any length in bounded memory.

    Whenever `limit` descriptions are held, the sharper one of each two neighbours is kept, and
    from then on one frame in twice as many. Up to `limit` − 1 frames nothing is left out.

    Args:
        frames: uint8 (T, H, W, 3), or an iterable of such chunks in order. A short side of
            64 to 128 pixels is plenty; larger frames are thinned first.
        limit: most descriptions held, even, at least 2.
    """
    limit = 2 * (at_least("limit", limit, 2) // 2)
    kept: list[tuple[float, int, NDArray[np.float32]]] = []  # sharpness, frame, description
    step, group, frame_count = 1, 0, 0
    for chunk in stream_chunks(frames):
        for frame in chunk:
            sharpness, features = _describe(frame)
            entry = (sharpness, frame_count, features)
            if group:
                kept[-1] = max(kept[-1], entry, key=lambda item: item[0])
            else:
                kept.append(entry)
            frame_count += 1
            group = (group + 1) % step
            if group == 0 and len(kept) == limit:
                pairs = zip(kept[::2], kept[1::2], strict=True)
                kept = [max(pair, key=lambda item: item[0]) for pair in pairs]
                step *= 2
    return Sketch(
        indices=np.array([entry[1] for entry in kept], dtype=np.int64),
        features=np.stack([entry[2] for entry in kept]),
        sharpness=np.array([entry[0] for entry in kept], dtype=np.float32),
        frame_count=frame_count,
        step=step,
    )


def coverage_scores(sketch: Sketch) -> FloatArray:
    """How well each frame alone stands for the whole video, in [0, 1]: one score a frame.

    Frames that the sketch left out get the interpolation of its neighbours.

    Returns:
        (T,) float64.
    """
    alone = _similarities(sketch)[1].mean(axis=0)
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
            None to count frames.

    Returns:
        (min(count, T),) indices, increasing.
    """
    wanted = min(at_least("count", count, 1), sketch.frame_count)
    gaps = Gaps(sketch.frame_count, minimum_gap, positions)
    greedy = _Greedy(sketch)
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

    def __init__(self, sketch: Sketch) -> None:
        self._indices = sketch.indices
        self._alike, self._represents = _similarities(sketch)
        self._covered = np.zeros(len(sketch.indices), dtype=np.float32)
        self._nearest = np.zeros(len(sketch.indices), dtype=np.float32)

    def take(self, free: NDArray[np.bool_]) -> int:
        """The next frame of those that are free, at least one."""
        gains = np.maximum(self._represents - self._covered[:, None], 0).sum(axis=0)
        best = int(np.argmax(np.where(free, gains, -1)))
        if gains[best] < _LEAST_GAIN:
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


def _similarities(sketch: Sketch) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """(S, S) each, in [0, 1]: how alike two frames are, and how well a column's stands for a row's.

    A frame stands for those like it as far as it is sharp.
    """
    times = _TIME_WEIGHT * sketch.indices[:, None] / max(sketch.frame_count, 1)
    features = np.concatenate([sketch.features, times.astype(np.float32)], axis=1)
    norms = (features**2).sum(axis=1)
    squares = np.maximum(norms[:, None] + norms - 2 * features @ features.T, 0)
    typical = float(np.median(squares))
    alike = np.exp(-squares / typical) if typical > 0 else np.ones_like(squares)
    alike = alike.astype(np.float32)
    textured = sketch.sharpness[sketch.sharpness > 0]
    if len(textured) == 0:
        return alike, alike
    # 1/2 for a frame of ordinary sharpness, to 0 for blur and blanks, to 1 for the sharpest.
    weights = sketch.sharpness / (sketch.sharpness + np.median(textured))
    return alike, (alike * weights).astype(np.float32)


def _describe(frame: NDArray[np.uint8]) -> tuple[float, NDArray[np.float32]]:
    """(sharpness, features (D,)) of one frame (H, W, 3)."""
    thin = max(1, -(-max(frame.shape[:2]) // _ANALYSED_SIDE))
    pixels = frame[::thin, ::thin]
    light = pixels.astype(np.float32) @ np.array([0.299, 0.587, 0.114], dtype=np.float32)
    colours = _grid_means(pixels.astype(np.float32) / np.float32(255))
    bins = (pixels >> 6).reshape(-1, 3).astype(np.int64) @ np.array([_BINS**2, _BINS, 1])
    histogram = np.bincount(bins, minlength=_BINS**3) / len(bins)
    # Each part's distance is about 1 between black and white; square roots make the
    # histogram's the Hellinger distance.
    features = np.concatenate(
        [colours.ravel() / np.sqrt(colours.size), np.sqrt(histogram) / np.sqrt(2)]
    )
    return _laplacian_energy(light), features.astype(np.float32)


def _grid_means(values: NDArray[np.float32]) -> NDArray[np.float32]:
    """(H, W, 3) -> (6, 6, 3) means; cells repeat pixels where the frame has fewer than 6."""
    for axis in (0, 1):
        length = values.shape[axis]
        starts = np.arange(_GRID) * length // _GRID
        ends = np.maximum((np.arange(_GRID) + 1) * length // _GRID, starts + 1)
        parts = zip(starts, ends, strict=True)
        means = [values.take(range(a, b), axis=axis).mean(axis=axis) for a, b in parts]
        values = np.stack(means, axis=axis)
    return values


def _laplacian_energy(light: NDArray[np.float32]) -> float:
    if min(light.shape) < 3:
        return 0.0
    inner = light[1:-1, 1:-1]
    around = light[:-2, 1:-1] + light[2:, 1:-1] + light[1:-1, :-2] + light[1:-1, 2:]
    return float(((around - 4 * inner) ** 2).mean())
