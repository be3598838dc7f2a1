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
    from vidattn.jobs.summarise import WrittenSummary
    from vidattn.runs.outcome import RunResult

HELP = "write a short film of a video, with its sound"

EPILOG = """\
Writes to the output folder: summaries.json, and a folder for each video with summary.mp4 (H.264,
with AAC sound where the video has sound), parts.csv (which parts were kept, and why) and
frames.json, which `vidattn score summaries` reads. Shots are divided into parts of at most five
seconds. Without a score, those are kept that together stand for as much of the video as fits into
the budget; with one, those that score highest. If a video cannot be read, it is listed under
"failures", and the exit code is 1.

examples:
  vidattn summarise match.mp4 --output summaries
  vidattn summarise match.mp4 --output moving --score difference --budget 10s
  vidattn summarise videos/ --output summaries --budget 60s --processes 2
"""


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command's options."""
    parser = command(commands, "summarise", help_line=HELP, epilog=EPILOG)
    parser.add_argument(
        "videos",
        nargs="+",
        metavar="VIDEO",
        help=f"video, folder of videos or of images, {LISTS}",
    )
    add_output(parser)
    parser.add_argument(
        "--budget",
        default="15%",
        metavar="LENGTH",
        help="most that is kept: a share of the video such as 15%%, or seconds such as 60s "
        "(default: 15%%)",
    )
    parser.add_argument(
        "--checkpoint",
        type=Path,
        metavar="CHECKPOINT",
        help="keep the parts with the highest attention of this model (another score with --score)",
    )
    group = parser.add_argument_group(
        "score", "Keep the parts of the highest scores, in place of parts that cover the video."
    )
    add_scores(group, default="what --query, --class or --checkpoint says, else none")
    add_device(parser)
    add_overwrite(parser)
    add_processes(parser)
    add_failures(parser)
    add_decoder(parser)
    add_salvage(parser)
    add_allow_remote(parser)
    add_json(parser)
    parser.set_defaults(run=run)


def run(parsed: argparse.Namespace) -> int:
    """Write the films, and say how long they are and which videos cannot be read."""
    network = parsed.checkpoint is not None or parsed.query is not None
    start_children_early(parsed, "vidattn.jobs.summarise", network=network)
    from vidattn.jobs import write_summaries

    found = write_summaries(
        parsed.videos,
        parsed.output,
        budget=parsed.budget,
        scorer=parsed.score,
        checkpoint=parsed.checkpoint,
        query=parsed.query,
        query_model=parsed.query_model,
        query_seconds=parsed.query_seconds,
        class_name=parsed.class_name,
        device=parsed.device,
        decoder=parsed.decoder,
        salvage=parsed.salvage,
        allow_remote=parsed.allow_remote,
        processes=parsed.processes,
        threads=parsed.threads,
        engine=parsed.engine,
        address=parsed.address,
        video_seconds=parsed.video_seconds,
        video_memory=parsed.video_memory,
        maximum_failures=parsed.maximum_failures,
        retry_failed=parsed.retry_failed,
        overwrite=parsed.overwrite,
    )
    code = end_of_run(found, json=parsed.json, show=partial(_print, output=parsed.output))
    print_remarks(found or ())
    return code


def _print(found: RunResult[WrittenSummary], output: Path) -> None:
    for each in found:
        print(f"{each.video}: {each.in_words()}, written: {output / each.film}")
