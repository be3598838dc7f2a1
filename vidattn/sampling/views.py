"""Which frames the test clips of published evaluations have: one convention a function.

Each gives what the code that it names gives, to the last index, also where that code is odd: where
it rounds down although it could reach the end, and where it rounds to single precision. All take
the number of frames of a video, its frame rate and what a clip is (`ClipShape`), and return int64
(views, T), 0 to frame_count − 1.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from vidattn.errors import ArgumentError, TooShortError
from vidattn.sampling.segments import segment_centres


@dataclass(frozen=True)
class ClipShape:
    """What an index function needs to know besides the video.

    Attributes:
        frames: T, frames a clip.
        stride: frames from one to the next, at `target_fps` if there is one.
        views: clips a video.
        target_fps: rate that strides are counted at; None: the video's own.
    """

    frames: int
    stride: int
    views: int
    target_fps: float | None = None


def pyslowfast_views(frame_count: int, fps: float, clip: ClipShape) -> np.ndarray:
    """Clips that span T · stride · fps / target_fps frames and never reach the video's end.

    View i starts at room · i / views, between two frames too; its T places are spread evenly from
    the first to the last frame of the span, in single precision, then cut to whole frames. Past
    the end, the last frame repeats.

    Source: PySlowFast `datasets/decoder.py`, `get_start_end_idx` and `temporal_sampling`.
    """
    span = max(1.0, _span(fps, clip))
    room = max(frame_count - span, 0)
    starts = [room * view / clip.views for view in range(clip.views)]
    return _even_places(starts, span, frame_count, clip.frames)


def pyslowfast_offset_views(frame_count: int, fps: float, clip: ClipShape) -> np.ndarray:
    """Like `pyslowfast_views`, but view i starts at i · ⌊room / (views − 1)⌋, a whole frame.

    One view is the middle one, from ⌊room / 2⌋.

    Source: PySlowFast `datasets/decoder.py`, `get_start_end_idx` with `USE_OFFSET_SAMPLING`.
    """
    span = max(1.0, _span(fps, clip))
    room = max(frame_count - span, 0)
    if clip.views == 1:
        starts = [float(math.floor(room / 2))]
    else:
        apart = math.floor(room / (clip.views - 1))
        starts = [float(view * apart) for view in range(clip.views)]
    return _even_places(starts, span, frame_count, clip.frames)


def timesformer_views(frame_count: int, fps: float, clip: ClipShape) -> np.ndarray:
    """Like `pyslowfast_views`, of whose older form it is a copy: its one view starts at frame 0.

    Source: TimeSformer `timesformer/datasets/decoder.py`, `get_start_end_idx`.
    """
    span = _span(fps, clip)
    room = max(frame_count - span, 0)
    starts = [room * view / clip.views for view in range(clip.views)]
    return _even_places(starts, span, frame_count, clip.frames)


def mmaction2_views(frame_count: int, fps: float, clip: ClipShape) -> np.ndarray:
    """Clips of the video's own rate, the first at its start, the last at its end.

    With last = N − ((T − 1) · stride + 1), view i starts at i · (last / (views − 1)), rounded,
    halves to even; one view at ⌊last / 2⌋. A short video is looped. Clips of one frame are
    the middles of `views` equal parts.

    Source: MMAction2 `SampleFrames`, `test_mode=True`.
    """
    if clip.frames == 1:
        return segment_centres(frame_count, clip.views)[:, None]
    last = max(frame_count - ((clip.frames - 1) * clip.stride + 1), 0)
    if clip.views == 1:
        starts = np.array([last // 2])
    else:
        # Dividing before multiplying is what is published; the other order rounds differently.
        starts = np.round(np.arange(clip.views) * (last / (clip.views - 1))).astype(np.int64)
    return _looped(starts, clip.frames, clip.stride, frame_count)


def mmaction2_aligned_views(frame_count: int, fps: float, clip: ClipShape) -> np.ndarray:
    """Clips at `target_fps`, meant to be PySlowFast's with its offset sampling, but looped.

    The span is T · stride · (fps / target_fps) frames; view i starts at
    i · ⌊last / (views − 1)⌋ with last = N − span. T places are spread evenly from 0 to
    span − 1 and cut to whole frames before the start is added.

    Source: MMAction2 `SampleFrames`, `test_mode=True`, `target_fps` given.
    """
    ratio = 1.0 if clip.target_fps is None else fps / clip.target_fps
    span = max(1.0, clip.frames * clip.stride * ratio)
    last = max(frame_count - span, 0)
    starts: np.ndarray
    if clip.frames == 1:
        tick = frame_count / clip.views
        starts = np.arange(clip.views) * tick + tick / 2
    elif clip.views == 1:
        starts = np.array([last // 2])
    else:
        starts = np.arange(clip.views) * math.floor(last / (clip.views - 1))
    steps = np.linspace(0, span - 1, clip.frames).astype(np.int64)
    return np.mod(starts[:, None] + steps, frame_count).astype(np.int64)


def mmaction2_spread_views(frame_count: int, fps: float, clip: ClipShape) -> np.ndarray:
    """One frame from each of T equal parts of the video, views at different places in a part.

    View k of n takes, from part i, frame round(i · size) + ⌊(k + 1) · size / (n + 1)⌋ with
    size = (N − 1) / T.

    Source: MMAction2 `UniformSample`, `test_mode=True`.
    """
    size = (frame_count - 1) / clip.frames
    firsts = np.round(size * np.arange(clip.frames)).astype(np.int64)
    places = size / (clip.views + 1) * np.arange(1, clip.views + 1)
    return firsts + places.astype(np.int64)[:, None]


def something_views(frame_count: int, fps: float, clip: ClipShape) -> np.ndarray:
    """One frame from each of T equal parts of the video, half-way between rounded boundaries.

    Part i is from round(i · size) to round((i + 1) · size), halves to even, with
    size = (N − 1) / T. All views are the same.

    Source: PySlowFast `datasets/ssv2.py::get_seq_frames`, which TimeSformer and Video Swin share.
    """
    size = (frame_count - 1) / clip.frames
    bounds = np.round(size * np.arange(clip.frames + 1)).astype(np.int64)
    return np.tile((bounds[:-1] + bounds[1:]) // 2, (clip.views, 1))


def tsm_views(frame_count: int, fps: float, clip: ClipShape) -> np.ndarray:
    """The middle frame of each of T equal parts; with two views, also the first of each.

    Source: TSM `ops/dataset.py::_get_test_indices`, with two views `twice_sample`; MMAction2
    `SampleFrames` with one frame a clip and T clips is the same.

    Raises:
        ArgumentError: more than two views.
    """
    if clip.views > 2:
        raise ArgumentError(f"views: expected 1 or 2, got {clip.views}")
    tick = frame_count / clip.frames
    first = np.floor(tick * np.arange(clip.frames)).astype(np.int64)
    return np.stack([segment_centres(frame_count, clip.frames), first][: clip.views])


def tsm_dense_views(frame_count: int, fps: float, clip: ClipShape) -> np.ndarray:
    """Clips of T frames, 64 // T apart, from windows of 64 frames spread over the video.

    Starts are `views` places from 0 to max(1, N − 63) − 1, cut to whole frames. A short video is
    looped. Strides and frame rates play no part.

    Source: TSM `ops/dataset.py::_get_test_indices` with `dense_sample`; MMAction2
    `DenseSampleFrames`, `test_mode=True`, is the same.
    """
    starts = np.linspace(0, max(1, frame_count - 63) - 1, clip.views).astype(np.int64)
    return _looped(starts, clip.frames, 64 // clip.frames, frame_count)


def tsn_views(frame_count: int, fps: float, clip: ClipShape) -> np.ndarray:
    """Single frames, ⌊(N − 1) / (views − 1)⌋ apart from frame 0; all are frame 0 if N < views.

    Unlike the middles of equal parts, they leave out the end of most videos.

    Source: TSN `tools/eval_net.py::eval_video`, for RGB.
    """
    step = (frame_count - 1) // max(clip.views - 1, 1)
    return (np.arange(clip.views, dtype=np.int64) * step)[:, None]


def swin_views(frame_count: int, fps: float, clip: ClipShape) -> np.ndarray:
    """Clips of the video's own rate that start in the middles of equal parts of N − span + 1.

    With span = T · stride and tick = (N − span + 1) / views, view i starts at
    ⌊i · tick + tick / 2⌋. A video shorter than the span is looped from its start.

    Source: Video Swin Transformer `mmaction/datasets/pipelines/loading.py::SampleFrames`, the
    form that MMAction2 had at the time.
    """
    tick = (frame_count - clip.frames * clip.stride + 1) / clip.views
    starts = (np.arange(clip.views) * tick + tick / 2).astype(np.int64)
    if tick <= 0:
        starts = np.zeros(clip.views, dtype=np.int64)
    return _looped(starts, clip.frames, clip.stride, frame_count)


def videomae_views(frame_count: int, fps: float, clip: ClipShape) -> np.ndarray:
    """Clips from the list of every stride-th frame, evenly from its start to its end.

    With M frames in the list, view i starts at ⌊i · max((M − T) / (views − 1), 0)⌋. A list shorter
    than T repeats its last frame.

    Source: VideoMAE `kinetics.py::VideoClsDataset`, mode "test".
    """
    kept = np.arange(0, frame_count, clip.stride, dtype=np.int64)
    step = max((len(kept) - clip.frames) / max(clip.views - 1, 1), 0)
    starts = (np.arange(clip.views) * step).astype(np.int64)
    places = starts[:, None] + np.arange(clip.frames)
    return kept[np.minimum(places, len(kept) - 1)]


def videomae_something_views(frame_count: int, fps: float, clip: ClipShape) -> np.ndarray:
    """The middle and the first frame of each of T equal parts, in order, dealt out to two views.

    Source: VideoMAE `ssv2.py::SSVideoClsDataset`, mode "test".

    Raises:
        ArgumentError: other than two views.
    """
    if clip.views != 2:
        raise ArgumentError(f"views: expected 2, got {clip.views}")
    return np.sort(tsm_views(frame_count, fps, clip), axis=None).reshape(-1, 2).T


def torchvision_views(frame_count: int, fps: float, clip: ClipShape) -> np.ndarray:
    """Clips of consecutive frames of the video resampled to `target_fps`, start to end.

    Resampling keeps frame ⌊k · fps / target_fps⌋ for every k below N · target_fps / fps; single
    precision. View i is number ⌊i · (M − 1) / (views − 1)⌋ of the M clips that there are.

    torchvision places views on the list of all clips of a data set, in single precision, so that
    they are off by one or more behind the first million clips; here each video is counted for
    itself.

    Source: torchvision `datasets/video_utils.py::VideoClips` and
    `datasets/samplers::UniformClipSampler`.

    Raises:
        TooShortError: fewer than T frames are left; torchvision leaves such videos out.
    """
    kept = _resampled(frame_count, fps, fps if clip.target_fps is None else clip.target_fps)
    span = (clip.frames - 1) * clip.stride + 1
    if len(kept) < span:
        raise TooShortError(
            f"expected a video of at least {span} frames at {clip.target_fps or fps:g} fps, "
            f"got {len(kept)}"
        )
    starts = _linspace(0, len(kept) - span, clip.views).astype(np.int64)
    return kept[starts[:, None] + np.arange(clip.frames) * clip.stride]


def _resampled(frame_count: int, fps: float, target_fps: float) -> np.ndarray:
    step = fps / target_fps
    if step.is_integer():
        return np.arange(0, frame_count, int(step), dtype=np.int64)
    count = int(frame_count * target_fps / fps)
    return np.floor(np.arange(count, dtype=np.float32) * np.float32(step)).astype(np.int64)


def _looped(starts: np.ndarray, frames: int, stride: int, frame_count: int) -> np.ndarray:
    return np.mod(starts[:, None] + np.arange(frames) * stride, frame_count)


def _span(fps: float, clip: ClipShape) -> float:
    target_fps = fps if clip.target_fps is None else clip.target_fps
    # In the order of the source, since others round differently.
    return clip.stride * clip.frames / target_fps * fps


def _even_places(starts: list[float], span: float, frame_count: int, frames: int) -> np.ndarray:
    places = _linspace(np.array(starts), np.array([start + span - 1 for start in starts]), frames)
    return np.clip(places, 0, frame_count - 1).astype(np.int64)


def _linspace(start: np.ndarray | float, end: np.ndarray | float, count: int) -> np.ndarray:
    """float32 places counted from both ends to the middle, as `torch.linspace` gives them.

    PyTorch multiplies and adds with one rounding on any processor with AVX2; so does this, by a
    detour over double precision, where the product is exact.

    Returns:
        (*start.shape, count)
    """
    first = np.asarray(start, dtype=np.float32)[..., None]
    last = np.asarray(end, dtype=np.float32)[..., None]
    if count == 1:
        return first
    step = ((last - first) / np.float32(count - 1)).astype(np.float64)
    number = np.arange(count)
    from_start = first + step * number
    from_end = last - step * (count - 1 - number)
    return np.where(number < count // 2, from_start, from_end).astype(np.float32)
