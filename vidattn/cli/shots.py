from __future__ import annotations

import argparse
import sys
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
from vidattn.cli.outcome import end_of_run
from vidattn.cli.streams import print_json
from vidattn.errors import ArgumentError, VideoError

if TYPE_CHECKING:
    from vidattn.jobs.shots import ShotResult

HELP = "find cuts, dissolves, fades and wipes"

EPILOG = """\
Prints the shots. With --output, it also writes shots.json, which `vidattn score shots` reads,
shots.html, a page that plays each film above its shots (the first 100 films of a long list), and
a folder for each video. --formats selects the files in it: csv (one row for each shot), edl (CMX
3600), fcpxml (Final Cut Pro), otio (OpenTimelineIO) and chapters (FFmpeg metadata). edl and otio
need `pip install 'vidattn[timelines]'`. Frames of a gradual transition belong to no shot. If a
video cannot be read, it is listed under "failures", and the exit code is 1.

The built-in detector needs no network. --detector transnetv2 uses a trained one, which takes much
longer and does not tell dissolves, fades and wipes apart; it needs
`pip install 'vidattn[transnetv2]'`.

--stream prints each shot as a line of JSON as soon as it is certain, long before the end of a film
of hours. It writes no files.

examples:
  vidattn shots match.mp4
  vidattn shots match.mp4 --stream
  vidattn shots videos/ --output shots --formats csv chapters --processes 2
  vidattn shots match.mp4 --output shots --split
"""
FORMATS = ("csv", "edl", "fcpxml", "otio", "chapters")
VIDEOS_IN_FULL = 3


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command's options."""
    parser = command(commands, "shots", help_line=HELP, epilog=EPILOG)
    parser.add_argument(
        "videos",
        nargs="+",
        metavar="VIDEO",
        help=f"video, folder of videos or of images, {LISTS}",
    )
    parser.add_argument(
        "--output", type=Path, metavar="DIR", help="folder for the result (default: print only)"
    )
    parser.add_argument(
        "--formats",
        nargs="+",
        choices=FORMATS,
        default=["csv"],
        metavar="FORMAT",
        help=f"files for each video: {', '.join(FORMATS)} (default: csv)",
    )
    parser.add_argument(
        "--split",
        action="store_true",
        help="write each shot as an MP4 file, too: exact frames, encoded anew, with sound",
    )
    parser.add_argument(
        "--detector",
        choices=("built-in", "transnetv2"),
        default="built-in",
        metavar="NAME",
        help="what finds the transitions: built-in or transnetv2 (default: built-in)",
    )
    add_device(parser)
    add_overwrite(parser)
    add_processes(parser, threads=False)
    add_failures(parser)
    add_decoder(parser)
    add_salvage(parser)
    add_allow_remote(parser)
    add_json(parser)
    parser.add_argument(
        "--stream", action="store_true", help="print each shot as a line of JSON once it is certain"
    )
    parser.set_defaults(run=run)


def run(parsed: argparse.Namespace) -> int:
    """Find shots, and say what was found and which videos cannot be read."""
    if parsed.stream:
        return _stream(parsed)
    start_children_early(parsed, "vidattn.jobs.shots", network=False)
    from vidattn.jobs import write_shots

    found = write_shots(
        parsed.videos,
        parsed.output,
        formats=parsed.formats,
        split=parsed.split,
        detector=parsed.detector,
        device=parsed.device,
        decoder=parsed.decoder,
        salvage=parsed.salvage,
        allow_remote=parsed.allow_remote,
        processes=parsed.processes,
        engine=parsed.engine,
        address=parsed.address,
        video_seconds=parsed.video_seconds,
        video_memory=parsed.video_memory,
        maximum_failures=parsed.maximum_failures,
        overwrite=parsed.overwrite,
        retry_failed=parsed.retry_failed,
    )
    show = partial(_print, output=parsed.output)
    return end_of_run(found, json=parsed.json, show=show)


def _stream(parsed: argparse.Namespace) -> int:
    """Print shots while they are found, in this process."""
    for name, given in (("output", parsed.output is not None), ("split", parsed.split)):
        if given:
            raise ArgumentError(
                f"--stream writes no files: expected no --{name}; leave one of them out"
            )
    from vidattn.inference.shots import loaded_detector, stream_shots
    from vidattn.runs.video_lists import videos_and_folders

    failed = False
    detector = loaded_detector(parsed.detector, parsed.device) or parsed.detector
    for video in videos_and_folders(parsed.videos, parsed.allow_remote):
        try:
            shots = stream_shots(
                video,
                detector=detector,
                decoder=parsed.decoder,
                salvage=parsed.salvage,
                allow_remote=parsed.allow_remote,
            )
            for shot in shots:
                print_json({"video": str(video)} | vars(shot), indent=None)
                sys.stdout.flush()
        except VideoError as error:
            print(f"vidattn: {error}", file=sys.stderr)
            failed = True
    return int(failed)


def _print(found: ShotResult, output: Path | None) -> None:
    """A line a shot of the first videos, a line a video of the others."""
    for number, video in enumerate(found):
        print(f"{video.video}: {video.in_words()}")
        for shot in video if number < VIDEOS_IN_FULL else ():
            times = f"{shot.start_seconds:9.2f} – {shot.end_seconds:9.2f} s"
            frames = f"frames {shot.start_frame} – {shot.end_frame - 1}"
            print(f"  {shot.number:4d}  {times}  {frames}  {shot.begins_with or ''}".rstrip())
    if output is not None and len(found):
        print(f"written: {output / 'shots.html'} and shots.json")
