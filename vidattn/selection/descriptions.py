"""What a frame looks like, in a few numbers: to compare frames, and to tell poor ones."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from vidattn.selection.cells import cell_means

Pixels = NDArray[np.uint8]
Floats = NDArray[np.float32]

_GRID = 6  # colours are averaged over 6 × 6 cells
_BINS = 4  # and counted in 4 × 4 × 4 bins
_COMMON_GRID = 24  # of which both are made
_FINE_GRID = 8  # the largest change of one of 8 × 8 cells counts by itself
_WRITING_GRID = (24, 48)  # brightness in which a line of text differs from another
_BAND = 3  # rows of which the mean is the least that counts as detail
COLOURS = 3 * _GRID**2  # the first features are the colours of the cells
_ANALYSED_SIDE = 192  # pixels of the longer side that are looked at


class Measures(NamedTuple):
    """What tells poor frames, of each of T frames.

    Attributes:
        sharpness: (T,) mean squared Laplacian of the brightness, at the size given.
        contrast: (T,) standard deviation of the brightness, in grey levels.
        brightness: (T,) its mean, in grey levels [0, 255].
        detail: (T,) as sharpness, but of the three neighbouring rows that have most: a line of text
            on an empty slide has few edges, but sharp ones.
    """

    sharpness: Floats
    contrast: Floats
    brightness: Floats
    detail: Floats


def thinned(frames: Pixels) -> Pixels:
    """(T, H, W, 3), every n-th pixel, so that no side is longer than what is looked at."""
    thin = max(1, -(-max(frames.shape[1:3]) // _ANALYSED_SIDE))
    return frames[:, ::thin, ::thin]


def measure(frames: Pixels) -> Measures:
    """Sharpness, contrast, brightness and detail of frames (T, H, W, 3)."""
    light = _light(frames)
    flat = light.reshape(len(light), -1).astype(np.float32)
    brightness = flat.mean(axis=1)
    flat -= brightness[:, None]
    contrast = np.sqrt(np.einsum("ij,ij->i", flat, flat) / flat.shape[1])
    sharpness, detail = _laplacian_energy(light.astype(np.int16))
    return Measures(sharpness, contrast, brightness, detail)


def _light(frames: Pixels) -> NDArray[np.uint16]:
    """(T, H, W) brightness in grey levels."""
    # With the type said: NumPy before 2 would take bytes for the products too.
    light = np.multiply(frames[..., 0], 77, dtype=np.uint16)
    light += np.multiply(frames[..., 1], 150, dtype=np.uint16)
    light += np.multiply(frames[..., 2], 29, dtype=np.uint16)
    light >>= 8
    return light


class Description(NamedTuple):
    """What each of T frames looks like.

    Attributes:
        features: (T, D) colours on a coarse grid and a colour histogram; the Euclidean distance of
            two is about 1 between black and white in each part. Square roots make the histogram's
            the Hellinger distance.
        cells: (T, 64) mean brightness of cells, in [0, 1].
        writing: (T, 1152) mean brightness of the smallest cells, in grey levels.
    """

    features: Floats
    cells: Floats
    writing: Pixels


def describe(frames: Pixels) -> Description:
    """Describe frames (T, H, W, 3)."""
    count = len(frames)
    cells = cell_means(frames, (_COMMON_GRID, _COMMON_GRID)) / np.float32(255)
    colours = _coarser(cells, _GRID).reshape(count, -1)
    # A quarter of the pixels makes the same histogram.
    some = frames[:, ::2, ::2] if min(frames.shape[1:3]) >= 32 else frames
    bins = (some >> 6).astype(np.int32) @ np.array([_BINS**2, _BINS, 1], np.int32)
    bins = bins.reshape(count, -1) + _BINS**3 * np.arange(count, dtype=np.int32)[:, None]
    counts = np.bincount(bins.ravel(), minlength=count * _BINS**3).reshape(count, -1)
    histogram = np.sqrt(counts / bins.shape[1]) / np.sqrt(2)
    features = np.concatenate([colours / np.sqrt(colours.shape[1]), histogram], axis=1)
    fine = _coarser(cells, _FINE_GRID) @ np.array([0.299, 0.587, 0.114], np.float32)
    writing = cell_means(_light(frames), _WRITING_GRID).round().astype(np.uint8)
    return Description(
        features.astype(np.float32), fine.reshape(count, -1), writing.reshape(count, -1)
    )


def _coarser(cells: Floats, grid: int) -> Floats:
    """(T, 24, 24, 3) -> (T, grid, grid, 3)."""
    side = _COMMON_GRID // grid
    means: Floats = cells.reshape(len(cells), grid, side, grid, side, -1).mean(axis=(2, 4))
    return means


def _laplacian_energy(light: NDArray[np.int16]) -> tuple[Floats, Floats]:
    """(T, H, W) grey levels -> (T,) mean over the picture, and over the band that has most."""
    if min(light.shape[1:]) < 3:
        return np.zeros(len(light), np.float32), np.zeros(len(light), np.float32)
    edges = light[:, :-2, 1:-1] + light[:, 2:, 1:-1]
    edges += light[:, 1:-1, :-2]
    edges += light[:, 1:-1, 2:]
    edges -= 4 * light[:, 1:-1, 1:-1]
    values = edges.astype(np.float32)
    rows: Floats = np.einsum("ijk,ijk->ij", values, values) / np.float32(values.shape[2])
    band = min(_BAND, rows.shape[1])
    bands = sum(rows[:, start : rows.shape[1] - band + 1 + start] for start in range(band))
    return rows.mean(axis=1), np.max(bands, axis=1) / np.float32(band)
