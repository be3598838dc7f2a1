from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from vidattn.arrays import at_least
from vidattn.inference.clip_runner import ClipRunner
from vidattn.inference.windows import frame_ends, window_spacing
from vidattn.models import LoadedRecogniser
from vidattn.naming import choose
from vidattn.video import VideoReader


@dataclass(frozen=True, eq=False)
class WindowFeatures:
    """What a network makes of the windows of one video, in order of time.

    Attributes:
        features: float32 (windows, C): means over the window's time and space.
        indices: int64 (windows, T), its frames; a short video repeats its last.
        start_seconds, end_seconds: float64 (windows,): from the first frame's time to the end
            of the last one's, on the video's clock.
    """

    features: NDArray[np.float32]
    indices: NDArray[np.int64]
    start_seconds: NDArray[np.float64]
    end_seconds: NDArray[np.float64]

    @property
    def centre_seconds(self) -> NDArray[np.float64]:
        """(windows,): the middle of each."""
        return (self.start_seconds + self.end_seconds) / 2


class FeatureExtractor:
    """Features of sliding windows, each made like the model's own test clip: its centre square.

    Args:
        loaded: from `vidattn.models.load`.
        stage: name of the backbone's stage; the one that the model pools where None.
        hop: frames from one window's start to the next's, or as long as these last on average
            where windows are counted in seconds in a video of varying rate; half a window where
            None.
        batch_size: windows that go through the network, and whose frames are held, at once.

    Raises:
        UnknownNameError: the backbone has no such stage.
    """

    def __init__(
        self,
        loaded: LoadedRecogniser,
        *,
        stage: str | None = None,
        hop: int | None = None,
        batch_size: int = 8,
    ) -> None:
        if hop is not None:
            at_least("hop", hop, 1)
        stages = {each.name: each for each in loaded.recogniser.backbone.stages}
        name = loaded.recogniser.stage.name if stage is None else stage
        self.stage = stages[choose("stage", name, stages)]
        self.loaded = loaded
        self.hop = hop
        # In batches from the video's start, so that its features depend on nothing else.
        self.runner = ClipRunner(loaded, self._means, batch_size=batch_size, whole_frames=False)

    def features(self, reader: VideoReader) -> WindowFeatures:
        """Features of all windows of an open video.

        Raises:
            VideoError: a frame cannot be decoded.
            ArgumentError: the hop is longer than a window.
        """
        indices, valid = window_spacing(self.loaded.clip, reader).windows(self.hop)
        parts = [each.output for each in self.runner.windows(reader, indices, valid)]
        seconds = reader.frame_times.seconds
        ends = frame_ends(reader)
        return WindowFeatures(
            np.concatenate(parts), indices, seconds[indices[:, 0]], ends[indices[:, -1]]
        )

    def _means(self, clips: Tensor, valid: Tensor) -> NDArray[np.float32]:
        recogniser, stage = self.loaded.recogniser, self.stage
        found = recogniser.backbone.features(clips, [stage.name])[stage.name]
        steps = recogniser.valid_steps(valid, found.shape[2], stage).float()
        means = (found.float().mean((3, 4)) * steps[:, None]).sum(2)
        means = means / steps.sum(1, keepdim=True).clamp(min=1)
        result: NDArray[np.float32] = means.cpu().numpy()
        return result
