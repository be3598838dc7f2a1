from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from vidattn.errors import ArgumentError
from vidattn.naming import Renamed
from vidattn.video.timed_pixels import TimedPixels, given_as_tensors

if TYPE_CHECKING:
    from torch import Tensor


@given_as_tensors
@dataclass(frozen=True, eq=False, repr=False)
class Frames(TimedPixels):
    """Decoded frames and where they come from; pixels and times travel together.

    Frames are held as NumPy arrays. `pixels`, `seconds`, `indices` and `valid` are torch tensors
    over the same memory, made when they are asked for: torch is imported then. Without torch, use
    `array`, `seconds_array`, `indices_array` and `valid_array`.

    `frames[2]` and `frames[2:8]` are `Frames` too, and so are the single frames of an iteration. A
    notebook shows some of them as pictures.

    Attributes:
        pixels: uint8 RGB, shape (T, 3, H, W), stored T·H·W·3: decoders write that order, and
            stacking or resizing it is twice as fast.
        seconds: float64, shape (T,): presentation time of each frame, on the file's own clock
            (the first frame of a file need not be at 0).
        indices: int64, shape (T,): 0-based position of each frame in presentation order.
        source_size: (height, width) of the video as shown, before any resize, after rotation.
        timestamps_made_up: True where the file has no timestamps and `indices / fps` stands in.
        valid: bool, shape (T,): whether the frame is what was encoded; False where damage was
            salvaged. All True if not given.

    Raises:
        ArgumentError: a shape or dtype is not the one above.
    """

    pixels: Tensor
    seconds: Tensor
    indices: Tensor
    source_size: tuple[int, int]
    timestamps_made_up: bool = False
    valid: Tensor = field(default=None)  # type: ignore[assignment]
    if not TYPE_CHECKING:
        from_rows = Renamed("from_array")

    def __post_init__(self) -> None:
        if self.valid_array is None:
            object.__setattr__(self, "valid", np.ones(len(self.array), np.bool_))
        self._check_arrays()

    def counted_from(self, first: int) -> Frames:
        """The same frames, their indices counted from frame `first` of the video; views."""
        return self._with(indices=self.indices_array - first)

    @classmethod
    def from_array(
        cls,
        array: np.ndarray | Tensor,
        *,
        seconds: np.ndarray | Tensor,
        indices: np.ndarray | Tensor,
        source_size: tuple[int, int],
        timestamps_made_up: bool = False,
        valid: np.ndarray | Tensor | None = None,
    ) -> Frames:
        """Frames from what a decoder wrote: uint8, shape (T, H, W, 3); nothing is copied."""
        if array.ndim != 4:
            raise ArgumentError(
                f"array: expected uint8 of shape (T, H, W, 3), "
                f"got {array.dtype} of shape {tuple(array.shape)}"
            )
        pixels: Any = (
            array.transpose(0, 3, 1, 2)
            if isinstance(array, np.ndarray)
            else array.permute(0, 3, 1, 2)
        )
        return cls(
            pixels,
            cast("Tensor", seconds),
            cast("Tensor", indices),
            source_size,
            timestamps_made_up,
            cast("Tensor", valid),
        )
