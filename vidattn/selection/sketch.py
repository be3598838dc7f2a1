"""A video of any length as a few thousand described frames."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vidattn.arrays import IntArray, at_least
from vidattn.errors import ArgumentError
from vidattn.selection.descriptions import Description, Measures, describe, measure, thinned
from vidattn.selection.differences import Chunks, stream_chunks

Floats = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Sketch:
    """At most a few thousand frames of a video, described.

    Attributes:
        indices: (S,) frame positions, increasing: the sharpest of each `step` frames.
        features: (S, D) float32; their Euclidean distance says how different two frames look.
        sharpness: (S,) float32, mean squared Laplacian of the brightness, at a reduced size.
        frame_count: T, the frames of the whole video.
        step: frames of the video for each one of the sketch, the last one perhaps for fewer.
        cells: (S, C) float32, brightness of small cells in [0, 1]; the largest change of one cell
            counts beside the mean of all. None: it does not.
        measures: of all T frames of the video; None where they were not kept.
        writing: (S, W) uint8, brightness of the smallest cells: what tells lines of text apart.
            None: nothing does.
    """

    indices: IntArray
    features: Floats
    sharpness: Floats
    frame_count: int
    step: int
    cells: Floats | None = None
    measures: Measures | None = None
    writing: NDArray[np.uint8] | None = None


def sketch_frames(frames: Chunks, *, limit: int = 2048) -> Sketch:
    """Describe a video of any length in bounded memory.

    Whenever `limit` descriptions are held, the sharper one of each two neighbours is kept, and
    from then on one frame in twice as many. Up to `limit` − 1 frames nothing is left out.

    Args:
        frames: uint8 (T, H, W, 3), or an iterable of such chunks in order. A short side of
            64 to 128 pixels is plenty; larger frames are thinned first.
        limit: most descriptions held, even, at least 2.
    """
    sketcher = Sketcher(limit=limit)
    for _ in sketcher.watch(frames):
        pass
    return sketcher.sketch()


class Sketcher:
    """Describes frames that pass by.

    Args:
        limit: see `sketch_frames`.
        step: one of so many frames is described, the sharpest, from the beginning.
    """

    def __init__(self, *, limit: int = 2048, step: int = 1) -> None:
        self._limit = 2 * (at_least("limit", limit, 2) // 2)
        self._step, self._frame_count, self._held = at_least("step", step, 1), 0, 0
        self._indices = np.zeros(self._limit, np.int64)
        self._sharpness = np.zeros(self._limit, np.float32)
        self._described: Description | None = None
        self._measures: list[Measures] = []

    def watch(self, frames: Chunks) -> Iterator[NDArray[np.uint8]]:
        """The same chunks, as they come; each is described as it passes."""
        for chunk in stream_chunks(frames):
            self._add(chunk)
            yield chunk

    def sketch(self) -> Sketch:
        """Of all frames that have passed, at least one."""
        if self._described is None:
            raise ArgumentError("frames: expected at least one, got none")
        held = slice(self._held)
        return Sketch(
            indices=self._indices[held].copy(),
            features=self._described.features[held].copy(),
            sharpness=self._sharpness[held].copy(),
            frame_count=self._frame_count,
            step=self._step,
            cells=self._described.cells[held].copy(),
            measures=Measures(*map(np.concatenate, zip(*self._measures, strict=True))),
            writing=self._described.writing[held].copy(),
        )

    def _add(self, chunk: NDArray[np.uint8]) -> None:
        frames = thinned(chunk)
        measures = measure(frames)
        self._measures.append(measures)
        start = 0
        while start < len(frames):
            # Until the limit is reached, or to the end.
            end = min(start + self._limit * self._step - self._frame_count, len(frames))
            self._add_part(frames[start:end], measures.sharpness[start:end])
            start = end
            if self._frame_count == self._limit * self._step:
                self._halve()

    def _add_part(self, frames: NDArray[np.uint8], sharpness: Floats) -> None:
        """Keep the sharpest frame of each group, the earliest of equals."""
        groups = (self._frame_count + np.arange(len(frames))) // self._step
        borders = np.flatnonzero(np.diff(groups, prepend=-1))
        best = np.array(
            [part.start + int(np.argmax(sharpness[part])) for part in _parts(borders, len(frames))]
        )
        places = groups[best]
        if places[0] < self._held and sharpness[best[0]] <= self._sharpness[places[0]]:
            best, places = best[1:], places[1:]
        if len(best):
            described = describe(frames[best] if len(best) < len(frames) else frames)
            if self._described is None:
                self._described = Description(
                    *(np.zeros((self._limit, *part.shape[1:]), part.dtype) for part in described)
                )
            self._indices[places] = self._frame_count + best
            self._sharpness[places] = sharpness[best]
            for held, part in zip(_parts_of(self._described), described, strict=True):
                held[places] = part
        self._frame_count += len(frames)
        self._held = -(-self._frame_count // self._step)

    def _halve(self) -> None:
        later = self._sharpness[1::2] > self._sharpness[::2]
        kept = np.arange(0, self._limit, 2) + later
        every: list[NDArray[Any]] = [self._indices, self._sharpness, *_parts_of(self._described)]
        for held in every:
            held[: len(kept)] = held[kept]
        self._held, self._step = len(kept), 2 * self._step


def _parts_of(described: Description | None) -> list[NDArray[Any]]:
    return [] if described is None else list(described)


def _parts(starts: Iterable[int], end: int) -> Iterator[slice]:
    for first, behind in pairwise([*starts, end]):
        yield slice(first, behind)
