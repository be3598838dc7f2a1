"""Pictures as coarse grids of cells."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def cell_means(pictures: NDArray[np.generic], grid: tuple[int, int]) -> NDArray[np.float32]:
    """Mean of each of equal cells, their borders rounded to whole pixels.

    Where a side has fewer pixels than cells, cells repeat pixels.

    Args:
        pictures: (T, H, W) or (T, H, W, C), any numbers.
        grid: (H', W') cells.

    Returns:
        (T, H', W') or (T, H', W', C) float32.
    """
    values = pictures
    for axis, cells in zip((2, 1), reversed(grid), strict=True):
        length = values.shape[axis]
        if cells == length:
            continue
        starts = np.arange(cells) * length // cells
        if cells > length:
            values = values.take(starts, axis=axis)
            continue
        sizes = np.diff(starts, append=length).astype(np.float32)
        shape = [1] * values.ndim
        shape[axis] = cells
        # Sums of bytes along one side fit into 32 bits, and are added up faster than floats.
        kind = np.uint32 if values.dtype == np.uint8 else np.float32
        sums = np.add.reduceat(values, starts, axis=axis, dtype=kind)
        values = sums.astype(np.float32) / sizes.reshape(shape)
    return values.astype(np.float32)
