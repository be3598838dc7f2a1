from __future__ import annotations

import argparse
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vidattn.cli.arguments import (
    LISTS,
    add_allow_remote,
    add_decoder,
    add_device,
    add_failures,
    add_json,
    add_output,
    add_overwrite,
    add_processes,
    add_salvage,
    add_scores,
    command,
    start_children_early,
)
from vidattn.cli.outcome import end_of_run, print_remarks

if TYPE_CHECKING:
    from vidattn.jobs.keyframe_result import WrittenKeyFrames
    from vidattn.runs.outcome import RunResult
    from vidattn.runs.reading import VideoResult

HELP = "extract key frames, and with a model also key regions"

EPILOG = """\
Writes to the output folder: keyframes.json and keyframes.csv; keyframes.html, a page that plays
each film above its key frames, scores and shots (the first 100 films of a long list); and a folder
for each video with the key frames, named after their times, and contact_sheet.jpg. The JSON and the
page say why each frame was kept; with --explain also why others were dropped. After an
interruption, the same command resumes the run. If a video cannot be read, it is listed under
"failures", the others are still processed, and the exit code is 1.

examples:
  vidattn keyframes match.mp4 --output keyframes
  vidattn keyframes match.mp4 --output shots --per-shot 1 --margin 0.2 --format webp --width 640
  vidattn keyframes videos/*.mp4 --output keyframes --checkpoint runs/demo/model.ckpt --count 5
  vidattn keyframes match.mp4 --output moving --score difference --uniformity 0.5 --score-table
  vidattn keyframes videos/ more.txt --output keyframes --processes 8
  vidattn keyframes videos/ --output frames --results parquet --maximum-failures 5%
"""


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command's options."""
    parser = command(commands, "keyframes", help_line=HELP, epilog=EPILOG)
    parser.add_argument(
        "videos",
        nargs="+",
        metavar="VIDEO",
        help=f"video, folder of videos or of images, {LISTS}",
    )
    add_output(parser)
    add_overwrite(parser)
    parser.add_argument(
        "--checkpoint",
        type=Path,
        help="select frames and regions by the attention of this model (frames by another score "
        "with --score)",
    )
    _add_choice(parser)
    _add_score(parser)
    _add_pictures(parser)
    _add_results(parser)
    add_processes(parser)
    add_failures(parser)
    add_decoder(parser)
    add_salvage(parser)
    add_allow_remote(parser)
    add_device(parser)
    add_json(parser)
    parser.set_defaults(run=run)


