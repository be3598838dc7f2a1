from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vidattn.errors import ArgumentError
from vidattn.sampling import pad


@given(st.lists(st.integers(0, 60), max_size=30), st.integers(1, 40))
def test_positions_past_the_end_become_marked_repeats_of_the_last_frame(positions, frame_count):
    indices, valid = pad(np.array(positions, dtype=np.int64), frame_count)
    expected = [(p, True) if p < frame_count else (frame_count - 1, False) for p in positions]
    assert list(zip(indices.tolist(), valid.tolist(), strict=True)) == expected
    assert indices.dtype == np.int64
    assert valid.dtype == np.bool_


def test_keeps_the_shape():
    indices, valid = pad(np.arange(6).reshape(2, 3), 4)
    assert indices.tolist() == [[0, 1, 2], [3, 3, 3]]
    assert valid.tolist() == [[True, True, True], [True, False, False]]


@pytest.mark.parametrize(("indices", "count"), [([0], 0), ([0], -1), ([-1, 2], 5)])
def test_refuses_empty_videos_and_negative_positions(indices, count):
    with pytest.raises(ArgumentError):
        pad(np.array(indices), count)
