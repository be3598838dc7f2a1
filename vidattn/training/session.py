"""One training from its options to its result: checks, fits, and tells what was reached."""

from __future__ import annotations

import signal
import sys
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from pytorch_lightning import Callback, LightningModule, Trainer
from pytorch_lightning.plugins.io import TorchCheckpointIO
from pytorch_lightning.utilities.exceptions import MisconfigurationException

from vidattn.arrays import at_least
from vidattn.errors import ArgumentError, VidattnError
from vidattn.files import write_text
from vidattn.training.checkpoint_files import WholeFiles
from vidattn.training.command_line import TrainingCLI, build
from vidattn.training.earlier_run import (
    callbacks_of,
    configuration_folder,
    earlier_configurations,
    foreign_files,
    keep_names,
    refuse_earlier_run,
    refuse_others_files,
    resumed_path,
    writes_nothing,
)
from vidattn.training.interruption import Interruption, StepReached, TrainingInterrupted
from vidattn.training.quiet import quiet_trainer
from vidattn.training.result import Training, report_failures, training_result
from vidattn.training.resumption import check_resumption, follow_moved_folder


def run_training(arguments: Sequence[str]) -> Training:
    """Train as the options of a command line say; see `vidattn.train`.

    Args:
        arguments: such as `["--config", "configs/finetune.yaml"]`.
    """
    with quiet_trainer():
        try:
            cli = build(arguments)
        except VidattnError:
            raise
        except (MisconfigurationException, ValueError) as error:  # how the trainer refuses settings
            raise ArgumentError(" ".join(str(error).split())) from error
        threads = torch.get_num_threads()
        if cli.config.threads is not None:
            torch.set_num_threads(at_least("threads", cli.config.threads, 1))
        try:
            path = _prepare(cli)
            _fit(cli, path)
        finally:
            torch.set_num_threads(threads)
            report_failures(cli.datamodule)
    return training_result(cli.trainer, cli.model, cli.datamodule, Path(cli.config.output))


def _fit(cli: TrainingCLI, path: Path | None) -> None:
    try:
        cli.trainer.fit(cli.model, cli.datamodule, ckpt_path=None if path is None else str(path))
    except MisconfigurationException as error:
        raise ArgumentError(" ".join(str(error).split())) from error
    except StepReached as reached:
        raise reached.interruption from None
    except SystemExit:  # how the trainer ends on a signal that nobody else took
        trainer = cli.trainer
        number = signal.SIGTERM if trainer.received_sigterm else signal.SIGINT
        raise TrainingInterrupted(number, trainer.current_epoch, trainer.global_step) from None


def _prepare(cli: TrainingCLI) -> Path | None:
    """Look at what is there before anything is read or written; the checkpoint to go on from."""
    trainer, task = cli.trainer, cli.model
    path = resumed_path(trainer, cli.config.resume)
    resumed = None if path is None else check_resumption(path, task, trainer)
    replaced: list[Path] = []
    if trainer.is_global_zero:  # before other processes are started
        replaced = foreign_files(trainer, resumed, path)
        if not cli.config.overwrite:
            refuse_earlier_run(replaced, resumes=path is not None)
        refuse_others_files(replaced)
        if cli.config.overwrite and path is None:
            inputs = [Path(str(file)) for file in cli.config.get("config") or [] if file]
            replaced += earlier_configurations(trainer, inputs)
        if task.taken_over is not None:
            print(f"vidattn: weights: {task.taken_over}", file=sys.stderr)
    keep_names(trainer)
    if type(trainer.strategy.checkpoint_io) is TorchCheckpointIO:
        trainer.strategy.checkpoint_io = WholeFiles()
    callbacks_of(trainer).insert(0, TrainingFolder(cli, replaced))
    callbacks_of(trainer).append(Interruption())
    return path


class TrainingFolder(Callback):
    """Makes room for a training and keeps its configuration beside its checkpoints or logs.

    Args:
        cli: whose configuration it is.
        replaced: files of an earlier training that were given up.
    """

    def __init__(self, cli: TrainingCLI, replaced: Sequence[Path]) -> None:
        self.cli = cli
        self.replaced = replaced

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Once all that was given has been read: nothing is deleted for a wrong list of videos."""
        if not trainer.is_global_zero or writes_nothing(trainer):
            return
        for file in self.replaced:
            file.unlink(missing_ok=True)
        folder = configuration_folder(trainer)
        if folder is not None:
            folder.mkdir(parents=True, exist_ok=True)
            values = self.cli.config.clone()
            values.overwrite = values.resume = False  # whoever trains by this file is asked anew
            with warnings.catch_warnings():
                # The oldest jsonargparse allowed knows no other name for it.
                warnings.filterwarnings("ignore", message=r"\s*skip_none")
                text = self.cli.parser.dump(values, skip_none=False)
                write_text(_free(folder), text)

    def on_load_checkpoint(
        self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Before the callbacks restore their state."""
        follow_moved_folder(checkpoint, Path(str(trainer.ckpt_path)), trainer)


def _free(folder: Path) -> Path:
    """A name for a configuration that is not taken: a training that goes on leaves another one."""
    path, number = folder / "config.yaml", 1
    while path.exists():
        path, number = folder / f"config-{number}.yaml", number + 1
    return path
