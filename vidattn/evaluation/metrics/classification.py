"""Scores of classes against true classes."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from vidattn.arrays import FloatArray, IntArray, at_least, finite_array, index_array
from vidattn.errors import ArgumentError


def softmax(logits: ArrayLike) -> FloatArray:
    """exp(z) / Σ exp(z) over the last axis, safe for large logits.

    Args:
        logits: (…, C), finite.

    >>> softmax([[1000, 1000], [0, -1000]]).tolist()
    [[0.5, 0.5], [1.0, 0.0]]
    """
    shape = np.shape(logits)
    if not shape or shape[-1] == 0:
        raise ArgumentError(f"logits: expected shape (…, classes), got {shape}")
    values = finite_array("logits", logits, shape)
    powers = np.exp(values - values.max(axis=-1, keepdims=True))
    return powers / powers.sum(axis=-1, keepdims=True)


def top_k_accuracy(scores: ArrayLike, labels: ArrayLike, k: int = 1) -> float:
    """Share of items whose true class is among the `k` classes of highest score.

    Of equal scores, the one of the lower class number ranks higher, so that top 1 agrees with
    `numpy.argmax` and with the diagonal of `confusion_matrix`. With `k` ≥ C it is 1.

    Args:
        scores: (N, C), finite; logits or probabilities.
        labels: (N,), classes in [0, C).
        k: at least 1.

    Returns:
        In [0, 1].

    >>> top_k_accuracy([[0.1, 0.9], [0.5, 0.5], [0.6, 0.4]], [1, 1, 0])
    0.6666666666666666
    """
    at_least("k", k, 1)
    return float((true_class_ranks(scores, labels) < k).mean())


def true_class_ranks(scores: ArrayLike, labels: ArrayLike) -> IntArray:
    """How many classes rank ahead of the true one: (N,), 0 where it was recognised.

    Of equal scores, the one of the lower class number ranks higher.

    Args:
        scores: (N, C), finite; logits or probabilities.
        labels: (N,), classes in [0, C).

    >>> true_class_ranks([[0.1, 0.9], [0.5, 0.5], [0.6, 0.4]], [1, 1, 1]).tolist()
    [0, 1, 1]
    """
    values = _filled("scores", scores)
    truth = index_array("labels", labels, (len(values),), below=values.shape[1])
    own = values[np.arange(len(truth)), truth][:, None]
    ahead = np.count_nonzero(values > own, axis=1)
    # Ties are rare, and looking at the order within them is slow.
    tied = np.flatnonzero(np.count_nonzero(values >= own, axis=1) - ahead > 1)
    earlier = np.arange(values.shape[1]) < truth[tied, None]
    ahead[tied] += np.count_nonzero((values[tied] == own[tied]) & earlier, axis=1)
    return ahead.astype(np.int64)


def confusion_matrix(predicted: ArrayLike, labels: ArrayLike, class_count: int) -> IntArray:
    """How many items of each true class (row) were given each class (column).

    Args:
        predicted, labels: (N,), classes in [0, class_count).

    Returns:
        (class_count, class_count) int64, summing to N.

    >>> confusion_matrix([0, 1, 1], [0, 1, 0], 2).tolist()
    [[1, 1], [0, 1]]
    """
    at_least("class_count", class_count, 1)
    truth = index_array("labels", labels, (None,), below=class_count)
    given = index_array("predicted", predicted, (len(truth),), below=class_count)
    flat = np.bincount(truth * class_count + given, minlength=class_count**2)
    return flat.reshape(class_count, class_count).astype(np.int64)


def class_accuracies(confusion: ArrayLike) -> FloatArray:
    """Share of each true class that was recognised (its recall): (C,), NaN for absent classes."""
    counts = index_array("confusion", confusion, (None, len(np.asarray(confusion))))
    totals = counts.sum(axis=1)
    shares = np.full(len(counts), np.nan)
    np.divide(np.diag(counts), totals, out=shares, where=totals > 0)
    return shares


def mean_class_accuracy(confusion: ArrayLike) -> float:
    """Mean of `class_accuracies` over the classes that have at least one true item.

    >>> mean_class_accuracy([[1, 1, 0], [0, 4, 0], [0, 0, 0]])
    0.75
    """
    shares = class_accuracies(confusion)
    if np.isnan(shares).all():
        raise ArgumentError("confusion: expected at least one item, got none")
    return float(np.nanmean(shares))


def average_views(
    logits: ArrayLike,
    video_ids: Sequence[Hashable],
    *,
    method: Literal["probabilities", "logits"] = "probabilities",
) -> tuple[list[Hashable], FloatArray]:
    """Logits of many views -> scores of each video.

    "probabilities" averages softmax outputs (PySlowFast, mmaction2 `average_clips="prob"`),
    "logits" averages the logits (TSM). The two rank classes differently; name the one used.

    Args:
        logits: (V, C), finite.
        video_ids: V names; the views of a video need not lie together.

    Returns:
        video ids in order of first appearance, and their (videos, C) means.

    >>> average_views([[0, 0], [9, 0], [0, 4]], ["a", "b", "a"], method="logits")[1].tolist()
    [[0.0, 2.0], [9.0, 0.0]]
    """
    values = _filled("logits", logits)
    if len(video_ids) != len(values):
        raise ArgumentError(f"video_ids: expected {len(values)}, got {len(video_ids)}")
    if method not in ("probabilities", "logits"):
        raise ArgumentError(f"method: expected 'probabilities' or 'logits', got {method!r}")
    if method == "probabilities":
        values = softmax(values)
    numbers: dict[Hashable, int] = {}
    places = np.array([numbers.setdefault(name, len(numbers)) for name in video_ids])
    sums = np.zeros((len(numbers), values.shape[1]))
    np.add.at(sums, places, values)
    return list(numbers), sums / np.bincount(places)[:, None]


def average_precisions(scores: ArrayLike, targets: ArrayLike) -> FloatArray:
    """Average precision of each class of a multi-label problem.

    AP = Σ over distinct score levels of (recall gained at the level) · (precision down to it):
    no interpolation, and items of equal score enter together, so their order cannot matter.

    Args:
        scores: (N, C), finite; higher means more surely present.
        targets: (N, C), 0 or 1.

    Returns:
        (C,), each in [0, 1]; NaN for a class without a positive item.

    >>> average_precisions([[0.9], [0.8], [0.7]], [[1], [0], [1]]).round(4).tolist()
    [0.8333]
    """
    values = _filled("scores", scores)
    truth = finite_array("targets", targets, values.shape)
    if not ((truth == 0) | (truth == 1)).all():
        raise ArgumentError("targets: expected only 0 and 1")
    columns = np.ascontiguousarray(values.T), np.ascontiguousarray(truth.T > 0)
    return np.array([_average_precision(*pair) for pair in zip(*columns, strict=True)])


def mean_average_precision(scores: ArrayLike, targets: ArrayLike) -> float:
    """Mean of `average_precisions` over the classes that have a positive item.

    Raises:
        ArgumentError: no class has one.
    """
    precisions = average_precisions(scores, targets)
    if np.isnan(precisions).all():
        raise ArgumentError("targets: expected at least one positive item, got none")
    return float(np.nanmean(precisions))


def random_average_precision(positives: int, items: int) -> float:
    """The expected average precision of a class whose items come in a random order.

    Args:
        positives: items of the class, at least one.
        items: N, all of them.

    Source: Bestgen, "Exact Expected Average Precision of the Random Baseline for System
    Evaluation" (Prague Bulletin of Mathematical Linguistics 103, 2015).

    >>> random_average_precision(1, 2)
    0.75
    """
    at_least("positives", positives, 1)
    at_least("items", items, positives)
    if items == 1:
        return 1.0
    harmonic = float((1 / np.arange(1, items + 1)).sum())
    return (harmonic + (positives - 1) / (items - 1) * (items - harmonic)) / items


class ConfidenceBins(NamedTuple):
    """How often a classifier is right where it is about equally sure; arrays (B,).

    Attributes:
        counts: items in each bin.
        accuracies: share of them whose most probable class is the true one; NaN where empty.
        confidences: mean of their highest probabilities; NaN where empty.
    """

    counts: IntArray
    accuracies: FloatArray
    confidences: FloatArray


def confidence_bins(
    probabilities: ArrayLike, labels: ArrayLike, *, bins: int = 15
) -> ConfidenceBins:
    """Items by their highest probability: bin b of B holds those in (b/B, (b+1)/B].

    Args:
        probabilities: (N, C), in [0, 1], rows summing to 1 within 1e-3.
        labels: (N,), classes in [0, C).
        bins: B, at least 1.
    """
    values = _filled("probabilities", probabilities, minimum=0, maximum=1)
    truth = index_array("labels", labels, (len(values),), below=values.shape[1])
    at_least("bins", bins, 1)
    if np.abs(values.sum(axis=1) - 1).max() > 1e-3:
        raise ArgumentError("probabilities: expected rows that sum to 1")
    confidence = values.max(axis=1)
    right = values.argmax(axis=1) == truth
    edges = np.linspace(0, 1, bins + 1)
    places = np.clip(np.searchsorted(edges, confidence, side="left") - 1, 0, bins - 1)
    counts = np.bincount(places, minlength=bins)
    means = [
        np.divide(sums, counts, out=np.full(bins, np.nan), where=counts > 0)
        for sums in (
            np.bincount(places, weights=right, minlength=bins),
            np.bincount(places, weights=confidence, minlength=bins),
        )
    ]
    return ConfidenceBins(counts.astype(np.int64), *means)


def expected_calibration_error(
    probabilities: ArrayLike, labels: ArrayLike, *, bins: int = 15
) -> float:
    """How far confidence is from accuracy: Σ (n_b / N) · |accuracy_b − mean confidence_b|.

    Args:
        probabilities, labels, bins: see `confidence_bins`.

    Returns:
        In [0, 1].

    Source: Guo et al., "On Calibration of Modern Neural Networks" (ICML 2017), equation 3.

    >>> round(expected_calibration_error([[0.8, 0.2], [0.8, 0.2]], [0, 1]), 9)
    0.3
    """
    found = confidence_bins(probabilities, labels, bins=bins)
    gaps = np.abs(found.accuracies - found.confidences)
    return float(np.nansum(found.counts * gaps) / found.counts.sum())


def _average_precision(scores: FloatArray, positive: NDArray[np.bool_]) -> float:
    """Mean over the positive items of the precision among items that score no less."""
    own = np.sort(scores[positive])
    if not len(own):
        return float("nan")
    reached = len(scores) - np.searchsorted(np.sort(scores), own, side="left")
    hits = len(own) - np.searchsorted(own, own, side="left")
    return float((hits / reached).sum() / len(own))


def _filled(
    name: str, values: ArrayLike, *, minimum: float = -np.inf, maximum: float = np.inf
) -> FloatArray:
    array = finite_array(name, values, (None, None), minimum=minimum, maximum=maximum)
    if array.size == 0:
        raise ArgumentError(f"{name}: expected at least one item and class, got {array.shape}")
    return array
