"""Which frames may become key frames, and what is wrong with the others."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vidattn.arrays import FloatArray, IntArray
from vidattn.selection.descriptions import Measures
from vidattn.selection.shots import shot_bounds
from vidattn.selection.sketch import Sketch
from vidattn.selection.transitions import Transition

# Flaws, the lesser one first. Of frames with a larger flaw one is taken only where none of a lesser
# flaw is left.
NONE, NEAR_CUT, BLURRED, DIMMED, BETWEEN_SHOTS, BLANK = range(6)
FLAWS = ("", "near a cut", "blurred", "darker than its shot", "between two shots", "blank")

# Grey levels. A frame of less contrast is blank; a nearly black or white one is with a little more.
_BLANK_CONTRAST, _EXTREME_CONTRAST = 3.0, 8.0
_NEARLY_BLACK, _NEARLY_WHITE = 12.0, 243.0
# A frame is written on where a band of rows has so many times the squared Laplacian of the whole
# picture, and so much at least: then it is not blank.
_WRITTEN_RATIO, _WRITTEN_DETAIL = 6.0, 400.0
# Share of a film of which flat frames are no flaw, unless they are nearly black or white.
_MOSTLY_FLAT = 0.5
# A blurred frame has less than this share of the sharpness of its shot's sharper frames, or of that
# of the film's ordinary ones; and so has each of its details, or else it only has fewer of them.
_BLUR_IN_SHOT, _BLUR_IN_FILM = 0.3, 0.03
# Both brightness and contrast of a frame that fades in or out are below this share of its shot's.
_DIM = 0.6
# Fewer frames between two gradual transitions are part of these.
_LEAST_SHOT = 4
# Where a gradual transition ends is not sure to the frame.
_UNSURE = 2
# Candidates for each frame wanted, and the fewest in all. More than the most are taken only where
# there are more shots, since each shot has one: memory grows with the square of their number.
_CANDIDATES_A_FRAME, _FEWEST_CANDIDATES, _MOST_CANDIDATES = 2, 1024, 2048
_FEWEST_BESIDE_SHOTS = 256
# A margin leaves at least this share of a shot, in its middle.
_MARGIN_SHARE = 0.45


@dataclass(frozen=True, eq=False)
class Candidates:
    """Some frames of a video that stand for all.

    Attributes:
        indices: (C,) frames, increasing.
        rows: (C,) the description of each in the sketch.
        shots: (C,) number of the shot, from 0; -1 between two shots.
        flaws: (C,) places in `FLAWS`.
        shown: (C,) how long what each stands for is shown; 1 on average.
        sharpness: (C,), see `Measures`.
        shot_count: of the video.
        all_shots, all_flaws: (T,) the same of every frame.
    """

    indices: IntArray
    rows: IntArray
    shots: IntArray
    flaws: NDArray[np.int8]
    shown: NDArray[np.float32]
    sharpness: NDArray[np.float32]
    shot_count: int
    all_shots: IntArray
    all_flaws: NDArray[np.int8]


def candidate_limit(count: int, shot_count: int) -> int:
    """How many candidates there are beside one for each shot, where so many frames are wanted."""
    wanted = max(_FEWEST_CANDIDATES, min(_CANDIDATES_A_FRAME * count, _MOST_CANDIDATES), count)
    return max(_FEWEST_BESIDE_SHOTS, min(wanted, max(_MOST_CANDIDATES, count) - shot_count))


def find_candidates(
    sketch: Sketch,
    measures: Measures,
    transitions: Iterable[Transition],
    positions: FloatArray,
    *,
    margin: float = 0.0,
    limit: int = 1024,
) -> Candidates:
    """The best frame of each short stretch of each shot.

    Args:
        sketch: of the video.
        measures: of its T frames.
        transitions: in order.
        positions: (T,), where each frame lies.
        margin: frames so close to a cut are flawed, in the units of `positions`.
        limit: about how many candidates are wanted, beside one for each shot.
    """
    bounds = shot_bounds([[a, b] for a, b, _ in transitions], sketch.frame_count)
    shots = _shot_numbers(bounds, sketch.frame_count)
    flaws = find_flaws(measures, bounds, positions, margin=margin)
    frames = np.arange(sketch.frame_count)
    entries = np.minimum(frames // sketch.step, len(sketch.indices) - 1)
    elsewhere = shots[sketch.indices[entries]] != shots
    good = flaws == flaws.min()
    # Frames with flaws take no candidates from the others.
    stretches = np.cumsum(good) // max(1, -(-int(good.sum()) // limit))
    order = np.lexsort((-measures.sharpness, elsewhere, flaws, shots, stretches))
    keys = stretches[order] * (len(bounds) + 1) + shots[order] + 1
    first = np.flatnonzero(np.diff(keys, prepend=-1))
    ends = np.append(positions[1:], 2 * positions[-1] - positions[-2] if len(positions) > 1 else 1)
    shown = np.add.reduceat((ends - positions)[order], first)
    chosen = order[first]
    in_time = np.argsort(chosen)
    mean = float(shown.mean()) or 1.0
    return Candidates(
        indices=chosen[in_time],
        rows=entries[chosen][in_time],
        shots=shots[chosen][in_time],
        flaws=flaws[chosen][in_time],
        shown=(shown / mean)[in_time].astype(np.float32),
        sharpness=measures.sharpness[chosen][in_time],
        shot_count=len(bounds),
        all_shots=shots,
        all_flaws=flaws,
    )


def find_flaws(
    measures: Measures, bounds: IntArray, positions: FloatArray, *, margin: float = 0.0
) -> NDArray[np.int8]:
    """(T,) places in `FLAWS`: what is worst about each frame.

    Args:
        bounds: (V, 2) first frame of each shot, and the frame behind its last.
        positions, margin: see `find_candidates`.
    """
    flaws = np.full(len(measures.contrast), BETWEEN_SHOTS, np.int8)
    blank, dim = _blank(measures), np.zeros(len(flaws), np.bool_)
    for number, (start, end) in enumerate(bounds.tolist()):
        own = slice(start, end)
        gradual = _is_gradual(bounds, number - 1) or _is_gradual(bounds, number)
        if end - start < _LEAST_SHOT and gradual:
            continue
        flaws[own] = NONE
        flaws[own][_near_ends(bounds, number, positions[own], margin)] = NEAR_CUT
        seen = ~blank[own]
        if not seen.any():
            continue
        flaws[own][_blurred(measures, own, ~blank)] = BLURRED
        light, contrast = measures.brightness[own], measures.contrast[own]
        dim[own] = (light < _DIM * np.quantile(light[seen], 0.75)) & (
            contrast < _DIM * np.quantile(contrast[seen], 0.75)
        )
    flaws[_beside(dim, blank) & (flaws != BETWEEN_SHOTS)] = DIMMED
    flaws[blank] = BLANK
    return flaws


def _blurred(measures: Measures, own: slice, seen: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Which frames of a shot are."""
    found = np.ones(own.stop - own.start, np.bool_)
    for values in (measures.sharpness, measures.detail):
        usual = float(np.quantile(values[own][seen[own]], 0.8))
        least = max(_BLUR_IN_SHOT * usual, _BLUR_IN_FILM * float(np.median(values[seen])))
        found &= values[own] < least
    return found


