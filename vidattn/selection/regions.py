"""Weight maps -> boxes and points, in cell coordinates: cell `j` covers [j, j + 1)."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from vidattn.arrays import FloatArray, at_least, finite_array
from vidattn.errors import ArgumentError


def peak_location(weights: ArrayLike) -> tuple[float, float]:
    """Where a map is highest, as (x, y) in cell coordinates, finer than a cell.

    The highest cell; among equals the one nearest to their common centre, so that a flat map
    answers with its middle, not with a corner. Along each axis with a neighbour on both sides,
    the vertex of the parabola through the three values moves the point by up to half a cell.

    Args:
        weights: (H', W'), non-negative.

    >>> peak_location([[0, 0, 0], [0, 1, 1], [0, 0, 0]])
    (2.0, 1.5)
    """
    values = _map(weights)
    row, column = _peak_cell(values)
    return (
        column + 0.5 + _vertex(values[row], column),
        row + 0.5 + _vertex(values[:, column], row),
    )


def threshold_regions(weights: ArrayLike, *, fraction: float = 0.5, count: int = 1) -> FloatArray:
    """Tight boxes around the connected cells of at least `fraction` of the map's maximum.

    The first box holds the highest cell, the next the highest of the cells left, and so on;
    cells that touch at a corner are connected.

    Args:
        weights: (H', W'), non-negative.
        fraction: in (0, 1].
        count: most boxes returned.

    Returns:
        (R, 4) float64 [x1, y1, x2, y2] in cell coordinates, R ≤ `count`, highest peak first.
        A map that is zero everywhere points nowhere: R = 0.

    Source: Zhou et al., "Learning Deep Features for Discriminative Localization" (CVPR 2016),
    section 3.2, with the component of the peak in place of the largest one.

    >>> threshold_regions([[0, 0, 0], [0, 4, 3], [1, 0, 0]]).tolist()
    [[1.0, 1.0, 3.0, 2.0]]
    """
    values = _map(weights)
    if not 0 < fraction <= 1:
        raise ArgumentError(f"fraction: expected a number in (0, 1], got {fraction}")
    at_least("count", count, 1)
    left = (values >= fraction * values.max()) & (values > 0)
    boxes: list[list[int]] = []
    while left.any() and len(boxes) < count:
        component = _grow(left, _peak_cell(np.where(left, values, 0)))
        rows, columns = np.nonzero(component)
        boxes.append([columns.min(), rows.min(), columns.max() + 1, rows.max() + 1])
        left &= ~component
    return np.array(boxes, dtype=np.float64).reshape(-1, 4)


def energy_box(weights: ArrayLike, *, fraction: float = 0.5) -> FloatArray:
    """The box of fewest cells that holds at least `fraction` of a map's sum.

    Among boxes of equal area, the one holding most. Exact: every pair of rows is tried, the
    columns by a search in their running sums; H'² · W' · log W' steps.

    Args:
        weights: (H', W'), non-negative.
        fraction: in (0, 1].

    Returns:
        (1, 4) float64 [x1, y1, x2, y2] in cell coordinates; (0, 4) for a map of zeros.

    >>> energy_box([[0, 0, 0], [0, 4, 3], [1, 0, 0]], fraction=0.8).tolist()
    [[1.0, 1.0, 3.0, 2.0]]
    """
    values = _map(weights)
    if not 0 < fraction <= 1:
        raise ArgumentError(f"fraction: expected a number in (0, 1], got {fraction}")
    if values.max() == 0:
        return np.zeros((0, 4))
    values = values / values.max()
    # A hair less than asked, or rounding in the sums could leave no box for a fraction of 1.
    needed = values.sum() * fraction * (1 - 1e-9)
    height, width = values.shape
    best: tuple[float, float, list[int]] = (np.inf, 0.0, [])
    for top in range(height):
        sums = np.zeros(width)
        for bottom in range(top + 1, height + 1):
            sums = sums + values[bottom - 1]
            running = np.concatenate([[0.0], np.cumsum(sums)])
            right = np.searchsorted(running, running[:-1] + needed)
            left = np.flatnonzero(right <= width)
            if len(left) == 0:
                continue
            area = (right[left] - left) * (bottom - top)
            inside = running[right[left]] - running[left]
            pick = np.lexsort((-inside, area))[0]
            found = (area[pick], -inside[pick])
            if found < best[:2]:
                best = (*found, [left[pick], top, right[left[pick]], bottom])
    return np.array([best[2]], dtype=np.float64)


def cells_to_pixels(
    boxes: ArrayLike,
    *,
    stride: tuple[float, float],
    offset: tuple[float, float],
    size: tuple[int, int],
) -> FloatArray:
    """Boxes or points in cell coordinates -> the same in pixels, cut to the picture.

    A cell reaches half a stride to each side of its centre. Cell `i` along an axis is centred
    on pixel `offset + stride · i`, pixel centres being counted 0, 1, 2, …; in the result pixel
    `j` covers [j, j + 1).

    Args:
        boxes: (…, 4) as x1, y1, x2, y2, or (…, 2) as x, y.
        stride, offset: along (H, W).
        size: (height, width) of the picture.

    >>> cells_to_pixels([[0, 0, 1, 1]], stride=(8, 8), offset=(3.5, 3.5), size=(32, 32)).tolist()
    [[0.0, 0.0, 8.0, 8.0]]
    """
    places = np.asarray(boxes, dtype=np.float64)
    if places.ndim == 0 or places.shape[-1] not in (2, 4):
        raise ArgumentError(f"boxes: expected shape (…, 4) or (…, 2), got {places.shape}")
    repeats = places.shape[-1] // 2
    steps = np.tile(np.asarray(stride, dtype=np.float64)[::-1], repeats)
    first = np.tile(np.asarray(offset, dtype=np.float64)[::-1], repeats)
    limits = np.tile(np.asarray(size, dtype=np.float64)[::-1], repeats)
    return np.clip(first + 0.5 + steps * (places - 0.5), 0, limits)


def _map(weights: ArrayLike) -> FloatArray:
    values = finite_array("weights", weights, (None, None), minimum=0)
    if values.size == 0:
        raise ArgumentError(f"weights: expected at least one cell, got shape {values.shape}")
    return values


def _peak_cell(values: FloatArray) -> tuple[int, int]:
    cells = np.argwhere(values == values.max())
    distances = ((cells - cells.mean(axis=0)) ** 2).sum(axis=1)
    row, column = cells[np.argmin(distances)]
    return int(row), int(column)


def _vertex(line: FloatArray, place: int) -> float:
    """Offset of the vertex of the parabola through three neighbouring values, within ±0.5."""
    if not 0 < place < len(line) - 1:
        return 0.0
    before, here, after = (line[place - 1 : place + 2] / line[place]) if line[place] else (0, 0, 0)
    curvature = before - 2 * here + after
    return float(0.5 * (before - after) / curvature) if curvature < 0 else 0.0


def _grow(allowed: NDArray[np.bool_], seed: tuple[int, int]) -> NDArray[np.bool_]:
    """The 8-connected cells of `allowed` that reach `seed`."""
    component = np.zeros_like(allowed)
    component[seed] = True
    size = 0
    while size != (size := int(component.sum())):
        padded = np.pad(component, 1)
        wide = padded[:, :-2] | padded[:, 1:-1] | padded[:, 2:]
        component = (wide[:-2] | wide[1:-1] | wide[2:]) & allowed
    return component
