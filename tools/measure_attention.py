"""Does attention find when and where real actions happen? Measured on videos with known boxes.

The figures are those of `vidattn evaluate --task keyframes` and `--task regions`; BOXES.json is
what they read. Sources are told by file names, and every video gets pictures: overlay.png (the
frames with the highest scores, true boxes outlined), keyframes.png (attention's, with its own
regions) and keyframes_coverage.png. Writes result.json too.

Example:
  python tools/measure_attention.py runs/demo/model.ckpt data/boxes.json \\
      --source '.*_g[0-9]+' --output runs/attention
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich import box
from rich.console import Console
from rich.progress import track
from rich.table import Table

import vidattn
from vidattn import models
from vidattn.cli.evaluation_figures import percent
from vidattn.data.actions import AnnotatedVideo, read_actions
from vidattn.errors import VidattnError
from vidattn.evaluation import Interval
from vidattn.files import write_bytes, write_json
from vidattn.inference import baselines as whereabouts
from vidattn.inference.keyframes import full_frames
from vidattn.jobs.attention_figures import SHUFFLES, measure, summarise_attention
from vidattn.jobs.attention_record import TITLES
from vidattn.jobs.explain import Painter, overlay_sheet
from vidattn.jobs.keyframe_pictures import contact_sheet
from vidattn.models import LoadedRecogniser
from vidattn.runs.result_names import result_names
from vidattn.video import VideoReader

TASKS = ("keyframes", "regions")
OVERLAY_FRAMES = 6


def main() -> int:
    parsed = parse()
    try:
        videos = read_actions(parsed.boxes)
        loaded = models.load(parsed.checkpoint)
        records = measure_all(loaded, videos, parsed)
        sources = [source(record["video"], parsed.source) for record in records]
        result = {
            "checkpoint": loaded.path,
            "checkpoint_sha256": loaded.digest,
            "keyframes_per_video": parsed.count,
            "minimum_gap_seconds": parsed.minimum_gap_seconds,
            "shuffles": SHUFFLES,
            "figures": {
                name: figure.to_json()
                for name, figure in summarise_attention(records, sources, TASKS).items()
            },
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
    parser.add_argument("--output", type=Path, default=Path("runs/attention"), metavar="DIR")
    parser.add_argument("--count", type=int, default=5, help="key frames a video (default: 5)")
    parser.add_argument(
        "--minimum-gap-seconds",
        type=float,
        default=0.5,
        metavar="S",
        help="key frames closer than this suppress each other (default: 0.5)",
    )
    parser.add_argument(
        "--source",
        default=".*",
        metavar="REGEX",
        help="videos whose names start with the same match come from one source; intervals "
        "resample sources (default: each video is one)",
    )
    return parser.parse_args()


def source(video: str, pattern: str) -> str:
    """What a video was cut from, by its name."""
    found = re.match(pattern, Path(video).name)
    return found[0] if found else video


def measure_all(
    loaded: LoadedRecogniser, videos: Sequence[AnnotatedVideo], parsed: argparse.Namespace
) -> list[dict[str, Any]]:
    paths = [video.path for video in videos]
    folders = dict(zip(map(str, paths), result_names(paths), strict=True))
    centre = whereabouts.mean_box_size(action for video in videos for action in video.actions)
    records = []
    for video in track(
        videos, description="measuring", disable=not sys.stderr.isatty(), transient=True
    ):
        with vidattn.open_video(video.path) as reader:
            video.check(reader, parsed.boxes)
            attention, record = measure(
                loaded,
                reader,
                video.actions,
                tasks=TASKS,
                count=parsed.count,
                minimum_gap_seconds=parsed.minimum_gap_seconds,
                centre_size=centre,
            )
            folder = parsed.output / folders[str(video.path)]
            boxes = whereabouts.boxes_by_frame(video.actions)
            painted = overlay_sheet(reader, Painter(attention, "", boxes=boxes), OVERLAY_FRAMES)
            write_bytes(folder / "overlay.png", painted)
            write_sheets(loaded, reader, folder, parsed)
        records.append({"video": video.name, **record})
    return records


def write_sheets(
    loaded: LoadedRecogniser, reader: VideoReader, folder: Path, parsed: argparse.Namespace
) -> None:
    """The key frames of one video as pictures."""
    settings = {"count": parsed.count, "minimum_gap_seconds": parsed.minimum_gap_seconds}
    by_attention = vidattn.extract_keyframes(reader.path, checkpoint=loaded, **settings)
    by_coverage = vidattn.extract_keyframes(reader.path, **settings)
    for name, found in (("keyframes", by_attention), ("keyframes_coverage", by_coverage)):
        indices = [frame.frame_index for frame in found.frames]
        pixels = full_frames(reader.path, indices, decoder="pyav")
        title = f"{Path(reader.path).name} · {found.method.split(':')[0]}"
        write_bytes(folder / f"{name}.jpg", contact_sheet(found, pixels, title=title))


def show(result: dict[str, Any]) -> None:
    """Tables in Markdown: every figure by method, then every video."""
    console = Console(width=200)
    for row, figure in result["figures"].items():
        heading = f"{TITLES[row]}, {figure['videos']} videos of {figure['groups']} sources"
        table = Table(heading, "mean (95 %)", "attention − it (95 %)", box=box.MARKDOWN)
        methods = figure["methods"]
        for method in ["attention", *(name for name in methods if name != "attention")]:
            minus = figure["attention_minus"].get(method)
            gain = percent(Interval(**minus), "+") if minus else ""
            table.add_row(method, percent(Interval(**methods[method])), gain)
        console.print(table)
    shown = ("keyframe_precision", "pointing_game", "box_iou")
    table = Table("video", "action", *(TITLES[figure] for figure in shown))
    table.box = box.MARKDOWN
    for record in result["videos"]:
        cells = [
            " / ".join(f"{record[figure][method]:.0%}" for method in ("attention", "difference"))
            for figure in shown
        ]
        table.add_row(record["video"], f"{record['share_with_action']:.0%}", *cells)
    console.print(table)
    console.print("videos: attention / difference")


if __name__ == "__main__":
    sys.exit(main())
