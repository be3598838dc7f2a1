from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torchvision.transforms import functional

from vidattn.errors import ArgumentError
from vidattn.sampling import crop_positions, crops

RULES = {
    crops.floor_centre: 1,
    crops.ceil_centre: 1,
    crops.even_centre: 1,
    crops.pyslowfast_three_crops: 3,
    crops.mmaction2_three_crops: 3,
    crops.videomae_three_crops: 3,
    crops.tsm_three_crops: 3,
    crops.quarter_ten_crops: 10,
    crops.caffe_ten_crops: 10,
    crops.torchvision_ten_crops: 10,
}


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


@pytest.mark.parametrize("rule", RULES)
@given(st.integers(1, 400), st.integers(0, 400), st.booleans())
def test_published_crops_lie_inside(rule, side, room, portrait):
    size = (side + room, side) if portrait else (side, side + room)
    found = rule(size, side)
    assert len(found) == RULES[rule]
    for top, left, _ in found:
        assert 0 <= top <= size[0] - side
        assert 0 <= left <= size[1] - side
    assert sum(flipped for _, _, flipped in found) == (5 if RULES[rule] == 10 else 0)


def cut(frame, side, position):
    part = frame[..., position.top : position.top + side, position.left : position.left + side]
    return part.flip(-1) if position.flipped else part


@given(st.integers(1, 30), st.integers(0, 9), st.integers(0, 9))
def test_ten_crops_and_centre_are_torchvisions(side, below, beside):
    size = side + below, side + beside
    frame = torch.arange(size[0] * size[1]).reshape(1, *size)
    expected = functional.ten_crop(frame, [side, side])
    found = [cut(frame, side, one) for one in crops.torchvision_ten_crops(size, side)]
    assert all(torch.equal(*pair) for pair in zip(found, expected, strict=True))
    (centre,) = crops.even_centre(size, side)
    assert torch.equal(cut(frame, side, centre), functional.center_crop(frame, [side, side]))


def test_where_three_crops_disagree_by_hand():
    # 256 × 341 leaves 85 columns, an odd number.
    assert [left for _, left, _ in crops.pyslowfast_three_crops((256, 341), 256)] == [0, 43, 85]
    assert [left for _, left, _ in crops.videomae_three_crops((256, 341), 256)] == [0, 42, 85]
    assert [left for _, left, _ in crops.mmaction2_three_crops((256, 341), 256)] == [0, 84, 42]
    assert [left for _, left, _ in crops.tsm_three_crops((256, 341), 256)] == [0, 84, 42]
    assert [top for top, _, _ in crops.mmaction2_three_crops((341, 256), 256)] == [0, 84, 42]
    assert crops.tsm_three_crops((341, 256), 256) == [(42, 0, False)] * 3


def test_where_centres_disagree_by_hand():
    assert crops.floor_centre((255, 257), 224) == [(15, 16, False)]
    assert crops.ceil_centre((255, 257), 224) == [(16, 17, False)]
    assert crops.even_centre((255, 257), 224) == [(16, 16, False)]


def test_ten_crops_by_hand():
    # 32 rows and 116 columns are left: quarters of 8 and 29. In Caffe all mirrored ones are last.
    corners = [(0, 0), (0, 116), (32, 0), (32, 116), (16, 58)]
    assert crops.quarter_ten_crops((256, 340), 224) == [
        (*place, flipped) for place in corners for flipped in (False, True)
    ]
    assert crops.caffe_ten_crops((256, 340), 224) == [
        (*place, flipped) for flipped in (False, True) for place in corners
    ]
    # 117 columns: three of a quarter's 29 are lost, and the centre is two quarters from the left.
    assert {left for _, left, _ in crops.quarter_ten_crops((256, 341), 224)} == {0, 116, 58}
    assert {left for _, left, _ in crops.quarter_ten_crops((256, 343), 224)} == {0, 116, 58}
    assert {left for _, left, _ in crops.caffe_ten_crops((256, 343), 224)} == {0, 119, 59}


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("side", [0, 11])
def test_published_crops_refuse_what_does_not_fit(rule, side):
    with pytest.raises(ArgumentError, match="crop_size"):
        rule((10, 12), side)


@pytest.mark.parametrize("rule", [crops.mmaction2_three_crops, crops.videomae_three_crops])
def test_some_three_crops_must_fill_the_shorter_side(rule):
    with pytest.raises(ArgumentError, match="the shorter side"):
        rule((256, 341), 224)
    assert np.array(rule((256, 256), 256)).any() == 0
