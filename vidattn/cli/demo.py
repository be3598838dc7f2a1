from __future__ import annotations

import argparse
import sys
from pathlib import Path

from vidattn.cli.arguments import add_output, add_overwrite, command
from vidattn.cli.waiting import wait_passively

HELP = "make videos, train, evaluate, extract key frames and regions, write a page"

EPILOG = """\
Writes to the output folder: report.html (open it in a browser), summary.json, predictions.json
(the results of each video), model.ckpt, and without --videos the generated videos. The demo takes
about three minutes on two cores, also with your own videos: the number of training clips is always
the same. Ctrl-C ends it with exit code 130, SIGTERM with 143.

examples:
  vidattn demo
  vidattn demo --videos my_videos    # a folder with one folder of videos for each class
"""


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command's options."""
    parser = command(commands, "demo", help_line=HELP, epilog=EPILOG)
    parser.add_argument("--videos", type=Path, help="your own videos, in one folder for each class")
    add_output(parser, "runs/demo")
    add_overwrite(parser)
    parser.add_argument(
        "--seed", type=int, default=0, help="random seed for data and training (default: 0)"
    )
    parser.set_defaults(run=run)


def run(parsed: argparse.Namespace) -> int:
    """Run it all and print a short table."""
    wait_passively()
    from vidattn.jobs import demo
    from vidattn.training.interruption import TrainingInterrupted

    try:
        demo(parsed.output, videos=parsed.videos, seed=parsed.seed, overwrite=parsed.overwrite)
    except TrainingInterrupted as interruption:
        print(f"vidattn: {interruption}; the same command begins anew", file=sys.stderr)
        return interruption.exit_code
    return 0
