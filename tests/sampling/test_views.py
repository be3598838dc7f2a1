from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from vidattn.errors import ArgumentError, TooShortError
from vidattn.sampling import views
from vidattn.sampling.views import ClipShape

DENSE = [
    views.pyslowfast_views,
    views.pyslowfast_offset_views,
    views.timesformer_views,
    views.mmaction2_views,
    views.mmaction2_aligned_views,
    views.swin_views,
    views.videomae_views,
]
SPREAD = [
    views.mmaction2_spread_views,
    views.something_views,
    views.tsm_views,
    views.tsm_dense_views,
    views.videomae_something_views,
]
# Those that repeat frames where a video is too short; the others begin again.
REPEATING = [
    views.pyslowfast_views,
    views.pyslowfast_offset_views,
    views.timesformer_views,
    views.videomae_views,
    views.mmaction2_spread_views,
    views.something_views,
    views.tsm_views,
    views.videomae_something_views,
]

FRAMES = st.integers(1, 2000)
RATES = st.sampled_from([12.0, 24.0, 25.0, 30000 / 1001, 30.0, 50.0]) | st.floats(1, 240)


@st.composite
def shapes(draw):
    return ClipShape(
        frames=draw(st.integers(1, 64)),
        stride=draw(st.integers(1, 40)),
        views=2,
        target_fps=draw(st.sampled_from([30.0, 15.0, None])),
    )


@pytest.mark.parametrize("function", DENSE + SPREAD)
@given(FRAMES, RATES, shapes())
def test_shape_and_range(function, frame_count, fps, clip):
    found = function(frame_count, fps, clip)
    assert found.shape == (clip.views, clip.frames)
    assert found.dtype == np.int64
    assert found.min() >= 0
    assert found.max() < frame_count


@pytest.mark.parametrize("function", REPEATING)
@given(FRAMES, RATES, shapes())
def test_frames_come_in_order(function, frame_count, fps, clip):
    if function in (views.pyslowfast_views, views.timesformer_views) and clip.target_fps:
        fps = max(fps, clip.target_fps)  # a span below a frame has its end before its start
    assert (np.diff(function(frame_count, fps, clip), axis=1) >= 0).all()


@pytest.mark.parametrize(
    "function", [views.mmaction2_views, views.swin_views, views.tsm_dense_views]
)
@given(st.integers(1, 40), st.integers(1, 8), st.integers(0, 500))
def test_long_videos_are_not_looped(function, frames, stride, room):
    frame_count = max(frames * stride, 64) + room
    found = function(frame_count, 30.0, ClipShape(frames, stride, 3))
    assert (np.diff(found, axis=1) > 0).all()
    assert (np.diff(found[:, 0]) >= 0).all()


@given(st.integers(2, 64), st.integers(1, 16), st.integers(2, 12), st.integers(0, 900))
def test_the_last_clip_reaches_the_end_only_where_it_is_said_to(frames, stride, number, room):
    span = (frames - 1) * stride + 1
    clip = ClipShape(frames, stride, number, 30.0)
    assert views.mmaction2_views(span + room, 30.0, clip)[-1, -1] == span + room - 1
    assert views.torchvision_views(span + room, 30.0, clip)[-1, -1] == span + room - 1
    missed = room + span - 1 - views.pyslowfast_views(span + room, 30.0, clip)[-1, -1]
    assert missed >= max(room - stride + 1, 0) // number


@given(
    st.floats(0, 1e5),
    st.floats(0, 600),
    st.integers(1, 200),
)
def test_places_are_torch_linspace(start, span, count):
    # One rounding or two: PyTorch has both, by processor; either is within a unit of the other.
    expected = torch.linspace(start, start + span, count).numpy()
    np.testing.assert_allclose(views._linspace(start, start + span, count), expected, rtol=2e-7)


