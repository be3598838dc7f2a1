"""Which boxes of a frame are kept, and the order in which they are taken."""

from __future__ import annotations

import heapq
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vidattn.evaluation.files.ava_files import BoxRows


def ranked(rows: BoxRows, order: str, cap: int) -> NDArray[np.int64]:
    """Rows frame by frame, frames in the order of their first row, in a frame by the protocol."""
    frames, first, place = np.unique(rows.frame, return_index=True, return_inverse=True)
    rank = np.empty(len(frames), np.int64)
    rank[np.argsort(first)] = np.arange(len(frames))
    group = rank[place]
    if order == "file":
        placed = np.argsort(group, kind="stable")
    else:
        placed = np.lexsort((-rows.scores, group))
    if order == "heap":
        return _heaped(rows, placed, group, cap)
    return _first(placed, group, cap)[0]


def _first(
    placed: NDArray[np.int64], group: NDArray[np.int64], cap: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The first `cap` rows of each group, and the groups that had more."""
    if not cap:
        return placed, np.zeros(0, np.int64)
    groups = group[placed]
    begins = np.flatnonzero(np.r_[True, groups[1:] != groups[:-1]]) if len(groups) else groups
    counts = np.diff(np.r_[begins, len(groups)])
    inside = np.arange(len(groups)) - np.repeat(begins, counts)
    return placed[inside < cap], groups[begins[counts > cap]]


def _heaped(
    rows: BoxRows, placed: NDArray[np.int64], group: NDArray[np.int64], cap: int
) -> NDArray[np.int64]:
    """As the official scorer, which keeps each frame's rows in a heap.

    The heap decides which of equal scores are kept and in which order they are taken. Where no
    scores are equal that is the descending order, so only the other frames go through a heap.
    """
    kept, full = _first(placed, group, cap)
    by_class = np.lexsort((rows.scores, rows.classes, group))
    same = np.ones(max(len(by_class) - 1, 0), bool)
    for values in (group, rows.classes, rows.scores):
        same &= np.diff(values[by_class]) == 0
    tied = np.zeros(int(group.max(initial=-1)) + 1, bool)
    tied[group[by_class[:-1][same]]] = True
    if cap:  # a tie across classes matters only at the cap
        tied[_tied_at_cap(rows, placed, group, cap, full)] = True
    if not tied.any():
        return kept
    heaped = placed[tied[group[placed]]]
    heaped = heaped[np.lexsort((heaped, group[heaped]))]
    parts = [kept[~tied[group[kept]]]]
    bounds = np.flatnonzero(np.diff(group[heaped])) + 1
    parts.extend(_through_heap(rows, own, cap) for own in np.split(heaped, bounds))
    found = np.concatenate(parts)
    return found[np.argsort(group[found], kind="stable")]


def _tied_at_cap(
    rows: BoxRows,
    placed: NDArray[np.int64],
    group: NDArray[np.int64],
    cap: int,
    full: NDArray[np.int64],
) -> NDArray[np.int64]:
    begins = np.searchsorted(group[placed], full)
    last, next_ = placed[begins + cap - 1], placed[begins + cap]
    return full[rows.scores[last] == rows.scores[next_]]


def _through_heap(rows: BoxRows, own: NDArray[np.int64], cap: int) -> NDArray[np.int64]:
    """Rows of one frame, in the order of the file, as a heap keeps them.

    Entries compare by score, action and y1, x1, y2, x2; equal ones are the same box twice.
    """
    entries = zip(
        rows.scores[own].tolist(),
        rows.classes[own].tolist(),
        *rows.boxes[own][:, [1, 0, 3, 2]].T.tolist(),
        strict=True,
    )
    row_of: dict[tuple[Any, ...], int] = {}
    heap: list[tuple[Any, ...]] = []
    for row, entry in zip(own.tolist(), entries, strict=True):
        row_of[entry] = row
        if not cap or len(heap) < cap:
            heapq.heappush(heap, entry)
        elif entry[0] > heap[0][0]:
            heapq.heapreplace(heap, entry)
    ordered = sorted(heap, key=lambda entry: -entry[0])
    return np.array([row_of[entry] for entry in ordered], np.int64)
