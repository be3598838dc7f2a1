from __future__ import annotations

import argparse
import signal
import sys
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from jsonargparse import DefaultHelpFormatter
from pytorch_lightning import Callback, LightningModule, Trainer
from pytorch_lightning.callbacks import ModelCheckpoint
from pytorch_lightning.cli import LightningArgumentParser, LightningCLI
from pytorch_lightning.plugins.io import TorchCheckpointIO
from pytorch_lightning.utilities.exceptions import MisconfigurationException

from vidattn.arrays import at_least
from vidattn.data import VideoDataModule
from vidattn.errors import ArgumentError, CheckpointError, VidattnError
from vidattn.files import write_text
from vidattn.training import RecognitionTask
from vidattn.training.checkpoint_files import WholeFiles
from vidattn.training.earlier_run import (
    callbacks_of,
    configuration_folder,
    earlier_configurations,
    earlier_files,
    foreign_files,
    keep_names,
    refuse_earlier_run,
    shown,
    writes_nothing,
)
from vidattn.training.interruption import Interruption, StepReached, TrainingInterrupted
from vidattn.training.resumption import check_resumption, follow_moved_folder

DESCRIPTION = """\
Train a recogniser. Everything is an option here and a key of the YAML configuration, by
Lightning's conventions: trainer.*, model.*, data.*, seed_everything, ckpt_path (resume).

Files of an earlier training are never written over: where some are, the new one is refused
unless it goes on with the earlier (--ckpt_path) or is told to delete them (--overwrite).
Ctrl-C and SIGTERM leave interrupted.ckpt beside the other checkpoints and end with exit code 130
and 143; the last line says how to go on.

examples:
  vidattn train --config configs/finetune.yaml
  vidattn train --config configs/finetune.yaml --model.backbone r3d_18 --trainer.max_epochs 5
  vidattn train --config configs/finetune.yaml --ckpt_path runs/finetune/last.ckpt
  vidattn train --config configs/finetune.yaml --model.weights r2plus1d.ckpt --overwrite
"""


class HelpLayout(DefaultHelpFormatter, argparse.RawDescriptionHelpFormatter):
    """Options as jsonargparse shows them, and the description in its own lines."""


class TrainingCLI(LightningCLI):
    """Lightning's command line with class names and clips linked from the data to the model."""

    def add_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        """Link what both sides must agree on; add `ckpt_path`, `overwrite` and `threads`."""
        parser.link_arguments("data.classes", "model.classes", apply_on="instantiate")
        parser.link_arguments("data.clip", "model.clip", apply_on="instantiate")
        parser.link_arguments("data.multi_label", "model.multi_label")
        parser.add_argument(
            "--ckpt_path", type=str | None, help='checkpoint to go on from; "last": the newest'
        )
        parser.add_argument(
            "--overwrite",
            action="store_true",
            help="delete checkpoints, configuration and logs of an earlier training that lie where "
            "this one writes",
        )
        parser.add_argument(
            "--threads",
            type=int | None,
            help="PyTorch's threads on the CPU (default: one a core). Small networks train about "
            "as fast with one, also where other processes need the cores; another number gives "
            "other last digits",
        )