def test_a_short_video_repeats_or_loops_by_hand():
    clip = ClipShape(frames=8, stride=1, views=1, target_fps=30.0)
    for function, expected in [
        (views.pyslowfast_views, [0, 1, 2, 3, 4, 4, 4, 4]),
        (views.videomae_views, [0, 1, 2, 3, 4, 4, 4, 4]),
        (views.mmaction2_views, [0, 1, 2, 3, 4, 0, 1, 2]),
        (views.mmaction2_aligned_views, [0, 1, 2, 3, 4, 0, 1, 2]),
        (views.swin_views, [0, 1, 2, 3, 4, 0, 1, 2]),
        (views.tsm_dense_views, [0, 3, 1, 4, 2, 0, 3, 1]),
        (views.tsm_views, [0, 0, 1, 2, 2, 3, 4, 4]),
        (views.something_views, [0, 0, 1, 2, 2, 2, 3, 4]),
    ]:
        assert function(5, 30.0, clip).tolist() == [expected], function.__name__


def test_thirty_view_conventions_by_hand():
    # 100 frames at 30 fps, clips of 4 × 8: the span is 32 places or 25 frames.
    clip = ClipShape(frames=4, stride=8, views=3, target_fps=30.0)
    assert views.pyslowfast_views(100, 30.0, clip).tolist() == [
        [0, 10, 20, 31],
        [22, 33, 43, 53],
        [45, 55, 66, 76],
    ]
    assert views.pyslowfast_offset_views(100, 30.0, clip).tolist() == [
        [0, 10, 20, 31],
        [34, 44, 54, 65],
        [68, 78, 88, 99],
    ]
    assert views.mmaction2_views(100, 30.0, clip).tolist() == [
        [0, 8, 16, 24],
        [38, 46, 54, 62],
        [75, 83, 91, 99],
    ]
    assert views.swin_views(100, 30.0, clip).tolist() == [
        [11, 19, 27, 35],
        [34, 42, 50, 58],
        [57, 65, 73, 81],
    ]
    # Every eighth frame is 13 frames, of which 3 clips of 4 start at 0, 4.5 and 9.
    assert views.videomae_views(100, 30.0, clip).tolist() == [
        [0, 8, 16, 24],
        [32, 40, 48, 56],
        [72, 80, 88, 96],
    ]


def test_starts_are_divided_before_they_are_multiplied():
    # The eighth of 15 views: 7 · (29 / 14) comes out a little above the half that 7 · 29 / 14 is.
    found = views.mmaction2_views(31, 30.0, ClipShape(frames=2, stride=1, views=15))
    assert found[:, 0].tolist() == [0, 2, 4, 6, 8, 10, 12, 15, 17, 19, 21, 23, 25, 27, 29]


def test_half_the_rate_spans_half_the_frames():
    clip = ClipShape(frames=4, stride=8, views=1, target_fps=30.0)
    assert views.pyslowfast_offset_views(100, 15.0, clip).tolist() == [[42, 47, 52, 57]]
    assert views.mmaction2_aligned_views(100, 15.0, clip).tolist() == [[42, 47, 52, 57]]
    assert views.timesformer_views(100, 15.0, clip).tolist() == [[0, 5, 10, 15]]


def test_resampling_by_hand():
    clip = ClipShape(frames=3, stride=1, views=2, target_fps=12.0)
    # 30 → 12 fps keeps frames 0, 2, 5, 7, 10, 12, 15, 17 of 20.
    assert views.torchvision_views(20, 30.0, clip).tolist() == [[0, 2, 5], [12, 15, 17]]
    # A whole number of frames apart: 24 → 12 fps.
    assert views.torchvision_views(9, 24.0, clip).tolist() == [[0, 2, 4], [4, 6, 8]]
    with pytest.raises(TooShortError, match="at least 3 frames at 12 fps, got 2"):
        views.torchvision_views(5, 30.0, clip)


def test_single_frames_by_hand():
    clip = ClipShape(frames=1, stride=1, views=5)
    assert views.mmaction2_views(53, 30.0, clip).ravel().tolist() == [5, 15, 26, 37, 47]
    assert views.tsn_views(53, 30.0, clip).ravel().tolist() == [0, 13, 26, 39, 52]
    assert views.tsn_views(52, 30.0, clip).ravel().tolist() == [0, 12, 24, 36, 48]
    assert views.tsn_views(4, 30.0, clip).ravel().tolist() == [0] * 5


@pytest.mark.parametrize(
    ("function", "number"), [(views.tsm_views, 3), (views.videomae_something_views, 1)]
)
def test_refuses_numbers_of_views_that_the_source_has_not(function, number):
    with pytest.raises(ArgumentError, match="views"):
        function(50, 30.0, ClipShape(8, 1, number))
