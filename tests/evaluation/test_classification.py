from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy import special
from torchmetrics.functional import classification as reference

from vidattn.errors import ArgumentError
from vidattn.evaluation.metrics.classification import (
    average_precisions,
    average_views,
    class_accuracies,
    confusion_matrix,
    expected_calibration_error,
    mean_average_precision,
    mean_class_accuracy,
    random_average_precision,
    softmax,
    top_k_accuracy,
)

score_tables = hnp.arrays(
    np.int64, st.tuples(st.integers(1, 8), st.integers(1, 6)), elements=st.integers(0, 3)
)


@pytest.fixture
def problem() -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(0)
    labels = generator.integers(0, 7, 200)
    logits = generator.normal(size=(200, 7)) * 2
    logits[np.arange(200), labels] += 1.5
    return logits, labels


def test_softmax_is_scipys(problem: tuple[np.ndarray, np.ndarray]) -> None:
    np.testing.assert_allclose(softmax(problem[0]), special.softmax(problem[0], axis=1))
    np.testing.assert_allclose(softmax([1e308, 0.0]), [1, 0])
    with pytest.raises(ArgumentError, match="logits"):
        softmax([np.inf, 0.0])


@given(score_tables, st.integers(1, 7), st.integers(0, 2**32 - 1))
@settings(deadline=None)
def test_top_k_is_membership_of_a_stable_ranking(scores: np.ndarray, k: int, seed: int) -> None:
    labels = np.random.default_rng(seed).integers(scores.shape[1], size=len(scores)).tolist()
    hits = [
        label in sorted(range(len(row)), key=lambda c: (-row[c], c))[:k]
        for row, label in zip(scores.tolist(), labels, strict=True)
    ]
    assert top_k_accuracy(scores, labels, k) == pytest.approx(np.mean(hits))


@given(score_tables)
@settings(deadline=None)
def test_top_1_agrees_with_the_diagonal_even_with_ties(scores: np.ndarray) -> None:
    labels = np.arange(len(scores)) % scores.shape[1]
    confusion = confusion_matrix(scores.argmax(axis=1), labels, scores.shape[1])
    assert top_k_accuracy(scores, labels) == pytest.approx(np.trace(confusion) / len(scores))


def test_accuracies_equal_torchmetrics(problem: tuple[np.ndarray, np.ndarray]) -> None:
    logits, labels = problem
    given_, truth = torch.tensor(logits), torch.tensor(labels)
    for k in (1, 3, 5):
        expected = reference.multiclass_accuracy(given_, truth, 7, average="micro", top_k=k)
        assert top_k_accuracy(logits, labels, k) == pytest.approx(float(expected))
    confusion = confusion_matrix(logits.argmax(axis=1), labels, 7)
    expected = reference.multiclass_confusion_matrix(given_, truth, 7)
    np.testing.assert_array_equal(confusion, expected.numpy())
    expected = reference.multiclass_accuracy(given_, truth, 7, average="macro")
    assert mean_class_accuracy(confusion) == pytest.approx(float(expected))
    expected = reference.multiclass_calibration_error(given_.softmax(1), truth, 7, n_bins=15)
    ours = expected_calibration_error(softmax(logits), labels)
    assert ours == pytest.approx(float(expected), abs=1e-6)


def test_absent_classes_do_not_count() -> None:
    confusion = [[3, 1, 0], [0, 0, 0], [1, 0, 1]]
    np.testing.assert_array_equal(class_accuracies(confusion), [0.75, np.nan, 0.5])
    assert mean_class_accuracy(confusion) == 0.625
    with pytest.raises(ArgumentError, match="at least one item"):
        mean_class_accuracy(np.zeros((2, 2), int))
    with pytest.raises(ArgumentError, match="confusion"):
        mean_class_accuracy([[1, 2]])


