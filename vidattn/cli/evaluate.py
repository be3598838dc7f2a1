from __future__ import annotations

import argparse
import sys
from pathlib import Path

from vidattn.cli.arguments import (
    add_decoder,
    add_device,
    add_json,
    add_output,
    add_processes,
    command,
)

HELP = "evaluate a checkpoint clip by clip and video by video"

EPILOG = """\
writes to the output folder: evaluation.json (figures with intervals, protocol, settings, versions,
scores and frames of each video) and evaluation.html. A run that was interrupted goes on when the
same command is given again. The processes of torchrun, Slurm or Lightning's launchers share a run.
The exit code is 1 if a video could not be evaluated.

examples:
  vidattn evaluate runs/demo/model.ckpt --data runs/demo/actions/test --views 5 --crops 3
  vidattn evaluate model.ckpt --data validation.csv --protocol pyslowfast-10x3 --processes 2
  torchrun --no-python --nproc-per-node 8 \\
    vidattn evaluate model.ckpt --data validation.csv --protocol pyslowfast-10x3 --device cuda
"""


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command's options."""
    parser = command(commands, "evaluate", help_line=HELP, epilog=EPILOG)
    parser.add_argument("checkpoint", type=Path, help="a trained model")
    parser.add_argument(
        "--data",
        required=True,
        type=Path,
        help="folder of class folders, list of `path label` lines, or CSV with a header",
    )
    parser.add_argument("--root", type=Path, help="folder that paths in --data are relative to")
    parser.add_argument(
        "--folds",
        type=int,
        nargs="+",
        metavar="FOLD",
        help="use only these values of the CSV's fold column",
    )
    parser.add_argument(
        "--protocol", metavar="NAME", help="a published protocol: `vidattn protocols list`"
    )
    parser.add_argument("--views", type=int, default=1, help="clips over time (default: 1)")
    parser.add_argument("--crops", type=int, default=1, choices=(1, 3), help="(default: 1)")
    parser.add_argument("--batch-size", type=int, default=8, help="clips at once (default: 8)")
    parser.add_argument("--workers", type=int, default=0, help="decoding processes (default: 0)")
    add_processes(parser)
    add_device(parser)
    add_decoder(parser)
    add_output(parser, "evaluation")
    add_json(parser)
    parser.set_defaults(run=run)


def run(parsed: argparse.Namespace) -> int:
    """Evaluate and print a short table."""
    from vidattn.jobs import evaluate, print_figures

    evaluation = evaluate(
        parsed.checkpoint,
        parsed.data,
        root=parsed.root,
        folds=parsed.folds,
        protocol=parsed.protocol,
        views=parsed.views,
        crops=parsed.crops,
        batch_size=parsed.batch_size,
        workers=parsed.workers,
        processes=parsed.processes,
        threads=parsed.threads,
        device=parsed.device,
        decoder=parsed.decoder,
        output=parsed.output,
    )
    if evaluation is None:
        print("this process's share is done; others are still at work", file=sys.stderr)
        return 0
    if parsed.json:
        print((parsed.output / "evaluation.json").read_text(encoding="utf-8"), end="")
    else:
        print_figures(evaluation)
    return 1 if evaluation.failures else 0
