"""Scores by a recogniser: where its attention lies, and where it sees a class."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import closing

import numpy as np
import torch
from torch import Tensor

from vidattn import selection
from vidattn.arrays import FloatArray
from vidattn.errors import ArgumentError, VideoError
from vidattn.inference.windows import Window, WindowedRecogniser
from vidattn.models import LoadedRecogniser
from vidattn.naming import choose
from vidattn.video import VideoReader


class AttentionScorer:
    """The model's own temporal attention, window by window, unnormalised, so that windows compete.

    Args:
        loaded: the model.
        batch_size: windows that go through the network, and whose frames are held, at once.
    """

    name = "attention"

    def __init__(self, loaded: LoadedRecogniser, *, batch_size: int = 4) -> None:
        self.loaded, self.batch_size = loaded, batch_size

    @property
    def method(self) -> str:
        """In words."""
        pooling = self.loaded.recogniser.spec.pooling
        return f"attention: unnormalised frame scores of {pooling} pooling, sliding windows"

    def __call__(self, video: VideoReader) -> FloatArray:
        """(T,) attention scores: means over the windows that show a frame.

        Raises:
            VideoError: the network's scores are not finite.
        """
        windowed = WindowedRecogniser(
            self.loaded, video, batch_size=self.batch_size, reads_ahead=True
        )
        return _merged(video, windowed)


class ClassScorer:
    """How sure a model is of one class at each time.

    A score is the logarithm of the odds of the class, by the positions of one time step alone,
    weighted as the model weighs them in space. It is not normalised over time, so windows compete.
    A network whose head gives no logits of positions has one score for each window.

    Args:
        loaded: the model.
        class_name: one of its classes.
        batch_size: see `AttentionScorer`.

    Raises:
        UnknownNameError: the model has no such class; the message has the nearest names.
    """

    name = "class"

    def __init__(self, loaded: LoadedRecogniser, class_name: str, *, batch_size: int = 4) -> None:
        choose("class", class_name, loaded.classes)
        self.loaded, self.class_name, self.batch_size = loaded, class_name, batch_size

    @property
    def method(self) -> str:
        """In words."""
        return f"class: logarithm of the odds of {self.class_name!r}, sliding windows"

    def __call__(self, video: VideoReader) -> FloatArray:
        """(T,) logarithms of odds: means over the windows that show a frame.

        Raises:
            VideoError: the network's scores are not finite.
        """
        number = self.loaded.classes.index(self.class_name)
        windowed = _ClassWindows(self.loaded, video, number, batch_size=self.batch_size)
        return _merged(video, windowed)


class _ClassWindows(WindowedRecogniser):
    """Windows whose frame scores are of one class."""

    def __init__(
        self, loaded: LoadedRecogniser, reader: VideoReader, number: int, *, batch_size: int
    ) -> None:
        super().__init__(loaded, reader, batch_size=batch_size, reads_ahead=True)
        self._number = number
        self._by_position = True

    def _recognise(self, clips: Tensor, valid: Tensor) -> tuple[Tensor, ...]:
        probabilities, scores, *others = super()._recognise(clips, valid)
        return probabilities, self._log_odds(clips, valid, scores.shape[1]), *others

    def _log_odds(self, clips: Tensor, valid: Tensor, steps: int) -> Tensor:
        """(N, T')."""
        recogniser = self.loaded.recogniser
        if self._by_position:
            try:
                found = recogniser(clips, valid, position_logits=True)
            except ArgumentError:
                self._by_position = False
        if self._by_position and recogniser.head is None:  # it weighs all positions alike
            logits = found.position_logits.mean((3, 4))
        elif self._by_position:
            weights = found.region_weights[:, None].to(found.position_logits.dtype)
            logits = (found.position_logits * weights).sum((3, 4))
        else:
            logits = recogniser(clips, valid).logits[:, :, None].expand(-1, -1, steps)
        return log_odds(logits.float(), self._number, multi_label=self.loaded.multi_label)


def log_odds(logits: Tensor, number: int, *, multi_label: bool) -> Tensor:
    """(N, classes, …) logits -> (N, …) the logarithm of the odds of one class."""
    own = logits[:, number]
    if multi_label or logits.shape[1] == 1:
        return own
    others = [each for each in range(logits.shape[1]) if each != number]
    return own - torch.logsumexp(logits[:, others], 1)


def _merged(video: VideoReader, windowed: WindowedRecogniser) -> FloatArray:
    with closing(windowed.windows()) as windows:
        return selection.merge_windows(_finite_scores(video, windows))


def _finite_scores(
    video: VideoReader, windows: Iterable[Window]
) -> Iterator[tuple[int, FloatArray]]:
    for window in windows:
        if not np.isfinite(window.frame_scores).all():
            raise VideoError(video.path, "the network's frame scores are not finite")
        yield window.scores_by_frame()
