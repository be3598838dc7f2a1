from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from typing import Any, Literal

import numpy as np

from vidattn.errors import ArgumentError
from vidattn.sampling.crops import CROPPING, CropPosition
from vidattn.sampling.views import ClipShape

Aggregation = Literal["probabilities", "logits"]


Sampler = Callable[[int, float, ClipShape], np.ndarray]


@dataclass(frozen=True)
class Protocol:
    """How a test clip is made and how a video's clips become one answer.

    A view is a clip in time, a crop a square of it; a video has views × crops clips, numbered
    `view · crops + crop`.

    Attributes:
        name: as in `protocol(name)`.
        summary: what it does, in words.
        source: whose code does the same, and where.
        frames: T, frames a clip; None: as many as the checkpoint was trained on.
        stride: frames from one to the next; None: the checkpoint's. 1 where `frames` are spread
            over the video and no stride is used.
        target_fps: rate that strides are counted at; None: the video's own.
        views: clips a video.
        crops: squares a clip: 1, 3 or 10.
        short_side: pixels that the shorter side is resized to.
        resize_to: (height, width) that frames are resized to whatever their shape; None: the
            ratio of the sides is kept.
        crop_size: height and width of a crop, in pixels.
        aggregation: what is averaged over the clips of a video: "probabilities" (softmax of
            each clip) or "logits".
        sampler: the index function.
        cropping: name of the rule in `vidattn.sampling.crops.CROPPING`.
    """

    name: str
    summary: str
    source: str
    frames: int | None
    stride: float | None
    target_fps: float | None
    views: int
    crops: int
    short_side: int
    crop_size: int
    aggregation: Aggregation
    sampler: Sampler
    cropping: str
    resize_to: tuple[int, int] | None = None

    def for_clip(self, *, frames: int, stride: float) -> Protocol:
        """The protocol with what it leaves to the checkpoint filled in.

        Raises:
            ArgumentError: it fixes a number of frames, and the checkpoint has another.
        """
        if self.frames not in (None, frames):
            raise ArgumentError(
                f"protocol {self.name}: expected clips of {self.frames} frames, got {frames}"
            )
        return replace(self, frames=frames, stride=stride if self.stride is None else self.stride)

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
                f"expected at least one frame and a frame rate above 0, got {frame_count} "
                f"frames at {fps} fps"
            )
        if self.frames is None or self.stride is None:
            raise ArgumentError(
                f"protocol {self.name}: frames and stride are the checkpoint's; give them"
            )
        shape = ClipShape(self.frames, self.stride, self.views, self.target_fps)
        return self.sampler(frame_count, fps, shape)

    def crop_positions(self, size: tuple[int, int]) -> list[CropPosition]:
        """Where the crops of frames of this (height, width) lie, and which are mirrored.

        Raises:
            ArgumentError: the frames are smaller than a crop.
        """
        return CROPPING[self.cropping](size, self.crop_size)

    def to_json(self) -> dict[str, Any]:
        """Everything as what JSON knows; `sampler` as its function's name."""
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        return {**values, "sampler": self.sampler.__name__}
