from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, Literal, Self, get_args

import numpy as np

from vidattn import sampling as sample
from vidattn.errors import ArgumentError

Sampling = Literal["dense", "segments", "even"]
Aspect = Literal["keep", "stretch"]


@dataclass(frozen=True)
class ClipSpec:
    """What a clip is: which frames of a video, at what size, normalised how.

    A checkpoint stores it, so that every later clip is made like those the model was trained on.

    Attributes:
        frames: T, frames a clip.
        sampling: "dense", frames a fixed step apart; "segments", one from each of T equal parts
            of the whole video, each at a random place in training; "even", likewise, but at the
            same place in every part, for networks that look at motion.
        frame_stride: frames from one to the next (dense only).
        short_side: pixels that the shorter side of a frame is resized to.
        aspect: "keep" the ratio of the sides; or "stretch" every frame to a square, so that
            square clips show it whole.
        crop_size: height and width of the crop that the network sees, at most `short_side`.
        mean, std: RGB normalisation of values in [0, 1].
        frames_per_second: count strides at this rate and not at the video's own (dense only),
            so that clips from 12-fps and 30-fps sources, and of any part of a video whose rate
            varies, last equally long.
    """

    frames: int = 16
    sampling: Sampling = "dense"
    frame_stride: int = 1
    short_side: int = 128
    crop_size: int = 112
    mean: tuple[float, float, float] = (0.43216, 0.394666, 0.37645)
    std: tuple[float, float, float] = (0.22803, 0.22145, 0.216989)
    frames_per_second: float | None = None
    aspect: Aspect = "keep"

    def __post_init__(self) -> None:
        for name in ("frames", "frame_stride", "short_side", "crop_size"):
            value = getattr(self, name)
            if not isinstance(value, int) or isinstance(value, bool) or value < 1:
                raise ArgumentError(f"{name}: expected a whole number from 1, got {value!r}")
        for name, choices in (("sampling", Sampling), ("aspect", Aspect)):
            if getattr(self, name) not in get_args(choices):
                raise ArgumentError(
                    f"{name}: expected one of {get_args(choices)}, got {getattr(self, name)!r}"
                )
        if self.crop_size > self.short_side:
            raise ArgumentError(
                f"crop_size: expected at most short_side = {self.short_side}, got {self.crop_size}"
            )
        for name in ("mean", "std"):
            object.__setattr__(self, name, _three_numbers(name, getattr(self, name)))
        if min(self.std) <= 0:
            raise ArgumentError(f"std: expected three numbers above 0, got {self.std}")
        self._check_rate()

    def _check_rate(self) -> None:
        rate = self.frames_per_second
        if rate is not None and (not _is_number(rate) or not 0 < rate < float("inf")):
            raise ArgumentError(f"frames_per_second: expected a number above 0, got {rate!r}")
        if self.sampling != "dense" and (self.frame_stride != 1 or rate is not None):
            raise ArgumentError(
                f'sampling "{self.sampling}" spreads the frames over the video: frame_stride must '
                f"be 1 and frames_per_second null, got {self.frame_stride} and {rate}"
            )

    def stride_at(self, fps: float) -> float:
        """Frames of a video with that rate from one frame of a clip to the next."""
        if self.frames_per_second is None:
            return float(self.frame_stride)
        if not fps > 0:
            raise ArgumentError(f"fps: expected more than 0, got {fps}")
        return self.frame_stride * fps / self.frames_per_second

    def spacing(self, times: sample.FrameTimes) -> sample.Spacing:
        """How the frames of its clips lie in a video ("dense" only).

        Steps are counted in frames; at `frames_per_second` in a video of varying rate they last
        as long as they say.
        """
        if self.frames_per_second is None or times.are_even:
            return sample.FrameSpacing(len(times), self.frames, self.stride_at(times.fps))
        return sample.TimeSpacing(times, self.frames, self.frame_stride / self.frames_per_second)

    def training_indices(
        self, times: sample.FrameTimes, generator: np.random.Generator
    ) -> tuple[np.ndarray, np.ndarray]:
        """Frames of a random clip and which of them are real: int64 and bool, (T,).

        Args:
            times: of the video's frames.
        """
        if self.sampling == "dense":
            return self.spacing(times).random_clip(generator)
        if len(times) < self.frames:
            return sample.pad(np.arange(self.frames), len(times))
        indices = sample.random_segments(
            len(times), self.frames, generator, even=self.sampling == "even"
        )
        return sample.pad(indices, len(times))

    def evaluation_indices(
        self, times: sample.FrameTimes, views: int = 1
    ) -> tuple[np.ndarray, np.ndarray]:
        """Frames of each test clip and which of them are real: int64 and bool, (views, T).

        A video with fewer frames than segments is padded at its end like any short video, not
        stretched.

        Args:
            times: of the video's frames.
        """
        if self.sampling == "dense":
            return self.spacing(times).views(views)
        if len(times) < self.frames:
            indices = np.tile(np.arange(self.frames), (views, 1))
        else:
            indices = sample.segment_views(len(times), self.frames, views)
        return sample.pad(indices, len(times))

    def to_json(self) -> dict[str, Any]:
        """All fields as what JSON knows: numbers, strings, lists, null."""
        return {
            name: list(value) if isinstance(value, tuple) else value
            for name, value in asdict(self).items()
        }

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Self:
        """What `to_json` gave; absent fields take their defaults.

        Raises:
            ArgumentError: an unknown field, or a value of the wrong type or range.
        """
        known = {field.name for field in fields(cls)}
        unknown = sorted(set(values) - known)
        if unknown:
            raise ArgumentError(f"clip: unknown fields {unknown}; known are {sorted(known)}")
        return cls(**values)


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _three_numbers(name: str, value: Any) -> tuple[float, float, float]:
    if (
        not isinstance(value, tuple | list)
        or len(value) != 3
        or not all(_is_number(part) for part in value)
    ):
        raise ArgumentError(f"{name}: expected three numbers, got {value!r}")
    red, green, blue = (float(part) for part in value)
    return red, green, blue
