from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy import ndimage

from vidattn.errors import ArgumentError
from vidattn.selection.regions import (
    cells_to_pixels,
    energy_box,
    peak_location,
    threshold_regions,
)

maps = hnp.arrays(
    np.int64, st.tuples(st.integers(1, 7), st.integers(1, 7)), elements=st.integers(0, 5)
)


@given(maps, st.sampled_from([0.2, 0.5, 1.0]))
@settings(deadline=None)
def test_regions_are_scipys_components(values: np.ndarray, fraction: float) -> None:
    boxes = threshold_regions(values, fraction=fraction, count=49)
    keep = (values >= fraction * values.max()) & (values > 0)
    labels, number = ndimage.label(keep, structure=np.ones((3, 3)))
    expected = {
        (s[1].start, s[0].start, s[1].stop, s[0].stop) for s in ndimage.find_objects(labels)
    }
    assert len(boxes) == number
    assert {tuple(box) for box in boxes.astype(int).tolist()} == expected
    peaks = [values[int(y1) : int(y2), int(x1) : int(x2)].max() for x1, y1, x2, y2 in boxes]
    if peaks:
        assert peaks[0] == values.max()


def test_fewer_boxes_are_the_first_of_more() -> None:
    values = np.random.default_rng(0).random((12, 12)) ** 4
    many = threshold_regions(values, fraction=0.3, count=9)
    np.testing.assert_array_equal(threshold_regions(values, fraction=0.3, count=2), many[:2])


@given(maps, st.sampled_from([0.3, 0.5, 0.9, 1.0]))
@settings(deadline=None, max_examples=60)
def test_energy_box_is_the_smallest_of_all(values: np.ndarray, fraction: float) -> None:
    boxes = energy_box(values, fraction=fraction)
    if values.max() == 0:
        assert boxes.shape == (0, 4)
        return
    height, width = values.shape
    areas = [
        (x2 - x1) * (y2 - y1)
        for y1 in range(height)
        for y2 in range(y1 + 1, height + 1)
        for x1 in range(width)
        for x2 in range(x1 + 1, width + 1)
        if values[y1:y2, x1:x2].sum() >= fraction * values.sum() - 1e-6
    ]
    x1, y1, x2, y2 = boxes[0].astype(int)
    assert (x2 - x1) * (y2 - y1) == min(areas)
    assert values[y1:y2, x1:x2].sum() >= fraction * values.sum() - 1e-6


@given(st.floats(1.0, 6.0), st.floats(1.0, 8.0))
@settings(deadline=None)
def test_the_peak_of_a_smooth_bump_is_found_within_a_tenth_of_a_cell(x: float, y: float) -> None:
    rows, columns = np.mgrid[0:9, 0:7] + 0.5
    bump = np.exp(-((columns - x) ** 2 + (rows - y) ** 2) / (2 * 1.5**2))
    found = peak_location(bump)
    assert abs(found[0] - x) < 0.1 or not 1 < int(x) < 5
    assert abs(found[1] - y) < 0.1 or not 1 < int(y) < 7


def test_a_flat_map_points_to_its_middle_and_zeros_have_no_region() -> None:
    assert peak_location(np.ones((5, 7))) == (3.5, 2.5)
    assert peak_location(np.zeros((5, 7))) == (3.5, 2.5)
    assert threshold_regions(np.zeros((5, 7))).shape == (0, 4)


def test_tiny_weights_are_as_good_as_large_ones() -> None:
    values = np.random.default_rng(3).random((6, 6))
    tiny = values * 1e-300
    np.testing.assert_allclose(peak_location(tiny), peak_location(values), atol=1e-9)
    np.testing.assert_array_equal(energy_box(tiny), energy_box(values))
    np.testing.assert_array_equal(threshold_regions(tiny), threshold_regions(values))


@pytest.mark.parametrize("bad", [[[-1.0]], [[float("nan")]], [1.0], np.zeros((0, 3))])
def test_bad_maps_are_refused(bad: object) -> None:
    for function in (peak_location, threshold_regions, energy_box):
        with pytest.raises(ArgumentError, match="weights"):
            function(bad)  # type: ignore[operator]


def test_fractions_outside_0_to_1_are_refused() -> None:
    for function in (threshold_regions, energy_box):
        for fraction in (0, 1.1, float("nan")):
            with pytest.raises(ArgumentError, match="fraction"):
                function([[1.0]], fraction=fraction)


def test_cells_lie_half_a_stride_around_their_centres() -> None:
    # Cell 2 of a network with stride 8 and offset 0 is centred on pixel 16, that is on 16.5.
    place = cells_to_pixels([[2.5, 1.5]], stride=(4, 8), offset=(1.5, 0), size=(60, 60))
    np.testing.assert_allclose(place, [[16.5, 6.0]])
    box = cells_to_pixels([[0, 0, 3, 2]], stride=(4, 8), offset=(1.5, 0), size=(7, 60))
    np.testing.assert_allclose(box, [[0, 0, 20.5, 7]])  # cut at the picture's edges
