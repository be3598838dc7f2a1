from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

from vidattn import report
from vidattn.evaluation import Interval
from vidattn.files import write_text
from vidattn.inference.keyframes import extract_keyframes, full_frames
from vidattn.inference.windows import VideoAttention, WindowedRecogniser
from vidattn.jobs.explain import Painter, overlay_sheet
from vidattn.jobs.keyframe_pictures import contact_sheet
from vidattn.models import LoadedRecogniser
from vidattn.video import open_video

FIGURES = ("top1", "keyframe_precision", "pointing_game", "box_iou")
TITLES = {
    "keyframe_precision": "Key frames inside the action",
    "pointing_game": "Pointing game: the peak lies inside the actor's box",
    "box_iou": "Overlap of the region with the actor's box (IoU)",
}
# Videos shown in pictures: one of each class, up to this many.
SHOWN = 6


def comparisons(summary: dict[str, Any]) -> dict[str, dict[str, float]]:
    """Figure -> what stands beside it, method -> value."""
    found: dict[str, dict[str, float]] = {}
    for figure in FIGURES:
        if figure in summary:
            start = f"{figure}_"
            found[figure] = {
                name.removeprefix(start): value
                for name, value in summary.items()
                if name.startswith(start)
            }
    found["top1"] = {"chance": summary["chance"], "most frequent class": summary["majority"]}
    return found


def write_demo_page(
    path: Path, summary: dict[str, Any], predictions: dict[str, Any], loaded: LoadedRecogniser
) -> None:
    """The demo's report: figures beside their baselines, and what the model looked at."""
    sections: list[Any] = [
        _headline(summary),
        *(_bars(summary, figure) for figure in TITLES if figure in summary),
        *_curves(path.parent),
        report.Confusion("Confusion matrix", summary["confusion_matrix"], summary["classes"]),
        *_galleries(predictions, loaded),
    ]
    if predictions["failures"]:
        rows = list(predictions["failures"].items())
        sections.append(report.Table("Videos that could not be read", ["video", "reason"], rows))
    seconds = summary["seconds"]
    text = report.render_page(
        "Attention that finds actions" if "videos_with_truth" in summary else "Your own videos",
        sections,
        summary=_claim(summary),
        facts={
            "seed": str(summary["seed"]),
            "checkpoint": predictions["checkpoint_sha256"][:12],
            "seconds": ", ".join(f"{name} {value:g}" for name, value in seconds.items()),
            **summary["versions"],
        },
    )
    write_text(path, text)


def _claim(summary: dict[str, Any]) -> str:
    """What was done, and no more than what was measured."""
    low, high = summary["intervals_95"]["top1"]
    done = (
        f"A recogniser learned {len(summary['classes'])} classes from their names alone, in "
        f"{summary['seconds']['training']:.0f} seconds."
    )
    if "videos_with_truth" in summary:
        return (
            f"{done} Nobody told it when or where anything happens; "
            f"its attention says so on {summary['videos']} test videos."
        )
    return (
        f"{done} It recognises {summary['top1']:.0%} of {summary['videos']} test videos (95 % "
        f"interval {low:.0%} to {high:.0%}; chance {summary['chance']:.0%}, always the most "
        f"frequent class {summary['majority']:.0%}). Nobody knows when and where these videos "
        "show their classes, so the pictures below are not measured."
    )


def _headline(summary: dict[str, Any]) -> report.Figures:
    figures = []
    for name, beside in comparisons(summary).items():
        notes = [f"{other} {value:.0%}" for other, value in beside.items() if other != "shuffled"]
        label = name.replace("_", " ")
        figures.append(report.Figure(label, f"{100 * summary[name]:.1f} %", ", ".join(notes)))
    return report.Figures("At a glance", figures)


def _bars(summary: dict[str, Any], figure: str) -> report.Bars:
    methods = {"attention": figure}
    methods |= {method: f"{figure}_{method}" for method in comparisons(summary)[figure]}
    bars = [
        report.Bar(
            "attention, shuffled" if method == "shuffled" else method,
            summary[name],
            Interval(summary[name], *summary["intervals_95"][name]),
            strong=method == "attention",
        )
        for method, name in methods.items()
    ]
    note = f"{summary['videos_with_truth']} videos; bars show 95 % intervals over videos."
    return report.Bars(TITLES[figure], bars, percent=True, note=note)


def _curves(folder: Path) -> list[report.Lines]:
    """The training loss over steps, from the latest of the trainer's CSV logs."""
    logs = sorted(folder.glob("csv/version_*/metrics.csv"), key=lambda log: log.stat().st_mtime)
    if not logs:
        return []
    with logs[-1].open(encoding="utf-8", newline="") as file:
        rows = [row for row in csv.DictReader(file) if row.get("train/loss")]
    if len(rows) < 2:
        return []
    steps = [int(row["step"]) for row in rows]
    losses = [float(row["train/loss"]) for row in rows]
    return [report.Lines("Training loss", [report.Line("loss", steps, losses)], "step")]


def _galleries(predictions: dict[str, Any], loaded: LoadedRecogniser) -> list[report.Gallery]:
    rows = {row["label"]: row for row in reversed(predictions["videos"])}
    overlays, sheets = [], []
    for label in sorted(rows)[:SHOWN]:
        path = rows[label]["video"]
        with open_video(path) as reader:
            attention = VideoAttention(list(WindowedRecogniser(loaded, reader).windows()))
            seen = loaded.classes[int(attention.probabilities.argmax())]
            picture = overlay_sheet(reader, Painter(attention, ""), 6)
        overlays.append(report.Picture(picture, f"{label}, recognised as {seen}"))
        sheets.append(report.Picture(_sheet(path, loaded), f"key frames and regions of {label}"))
    return [
        report.Gallery("What it looks at", overlays, wide=True),
        report.Gallery("Key frames", sheets, wide=True),
    ]


def _sheet(path: str, loaded: LoadedRecogniser) -> bytes:
    found = extract_keyframes(path, count=4, checkpoint=loaded, minimum_gap_seconds=0.1)
    pixels = full_frames(path, [frame.frame_index for frame in found.frames], decoder="pyav")
    return contact_sheet(found, pixels, title="", tile_width=200)
