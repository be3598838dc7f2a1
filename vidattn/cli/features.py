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
    command,
    start_children_early,
)
from vidattn.cli.outcome import end_of_run

if TYPE_CHECKING:
    from vidattn.jobs.features import FeatureFile
    from vidattn.runs.outcome import RunResult

HELP = "write features of sliding windows, to train a temporal localiser on"

EPILOG = """\
Writes to the output folder: features.json with the settings and the failures, and for each video
a .npz file with `features` (windows, C), `start_seconds`, `end_seconds`, `centre_seconds`
(windows,) and `indices` (windows, T). After an interruption, the same command resumes the run. If
a video cannot be read, the others are still processed, and the exit code is 1.

example:
  vidattn features model.ckpt --data videos/ --hop 8 --output features
"""


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command's options."""
    parser = command(commands, "features", help_line=HELP, epilog=EPILOG)
    parser.add_argument("checkpoint", type=Path, help="a trained model")
    parser.add_argument(
        "--data",
        required=True,
        nargs="+",
        type=Path,
        metavar="PATH",
        help=f"video, folder, {LISTS}",
    )
    parser.add_argument(
        "--stage",
        metavar="NAME",
        help="backbone stage to take the features from (default: the stage that the model pools)",
    )
    parser.add_argument(
        "--hop",
        type=int,
        metavar="FRAMES",
        help="frames between the starts of two windows (default: half a window)",
    )
    parser.add_argument(
        "--batch-size",
        type=int,
        default=8,
        metavar="N",
        help="windows in a batch (default: 8)",
    )
    add_processes(parser)
    add_failures(parser)
    add_device(parser)
    add_decoder(parser)
    add_allow_remote(parser)
    add_output(parser)
    add_overwrite(parser)
    add_json(parser)
    parser.set_defaults(run=run)


def run(parsed: argparse.Namespace) -> int:
    """Extract and say how many."""
    start_children_early(parsed, "vidattn.jobs.features", network=True)
    from vidattn.jobs import write_features

    found = write_features(
        parsed.checkpoint,
        parsed.data,
        parsed.output,
        stage=parsed.stage,
        hop=parsed.hop,
        batch_size=parsed.batch_size,
        processes=parsed.processes,
        engine=parsed.engine,
        address=parsed.address,
        threads=parsed.threads,
        video_seconds=parsed.video_seconds,
        video_memory=parsed.video_memory,
        maximum_failures=parsed.maximum_failures,
        device=parsed.device,
        decoder=parsed.decoder,
        allow_remote=parsed.allow_remote,
        overwrite=parsed.overwrite,
        retry_failed=parsed.retry_failed,
    )
    show = partial(_print, output=parsed.output)
    return end_of_run(found, json=parsed.json, show=show)


def _print(found: RunResult[FeatureFile], output: Path) -> None:
    windows = sum(video.windows for video in found)
    settings = found.settings
    print(
        f"{len(found)} of {len(found) + len(found.failures)} videos, {windows} windows of "
        f"{settings['channels']} channels ({settings['stage']}) in {output}"
    )
