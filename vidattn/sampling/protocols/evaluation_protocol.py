from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from typing import Any, Literal

import numpy as np

from vidattn.errors import ArgumentError
from vidattn.sampling.crops import Cropping, CropPosition
from vidattn.sampling.views import ClipShape

Aggregation = Literal["probabilities", "logits"]
Sampler = Callable[[int, float, ClipShape], np.ndarray]


@dataclass(frozen=True, kw_only=True)
class Protocol:
    """How a video's test clips are made and how they become one answer.

    A view is a clip in time, a crop a square of it; a video has views × crops clips, numbered
    `view · crops + crop`.

    Attributes:
        name: as in `protocol(name)`.
        summary: what it does, in words.
        source: whose code does the same, and where.
        figures: published results that were measured like this.
        frames: T, frames a clip; None: as many as the checkpoint was trained with.
        stride: frames from one to the next, at `target_fps` if there is one; None: the
            checkpoint's; 1 also where frames are spread by another rule.
        usual_clip: (frames, stride) of the results published, where they are left open.
        target_fps: rate that strides are counted at; None: the video's own.
        views: clips a video.
        crops: squares a clip: 1, 3 or 10.
        short_side: pixels that the shorter side is resized to.
        resize_to: (height, width) that frames are resized to whatever their shape; None: the
            ratio of the sides is kept.
        crop_size: height and width of a crop, in pixels.
        aggregation: what is averaged over the clips of a video: "probabilities" (softmax of
            each clip) or "logits".
        sampler: the index function, of `vidattn.sampling.views`.
        cropping: the crop function, of `vidattn.sampling.crops`.
    """

    name: str
    summary: str
    source: str
    figures: tuple[str, ...] = ()
    frames: int | None = None
    stride: int | None = None
    usual_clip: tuple[int, int]
    target_fps: float | None = None
    views: int
    crops: int
    short_side: int
    resize_to: tuple[int, int] | None = None
    crop_size: int
    aggregation: Aggregation
    sampler: Sampler
    cropping: Cropping

    def for_clip(self, *, frames: int, stride: int) -> Protocol:
        """The protocol with what it leaves to the checkpoint filled in; the rest stays."""
        return replace(
            self,
            frames=frames if self.frames is None else self.frames,
            stride=stride if self.stride is None else self.stride,
        )

    def indices(self, frame_count: int, fps: float) -> np.ndarray:
        """Frames of every test clip.

        Args:
            frame_count: frames of the video, at least 1.
            fps: of the video.

        Returns:
            int64 (views, T), 0 to frame_count − 1. A short video repeats or loops its frames.

        Raises:
            ArgumentError: a number is not positive; `frames` or `stride` is still open.
            TooShortError: the protocol leaves videos of this length out.
        """
        if frame_count < 1 or not 0 < fps < float("inf"):
            raise ArgumentError(
                "expected at least one frame and a frame rate above 0, "
                f"got {frame_count} frames at {fps} fps"
            )
        if self.frames is None or self.stride is None:
            raise ArgumentError(
                f"protocol {self.name}: frames and stride are the checkpoint's; give them"
            )
        if min(self.frames, self.stride, self.views) < 1:
            raise ArgumentError(
                "expected frames, stride and views of 1 or more, "
                f"got {self.frames}, {self.stride} and {self.views}"
            )
        shape = ClipShape(self.frames, self.stride, self.views, self.target_fps)
        return self.sampler(frame_count, fps, shape)

    def crop_positions(self, size: tuple[int, int]) -> list[CropPosition]:
        """Where the crops of resized frames lie: (top, left, flipped), in the order of numbering.

        A flipped crop is cut out at (top, left) of the frame as it is, then mirrored left to
        right.

        Args:
            size: (height, width) of the frames after resizing.

        Raises:
            ArgumentError: a crop does not fit, or does not fill what it should.
        """
        return self.cropping(size, self.crop_size)

    def to_json(self) -> dict[str, Any]:
        """Everything as what JSON knows; functions by name."""
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        values["sampler"], values["cropping"] = self.sampler.__name__, self.cropping.__name__
        return {
            name: list(value) if isinstance(value, tuple) else value
            for name, value in values.items()
        }
