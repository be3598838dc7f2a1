"""Pictures as coarse grids of cells."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]


def cell_means(pictures: NDArray[np.generic], grid: tuple[int, int]) -> Floats:
    """Mean of each of equal cells, their borders rounded to whole pixels.

    Where a side has fewer pixels than cells, cells repeat pixels.

    Args:
        pictures: (T, H, W) or (T, H, W, C), any numbers.
        grid: (H', W') cells.

    Returns:
        (T, H', W') or (T, H', W', C) float32.
    """
    count, height, width = pictures.shape[:3]
    rows, columns = grid
    values = _row_sums(pictures.astype(np.float32).reshape(count, height, -1), rows)
    values = _column_sums(values.reshape(count, rows, width, -1), columns)
    row_sizes, column_sizes = _sizes(height, rows), _sizes(width, columns)
    values /= (row_sizes[:, None] * column_sizes)[..., None]
    return values.reshape(count, rows, columns, *pictures.shape[3:])


def _row_sums(values: Floats, cells: int) -> Floats:
    """(T, H, X) -> (T, cells, X), as a product of matrices: NumPy's own sums take far longer.

    Sums of bytes are exact, so that what comes out does not depend on their order.
    """
    height = values.shape[1]
    if cells >= height:
        return values[:, _starts(height, cells)]
    shares = np.zeros((cells, height), np.float32)
    shares[np.repeat(np.arange(cells), _sizes(height, cells).astype(int)), np.arange(height)] = 1
    return shares @ values


def _column_sums(values: Floats, cells: int) -> Floats:
    """(T, Y, W, C) -> (T, Y, cells, C)."""
    width = values.shape[2]
    starts, sizes = _starts(width, cells), _sizes(width, cells)
    sums = values[:, :, starts]
    for offset in range(1, int(sizes.max())):
        longer = np.flatnonzero(sizes > offset)
        added = values[:, :, starts[longer] + offset]
        if len(longer) == cells:
            sums += added
        else:
            sums[:, :, longer] += added
    return sums


def _starts(length: int, cells: int) -> NDArray[np.int64]:
    return np.arange(cells) * length // cells


def _sizes(length: int, cells: int) -> Floats:
    """Pixels of each cell; 1 where cells repeat pixels."""
    if cells >= length:
        return np.ones(cells, np.float32)
    return np.diff(_starts(length, cells), append=length).astype(np.float32)
