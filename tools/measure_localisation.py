"""Does attention find when and where real actions happen? Measured on videos with known boxes.

BOXES.json lists videos, which lie beside it, with their actions: boxes [x1, y1, x2, y2] in the
file's own pixels, one for each frame from `start_frame` to `end_frame` - 1, counted from 0:
  {"videos": [{"file": "dive.avi", "width": 320, "height": 240, "frames": 259,
               "tubes": [{"start_frame": 122, "end_frame": 208, "boxes": [[…], …]}, …]}, …]}
Writes result.json and, for each video, overlay.png (the frames with the highest scores, true boxes
outlined), keyframes.png (attention's, with its own regions) and keyframes_coverage.png.

Example:
  python tools/measure_localisation.py runs/demo/model.ckpt data/boxes.json \\
      --source '.*_g[0-9]+' --output runs/localisation
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from rich import box
from rich.console import Console
from rich.progress import track
from rich.table import Table

import vidattn
from vidattn import evaluation, models, selection
from vidattn.errors import AnnotationError, VidattnError
from vidattn.files import write_bytes, write_json
from vidattn.jobs import KeyFrames, whereabouts
from vidattn.jobs.explanation import Painter, overlay_sheet
from vidattn.jobs.extraction import full_frames
from vidattn.jobs.keyframe_files import contact_sheet, folder_names
from vidattn.jobs.whereabouts import Truth
from vidattn.models import LoadedRecogniser
from vidattn.video import VideoReader

# Above this share of frames with an action every method is right by doing nothing.
LONGEST_SHARE = 0.9
SHUFFLES = 20
OVERLAY_FRAMES = 6
FIGURES = {
    "keyframe_precision": "key frames inside the action",
    "keyframe_precision_short": "the same, action in at most 90 % of the frames",
    "pointing_game": "pointing game",
    "box_iou": "box IoU",
}


def main() -> int:
    parsed = parse()
    try:
        videos = read_videos(parsed.boxes)
        loaded = models.load(parsed.checkpoint)
        records = measure_all(loaded, videos, parsed)
        result = {
            "checkpoint": loaded.path,
            "checkpoint_sha256": loaded.digest,
            "key_frames": parsed.count,
            "minimum_gap_seconds": parsed.gap,
            "shuffles": SHUFFLES,
            "figures": summarise(records, [source(r["video"], parsed.source) for r in records]),
            "videos": records,
        }
    except VidattnError as error:
        print(error, file=sys.stderr)
        return 1
    write_json(parsed.output / "result.json", result)
    show(json.loads((parsed.output / "result.json").read_text(encoding="utf-8")))
    return 0


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("checkpoint", type=Path, metavar="CHECKPOINT")
    parser.add_argument("boxes", type=Path, metavar="BOXES.json")
    parser.add_argument("--output", type=Path, default=Path("runs/localisation"), metavar="DIR")
    parser.add_argument("--count", type=int, default=5, help="key frames a video (default: 5)")
    parser.add_argument(
        "--gap", type=float, default=0.5, help="seconds between key frames (default: 0.5)"
    )
    parser.add_argument(
        "--source",
        default=".*",
        metavar="REGEX",
        help="videos whose names start with the same match come from one source; intervals "
        "resample sources (default: each video is one)",
    )
    return parser.parse_args()


def read_videos(path: Path) -> dict[Path, tuple[dict[str, Any], list[Truth]]]:
    """Video file -> its entry and its actions."""
    try:
        entries = json.loads(path.read_text(encoding="utf-8"))["videos"]
        found = {
            path.parent / entry["file"]: (
                {name: entry[name] for name in ("width", "height", "frames")},
                [
                    Truth(tube["start_frame"], tube["end_frame"], tube["boxes"])
                    for tube in entry["tubes"]
                ],
            )
            for entry in entries
        }
    except (OSError, ValueError, KeyError, TypeError) as error:
        reason = f"expected videos with boxes, got {type(error).__name__}: {error}"
        raise AnnotationError(path, 0, reason) from None
    for video, (_, actions) in found.items():
        wrong = [a for a in actions if a.end_frame - a.start_frame != len(a.boxes)]
        if not actions or wrong:
            raise AnnotationError(path, 0, f"{video.name}: expected a box for each frame")
    if len(found) < 2:
        raise AnnotationError(path, 0, f"expected at least 2 videos, got {len(found)}")
    return found


def source(video: str, pattern: str) -> str:
    """What a video was cut from, by its name."""
    found = re.match(pattern, Path(video).name)
    return found[0] if found else video


def measure_all(
    loaded: LoadedRecogniser,
    videos: Mapping[Path, tuple[dict[str, Any], list[Truth]]],
    parsed: argparse.Namespace,
) -> list[dict[str, Any]]:
    folders = folder_names(videos)
    centre = whereabouts.mean_box_size(a for _, actions in videos.values() for a in actions)
    records = []
    for path, (expected, actions) in track(
        videos.items(), description="measuring", disable=not sys.stderr.isatty(), transient=True
    ):
        with vidattn.open_video(path) as reader:
            height, width = reader.size
            decoded = {"width": width, "height": height, "frames": len(reader)}
            if decoded != expected:
                reason = f"{path.name}: expected {expected}, decoded {decoded}"
                raise AnnotationError(parsed.boxes, 0, reason)
            folder = parsed.output / folders[str(path)]
            records.append(measure(loaded, reader, actions, centre, folder, parsed))
    return records


def measure(
    loaded: LoadedRecogniser,
    reader: VideoReader,
    actions: Sequence[Truth],
    centre: np.ndarray,
    folder: Path,
    parsed: argparse.Namespace,
) -> dict[str, Any]:
    """Figures of one video, method by method; its pictures go to `folder`."""
    true = whereabouts.boxes_by_frame(actions)
    attention, places = whereabouts.look(loaded, reader, seed=0)
    settings = {"count": parsed.count, "minimum_gap_seconds": parsed.gap}
    by_attention = vidattn.extract_keyframes(reader.path, checkpoint=loaded, **settings)
    by_coverage = vidattn.extract_keyframes(reader.path, **settings)
    inside = np.isin(np.arange(len(reader)), list(true))
    gap = round(parsed.gap * reader.fps)

    def figures(own: dict[str, Any], **chosen: Any) -> tuple[dict[str, float], ...]:
        scores_of = {method: place.scores for method, place in own.items()}
        for name, scores in (scores_of | {"best possible": inside}).items():
            picked = selection.select_frames(scores, parsed.count, minimum_gap=gap)
            chosen.setdefault(name, picked)
        precisions = whereabouts.key_frame_precisions(chosen, actions, len(reader), parsed.count)
        return precisions, *whereabouts.region_matches(own, reader.size, actions, centre)

    shuffles = [
        figures({"shuffled": whereabouts.of_attention(attention, shuffled_by=generator)})
        for generator in np.random.default_rng(0).spawn(SHUFFLES)
    ]
    precisions, hits, overlaps = figures(
        {method: places[method] for method in ("attention", "difference")},
        attention=indices(by_attention),
        coverage=indices(by_coverage),
    )
    for position, own in enumerate((precisions, hits, overlaps)):
        own["shuffled"] = float(np.mean([shuffle[position]["shuffled"] for shuffle in shuffles]))
    painted = overlay_sheet(reader, Painter(attention, "", boxes=true), OVERLAY_FRAMES)
    write_bytes(folder / "overlay.png", painted)
    for name, found in (("keyframes", by_attention), ("keyframes_coverage", by_coverage)):
        pixels = full_frames(reader.path, indices(found), decoder="pyav")
        title = f"{Path(reader.path).name} · {found.method.split(':')[0]}"
        write_bytes(folder / f"{name}.png", contact_sheet(found, pixels, title=title))
    return {
        "video": Path(reader.path).name,
        "frames": len(reader),
        "share_with_action": float(inside.mean()),
        "chosen": {"attention": indices(by_attention), "coverage": indices(by_coverage)},
        "keyframe_precision": precisions,
        "pointing_game": hits,
        "box_iou": overlaps,
    }


def indices(found: KeyFrames) -> list[int]:
    return [frame.frame_index for frame in found.frames]


def summarise(records: Sequence[dict[str, Any]], sources: Sequence[str]) -> dict[str, Any]:
    """Means over videos with intervals, and attention minus every other method, by figure."""
    short = [i for i, record in enumerate(records) if record["share_with_action"] <= LONGEST_SHARE]
    rows: dict[str, tuple[str, Sequence[int]]] = {
        figure: (figure, range(len(records)))
        for figure in ("keyframe_precision", "pointing_game", "box_iou")
    }
    if len(short) >= 3:
        rows["keyframe_precision_short"] = ("keyframe_precision", short)
    result: dict[str, Any] = {}
    for row, (figure, members) in rows.items():
        own = [records[i][figure] for i in members]
        clusters = [sources[i] for i in members]
        values = {method: [entry[method] for entry in own] for method in own[0]}
        result[row] = {
            "videos": len(members),
            "sources": len(set(clusters)),
            "methods": {
                method: evaluation.bootstrap_mean(items, seed=0, clusters=clusters)._asdict()
                for method, items in values.items()
            },
            "attention_minus": {
                method: evaluation.paired_difference(
                    values["attention"], items, seed=0, clusters=clusters
                )._asdict()
                for method, items in values.items()
                if method != "attention"
            },
        }
    return result


def show(result: dict[str, Any]) -> None:
    """Tables in Markdown: every figure by method, then every video."""
    console = Console(width=200)
    for row, title in FIGURES.items():
        figure = result["figures"].get(row)
        if figure is None:
            console.print(f"{title}: fewer than 3 such videos")
            continue
        heading = f"{title}, {figure['videos']} videos of {figure['sources']} sources"
        table = Table(heading, "mean (95 %)", "attention − it (95 %)", box=box.MARKDOWN)
        methods = figure["methods"]
        for method in ["attention", *(name for name in methods if name != "attention")]:
            minus = figure["attention_minus"].get(method)
            table.add_row(method, percent(methods[method]), percent(minus, "+") if minus else "")
        console.print(table)
    table = Table("video", "action", *(list(FIGURES.values())[i] for i in (0, 2, 3)))
    table.box = box.MARKDOWN
    for record in result["videos"]:
        cells = [
            " / ".join(f"{record[figure][method]:.0%}" for method in ("attention", "difference"))
            for figure in ("keyframe_precision", "pointing_game", "box_iou")
        ]
        table.add_row(record["video"], f"{record['share_with_action']:.0%}", *cells)
    console.print(table)
    console.print("videos: attention / difference")


def percent(interval: Mapping[str, float], sign: str = "") -> str:
    mean, low, high = (f"{interval[name]:{sign}.0%}" for name in ("mean", "low", "high"))
    return f"{mean} ({low} to {high})"


if __name__ == "__main__":
    sys.exit(main())
