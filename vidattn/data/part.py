from __future__ import annotations

import numpy as np

from vidattn.data.annotations import Sample
from vidattn.data.source import Choose
from vidattn.errors import VideoError
from vidattn.sampling.times import FrameTimes

# Annotators round up, and know other ends than the last frame's.
_TOLERANCE_SECONDS = 0.5


def choose_in_part(sample: Sample, choose: Choose) -> Choose:
    """What `choose` would choose if the sample's part were the whole video.

    Args:
        sample: where it is no part, `choose` itself is returned.
        choose: frames of a video, once its times are known; see `FrameSource.select`.

    Returns:
        a function that raises `VideoError` where the video has no such part.
    """
    if sample.start_seconds is None and sample.end_seconds is None:
        return choose

    def chosen(times: FrameTimes) -> tuple[np.ndarray, np.ndarray]:
        first, part = _part(sample, times)
        indices, valid = choose(part)
        return indices + first, valid

    return chosen


def _part(sample: Sample, times: FrameTimes) -> tuple[int, FrameTimes]:
    """The part's first frame, and the times of its frames."""
    start = times.seconds[0] if sample.start_seconds is None else sample.start_seconds
    end = times.end_seconds if sample.end_seconds is None else sample.end_seconds
    if start >= times.end_seconds or end > times.end_seconds + _TOLERANCE_SECONDS:
        reason = f"the video ends at {times.end_seconds:g} s"
    elif end <= times.seconds[0]:
        reason = f"the video starts at {times.seconds[0]:g} s"
    elif (np.diff(times.seconds) < 0).any():
        reason = "the times of its frames jump back, so that they name no part"
    else:
        return times.part(start, end)
    line = f" (line {sample.line})" if sample.line else ""
    raise VideoError(sample.path, f"no part from {start:g} to {end:g} s{line}: {reason}")
