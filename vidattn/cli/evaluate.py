from __future__ import annotations

import argparse
from pathlib import Path

from vidattn.cli.arguments import add_decoder, add_device, add_json, add_output, command

HELP = "evaluate a checkpoint clip by clip and video by video"

EPILOG = """\
writes to the output folder: evaluation.json (figures, settings, versions, per-video scores)
and evaluation.html.

example:
  vidattn evaluate runs/demo/model.ckpt --data runs/demo/actions/test --views 5 --crops 3
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
    parser.add_argument("--views", type=int, default=1, help="clips over time (default: 1)")
    parser.add_argument("--crops", type=int, default=1, choices=(1, 3), help="(default: 1)")
    parser.add_argument("--batch-size", type=int, default=8, help="clips at once (default: 8)")
    parser.add_argument("--workers", type=int, default=0, help="decoding processes (default: 0)")
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
        views=parsed.views,
        crops=parsed.crops,
        batch_size=parsed.batch_size,
        workers=parsed.workers,
        device=parsed.device,
        decoder=parsed.decoder,
        output=parsed.output,
    )
    if parsed.json:
        print((parsed.output / "evaluation.json").read_text(encoding="utf-8"), end="")
    else:
        print_figures(evaluation)
    return 1 if evaluation.failures else 0
