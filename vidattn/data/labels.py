from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
import torch
from torch import Tensor

from vidattn.data.annotations import Sample
from vidattn.errors import ArgumentError, UnknownNameError


def class_names(samples: Iterable[Sample]) -> list[str]:
    """All labels that occur, sorted; by number where all are numbers."""
    names = {label for sample in samples for label in sample.labels}
    if all(name.isdecimal() for name in names):
        return sorted(names, key=lambda name: (int(name), name))
    return sorted(names)


def encode_labels(
    samples: Sequence[Sample], classes: Sequence[str], *, multi_label: bool = False
) -> Tensor:
    """Class indices, int64 (samples,); or multi-hot vectors, float32 (samples, classes).

    Raises:
        UnknownNameError: a label is not among the classes.
        ArgumentError: a sample without a label, several labels where one is expected, or a class
            named twice.
    """
    refuse_unlabelled(samples)
    if len(set(classes)) != len(classes):
        raise ArgumentError(f"classes: a name occurs twice in {list(classes)}")
    numbers = {name: number for number, name in enumerate(classes)}
    encoded = torch.zeros(len(samples), len(classes))
    for row, sample in enumerate(samples):
        for label in sample.labels:
            if label not in numbers:
                raise UnknownNameError(
                    f"{sample.path}: label {label!r} is not among the classes {list(classes)}"
                )
            encoded[row, numbers[label]] = 1
        if not multi_label and len(sample.labels) != 1:
            raise ArgumentError(
                f"{sample.path}: expected one label, got {list(sample.labels)}; "
                "set multi_label for several"
            )
    return encoded if multi_label else encoded.argmax(1)


def refuse_unlabelled(samples: Iterable[Sample]) -> None:
    """Raise ArgumentError for the first sample without a label, by its name."""
    for sample in samples:
        if not sample.labels:
            raise ArgumentError(
                f"{sample.name}: this video has no label, and training and evaluation need at "
                "least one; only prediction does without"
            )


def balancing_weights(samples: Sequence[Sample]) -> np.ndarray:
    """How often to draw each sample so that every class comes up equally often.

    Returns:
        float64 (samples,), summing to 1: the inverse of how many samples share its label; of a
        sample with several labels, the mean over them.

    Raises:
        ArgumentError: a sample has no label.
    """
    refuse_unlabelled(samples)
    counts: dict[str, int] = {}
    for sample in samples:
        for label in sample.labels:
            counts[label] = counts.get(label, 0) + 1
    weights = np.array(
        [np.mean([1 / counts[label] for label in sample.labels]) for sample in samples]
    )
    return weights / weights.sum()
