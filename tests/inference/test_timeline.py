"""Averages over steps of time, against plain loops and numbers by hand."""

from __future__ import annotations

import numpy as np
import pytest

from vidattn.errors import ArgumentError
from vidattn.inference.timeline import Timeline


def test_by_hand() -> None:
    timeline = Timeline(10.0, 12.5, 1.0, 1)
    assert timeline.starts.tolist() == [10, 11, 12]
    assert timeline.ends.tolist() == [11, 12, 12.5]
    timeline.add(10.0, 11.5, [1.0])
    timeline.add(11.25, 12.5, [3.0])
    # The second step: half of it shows 1, three quarters of it 3.
    assert timeline.averages()[:, 0].tolist() == [1, (0.5 * 1 + 0.75 * 3) / 1.25, 3]
    assert timeline.mean().tolist() == [2]
    assert timeline.windows == 2


@pytest.mark.parametrize("every", [0.1, 0.37, 1.0, 5.0, 60.0])
@pytest.mark.parametrize("hop", [0.05, 0.32, 1.7])
def test_as_a_plain_loop(every: float, hop: float) -> None:
    generator = np.random.default_rng(1)
    begin, end = 3.2, 17.9
    starts = np.arange(begin, end - 2 * hop, hop)
    windows = [(s, s + 2 * hop, generator.random(3)) for s in starts] + [
        (end - 2 * hop, end, generator.random(3))
    ]
    timeline = Timeline(begin, end, every, 3)
    for window in windows:
        timeline.add(*window)
    found = timeline.averages()
    np.testing.assert_allclose(timeline.mean(), np.mean([own for *_, own in windows], axis=0))
    step, low = 0, begin
    while low < end - 1e-9:
        high = min(low + every, end)
        shares = [max(min(b, high) - max(a, low), 0.0) for a, b, _ in windows]
        expected = sum(s * own for s, (*_, own) in zip(shares, windows, strict=True)) / sum(shares)
        np.testing.assert_allclose(found[step], expected, rtol=1e-9)
        step, low = step + 1, begin + (step + 1) * every
    assert len(found) == step


@pytest.mark.parametrize(
    ("start", "end", "every", "count"),
    [
        (0.0, 3 * 0.1, 0.1, 3),  # 0.1 + 0.1 + 0.1 is a little more than 0.3
        (0.0, 2.0, 1.0, 2),
        (0.0, 2.01, 1.0, 3),
        (5.0, 5.0, 1.0, 1),
        (0.0, 0.2, 1.0, 1),
    ],
)
def test_how_many_steps(start: float, end: float, every: float, count: int) -> None:
    timeline = Timeline(start, end, every, 2)
    timeline.add(start, end, [0.25, 0.75])
    np.testing.assert_allclose(timeline.averages(), [[0.25, 0.75]] * count, rtol=1e-12)
    assert timeline.ends[-1] == pytest.approx(end)


def test_a_step_without_a_window_is_as_the_nearest_one() -> None:
    timeline = Timeline(0.0, 6.0, 1.0, 1)
    timeline.add(1.0, 2.0, [1.0])
    timeline.add(4.0, 5.0, [4.0])
    assert timeline.averages()[:, 0].tolist() == [1, 1, 1, 4, 4, 4]


@pytest.mark.parametrize("every", [0.0, -1.0, 1e-9, float("nan"), float("inf")])
def test_a_step_lasts_some_time(every: float) -> None:
    with pytest.raises(ArgumentError, match=r"every_seconds: expected at least 0\.01 seconds"):
        Timeline(0.0, 1.0, every, 1)
