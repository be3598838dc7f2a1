"""How many key frames lie inside the action: by attention, and by scores without training.

    python tools/bench/keyframe_times.py runs/reels/actions.json --output runs/times.json \\
        --checkpoint runs/demo/model.ckpt

ACTIONS.json is what `tools/shots/insert_actions.py` writes, or any file that
`vidattn evaluate --task keyframes` reads. Every method takes the same number of frames, with the
same smallest gap. `best possible` knows the action and keeps the gap. Intervals are 95 %; they
resample groups, and so do those of the paired difference from uniform frames.
"""

from __future__ import annotations

import argparse
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from rich import box
from rich.console import Console
from rich.progress import track
from rich.table import Table

import vidattn
from vidattn import evaluation, models, open_video, selection
from vidattn.cli.evaluation_figures import percent
from vidattn.data.actions import AnnotatedVideo, read_actions
from vidattn.evaluation import Interval, bootstrap_mean, paired_difference
from vidattn.files import write_json
from vidattn.models import LoadedRecogniser
from vidattn.video import packet_evidence

GAP_SECONDS = 0.5


def spans_of(video: AnnotatedVideo) -> list[tuple[int, int]]:
    """First frame of each action, and the frame behind its last."""
    return [(action.start_frame, action.end_frame) for action in video.actions]


def scores(video: AnnotatedVideo) -> tuple[dict[str, NDArray[np.float64]], dict[str, Any]]:
    """Method -> (T,), and the gap between frames for `select_frames`."""
    with open_video(video.path) as reader:
        chunks = [each.array for each in reader.chunks(frames_at_once=64, short_side=64)]
        positions, gap = reader.frame_times.apart(GAP_SECONDS)
        truth = np.zeros(len(reader))
        for start, end in spans_of(video):
            truth[start:end] = 1
        found = {
            "difference": selection.difference_scores(chunks),
            "packets": packet_evidence(reader).values,
            "coverage": selection.coverage_scores(selection.sketch_frames(chunks)),
            "best possible": truth,
        }
    return found, {"minimum_gap": gap, "positions": positions}


def precisions(
    video: AnnotatedVideo, count: int, loaded: LoadedRecogniser | None
) -> dict[str, float]:
    """Share of the key frames inside an action, by method."""
    own, gaps = scores(video)
    chosen: dict[str, ArrayLike] = {
        name: selection.select_frames(each, count, **gaps) for name, each in own.items()
    }
    settings: Mapping[str, Any] = {"count": count, "minimum_gap_seconds": GAP_SECONDS}
    extracted = {"default": vidattn.extract_keyframes(video.path, **settings)}
    if loaded is not None:
        extracted["attention"] = vidattn.extract_keyframes(
            video.path, checkpoint=loaded, **settings
        )
    for name, each in extracted.items():
        chosen[name] = [frame.frame_index for frame in each.frames]
    spans, total = spans_of(video), len(own["difference"])
    found = {name: evaluation.keyframe_precision(each, spans) for name, each in chosen.items()}
    found["uniform"] = evaluation.uniform_precision(spans, total, count)
    found["random"] = evaluation.random_precision(spans, total)
    return found


def summarise(rows: Sequence[Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
    """Method -> mean, and its difference from uniform frames."""
    groups = [row["group"] for row in rows]
    uniform = [row["precision"]["uniform"] for row in rows]
    found = {}
    for name in rows[0]["precision"]:
        values = [row["precision"][name] for row in rows]
        found[name] = {
            "mean": bootstrap_mean(values, seed=0, clusters=groups)._asdict(),
            "minus_uniform": paired_difference(values, uniform, seed=0, clusters=groups)._asdict(),
        }
    return found


def show(
    summary: Mapping[str, Mapping[str, Any]], kinds: Mapping[str, Mapping[str, float]]
) -> None:
    """A table in Markdown, the best first; a column for each kind of reel."""
    table = Table("inside the action", "all", "minus uniform", *kinds, box=box.MARKDOWN)
    for name in sorted(summary, key=lambda each: -summary[each]["mean"]["mean"]):
        mean, minus = (Interval(**summary[name][key]) for key in ("mean", "minus_uniform"))
        shares = [f"{own[name]:.1%}" for own in kinds.values()]
        table.add_row(name, percent(mean), percent(minus, "+"), *shares)
    Console(width=200).print(table)


def main() -> None:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("actions", type=Path, metavar="ACTIONS.json")
    parser.add_argument("--checkpoint", type=Path, help="select by its attention, too")
    parser.add_argument("--count", type=int, default=5, help="key frames a video (default: 5)")
    parser.add_argument(
        "--kind", default="^[a-z]+", metavar="REGEX", help="the kind of a reel, in its name"
    )
    parser.add_argument("--source", metavar="REGEX", help="the group of a video, in its name")
    parser.add_argument("--output", type=Path, required=True)
    given = parser.parse_args()
    loaded = models.load(given.checkpoint) if given.checkpoint else None
    rows: list[dict[str, Any]] = []
    for video in track(read_actions(given.actions, boxes=False), description="videos"):
        kind = re.search(given.kind, video.name)
        source = re.match(given.source, video.name) if given.source else None
        rows.append(
            {
                "video": video.name,
                "kind": kind[0] if kind else "",
                "group": source[0] if source else video.group,
                "precision": precisions(video, given.count, loaded),
            }
        )
    kinds = {
        kind: {
            name: float(np.mean([row["precision"][name] for row in rows if row["kind"] == kind]))
            for name in rows[0]["precision"]
        }
        for kind in sorted({row["kind"] for row in rows})
    }
    summary = summarise(rows)
    result = {"count": given.count, "summary": summary, "kinds": kinds, "videos": rows}
    write_json(given.output, result)
    show(summary, kinds if len(kinds) > 1 else {})


if __name__ == "__main__":
    main()
