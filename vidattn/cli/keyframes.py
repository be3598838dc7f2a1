from __future__ import annotations

import argparse
import sys
from pathlib import Path

from vidattn.cli.arguments import (
    add_decoder,
    add_device,
    add_json,
    add_output,
    add_overwrite,
    add_processes,
    add_salvage,
    command,
    start_children_early,
)
from vidattn.cli.outcome import print_failures
from vidattn.cli.streams import print_json
from vidattn.runs.outcome import VideoFailure

HELP = "extract key frames, and with a model also key regions"

EPILOG = """\
Writes to the output folder: keyframes.json, and a folder for each video with contact_sheet.png and
the key frames at full resolution. Without --checkpoint, it selects sharp frames that together
represent the video. After an interruption, the same command resumes the run. If a video cannot be
read, it is listed under "failures", the others are still processed, and the exit code is 1.

examples:
  vidattn keyframes match.mp4 --output keyframes
  vidattn keyframes videos/*.mp4 --output keyframes --checkpoint runs/demo/model.ckpt --count 5
  vidattn keyframes videos/ more.txt --output keyframes --processes 8
"""


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command's options."""
    parser = command(commands, "keyframes", help_line=HELP, epilog=EPILOG)
    parser.add_argument(
        "videos",
        nargs="+",
        metavar="VIDEO",
        help="video, folder of videos or of images, or .txt list",
    )
    add_output(parser)
    add_overwrite(parser)
    parser.add_argument(
        "--checkpoint",
        type=Path,
        help="select frames and regions by the attention of this model",
    )
    parser.add_argument(
        "--count",
        type=int,
        default=8,
        help="number of key frames for each video; fewer only if it has fewer frames (default: 8)",
    )
    parser.add_argument(
        "--minimum-gap-seconds",
        type=float,
        default=0.5,
        metavar="S",
        help="select key frames at least this far apart, if there are enough (default: 0.5)",
    )
    parser.add_argument(
        "--regions", type=int, default=1, help="maximum number of boxes for each frame (default: 1)"
    )
    add_processes(parser)
    add_decoder(parser)
    add_salvage(parser)
    add_device(parser)
    add_json(parser)
    parser.set_defaults(run=run)


def run(parsed: argparse.Namespace) -> int:
    """Extract, write, and say what came out and which videos cannot be read."""
    start_children_early(parsed, "vidattn.jobs.keyframes", network=parsed.checkpoint is not None)
    from vidattn.jobs import write_keyframes

    found = write_keyframes(
        parsed.videos,
        parsed.output,
        count=parsed.count,
        checkpoint=parsed.checkpoint,
        minimum_gap_seconds=parsed.minimum_gap_seconds,
        regions=parsed.regions,
        decoder=parsed.decoder,
        salvage=parsed.salvage,
        device=parsed.device,
        processes=parsed.processes,
        threads=parsed.threads,
        video_seconds=parsed.video_seconds,
        video_memory=parsed.video_memory,
        overwrite=parsed.overwrite,
    )
    if found is None:
        print("this process has finished; other processes are still working", file=sys.stderr)
        return 0
    done, failures = found["videos"], found["failures"]
    if done and parsed.json:
        print_json(found)
    elif done:
        frames = sum(len(video["frames"]) for video in done)
        print(
            f"{len(done)} of {len(done) + len(failures)} videos, {frames} key frames "
            f"in {parsed.output}"
        )
    for video in done:
        for remark in video.get("remarks", ()):
            print(f"vidattn: {video['video']}: {remark}", file=sys.stderr)
    print_failures([VideoFailure(**each) for each in failures])
    return 1 if failures else 0
