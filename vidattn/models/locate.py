from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from vidattn.backbones import Stage
from vidattn.selection import cells_to_pixels
from vidattn.video import Geometry

FloatArray = NDArray[np.float64]


@dataclass(frozen=True)
class Locator:
    """Where the cells of a stage lie in the clip, and through it in the source video.

    "Where" is the centre of a cell's receptive field, give or take half a stride: the field
    itself is often larger than the clip.

    Attributes:
        stage: whose cells are meant.
        frame_count: T of the clip.
        size: (height, width) of the clip.
    """

    stage: Stage
    frame_count: int
    size: tuple[int, int]

    def frame_positions(self, steps: int) -> FloatArray:
        """Clip frame (fractional, 0-based) at the centre of each of T' steps; float64 (T',)."""
        stride, offset = self.stage.stride[0], self.stage.offset[0]
        return offset + stride * np.arange(steps, dtype=np.float64)

    def on_clip(self, values: ArrayLike, steps: int) -> FloatArray:
        """What holds at each frame of the clip -> what holds at each step's centre.

        Args:
            values: (T,), such as the frames' seconds, or their positions in the source.

        Returns:
            float64 (T',), linear between frames, held at the ends.
        """
        known = np.asarray(values, dtype=np.float64)
        return np.interp(self.frame_positions(steps), np.arange(len(known)), known)

    def cell_centres(self, rows: int, columns: int) -> tuple[FloatArray, FloatArray]:
        """Centres of the cells in clip pixels, (y of each row, x of each column).

        Coordinates are continuous (pixel `j` covers [j, j + 1)), so half a pixel is added to
        the stage's offsets, which count from pixel centres.
        """
        (_, stride_y, stride_x), (_, offset_y, offset_x) = self.stage.stride, self.stage.offset
        return (
            offset_y + 0.5 + stride_y * np.arange(rows, dtype=np.float64),
            offset_x + 0.5 + stride_x * np.arange(columns, dtype=np.float64),
        )

    def extent(self, rows: int, columns: int, geometry: Geometry) -> FloatArray:
        """What a map of so many cells covers, in source pixels: x1, y1, x2, y2; float64 (4,).

        Cells at the edges count whole, so this may reach past the clip.
        """
        _, stride_y, stride_x = self.stage.stride
        y, x = self.cell_centres(rows, columns)
        corners = [x[0] - stride_x / 2, y[0] - stride_y / 2]
        corners += [x[-1] + stride_x / 2, y[-1] + stride_y / 2]
        return geometry.to_source(np.array(corners))

    def to_source(self, places: ArrayLike, geometry: Geometry) -> FloatArray:
        """Boxes (…, 4) as x1, y1, x2, y2, or points (…, 2), in cells -> in source pixels.

        Cell `i` covers [i, i + 1): its centre ± half a stride. What reaches past the clip is
        cut to it.
        """
        _, stride_y, stride_x = self.stage.stride
        _, offset_y, offset_x = self.stage.offset
        pixels = cells_to_pixels(
            places, stride=(stride_y, stride_x), offset=(offset_y, offset_x), size=self.size
        )
        if pixels.shape[-1] == 2:
            return geometry.to_source(np.concatenate([pixels, pixels], axis=-1))[..., :2]
        return geometry.to_source(pixels)
