"""Gradual transitions: frames that are mixtures of what comes before them and behind them."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from vidattn.arrays import IntArray
from vidattn.selection.cells import cell_means

Cells = NDArray[np.float32]
FloatRow = NDArray[np.floating]
GradualKind = Literal["dissolve", "fade", "wipe"]
Gradual = tuple[int, int, GradualKind]

# Frames before and behind a frame that it is compared with.
_REACHES = (3, 5, 8, 12, 18)
# A first look at few cells finds what a second one at more cells, half as many along each side as
# are given, must agree with; it is not as strict.
_FEWEST, _LENIENCE = (8, 12), 1.2
# Share of the change that the middle of a transition has done.
_MIDDLE = (0.3, 0.7)
# Grey levels (root mean square) that old and new picture are apart.
_LEAST_CHANGE = 12.0
# Largest share of the change that a dissolve's frames leave unexplained, and what the likeness of
# old and new picture adds to it: a picture that only brightens is a mixture too.
_UNEXPLAINED, _LIKENESS_WEIGHT, _MOST_UNEXPLAINED = 0.42, 0.5, 0.45
# What both together may be in the middle of a transition; whatever is less certain there is not
# looked at more closely.
_MOST_DOUBT = 0.65
# How evenly the share grows: correlation with time.
_EVENNESS = 0.95
# The same of wipes, where the unexplained is what shows neither the old nor the new picture, and
# places that went back to the old picture are counted too.
_NEITHER, _NEITHER_LIKENESS_WEIGHT, _MOST_NEITHER = 0.25, 0.3, 0.35
_WIPE_EVENNESS, _GOING_BACK = 0.97, 0.03
# Standard deviation of the brightness, grey levels: in a flat picture, and in one that is none.
_FLAT, _TEXTURED = 8.0, 12.0
_LONGEST_FADE = 60
# From one frame to the next, where contrast grows; where a picture changes, as a share of a typical
# step in the middle.
_GROWS, _STEP_SHARE = 1.02, 0.3
# Frames from last old to first new one.
_SHORTEST = 3
_TINY = 1e-3


def gradual_transitions(cells: Cells, cuts: IntArray) -> list[Gradual]:
    """Dissolves, fades and wipes, in no particular order; none overlaps another or a cut.

    Args:
        cells: (T, H, W, 3), brightness and two colour differences.
        cuts: first frames of shots that begin with a cut.
    """
    film = _Film(cells, cuts)
    found: list[Gradual] = [(old, new, "fade") for old, new in _fades(film)]
    for way in (_Dissolve, _Wipe):
        for _, middle, reach in sorted(_candidates(film, way)):
            if any(old - 1 <= middle <= new + 1 for old, new, _ in found):
                continue
            old, new = _extent(film, way, middle, reach)
            overlaps = any(old < end and new > start for start, end, _ in found)
            if new - old >= _SHORTEST and not overlaps and way.is_certain(film, old, new):
                found.append((old, new, way.kind))
    return found


class _Film:
    """One block of frames, in the ways that they are looked at.

    Attributes:
        cells: (T, H, W, 3), brightness and two colour differences.
        coarse: (T, H / 2, W / 2, 3), the same on fewer cells.
        fewest: (T, 8, 12, 1), the brightness on fewer still.
        contrast: (T,), standard deviation of the brightness.
        cuts: first frames behind cuts.
    """

    def __init__(self, cells: Cells, cuts: IntArray) -> None:
        self.cells = cells
        rows = cells[:, ::2] + cells[:, 1::2]
        self.coarse = rows[:, :, ::2] + rows[:, :, 1::2]
        self.coarse *= np.float32(0.25)
        self.fewest = cell_means(self.coarse[..., :1], _FEWEST)
        self.contrast = self.coarse[..., 0].std(axis=(1, 2))
        self.cuts = cuts

    def between_cuts(self, frame: int) -> tuple[int, int]:
        """First and last frame of the run without a cut that a frame is in."""
        number = int(np.searchsorted(self.cuts, frame, side="right"))
        first = int(self.cuts[number - 1]) if number else 0
        last = int(self.cuts[number]) - 1 if number < len(self.cuts) else len(self.cells) - 1
        return first, last

    @cached_property
    def _patterns(self) -> NDArray[np.float32]:
        """(T, H W), brightness of each frame without its level and its contrast."""
        light = self.cells[..., 0].reshape(len(self.cells), -1)
        patterns = light - light.mean(axis=1, keepdims=True)
        norms = np.sqrt(np.einsum("tp,tp->t", patterns, patterns))
        patterns /= np.where(norms > 0, norms, np.float32(1))[:, None]
        return patterns

    def likenesses(self, ones: IntArray, others: IntArray) -> FloatRow:
        """(n,) correlations of the brightness of frames: what they have in common but its level."""
        return np.einsum("tp,tp->t", self._patterns[ones], self._patterns[others])

    def likeness(self, one: int, other: int) -> float:
        """The correlation of two frames."""
        return float(self._patterns[one] @ self._patterns[other])


class _Dissolve:
    """(1 − a) · old + a · new, for the whole picture."""

    kind: GradualKind = "dissolve"
    most_unexplained = _UNEXPLAINED

    @staticmethod
    def shares(old: Cells, new: Cells, frames: Cells) -> tuple[FloatRow, FloatRow, FloatRow]:
        """(n,) each: share of the change, what it leaves unexplained, size of the change."""
        change, moved = new - old, frames - old
        length = np.einsum("thwc,thwc->t", change, change) + _TINY
        share = np.einsum("thwc,thwc->t", moved, np.broadcast_to(change, moved.shape)) / length
        rest = np.einsum("thwc,thwc->t", moved, moved) / length - share**2
        return share, np.sqrt(np.maximum(rest, 0)), np.sqrt(length / np.prod(change.shape[1:]))

    @staticmethod
    def is_certain(film: _Film, old: int, new: int) -> bool:
        """A closer look at a whole transition."""
        ends = film.cells[[old]], film.cells[[new]]
        share, rest, (size, *_) = _Dissolve.shares(*ends, film.cells[old + 1 : new])
        unexplained = rest.mean() + _LIKENESS_WEIGHT * film.likeness(old, new)
        return bool(
            unexplained <= _MOST_UNEXPLAINED
            and size >= _LEAST_CHANGE
            and _evenness(share) >= _EVENNESS
        )


class _Wipe:
    """Each place shows the old or the new picture, and none goes back to the old one."""

    kind: GradualKind = "wipe"
    most_unexplained = _NEITHER

    @staticmethod
    def shares(old: Cells, new: Cells, frames: Cells) -> tuple[FloatRow, FloatRow, FloatRow]:
        """(n,) each: share of the change, what shows neither picture, size of the change."""
        change = _differences(new, old)
        from_old, from_new = _differences(frames, old), _differences(frames, new)
        whole = change.sum(axis=(1, 2)) + _TINY
        share = (change * (from_new < from_old)).sum(axis=(1, 2)) / whole
        neither = np.minimum(from_old, from_new).sum(axis=(1, 2)) / whole
        return share, neither, change.mean(axis=(1, 2))

    @staticmethod
    def is_certain(film: _Film, old: int, new: int) -> bool:
        """A closer look at a whole transition."""
        ends, between = (film.cells[[old]], film.cells[[new]]), film.cells[old + 1 : new]
        share, neither, _ = _Wipe.shares(*ends, between)
        is_new = _differences(between, ends[1]) < _differences(between, ends[0])
        change = _differences(ends[1], ends[0])
        gone = (change * (is_new[:-1] & ~is_new[1:])).sum(axis=(1, 2)) / (change.sum() + _TINY)
        unexplained = neither.mean() + _NEITHER_LIKENESS_WEIGHT * film.likeness(old, new)
        return bool(
            unexplained <= _MOST_NEITHER
            and _evenness(share) >= _WIPE_EVENNESS
            and gone.mean() <= _GOING_BACK
        )


def _candidates(
    film: _Film, way: type[_Dissolve] | type[_Wipe]
) -> Iterator[tuple[float, int, int]]:
    """How doubtful, middle, and reach of what may be a transition, by a coarse look."""
    for reach in _REACHES:
        starts = np.arange(max(len(film.coarse) - 2 * reach, 0))
        for cells, lenience in ((film.fewest, _LENIENCE), (film.coarse, 1.0)):
            old, new = cells[starts], cells[starts + 2 * reach]
            share, rest, size = way.shares(old, new, cells[starts + reach])
            likely = (share > _MIDDLE[0] / lenience) & (share < 1 - (1 - _MIDDLE[1]) / lenience)
            likely &= (rest < way.most_unexplained * lenience) & (size > _LEAST_CHANGE / lenience)
            starts, rest = starts[likely], rest[likely]
        doubts = rest + _LIKENESS_WEIGHT * film.likenesses(starts, starts + 2 * reach)
        for start, doubt in zip(starts.tolist(), doubts.tolist(), strict=True):
            if doubt <= _MOST_DOUBT and start + 2 * reach <= film.between_cuts(start)[1]:
                yield doubt, start + reach, reach


def _extent(
    film: _Film, way: type[_Dissolve] | type[_Wipe], middle: int, reach: int
) -> tuple[int, int]:
    """Last old and first new frame around a middle: from where on, and until when, it changes."""
    first, last = film.between_cuts(middle)
    first, last = max(first, middle - 2 * reach - 2), min(last, middle + 2 * reach + 2)
    ends = film.coarse[[max(middle - reach, first)]], film.coarse[[min(middle + reach, last)]]
    share, _, _ = way.shares(*ends, film.coarse[first : last + 1])
    steps = np.abs(np.diff(share))
    centre = middle - first
    typical = np.median(steps[max(centre - 3, 0) : centre + 3])
    changes = steps > _STEP_SHARE * typical
    start, end = centre, centre
    while start > 0 and changes[max(start - 2, 0) : start].any():
        start -= 1
    while end < len(steps) and changes[end : end + 2].any():
        end += 1
    return first + start, first + end


def _fades(film: _Film) -> Iterator[tuple[int, int]]:
    """From the last frame of full contrast, through a flat picture, to the first one again."""
    contrast = film.contrast
    flat = contrast < _FLAT
    edges = np.flatnonzero(np.diff(np.concatenate([[False], flat, [False]]).astype(np.int8)))
    for start, end in edges.reshape(-1, 2).tolist():
        old, new = start, end - 1
        while (
            old > 0 and contrast[old - 1] > contrast[old] * _GROWS and start - old < _LONGEST_FADE
        ):
            old -= 1
        while (
            new + 1 < len(contrast)
            and contrast[new + 1] > contrast[new] * _GROWS
            and new - end < _LONGEST_FADE
        ):
            new += 1
        gradual = start - old > 2 or new - end > 1
        inside = start > 0 and end < len(contrast)
        if inside and gradual and min(contrast[old], contrast[new]) > _TEXTURED:
            yield old, new


def _differences(cells: Cells, others: Cells) -> NDArray[np.float32]:
    """(T, H, W): mean absolute difference over the colours."""
    distances = np.abs(cells - others)
    # A mean over so short an axis takes NumPy several times as long as this.
    total = distances[..., 0]
    for colour in range(1, distances.shape[3]):
        total = total + distances[..., colour]
    means: NDArray[np.float32] = total / np.float32(distances.shape[3])
    return means


def _evenness(shares: FloatRow) -> float:
    """Correlation with time of shares that go from 0 to 1."""
    whole = np.concatenate([[0.0], shares, [1.0]])
    return float(np.corrcoef(whole, np.arange(len(whole)))[0, 1])
