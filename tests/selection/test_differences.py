from __future__ import annotations

import numpy as np
import pytest

from vidattn.errors import ArgumentError
from vidattn.selection.differences import difference_maps, difference_scores


@pytest.fixture
def frames() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (9, 12, 10, 3), dtype=np.uint8)


def test_scores_are_mean_absolute_differences(frames: np.ndarray) -> None:
    expected = np.abs(np.diff(frames.astype(float), axis=0)).mean(axis=(1, 2, 3))
    np.testing.assert_allclose(difference_scores(frames), [0, *expected], rtol=1e-5)


@pytest.mark.parametrize("size", [1, 2, 4, 9])
def test_chunks_do_not_matter(frames: np.ndarray, size: int) -> None:
    chunks = (frames[start : start + size] for start in range(0, 9, size))
    np.testing.assert_array_equal(difference_scores(chunks), difference_scores(frames))


def test_a_reused_buffer_does_not_matter(frames: np.ndarray) -> None:
    def chunks() -> object:
        buffer = np.empty_like(frames[:1])
        for frame in frames:
            buffer[0] = frame
            yield buffer

    np.testing.assert_array_equal(difference_scores(chunks()), difference_scores(frames))


def test_maps_show_where(frames: np.ndarray) -> None:
    still = np.repeat(frames[:1], 4, axis=0)
    still[2, 3:6, 4:8] ^= 128
    maps = difference_maps(still)
    expected = np.zeros((4, 12, 10))
    expected[2:, 3:6, 4:8] = 128  # it comes, and it goes
    np.testing.assert_array_equal(maps, expected)
    grid = difference_maps(still, grid=(4, 3))
    cell = expected[2, 3:6, 3:6].mean()  # columns are cut at 0, 3, 6
    assert grid.shape == (4, 4, 3)
    assert grid[2, 1, 1] == pytest.approx(cell)
    assert grid[2, 0].max() == 0


def test_grid_cells_are_means_of_their_pixels(frames: np.ndarray) -> None:
    full, grid = difference_maps(frames), difference_maps(frames, grid=(6, 5))
    np.testing.assert_allclose(grid, full.reshape(9, 6, 2, 5, 2).mean(axis=(2, 4)), rtol=1e-5)


def test_one_frame_has_no_difference(frames: np.ndarray) -> None:
    assert difference_scores(frames[:1]).tolist() == [0]
    assert difference_maps(frames[:1]).max() == 0


def test_bad_frames_are_refused(frames: np.ndarray) -> None:
    for bad in (frames.astype(float), frames[0], frames[..., :2], frames[:0], iter([])):
        with pytest.raises(ArgumentError, match="frames"):
            difference_scores(bad)
    with pytest.raises(ArgumentError, match="size"):
        difference_scores([frames, frames[:, :5]])
    with pytest.raises(ArgumentError, match="grid"):
        difference_maps(frames, grid=(13, 3))
