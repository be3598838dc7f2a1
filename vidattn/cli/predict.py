from __future__ import annotations

import argparse
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from vidattn.cli.arguments import (
    LISTS,
    add_allow_remote,
    add_decoder,
    add_device,
    add_failures,
    add_json,
    add_overwrite,
    add_processes,
    add_salvage,
    command,
    start_children_early,
)
from vidattn.cli.outcome import end_of_run, print_remarks

if TYPE_CHECKING:
    from vidattn.inference import RecognitionPrediction
    from vidattn.jobs import Predictions

HELP = "say what happens in videos, and when"

EPILOG = """\
Prints the labels. With --output, it also writes predictions.csv (video, start_seconds,
end_seconds, label, probability, rank), predictions.html, and predictions.json, which `vidattn score
recognition` reads. The videos need no labels. After an interruption, the same command with --output
resumes the run. If a video cannot be read, it is listed under "failures", the others are still
processed, and the exit code is 1.

examples:
  vidattn predict match.mp4 --checkpoint runs/demo/model.ckpt
  vidattn predict match.mp4 --checkpoint runs/demo/model.ckpt --every 0.5 --window-seconds 2
  vidattn predict videos/ more.txt picture.jpg --checkpoint model.ckpt --output predictions
"""
# Where more videos are given, or more is seen in one, the rest is in the files.
VIDEOS_IN_FULL = 5
SEGMENTS_SHOWN = 12


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command's options."""
    parser = command(commands, "predict", help_line=HELP, epilog=EPILOG)
    parser.add_argument(
        "videos",
        nargs="+",
        metavar="VIDEO",
        help=f"video, folder of videos or of images, picture, {LISTS}",
    )
    parser.add_argument("--checkpoint", required=True, type=Path, help="a trained model")
    parser.add_argument(
        "--every",
        dest="every_seconds",
        type=float,
        default=1.0,
        metavar="SECONDS",
        help="length of a time step that gets labels (default: 1)",
    )
    parser.add_argument(
        "--top",
        type=int,
        default=5,
        metavar="K",
        help="number of most probable classes to write for each step (default: 5)",
    )
    parser.add_argument(
        "--window-seconds",
        type=float,
        metavar="SECONDS",
        help="length of a window, for models whose clips span whole videos (default: 10); use the "
        "length of the training videos",
    )
    parser.add_argument("--batch-size", type=int, default=4, help="windows in a batch (default: 4)")
    parser.add_argument(
        "--output", type=Path, metavar="DIR", help="folder for the result (default: print only)"
    )
    add_overwrite(parser)
    add_processes(parser)
    add_failures(parser)
    add_decoder(parser)
    add_salvage(parser)
    add_allow_remote(parser)
    add_device(parser)
    add_json(parser)
    parser.set_defaults(run=run)


def run(parsed: argparse.Namespace) -> int:
    """Predict, and say what is seen and which videos cannot be read."""
    start_children_early(parsed, "vidattn.jobs.predict", network=True)
    from vidattn.jobs import write_predictions

    found = write_predictions(
        parsed.videos,
        parsed.output,
        checkpoint=parsed.checkpoint,
        every_seconds=parsed.every_seconds,
        top=parsed.top,
        window_seconds=parsed.window_seconds,
        batch_size=parsed.batch_size,
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
    show = partial(_print, output=parsed.output)
    code = end_of_run(found, json=parsed.json, show=show)
    print_remarks(found or ())
    return code


def _print(found: Predictions, output: Path | None) -> None:
    for video in found:
        print(f"{video.video}: {video.label} ({video.probability:.0%})")
        if len(found) <= VIDEOS_IN_FULL:
            _print_segments(video)
    if output is not None and len(found):
        expected = len(found) + len(found.failures)
        print(f"{len(found)} of {expected} videos: {output}/predictions.html, .csv and .json")


def _print_segments(video: RecognitionPrediction) -> None:
    segments = video.segments()
    for each in segments[:SEGMENTS_SHOWN]:
        times = f"{each.start_seconds:8.2f} – {each.end_seconds:8.2f} s"
        print(f"  {times}  {each.label} ({each.probability:.0%})")
    if len(segments) > SEGMENTS_SHOWN:
        print(f"  … and {len(segments) - SEGMENTS_SHOWN} more; --output DIR writes all")
