from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest

from vidattn.errors import ArgumentError
from vidattn.selection.coverage import representation
from vidattn.selection.gaps import Gaps
from vidattn.selection.part_coverage import cover_by_parts
from vidattn.selection.sketch import Sketch, sketch_frames


def sketch_of(looks: list[int], seed: int = 0) -> Sketch:
    """Frames of scenes that look alike where their numbers are equal."""
    generator = np.random.default_rng(seed)
    scenes = generator.integers(0, 256, (max(looks) + 1, 8, 8, 3)).repeat(8, 1).repeat(8, 2)
    frames = scenes[looks] + generator.integers(-2, 3, (len(looks), 64, 64, 3))
    return sketch_frames(frames.clip(0, 255).astype(np.uint8))


def parts_of(count: int, length: int) -> np.ndarray:
    return np.array([[start, start + length] for start in range(0, count * length, length)])


def stood_for(sketch: Sketch, parts: np.ndarray, chosen: tuple[int, ...]) -> float:
    """How much of the film some parts stand for: each frame by the best frame of any of them."""
    represents = representation(sketch, Gaps(sketch.frame_count, 0)).astype(np.float64)
    frames = [frame for number in chosen for frame in range(*parts[number])]
    return float(represents[:, frames].max(axis=1).mean()) if frames else 0.0


def test_each_kind_of_scene_is_kept_before_any_is_kept_twice() -> None:
    looks = [0] * 20 + [1] * 10 + [0] * 20 + [2] * 10
    parts = parts_of(6, 10)
    numbers, _ = cover_by_parts(sketch_of(looks), parts, np.full(6, 2.0), 6.0)
    assert sorted(looks[parts[number][0]] for number in numbers) == [0, 1, 2]


@pytest.mark.parametrize("seed", range(6))
def test_greedy_is_within_its_bound_of_the_best_choice(seed: int) -> None:
    """By trying all choices; for equal lengths the greedy has at least 1 - 1/e of the best."""
    looks = np.random.default_rng(seed).integers(0, 5, 9).repeat(4).tolist()
    sketch, parts = sketch_of(looks, seed), parts_of(9, 4)
    numbers, worth = cover_by_parts(sketch, parts, np.full(9, 1.5), 4.6)
    assert len(numbers) == 3
    best = max(stood_for(sketch, parts, each) for each in combinations(range(9), 3))
    ours = stood_for(sketch, parts, tuple(numbers.tolist()))
    assert (1 - 1 / np.e) * best <= ours <= best + 1e-6
    assert worth.sum() == pytest.approx(ours, abs=1e-5)


def test_the_budget_is_kept_and_filled() -> None:
    generator = np.random.default_rng(0)
    looks = generator.integers(0, 6, 12).repeat(5).tolist()
    sketch, parts = sketch_of(looks), parts_of(12, 5)
    for _ in range(20):
        lengths = generator.uniform(0.2, 5, 12)
        budget = generator.uniform(0, lengths.sum())
        numbers, _ = cover_by_parts(sketch, parts, lengths, budget)
        left = budget - lengths[numbers].sum()
        assert left >= -1e-6
        others = np.setdiff1d(np.arange(12), numbers)
        assert (lengths[others] > left).all()
        assert numbers.tolist() == sorted(set(numbers.tolist()))


def test_a_still_film_is_spread_over_its_time() -> None:
    parts = parts_of(9, 4)
    numbers, worth = cover_by_parts(sketch_of([0] * 36), parts, np.full(9, 1.0), 3.0)
    assert numbers[-1] - numbers[0] >= 4
    assert (np.diff(numbers) > 1).all()
    assert worth.max() > 0


def test_flashes_are_no_bargain() -> None:
    """A part of a fifth of a second costs a second: the longer part of the same scene is kept."""
    looks = [0] * 5 + [1] * 25
    parts = np.array([[0, 5], [5, 30]])
    numbers, _ = cover_by_parts(sketch_of(looks), parts, [0.2, 1.0], 1.0)
    assert numbers.tolist() == [1]


def test_parts_that_the_sketch_left_out_are_parts_too() -> None:
    frames = np.random.default_rng(0).integers(0, 256, (64, 32, 32, 3), np.uint8)
    sketch = sketch_frames(frames, limit=8)
    parts = parts_of(32, 2)
    numbers, _ = cover_by_parts(sketch, parts, np.full(32, 1.0), 40.0)
    assert numbers.tolist() == list(range(32))


def test_lengths_are_above_0() -> None:
    with pytest.raises(ArgumentError, match="lengths_seconds"):
        cover_by_parts(sketch_of([0, 1]), [[0, 1], [1, 2]], [1, 0], 1.0)
