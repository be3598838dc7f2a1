from __future__ import annotations

import argparse
import os
import shlex
import sys
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from vidattn.cli.waiting import wait_passively
from vidattn.errors import NotFiniteError

if TYPE_CHECKING:
    from vidattn.training.interruption import TrainingInterrupted

HELP = "train a recogniser from a YAML configuration (Lightning's own command-line conventions)"


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """List the command; its options are parsed by Lightning, see `vidattn train --help`."""
    commands.add_parser("train", help=HELP, add_help=False)


def run(parsed: argparse.Namespace) -> int:
    """Train; `parsed.rest` holds everything after `train`."""
    wait_passively()
    from vidattn.jobs import train
    from vidattn.training.interruption import TrainingInterrupted

    try:
        train(parsed.rest)
    except TrainingInterrupted as interruption:
        if _is_helper():
            return 0
        print(f"vidattn: {_way_on(interruption, parsed.rest)}", file=sys.stderr)
        return 128 + interruption.number
    except NotFiniteError as error:
        if not _is_helper():
            raise
        print(f"vidattn: {error}", file=sys.stderr)
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
    command = ["vidattn", "train", *_without_start(arguments)]
    command += ["--ckpt_path", str(interruption.checkpoint)]
    return f"{interruption}; go on with: {shlex.join(command)}"


def _without_start(arguments: Sequence[str]) -> Iterator[str]:
    """The arguments without those that say how to begin."""
    rest = iter(arguments)
    for argument in rest:
        if argument == "--ckpt_path":
            next(rest, None)
        elif argument != "--overwrite" and not argument.startswith(
            ("--ckpt_path=", "--overwrite=")
        ):
            yield argument
