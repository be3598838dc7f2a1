from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from vidattn.arrays import at_least
from vidattn.inference.clip_runner import ClipRunner, WindowRun
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


@dataclass(frozen=True, eq=False)
class FeatureRun:
    """The features of one video, to be computed."""

    reader: VideoReader
    indices: NDArray[np.int64]
    run: WindowRun[NDArray[np.float32]]

    def finish(self) -> WindowFeatures:
        """Compute them; raises what `FeatureExtractor.features` says."""
        parts = [each.output for each in self.run]
        seconds, ends = self.reader.frame_times.seconds, frame_ends(self.reader)
        starts = seconds[self.indices[:, 0]]
        return WindowFeatures(
            np.concatenate(parts), self.indices, starts, ends[self.indices[:, -1]]
        )

    def close(self) -> None:
        """Wait until nothing of the video is being read."""
        self.run.close()


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
        self.runner = ClipRunner(
            loaded, self._means, batch_size=batch_size, whole_frames=False, reads_ahead=True
        )

    def features(self, reader: VideoReader) -> WindowFeatures:
        """Features of all windows of an open video.

        Raises:
            VideoError: a frame cannot be decoded.
            ArgumentError: the hop is longer than a window.
        """
        with closing(self.begin(reader)) as run:
            return run.finish()

    def begin(self, reader: VideoReader) -> FeatureRun:
        """Begin to decode an open video; see `features`. Close what comes before the video."""
        indices, valid = window_spacing(self.loaded.clip, reader).windows(self.hop)
        return FeatureRun(reader, indices, self.runner.windows(reader, indices, valid))

    def _means(self, clips: Tensor, valid: Tensor) -> NDArray[np.float32]:
        recogniser, stage = self.loaded.recogniser, self.stage
        found = recogniser.backbone.features(clips, [stage.name])[stage.name]
        steps = recogniser.valid_steps(valid, found.shape[2], stage).float()
        means = (found.float().mean((3, 4)) * steps[:, None]).sum(2)
        means = means / steps.sum(1, keepdim=True).clamp(min=1)
        result: NDArray[np.float32] = means.cpu().numpy()
        return result
