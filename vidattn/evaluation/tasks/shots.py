"""Shot boundaries, by overlap of transitions or by distance of cuts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from vidattn.arrays import IntArray
from vidattn.errors import ArgumentError
from vidattn.evaluation.files.shot_files import Boundaries, read_boundaries
from vidattn.evaluation.files.videos import match_videos
from vidattn.evaluation.metrics.shots import (
    BoundaryCounts,
    cuts_in_spans,
    nearest_cuts,
    overlapping_transitions,
)
from vidattn.evaluation.tasks.task import Option, Score, ScoreTask

_TOLERANCE = {"transnet": 2, "pyscenedetect": 0}
_NOTHING = BoundaryCounts(0, 0, 0)


def run(predictions: Path, truth: Path, protocol: str, settings: dict[str, Any]) -> Score:
    """Score shot boundaries."""
    tolerance = settings["tolerance"]
    settings = {**settings, "tolerance": _TOLERANCE[protocol] if tolerance is None else tolerance}
    if settings["tolerance"] < 0:
        raise ArgumentError(f"tolerance: expected frames ≥ 0, got {settings['tolerance']}")
    if protocol == "transnet" and settings["include_end"]:
        raise ArgumentError("include_end: only the protocol pyscenedetect has it")
    notes: list[str] = []
    true = read_boundaries(truth, threshold=None, notes=notes, truth=True)
    given = read_boundaries(predictions, threshold=settings["threshold"], notes=notes, truth=False)
    matched = match_videos(predictions, given, true, missing=settings["missing"])
    none = Boundaries(np.zeros((0, 2), dtype=np.int64))
    pairs = [(given.get(name, none), true[name]) for name in matched.names]
    tally = _overlaps if protocol == "transnet" else _distances
    figures, counts = tally(pairs, settings["tolerance"], settings["include_end"])
    return Score(
        "shots",
        protocol,
        figures,
        counts={**matched.counts, **counts},
        notes=notes + matched.notes,
        settings=settings,
    )


def _overlaps(
    pairs: list[tuple[Boundaries, Boundaries]], tolerance: int, include_end: bool
) -> tuple[dict[str, float], dict[str, int]]:
    total = _NOTHING
    for ours, theirs in pairs:
        found = overlapping_transitions(
            ours.transitions, theirs.transitions, tolerance_frames=tolerance
        )
        total = total.plus(found)
    return _figures(total), _counts(total)


def _distances(
    pairs: list[tuple[Boundaries, Boundaries]], tolerance: int, include_end: bool
) -> tuple[dict[str, float], dict[str, int]]:
    hard = gradual = _NOTHING
    distance = 0
    for ours, theirs in pairs:
        cuts = _cuts(ours, include_end)
        short = theirs.transitions[:, 1] - theirs.transitions[:, 0] == 1
        found, inside = cuts_in_spans(cuts, theirs.transitions[~short])
        nearest = nearest_cuts(
            cuts[~inside],
            _with_end(theirs.transitions[short, 1], theirs, include_end),
            tolerance_frames=tolerance,
        )
        gradual, hard = gradual.plus(found), hard.plus(nearest.counts)
        distance += nearest.distance_frames
    figures = _figures(hard)
    figures["mean_distance_frames"] = distance / hard.matched if hard.matched else float("nan")
    counts = _counts(hard)
    if gradual.matched + gradual.missed:
        figures |= {f"gradual_{name}": value for name, value in _figures(gradual).items()}
        counts |= {f"gradual_{name}": value for name, value in _counts(gradual).items()}
    return figures, counts


def _cuts(boundaries: Boundaries, include_end: bool) -> IntArray:
    if boundaries.cuts is not None:
        return boundaries.cuts
    return _with_end(boundaries.transitions[:, 1], boundaries, include_end)


def _with_end(cuts: IntArray, boundaries: Boundaries, include_end: bool) -> IntArray:
    if not include_end or boundaries.end is None:
        return cuts
    return np.append(cuts, boundaries.end)


def _figures(counts: BoundaryCounts) -> dict[str, float]:
    return {"precision": counts.precision, "recall": counts.recall, "F1": counts.f1}


def _counts(counts: BoundaryCounts) -> dict[str, int]:
    return dict(zip(counts._fields, counts, strict=True))


TASK = ScoreTask(
    name="shots",
    summary="shot boundaries: precision, recall and F1 over all videos together",
    predictions="JSON: video -> first frames of shots, or [last old, first new frame] of each "
    "transition; .npz of a score a frame (--threshold); folder of text files with "
    "`first last` frame a shot, or TransNet's `.predictions.txt`",
    truth="ClipShots JSON (`transitions`), JSON with `hard_cuts` and `gradual`, .npz of shots, or "
    "folder of text files with `first last` frame a shot (BBC, AutoShot)",
    protocols={
        "transnet": "transitions, widened by half of --tolerance (2) on each side less half a "
        "frame, match where they overlap (TransNet V2, AutoShot)",
        "pyscenedetect": "a cut matches the nearest cut within --tolerance (0), one to one; "
        "a gradual transition matches a cut inside it (TRECVID's convention, as in PySceneDetect)",
    },
    example="shots autoshot.npz autoshot.npz --threshold 0.296",
    run=run,
    options=(
        Option("threshold", float, "frames with a higher score belong to a transition"),
        Option("tolerance", int, "tolerance in frames (default: the protocol's)"),
        Option(
            "include_end",
            bool,
            "count the end of the last shot as a cut, as in PySceneDetect's benchmark of BBC "
            "and AutoShot",
            default=False,
        ),
        Option(
            "missing",
            str,
            "what to do with a video without predictions",
            default="error",
            choices=("error", "leave-out", "no boundary"),
        ),
    ),
)