class RunFolder(Callback):
    """Makes room for a training and keeps its configuration beside its logs or checkpoints.

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
            values.overwrite = False  # whoever trains by this file is asked anew
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


def build(arguments: Sequence[str]) -> TrainingCLI:
    """Trainer, model and data of a configuration, ready to fit.

    Args:
        arguments: as on the command line, such as `["--config", "configs/finetune.yaml"]`.
    """
    # Lightning warns whenever a program that has arguments of its own calls it with others.
    warnings.filterwarnings("ignore", message="LightningCLI's args parameter is intended")
    # Its own use of what torch and jsonargparse deprecated is nothing that a person could mend.
    warnings.filterwarnings("ignore", message="`isinstance\\(treespec, LeafSpec\\)` is deprecated")
    warnings.filterwarnings("ignore", category=DeprecationWarning, module="pytorch_lightning")
    # What lies there was looked at already, and either goes on or was given up.
    warnings.filterwarnings("ignore", message="(Checkpoint|Experiment logs) directory .* not empty")
    # Of the first validation batches no video could be read; others may.
    warnings.filterwarnings("ignore", message="The ``compute`` method of metric")
    return TrainingCLI(
        RecognitionTask,
        VideoDataModule,
        args=list(arguments),
        run=False,
        auto_configure_optimizers=False,
        seed_everything_default=0,
        parser_kwargs={
            "prog": "vidattn train",
            "description": DESCRIPTION,
            "formatter_class": HelpLayout,
        },
        save_config_callback=None,
    )


def train(arguments: Sequence[str]) -> Path:
    """Train as configured.

    Args:
        arguments: see `build`.

    Returns:
        the trainer's root folder.

    Raises:
        VidattnError: what was given cannot be used, or the trainer refuses its settings.
        EarlierRunError: files of an earlier training lie where this one would write.
        NotFiniteError: a loss, gradient, score or weight became NaN or infinite.
        TrainingInterrupted: by SIGINT or SIGTERM; it says where the checkpoint is.
    """
    try:
        cli = build(arguments)
    except VidattnError:
        raise
    except (MisconfigurationException, ValueError) as error:  # how the trainer refuses settings
        raise ArgumentError(" ".join(str(error).split())) from error
    threads = torch.get_num_threads()
    if cli.config.threads is not None:
        torch.set_num_threads(at_least("threads", cli.config.threads, 1))
    path = _prepare(cli)
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
    finally:
        torch.set_num_threads(threads)
        _report_failures(cli.datamodule)
    _report_checkpoints(cli.trainer)
    return Path(cli.trainer.default_root_dir)


def _prepare(cli: TrainingCLI) -> Path | None:
    """Look at what is there before anything is read or written; the checkpoint to go on from."""
    trainer, task = cli.trainer, cli.model
    path = _resumed_path(cli)
    resumed = None if path is None else check_resumption(path, task, trainer)
    replaced: list[Path] = []
    if trainer.is_global_zero:  # before other processes are started
        replaced = foreign_files(trainer, resumed, path)
        if not cli.config.overwrite:
            refuse_earlier_run(replaced, resumes=path is not None)
        elif path is None:
            inputs = [Path(str(file)) for file in cli.config.get("config") or []]
            replaced += earlier_configurations(trainer, inputs)
        if task.taken_over is not None:
            print(f"vidattn: weights: {task.taken_over}", file=sys.stderr)
    keep_names(trainer)
    if type(trainer.strategy.checkpoint_io) is TorchCheckpointIO:
        trainer.strategy.checkpoint_io = WholeFiles()
    callbacks_of(trainer).insert(0, RunFolder(cli, replaced))
    callbacks_of(trainer).append(Interruption())
    return path


def _resumed_path(cli: TrainingCLI) -> Path | None:
    given = cli.config.ckpt_path
    if given is None or given != "last" or Path(given).exists():
        return None if given is None else Path(given)
    there = [file for file in earlier_files(cli.trainer) if file.suffix == ".ckpt"]
    if not there:
        raise CheckpointError(
            "ckpt_path: expected a checkpoint where this training writes, found none"
        )
    return max(there, key=lambda file: file.stat().st_mtime)


def _free(folder: Path) -> Path:
    """A name for a configuration that is not taken: a training that goes on leaves another one."""
    path, number = folder / "config.yaml", 1
    while path.exists():
        path, number = folder / f"config-{number}.yaml", number + 1
    return path


def _report_failures(data: VideoDataModule) -> None:
    """Say which videos were left out: nothing else would tell."""
    for name, dataset in (("training", data.train_dataset), ("validation", data.val_dataset)):
        if dataset is None or not dataset.failures:
            continue
        place = "; others took their places" if name == "training" else ""
        print(
            f"vidattn: {len(dataset.failures)} of {len(dataset)} videos of {name} could not be "
            f"read{place}",
            file=sys.stderr,
        )
        for path, reason in dataset.failures.items():
            print(f"vidattn: left out of {name}: {path}: {reason}", file=sys.stderr)


def _report_checkpoints(trainer: Trainer) -> None:
    """Say where the checkpoints lie."""
    found: dict[Path, str] = {}
    for callback in callbacks_of(trainer):
        if not isinstance(callback, ModelCheckpoint):
            continue
        for path in (callback.best_model_path, callback.last_model_path):
            if path and Path(path).is_file():
                found.setdefault(Path(path), "")
        if callback.monitor and callback.best_model_score is not None:
            score = f" (best {callback.monitor}: {float(callback.best_model_score):.4g})"
            found[Path(callback.best_model_path)] = score
    if found and trainer.is_global_zero:
        listed = ", ".join(f"{shown(path)}{score}" for path, score in found.items())
        print(f"vidattn: checkpoints: {listed}", file=sys.stderr)
