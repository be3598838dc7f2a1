from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vidattn.errors import ArgumentError
from vidattn.sampling import crop_positions


@st.composite
def frames_and_crops(draw):
    height, width = draw(st.integers(1, 400)), draw(st.integers(1, 400))
    return (height, width), (draw(st.integers(1, height)), draw(st.integers(1, width)))


@given(frames_and_crops(), st.sampled_from([1, 3]))
def test_crops_lie_inside_and_the_centre_is_in_the_middle(sizes, crops):
    (height, width), (crop_height, crop_width) = sizes
    positions = crop_positions((height, width), (crop_height, crop_width), crops).tolist()
    assert len(positions) == crops
    for top, left in positions:
        assert 0 <= top <= height - crop_height
        assert 0 <= left <= width - crop_width
    top, left = positions[crops // 2]
    assert height - crop_height - 2 * top in (0, 1)
    assert width - crop_width - 2 * left in (0, 1)


@given(frames_and_crops())
def test_three_crops_touch_both_ends_of_the_longer_side(sizes):
    (height, width), crop = sizes
    first, centre, last = crop_positions((height, width), crop, 3).tolist()
    longer, shorter = (0, 1) if height > width else (1, 0)
    assert first[longer] == 0
    assert last[longer] == (height, width)[longer] - crop[longer]
    assert first[shorter] == centre[shorter] == last[shorter]


def test_by_hand():
    assert crop_positions((256, 341), (256, 256), 3).tolist() == [[0, 0], [0, 42], [0, 85]]
    assert crop_positions((341, 256), (224, 224), 3).tolist() == [[0, 16], [58, 16], [117, 16]]


@pytest.mark.parametrize(
    ("size", "crop", "crops"), [((10, 10), (11, 5), 1), ((10, 10), (5, 5), 2), ((9, 9), (0, 3), 1)]
)
def test_refuses_crops_that_do_not_fit(size, crop, crops):
    with pytest.raises(ArgumentError):
        crop_positions(size, crop, crops)