def _add_choice(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("choice")
    group.add_argument(
        "--count",
        help="key frames a video: a number, 5%% of its frames, 3/min, or auto, as many as it needs "
        "(default: 8, or what --per-shot or --every gives); fewer only where it has fewer frames",
    )
    for name, default, meaning in (
        ("--minimum-gap-seconds", 0.5, "frames closer than this suppress each other, if enough "
         "are left"),
        ("--margin", 0.0, "frames so close to a cut come last"),
        ("--every", None, "one frame, the best, of each so many seconds"),
        ("--from", None, "look at the video from here on (default: its start)"),
        ("--to", None, "look at the video up to here (default: its end)"),
    ):  # fmt: skip
        shown = meaning if default is None else f"{meaning} (default: {default:g})"
        group.add_argument(name, type=float, default=default, metavar="SECONDS", help=shown)
    group.add_argument("--per-shot", type=int, metavar="N", help="most frames of one shot")
    group.add_argument(
        "--distinct", action="store_true", help="leave out frames that look like one that is kept"
    )
    group.add_argument(
        "--fast", action="store_true", help="look at intra frames first: far less is decoded"
    )
    group.add_argument(
        "--regions", type=int, default=1, help="most region boxes a frame (default: 1)"
    )


def _add_score(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group(
        "score", "What a frame is worth. --per-shot and the like work with coverage only."
    )
    add_scores(group)
    group.add_argument(
        "--uniformity",
        type=float,
        metavar="SHARE",
        help="spread the frames by the score: 0 follows it, 1 is evenly spread (default: take the "
        "highest scores; coverage has its own choice)",
    )


def _add_pictures(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("pictures")
    group.add_argument(
        "--format",
        dest="picture_format",
        choices=("jpeg", "webp", "png"),
        default="jpeg",
        help="of the frames (default: jpeg); png is exact",
    )
    group.add_argument(
        "--quality", type=int, default=90, help="of jpeg and webp, 1 to 100 (default: 90)"
    )
    group.add_argument(
        "--width",
        type=int,
        metavar="PIXELS",
        help="make wider frames smaller (default: no)",
    )
    group.add_argument(
        "--poster", action="store_true", help="write the best frame of each video as poster, too"
    )
    group.add_argument(
        "--explain",
        action="store_true",
        help="list dropped candidates in keyframes.json and on the page, and why",
    )
    group.add_argument(
        "--score-table", action="store_true", help="write scores.csv, the scores over time"
    )


def _add_results(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("results of long lists")
    group.add_argument(
        "--results",
        choices=("json", "parquet"),
        default="json",
        help="parquet: a row a video in videos/*.parquet, no single files, no page (default: json)",
    )
    group.add_argument(
        "--pictures",
        choices=("tar", "rows"),
        default="tar",
        help="with parquet: pictures in pictures/*.tar, or in the rows (default: tar)",
    )


def run(parsed: argparse.Namespace) -> int:
    """Extract, write, and say what came out and which videos cannot be read."""
    uses_network = parsed.checkpoint is not None or parsed.query is not None
    start_children_early(parsed, "vidattn.jobs.keyframes", network=uses_network)
    from vidattn.jobs import write_keyframes

    found = write_keyframes(
        parsed.videos,
        parsed.output,
        count=parsed.count,
        checkpoint=parsed.checkpoint,
        scorer=parsed.score,
        uniformity=parsed.uniformity,
        query=parsed.query,
        query_model=parsed.query_model,
        query_seconds=parsed.query_seconds,
        class_name=parsed.class_name,
        minimum_gap_seconds=parsed.minimum_gap_seconds,
        per_shot=parsed.per_shot,
        margin_seconds=parsed.margin,
        every_seconds=parsed.every,
        start_seconds=getattr(parsed, "from"),
        end_seconds=parsed.to,
        distinct=parsed.distinct,
        fast=parsed.fast,
        picture_format=parsed.picture_format,
        quality=parsed.quality,
        width=parsed.width,
        poster=parsed.poster,
        explain=parsed.explain,
        results=parsed.results,
        pictures=parsed.pictures,
        score_table=parsed.score_table,
        regions=parsed.regions,
        decoder=parsed.decoder,
        salvage=parsed.salvage,
        allow_remote=parsed.allow_remote,
        device=parsed.device,
        processes=parsed.processes,
        engine=parsed.engine,
        address=parsed.address,
        threads=parsed.threads,
        video_seconds=parsed.video_seconds,
        video_memory=parsed.video_memory,
        maximum_failures=parsed.maximum_failures,
        overwrite=parsed.overwrite,
        retry_failed=parsed.retry_failed,
    )
    show = partial(_print if parsed.results == "json" else _print_stored, output=parsed.output)
    code = end_of_run(found, json=parsed.json, show=show)
    if parsed.results == "json":  # else the rows hold them, and there may be millions
        print_remarks(found or ())
    return code


def _print(found: RunResult[WrittenKeyFrames], output: Path) -> None:
    if len(found):
        frames = sum(len(video.frames) for video in found)
        print(f"{_count(found)}, {frames} key frames: {output}/keyframes.html, .csv and .json")


def _print_stored(found: RunResult[VideoResult], output: Path) -> None:
    print(f"{_count(found)} in {output}; vidattn.read_results({str(output)!r}) reads them")


def _count(found: RunResult[Any]) -> str:
    return f"{len(found)} of {len(found) + len(found.failures)} videos"
