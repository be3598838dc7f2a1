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

HELP = "extract the key frames and key regions of videos"

EPILOG = """\
writes to the output folder: keyframes.json; for each video, in a folder of its name, the frames
at full resolution and contact_sheet.png. Videos that cannot be read are listed under "failures"
and the others go on; the exit code is then 1. A run that was interrupted goes on when the same
command is given again; one that has finished is replaced with --overwrite.

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
        help="score by this model's attention; without it, by how well frames stand for the video",
    )
    parser.add_argument(
        "--count",
        type=int,
        default=8,
        help="key frames a video, fewer only where it has fewer frames (default: 8)",
    )
    parser.add_argument(
        "--minimum-gap-seconds",
        type=float,
        default=0.5,
        metavar="S",
        help="frames closer than this suppress each other, if enough are left (default: 0.5)",
    )
    parser.add_argument(
        "--regions", type=int, default=1, help="most region boxes a frame (default: 1)"
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
        print("this process's share is done; others are still at work", file=sys.stderr)
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
