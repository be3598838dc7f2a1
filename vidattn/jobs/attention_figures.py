"""Key frames and regions of a model against true actions, beside what needs no model."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from vidattn import evaluation, selection
from vidattn.data.actions import Truth
from vidattn.inference import baselines as whereabouts
from vidattn.inference.baselines import Whereabouts
from vidattn.inference.keyframes import extract_keyframes
from vidattn.inference.windows import VideoAttention
from vidattn.jobs import looks
from vidattn.jobs.attention_record import BEST_POSSIBLE, AttentionFigure
from vidattn.models import LoadedRecogniser
from vidattn.video import VideoReader

Task = Literal["keyframes", "regions"]

FIGURES: dict[str, tuple[str, ...]] = {
    "keyframes": ("keyframe_precision", "action_recall"),
    "regions": ("pointing_game", "energy_inside", "box_iou"),
}
# Above this share of frames with an action every method is right by doing nothing.
LONGEST_SHARE = 0.9
SHUFFLES = 20
SEED = 0

Figures = dict[str, dict[str, float]]


def measure(
    loaded: LoadedRecogniser,
    reader: VideoReader,
    actions: Sequence[Truth],
    *,
    tasks: Sequence[str],
    count: int = 5,
    minimum_gap_seconds: float = 0.5,
    centre_size: ArrayLike | None = None,
) -> tuple[VideoAttention, dict[str, Any]]:
    """Figures of one video, method by method.

    Methods are the model's "attention"; "shuffled", what is left of it without its order, the
    mean of 20 times; "difference", the largest difference between frames; for key frames
    "coverage" (see `vidattn.selection.pick_frames`), "uniform", the expectation of "random"
    and "best possible", which knows the truth; for regions "centre", a box in the middle, and
    "even", a map without preference.

    Args:
        reader: the open video.
        actions: at least one; with boxes for the task "regions".
        tasks: "keyframes", "regions" or both.
        count: key frames that every method may choose.
        minimum_gap_seconds: that they are apart, if enough are left.
        centre_size: (width, height) of the centre's box, for "regions".

    Returns:
        the model's attention, and the record: figure -> method -> value, and the key frames.
    """
    attention = looks.attention_of(loaded, reader)
    where = "regions" in tasks
    own = {
        "attention": looks.of_attention(attention, places=where),
        "difference": looks.of_differences(reader, places=where),
    }
    inside = np.isin(np.arange(len(reader)), list(_true_frames(actions)))
    record: dict[str, Any] = {
        "frames": len(reader),
        "share_with_action": float(inside.mean()),
    }
    if "keyframes" in tasks:
        positions, gap = reader.frame_times.apart(minimum_gap_seconds)
        chosen = _chosen(own, inside, count, gap, positions)
        coverage = extract_keyframes(
            reader.path, count=count, minimum_gap_seconds=minimum_gap_seconds
        )
        chosen["coverage"] = np.array([frame.frame_index for frame in coverage.frames])
        figures = _times(chosen, actions, len(reader), count)
        others = [
            _times(_chosen(each, None, count, gap, positions), actions, len(reader), count)
            for each in _shuffles(attention, places=False)
        ]
        record |= _with_mean(figures, others)
        record["chosen"] = {name: chosen[name].tolist() for name in ("attention", "coverage")}
    if "regions" in tasks:
        size = whereabouts.mean_box_size(actions) if centre_size is None else centre_size
        figures = _places(own, reader, actions, size)
        others = [
            _places(each, reader, actions, size) for each in _shuffles(attention, places=True)
        ]
        record |= _with_mean(figures, others)
    return attention, record


def _shuffles(attention: VideoAttention, *, places: bool) -> Iterator[dict[str, Whereabouts]]:
    """One after the other: together they would take more memory than a long film's frames."""
    for generator in np.random.default_rng(SEED).spawn(SHUFFLES):
        own = looks.of_attention(attention, shuffled_by=generator, places=places)
        yield {"shuffled": own}


def summarise_attention(
    records: Sequence[Mapping[str, Any]], groups: Sequence[str], tasks: Sequence[str]
) -> dict[str, AttentionFigure]:
    """Means over videos with intervals, and attention minus every other method, by figure.

    Args:
        records: of each video, from `measure`.
        groups: of each video, resampled whole; at least two different ones.
        tasks: as in `measure`.
    """
    rows: dict[str, tuple[str, Sequence[int]]] = {
        figure: (figure, range(len(records))) for task in tasks for figure in FIGURES[task]
    }
    short = [i for i, record in enumerate(records) if record["share_with_action"] <= LONGEST_SHARE]
    if "keyframes" in tasks and len({groups[i] for i in short}) >= 3 and len(short) < len(records):
        rows["keyframe_precision_short"] = ("keyframe_precision", short)
    return {
        row: _summary([records[i][figure] for i in members], [groups[i] for i in members])
        for row, (figure, members) in rows.items()
    }


def _summary(own: Sequence[Mapping[str, float]], groups: Sequence[str]) -> AttentionFigure:
    values = {method: [entry[method] for entry in own] for method in own[0]}
    return AttentionFigure(
        len(own),
        len(set(groups)),
        {
            method: evaluation.bootstrap_mean(items, seed=SEED, clusters=groups)
            for method, items in values.items()
        },
        {
            method: evaluation.paired_difference(
                values["attention"], items, seed=SEED, clusters=groups
            )
            for method, items in values.items()
            if method != "attention"
        },
    )


def _true_frames(actions: Sequence[Truth]) -> NDArray[np.int64]:
    spans = [np.arange(action.start_frame, action.end_frame) for action in actions]
    return np.unique(np.concatenate(spans))


def _chosen(
    places: Mapping[str, Whereabouts],
    inside: NDArray[np.bool_] | None,
    count: int,
    gap: float,
    positions: NDArray[np.float64],
) -> dict[str, NDArray[np.int64]]:
    scores: dict[str, ArrayLike] = {method: place.scores for method, place in places.items()}
    if inside is not None:
        scores[BEST_POSSIBLE] = inside
    return {
        method: selection.select_frames(own, count, minimum_gap=gap, positions=positions)
        for method, own in scores.items()
    }


def _times(
    chosen: Mapping[str, ArrayLike], actions: Sequence[Truth], frame_count: int, count: int
) -> Figures:
    return {
        "keyframe_precision": whereabouts.keyframe_precisions(chosen, actions, frame_count, count),
        "action_recall": whereabouts.action_recalls(chosen, actions, frame_count, count),
    }


def _places(
    places: Mapping[str, Whereabouts],
    reader: VideoReader,
    actions: Sequence[Truth],
    centre_size: ArrayLike,
) -> Figures:
    hits, overlaps = whereabouts.region_matches(places, reader.size, actions, centre_size)
    energies = whereabouts.region_energies(places, reader.size, actions)
    return {"pointing_game": hits, "energy_inside": energies, "box_iou": overlaps}


def _with_mean(figures: Figures, shuffles: Sequence[Figures]) -> Figures:
    """Figures, and among them the mean of the shuffled ones."""
    return {
        name: {**own, "shuffled": float(np.mean([each[name]["shuffled"] for each in shuffles]))}
        for name, own in figures.items()
    }
