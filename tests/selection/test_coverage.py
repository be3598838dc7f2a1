from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest

from vidattn.errors import ArgumentError
from vidattn.selection.coverage import cover_frames, coverage_scores
from vidattn.selection.sketch import Sketch, sketch_frames


def scenes(lengths: list[int], seed: int = 0) -> np.ndarray:
    """Textured still scenes one after the other, a little noise on each frame."""
    generator = np.random.default_rng(seed)
    frames = []
    for length in lengths:
        scene = generator.integers(0, 200, (6, 8, 3)).repeat(8, axis=0).repeat(8, axis=1)
        scene = scene + generator.integers(0, 40, scene.shape)
        noise = generator.integers(0, 8, (length, *scene.shape))
        frames.append((scene + noise).astype(np.uint8))
    return np.concatenate(frames)


def test_one_frame_of_each_scene_even_of_a_short_one() -> None:
    lengths = [30, 8, 40, 15]
    chosen = cover_frames(sketch_frames(scenes(lengths)), 4)
    borders = np.cumsum(lengths)
    assert np.searchsorted(borders, chosen, side="right").tolist() == [0, 1, 2, 3]


def test_blank_and_blurred_frames_are_avoided() -> None:
    frames = scenes([20, 20])
    frames[15:25] = 0  # a fade to black and back
    frames[::2] = frames[::2].mean(axis=(1, 2), keepdims=True).astype(np.uint8)
    chosen = cover_frames(sketch_frames(frames), 2)
    assert (chosen % 2 == 1).all()
    assert not ((chosen >= 15) & (chosen < 25)).any()


def test_a_still_video_gives_frames_spread_in_time() -> None:
    frames = np.repeat(scenes([1]), 90, axis=0)
    chosen = cover_frames(sketch_frames(frames), 3)
    assert np.diff([0, *chosen, 89]).max() <= 45
    assert np.diff(chosen).min() >= 15


def test_greedy_choice_is_near_the_best_of_all_sets() -> None:
    generator = np.random.default_rng(2)
    features = generator.random((12, 5)).astype(np.float32)
    sharpness = generator.random(12).astype(np.float32) + 0.1
    sketch = Sketch(np.arange(12), features, sharpness, 12, 1)

    full = np.concatenate([features, 0.15 * np.arange(12)[:, None] / 12], axis=1)
    squares = ((full[:, None] - full[None]) ** 2).sum(axis=2)
    represents = np.exp(-squares / np.median(squares))
    represents *= sharpness / (sharpness + np.median(sharpness))
    np.testing.assert_allclose(coverage_scores(sketch), represents.mean(axis=0), rtol=1e-4)

    def value(chosen: tuple[int, ...]) -> float:
        return represents[:, list(chosen)].max(axis=1).sum()

    best = max(combinations(range(12), 3), key=value)
    assert value(tuple(cover_frames(sketch, 3))) >= (1 - 1 / np.e) * value(best)
    assert value(tuple(cover_frames(sketch, 1))) == max(value((i,)) for i in range(12))


def test_the_sketch_is_bounded_and_complete_while_it_can_be() -> None:
    frames = scenes([25, 25], seed=4)
    whole = sketch_frames(frames, limit=64)
    assert whole.indices.tolist() == list(range(50))
    small = sketch_frames((frames[i : i + 7] for i in range(0, 50, 7)), limit=16)
    assert len(small.indices) < 16
    assert (small.step, small.frame_count) == (4, 50)
    # Of each four frames the sharpest one, as described without thinning.
    groups = [range(start, min(start + 4, 50)) for start in range(0, 50, 4)]
    assert small.indices.tolist() == [max(g, key=lambda i: whole.sharpness[i]) for g in groups]
    np.testing.assert_array_equal(small.features, whole.features[small.indices])
    assert coverage_scores(small).shape == (50,)
    assert np.searchsorted([25], cover_frames(small, 2), side="right").tolist() == [0, 1]


