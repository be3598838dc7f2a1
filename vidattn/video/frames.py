from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from vidattn.errors import ArgumentError
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

    `frames[2]` and `frames[2:8]` are `Frames` too, and so are the single frames of an iteration.

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

    def __post_init__(self) -> None:
        if self.valid_array is None:
            object.__setattr__(self, "valid", np.ones(len(self.array), np.bool_))
        self._check_arrays()

    def __getitem__(self, place: int | slice) -> Frames:
        """One frame or several, by their places in this object; views where the step is positive.

        Raises:
            IndexError: there is no such place.
        """
        if isinstance(place, slice):
            return self.part(place)
        number = range(len(self))[place]  # counts from the end where negative
        return self.part(slice(number, number + 1))

    def __iter__(self) -> Iterator[Frames]:
        return map(self.__getitem__, range(len(self)))

    def pictures(self) -> np.ndarray:
        """uint8 (T, H, W, 3), as picture libraries have them; a view of the same memory."""
        return self.pixels.permute(0, 2, 3, 1).numpy()

    def take(self, places: Sequence[int] | np.ndarray) -> Frames:
        """Frames by their place in this object, in the order asked for; copies."""
        rows = np.asarray(places, np.int64)
        return self._of(
            self.array[rows],
            self.seconds_array[rows],
            self.indices_array[rows],
            self.valid_array[rows],
        )

    def part(self, places: slice) -> Frames:
        """Neighbouring frames, by their places in this object; views, not copies."""
        return self._of(
            self.array[places],
            self.seconds_array[places],
            self.indices_array[places],
            self.valid_array[places],
        )

    def counted_from(self, first: int) -> Frames:
        """The same frames, their indices counted from frame `first` of the video; views."""
        indices = self.indices_array - first
        return self._of(self.array, self.seconds_array, indices, self.valid_array)

    def _of(
        self, array: np.ndarray, seconds: np.ndarray, indices: np.ndarray, valid: np.ndarray
    ) -> Frames:
        return Frames.from_array(
            array,
            seconds=seconds,
            indices=indices,
            source_size=self.source_size,
            timestamps_made_up=self.timestamps_made_up,
            valid=valid,
        )

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
