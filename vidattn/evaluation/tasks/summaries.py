"""Video summaries and importances of frames, against those of people."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from vidattn.arrays import FloatArray, at_least
from vidattn.errors import ArgumentError, MalformedFileError
from vidattn.evaluation.files.summary_files import (
    GivenSummary,
    PeoplesSummaries,
    read_answers,
    read_people,
    read_splits,
)
from vidattn.evaluation.files.videos import match_videos, mean_intervals
from vidattn.evaluation.metrics.summaries import (
    Convention,
    importance_correlations,
    key_shot_summary,
    people_correlations,
    people_f1,
    summary_f1,
    uniform_summary,
)
from vidattn.evaluation.tasks.task import Option, Score, ScoreTask

STRIDE = 15  # of TVSum's frames in rank correlations
_SHOT_FRAMES = 60  # of the shots that random summaries are made of where the truth has none
_CONVENTION: dict[str, Convention] = {
    "pgl-sum": "pgl-sum",
    "ca-sum": "pgl-sum",
    "dsnet": "dsnet",
    "vsumm-reinforce": "vsumm-reinforce",
}


class _Plan(NamedTuple):
    convention: Convention
    budget: float
    users: str
    draws: int


def run(predictions: Path, truth: Path, protocol: str, settings: dict[str, Any]) -> Score:
    """Score summaries, beside random and uniform ones and those of people."""
    people = read_people(truth)
    if settings["annotations"]:
        people = _with_importances(people, settings["annotations"])
    given = read_answers(predictions)
    plan, settings = _plan(people, truth, protocol, settings)
    splits = read_splits(settings["splits"], list(people)) if settings["splits"] else []
    tested = {name for names in splits for name in names} or set(people)
    expected = [name for name in people if name in tested]
    matched = match_videos(predictions, given, expected, missing=settings["missing"])
    generator = np.random.default_rng(at_least("seed", settings["seed"], 0))
    rows = {}
    for name in matched.names:
        try:
            rows[name] = _video(given[name], people[name], plan, generator)
        except ArgumentError as error:
            raise MalformedFileError(
                predictions, 0, f"{name}: an answer that fits the truth", str(error)
            ) from error
    groups = [[name for name in names if name in rows] for names in splits] or [list(rows)]
    titles = list(next(iter(rows.values())))
    table = {title: [rows[name][title] for name in rows] for title in titles}
    figures = {
        title: float(
            np.mean([np.mean([rows[name][title] for name in group]) for group in groups if group])
        )
        for title in titles
    }
    constant = sorted(name for name in rows if np.isnan(rows[name].get("kendall", 0.0)))
    if constant:
        matched.notes.append(f"no rank correlation where all are equal: {', '.join(constant[:5])}")
    counts = {**matched.counts, "splits": len(splits)}
    intervals = {} if splits else mean_intervals(table)
    return Score("summaries", protocol, figures, rows, counts, matched.notes, settings, intervals)


def _plan(
    people: dict[str, PeoplesSummaries], truth: Path, protocol: str, settings: dict[str, Any]
) -> tuple[_Plan, dict[str, Any]]:
    users = settings["users"]
    if users is None:
        has_summaries = any(video.summaries is not None for video in people.values())
        where = f"{truth.parent.name}/{truth.name}".lower()
        users = "mean" if "tvsum" in where else "max" if "summe" in where else None
        if users is None and has_summaries:
            raise ArgumentError("users: say mean (TVSum) or max (SumMe); the truth does not tell")
    if not 0 < settings["budget"] < 1:
        raise ArgumentError(f"budget: expected a number in (0, 1), got {settings['budget']}")
    draws = at_least("draws", settings["draws"], 1)
    plan = _Plan(_CONVENTION[protocol], settings["budget"], users or "mean", draws)
    return plan, {**settings, "users": plan.users}


def _with_importances(
    people: dict[str, PeoplesSummaries], path: Path
) -> dict[str, PeoplesSummaries]:
    extra = read_people(path)
    for name in people:
        if name not in extra or extra[name].importances is None:
            raise MalformedFileError(path, 0, f"importances of {name}", "none")
    return {
        name: video._replace(importances=extra[name].importances) for name, video in people.items()
    }


def _video(
    given: GivenSummary, people: PeoplesSummaries, plan: _Plan, generator: np.random.Generator
) -> dict[str, float]:
    found: dict[str, float] = {}
    if people.summaries is not None:
        found |= _f1_figures(given, people, plan, generator)
    if people.importances is not None and not given.is_summary:
        found |= _correlations(given.values, people, plan.draws, generator)
    if not found:
        raise ArgumentError("a summary needs user_summary in the truth")
    return found


def _f1_figures(
    given: GivenSummary, people: PeoplesSummaries, plan: _Plan, generator: np.random.Generator
) -> dict[str, float]:
    truth = people.summaries
    assert truth is not None
    if given.is_summary:
        if len(given.values) != people.frame_count:
            raise ArgumentError(
                f"summary: expected {people.frame_count} frames, got {len(given.values)}"
            )
        summary = given.values > 0
    else:
        if people.shots is None:
            raise ArgumentError("scores need change_points in the truth; without, give a summary")
        summary = _summarise(given.values, people, plan)
    bare = people if people.shots is not None else _with_even_shots(people)
    length = people.frame_count if bare.picks is None else len(bare.picks)
    random = [
        _reduced(_summarise(generator.random(length), bare, plan), people, plan)
        for _ in range(plan.draws)
    ]
    assert bare.shots is not None
    uniform = uniform_summary(people.frame_count, len(bare.shots), budget=plan.budget)
    pairs = people_f1(truth)
    if len(pairs) < 2:
        human = float("nan")
    else:
        own = np.nanmean(pairs, axis=1) if plan.users == "mean" else np.nanmax(pairs, axis=1)
        human = float(own.mean())
    return {
        "F1": _reduced(summary, people, plan),
        "F1_random": float(np.mean(random)),
        "F1_uniform": _reduced(uniform, people, plan),
        "F1_human": human,
        "F1_human_mean": float(np.nanmean(pairs)) if len(pairs) > 1 else float("nan"),
    }


def _correlations(
    values: FloatArray, people: PeoplesSummaries, draws: int, generator: np.random.Generator
) -> dict[str, float]:
    assert people.importances is not None
    importances = people.importances[:, ::STRIDE]
    if len(values) == people.importances.shape[1]:
        values = values[::STRIDE]
    if len(values) != importances.shape[1]:
        raise ArgumentError(
            f"scores: expected one for each of {people.importances.shape[1]} frames, or of every "
            f"{STRIDE}th ({importances.shape[1]}), got {len(values)}"
        )
    kendall, spearman = importance_correlations(values, importances)
    drawn = [
        importance_correlations(generator.random(len(values)), importances) for _ in range(draws)
    ]
    humans = people_correlations(importances) if len(importances) > 1 else (np.nan, np.nan)
    return {
        "kendall": kendall,
        "kendall_random": float(np.mean([tau for tau, _ in drawn])),
        "kendall_human": humans[0],
        "spearman": spearman,
        "spearman_random": float(np.mean([rho for _, rho in drawn])),
        "spearman_human": humans[1],
    }


def _summarise(values: FloatArray, people: PeoplesSummaries, plan: _Plan) -> np.ndarray:
    picks = people.picks
    if picks is None or (len(values) == people.frame_count and len(values) > len(picks)):
        picks = np.arange(people.frame_count)
    if plan.convention == "dsnet" and len(values) != len(picks):
        raise ArgumentError(f"scores: expected {len(picks)}, got {len(values)}")
    assert people.shots is not None
    return key_shot_summary(
        values,
        picks=picks,
        shots=people.shots,
        frame_count=people.frame_count,
        convention=plan.convention,
        shot_lengths=people.shot_lengths,
        budget=plan.budget,
    )


def _with_even_shots(people: PeoplesSummaries) -> PeoplesSummaries:
    starts = np.arange(0, people.frame_count, _SHOT_FRAMES)
    ends = np.append(starts[1:], people.frame_count) - 1
    return people._replace(shots=np.stack([starts, ends], axis=1))


def _reduced(summary: np.ndarray, people: PeoplesSummaries, plan: _Plan) -> float:
    assert people.summaries is not None
    each = summary_f1(summary, people.summaries, convention=plan.convention)
    return float(each.max() if plan.users == "max" else each.mean())


TASK = ScoreTask(
    name="summaries",
    summary="summaries of videos: F1 and rank correlation with those of people",
    predictions="JSON: video -> scores (one a pick, or one a frame), or -> an object with "
    "`summary`, 0 or 1 a frame",
    truth="HDF5 or JSON with user_summary, change_points, n_frames, picks (TVSum, SumMe as "
    "prepared for training); ydata-tvsum50.mat; ydata-anno.tsv; folder of SumMe's .mat",
    protocols={
        "pgl-sum": "15 % of the frames up to the last shot, float scores",
        "ca-sum": "F1 as pgl-sum; τ and ρ wherever there are importances (--annotations)",
        "dsnet": "15 % of all frames, whole thousandths of scores, OR-Tools' choice among equals",
        "vsumm-reinforce": "15 % of all frames, float32 table, lengths of shots from the file",
    },
    example="summaries scores.json eccv16_dataset_tvsum_google_pool5.h5 "
    "--annotations ydata-anno.tsv --splits tvsum_splits.json",
    run=run,
    options=(
        Option("users", str, "F1 over people: mean (TVSum), max (SumMe)", choices=("mean", "max")),
        Option("annotations", Path, "TVSum's importances, in the order of the video numbers"),
        Option("splits", Path, "JSON list with test_keys: mean over each, then over splits"),
        Option(
            "budget", float, "maximum length of a summary, as a share of the video", default=0.15
        ),
        Option("draws", int, "number of random summaries for each video", default=10),
        Option("seed", int, "seed of the random summaries", default=0),
        Option(
            "missing",
            str,
            "what to do with a video without predictions",
            default="error",
            choices=("error", "leave-out"),
        ),
    ),
)
