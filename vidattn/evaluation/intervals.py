"""How sure a mean is. Videos cut from one source are not independent: resample the sources."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from vidattn.arrays import FloatArray, at_least, finite_array
from vidattn.errors import ArgumentError

_NUMBERS_AT_ONCE = 2**22


class Interval(NamedTuple):
    """A mean and the interval around it.

    Attributes:
        mean: of the items as given.
        low, high: bounds of the percentile interval.
    """

    mean: float
    low: float
    high: float


def bootstrap_mean(
    values: ArrayLike,
    *,
    seed: int,
    clusters: Sequence[Hashable] | None = None,
    resamples: int = 10_000,
    confidence: float = 0.95,
) -> Interval:
    """Percentile bootstrap interval of a mean.

    Each resample draws as many items as there are, with replacement. With clusters it draws
    whole clusters, as many as there are, and takes the mean over all items drawn
    (Σ sums / Σ counts). Percentiles are interpolated linearly. With a single cluster there is
    nothing to resample: an error, not an interval of width zero. With fewer than about ten,
    the interval is too narrow.

    Args:
        values: (N,), finite: one number an item, such as 0 or 1 for wrong or right.
        seed: of the resampling: same seed, same interval.
        clusters: N names of what each item comes from, such as its source video.
        resamples: at least 100.
        confidence: in (0, 1).

    Source: Efron, "Nonparametric standard errors and confidence intervals" (1981); clusters:
    Davison and Hinkley, "Bootstrap Methods and their Application" (1997), section 3.8.

    >>> bootstrap_mean([0, 1, 1, 1], seed=0)
    Interval(mean=0.75, low=0.25, high=1.0)
    """
    items = finite_array("values", values, (None,))
    at_least("resamples", resamples, 100)
    if not 0 < confidence < 1:
        raise ArgumentError(f"confidence: expected a number in (0, 1), got {confidence}")
    sums, counts = _cluster_sums(items, clusters)
    means = _resampled_means(sums, counts, resamples, np.random.default_rng(seed))
    tail = (1 - confidence) / 2
    low, high = np.quantile(means, [tail, 1 - tail])
    return Interval(float(items.mean()), float(low), float(high))


def paired_difference(
    first: ArrayLike,
    second: ArrayLike,
    *,
    seed: int,
    clusters: Sequence[Hashable] | None = None,
    resamples: int = 10_000,
    confidence: float = 0.95,
) -> Interval:
    """Mean of `first` − `second` over the same items, with its bootstrap interval.

    Pairing removes what makes items easy or hard for both. An interval that holds 0 does not
    tell the two apart.

    Args:
        first, second: (N,), finite, item by item; the rest as in `bootstrap_mean`.
    """
    ours = finite_array("first", first, (None,))
    theirs = finite_array("second", second, (len(ours),))
    return bootstrap_mean(
        ours - theirs, seed=seed, clusters=clusters, resamples=resamples, confidence=confidence
    )


def _cluster_sums(
    items: FloatArray, clusters: Sequence[Hashable] | None
) -> tuple[FloatArray, FloatArray]:
    if clusters is None:
        sums, counts = items, np.ones(len(items))
    elif len(clusters) != len(items):
        raise ArgumentError(f"clusters: expected {len(items)} names, got {len(clusters)}")
    else:
        numbers: dict[Hashable, int] = {}
        places = [numbers.setdefault(name, len(numbers)) for name in clusters]
        sums = np.bincount(places, weights=items).astype(np.float64)
        counts = np.bincount(places).astype(np.float64)
    if len(sums) < 2:
        what = "values" if clusters is None else "clusters"
        raise ArgumentError(f"{what}: expected at least 2 different ones, got {len(sums)}")
    return sums, counts


def _resampled_means(
    sums: FloatArray, counts: FloatArray, resamples: int, generator: np.random.Generator
) -> FloatArray:
    means = np.empty(resamples)
    step = max(1, _NUMBERS_AT_ONCE // len(sums))
    for start in range(0, resamples, step):
        size = min(step, resamples - start)
        drawn = generator.integers(0, len(sums), size=(size, len(sums)))
        means[start : start + size] = sums[drawn].sum(axis=1) / counts[drawn].sum(axis=1)
    return means
