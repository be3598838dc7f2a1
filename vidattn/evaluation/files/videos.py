"""Which videos both files have, and what becomes of those that one of them lacks."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from vidattn.errors import MalformedFileError
from vidattn.evaluation.metrics.intervals import bootstrap_mean

SHOWN = 5
_NUMBERS_DRAWN = 20_000_000


class MatchedVideos(NamedTuple):
    """The videos to score.

    Attributes:
        names: in the order of the truth.
        counts: how many were expected, predicted and missing.
        notes: what a reader must know about those left out.
    """

    names: list[str]
    counts: dict[str, int]
    notes: list[str]


def match_videos(
    path: Path, predicted: Collection[str], expected: Iterable[str], *, missing: str
) -> MatchedVideos:
    """Match by name.

    Args:
        path: of the predictions, for the message.
        missing: what a video without predictions does: "error", "leave-out" (scored without
            it), anything else: it stays, and the caller says what it is worth.

    Raises:
        MalformedFileError: a video has no predictions and should have, or none has.
    """
    wanted = list(expected)
    known = set(wanted)
    lacking = [name for name in wanted if name not in predicted]
    foreign = [name for name in predicted if name not in known]
    if len(lacking) == len(wanted):
        raise MalformedFileError(
            path, 0, f"videos of the truth, such as {wanted[0]!r}", f"only {_some(foreign)}"
        )
    if lacking and missing == "error":
        got = f"none for {len(lacking)} of {len(wanted)}: {_some(lacking)}"
        raise MalformedFileError(path, 0, "every video of the truth (see --missing)", got)
    counts = {
        "videos_expected": len(wanted),
        "videos_evaluated": len(wanted) - len(lacking),
        "videos_missing": len(lacking),
        "videos_not_in_truth": len(foreign),
    }
    notes = []
    if lacking:
        verb = "left out" if missing == "leave-out" else f"counted as {missing}"
        notes.append(f"{len(lacking)} videos have no predictions and are {verb}: {_some(lacking)}")
    if foreign:
        notes.append(f"{len(foreign)} predicted videos are not in the truth: {_some(foreign)}")
    kept = [name for name in wanted if name in predicted] if missing == "leave-out" else wanted
    return MatchedVideos(kept, counts, notes)


def mean_intervals(values: Mapping[str, Sequence[float]]) -> dict[str, tuple[float, float]]:
    """95 % bootstrap interval of each mean over videos; none where it says nothing."""
    found = {}
    for name, numbers in values.items():
        if len(numbers) < 2 or not np.isfinite(numbers).all():
            continue
        resamples = int(np.clip(_NUMBERS_DRAWN // len(numbers), 100, 10_000))
        _, low, high = bootstrap_mean(numbers, seed=0, resamples=resamples)
        found[name] = (low, high)
    return found


def _some(names: list[str]) -> str:
    listed = ", ".join(names[:SHOWN])
    return f"{listed}{', …' if len(names) > SHOWN else ''}" if names else "none"