def _blank(measures: Measures) -> NDArray[np.bool_]:
    """Flat frames. Where most of a film is flat, like slides, only black and white ones are."""
    extreme = (measures.brightness < _NEARLY_BLACK) | (measures.brightness > _NEARLY_WHITE)
    dark_or_white: NDArray[np.bool_] = extreme & (measures.contrast < _EXTREME_CONTRAST)
    flat = measures.contrast < _BLANK_CONTRAST
    written = measures.detail > np.maximum(_WRITTEN_RATIO * measures.sharpness, _WRITTEN_DETAIL)
    blank: NDArray[np.bool_] = dark_or_white | flat
    return (dark_or_white if flat.mean() > _MOSTLY_FLAT else blank) & ~written


def _near_ends(
    bounds: IntArray, number: int, places: FloatArray, margin: float
) -> NDArray[np.bool_]:
    """Frames of a shot that are near its ends, but for those of the film."""
    near = np.zeros(len(places), np.bool_)
    reach = min(margin, _MARGIN_SHARE * float(places[-1] - places[0]))
    unsure = _UNSURE if len(places) > 4 * _UNSURE else 0
    if number > 0:
        near |= places - places[0] < reach
        near[: unsure * _is_gradual(bounds, number - 1)] = True
    if number + 1 < len(bounds):
        near |= places[-1] - places < reach
        near[len(near) - unsure * _is_gradual(bounds, number) :] = True
    return near


def _is_gradual(bounds: IntArray, number: int) -> bool:
    """Whether frames lie between a shot and the next one, if there is one."""
    known = 0 <= number < len(bounds) - 1
    return bool(known and bounds[number + 1, 0] > bounds[number, 1])


def _beside(dim: NDArray[np.bool_], blank: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Dim frames with nothing but dim ones between them and a blank one: what fades in or out."""
    runs = np.cumsum(np.diff(dim | blank, prepend=False))
    fades = np.isin(runs, np.unique(runs[blank]))
    faded: NDArray[np.bool_] = dim & ~blank & fades
    return faded


def _shot_numbers(bounds: IntArray, frame_count: int) -> IntArray:
    numbers = np.full(frame_count, -1, np.int64)
    for number, (start, end) in enumerate(bounds.tolist()):
        numbers[start:end] = number
    return numbers
