"""Where a model looks in key frames, and what it sees there."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from vidattn import selection
from vidattn.inference.keyframe_results import KeyFrame
from vidattn.inference.keyframe_settings import KeyFrameSettings
from vidattn.inference.windows import WindowedRecogniser
from vidattn.models import LoadedRecogniser
from vidattn.video import VideoReader


def with_regions(
    frames: Sequence[KeyFrame],
    reader: VideoReader,
    loaded: LoadedRecogniser,
    settings: KeyFrameSettings,
    first_frame: int,
) -> tuple[KeyFrame, ...]:
    """Key frames with their regions and class, from a window centred on each.

    Args:
        first_frame: number, in the film, of the reader's first frame.
    """
    windowed = WindowedRecogniser(loaded, reader, batch_size=settings.batch_size)
    indices = np.array([frame.frame_index - first_frame for frame in frames], np.int64)
    found = []
    for frame, index, window in zip(
        frames, indices.tolist(), windowed.around(indices), strict=True
    ):
        best = int(window.probabilities.argmax())
        cells = selection.threshold_regions(
            window.regions_at(index), fraction=settings.region_threshold, count=settings.regions
        )
        boxes = window.locator.to_source(cells, window.geometry)
        found.append(
            replace(
                frame,
                regions=tuple(tuple(box) for box in boxes.round(2).tolist()),
                label=loaded.classes[best],
                probability=float(window.probabilities[best]),
            )
        )
    return tuple(found)
