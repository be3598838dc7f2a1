"""Pictures as coarse grids of cells."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

# Sums of fewer bytes fit into 16 bits.
_SUMMED_AS_BYTES = 257

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


def cell_colours(pictures: NDArray[np.uint8], grid: tuple[int, int], colours: Floats) -> Floats:
    """The means of cells in another colour space, as two products of matrices a picture.

    Each picture is a product of its own, so that what comes out does not depend on its neighbours.

    Args:
        pictures: (T, H, W, C).
        grid: (H', W') cells, as in `cell_means`.
        colours: (C, C') what the C values of a pixel are multiplied by.

    Returns:
        (T, H', W', C').
    """
    count, height, width, _ = pictures.shape
    rows = pictures.reshape(count, height, -1)
    if height % grid[0] == 0 and height < _SUMMED_AS_BYTES * grid[0]:
        sums = rows[:, :: height // grid[0]].astype(np.uint16)
        for offset in range(1, height // grid[0]):
            sums += rows[:, offset :: height // grid[0]]
        values = sums.astype(np.float32)
        values *= np.float32(grid[0] / height)
    else:
        values = _shares(height, grid[0]) @ rows.astype(np.float32)
    values = values @ _projection(width, grid[1], colours.shape, colours.tobytes())
    return values.reshape(count, *grid, colours.shape[1])


@lru_cache(maxsize=8)
def _projection(length: int, cells: int, shape: tuple[int, int], colours: bytes) -> Floats:
    """(length C, cells C'): means of columns in another colour space."""
    products: Floats = np.kron(
        _shares(length, cells).T, np.frombuffer(colours, np.float32).reshape(shape)
    )
    return products


def _shares(length: int, cells: int) -> Floats:
    """(cells, length): how much each pixel counts in the mean of each cell."""
    shares = np.zeros((cells, length), np.float32)
    if cells >= length:
        shares[np.arange(cells), _starts(length, cells)] = 1
        return shares
    sizes = _sizes(length, cells)
    owners = np.repeat(np.arange(cells), sizes.astype(int))
    shares[owners, np.arange(length)] = 1 / sizes[owners]
    return shares


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