def test_distances_are_in_proportion() -> None:
    """Black against white is far; a slightly brighter copy is near."""
    black, white = np.zeros((40, 40, 3), np.uint8), np.full((40, 40, 3), 255, np.uint8)
    features = sketch_frames(np.stack([black, white, black + 5])).features
    assert 1 < np.linalg.norm(features[0] - features[1]) < 2
    assert np.linalg.norm(features[0] - features[2]) < 0.05


def test_gap_count_and_tiny_frames() -> None:
    sketch = sketch_frames(scenes([30]))
    assert np.diff(cover_frames(sketch, 3, minimum_gap=7)).min() >= 7
    for count in (5, 8, 29):
        assert len(cover_frames(sketch, count, minimum_gap=7)) == count
    assert len(cover_frames(sketch, 99)) == 30
    tiny = sketch_frames(np.zeros((3, 1, 2, 3), np.uint8))
    assert len(cover_frames(tiny, 2)) == 2
    with pytest.raises(ArgumentError, match="count"):
        cover_frames(sketch, 0)
    with pytest.raises(ArgumentError, match="at least one"):
        sketch_frames([])


def flat(*parts: tuple[int, int]) -> np.ndarray:
    """Frames without any texture: (length, grey level) of each scene."""
    rows = [np.full((length, 24, 32, 3), level, np.uint8) for length, level in parts]
    return np.concatenate(rows)


def test_flat_scenes_get_a_frame_each_and_the_rest_is_spread() -> None:
    detail = scenes([10], seed=3)
    frames = np.concatenate([np.full((300, *detail.shape[1:]), 200, np.uint8), detail])
    frames = np.concatenate([frames, np.full((20, *detail.shape[1:]), 30, np.uint8)])
    chosen = cover_frames(sketch_frames(frames), 6, minimum_gap=5)
    assert ((chosen >= 300) & (chosen < 310)).any()
    assert (chosen >= 310).any()
    first = np.diff([0, *chosen[chosen < 300], 300])
    assert first.max() <= 160


@pytest.mark.parametrize("level", [0, 128, 255])
def test_one_colour_is_spread_over_the_film(level: int) -> None:
    chosen = cover_frames(sketch_frames(flat((400, level))), 8, minimum_gap=10)
    assert len(chosen) == 8
    assert np.diff(chosen).min() >= 20
    assert np.diff([0, *chosen, 399]).max() <= 100


def test_each_of_three_flat_slides_is_shown() -> None:
    chosen = cover_frames(sketch_frames(flat((200, 0), (8, 120), (50, 250))), 3)
    assert np.searchsorted([200, 208], chosen, side="right").tolist() == [0, 1, 2]


@pytest.mark.parametrize("length", [1, 5, 8, 30, 75])
def test_as_many_as_there_are(length: int) -> None:
    sketch = sketch_frames(scenes([length]))
    for count in (1, 5, 8, 100):
        for gap in (0, 7, 1000):
            chosen = cover_frames(sketch, count, minimum_gap=gap)
            assert len(set(chosen.tolist())) == min(count, length)


def test_more_than_the_sketch_holds() -> None:
    sketch = sketch_frames(scenes([40]), limit=8)
    assert len(sketch.indices) < 8
    chosen = cover_frames(sketch, 20)
    assert len(set(chosen.tolist())) == 20
    assert np.diff([0, *chosen, 39]).max() <= 4
    assert cover_frames(sketch, 40).tolist() == list(range(40))


def test_gaps_are_seconds_and_time_is_not_counted_in_frames() -> None:
    frames = scenes([90], seed=5)
    seconds = np.concatenate([np.arange(60) / 60, 1 + np.arange(30) * 2.0])
    chosen = cover_frames(sketch_frames(frames), 8, minimum_gap=0.5, positions=seconds)
    assert np.diff(seconds[chosen]).min() >= 0.5
    # One of sixty seconds, with two thirds of the frames, needs no more than a few of eight.
    assert (seconds[chosen] < 1).sum() <= 2
