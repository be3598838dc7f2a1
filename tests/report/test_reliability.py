from __future__ import annotations

import numpy as np
import pytest

from vidattn import evaluation, report
from vidattn.errors import ArgumentError


def test_bins_lie_where_their_confidence_is() -> None:
    section = report.Reliability(
        "Calibration", [0, 3, 0, 6], [np.nan, 1 / 3, np.nan, 1], [0, 0.4, 0, 0.9]
    )
    first, second = section.placed()
    assert (first["left"], first["width"], first["share"]) == (25, 25, 50)
    assert (first["accuracy"], first["confidence"]) == (33.33, 40)
    assert second["left"] == 75
    page = report.render_page("Page", [section])
    assert "3 videos, 33% right, 40% sure" in page
    assert "nan" not in page


def test_values_out_of_range_are_refused() -> None:
    with pytest.raises(ArgumentError, match="accuracies"):
        report.Reliability("Calibration", [1, 1], [0.5, 1.5], [0.5, 0.5])
    with pytest.raises(ArgumentError, match="counts"):
        report.Reliability("Calibration", [-1], [0.5], [0.5])


def test_confidence_bins_are_counted_one_by_one() -> None:
    generator = np.random.default_rng(0)
    scores = generator.random((200, 3)) ** 3
    scores /= scores.sum(1, keepdims=True)
    labels = generator.integers(3, size=200)
    found = evaluation.confidence_bins(scores, labels, bins=5)
    assert found.counts.sum() == 200
    for number in range(5):
        inside = [
            (row.max(), row.argmax() == label)
            for row, label in zip(scores, labels, strict=True)
            if number / 5 < row.max() <= (number + 1) / 5
        ]
        assert found.counts[number] == len(inside)
        if inside:
            assert found.confidences[number] == pytest.approx(np.mean([sure for sure, _ in inside]))
            assert found.accuracies[number] == pytest.approx(np.mean([good for _, good in inside]))
        else:
            assert np.isnan(found.accuracies[number])
