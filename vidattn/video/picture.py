"""From the planes that a decoder gives to an upright RGB picture of the size asked for."""

from __future__ import annotations

from typing import Any

import numpy as np
from av.video.reformatter import Interpolation, VideoReformatter

from vidattn.video.demuxer import ONE_THREAD, typed_errors
from vidattn.video.orientation import Orientation
from vidattn.video.resize import resize_area


def rgb_picture(
    path: str,
    frame: Any,
    size: tuple[int, int],
    *,
    orientation: Orientation,
    reformatter: VideoReformatter,
) -> np.ndarray:
    """One pass from a frame's planes to small RGB: uint8 (height, width, 3).

    Args:
        path: of the video, for messages.
        frame: `av.VideoFrame`.
        size: (height, width) as shown.
        orientation: how the stored picture is turned to be shown.
        reformatter: kept by the caller, since making one for each frame costs more than its work.

    Raises:
        DecodeError: FFmpeg cannot convert this frame.
    """
    shape = orientation.shown_size(size)
    # swscale resizes each field by itself, so interlaced pictures are resized afterwards.
    target = (frame.height, frame.width) if frame.interlaced_frame else shape
    settings: dict[str, Any] = dict(ONE_THREAD)
    if target != (frame.height, frame.width):
        settings["interpolation"] = Interpolation.AREA
    with typed_errors(path, "cannot convert a frame to RGB"):
        picture = reformatter.reformat(
            frame, width=target[1], height=target[0], format="rgb24", **settings
        )
    plane: Any = picture.planes[0]
    lines = np.frombuffer(plane, np.uint8).reshape(plane.height, plane.line_size)
    stored = lines[:, : target[1] * 3].reshape(*target, 3)
    return orientation.apply(resize_area(stored, shape))
