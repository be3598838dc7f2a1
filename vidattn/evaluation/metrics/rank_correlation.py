"""How alike two rankings are, ties included."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from vidattn.arrays import FloatArray, IntArray, finite_array
from vidattn.errors import ArgumentError


def average_ranks(values: ArrayLike) -> FloatArray:
    """1-based rank of each number from the lowest up; equal ones share the mean of their ranks.

    >>> average_ranks([3, 1, 3, 2]).tolist()
    [3.5, 1.0, 3.5, 2.0]
    """
    levels, counts = _levels(finite_array("values", values, (None,)))
    last = np.cumsum(counts)
    return (last - (counts - 1) / 2)[levels]


def spearman_correlations(first: ArrayLike, others: ArrayLike) -> FloatArray:
    """Spearman's ρ of one list of numbers with each of several: Pearson's of the ranks.

    Args:
        first: (N,), finite, N ≥ 2.
        others: (U, N), finite.

    Returns:
        (U,), in [−1, 1]; NaN where all of one list are equal.

    >>> spearman_correlations([1, 2, 3], [[10, 20, 30], [3, 2, 2]]).round(4).tolist()
    [1.0, -0.866]
    """
    values, rows = _list_and_rows(first, others)
    ours = average_ranks(values)
    theirs = np.array([average_ranks(row) for row in rows])
    centre = (len(values) + 1) / 2
    ours, theirs = ours - centre, theirs - centre
    norms = np.sqrt((ours @ ours) * (theirs * theirs).sum(axis=1))
    return _shares(theirs @ ours, norms)


def kendall_correlations(first: ArrayLike, others: ArrayLike) -> FloatArray:
    """Kendall's τ-b of one list of numbers with each of several.

    (C − D) / sqrt((P − X)(P − Y)): of all P pairs of places, C are ordered alike in both
    lists, D contrarily, X are equal in the first and Y in the other. D is counted for all
    lists at once, bit by bit of the ranks, in N · log₂(levels) steps.

    Args:
        first: (N,), finite, N ≥ 2.
        others: (U, N), finite.

    Returns:
        (U,), in [−1, 1]; NaN where all of one list are equal.

    Source: Kendall, "The treatment of ties in ranking problems" (Biometrika, 1945).

    >>> kendall_correlations([1, 2, 3], [[10, 20, 30], [3, 2, 2]]).round(4).tolist()
    [1.0, -0.8165]
    """
    values, rows = _list_and_rows(first, others)
    ours, own_counts = _levels(values)
    theirs = np.empty(rows.shape, dtype=np.int64)
    ties = np.empty(len(rows))
    for number, row in enumerate(rows):
        theirs[number], counts = _levels(row)
        ties[number] = _pairs(counts)
    width = int(theirs.max()) + 1
    joint = np.sort(ours * width + theirs, axis=1)
    both = np.array([_pairs(_run_lengths(row)) for row in joint])
    discordant = _inversions(joint % width)
    every, own_ties = _pairs(np.array([len(values)])), _pairs(own_counts)
    surplus = every - own_ties - ties + both - 2 * discordant
    return _shares(surplus, np.sqrt(every - own_ties) * np.sqrt(every - ties))


def _inversions(ranks: IntArray) -> FloatArray:
    """How many pairs of each row (U, N) stand in falling order."""
    found = np.zeros(len(ranks))
    current = ranks
    for bit in range(int(ranks.max()).bit_length() - 1, -1, -1):
        # Rows are sorted by their higher bits already, those of equal ones in first order:
        # a pair of one such group falls by this bit if a one stands before a zero.
        groups = current >> (bit + 1)
        ones = current >> bit & 1
        before = np.cumsum(ones, axis=1) - ones
        starts = np.ones(groups.shape, dtype=bool)
        starts[:, 1:] = groups[:, 1:] != groups[:, :-1]
        base = np.maximum.accumulate(np.where(starts, before, 0), axis=1)
        found += ((before - base) * (1 - ones)).sum(axis=1)
        order = np.argsort(current >> bit, axis=1, kind="stable")
        current = np.take_along_axis(current, order, axis=1)
    return found


def _levels(values: FloatArray) -> tuple[IntArray, IntArray]:
    """The place of each number among the different ones, and how often each occurs."""
    _, places, counts = np.unique(values, return_inverse=True, return_counts=True)
    return places.astype(np.int64), counts


def _run_lengths(values: IntArray) -> IntArray:
    edges = np.flatnonzero(np.diff(values)) + 1
    return np.diff(np.concatenate([[0], edges, [len(values)]]))


def _pairs(counts: IntArray) -> float:
    return float((counts * (counts - 1) // 2).sum())


def _shares(numerators: FloatArray, norms: FloatArray) -> FloatArray:
    shares = np.full(len(numerators), np.nan)
    np.divide(numerators, norms, out=shares, where=norms > 0)
    return np.clip(shares, -1, 1)


def _list_and_rows(first: ArrayLike, others: ArrayLike) -> tuple[FloatArray, FloatArray]:
    values = finite_array("first", first, (None,))
    if len(values) < 2:
        raise ArgumentError(f"first: expected at least 2 numbers, got {len(values)}")
    return values, finite_array("others", others, (None, len(values)))
