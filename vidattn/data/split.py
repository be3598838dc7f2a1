from __future__ import annotations

from collections.abc import Collection, Sequence

import numpy as np

from vidattn.data.annotations import Sample
from vidattn.data.labels import class_names
from vidattn.errors import ArgumentError

_TRIES = 50


def split_by_group(
    samples: Sequence[Sample], fraction: float, *, seed: int = 0
) -> tuple[list[Sample], list[Sample]]:
    """Training and validation samples; no group is on both sides.

    Of many random orders in which groups are taken for validation, the one is kept whose share
    of every class comes closest to `fraction`. A group that holds all samples of a class stays
    in training.

    Args:
        samples: those without a group are groups of their own.
        fraction: share of each class wanted for validation, in (0, 1).
        seed: of the random orders.

    Returns:
        (training, validation), each in the order of `samples`.

    Raises:
        ArgumentError: the fraction is out of range, or the groups leave one side empty.
    """
    if not 0 < fraction < 1:
        raise ArgumentError(f"validation_fraction: expected between 0 and 1, got {fraction}")
    groups = [("group", s.group) if s.group is not None else ("video", s.video_id) for s in samples]
    names = sorted(set(groups))
    counts = _class_counts(samples, [names.index(group) for group in groups], len(names))
    generator = np.random.default_rng(seed)
    tries = [_take(counts, fraction, generator.permutation(len(names))) for _ in range(_TRIES)]
    taken = min(tries, key=lambda chosen: _distance(counts[chosen].sum(0), counts, fraction))
    held_out = {names[number] for number in np.flatnonzero(taken)}
    if not held_out:
        raise ArgumentError(
            f"validation_fraction: none of the {len(names)} groups can be held out of training"
        )
    validation = [s for s, group in zip(samples, groups, strict=True) if group in held_out]
    training = [s for s, group in zip(samples, groups, strict=True) if group not in held_out]
    return training, validation


def split_by_fold(
    samples: Sequence[Sample], test_folds: Collection[int]
) -> tuple[list[Sample], list[Sample]]:
    """Training and test samples by the `fold` of the annotations.

    Raises:
        ArgumentError: a sample has no fold, a fold does not occur, or one side is empty, or a
            group is on both sides.
    """
    folds = {sample.fold for sample in samples}
    if None in folds:
        raise ArgumentError("test_folds: the annotations do not name a fold for every video")
    missing = sorted(set(test_folds) - folds)
    if missing or not test_folds:
        raise ArgumentError(f"test_folds: expected some of {sorted(folds, key=str)}, got {missing}")
    training = [sample for sample in samples if sample.fold not in test_folds]
    test = [sample for sample in samples if sample.fold in test_folds]
    if not training:
        raise ArgumentError("test_folds: no video is left to train on")
    shared = {s.group for s in training} & {s.group for s in test} - {None}
    if shared:
        raise ArgumentError(f"test_folds: groups on both sides: {sorted(map(str, shared))[:5]}")
    return training, test


def _class_counts(samples: Sequence[Sample], groups: Sequence[int], group_count: int) -> np.ndarray:
    """int64 (groups, classes): samples of each class in each group."""
    classes = {name: number for number, name in enumerate(class_names(samples))}
    counts = np.zeros((group_count, len(classes)), dtype=np.int64)
    for group, sample in zip(groups, samples, strict=True):
        for label in sample.labels:
            counts[group, classes[label]] += 1
    return counts


def _take(counts: np.ndarray, fraction: float, order: np.ndarray) -> np.ndarray:
    """bool (groups,): groups that, one after another, bring the shares closer to `fraction`."""
    taken = np.zeros(len(counts), dtype=bool)
    held, total = np.zeros(counts.shape[1]), counts.sum(0)
    for group in order:
        after = held + counts[group]
        closer = _distance(after, counts, fraction) < _distance(held, counts, fraction)
        if closer and (after < total).all():
            taken[group], held = True, after
    return taken


def _distance(held: np.ndarray, counts: np.ndarray, fraction: float) -> float:
    return float(np.abs(held / counts.sum(0) - fraction).sum())
