from __future__ import annotations

import numpy as np
import pytest

from vidattn.errors import ArgumentError
from vidattn.selection import find_transitions, shot_bounds
from vidattn.selection.cells import cell_means
from vidattn.selection.steps import BLOCK, block_distances

HEIGHT, WIDTH = 36, 64


def scene(seed: int, length: int, *, drift: float = 0.0) -> np.ndarray:
    """A textured picture with a little noise, that moves `drift` pixels a frame: (T, H, W, 3)."""
    generator = np.random.default_rng(seed)
    wide = generator.integers(20, 230, (6, 40, 3)).repeat(6, axis=0).repeat(8, axis=1)
    starts = (np.arange(length) * drift).astype(int)
    frames = np.stack([wide[:, start : start + WIDTH] for start in starts])
    return frames + generator.integers(-3, 4, frames.shape)


def as_bytes(*parts: np.ndarray) -> np.ndarray:
    return np.concatenate(parts).clip(0, 255).astype(np.uint8)


def lead_over(old: np.ndarray, new: np.ndarray, kind: str) -> np.ndarray:
    """Frames between two scenes of the same length, which shows in all of them."""
    count = len(old)
    shares = ((np.arange(count) + 1) / (count + 1))[:, None, None, None]
    if kind == "dissolve":
        return old * (1 - shares) + new * shares
    if kind == "fade":
        return old * np.maximum(1 - 2 * shares, 0) + new * np.maximum(2 * shares - 1, 0)
    return np.where(np.arange(WIDTH)[:, None] < shares * WIDTH, new, old)


def found(frames: np.ndarray) -> list[tuple[int, int, str]]:
    return [tuple(each) for each in find_transitions(frames)]


def test_cuts_are_found_to_the_frame() -> None:
    lengths = [30, 17, 40, 22]
    frames = as_bytes(*[scene(seed, length) for seed, length in enumerate(lengths)])
    cuts = np.cumsum(lengths)[:-1].tolist()
    assert found(frames) == [(cut - 1, cut, "cut") for cut in cuts]


@pytest.mark.parametrize("kind", ["dissolve", "fade", "wipe"])
@pytest.mark.parametrize("length", [7, 14, 24])
def test_gradual_transitions_are_found_and_named(kind: str, length: int) -> None:
    old, new = scene(1, 40 + length), scene(2, 40 + length)
    between = lead_over(old[40:], new[:length], kind)
    [(last_old, first_new, name)] = found(as_bytes(old[:40], between, new[length:]))
    assert name == kind
    assert abs(last_old - 39) <= 2
    assert abs(first_new - (40 + length)) <= 2


def test_motion_noise_and_light_are_no_transitions() -> None:
    assert found(as_bytes(scene(3, 60, drift=3.0))) == []
    generator = np.random.default_rng(0)
    noisy = scene(4, 60) + generator.normal(0, 20, (60, HEIGHT, WIDTH, 1))
    assert found(as_bytes(noisy)) == []
    brighter = scene(5, 60) * np.linspace(0.5, 1.0, 60)[:, None, None, None]
    assert found(as_bytes(brighter)) == []
    assert found(np.zeros((60, HEIGHT, WIDTH, 3), np.uint8)) == []


@pytest.mark.parametrize("length", [1, 2, 3])
def test_a_flash_is_no_cut_and_hides_none(length: int) -> None:
    frames = as_bytes(scene(6, 30), scene(7, 30))
    frames[12 : 12 + length] = 255 - (255 - frames[12 : 12 + length]) // 4
    frames[34 : 34 + length] = 255 - (255 - frames[34 : 34 + length]) // 4
    assert found(frames) == [(29, 30, "cut")]


def test_a_fade_that_ends_with_a_cut_is_one_transition() -> None:
    old, new = scene(10, 50), scene(11, 30)
    dark = np.linspace(1, 0, 20)[:, None, None, None]
    [(last_old, first_new, kind)] = found(as_bytes(old[:30], old[30:] * dark, new))
    assert kind == "fade"
    assert abs(last_old - 30) <= 2
    assert first_new == 50


def test_a_cut_stands_out_where_one_side_moves() -> None:
    frames = as_bytes(scene(8, 30), scene(9, 30, drift=4.0))
    assert found(frames) == [(29, 30, "cut")]


@pytest.mark.parametrize("at_once", [1, 7, 1000])
def test_chunks_and_blocks_change_nothing(at_once: int) -> None:
    lengths = [300, 340, 385, 500, 100, 410, 300]  # cuts at the edges of blocks, and elsewhere
    frames = as_bytes(*[scene(seed, length) for seed, length in enumerate(lengths)])
    chunks = (frames[start : start + at_once] for start in range(0, len(frames), at_once))
    cuts = np.cumsum(lengths)[:-1].tolist()
    assert abs(cuts[2] - 1024) < 2
    assert [each.first_new for each in find_transitions(chunks)] == cuts


@pytest.mark.parametrize("count", [1, 2, 5])
def test_a_few_frames_are_enough(count: int) -> None:
    assert found(as_bytes(scene(0, count))) == []


def test_shots_lie_between_transitions() -> None:
    assert shot_bounds([], 7).tolist() == [[0, 7]]
    assert shot_bounds([[2, 3], [5, 9]], 12).tolist() == [[0, 3], [3, 6], [9, 12]]
    with pytest.raises(ArgumentError, match="transitions"):
        shot_bounds([[2, 12]], 12)


def test_cells_are_means_and_repeat_where_there_are_too_few_pixels() -> None:
    generator = np.random.default_rng(1)
    pictures = generator.integers(0, 256, (2, 7, 10, 3)).astype(np.uint8)
    means = cell_means(pictures, (3, 4))
    for row in range(3):
        for column in range(4):
            rows = slice(row * 7 // 3, (row + 1) * 7 // 3)
            columns = slice(column * 10 // 4, (column + 1) * 10 // 4)
            expected = pictures[:, rows, columns].astype(np.float64).mean(axis=(1, 2))
            np.testing.assert_allclose(means[:, row, column], expected, rtol=1e-5)
    assert cell_means(pictures, (14, 10))[0, 3, 2].tolist() == pictures[0, 1, 2].tolist()


def test_blocks_may_move_by_two_cells() -> None:
    generator = np.random.default_rng(2)
    wide = generator.uniform(0, 255, (1, 2 * BLOCK, 2 * BLOCK + 8, 3)).astype(np.float32)
    here, moved, far = wide[:, :, 4:-4], wide[:, :, 6:-2], wide[:, :, 7:-1]
    # Blocks at the edge have no neighbours to move to; the others are found again.
    assert block_distances(here, here).tolist() == [0]
    inner = slice(0, 2 * BLOCK)
    assert block_distances(here[:, inner], moved[:, inner])[0] < 30
    assert block_distances(here[:, inner], far[:, inner])[0] > 50
