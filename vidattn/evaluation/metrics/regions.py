"""Points, boxes and maps against true boxes; boxes are [x1, y1, x2, y2], continuous.

Pixel (or cell) `j` covers [j, j + 1), so a box around pixels 3 to 5 is [3, 6].
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from vidattn.arrays import FloatArray, finite_array
from vidattn.errors import ArgumentError


def pointing_game(points: ArrayLike, boxes: Sequence[ArrayLike]) -> NDArray[np.bool_]:
    """Whether the point given for each frame lies inside one of that frame's true boxes.

    The score is the mean of the result. No tolerance around the box (the original allows 15
    pixels); edges count as inside.

    Args:
        points: (N, 2) as x, y, such as the peaks of N maps.
        boxes: N arrays, (4,) or (K, 4) with K ≥ 1: a frame without a true box has no answer
            and must be left out by the caller.

    Returns:
        (N,) bool.

    Source: Zhang et al., "Top-down Neural Attention by Excitation Backprop" (ECCV 2016),
    section 4.2.

    >>> pointing_game([[5, 5], [1, 9]], [[0, 0, 8, 8], [0, 0, 8, 8]]).tolist()
    [True, False]
    """
    places = finite_array("points", points, (None, 2))
    if len(boxes) != len(places):
        raise ArgumentError(
            f"boxes: expected one entry for each of {len(places)} points, got {len(boxes)}"
        )
    hits = np.zeros(len(places), dtype=bool)
    for index, entry in enumerate(boxes):
        corners = _boxes(f"boxes[{index}]", entry)
        if len(corners) == 0:
            raise ArgumentError(f"boxes[{index}]: expected at least one box, got none")
        point = places[index]
        hits[index] = ((corners[:, :2] <= point) & (point <= corners[:, 2:])).all(axis=1).any()
    return hits


def box_iou(first: ArrayLike, second: ArrayLike) -> FloatArray:
    """Intersection over union of every box of one list with every box of another.

    Args:
        first: (N, 4), each of positive area.
        second: (M, 4), each of positive area.

    Returns:
        (N, M), in [0, 1].

    >>> box_iou([[0, 0, 2, 2]], [[1, 0, 3, 2], [2, 2, 3, 3]]).round(4).tolist()
    [[0.3333, 0.0]]
    """
    ours, theirs = _boxes("first", first)[:, None], _boxes("second", second)[None]
    sides = np.minimum(ours[..., 2:], theirs[..., 2:]) - np.maximum(ours[..., :2], theirs[..., :2])
    shared = np.maximum(sides, 0).prod(axis=-1)
    areas = [(boxes[..., 2:] - boxes[..., :2]).prod(axis=-1) for boxes in (ours, theirs)]
    return shared / (areas[0] + areas[1] - shared)


def energy_inside(weights: ArrayLike, boxes: ArrayLike) -> float:
    """Share of a map's sum that lies inside the union of boxes; cells are cut exactly.

    Args:
        weights: (H', W'), non-negative, not all zero; spread evenly over each cell.
        boxes: (4,) or (K, 4) in the map's cells; what lies outside the map is ignored.

    Returns:
        In [0, 1].

    Source: Wang et al., "Score-CAM" (CVPR workshops 2020), section 4.3, with cells cut by
    the box instead of counted whole.

    >>> energy_inside([[1, 1], [2, 0]], [0.5, 0, 2, 1])
    0.375
    """
    values = finite_array("weights", weights, (None, None), minimum=0)
    if values.size == 0 or values.max() == 0:
        raise ArgumentError("weights: expected a map with a positive weight")
    values = values / values.max()
    return float(min(_sum_inside(values, _boxes("boxes", boxes)) / values.sum(), 1.0))


def map_iou(weights: ArrayLike, boxes: ArrayLike, *, threshold: float = 0.5) -> float:
    """Intersection over union of the strong cells of a map and the union of boxes.

    Args:
        weights: (H', W'), non-negative, not all zero.
        boxes: (4,) or (K, 4) in the map's cells, cutting cells exactly; what lies outside the
            map is ignored.
        threshold: cells of at least this share of the highest weight are strong; in (0, 1].

    Returns:
        In [0, 1].

    Source: Zhou et al., "Learning Deep Features for Discriminative Localization" (CVPR 2016),
    section 3.2, with the strong cells themselves instead of a box around them.

    >>> map_iou([[1, 1], [0, 0]], [0, 0, 1, 2])
    0.3333333333333333
    """
    values = finite_array("weights", weights, (None, None), minimum=0)
    if values.size == 0 or values.max() == 0:
        raise ArgumentError("weights: expected a map with a positive weight")
    if not 0 < threshold <= 1:
        raise ArgumentError(f"threshold: expected a number in (0, 1], got {threshold}")
    strong = (values >= threshold * values.max()).astype(np.float64)
    corners = _boxes("boxes", boxes)
    shared = _sum_inside(strong, corners)
    covered = strong.sum() + _sum_inside(np.ones(values.shape), corners) - shared
    return float(shared / covered)


def _sum_inside(values: FloatArray, corners: FloatArray) -> float:
    """Sum of a map, spread evenly over each cell, inside the union of boxes."""
    # Cut the map along every edge of a box: each piece is then wholly in or wholly out.
    rows = _cuts(values.shape[0], corners[:, [1, 3]])
    columns = _cuts(values.shape[1], corners[:, [0, 2]])
    middle_rows, middle_columns = (rows[1:] + rows[:-1]) / 2, (columns[1:] + columns[:-1]) / 2
    inside_rows = _between(middle_rows, corners[:, [1, 3]])
    inside_columns = _between(middle_columns, corners[:, [0, 2]])
    inside = (inside_rows[:, :, None] & inside_columns[:, None, :]).any(axis=0)
    density = values[np.ix_(middle_rows.astype(int), middle_columns.astype(int))]
    pieces = density * np.diff(rows)[:, None] * np.diff(columns)
    return float((pieces * inside).sum())


def _boxes(name: str, boxes: ArrayLike) -> FloatArray:
    try:
        array = np.array(boxes, dtype=np.float64, ndmin=2)
    except (TypeError, ValueError) as error:
        raise ArgumentError(f"{name}: expected numbers, got {error}") from None
    corners = finite_array(name, array if array.size else np.zeros((0, 4)), (None, 4))
    if (corners[:, :2] >= corners[:, 2:]).any():
        raise ArgumentError(f"{name}: expected x1 < x2 and y1 < y2, got {corners.tolist()}")
    return corners


def _cuts(length: int, edges: FloatArray) -> FloatArray:
    return np.unique(np.concatenate([np.arange(length + 1.0), edges.ravel().clip(0, length)]))


def _between(places: FloatArray, edges: FloatArray) -> NDArray[np.bool_]:
    return (places > edges[:, :1]) & (places < edges[:, 1:])