def test_the_two_ways_to_average_views_differ() -> None:
    logits = np.array([[5.0, 0.0], [0.0, 1.0], [0.0, 1.0], [2.0, 0.0]])
    names = ["a", "a", "a", "b"]
    ids, by_probability = average_views(logits, names)
    _, by_logit = average_views(logits, names, method="logits")
    assert ids == ["a", "b"]
    np.testing.assert_allclose(by_logit, [[5 / 3, 2 / 3], [2, 0]])
    expected = special.softmax(logits[:3], axis=1).mean(axis=0)
    np.testing.assert_allclose(by_probability, [expected, special.softmax(logits[3])])
    confident = np.array([[20.0, 0.0], [0.0, 1.0], [0.0, 1.0]])
    assert average_views(confident, "aaa", method="logits")[1].argmax() == 0
    assert average_views(np.array([[3.0, 0], [0, 2.0], [0, 2.0]]), "aaa")[1].argmax() == 1
    with pytest.raises(ArgumentError, match="video_ids"):
        average_views(logits, ["a"])


@given(score_tables, st.integers(0, 2**32 - 1))
@settings(deadline=None)
def test_average_precision_by_brute_force(scores: np.ndarray, seed: int) -> None:
    truth = np.random.default_rng(seed).integers(0, 2, scores.shape)
    for column, precision in enumerate(average_precisions(scores, truth)):
        positives = truth[:, column].sum()
        if positives == 0:
            assert np.isnan(precision)
            continue
        total, recalled = 0.0, 0
        for level in sorted(set(scores[:, column].tolist()), reverse=True):
            found = scores[:, column] >= level
            hits = truth[found, column].sum()
            total += (hits - recalled) / positives * hits / found.sum()
            recalled = hits
        assert precision == pytest.approx(total)


def test_map_equals_torchmetrics() -> None:
    generator = np.random.default_rng(1)
    scores, truth = generator.random((50, 6)), generator.integers(0, 2, (50, 6))
    expected = reference.multilabel_average_precision(torch.tensor(scores), torch.tensor(truth), 6)
    assert mean_average_precision(scores, truth) == pytest.approx(float(expected), abs=1e-6)
    truth[:, 2] = 0
    ours = mean_average_precision(scores, truth)
    assert ours == pytest.approx(np.delete(average_precisions(scores, truth), 2).mean())
    with pytest.raises(ArgumentError, match="positive"):
        mean_average_precision(scores, np.zeros((50, 6)))
    with pytest.raises(ArgumentError, match="0 and 1"):
        mean_average_precision(scores, truth * 0.5)


def test_calibration_bins_are_closed_above() -> None:
    """Bins (0, ½] and (½, 1]: 0.5 belongs to the first, so the errors cannot cancel."""
    probabilities = [[0.5, 0.5], [0.9, 0.1]]
    assert expected_calibration_error(probabilities, [0, 1], bins=2) == pytest.approx(0.7)
    with pytest.raises(ArgumentError, match="sum to 1"):
        expected_calibration_error([[0.5, 0.1]], [0])


def test_nonsense_is_refused(problem: tuple[np.ndarray, np.ndarray]) -> None:
    logits, labels = problem
    broken = logits.copy()
    broken[3, 2] = np.nan
    for scores, truth, k in (
        (broken, labels, 1),
        (logits, labels[:-1], 1),
        (logits, labels + 1, 1),
        (logits, labels.astype(float), 1),
        (logits[0], labels, 1),
        (logits[:0], labels[:0], 1),
        (logits, labels, 0),
    ):
        with pytest.raises(ArgumentError):
            top_k_accuracy(scores, truth, k)
    with pytest.raises(ArgumentError, match="predicted"):
        confusion_matrix([7], [0], 7)


@pytest.mark.parametrize(("positives", "items"), [(1, 1), (1, 4), (2, 4), (3, 5), (4, 4), (5, 6)])
def test_a_random_order_has_the_mean_precision_of_all_orders(positives: int, items: int) -> None:
    found = []
    for places in combinations(range(1, items + 1), positives):
        found.append(np.mean([(n + 1) / place for n, place in enumerate(places)]))
    assert random_average_precision(positives, items) == pytest.approx(np.mean(found), abs=1e-12)


def test_a_random_order_needs_a_positive_item() -> None:
    for wrong in ((0, 3), (4, 3)):
        with pytest.raises(ArgumentError):
            random_average_precision(*wrong)
