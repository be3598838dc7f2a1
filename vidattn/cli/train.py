from __future__ import annotations

import argparse
import os
import shlex
import sys
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from vidattn.cli.waiting import wait_passively
from vidattn.errors import NotFiniteError
from vidattn.naming import choose

if TYPE_CHECKING:
    from vidattn.training.interruption import TrainingInterrupted

HELP = "train a model on your own videos"
KINDS = ("recogniser",)
WRONG_COMMAND_LINE = 2

SHORT_HELP = """\
usage: vidattn train [recogniser] [--config FILE] [options]

Train a model that recognises what happens in a video, on your own labelled videos.

  --config FILE                       YAML with any of these options; the command line has priority
  --output DIR                        folder for checkpoints and logs (default: runs/train)
  --resume                            continue the training in DIR
  --overwrite                         delete the files of an earlier training in DIR
  --threads N                         PyTorch threads on the CPU (default: one for each core)
  --help                              show the most important options
  --help-all                          show every option

videos:
  --data.annotations PATH             folder of class folders, `path label` list, or CSV
  --data.validation PATH              videos to validate on, in the same form
  --data.validation_fraction SHARE    validate on this share of the training videos
  --data.batch_size N                 videos in a batch (default: 8)
  --data.workers N                    processes that decode (default: 0, the training decodes)

clips:
  --clip.frames N                     frames in a clip (default: 16)
  --clip.frame_stride N               take every Nth frame of the video (default: 1)
  --clip.crop_size PIXELS             height and width of the network's input (default: 112)
  --augmentation.flip false           do not mirror clips, if left and right matter (default: true)

model:
  --model.backbone NAME               see `vidattn backbones list` (default: slim)
  --model.weights SOURCE              pretrained weights: a published name or a checkpoint
  --model.attention LIST              mechanisms to insert, see `vidattn attention list`
  --model.dropout P                   dropout before the classifier (default: 0.0)

optimisation:
  --optimisation.learning_rate RATE   highest learning rate (default: 0.001)
  --optimisation.weight_decay DECAY   weight decay (default: 0.05)
  --optimisation.frozen_stages LIST   first stages, which are not trained, such as [stem]
  --trainer.max_epochs N              number of epochs (default: 20)
  --trainer.accelerator NAME          cpu, gpu or others of Lightning (default: auto)
  --trainer.precision NAME            number type, such as bf16-mixed (default: 32-true)

Ctrl-C and SIGTERM save interrupted.ckpt in DIR, and the last line says how to resume. The exit code
is then 130 or 143. Training deletes only files that a training has written.

examples:
  vidattn train --data.annotations videos.csv --data.validation_fraction 0.2 --output runs/mine
  vidattn train --config configs/finetune.yaml --data.annotations videos.csv
"""


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """List the command; its options are parsed by Lightning's parser, see `run`."""
    commands.add_parser("train", help=HELP, add_help=False)


def run(parsed: argparse.Namespace) -> int:
    """Train; `parsed.rest` holds everything after `train`."""
    arguments = list(parsed.rest)
    if arguments and not arguments[0].startswith("-"):
        choose("kind of model", arguments.pop(0), KINDS)
    if {"-h", "--help"} & set(arguments):
        print(SHORT_HELP, end="")
        return 0
    wait_passively()
    from vidattn.jobs.train import train_with
    from vidattn.training.command_line import SettingError, print_all_options
    from vidattn.training.interruption import TrainingInterrupted

    if {"--help-all", "--help=all"} & set(arguments):
        print_all_options()
        return 0
    try:
        training = train_with(arguments)
    except SettingError as error:
        print(f"vidattn: {error}", file=sys.stderr)
        return WRONG_COMMAND_LINE
    except TrainingInterrupted as interruption:
        if _is_helper():
            return 0
        print(f"vidattn: {_way_on(interruption, parsed.rest)}", file=sys.stderr)
        return interruption.exit_code
    except NotFiniteError as error:
        if not _is_helper():
            raise
        print(f"vidattn: {error}", file=sys.stderr)
    else:
        if not _is_helper():
            print(training)
    return 0


def _is_helper() -> bool:
    """Whether this is one of several processes of a training, and not the first.

    All of them stop at the same step. The trainer kills the first one, which has more to say,
    when another ends with an exit code.
    """
    return os.environ.get("LOCAL_RANK", "0") != "0"


def _way_on(interruption: TrainingInterrupted, arguments: Sequence[str]) -> str:
    if interruption.checkpoint is None:
        return f"{interruption}; no checkpoint was written of it"
    command = ["vidattn", "train", *_without_start(arguments), "--resume"]
    return f"{interruption}; go on with: {shlex.join(command)}"


def _without_start(arguments: Sequence[str]) -> Iterator[str]:
    """The arguments without those that say how to begin."""
    named = False
    for argument in arguments:
        if named and not argument.startswith("-"):
            named = False  # the checkpoint that was resumed from
        elif argument.startswith(("--resume=", "--overwrite=")) or argument == "--overwrite":
            named = False
        elif argument == "--resume":
            named = True
        else:
            named = False
            yield argument
