"""How sure a mean is. Videos cut from one source are not independent: resample the sources."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from vidattn.arrays import FloatArray, IntArray, at_least, finite_array
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

    def _repr_html_(self) -> str:
        """What a notebook shows."""
        return f"<b>{self.mean:.4g}</b> ({self.low:.4g} – {self.high:.4g})"


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


def wilson_interval(count: int, total: int) -> Interval:
    """95 % interval of a share: it holds for few items, and for all or none of them too.

    A bootstrap of ten right answers in ten says 100 to 100 %; this says 72 to 100 %.

    Args:
        count: items that have the property, from 0 to `total`.
        total: items, at least 1.

    Source: Wilson, "Probable inference, the law of succession, and statistical inference" (1927).

    >>> wilson_interval(15, 148).low.__round__(4)
    0.0624
    """
    at_least("total", total, 1)
    if not 0 <= count <= total:
        raise ArgumentError(f"count: expected 0 to {total}, got {count}")
    z, share = 1.959963984540054, count / total
    scale = 1 + z**2 / total
    middle = (share + z**2 / (2 * total)) / scale
    half = z / scale * (share * (1 - share) / total + z**2 / (4 * total**2)) ** 0.5
    return Interval(share, max(middle - half, 0.0), min(middle + half, 1.0))


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


def bootstrap_statistic(
    statistic: Callable[[IntArray], float],
    count: int,
    *,
    seed: int,
    clusters: Sequence[Hashable] | None = None,
    resamples: int = 1000,
    confidence: float = 0.95,
) -> Interval:
    """Percentile bootstrap interval of anything that is computed from items.

    For figures that are no means, such as mean average precision, or a difference of two of
    them: `mean` of the result is the statistic of all items.

    Args:
        statistic: of the items of these numbers, which may repeat.
        count: N, how many items there are.
        seed, clusters, resamples, confidence: as in `bootstrap_mean`.

    >>> values = np.array([0.0, 1, 1, 1])
    >>> bootstrap_statistic(lambda rows: values[rows].mean(), 4, seed=0).mean
    0.75
    """
    at_least("resamples", resamples, 100)
    if not 0 < confidence < 1:
        raise ArgumentError(f"confidence: expected a number in (0, 1), got {confidence}")
    places = _cluster_numbers(count, clusters)
    members = [np.flatnonzero(places == number) for number in range(places.max(initial=-1) + 1)]
    _several(len(members), "values" if clusters is None else "clusters")
    generator = np.random.default_rng(seed)
    found = np.empty(resamples)
    for number in range(resamples):
        drawn = generator.integers(0, len(members), size=len(members))
        found[number] = statistic(np.concatenate([members[cluster] for cluster in drawn]))
    tail = (1 - confidence) / 2
    low, high = np.nanquantile(found, [tail, 1 - tail])
    return Interval(float(statistic(np.arange(count))), float(low), float(high))


def _cluster_sums(
    items: FloatArray, clusters: Sequence[Hashable] | None
) -> tuple[FloatArray, FloatArray]:
    places = _cluster_numbers(len(items), clusters)
    sums = np.bincount(places, weights=items).astype(np.float64)
    counts = np.bincount(places).astype(np.float64)
    _several(len(sums), "values" if clusters is None else "clusters")
    return sums, counts


def _cluster_numbers(count: int, clusters: Sequence[Hashable] | None) -> IntArray:
    """(count,): which cluster each item belongs to, 0 and up."""
    if clusters is None:
        return np.arange(count)
    if len(clusters) != count:
        raise ArgumentError(f"clusters: expected {count} names, got {len(clusters)}")
    numbers: dict[Hashable, int] = {}
    return np.array([numbers.setdefault(name, len(numbers)) for name in clusters], dtype=np.int64)


def _several(count: int, what: str) -> None:
    if count < 2:
        raise ArgumentError(f"{what}: expected at least 2 different ones, got {count}")


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
