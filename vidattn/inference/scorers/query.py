"""Scores by a sentence: how well each frame goes with what a person asks for."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Self

import numpy as np
import torch

from vidattn.arrays import IntArray, at_least
from vidattn.errors import ArgumentError, VideoError
from vidattn.inference.scorers.image_text import ImageTextModel
from vidattn.inference.scorers.scorer import FrameScores
from vidattn.video import VideoReader

# Pixels held at once, in bytes: large frames are prepared as their model wants it, so they are not
# made smaller before, which would change the scores.
_HELD_BYTES = 2**27
# Stretches behind the best intra frames that are looked at once more.
_REFINED_STRETCHES = 16


class QueryScorer:
    """How well frames go with a sentence, by a CLIP or SigLIP network: its unnormalised logits.

    Looks at one frame of each so many seconds, a few at a time, so a film of hours takes no more
    memory than a short one.

    Args:
        query: what to look for, such as "a person falls".
        model: the network.
        every_seconds: from one frame that is looked at to the next.
        intra_first: look at the intra frames only, which decode fast, and then, `every_seconds`, at
            the stretches behind the 16 best of them.
        batch_size: frames that go through the network, and are held, at once; fewer if they are
            large.

    Raises:
        ArgumentError: the query is empty or too long, or a number is out of range.
    """

    name = "query"

    def __init__(
        self,
        query: str,
        model: ImageTextModel,
        *,
        every_seconds: float = 0.5,
        intra_first: bool = False,
        batch_size: int = 16,
    ) -> None:
        if not 0 < every_seconds < float("inf"):
            raise ArgumentError(f"query_seconds: expected more than 0, got {every_seconds}")
        self.query, self.model = query, model
        self.every_seconds, self.intra_first = every_seconds, intra_first
        self.batch_size = at_least("batch_size", batch_size, 1)
        self._tokens = model.tokens(query)

    @classmethod
    def load(
        cls,
        query: str,
        model: str | Path,
        *,
        every_seconds: float = 0.5,
        intra_first: bool = False,
        device: str | torch.device = "cpu",
    ) -> Self:
        """With a network from a folder or from the hub; see `ImageTextModel`."""
        loaded = ImageTextModel(model, device=device)
        return cls(query, loaded, every_seconds=every_seconds, intra_first=intra_first)

    @property
    def method(self) -> str:
        """In words."""
        return f"query: how well a frame goes with {self.query!r}, by {self.model.name}"

    @property
    def weights_sha256(self) -> str:
        """Of the network; see `ImageTextModel`."""
        return self.model.weights_sha256

    def __call__(self, video: VideoReader) -> FrameScores:
        """Scores of the frames that were looked at.

        Raises:
            VideoError: the network's scores are not finite, or the video cannot be read.
        """
        valid = np.array(video.valid_indices(), np.int64)
        first = self._at_interval(video, valid)
        if self.intra_first:
            intra = valid[np.isin(valid, video.intra_frame_indices())]
            if 0 < len(intra) < len(first):
                return self._refined(video, first, self._scored(video, intra))
        return self._scored(video, first)

    def _at_interval(self, video: VideoReader, valid: IntArray) -> IntArray:
        """The first valid frame of each stretch of `every_seconds`."""
        seconds = video.frame_times.seconds[valid]
        # Times are rounded to the file's clock: 0.5 s may be stored as 0.499999.
        numbers = np.floor((seconds - seconds[:1]) / self.every_seconds + 1e-4)
        return valid[np.unique(numbers, return_index=True)[1]]

    def _scored(self, video: VideoReader, indices: IntArray) -> FrameScores:
        values = list(self._batches(video, indices))
        return FrameScores(indices, np.concatenate(values) if values else np.empty(0))

    def _batches(self, video: VideoReader, indices: IntArray) -> Iterator[np.ndarray]:
        height, width = video.size
        held = max(min(self.batch_size, _HELD_BYTES // (3 * height * width)), 1)
        for each in video.chunks(indices.tolist(), frames_at_once=held):
            scores = self.model.scores(each.array, self._tokens)
            if not np.isfinite(scores).all():
                raise VideoError(video.path, "the scores of the query's network are not finite")
            yield scores

    def _refined(
        self, video: VideoReader, at_interval: IntArray, coarse: FrameScores
    ) -> FrameScores:
        best = np.sort(np.argsort(-coarse.values, kind="stable")[:_REFINED_STRETCHES])
        ends = np.append(coarse.indices[1:], len(video))
        starts = coarse.indices[best]
        place = np.searchsorted(starts, at_interval, side="right") - 1
        near = (place >= 0) & (at_interval < ends[best][place]) & (at_interval != starts[place])
        fine = self._scored(video, at_interval[near])
        indices = np.concatenate([coarse.indices, fine.indices])
        order = np.argsort(indices)
        return FrameScores(indices[order], np.concatenate([coarse.values, fine.values])[order])
