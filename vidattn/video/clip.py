from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from vidattn.errors import ArgumentError
from vidattn.video.timed_pixels import TimedPixels, given_as_tensors

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class Geometry:
    """Where the pixels of a clip lie in its source video: resize, crop and flip, composed.

    Every chain of these is one window of the source, scaled to the clip and perhaps mirrored,
    so that is all that is kept. Coordinates are continuous: pixel `j` covers [j, j + 1).

    Attributes:
        source_size: (height, width) of the video as shown.
        window: (x1, y1, x2, y2) in source pixels, what the clip shows of it.
        size: (height, width) of the clip.
        flipped: mirrored left to right.
    """

    source_size: tuple[int, int]
    window: tuple[float, float, float, float]
    size: tuple[int, int]
    flipped: bool = False

    @classmethod
    def whole(cls, source_size: tuple[int, int], size: tuple[int, int] | None = None) -> Geometry:
        """The whole source, resized to `size` (by default not at all)."""
        height, width = source_size
        return cls(source_size, (0.0, 0.0, float(width), float(height)), size or source_size)

    def resized(self, size: tuple[int, int]) -> Geometry:
        """The same window at another (height, width)."""
        return replace(self, size=size)

    def cropped(self, top: int, left: int, height: int, width: int) -> Geometry:
        """A crop of the clip, in the clip's pixels; it must lie inside."""
        inside = top >= 0 and left >= 0 and height > 0 and width > 0
        if not inside or top + height > self.size[0] or left + width > self.size[1]:
            raise ArgumentError(
                f"crop: expected a box inside {self.size} (height, width), "
                f"got top {top}, left {left}, height {height}, width {width}"
            )
        box = np.array([[left, top, left + width, top + height]], dtype=np.float64)
        x1, y1, x2, y2 = self.to_source(box)[0].tolist()
        return replace(self, window=(x1, y1, x2, y2), size=(height, width))

    def flipped_horizontally(self) -> Geometry:
        """The clip mirrored left to right."""
        return replace(self, flipped=not self.flipped)

    def to_source(self, boxes: np.ndarray) -> np.ndarray:
        """Boxes (…, 4) as x1, y1, x2, y2 in clip pixels -> the same in source pixels."""
        boxes = np.asarray(boxes, dtype=np.float64)
        x1, y1, x2, y2 = self.window
        height, width = self.size
        if self.flipped:
            boxes = np.stack(
                [width - boxes[..., 2], boxes[..., 1], width - boxes[..., 0], boxes[..., 3]], -1
            )
        scale = np.array([(x2 - x1) / width, (y2 - y1) / height] * 2)
        return boxes * scale + np.array([x1, y1, x1, y1])

    def to_clip(self, boxes: np.ndarray) -> np.ndarray:
        """Boxes (…, 4) as x1, y1, x2, y2 in source pixels -> the same in clip pixels."""
        x1, y1, x2, y2 = self.window
        height, width = self.size
        scale = np.array([width / (x2 - x1), height / (y2 - y1)] * 2)
        boxes = (np.asarray(boxes, dtype=np.float64) - np.array([x1, y1, x1, y1])) * scale
        if self.flipped:
            boxes = np.stack(
                [width - boxes[..., 2], boxes[..., 1], width - boxes[..., 0], boxes[..., 3]], -1
            )
        return boxes


@given_as_tensors
@dataclass(frozen=True, eq=False, repr=False)
class Clip(TimedPixels):
    """Frames made ready for a network, and all that maps a weight back to seconds and pixels.

    Held as NumPy arrays and given as tensors, as `Frames` are.

    Attributes:
        pixels: uint8 RGB, shape (T, 3, H, W), stored T·H·W·3.
        seconds: float64 (T,), times on the source's clock.
        indices: int64 (T,), frame positions in the source; repeated where padded.
        valid: bool (T,), False where a frame is padding.
        geometry: where the pixels lie in the source.
        video_id: names the video in annotations and results.
        view: number of this clip among the clips of its video.
    """

    pixels: Tensor
    seconds: Tensor
    indices: Tensor
    valid: Tensor
    geometry: Geometry
    video_id: str
    view: int = 0

    def __post_init__(self) -> None:
        self._check_arrays()
        if self.size != tuple(self.geometry.size):
            raise ArgumentError(
                f"geometry: size {self.geometry.size} is not that of the pixels, {self.size}"
            )

    def _described(self) -> str:
        return f"{self.video_id!r}, view {self.view}, {super()._described()}"
