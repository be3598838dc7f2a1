from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torchvision.ops import box_iou as reference_iou

from vidattn.errors import ArgumentError
from vidattn.evaluation.metrics.regions import box_iou, energy_inside, map_iou, pointing_game


@st.composite
def box_lists(draw: st.DrawFn, scale: int = 8) -> list[list[float]]:
    """Boxes on quarter cells, so that brute force can count pieces."""
    boxes = []
    for _ in range(draw(st.integers(1, 3))):
        x1, y1 = draw(st.integers(-8, 4 * scale - 1)), draw(st.integers(-8, 4 * scale - 1))
        x2, y2 = draw(st.integers(x1 + 1, 4 * scale + 8)), draw(st.integers(y1 + 1, 4 * scale + 8))
        boxes.append([x1 / 4, y1 / 4, x2 / 4, y2 / 4])
    return boxes


@given(box_lists(), box_lists())
@settings(deadline=None)
def test_iou_equals_torchvision(first: list, second: list) -> None:
    tensors = [torch.tensor(boxes, dtype=torch.float64) for boxes in (first, second)]
    np.testing.assert_allclose(box_iou(first, second), reference_iou(*tensors).numpy(), atol=1e-12)


@given(box_lists(), st.integers(0, 2**32 - 1))
@settings(deadline=None)
def test_energy_by_counting_quarter_cells(boxes: list, seed: int) -> None:
    weights = np.random.default_rng(seed).random((8, 8)) + 0.01
    fine = weights.repeat(4, axis=0).repeat(4, axis=1)
    inside = np.zeros_like(fine, dtype=bool)
    for box in boxes:
        x1, y1, x2, y2 = (max(0, int(4 * edge)) for edge in box)
        inside[y1:y2, x1:x2] = True
    assert energy_inside(weights, boxes) == pytest.approx(fine[inside].sum() / fine.sum())


def test_points_in_any_of_the_boxes_of_their_own_frame() -> None:
    boxes = [[[0, 0, 2, 2], [5, 5, 6, 6]], [5, 5, 6, 6], [[0, 0, 1, 1]]]
    assert pointing_game([[5.5, 5.2], [1, 1], [1, 1]], boxes).tolist() == [True, False, True]


def test_nonsense_is_refused() -> None:
    for boxes in (
        [[0, 0, 1, 1]],
        [["a"] * 4] * 2,
        [[[0, 0, 1], [1]]] * 2,
        [3, 3],
        [[], [0, 0, 1, 1]],
        [[0, 0, 1, 1], [0, 0, 0, 1]],
    ):
        with pytest.raises(ArgumentError, match="boxes"):
            pointing_game([[0, 0], [0, 0]], boxes)
    with pytest.raises(ArgumentError, match="points"):
        pointing_game([[np.nan, 0]], [[0, 0, 1, 1]])
    with pytest.raises(ArgumentError, match="second"):
        box_iou([[0, 0, 1, 1]], [[1, 0, 0, 1]])
    for weights in (np.zeros((2, 2)), [[-1.0]], [[np.nan]], np.zeros((0, 2))):
        with pytest.raises(ArgumentError, match="weights"):
            energy_inside(weights, [0, 0, 1, 1])
    assert energy_inside([[1.0]], []) == 0
    assert box_iou([], [[0, 0, 1, 1]]).shape == (0, 1)


def test_map_iou_is_that_of_counted_cells() -> None:
    generator = np.random.default_rng(3)
    for _ in range(50):
        weights = generator.random((6, 9))
        x1, y1 = generator.integers(0, 6), generator.integers(0, 4)
        x2, y2 = generator.integers(x1 + 1, 12), generator.integers(y1 + 1, 8)
        inside = np.zeros(weights.shape, dtype=bool)
        inside[y1:y2, x1:x2] = True
        strong = weights >= 0.6 * weights.max()
        wanted = (inside & strong).sum() / (inside | strong).sum()
        found = map_iou(weights, [x1, y1, x2, y2], threshold=0.6)
        assert found == pytest.approx(wanted, abs=1e-12)
    with pytest.raises(ArgumentError, match="threshold"):
        map_iou([[1.0]], [0, 0, 1, 1], threshold=0.0)
    with pytest.raises(ArgumentError, match="positive"):
        map_iou([[0.0]], [0, 0, 1, 1])
