from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from vidattn.cli.arguments import (
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
from vidattn.cli.outcome import say_share_is_done
from vidattn.cli.streams import print_json

TASKS = ("recognition", "keyframes", "regions")
# Option -> the task that it is of, and the job's argument.
OPTIONS = {
    **{
        name: ("recognition", name)
        for name in (
            "root",
            "allow_remote",
            "folds",
            "protocol",
            "views",
            "crops",
            "batch_size",
            "workers",
            "clip_scores",
        )
    },
    "count": ("keyframes", "count"),
    "minimum_gap_seconds": ("keyframes", "minimum_gap_seconds"),
}
SHARED = (
    "processes",
    "engine",
    "address",
    "threads",
    "video_seconds",
    "video_memory",
    "maximum_failures",
    "retry_failed",
    "device",
    "decoder",
    "output",
    "overwrite",
)

HELP = "evaluate a checkpoint on labelled videos"

EPILOG = """\
Writes to the output folder: evaluation.json (figures with intervals, protocol, settings, versions,
scores and frames of each video) and evaluation.html. For --task keyframes or regions, --data is a
JSON file with the times and boxes of actions, and the result also has baselines without a model.
After an interruption, the same command resumes the run. The processes of torchrun, Slurm or
Lightning's launchers divide the videos. The exit code is 1 if a video could not be evaluated.

examples:
  vidattn evaluate runs/demo/model.ckpt --data runs/demo/actions/test --views 5 --crops 3
  vidattn evaluate model.ckpt --data validation.csv --protocol pyslowfast-10x3 --processes 2
  vidattn evaluate runs/demo/model.ckpt --task keyframes --data runs/demo/actions/truth.json
  torchrun --no-python --nproc-per-node 8 \\
    vidattn evaluate model.ckpt --data validation.csv --protocol pyslowfast-10x3 --device cuda
"""


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command's options."""
    parser = command(commands, "evaluate", help_line=HELP, epilog=EPILOG)
    parser.add_argument("checkpoint", type=Path, help="a trained model, such as best.ckpt")
    parser.add_argument(
        "--task",
        choices=TASKS,
        default="recognition",
        help="what to compare with the truth: the class of each video (recognition), the times of "
        "the attention (keyframes), or its places (regions) (default: recognition)",
    )
    parser.add_argument(
        "--data",
        required=True,
        type=Path,
        metavar="PATH",
        help="folder of class folders, tar file of them, list of `path label` lines, or CSV with a "
        "header; "
        "JSON with actions for the other tasks",
    )
    _add_recognition(parser.add_argument_group("recognition"))
    places = parser.add_argument_group("key frames")
    places.add_argument(
        "--count", type=int, metavar="N", help="number of key frames for each video (default: 5)"
    )
    places.add_argument(
        "--minimum-gap-seconds",
        type=float,
        metavar="S",
        help="select key frames at least this far apart, if there are enough (default: 0.5)",
    )
    add_processes(parser)
    add_failures(parser)
    add_device(parser)
    add_decoder(parser)
    add_output(parser, "evaluation")
    add_overwrite(parser)
    add_json(parser)
    parser.set_defaults(run=run)


def _add_recognition(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--root", type=Path, metavar="DIR", help="folder that paths in --data are relative to"
    )
    add_allow_remote(group)
    group.add_argument(
        "--folds",
        type=int,
        nargs="+",
        metavar="FOLD",
        help="use only these folds of the CSV",
    )
    group.add_argument(
        "--protocol", metavar="NAME", help="a published protocol: `vidattn protocols list`"
    )
    group.add_argument(
        "--views",
        type=int,
        metavar="N",
        help="number of clips from each video, spread over time (default: 1)",
    )
    group.add_argument(
        "--crops",
        type=int,
        choices=(1, 3),
        help="square crops of each clip: the centre, or 3 along the longer side (default: 1)",
    )
    group.add_argument(
        "--batch-size",
        type=int,
        metavar="N",
        help="clips in a batch (default: 8)",
    )
    group.add_argument(
        "--workers",
        type=int,
        metavar="N",
        help="processes that decode for each network; 0: its own process decodes (default: 0)",
    )
    group.add_argument(
        "--clip-scores",
        metavar="PLACE",
        help="where to save the scores of every clip: json (evaluation.json), npz "
        "(clip_scores.npz) or none (default: json up to a million numbers, else none)",
    )


def run(parsed: argparse.Namespace) -> int:
    """Evaluate, print a short table, and say where all of it lies."""
    start_children_early(parsed, "vidattn.jobs.evaluate", network=True)
    from vidattn.cli.evaluation_figures import print_ending

    options = {name: getattr(parsed, name) for name in SHARED} | _own_options(parsed)
    code = (_recognition if parsed.task == "recognition" else _attention)(parsed, options)
    if code is None:
        say_share_is_done()
        return 0
    if parsed.json:
        record = (parsed.output / "evaluation.json").read_text(encoding="utf-8")
        print_json(json.loads(record))
    else:
        print_ending(parsed.output)
    return code


def _own_options(parsed: argparse.Namespace) -> dict[str, Any]:
    """What was given of the task's own options; another task's mean that it was wanted."""
    from vidattn.errors import ArgumentError

    given = [name for name in OPTIONS if getattr(parsed, name) not in (None, [])]
    if wrong := [name for name in given if OPTIONS[name][0] != parsed.task]:
        names = ", ".join(f"--{name.replace('_', '-')}" for name in wrong)
        raise ArgumentError(f"{names}: not an option of the task {parsed.task}")
    return {OPTIONS[name][1]: getattr(parsed, name) for name in given}


def _recognition(parsed: argparse.Namespace, options: dict[str, Any]) -> int | None:
    from vidattn.cli.evaluation_figures import print_evaluation
    from vidattn.jobs import evaluate

    found = evaluate(parsed.checkpoint, parsed.data, **options)
    if found is not None and not parsed.json:
        print_evaluation(found)
    return None if found is None else int(bool(found.failures))


def _attention(parsed: argparse.Namespace, options: dict[str, Any]) -> int | None:
    from vidattn.cli.evaluation_figures import print_attention
    from vidattn.jobs import evaluate_attention

    found = evaluate_attention(parsed.checkpoint, parsed.data, task=parsed.task, **options)
    if found is not None and not parsed.json:
        print_attention(found)
    return None if found is None else int(bool(found.failures))
