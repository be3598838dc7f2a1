from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from vidattn.errors import ArgumentError
from vidattn.evaluation.metrics import intervals
from vidattn.evaluation.metrics.intervals import (
    bootstrap_mean,
    bootstrap_statistic,
    paired_difference,
    wilson_interval,
)


def test_interval_is_near_scipys_percentile_bootstrap() -> None:
    values = np.random.default_rng(0).exponential(size=80)
    expected = stats.bootstrap(
        (values,), np.mean, n_resamples=20_000, method="percentile", rng=np.random.default_rng(1)
    ).confidence_interval
    found = bootstrap_mean(values, seed=2, resamples=20_000)
    assert found.mean == pytest.approx(values.mean())
    assert found.low == pytest.approx(expected.low, abs=0.01)
    assert found.high == pytest.approx(expected.high, abs=0.01)


def test_clusters_by_brute_force() -> None:
    generator = np.random.default_rng(3)
    names = [f"source {number}" for number in generator.integers(0, 12, 90)]
    offsets = {name: generator.normal() for name in sorted(set(names))}
    # Far from 0, where a wrong denominator (clusters differ in size) would show.
    values = 5 + np.array([offsets[name] for name in names]) + generator.normal(0, 0.1, 90)
    members = [[v for v, n in zip(values, names, strict=True) if n == name] for name in offsets]
    means = []
    for _ in range(4000):
        drawn = [members[number] for number in generator.integers(0, len(members), len(members))]
        means.append(np.mean(np.concatenate(drawn)))
    found = bootstrap_mean(values, seed=4, clusters=names, resamples=20_000)
    low, high = np.percentile(means, [2.5, 97.5])
    width = high - low
    assert found.low == pytest.approx(low, abs=0.06 * width)
    assert found.high == pytest.approx(high, abs=0.06 * width)
    alone = bootstrap_mean(values, seed=4)
    assert found.high - found.low > 1.8 * (alone.high - alone.low)


def test_copies_of_items_do_not_add_certainty() -> None:
    values = np.random.default_rng(5).normal(size=40)
    once = bootstrap_mean(values, seed=6)
    copied = bootstrap_mean(values.repeat(9), seed=6, clusters=np.arange(40).repeat(9).tolist())
    np.testing.assert_allclose(copied, once)


def test_coverage_of_the_interval() -> None:
    """Of 300 experiments with 60 items, close to 90 % of the 90 % intervals hold the truth."""
    generator = np.random.default_rng(7)
    held = 0
    for seed in range(300):
        found = bootstrap_mean(generator.random(60), seed=seed, resamples=500, confidence=0.9)
        held += found.low <= 0.5 <= found.high
    assert 0.84 <= held / 300 <= 0.95


def test_pairing_removes_what_is_common() -> None:
    generator = np.random.default_rng(8)
    hardness = generator.normal(size=50)
    first, second = hardness + 0.2, hardness + generator.normal(0, 0.1, 50)
    found = paired_difference(first, second, seed=9)
    assert found.mean == pytest.approx((first - second).mean())
    assert 0.1 < found.low < found.high < 0.3
    swapped = paired_difference(second, first, seed=9)
    np.testing.assert_allclose([swapped.low, swapped.high], [-found.high, -found.low])


def test_same_seed_same_interval_however_many_items_fit_at_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    values = np.random.default_rng(0).random(50)
    whole = bootstrap_mean(values, seed=1)
    assert whole == bootstrap_mean(values, seed=1)
    assert whole != bootstrap_mean(values, seed=2)
    monkeypatch.setattr(intervals, "_NUMBERS_AT_ONCE", 333)
    assert whole == bootstrap_mean(values, seed=1)


def test_nonsense_is_refused() -> None:
    with pytest.raises(ArgumentError, match="clusters"):
        bootstrap_mean([], seed=0, clusters=[])
    for values in ([], [1.0], [1.0, np.nan], [[1.0, 2.0]]):
        with pytest.raises(ArgumentError, match="values"):
            bootstrap_mean(values, seed=0)
    with pytest.raises(ArgumentError, match="clusters"):
        bootstrap_mean([1.0, 2.0], seed=0, clusters=["a", "a"])
    with pytest.raises(ArgumentError, match="clusters"):
        bootstrap_mean([1.0, 2.0], seed=0, clusters=["a"])
    with pytest.raises(ArgumentError, match="second"):
        paired_difference([1.0, 2.0], [1.0], seed=0)
    for confidence in (0, 1, float("nan")):
        with pytest.raises(ArgumentError, match="confidence"):
            bootstrap_mean([1.0, 2.0], seed=0, confidence=confidence)


class TestAnyStatistic:
    def test_of_a_mean_is_what_the_bootstrap_of_means_gives(self):
        generator = np.random.default_rng(0)
        values = generator.random(60)
        clusters = (np.arange(60) // 4).tolist()
        expected = bootstrap_mean(values, seed=0, clusters=clusters, resamples=20_000)
        found = bootstrap_statistic(
            lambda rows: float(values[rows].mean()), 60, seed=1, clusters=clusters, resamples=4000
        )
        assert found.mean == pytest.approx(expected.mean)
        assert found.low == pytest.approx(expected.low, abs=0.01)
        assert found.high == pytest.approx(expected.high, abs=0.01)

    def test_draws_whole_clusters(self):
        clusters = ["a", "b", "a", "c"]
        drawn: list[list[int]] = []

        def note(rows):
            drawn.append(sorted(rows.tolist()))
            return 0.0

        bootstrap_statistic(note, 4, seed=0, clusters=clusters, resamples=100)
        for rows in drawn:
            assert rows.count(0) == rows.count(2)
        assert len({tuple(rows) for rows in drawn}) == 1 + 9  # all items once, and 3-multisets

    def test_needs_two_clusters(self):
        with pytest.raises(ArgumentError, match="clusters"):
            bootstrap_statistic(lambda rows: 0.0, 3, seed=0, clusters=["a"] * 3)
        with pytest.raises(ArgumentError, match="values"):
            bootstrap_statistic(lambda rows: 0.0, 1, seed=0)


@pytest.mark.parametrize(
    ("count", "total", "low", "high"),
    [
        (81, 263, 0.2553, 0.3662),
        (15, 148, 0.0624, 0.1605),
        (0, 20, 0.0, 0.1611),
        (1, 29, 0.0061, 0.1718),
    ],
)
def test_wilson_intervals_are_the_published_ones(
    count: int, total: int, low: float, high: float
) -> None:
    """Newcombe, "Two-sided confidence intervals for the single proportion" (1998), table I."""
    found = wilson_interval(count, total)
    assert (found.low, found.high) == (pytest.approx(low, abs=5e-5), pytest.approx(high, abs=5e-5))
    assert found.mean == count / total
    turned = wilson_interval(total - count, total)
    assert (turned.low, turned.high) == (
        pytest.approx(1 - found.high),
        pytest.approx(1 - found.low),
    )
    for wrong in ((-1, 4), (5, 4), (0, 0)):
        with pytest.raises(ArgumentError):
            wilson_interval(*wrong)
