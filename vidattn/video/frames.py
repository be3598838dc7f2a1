from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from vidattn.errors import ArgumentError


@dataclass(frozen=True, eq=False)
class Frames:
    """Decoded frames and where they come from; pixels and times travel together.

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
        if self.valid is None:
            object.__setattr__(self, "valid", torch.ones(len(self.pixels), dtype=torch.bool))
        if self.pixels.dtype != torch.uint8 or self.pixels.ndim != 4 or self.pixels.shape[1] != 3:
            raise ArgumentError(
                "pixels: expected uint8 of shape (T, 3, H, W), "
                f"got {self.pixels.dtype} of shape {tuple(self.pixels.shape)}"
            )
        for name, expected in (
            ("seconds", torch.float64),
            ("indices", torch.int64),
            ("valid", torch.bool),
        ):
            value: Tensor = getattr(self, name)
            if value.dtype != expected or value.shape != self.pixels.shape[:1]:
                raise ArgumentError(
                    f"{name}: expected {expected} of shape ({len(self)},), "
                    f"got {value.dtype} of shape {tuple(value.shape)}"
                )

    def __len__(self) -> int:
        return self.pixels.shape[0]

    @property
    def size(self) -> tuple[int, int]:
        """(height, width) of `pixels`."""
        return self.pixels.shape[2], self.pixels.shape[3]

    def pictures(self) -> np.ndarray:
        """uint8 (T, H, W, 3), as picture libraries have them; a view of the same memory."""
        return self.pixels.permute(0, 2, 3, 1).numpy()

    def take(self, places: Sequence[int] | np.ndarray) -> Frames:
        """Frames by their place in this object, in the order asked for; copies."""
        rows = torch.as_tensor(places, dtype=torch.int64)
        # Through the stored order: selecting from the permuted view would lose it.
        return Frames.from_rows(
            self.pixels.permute(0, 2, 3, 1)[rows],
            seconds=self.seconds[rows],
            indices=self.indices[rows],
            source_size=self.source_size,
            timestamps_made_up=self.timestamps_made_up,
            valid=self.valid[rows],
        )

    def part(self, places: slice) -> Frames:
        """Neighbouring frames, by their places in this object; views, not copies."""
        return Frames(
            self.pixels[places],
            self.seconds[places],
            self.indices[places],
            self.source_size,
            self.timestamps_made_up,
            self.valid[places],
        )

    @classmethod
    def from_rows(
        cls,
        rows: Tensor,
        *,
        seconds: Tensor,
        indices: Tensor,
        source_size: tuple[int, int],
        timestamps_made_up: bool = False,
        valid: Tensor | None = None,
    ) -> Frames:
        """Frames from what a decoder wrote: uint8, shape (T, H, W, 3)."""
        pixels = rows.permute(0, 3, 1, 2)
        if valid is None:
            return cls(pixels, seconds, indices, source_size, timestamps_made_up)
        return cls(pixels, seconds, indices, source_size, timestamps_made_up, valid)
