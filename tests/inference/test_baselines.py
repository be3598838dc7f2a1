from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from vidattn.data.actions import Truth
from vidattn.inference import baselines as whereabouts
from vidattn.inference.baselines import Whereabouts
from vidattn.jobs import looks
from vidattn.models import LoadedRecogniser
from vidattn.video import open_video

FIRST = Truth(2, 4, [[0, 0, 10, 10], [0, 0, 10, 10]])
SECOND = Truth(3, 6, [[20, 0, 30, 10]] * 3)


def test_actions_that_overlap_share_their_frames() -> None:
    found = whereabouts.boxes_by_frame([SECOND, FIRST])
    assert list(found) == [2, 3, 4, 5]
    assert sorted(found[3]) == [[0, 0, 10, 10], [20, 0, 30, 10]]
    assert found[5] == [[20, 0, 30, 10]]


def test_a_key_frame_may_be_inside_any_action() -> None:
    late = Truth(8, 9, [[0, 0, 1, 1]])
    found = whereabouts.keyframe_precisions({"mine": [3, 8, 6, 9]}, [FIRST, late], 10, 5)
    assert found["mine"] == 0.5
    assert found["random"] == pytest.approx(3 / 10)
    assert found["uniform"] == pytest.approx(1 / 5)  # frames 1, 3, 5, 7, 9


def test_the_best_of_several_true_boxes_counts() -> None:
    boxes = np.tile([20.0, 0, 30, 5], (10, 1))  # half of the second action's box
    points = np.tile([25.0, 2], (10, 1))
    mine = Whereabouts(np.zeros(10), points, boxes)
    hits, overlaps = whereabouts.region_matches({"mine": mine}, (10, 30), [FIRST, SECOND], (10, 10))
    # Frame 2 has only the first action, frames 3 to 5 have the second.
    assert hits["mine"] == pytest.approx(3 / 4)
    assert overlaps["mine"] == pytest.approx(3 / 4 * 1 / 2)
    assert hits["centre"] == 0  # at x = 15, between the two
    assert overlaps["centre"] == 0


def test_weight_inside_the_box_is_counted_point_by_point() -> None:
    generator = np.random.default_rng(0)
    maps = [generator.random((3, 4)) for _ in range(10)]
    extents = np.tile([-2.0, 1.0, 30.0, 10.0], (10, 1))
    mine = Whereabouts(np.zeros(10), np.zeros((10, 2)), np.zeros((10, 4)), maps, extents)
    found = whereabouts.region_energies({"mine": mine}, (10, 30), [FIRST, SECOND])
    # 100 points across and down for every cell of 8 × 3 pixels.
    x = -2 + (np.arange(400) + 0.5) * 0.08
    y = 1 + (np.arange(300) + 0.5) * 0.03
    shares = []
    for frame, boxes in whereabouts.boxes_by_frame([FIRST, SECOND]).items():
        dense = np.kron(maps[frame], np.ones((100, 100)))
        inside = np.zeros(dense.shape, dtype=bool)
        for x1, y1, x2, y2 in boxes:
            inside |= ((y >= y1) & (y < y2))[:, None] & ((x >= x1) & (x < x2))
        shares.append(dense[inside].sum() / dense.sum())
    assert found["mine"] == pytest.approx(np.mean(shares), abs=2e-3)
    # A third of the frame, in frame 3 two thirds.
    assert found["even"] == pytest.approx((3 * 1 / 3 + 2 / 3) / 4)


def test_the_centre_is_as_large_as_the_mean_box() -> None:
    assert whereabouts.mean_box_size([Truth(0, 1, [[0, 0, 4, 2]]), SECOND]).tolist() == [8.5, 8]


def test_attention_is_where_it_is_bright_and_shuffled_it_is_not(
    loaded_brightness: LoadedRecogniser, write_flash: Callable[..., Path]
) -> None:
    with open_video(write_flash()) as reader:
        attention, places = looks.look(loaded_brightness, reader, seed=0)
        other = looks.of_attention(attention, shuffled_by=np.random.default_rng(1))
        truth = Truth(20, 30, [[60, 16, 84, 40]] * 10)
        hits, _ = whereabouts.region_matches(places, reader.size, [truth], (24, 24))
        energies = whereabouts.region_energies(places, reader.size, [truth])
    own, shuffled = places["attention"], places["shuffled"]
    assert 20 <= own.scores.argmax() < 30
    assert hits["attention"] == 1
    assert hits["shuffled"] < 0.7
    assert energies["attention"] > 0.7
    # Only the first of the ten frames differs where the flash is: then it stands still.
    assert 0.05 < energies["difference"] < 0.1
    assert energies["shuffled"] < 0.3
    assert energies["even"] == pytest.approx(24 * 24 / (64 * 96))
    for scores in (shuffled.scores, other.scores):
        assert np.sort(scores).tolist() == np.sort(own.scores).tolist()
    assert not np.array_equal(shuffled.scores, other.scores)
