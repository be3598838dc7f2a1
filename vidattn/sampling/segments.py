from __future__ import annotations

import numpy as np

from vidattn.sampling.padding import require_positive


def segment_centres(frame_count: int, segments: int) -> np.ndarray:
    """The middle frame of each of `segments` equal parts of the video, for testing.

    Returns:
        int64 (segments,), non-decreasing, below `frame_count`: `int(tick / 2 + tick · i)` with
        `tick = frame_count / segments`. Frames repeat where there are fewer than segments.

    Source: Wang et al., Temporal Segment Networks, ECCV 2016; the index formula is the one that
    the published TSN and TSM results were tested with.
    """
    require_positive("frame_count", frame_count)
    require_positive("segments", segments)
    tick = frame_count / segments
    return np.floor(tick / 2 + tick * np.arange(segments)).astype(np.int64)


def random_segments(
    frame_count: int, segments: int, generator: np.random.Generator, *, even: bool = False
) -> np.ndarray:
    """A random frame of each of `segments` equal parts of the video, for training.

    Args:
        even: draw one place for all parts, so that frames are equally far apart and motion
            between them is what it is in the video.

    Returns:
        int64 (segments,), non-decreasing, below `frame_count`: `int(tick · (i + u))`, u uniform
        in [0, 1), independent per segment, or the same for all.

    Source: Wang et al., Temporal Segment Networks, ECCV 2016. Unlike the published code, which
    cuts off the remainder of `frame_count / segments`, every frame can be drawn.
    """
    require_positive("frame_count", frame_count)
    require_positive("segments", segments)
    tick = frame_count / segments
    places = np.arange(segments) + generator.random(1 if even else segments)
    # tick · (segments − ε) can round up to frame_count itself.
    return np.minimum(np.floor(tick * places).astype(np.int64), frame_count - 1)


def segment_views(frame_count: int, segments: int, views: int) -> np.ndarray:
    """Several test clips of one frame per segment: view v is at (v + ½) / views of each.

    Returns:
        int64 (views, segments); with one view, `segment_centres`.
    """
    require_positive("frame_count", frame_count)
    require_positive("segments", segments)
    require_positive("views", views)
    tick = frame_count / segments
    places = (np.arange(views)[:, None] + 0.5) / views
    return np.floor(tick * places + tick * np.arange(segments)).astype(np.int64)
