from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from vidattn.data.spec import ClipSpec
from vidattn.errors import ArgumentError
from vidattn.sampling import FrameTimes, crop_positions
from vidattn.sampling.crops import CropPosition
from vidattn.sampling.protocols import Protocol
from vidattn.sampling.suitability import filled


@dataclass(frozen=True)
class EvaluationClips:
    """Which test clips a video gives: by a protocol, or as a clip spec has it.

    Attributes:
        spec: what the model was trained on.
        views, crops: clips over time, and over the longer side (1 or 3), without a protocol.
        protocol: its views, crops and sizes count, and every frame of it is real.
    """

    spec: ClipSpec
    views: int = 1
    crops: int = 1
    protocol: Protocol | None = None

    def __post_init__(self) -> None:
        if self.views < 1 or self.crops not in (1, 3):
            raise ArgumentError(
                f"expected views ≥ 1 and crops 1 or 3, got {self.views} and {self.crops}"
            )
        if self.protocol is not None:
            if (self.views, self.crops) != (1, 1):
                raise ArgumentError("views and crops are the protocol's: give either, not both")
            filled(self.protocol, self.spec)

    @property
    def count(self) -> int:
        """Clips a video."""
        return (
            self.protocol.views * self.protocol.crops if self.protocol else self.views * self.crops
        )

    @property
    def crop_count(self) -> int:
        """Crops a view."""
        return self.protocol.crops if self.protocol else self.crops

    @property
    def short_side(self) -> int:
        """Pixels that the shorter side of a frame is resized to."""
        return self.protocol.short_side if self.protocol else self.spec.short_side

    @property
    def crop_size(self) -> int:
        """Height and width of a clip."""
        return self.protocol.crop_size if self.protocol else self.spec.crop_size

    def indices(self, times: FrameTimes) -> tuple[np.ndarray, np.ndarray]:
        """Frames of each view and which of them are real: int64 and bool, (views, T).

        Protocols count frames, and know the mean rate of a video alone, as the code that they
        repeat does.

        Args:
            times: of the video's frames.

        Raises:
            TooShortError: the protocol leaves videos of this length out.
        """
        if self.protocol is None:
            return self.spec.evaluation_indices(times, self.views)
        adapted = filled(self.protocol, self.spec, times.fps)
        indices = adapted.indices(len(times), times.fps)
        return indices, np.ones(indices.shape, dtype=bool)

    def positions(self, size: tuple[int, int]) -> list[CropPosition]:
        """Where the crops of frames of this (height, width) lie."""
        if self.protocol is not None:
            return self.protocol.crop_positions(size)
        side = self.crop_size
        places = crop_positions(size, (side, side), self.crops)
        return [CropPosition(top, left) for top, left in places.tolist()]

    def to_json(self) -> dict[str, Any]:
        """Protocol, views and crops, as JSON types; what the checkpoint fills in included."""
        protocol = None
        if self.protocol is not None:
            own = filled(self.protocol, self.spec)
            if self.spec.frames_per_second and self.protocol.target_fps is None:
                own = replace(own, stride=None)  # it is another one for every frame rate
            protocol = own.to_json()
        return {
            "protocol": protocol,
            "views": self.count // self.crop_count,
            "crops": self.crop_count,
        }
