from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vidattn.errors import ArgumentError
from vidattn.sampling import dense_span, sliding_windows, window_starts

counts = st.integers(1, 400)
lengths = st.integers(1, 20)


@given(counts, lengths, st.integers(1, 6), st.data())
def test_windows_cover_the_video_to_its_last_frame(frame_count, length, stride, data):
    hop = data.draw(st.integers(1, length * stride))
    indices, valid = sliding_windows(frame_count, length, stride=stride, hop=hop)
    assert indices.shape == valid.shape
    assert indices.shape[1] == length
    seen = np.unique(indices[valid])
    assert seen[0] == 0
    if frame_count >= dense_span(length, stride):
        assert valid.all()
        assert seen[-1] == frame_count - 1
    # No gap between seen frames is longer than a step within a window.
    assert np.diff(seen, append=frame_count - 1).max() <= stride
    if stride == 1:
        assert seen.tolist() == list(range(frame_count))


@given(counts, lengths, st.integers(1, 6), st.data())
def test_windows_are_a_hop_apart_but_for_the_last(frame_count, length, stride, data):
    hop = data.draw(st.integers(1, length * stride))
    starts = window_starts(frame_count, length, stride, hop)
    steps = np.diff(starts)
    assert starts[0] == 0
    assert (steps[:-1] == hop).all()
    assert ((steps > 0) & (steps <= hop)).all()
    assert len(starts) <= 2 + frame_count // hop


@given(counts, lengths, st.floats(0.2, 6, allow_nan=False))
def test_fractional_strides_cover_too(frame_count, length, stride):
    indices, valid = sliding_windows(frame_count, length, stride=stride)
    seen = np.unique(indices[valid])
    assert seen[0] == 0
    assert np.diff(seen, append=frame_count - 1).max() <= np.ceil(stride)


def test_by_hand():
    indices, valid = sliding_windows(10, 4, hop=3)
    assert indices.tolist() == [[0, 1, 2, 3], [3, 4, 5, 6], [6, 7, 8, 9]]
    assert valid.all()
    indices, valid = sliding_windows(11, 4, hop=4)
    assert indices[:, 0].tolist() == [0, 4, 7]
    indices, valid = sliding_windows(3, 4)
    assert indices.tolist() == [[0, 1, 2, 2]]
    assert valid.tolist() == [[True, True, True, False]]


def test_refuses_a_hop_that_leaves_gaps():
    with pytest.raises(ArgumentError, match="at most length · stride = 8, got 9"):
        sliding_windows(100, 4, stride=2, hop=9)
    with pytest.raises(ArgumentError, match="hop"):
        sliding_windows(100, 4, hop=0)
    with pytest.raises(ArgumentError, match="frame_count"):
        sliding_windows(0, 4)
