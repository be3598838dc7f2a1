from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from vidattn.video import open_video
from vidattn.video.sources.addresses import VideoLike

HEIGHT = 96
GAP = 4
FRAMES = 6
_PAPER = 128


def frame_strip(
    video: VideoLike, indices: Sequence[int], *, decoder: str, count: int = FRAMES
) -> NDArray[np.uint8]:
    """Some of a video's frames side by side, small: uint8 (H, W, 3).

    Args:
        indices: the frames to choose from, ascending, at least one.
        count: the most that are shown, evenly spread over them.

    Raises:
        VideoError, IndexError: the file is not what it was.
    """
    places = np.unique(np.linspace(0, len(indices) - 1, min(count, len(indices))).round())
    chosen = [indices[int(place)] for place in places]
    with open_video(video, decoder) as reader:
        frames = reader.frames_at(chosen, short_side=HEIGHT)
    rows = frames.array
    tiles = [np.pad(row, ((0, 0), (0, GAP), (0, 0)), constant_values=_PAPER) for row in rows]
    strip: NDArray[np.uint8] = np.concatenate(tiles, axis=1)[:, :-GAP]
    return strip
